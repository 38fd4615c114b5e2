//! What the scheduler is told to do; every value is checked.

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
    /// Carriers at the same time, over all lanes.
    pub carriers_max: usize,
    /// Octets of content kept in memory between acceptance and delivery; more is read back.
    pub memory_bytes_max: usize,
    /// Messages leased at the same time in one lane.
    pub window_max: usize,
}
