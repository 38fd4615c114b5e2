//! What an action came to, in words: the same for a verb and for the console.

use std::fmt;
use std::sync::Arc;

use super::{ActionResult, PausedConnectors, QueueAction, ReleaseRequest};
use crate::mail::QueueId;

impl QueueAction {
    /// What it came to for one message.
    #[must_use]
    pub fn done(self, id: QueueId, result: &ActionResult) -> String {
        match self {
            Self::Retry => result.retried(),
            Self::Hold => format!("{id} is held until it is released"),
            Self::Release => format!("{id} is released; {}", result.retried()),
            Self::Bounce => format!("{id} is given up; its sender is notified"),
            Self::Remove => format!("{id} is removed; nobody is notified"),
        }
    }

    /// What it came to for many messages, of which these recipients wait for paused connectors.
    #[must_use]
    pub fn done_with(self, messages: u64, recipients: usize, paused: &[Arc<str>]) -> String {
        let (noun, are) = if messages == 1 { ("message", "is") } else { ("messages", "are") };
        let said = match self {
            Self::Remove => "removed; nobody is notified",
            Self::Bounce if messages == 1 => "given up; its sender is notified",
            Self::Bounce => "given up; their senders are notified",
            Self::Hold if messages == 1 => "held until it is released",
            Self::Hold => "held until they are released",
            Self::Retry | Self::Release if paused.is_empty() => "tried again now",
            Self::Retry | Self::Release => "due now",
        };
        format!("{messages} {noun} {are} {said}{}", paused_words(paused, recipients))
    }
}

impl ActionResult {
    /// What is tried again, and what is not for as long as a connector is paused.
    #[must_use]
    pub fn retried(&self) -> String {
        let all = self.recipients.unwrap_or_default();
        let tried = match all.saturating_sub(self.paused_recipients) {
            0 if self.paused_recipients > 0 => "nothing is tried now".to_owned(),
            1 => "1 recipient is tried again now".to_owned(),
            count => format!("{count} recipients are tried again now"),
        };
        format!("{tried}{}", paused_words(&self.paused, self.paused_recipients))
    }
}

/// What keeps some of the recipients, as the end of a sentence; empty if nothing does.
fn paused_words(paused: &[Arc<str>], recipients: usize) -> String {
    let Some(first) = paused.first() else { return String::new() };
    let whose = match recipients {
        1 => "1 recipient waits".to_owned(),
        count => format!("{count} recipients wait"),
    };
    format!(
        "; {whose} until {} resumed (`sealpost queue resume {first}`)",
        if paused.len() == 1 {
            format!("connector {first} is")
        } else {
            format!("the connectors {} are", paused.join(", "))
        },
    )
}

impl fmt::Display for PausedConnectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.connectors.is_empty() {
            return f.write_str("no connector is paused");
        }
        write!(f, "paused: {}", self.connectors.join(", "))
    }
}

impl ReleaseRequest {
    /// What became possible for this connector.
    #[must_use]
    pub fn done(&self, connector: &str) -> String {
        let learned = if self.accept { "; as much of it is no flood for the next weeks" } else { "" };
        format!("{connector} takes new mail again{learned}")
    }
}

/// What follows the end of an override.
#[must_use]
pub fn override_ended(connector: &str) -> String {
    format!("the override of connector {connector} has ended; its own requirement is in effect")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_says_what_it_came_to() {
        let result = |recipients, paused_recipients, paused: &[&str]| ActionResult {
            recipients: Some(recipients),
            paused_recipients,
            paused: paused.iter().map(|name| Arc::from(*name)).collect(),
            ..ActionResult::default()
        };
        let id = QueueId::first_of(1);
        for (action, result, words) in [
            (QueueAction::Retry, result(1, 0, &[]), "1 recipient is tried again now"),
            (
                QueueAction::Retry,
                result(2, 2, &["bank"]),
                "nothing is tried now; 2 recipients wait until connector bank is resumed (`sealpost queue resume bank`)",
            ),
            (QueueAction::Hold, result(0, 0, &[]), "0000000001000 is held until it is released"),
            (
                QueueAction::Release,
                result(3, 1, &["a", "b"]),
                "0000000001000 is released; 2 recipients are tried again now; 1 recipient waits until the connectors a, b \
                 are resumed (`sealpost queue resume a`)",
            ),
            (QueueAction::Remove, result(0, 0, &[]), "0000000001000 is removed; nobody is notified"),
        ] {
            assert_eq!(action.done(id, &result), words);
        }
        let many = |action: QueueAction, messages| action.done_with(messages, 0, &[]);
        assert_eq!(many(QueueAction::Bounce, 1), "1 message is given up; its sender is notified");
        assert_eq!(many(QueueAction::Hold, 2), "2 messages are held until they are released");
        assert_eq!(many(QueueAction::Retry, 0), "0 messages are tried again now");
    }
}
