//! `[brake]`: the keys for when a flood is one (`brake` of an inbound connector).

use super::entry::Entry as _;
use super::key::Section;
use super::kinds::{Count, Period, PeriodOrNever};
use super::section::section;
use crate::connector::{BrakeRules, MailCounts};

section! {
    pub(in crate::config) BrakeEntry, BrakeValues;

    factor: Count<u32> = 10 => {
        meaning: "How many times the most that came by the connector within ten minutes, on any of the last 35 days, is a flood.",
        explanation: "Days are those of UTC, and today is not compared with itself, so nobody gets far by growing slowly. \
            Each number is compared with its own past.",
    }
    messages: Count<u32> = 500 => {
        meaning: "Messages within ten minutes that are never a flood, however little came before.",
    }
    recipients: Count<u32> = 1000 => {
        meaning: "Recipients of accepted messages within ten minutes that are never a flood.",
    }
    refused: Count<u32> = 100 => {
        meaning: "Refused recipients within ten minutes that are never a flood; fewer than half of all recipients are none either.",
    }
    learn: Period = "7d" => {
        meaning: "How long a connector is only watched, from the first mail that is counted of it.",
    }
    release: PeriodOrNever = "never" => {
        meaning: "After what time a braked connector is released by itself; `never`: `sealpost connectors release NAME` does it.",
    }
}

impl BrakeValues {
    pub(in crate::config) fn rules(&self) -> BrakeRules {
        let floors =
            MailCounts { messages: self.messages, recipients: self.recipients, refused: self.refused };
        BrakeRules { factor: self.factor, floors, learn: self.learn, release: self.release }
    }
}

pub(super) const SECTION: Section = Section {
    name: "brake",
    header: "[brake]",
    sample_header: "[brake]",
    sample: &[],
    comment: "When sudden mail by one inbound connector is a flood (brake of [[inbound]]).",
    intro: "When sudden mail by one inbound connector is a flood; what happens then, `brake` of an \
        [`[[inbound]]`](#inbound) says. See [the brake](operation.md#the-brake).",
    reload: false,
    keys: BrakeEntry::KEYS,
};
