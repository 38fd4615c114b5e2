//! Checked settings of reports. It parses no configuration.

use std::sync::Arc;

use super::plan::ReportSchedule;
use crate::mail::{Domain, Mailbox};

/// Who gets reports, and when.
#[derive(Debug, Clone)]
pub struct ReportSettings {
    /// Our host name.
    pub name: Domain,
    /// Who they come from.
    pub from: Mailbox,
    /// Who gets them, in the order of the file.
    pub addressees: Vec<ReportAddressee>,
    /// When.
    pub schedule: ReportSchedule,
}

/// Who gets a report about what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportAddressee {
    /// The address.
    pub to: Mailbox,
    /// The partner that it is about; `None`: about all mail.
    pub partner: Option<Arc<str>>,
}
