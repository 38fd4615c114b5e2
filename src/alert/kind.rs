//! The kinds of alerts, and what to say of each. It knows no episode.

use serde::{Deserialize, Serialize};

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// Mail waits: the TLS of the partner's hosts does not meet the requirement.
    PartnerTls,
    /// Mail waits: our certificate, pins, trust anchors or revocation lists are why TLS does not meet the requirement.
    OurTls,
    /// Mail waits: the partner's hosts are not found, not reached, or refuse the connection.
    PartnerConnection,
    /// The partner's hosts refuse one message after the other, by a policy of theirs.
    PartnerRefusal,
    /// Mail waits: a setting of ours is wrong.
    OurSettings,
    /// A partner's mail is refused: their TLS does not meet the requirement of the inbound connector.
    InboundTls,
    /// A host that had TLS before does not have it now, and `remember_tls` holds mail back.
    Fallback,
    /// A certificate, a pin, a trust anchor or a revocation list is about to end.
    Expiry,
    /// Revocation lists can't be fetched.
    Lists,
    /// The configuration was not reloaded.
    Reload,
    /// A reload requires less than before.
    Weaker,
    /// A requirement is overridden.
    Override,
    /// An inbound connector is braked.
    Brake,
    /// The disk is almost full, and new mail is refused.
    Disk,
    /// The queue is almost full, or full.
    Queue,
    /// Much mail waits, or some has been waiting for long.
    Backlog,
    /// Watching has found that something about a partner's host is worse than before.
    Watch,
    /// Log lines are being dropped.
    Log,
    /// Events can't be kept in the tracking store.
    Tracking,
    /// The spool has failed, and the daemon has started again.
    Restart,
    /// Another alarm of the log.
    Other,
}

