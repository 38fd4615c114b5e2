//! `[reports]`: the keys for reports by mail.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::alerts::Mailboxes;
use super::entry::Entry as _;
use super::forms::MailboxText;
use super::key::{Condition, Section, Text};
use super::kinds::{CountOrNone, Kind, Optional, Word, Words};
use super::section::section;
use crate::config::fault::Report;

/// How often reports are mailed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ReportEvery {
    #[default]
    Week,
    Month,
}

impl Words for ReportEvery {
    const WORDS: &'static [(&'static str, Self)] = &[("week", Self::Week), ("month", Self::Month)];
}

/// The day of the week on which they are mailed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReportDay(pub(in crate::config) Weekday);

impl Default for ReportDay {
    fn default() -> Self {
        Self(Weekday::Monday)
    }
}

impl Words for ReportDay {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("monday", Self(Weekday::Monday)),
        ("tuesday", Self(Weekday::Tuesday)),
        ("wednesday", Self(Weekday::Wednesday)),
        ("thursday", Self(Weekday::Thursday)),
        ("friday", Self(Weekday::Friday)),
        ("saturday", Self(Weekday::Saturday)),
        ("sunday", Self(Weekday::Sunday)),
    ];
}

/// A time zone of the system's database.
pub(in crate::config) struct ZoneName;

impl Kind for ZoneName {
    type Written = String;
    type Value = TimeZone;
    const NAME: &'static str = "time zone";

    fn read(written: &Text, _: &str, report: &mut Report<'_>) -> Option<TimeZone> {
        let name = written.get_ref();
        let found = if name == "UTC" { Ok(TimeZone::UTC) } else { TimeZone::get(name) };
        found
            .map_err(|_| {
                let words = format!(
                    "\"{name}\" is not a time zone of this system; write one such as \"Europe/Berlin\", or \"UTC\""
                );
                report.fault(written.span(), words);
            })
            .ok()
    }

    fn show(value: &TimeZone) -> Value {
        json!(value.iana_name().unwrap_or("UTC"))
    }
}

const WEEKLY: Condition = Condition {
    key: "every",
    words: &["week"],
    otherwise: &[("month", "a report of a month is mailed on the first day of the next one; remove it")],
};

section! {
    pub(in crate::config) ReportsEntry, ReportsValues;

    to: Mailboxes = [] => {
        meaning: "Who gets the TLS report of all mail, with a sheet for each partner.",
        explanation: "An outbound connector must serve each address; the report goes by it as any mail does. For one partner only: \
            `report_to` of `[[partner]]`. Errors: no connector serves it; one is listed twice; the tracking store is off.",
    }
    from: Optional<MailboxText> = "sealpost@contoso.example" => {
        absent: "the postmaster",
        meaning: "Who reports come from, in the header. The reverse-path is null.",
    }
    every: Word<ReportEvery> = "week" => {
        meaning: "How often: `week`, `month`. A month is reported on the first day of the next one.",
    }
    day: Word<ReportDay> = "monday" => {
        applies: &[WEEKLY],
        meaning: "The day of the week, such as `monday`.",
    }
    hour: CountOrNone = 6 => {
        meaning: "The hour of that day, 0 to 23, by the clocks of `time_zone`. Error: more than 23.",
        explanation: "An hour that the clocks skip in spring is the one after; of one that they have twice in autumn, it is the first.",
    }
    time_zone: Optional<ZoneName> = "Europe/Berlin" => {
        absent: "`UTC`",
        meaning: "The time zone of `day` and `hour`, by its name in the system's database.",
        explanation: "The days that are counted are those of UTC, as in all of `sealpost report`: a report has the whole days since the \
            one before. Error: the system does not know it (Debian: package `tzdata`).",
    }
}

pub(super) const SECTION: Section = Section {
    name: "reports",
    header: "[reports]",
    sample_header: "[reports]",
    sample: &[],
    comment: "Who gets the TLS report by mail, and when.",
    intro: "Who gets the TLS report by mail, and when. Without `to`, and `report_to` of a `[[partner]]`, nobody does, and the other keys are \
        an error. See [reports by mail](reports.md).",
    reload: true,
    keys: ReportsEntry::KEYS,
};
