//! Filters for queue listings, and the results operators get. It runs no query.

use super::{LaneKey, QueuedMessage, QueuedRow};
use crate::mail::{QueueId, UnixMillis};

/// Which messages to select; all given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// A recipient is in a lane of this outbound connector.
    pub connector: Option<String>,
    /// A recipient has this domain.
    pub domain: Option<String>,
    /// The reverse-path: an address, `@domain`, or empty for the null reverse-path.
    pub sender: Option<String>,
    /// A recipient: an address, or `@domain`.
    pub recipient: Option<String>,
    /// The status, reason or token of a recipient's last trouble contains this text, ignoring case.
    pub reason: Option<String>,
    /// The message was accepted before this.
    pub accepted_before: Option<UnixMillis>,
    /// The message is held.
    pub held: bool,
}

impl Filter {
    /// Whether the conditions on recipients hold for this one.
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

/// One page of a listing.
#[derive(Debug)]
pub struct ListPage {
    /// The messages of this page.
    pub messages: Vec<QueuedMessage>,
    /// Where the next page starts; `None` on the last page.
    pub next: Option<QueueId>,
}

/// How many messages a part of the queue has that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountPart {
    /// How many match.
    pub messages: usize,
    /// Where the next part starts; `None` after the last one.
    pub next: Option<QueueId>,
}

/// The number of recipients queued in a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneCount {
    /// The lane that is counted.
    pub lane: LaneKey,
    /// Number of recipients in the lane.
    pub recipients: u64,
    /// When the oldest of them was accepted.
    pub oldest_at: UnixMillis,
}

/// The result of holding a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldResult {
    /// The message is now held.
    Held,
    /// There is no message with this queue ID.
    Unknown,
    /// An attempt is under way.
    Leased,
}
