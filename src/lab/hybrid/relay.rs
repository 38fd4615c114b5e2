//! What Exchange Server sends on: mail of mailboxes that have moved, and mail of Exchange Online for
//! others. It says what to send; `sender` does it.

use super::cases::{MOVED, SenderMarks};
use super::dialogue::HostEnvelope;
use super::dress;
use super::fields::SplitMessage;
use super::hosts::{LabHost, ROUTING_DOMAIN};
use super::treat::Treatment;

/// A message that a host hands to the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HandedOn {
    pub(super) reverse_path: String,
    pub(super) forward_path: String,
    pub(super) message: SplitMessage,
}

/// What the host sends on of a message that it accepted.
pub(super) fn onward(host: LabHost, envelope: &HostEnvelope, treatment: &Treatment) -> Vec<HandedOn> {
    if host != LabHost::Onprem {
        return Vec::new();
    }
    let sent = |forward_path: &String| {
        let domain = forward_path.rsplit_once('@').map(|(_, domain)| domain)?;
        let (forward_path, message) = if forward_path == MOVED {
            // The connector for the other side: the headers of the organisation leave as cross-premises ones.
            let marks =
                if treatment.outside.is_none() { SenderMarks::Internal } else { SenderMarks::Anonymous };
            let local = forward_path.rsplit_once('@').map(|(local, _)| local)?;
            let message = dress::cross_premises(treatment.message.clone(), host, marks);
            (format!("{local}@{ROUTING_DOMAIN}"), message)
        } else if host.domains().contains(&domain) {
            return None;
        } else {
            (forward_path.clone(), dress::filtered(treatment.message.clone(), host))
        };
        Some(HandedOn { reverse_path: envelope.reverse_path.clone(), forward_path, message })
    };
    envelope.recipients.iter().filter_map(sent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: LabHost, recipient: &str, expected: &str) {
        let envelope = HostEnvelope {
            reverse_path: "a@b.test".to_owned(),
            recipients: vec![recipient.to_owned()],
            originator: None,
        };
        let message = SplitMessage::parse(b"X-MS-Exchange-Organization-AuthAs: Anonymous\r\n\r\nbody\r\n");
        let treatment = Treatment { outside: None, detail: String::new(), message };
        let sent = onward(host, &envelope, &treatment);
        let shown = sent.iter().map(|sent| {
            let fields: Vec<String> = sent.message.fields.iter().map(|field| field.name()).collect();
            format!("{}: {}", sent.forward_path, fields.first().cloned().unwrap_or_default())
        });
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn moved_mailboxes_and_foreign_domains_are_sent_on() {
        check(LabHost::Onprem, "ann@contoso.lab.test", "");
        check(LabHost::Onprem, MOVED, "moved@contoso.mail.onmicrosoft.lab.test: X-OriginatorOrg");
        check(
            LabHost::Onprem,
            "ada@world.lab.test",
            "ada@world.lab.test: X-CrossPremisesHeadersFilteredBySendConnector",
        );
        check(LabHost::Cloud, "ada@world.lab.test", "");
    }
}