impl AlertKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::PartnerTls,
        Self::OurTls,
        Self::PartnerConnection,
        Self::PartnerRefusal,
        Self::OurSettings,
        Self::InboundTls,
        Self::Fallback,
        Self::Expiry,
        Self::Lists,
        Self::Reload,
        Self::Weaker,
        Self::Override,
        Self::Brake,
        Self::Disk,
        Self::Queue,
        Self::Backlog,
        Self::Watch,
        Self::Log,
        Self::Tracking,
        Self::Restart,
        Self::Other,
    ];

    /// The word for configuration, headers and machines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::PartnerTls => "partner-tls",
            Self::OurTls => "our-tls",
            Self::PartnerConnection => "partner-connection",
            Self::PartnerRefusal => "partner-refusal",
            Self::OurSettings => "our-settings",
            Self::InboundTls => "inbound-tls",
            Self::Fallback => "fallback",
            Self::Expiry => "expiry",
            Self::Lists => "lists",
            Self::Reload => "reload",
            Self::Weaker => "weaker",
            Self::Override => "override",
            Self::Brake => "brake",
            Self::Disk => "disk",
            Self::Queue => "queue",
            Self::Backlog => "backlog",
            Self::Watch => "watch",
            Self::Log => "log",
            Self::Tracking => "tracking",
            Self::Restart => "restart",
            Self::Other => "other",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|kind| kind.word() == word).copied()
    }

    /// The kind of a lasting alarm; alarms that have none of their own are [`Self::Other`].
    #[must_use]
    pub fn of_alarm(word: &str) -> Self {
        let own = [
            Self::Expiry,
            Self::Lists,
            Self::Reload,
            Self::Override,
            Self::Brake,
            Self::Disk,
            Self::Queue,
            Self::Log,
            Self::Tracking,
        ];
        own.into_iter().find(|kind| kind.word() == word).unwrap_or(Self::Other)
    }

    /// What the subject of a mail says.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::PartnerTls => "mail is waiting: the TLS of the partner does not meet the requirement",
            Self::OurTls => "mail is waiting: our own TLS settings are not met",
            Self::PartnerConnection => "mail is waiting: the partner can't be reached",
            Self::PartnerRefusal => "the partner refuses one message after the other",
            Self::OurSettings => "mail is waiting: a setting of ours is wrong",
            Self::InboundTls => "mail of the partner is refused: their TLS does not meet the requirement",
            Self::Fallback => "TLS has gone at a host that had it",
            Self::Expiry => "something ends soon, or has ended",
            Self::Lists => "revocation lists can't be fetched",
            Self::Reload => "the configuration was not reloaded",
            Self::Weaker => "a reload requires less than before",
            Self::Override => "a requirement is overridden",
            Self::Brake => "more mail than usual, and the brake is on",
            Self::Disk => "the disk is almost full: new mail is refused",
            Self::Queue => "the queue is almost full",
            Self::Backlog => "the queue is growing",
            Self::Watch => "a host of the partner is worse than before",
            Self::Log => "log lines are being dropped",
            Self::Tracking => "events are missing from the tracking store",
            Self::Restart => "the spool has failed, and the daemon has started again",
            Self::Other => "something needs attention",
        }
    }

    /// What the subject of a mail says once it is over.
    #[must_use]
    pub const fn over(self) -> &'static str {
        match self {
            Self::PartnerTls
            | Self::OurTls
            | Self::PartnerConnection
            | Self::PartnerRefusal
            | Self::OurSettings => "mail is delivered again",
            Self::InboundTls => "mail of the partner is accepted again",
            Self::Fallback => "the host has TLS again",
            Self::Expiry => "renewed",
            Self::Lists => "this revocation list is fetched again",
            Self::Reload => "the configuration was reloaded",
            Self::Override => "the override has ended",
            Self::Brake => "the brake is released",
            Self::Disk => "there is room on the disk again",
            Self::Queue | Self::Backlog => "the queue is shorter again",
            Self::Log => "no log lines are dropped any more",
            Self::Tracking => "events are kept again",
            Self::Weaker | Self::Watch | Self::Restart | Self::Other => "over",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::PartnerTls => {
                "Ask the partner to repair the TLS of their hosts. If they changed something on purpose (a name, an authority), adapt \
                 the connector. If mail can't wait, `sealpost override` lowers the requirement for a time."
            }
            Self::OurTls => {
                "Renew or correct what is named above: our client certificate, the pins, trust anchors or revocation lists of the \
                 connector. `sealpost doctor` says which of them are wrong."
            }
            Self::PartnerConnection => {
                "Check whether their hosts answer from here, and ask the partner if they don't. `sealpost validate` tries all of them."
            }
            Self::PartnerRefusal => {
                "Ask the partner why their hosts refuse our mail: a block list, a rule, or something that they require of us. The \
                 senders have got reports."
            }
            Self::OurSettings => "Correct the setting, and run `sealpost check` and `sealpost reload`.",
            Self::InboundTls => {
                "Ask the partner to repair their certificate or TLS settings: their mail is refused, and their users get reports. If they \
                 changed something on purpose, adapt the inbound connector."
            }
            Self::Fallback => {
                "Ask the partner why their host offers no TLS any more. Unless it comes back, mail is sent in plaintext after an hour; \
                 force TLS to prevent that."
            }
            Self::Expiry => {
                "Renew what is named above, or ask the partner for it, before mail stops for that reason. Renewed files are read by \
                 themselves."
            }
            Self::Lists => {
                "Check that the URL answers from here. Connectors with revocation = \"hard\" refuse certificates that no current \
                 list covers."
            }
            Self::Reload => {
                "Correct the file; the configuration from before stays in effect. A restart would fail. `sealpost check` shows all \
                 errors."
            }
            Self::Weaker => "If this was not intended, undo the change and reload.",
            Self::Override => "Nothing, if you know of it. `sealpost override end` ends it before its time.",
            Self::Brake => {
                "Find out whether the client was abused. `sealpost connectors release` releases the connector; with `--usual`, that \
                 much is usual from now on."
            }
            Self::Disk => {
                "Make room on the disk that holds data_dir. Deliveries go on, and new mail is accepted by itself once there is room."
            }
            Self::Queue => "Find out why mail does not leave, or raise queued in [limits].",
            Self::Backlog => "Find out which connectors the mail waits for, and why.",
            Self::Watch => {
                "Ask the partner before mail is affected, or adapt the connector if the change was meant. `sealpost watch report` shows \
                 all hosts."
            }
            Self::Log => {
                "Find out why nobody reads standard error: a full disk, or a log service that hangs."
            }
            Self::Tracking => {
                "Mail is not affected, and the log has the events. Check the disk that holds data_dir."
            }
            Self::Restart => {
                "Check the disk and its file system. No accepted mail was lost; some may have been delivered twice."
            }
            Self::Other => "See the log for what happened before.",
        }
    }

    /// The command that shows more.
    #[must_use]
    pub fn command(self, connector: Option<&str>) -> String {
        let name = connector.unwrap_or("CONNECTOR");
        match self {
            Self::PartnerTls | Self::PartnerConnection | Self::PartnerRefusal | Self::Fallback => {
                format!("sealpost validate {name}")
            }
            Self::OurTls | Self::Expiry | Self::Lists | Self::Disk | Self::Tracking | Self::Restart => {
                "sealpost doctor".to_owned()
            }
            Self::OurSettings | Self::Reload => "sealpost check".to_owned(),
            Self::Queue | Self::Backlog => "sealpost queue top".to_owned(),
            Self::Watch => "sealpost watch report --changes".to_owned(),
            Self::Override => "sealpost override list".to_owned(),
            Self::InboundTls | Self::Brake | Self::Weaker | Self::Log | Self::Other => {
                "sealpost connectors".to_owned()
            }
        }
    }

    /// Whether the log says it nowhere else: each alarm has a line of its own.
    #[must_use]
    pub const fn is_found_here(self) -> bool {
        matches!(
            self,
            Self::PartnerTls
                | Self::OurTls
                | Self::PartnerConnection
                | Self::PartnerRefusal
                | Self::OurSettings
                | Self::InboundTls
                | Self::Backlog
        )
    }

    /// Whether it is a failure of an outbound connector, which must not carry the mail about it.
    #[must_use]
    pub const fn stops_outbound(self) -> bool {
        matches!(
            self,
            Self::PartnerTls
                | Self::OurTls
                | Self::PartnerConnection
                | Self::PartnerRefusal
                | Self::OurSettings
                | Self::Fallback
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_word() {
        for kind in AlertKind::ALL {
            assert_eq!(AlertKind::named(kind.word()), Some(*kind));
            let as_json = serde_json::to_value(kind).expect("a word");
            assert_eq!(as_json, kind.word());
        }
        assert_eq!(AlertKind::of_alarm("brake"), AlertKind::Brake);
        assert_eq!(AlertKind::of_alarm("restart"), AlertKind::Other);
        assert_eq!(AlertKind::of_alarm("whatever"), AlertKind::Other);
    }
}
