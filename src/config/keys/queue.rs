//! `[queue]`: the keys for how long mail is tried and what happens when it fails.

use super::LimitsValues;
use super::entry::Entry as _;
use super::key::Section;
use super::kinds::{File, Optional, Period, PeriodOrNever, Size, Waits, Word, Words};
use super::section::section;
use crate::mail::{Domain, Mailbox};
use crate::scheduler::settings::Settings;

/// What happens to mail with the null reverse-path that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum DoubleBounces {
    #[default]
    Drop,
    Postmaster,
}

impl Words for DoubleBounces {
    const WORDS: &'static [(&'static str, Self)] = &[("drop", Self::Drop), ("postmaster", Self::Postmaster)];
}

section! {
    pub(in crate::config) QueueEntry, QueueValues;

    retry: Waits = ["1m x4", "5m x6", "15m", "30m", "1h"] => {
        reload: true,
        meaning: "The waits after the first, second, … failure; the last one repeats.",
    }
    expire: Period = "2d" => {
        reload: true,
        meaning: "When mail is given up, counted from its acceptance.",
    }
    delay_dsn: PeriodOrNever = "4h" => {
        reload: true,
        meaning: "When the sender is notified of a delay.",
    }
    forced_expire: Period = "24h" => {
        reload: true,
        meaning: "`expire` of connectors with `tls = \"forced\"` or `\"implicit\"`.",
        explanation: "Mail that must not go without TLS should come back while its sender still remembers it. A \
            connector's own `expire` takes precedence.",
    }
    forced_delay_dsn: PeriodOrNever = "1h" => {
        reload: true,
        meaning: "`delay_dsn` of connectors with `tls = \"forced\"` or `\"implicit\"`.",
    }
    memory: Size<usize> = "64MiB" => {
        meaning: "Content kept in memory between acceptance and delivery; more is read back from the spool.",
    }
    double_bounces: Word<DoubleBounces> = "drop" => {
        meaning: "What happens to a report that can't be delivered, and to other mail with the null reverse-path: \
            `drop`, or `postmaster`, who is notified.",
        explanation: "Nobody may be sent a report about such mail (RFC 5321 section 4.5.5). `drop` leaves an event \
            in the message tracking log. `postmaster` also sends a report to the postmaster; about mail to the \
            postmaster there is none.",
    }
    null_sender_expire: Optional<Period> = "1d" => {
        absent: "like all mail",
        meaning: "When mail with the null reverse-path is given up, if that is sooner than by its connector.",
        explanation: "Such mail is mostly reports, many of them to forged addresses that take no mail. Giving them \
            up earlier keeps the queue short; it costs a report that a slow host would have taken on the second day.",
    }
    archive: Optional<File> = "archive" => {
        meaning: "A folder that gets a copy of each message that failed for good.",
        explanation: "`ID.eml` is the message; `ID.1.json` says for whom it failed and why. Nothing is ever deleted \
            there, so something else must.",
    }
}

impl QueueValues {
    pub(in crate::config) fn settings(
        &self,
        name: Domain,
        postmaster: Mailbox,
        limits: &LimitsValues,
    ) -> Settings {
        Settings {
            name,
            postmaster,
            double_bounces: self.double_bounces == DoubleBounces::Postmaster,
            null_sender_expire: self.null_sender_expire,
            archive: self.archive.as_ref().map(|folder| folder.get_ref().into()),
            sessions_max: limits.outbound_connections,
            openings_max: limits.outbound_openings,
            sessions_per_host_max: limits.outbound_connections_per_host,
            memory_bytes_max: self.memory,
            window_max: LANE_WINDOW,
        }
    }
}

/// Messages of one lane in progress at the same time: enough to keep its few connections busy, few enough
/// that a slow partner holds little memory.
const LANE_WINDOW: usize = 64;

pub(super) const SECTION: Section = Section {
    name: "queue",
    header: "[queue]",
    sample_header: "[queue]",
    sample: &[],
    comment: "The first five keys are for outbound connectors that have no such key of their own.",
    intro: "`retry`, `expire` and `delay_dsn` are for outbound connectors without such a key of their own. Under \
        forced TLS the `forced_` keys take the place of the plain ones. A reload applies these five; the others \
        need a restart.",
    reload: false,
    keys: QueueEntry::KEYS,
};
