//! The reply a client gets to MAIL FROM, with the decision behind it.

use std::sync::Arc;

use super::super::decision::{Claim, Decision, Ruling};
use super::super::requirement::Forced;
use super::super::table::{Inbound, Reveal};
use super::channel::{Attribution, Channel, UnmetCondition};
use crate::mail::{Enhanced, Reply, ReversePath};

pub(super) fn unmet_refusal(
    connector: &Inbound,
    unmet: &UnmetCondition,
    channel: &Channel,
    path: &ReversePath,
) -> RefusedMail {
    let ruling = Ruling::Refused(Claim::of(path), unmet.clone());
    let decision = Arc::new(Decision::of_client(Some(connector), channel, ruling));
    let (name, reason) = (&connector.name, decision.reason());
    let text = match (connector.reveal, unmet) {
        (Reveal::Code, _) => GENERAL.to_owned(),
        (Reveal::Full | Reveal::Partner, UnmetCondition::Tls(_)) => {
            format!(
                "{reason} (connector {name}; required {}; attained {})",
                decision.required, decision.attained
            )
        }
        (
            Reveal::Full | Reveal::Partner,
            UnmetCondition::NoTls
            | UnmetCondition::Off
            | UnmetCondition::Listener
            | UnmetCondition::Network
            | UnmetCondition::User,
        ) => {
            format!("{reason} (connector {name})")
        }
    };
    RefusedMail { reply: reply(&decision, text), decision }
}

/// The refusal of a stranger who claims a domain that the connector excepts, such as our own.
pub(super) fn excepted(connector: &Inbound, channel: &Channel, path: &ReversePath) -> RefusedMail {
    let ruling = Ruling::Excepted(Claim::of(path));
    let decision = Arc::new(Decision::of_client(Some(connector), channel, ruling));
    let text = if connector.reveal == Reveal::Code { GENERAL.to_owned() } else { decision.reason() };
    RefusedMail { reply: reply(&decision, text), decision }
}

pub(super) fn no_connector(channel: &Channel, path: &ReversePath) -> RefusedMail {
    let ruling = Ruling::NoConnector(Claim::of(path));
    let decision = Arc::new(Decision::of_client(None, channel, ruling));
    RefusedMail { reply: reply(&decision, decision.reason()), decision }
}

fn reply(decision: &Decision, text: String) -> Reply {
    let status = decision.status().unwrap_or(Enhanced(5, 7, 1));
    // RFC 4954 §6: 530 means that authentication is required.
    let code = if status == Enhanced(5, 7, 0) { 530 } else { 550 };
    // What is not for good may be accepted later.
    let code = if status.0 == 4 { 451 } else { code };
    Reply::new(code, status, text)
}

/// The full text of a refusal if the connector has `reveal = "code"`.
const GENERAL: &str = "not accepted from you; ask our administrator";

pub(super) fn admitted_decision(
    connector: &Inbound,
    channel: &Channel,
    waived: Option<&UnmetCondition>,
) -> Decision {
    let ruling = waived.map_or_else(
        || Ruling::Attributed(attributed_by(connector)),
        |unmet| Ruling::WaivedClient(unmet.clone()),
    );
    Decision::of_client(Some(connector), channel, ruling)
}

/// A refusal with its reason.
#[derive(Debug, Clone)]
pub struct RefusedMail {
    /// The reply for the client.
    pub reply: Reply,
    /// Why the mail was refused.
    pub decision: Arc<Decision>,
}

pub(super) fn attributed_by(connector: &Inbound) -> Attribution {
    let by_certificate = connector.forced().is_some_and(Forced::needs_certificate);
    match (by_certificate, &connector.users, connector.from_networks.restrict()) {
        (true, _, _) => Attribution::Certificate,
        (false, Some(_), _) => Attribution::User,
        (false, None, true) => Attribution::Network,
        (false, None, false) => Attribution::Domain,
    }
}
