//! What the scheduler is told to do; every value is checked.

use crate::mail::{Domain, Mailbox};

/// What the scheduler is told to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our name, in reports.
    pub name: Domain,
    /// Who our reports come from, in their header.
    pub postmaster: Mailbox,
    /// Carriers at the same time, over all lanes.
    pub carriers_max: usize,
    /// Octets of content kept in memory between acceptance and delivery; more is read back.
    pub memory_bytes_max: usize,
    /// Messages leased at the same time in one lane.
    pub window_max: usize,
}
