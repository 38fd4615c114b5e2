//! The faults as they are listed. Pure.

use serde::{Deserialize, Serialize};

use super::cases::CASES;
use super::expect::is_changed;
use super::faults::{FaultSet, HostFault};

/// A fault, and whether it is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultState {
    /// Its name.
    pub fault: String,
    /// Whether it is switched on.
    pub on: bool,
    /// What its host does.
    pub does: String,
    /// The messages that have another fate while only this fault is on.
    pub changes: Vec<String>,
}

/// All faults, in the order of hosts.
#[must_use]
pub fn states(on: &FaultSet) -> Vec<FaultState> {
    let state = |fault: HostFault| FaultState {
        fault: fault.to_string(),
        on: on.contains(&fault),
        does: fault.trouble.does().to_owned(),
        changes: changes(fault),
    };
    HostFault::all().into_iter().map(state).collect()
}

fn changes(fault: HostFault) -> Vec<String> {
    let alone = FaultSet::from([fault]);
    CASES.iter().filter(|case| is_changed(case, &alone)).map(|case| case.id.to_owned()).collect()
}
