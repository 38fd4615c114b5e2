//! The login at a smart host: which sessions may send a password. It does not read the password.

use std::path::Path;

use toml::Spanned;

use super::fault::Report;
use super::keys::{OutboundEntry, OutboundValues};
use crate::connector::{Credentials, Mechanism, Mode, NextHop, OutboundTls};

/// The credentials of a connector; only a session that proved its peer may send them. Fills in what `check
/// --json` shows.
pub(super) fn credentials(
    entry: &OutboundEntry,
    values: &mut OutboundValues,
    tls: Option<&OutboundTls>,
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
    // A requirement that could not be checked has its own fault.
    let known = match tls {
        Some(OutboundTls::Forced(forced)) => forced.restricts(),
        Some(OutboundTls::Off | OutboundTls::Opportunistic(_)) => false,
        None => true,
    };
    if matches!(values.next_hop, Some(NextHop::Mx { .. })) {
        report.fault_of_key(
            user.span(),
            "next_hop is \"mx\", and every domain's exchangers would be shown the password; name the smart host, \
             as next_hop = [\"smtp.provider.example\"]",
        );
        return None;
    }
    if !known || values.mode == Mode::Audit {
        report.fault_of_key(
            user.span(),
            "a password would be shown to whoever answers: write tls = \"forced\" (or \"implicit\") with \
             require = \"identity\", pins, or a chain to a trust of your own, in mode = \"enforce\"",
        );
        return None;
    }
    if entry.auth_mechanism.is_some() && values.auth_mechanism.is_none() {
        return None;
    }
    let mechanism = *values.auth_mechanism.get_or_insert(Mechanism::Plain);
    let path = match secret.get_ref().strip_prefix("credential:") {
        None => base.join(secret.get_ref()),
        // systemd.exec(5): LoadCredential= puts each credential into a folder private to the service.
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
    values.auth_secret = Some(Spanned::new(secret.span(), path.display().to_string()));
    Some(Credentials { mechanism, user: user.get_ref().clone(), secret: path })
}
