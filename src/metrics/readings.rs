//! Levels at one moment, as the daemon reads them for a page. Nothing here reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::connector::{Override, Table};
use crate::listen::RefusalCount;
use crate::mail::UnixMillis;
use crate::scheduler::ConnectorShares;
use crate::smtp::receive::{BrakedConnector, Fullness};
use crate::spool::{Extent, Stats, WaitingMail};

/// Everything that a page shows beside the counters.
#[derive(Debug)]
pub struct Readings {
    /// Now.
    pub now: UnixMillis,
    /// The table in effect.
    pub table: Arc<Table>,
    /// Refusals since the start.
    pub refusals: Vec<RefusalCount>,
    /// Open sessions by listener, and how many there may be in all.
    pub sessions: (Vec<(String, u64)>, u64),
    /// The queue and its disk.
    pub queue: QueueReadings,
    /// Lanes, places and waiting mail by outbound connector.
    pub lanes: Arc<LaneReadings>,
    /// Paused outbound connectors.
    pub paused: Vec<Arc<str>>,
    /// Overrides in effect.
    pub overrides: Vec<Override>,
    /// Floods that last.
    pub braked: Vec<BrakedConnector>,
    /// How many alarms of each kind last.
    pub alarms: Vec<(&'static str, u64)>,
    /// When our certificates end, by ID.
    pub certificates: Vec<(String, UnixMillis)>,
    /// When the first trust anchor of a set ends, by ID.
    pub anchors: Vec<(String, UnixMillis)>,
    /// When the first revocation list of a set ends, by ID.
    pub lists: Vec<(String, UnixMillis)>,
    /// When pins end.
    pub pins: Vec<ConnectorTerm>,
    /// When the first certificate ends that hosts of an outbound connector presented.
    pub presented: BTreeMap<String, UnixMillis>,
    /// Whether the files as they are have taken effect.
    pub reload_successful: bool,
    /// Log lines that were dropped.
    pub dropped_lines: u64,
    /// Events that the tracking store dropped.
    pub dropped_records: u64,
    /// The process.
    pub process: ProcessReadings,
}

/// Lanes, places and waiting mail by outbound connector, at the same moment.
#[derive(Debug, Default)]
pub struct LaneReadings {
    /// Lanes and places.
    pub shares: ConnectorShares,
    /// What waits, of connectors that have lanes.
    pub waiting: BTreeMap<Arc<str>, WaitingMail>,
}

/// The queue and its disk.
#[derive(Debug, Clone, Copy)]
pub struct QueueReadings {
    /// The size of the queue; `None` if the spool does not answer.
    pub stats: Option<Stats>,
    /// When the oldest message was accepted.
    pub oldest: Option<UnixMillis>,
    /// Its limit.
    pub messages_max: u64,
    /// The size of the database.
    pub extent: Extent,
    /// Octets that are free on the disk; `None` if that can't be read.
    pub disk_free: Option<u64>,
    /// Octets that must stay free.
    pub disk_reserve: u64,
    /// Whether there is room for new mail.
    pub fullness: Fullness,
}

/// When something of a connector ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorTerm {
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// The connector.
    pub connector: Arc<str>,
    /// The end.
    pub ends: UnixMillis,
}

/// What the system says of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProcessReadings {
    /// When it started, in seconds of Unix time.
    pub started: f64,
    /// Processor time used, in seconds.
    pub processor_seconds: f64,
    /// Octets of resident memory.
    pub resident: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// How many there may be.
    pub descriptors_max: u64,
}
