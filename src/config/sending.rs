//! How the sessions of an outbound connector are used: extensions, limits, logins.

use std::path::Path;

use toml::Spanned;

use super::fault::Report;
use super::schema::{self, OneOrMany};
use crate::connector::{Credentials, Forced, Mechanism, Mode, OutboundTls, Require, Sending, TrustId};
use crate::mail::Extension;

pub(super) fn sending(
    entry: &schema::Outbound,
    (tls, mode): (Option<&OutboundTls>, Mode),
    base: &Path,
    report: &mut Report<'_>,
) -> Sending {
    let count = |number: &Option<schema::Number>, key: &str, report: &mut Report<'_>| {
        number.is_some().then(|| report.count(number, key, 1_u32))
    };
    let recipients_max = entry
        .max_recipients
        .is_some()
        .then(|| report.count(&entry.max_recipients, "max_recipients", 1_usize));
    Sending {
        ignored: extensions(entry.ignore_extensions.as_ref(), report),
        recipients_max,
        messages_max: count(&entry.messages_per_connection, "messages_per_connection", report),
        messages_per_minute_max: count(&entry.messages_per_minute, "messages_per_minute", report),
        spread: spread(entry, report),
        auth: credentials(entry, (tls, mode), base, report),
    }
}

fn spread(entry: &schema::Outbound, report: &mut Report<'_>) -> bool {
    let Some(written) = entry.spread.as_ref().filter(|written| *written.get_ref()) else { return false };
    let hosts = entry.next_hop.as_ref().map_or(0, |hop| OneOrMany::items(hop).len());
    if hosts < 2 {
        report.fault_of_key(written.span(), "spread = true needs several smart hosts; name them in next_hop");
    }
    true
}

/// Extensions by their keywords.
pub(super) fn extensions(list: Option<&schema::List>, report: &mut Report<'_>) -> Vec<Extension> {
    let words = list.map(Spanned::get_ref).map(Vec::as_slice).unwrap_or_default();
    let mut found: Vec<Extension> = Vec::new();
    for text in words {
        found.extend(report.word(text, "this list", Extension::ALL));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// A login goes over a session alone that proved who it leads to.
fn credentials(
    entry: &schema::Outbound,
    (tls, mode): (Option<&OutboundTls>, Mode),
    base: &Path,
    report: &mut Report<'_>,
) -> Option<Credentials> {
    let keys = [&entry.auth_user, &entry.auth_secret, &entry.auth_mechanism];
    let written = keys.into_iter().flatten().next()?;
    let (Some(user), Some(secret)) = (&entry.auth_user, &entry.auth_secret) else {
        report.fault_of_key(
            written.span(),
            "a login needs auth_user and auth_secret, the file that has the password or token (or \
             \"credential:NAME\" for one that systemd loads)",
        );
        return None;
    };
    let known = match tls {
        Some(OutboundTls::Forced(Forced { pins, .. })) if !pins.is_empty() => true,
        Some(OutboundTls::Forced(Forced { require: Require::Chain { trust }, .. })) => {
            // Anybody can have a certificate of a public authority.
            !trust.contains(&TrustId::system())
        }
        Some(OutboundTls::Forced(Forced { require: Require::Identity { .. }, .. })) | None => true,
        Some(OutboundTls::Forced(_) | OutboundTls::Off | OutboundTls::Opportunistic) => false,
    };
    if entry.next_hop.as_ref().is_some_and(|hop| matches!(hop.get_ref(), OneOrMany::One(one) if one == "mx"))
    {
        report.fault_of_key(
            user.span(),
            "next_hop is \"mx\", and every domain's exchangers would be shown the password; name the smart host, \
             as next_hop = [\"smtp.provider.example\"]",
        );
        return None;
    }
    if !known || mode == Mode::Audit {
        report.fault_of_key(
            user.span(),
            "a password would be shown to whoever answers: write tls = \"forced\" (or \"implicit\") with \
             require = \"identity\", pins, or a chain to a trust of your own, in mode = \"enforce\"",
        );
        return None;
    }
    let mechanism = match &entry.auth_mechanism {
        Some(word) => report.word(word, "auth_mechanism", MECHANISMS)?,
        None => Mechanism::Plain,
    };
    let path = match secret.get_ref().strip_prefix("credential:") {
        None => base.join(secret.get_ref()),
        // systemd.exec(5): LoadCredential= puts each credential into a folder of the service's own.
        Some(name) => match std::env::var_os("CREDENTIALS_DIRECTORY") {
            Some(folder) => Path::new(&folder).join(name),
            None => {
                let words =
                    "credential: needs $CREDENTIALS_DIRECTORY, which systemd sets for LoadCredential=";
                report.warn(secret.span(), words);
                Path::new("/run/credentials/sealpost.service").join(name)
            }
        },
    };
    Some(Credentials { mechanism, user: user.get_ref().clone(), secret: path })
}

const MECHANISMS: &[(&str, Mechanism)] =
    &[("plain", Mechanism::Plain), ("login", Mechanism::Login), ("xoauth2", Mechanism::XOAuth2)];
