//! What the scheduler is told to do; every value is checked.

use std::path::PathBuf;
use std::time::Duration;

use crate::mail::{Domain, Mailbox};

/// What the scheduler is told to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our name, in reports.
    pub name: Domain,
    /// Who our reports come from, in their header.
    pub postmaster: Mailbox,
    /// Whether the postmaster is told of mail that failed and has nobody else to be told.
    pub double_bounces: bool,
    /// After what time mail with the null reverse-path is given up, where that is sooner.
    pub null_sender_expire: Option<Duration>,
    /// Where a copy is kept of what failed for good.
    pub archive: Option<PathBuf>,
    /// Sessions that carry mail at the same time, over all lanes.
    pub sessions_max: usize,
    /// Sessions that are being opened at the same time, beside those.
    pub openings_max: usize,
    /// Connections to one address at the same time, over all lanes; where a connector allows more, its number holds.
    pub sessions_per_host_max: usize,
    /// Octets of content kept in memory between acceptance and delivery; more is read back.
    pub memory_bytes_max: usize,
    /// Messages leased at the same time in one lane.
    pub window_max: usize,
}

/// Settings for tests, here so that another field is added in one place.
#[cfg(test)]
pub(crate) mod samples {
    use super::{Domain, Mailbox, Settings};

    /// So many sessions, openings, sessions of one host, and messages of one lane.
    pub(crate) fn settings(sessions_max: usize) -> Settings {
        Settings {
            name: Domain::parse("gw1.contoso.example").expect("a domain"),
            postmaster: Mailbox::parse("postmaster@contoso.example").expect("a mailbox"),
            double_bounces: false,
            null_sender_expire: None,
            archive: None,
            sessions_max,
            openings_max: sessions_max,
            sessions_per_host_max: sessions_max,
            memory_bytes_max: 0,
            window_max: sessions_max,
        }
    }
}
