//! What an operator asks of the queue, and the answers.

use super::{LaneKey, QueuedMessage, QueuedRow};
use crate::mail::{QueueId, UnixMillis};

/// Which messages are meant; all of what is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// A recipient is in a lane of this outbound connector.
    pub connector: Option<String>,
    /// A recipient has this domain.
    pub domain: Option<String>,
    /// The reverse-path: an address, `@domain`, or empty for the null one.
    pub sender: Option<String>,
    /// A recipient: an address, or `@domain`.
    pub recipient: Option<String>,
    /// The status, reason or token of a recipient's last trouble has this text, in whatever case.
    pub reason: Option<String>,
    /// It was accepted before that.
    pub accepted_before: Option<UnixMillis>,
    /// It is held.
    pub held: bool,
}

impl Filter {
    /// Whether what it says of recipients holds for this one.
    #[must_use]
    pub fn takes(&self, row: &QueuedRow) -> bool {
        let path = row.forward_path.as_str();
        let same = |text: &str| match text.strip_prefix('@') {
            Some(domain) => row.forward_path.domain().to_string().eq_ignore_ascii_case(domain),
            None => path.eq_ignore_ascii_case(text),
        };
        let lane_of = |name: &str| row.lane.0.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        let told = |text: &str| {
            row.last.as_ref().is_some_and(|last| last.searched().contains(&text.to_ascii_lowercase()))
        };
        self.recipient.as_deref().is_none_or(same)
            && self.domain.as_ref().is_none_or(|domain| same(&format!("@{domain}")))
            && self.connector.as_deref().is_none_or(lane_of)
            && self.reason.as_deref().is_none_or(told)
    }
}

/// A part of a list.
#[derive(Debug)]
pub struct ListPage {
    /// The messages.
    pub messages: Vec<QueuedMessage>,
    /// Where to go on; `None`: there is nothing behind.
    pub next: Option<QueueId>,
}

/// How much a lane has on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneCount {
    /// The lane.
    pub lane: LaneKey,
    /// Its recipients.
    pub recipients: u64,
    /// When the oldest of them was accepted.
    pub oldest_at: UnixMillis,
}

/// What became of keeping a message back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldResult {
    /// It is held now.
    Held,
    /// There is no such message.
    Unknown,
    /// It is being worked on.
    Leased,
}
