//! What is told of an admission: replies and decisions.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::decision::Decision;
use super::super::facts::PeerCertificate;
use super::super::table::{Inbound, InboundTls, Reveal};
use super::{Channel, RefusedMail, Unmet, strength};
use crate::mail::{Enhanced, Reply, ReversePath};

pub(super) fn unmet_refusal(
    connector: &Inbound,
    unmet: &Unmet,
    channel: &Channel,
    path: &ReversePath,
) -> RefusedMail {
    let who = described(path);
    let wanted = wanted(connector);
    let got = got(channel);
    let name = &connector.name;
    let (reply, reason) = match unmet {
        Unmet::NoTls => (
            Reply::new(550, Enhanced(5, 7, 10), format!("{who} must be sent over TLS (connector {name})")),
            format!("{who} must be sent over TLS"),
        ),
        Unmet::Off | Unmet::Network => {
            let reason = format!("{who} is not accepted from {}", channel.peer);
            (Reply::new(550, Enhanced(5, 7, 1), format!("{reason} (connector {name})")), reason)
        }
        Unmet::User => {
            let reason = format!("{who} needs a login");
            (Reply::new(530, Enhanced(5, 7, 0), format!("{reason} (connector {name})")), reason)
        }
        Unmet::Tls(shortfall) => (
            Reply::new(
                550,
                Enhanced(5, 7, 1),
                format!("{who}: {shortfall} (connector {name}; wanted {wanted}; got {got})"),
            ),
            format!("{who}: {shortfall}"),
        ),
    };
    let reply = match connector.reveal {
        Reveal::Full | Reveal::Partner => reply,
        Reveal::Code => Reply { text: GENERAL.into(), ..reply },
    };
    let decision = decision(Some(Arc::clone(name)), wanted, channel, reason, unmet.token());
    RefusedMail { reply, decision }
}

pub(super) fn no_connector(channel: &Channel, path: &ReversePath) -> RefusedMail {
    let reason = format!("no inbound connector accepts {} from {}", described(path), channel.peer);
    RefusedMail {
        reply: Reply::new(550, Enhanced(5, 7, 1), reason.clone()),
        decision: decision(None, "an inbound connector".to_owned(), channel, reason, "no-connector"),
    }
}

/// All that a refusal tells where the connector says `reveal = "code"`.
const GENERAL: &str = "not accepted from you; ask our administrator";

pub(super) fn admitted_decision(connector: &Inbound, channel: &Channel, waived: Option<&Unmet>) -> Decision {
    let (reason, token): (&str, &'static str) = match strength(connector) {
        0 => ("attributed by the client certificate", "by-certificate"),
        1 => ("attributed by the user who logged in", "by-user"),
        2 => ("attributed by network", "by-network"),
        _ => ("attributed by domain", "by-domain"),
    };
    Decision {
        connector: Some(Arc::clone(&connector.name)),
        host: Some(channel.peer.to_string()),
        wanted: wanted(connector),
        got: got(channel),
        reason: waived.map_or_else(
            || reason.to_owned(),
            |unmet| format!("in audit: enforced, this would have been refused, since {unmet}"),
        ),
        token: waived.map_or(Cow::Borrowed(token), |unmet| Cow::Owned(format!("audit-{}", unmet.token()))),
        tls: channel.tls.clone(),
    }
}

fn decision(
    connector: Option<Arc<str>>,
    wanted: String,
    channel: &Channel,
    reason: String,
    token: &'static str,
) -> Arc<Decision> {
    Arc::new(Decision {
        connector,
        host: Some(channel.peer.to_string()),
        wanted,
        got: got(channel),
        reason,
        token: Cow::Borrowed(token),
        tls: channel.tls.clone(),
    })
}

fn wanted(connector: &Inbound) -> String {
    let tls = match &connector.tls {
        InboundTls::Off | InboundTls::Opportunistic => "nothing of TLS".to_owned(),
        InboundTls::Forced(forced) => forced.to_string(),
    };
    if connector.users.is_some() { format!("{tls}, a login") } else { tls }
}

fn got(channel: &Channel) -> String {
    let user = channel.user.as_ref().map_or_else(String::new, |user| format!(", the user {}", user.name));
    format!("{}{user}", got_of_tls(channel))
}

fn got_of_tls(channel: &Channel) -> String {
    let Some(facts) = &channel.tls else { return "plaintext".to_owned() };
    match &facts.peer {
        PeerCertificate::NotShown => format!("{}, no certificate", facts.version),
        PeerCertificate::Unreadable(_) => format!("{}, a certificate that can't be read", facts.version),
        PeerCertificate::Shown(certificate) => {
            format!(
                "{}, a certificate for {} issued by {}",
                facts.version,
                certificate.names_text(),
                certificate.issuer
            )
        }
    }
}

fn described(path: &ReversePath) -> String {
    path.mailbox()
        .map_or_else(|| "mail with the null reverse-path".to_owned(), |m| format!("mail from {}", m.domain()))
}
