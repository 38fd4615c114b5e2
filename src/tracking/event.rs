//! Every event that the message tracking log reports, as one enum. It does not write them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::connector::{Decision, HandshakeFault, HeaderFindings, Partner, TlsVersion};
use crate::lookout::PartnerChange;
use crate::mail::{Mailbox, Network, QueueId, Reply, ReversePath, UnixMillis};
use crate::outcome::{DeliveryRecord, Trouble};

/// What each event about a message says of it.
#[derive(Debug, Clone, Copy)]
pub struct MessageFacts<'a> {
    /// The queue ID.
    pub id: QueueId,
    /// The address failure reports go to.
    pub reverse_path: &'a ReversePath,
    /// The Message-ID header, if present.
    pub message_id: Option<&'a str>,
    /// The Subject header, decoded and shortened; `None` if there is none, or it is not to be kept.
    pub subject: Option<&'a str>,
    /// Size in octets, in wire form.
    pub size: u64,
    /// The inbound connector; `None` for our own reports.
    pub came_by: Option<&'a str>,
}

/// How long the steps of a message's arrival took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ArrivalTimes {
    /// From the start of the content to its end.
    pub content: Duration,
    /// From its end until the message was on stable storage.
    pub stored: Duration,
}

/// What an operator did with a queued message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueHandling {
    /// It is held until it is released.
    Held,
    /// It is held no more.
    Released,
    /// It was deleted without a report.
    Removed,
    /// It was given up, with a report.
    Bounced,
    /// It was made due now.
    Retried,
}

impl QueueHandling {
    /// The word for logs and machines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Released => "released",
            Self::Removed => "removed",
            Self::Bounced => "bounced",
            Self::Retried => "retried",
        }
    }
}

/// Who began a handshake, and by which of our settings it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeSide<'a> {
    /// A client, at this listener.
    Inbound(&'a str),
    /// We, by this outbound connector.
    Outbound(&'a str),
}

/// What an alarm that does not last is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlarmTopic {
    /// A partner's certificate has another issuer, or ends soon.
    Certificate,
    /// Another event says the same: a reload, an override, a deferral.
    Repeated,
    /// Anything else.
    Other,
}

