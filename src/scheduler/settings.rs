//! The scheduler's settings. The values are checked elsewhere, before they get here.

use std::path::PathBuf;
use std::time::Duration;

use crate::mail::{Domain, Mailbox};

/// The scheduler's settings; every value is checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our host name, used in reports.
    pub name: Domain,
    /// The address in the From field of our reports.
    pub postmaster: Mailbox,
    /// Whether the postmaster is notified of failed mail that can be reported to nobody else.
    pub double_bounces: bool,
    /// When mail with the null reverse-path expires, if sooner than other mail.
    pub null_sender_expire: Option<Duration>,
    /// The folder for copies of failed messages; `None`: no copies.
    pub archive: Option<PathBuf>,
    /// Sessions that carry mail at the same time, over all lanes.
    pub sessions_max: usize,
    /// Sessions being opened at the same time, in addition to `sessions_max`.
    pub openings_max: usize,
    /// Connections to one address at the same time, over all lanes; a connector's own higher limit
    /// takes precedence.
    pub sessions_per_host_max: usize,
    /// Octets of content kept in memory between acceptance and delivery; the rest is read back from
    /// disk.
    pub memory_bytes_max: usize,
    /// Messages leased at the same time in one lane.
    pub window_max: usize,
}

/// Settings for tests, kept here so that a new field is added in one place.
#[cfg(test)]
pub(crate) mod samples {
    use super::{Domain, Mailbox, Settings};

    /// The same limit for sessions, openings, sessions per host and messages per lane.
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
