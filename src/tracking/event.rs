use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::connector::Decision;
use crate::mail::{Mailbox, Network, QueueId, Reply, ReversePath, UnixMillis};
use crate::outcome::{DeliveryRecord, Trouble};

/// One thing worth telling.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// We answered 250 and own the message.
    Accepted {
        /// The message.
        id: QueueId,
        /// Where it came from.
        peer: IpAddr,
        /// Who is told.
        reverse_path: &'a ReversePath,
        /// How many recipients.
        recipients: usize,
        /// Octets in wire form.
        size: u64,
        /// Its Message-ID.
        message_id: Option<&'a str>,
        /// The inbound connector and why it was this one.
        decision: &'a Decision,
    },
    /// We refused a command or a message.
    Refused {
        /// The client.
        peer: SocketAddr,
        /// The verb or stage: `MAIL`, `RCPT`, `DATA`, `content`, `connect`, `STARTTLS`.
        stage: &'static str,
        /// The reverse-path, where there is one.
        reverse_path: Option<&'a ReversePath>,
        /// The forward-path, where it is about one.
        forward_path: Option<&'a str>,
        /// What we said.
        reply: &'a Reply,
        /// Why, where a connector decided.
        decision: Option<&'a Decision>,
    },
    /// A session was refused the same again and again; the first ones were told one by one.
    RefusedAgain {
        /// The client.
        peer: SocketAddr,
        /// The verb or stage.
        stage: &'static str,
        /// What the reply began with.
        code: u16,
        /// How many more there were.
        count: u64,
    },
    /// Lines about refusals and ended sessions that were left out: there were too many of one network.
    Omitted {
        /// The network; `None`: of many.
        network: Option<&'a Network>,
        /// How many.
        count: u64,
    },
    /// An inbound session ended before its time: a broken handshake, a broken rule, a time-out.
    SessionEnded {
        /// The client.
        peer: SocketAddr,
        /// Why.
        reason: &'a str,
    },
    /// A next hop took a message over for a recipient.
    Delivered {
        /// The message.
        id: QueueId,
        /// The recipient.
        forward_path: &'a Mailbox,
        /// How.
        delivered: &'a DeliveryRecord,
        /// How long after it was accepted.
        delay: Duration,
    },
    /// A recipient stays in the queue.
    Deferred {
        /// The message.
        id: QueueId,
        /// The recipient.
        forward_path: &'a Mailbox,
        /// Why.
        trouble: &'a Trouble,
        /// When it is tried again.
        next_at: UnixMillis,
    },
    /// A recipient failed for good.
    Failed {
        /// The message.
        id: QueueId,
        /// The recipient.
        forward_path: &'a Mailbox,
        /// Why.
        trouble: &'a Trouble,
    },
    /// A report was made.
    Reported {
        /// The message it is about.
        id: QueueId,
        /// `failed` or `delayed`.
        kind: &'static str,
        /// The report; `None` where the reverse-path is null and nobody is told.
        report: Option<QueueId>,
    },
    /// An opportunistic session goes on in clear.
    ClearFallback {
        /// The host.
        host: &'a str,
        /// Connector and reason.
        decision: &'a Decision,
    },
    /// A connector in audit lets a session carry mail that its requirement would withhold.
    Waived {
        /// The host.
        host: &'a str,
        /// Connector, reason, wanted and got.
        decision: &'a Decision,
    },
    /// A message can't be read whole and is kept back.
    Held {
        /// The message.
        id: QueueId,
        /// Why.
        reason: &'a str,
    },
    /// Lines of the log were dropped, as nobody read it fast enough.
    LinesDropped {
        /// How many.
        count: u64,
        /// How many of them are facts: of mail that is ours, or alarms.
        facts: u64,
        /// How many of each level and target.
        kinds: &'a str,
    },
    /// Something an operator must see to.
    Alarm {
        /// What.
        what: &'a str,
    },
}
