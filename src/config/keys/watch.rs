//! `[watch]`: the keys for how partners are watched.

use std::sync::Arc;

use serde_json::Value;

use super::alerts::Mailboxes;
use super::entry::Entry as _;
use super::forms::{names_once, shown_texts};
use super::key::{Condition, List, Section, Text};
use super::kinds::{Count, Kind, Optional, Period, Word, Words};
use super::section::section;
use crate::config::fault::Report;
use crate::lookout::settings::Settings;

/// Whether partners are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Watching {
    #[default]
    Off,
    On,
}

impl Words for Watching {
    const WORDS: &'static [(&'static str, Self)] = &[("off", Self::Off), ("on", Self::On)];
}

/// Names of outbound connectors.
pub(crate) struct OutboundNames;

impl Kind for OutboundNames {
    type Written = Vec<Text>;
    type Value = Vec<Text>;
    const NAME: &'static str = "names";

    fn read(written: &List, key: &str, report: &mut Report<'_>) -> Option<Vec<Text>> {
        let instead = "write the name of an [[outbound]] connector, or remove the key to mean none";
        report.not_empty(written, key, instead);
        Some(names_once(written, report))
    }

    fn show(value: &Vec<Text>) -> Value {
        shown_texts(value)
    }
}

const ON: Condition = Condition { key: "mode", words: &["on"], otherwise: &[] };

section! {
    pub(in crate::config) WatchEntry, WatchValues;

    mode: Word<Watching> = "off" => {
        reload: true,
        meaning: "Whether the hosts of partners are looked at while no mail goes there: `on`, `off`.",
        explanation: "A look goes as far as a delivery would before MAIL FROM, and sends no mail. What changes is an event, and an \
            alert if it is worse than before; `sealpost watch report` shows the rest. See [Watching partners](watch.md).",
    }
    every: Period = "6h" => {
        reload: true,
        applies: &[ON],
        meaning: "How often each host is looked at; at least 10 minutes.",
        explanation: "The looks are spread over this time. Errors: shorter than 10 minutes, longer than 30 days.",
    }
    at_once: Count<usize> = 8 => {
        reload: true,
        applies: &[ON],
        meaning: "Maximum number of connections for this at the same time, beside those for mail; one to an address.",
        explanation: "With 8, a thousand partners are looked at within an hour even if none of them answers. Error: more than 64.",
    }
    except_connectors: Optional<OutboundNames> = ["smarthost"] => {
        reload: true,
        applies: &[ON],
        meaning: "Outbound connectors whose hosts are not looked at.",
        explanation: "Those with `mode = \"off\"` never are. Errors: empty; there is no such connector; one is listed twice.",
    }
    recipients: Mailboxes = [] => {
        reload: true,
        applies: &[ON],
        meaning: "Recipients that the hosts of the connector that serves them are asked about: MAIL and RCPT, never content.",
        explanation: "The reverse-path is our `postmaster`. Agree on an address with the partner. Errors: one is listed twice; \
            no outbound connector serves it; its connector is in `except_connectors`.",
    }
    keep: Period = "90d" => {
        reload: true,
        applies: &[ON],
        meaning: "How long changes are kept for `sealpost watch report`; at most 100,000 of them.",
    }
}

impl WatchValues {
    pub(in crate::config) fn settings(&self) -> Settings {
        let except = self.except_connectors.iter().flatten();
        Settings {
            on: self.mode == Watching::On,
            every: self.every,
            at_once_max: self.at_once,
            except: except.map(|name| Arc::from(name.get_ref().as_str())).collect(),
            recipients: self.recipients.iter().map(|(mailbox, _)| mailbox.clone()).collect(),
            keep: self.keep,
        }
    }
}

pub(super) const SECTION: Section = Section {
    name: "watch",
    header: "[watch]",
    sample_header: "[watch]",
    sample: &[],
    comment: "Whether the hosts of partners are looked at regularly, so that what changes there is known before mail waits for it.",
    intro: "Whether the hosts of outbound connectors are looked at regularly, as a delivery would see them, and what changes \
        there is reported. See [Watching partners](watch.md).",
    reload: false,
    keys: WatchEntry::KEYS,
};