/// An event for the message tracking log.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// We answered 250 and own the message.
    Accepted {
        /// The message.
        message: MessageFacts<'a>,
        /// The client's address.
        peer: IpAddr,
        /// Its recipients.
        recipients: &'a [Mailbox],
        /// How long it took.
        times: ArrivalTimes,
        /// What follows from its header section.
        findings: &'a HeaderFindings,
        /// The inbound connector and why it was chosen.
        decision: &'a Arc<Decision>,
    },
    /// We refused a command or a message.
    Refused {
        /// The client's address and port.
        peer: SocketAddr,
        /// The verb or stage: `MAIL`, `RCPT`, `DATA`, `content`, `connect`, `STARTTLS`.
        stage: &'static str,
        /// The reverse-path, if one was given.
        reverse_path: Option<&'a ReversePath>,
        /// The forward-path, if the refusal is about one.
        forward_path: Option<&'a str>,
        /// The reply we sent.
        reply: &'a Reply,
        /// The reason, if a connector decided.
        decision: Option<&'a Arc<Decision>>,
    },
    /// A refusal is counted: each one, also those that are not told one by one.
    RefusalCounted {
        /// The reply code.
        code: u16,
        /// The reason, if a connector decided.
        decision: Option<&'a Arc<Decision>>,
    },
    /// A session got the same refusal repeatedly; the first ones were logged one by one.
    RefusedAgain {
        /// The client's address and port.
        peer: SocketAddr,
        /// The verb or stage, as in [`Event::Refused`].
        stage: &'static str,
        /// The reply code.
        code: u16,
        /// Number of further refusals.
        count: u64,
    },
    /// Log lines about refusals and ended sessions were omitted: one network caused too many.
    Omitted {
        /// The network; `None` if there were many.
        network: Option<&'a Network>,
        /// Number of omitted lines.
        count: u64,
    },
    /// An inbound session ended early: a failed handshake, a protocol violation, a timeout.
    SessionEnded {
        /// The client's address and port.
        peer: SocketAddr,
        /// Why it ended.
        reason: &'a str,
    },
    /// A next hop accepted a message for a recipient.
    Delivered {
        /// The message.
        message: MessageFacts<'a>,
        /// The recipient.
        forward_path: &'a Mailbox,
        /// Next hop, TLS and reply of the delivery.
        delivered: &'a DeliveryRecord,
        /// Time since the message was accepted.
        delay: Duration,
        /// The connector that handed it to this one.
        rerouted_from: Option<&'a str>,
    },
    /// A recipient was deferred and stays in the queue.
    Deferred {
        /// The message.
        message: MessageFacts<'a>,
        /// The recipient.
        forward_path: &'a Mailbox,
        /// The outbound connector that it was to leave by.
        outbound: &'a str,
        /// Why it was deferred.
        trouble: &'a Trouble,
        /// When the next attempt is due.
        next_at: UnixMillis,
        /// The connector that handed it to this one.
        rerouted_from: Option<&'a str>,
    },
    /// No host met the requirement of a recipient's connector, and the recipient was handed to another one.
    Rerouted {
        /// The message.
        message: MessageFacts<'a>,
        /// The recipient.
        forward_path: &'a Mailbox,
        /// The outbound connector that it was to leave by.
        outbound: &'a str,
        /// Why it could not be sent.
        trouble: &'a Trouble,
        /// The other connector.
        to: &'a str,
    },
    /// A recipient failed for good.
    Failed {
        /// The message.
        message: MessageFacts<'a>,
        /// The recipient.
        forward_path: &'a Mailbox,
        /// The outbound connector that it was to leave by.
        outbound: &'a str,
        /// Why it failed.
        trouble: &'a Trouble,
        /// The connector that handed it to the one by which it failed.
        rerouted_from: Option<&'a str>,
    },
    /// A report was composed.
    Reported {
        /// The queue ID of the message it is about.
        id: QueueId,
        /// `failed`, `delayed`, `relayed`, or `shortened`: in place of a report that was refused for its form; `echo`: an answer
        /// of the echo mailbox, or a word that begins with `echo-` for why there is none.
        kind: &'static str,
        /// The queue ID of the report; `None` if the reverse-path is null and none is sent.
        report: Option<QueueId>,
    },
    /// A TLS handshake has ended.
    Handshake {
        /// Whose it was.
        side: HandshakeSide<'a>,
        /// The other host.
        peer: SocketAddr,
        /// How long it took.
        took: Duration,
        /// The version that was agreed upon, or why it failed.
        result: Result<TlsVersion, &'a HandshakeFault>,
    },
    /// An opportunistic session continues in plaintext.
    ClearFallback {
        /// The next hop.
        host: &'a str,
        /// The connector and the reason.
        decision: &'a Arc<Decision>,
    },
    /// A handshake failed with post-quantum key shares and succeeded without them.
    KeySharesOmitted {
        /// The next hop.
        host: &'a str,
        /// The outbound connector.
        connector: &'a str,
        /// How the handshake failed.
        reason: &'a str,
    },
    /// A connector in audit mode sent mail that its requirement would withhold.
    Waived {
        /// The next hop.
        host: &'a str,
        /// Connector, reason, required and attained TLS.
        decision: &'a Arc<Decision>,
    },
    /// A message is held because it can't be read in full.
    Held {
        /// The queue ID.
        id: QueueId,
        /// Why it is held.
        reason: &'a str,
    },
    /// The relay serves from here on.
    Started {
        /// The version of the program.
        version: &'a str,
    },
    /// The relay was asked to stop, and all that was under way has ended: nothing happens after it until it is started again.
    Stopped,
    /// An operator changed a queued message.
    Handled {
        /// The queue ID.
        id: QueueId,
        /// What was done.
        handling: QueueHandling,
        /// Whoever asked for it: a user of this machine, or the bearer of a token.
        by: &'a str,
    },
    /// Files were reloaded.
    Reloaded {
        /// The generation of the connector table in effect.
        generation: u64,
        /// For which domains less is required than before, and in what; one sentence each.
        weaker: &'a [String],
    },
    /// A connector's requirement is lowered for a time, or no longer.
    Override {
        /// The connector.
        connector: &'a str,
        /// The level it is lowered to; `None`: it has ended.
        level: Option<&'a str>,
        /// Who asked for it, until when, and why; or why it has ended.
        words: &'a str,
    },
    /// An outbound connector was validated.
    Validated {
        /// The connector.
        connector: &'a str,
        /// The partner it belongs to.
        partner: Option<&'a str>,
        /// Whether every host met the requirement.
        holds: bool,
        /// What was found, in a sentence.
        words: &'a str,
    },
    /// An alarm that lasts began or ended.
    AlarmChanged {
        /// What it is about: `reload`, `expiry`, `lists`, `log`, `brake`, `override`, ….
        kind: &'static str,
        /// Whether it began.
        raised: bool,
        /// The text of the alarm.
        what: &'a str,
        /// The outbound connectors it concerns.
        connectors: &'a [String],
    },
    /// `[watch]`: something about a partner's host is not as it was at the last look.
    PartnerChanged {
        /// The outbound connector.
        connector: &'a str,
        /// The partner that the connector belongs to.
        partner: Option<&'a Partner>,
        /// The recipient domain whose hosts were looked at, if it matters.
        domain: Option<&'a str>,
        /// Name and address; `-`: all hosts.
        host: &'a str,
        /// What changed.
        change: &'a PartnerChange,
    },
    /// Log lines were dropped because the reader of the log was too slow.
    LinesDropped {
        /// Number of dropped lines.
        count: u64,
        /// Number of dropped facts: events about accepted mail, and alarms.
        facts: u64,
        /// Number of lines by level and target.
        kinds: &'a str,
    },
    /// Something that needs an operator's attention.
    Alarm {
        /// What it is about.
        topic: AlarmTopic,
        /// The text of the alarm.
        what: &'a str,
    },
}
