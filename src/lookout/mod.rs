//! `[watch]`: which partners' hosts are looked at and when, what a look saw, what has changed since the one before, and
//! the database that keeps it. It opens no connection: the daemon looks, by the courier that delivers.

mod change;
mod plan;
mod record;
pub mod settings;
mod sight;
mod store;
mod targets;
#[cfg(test)]
mod tests;

pub use self::change::PartnerChange;
pub use self::plan::{LookStep, LookTarget, WatchPlan};
pub use self::record::{HostChange, HostRecord, LookHost, LookResult, LookRules, TargetRecord};
pub use self::sight::{CertificateSight, RecipientSight, SessionSight, Sight, TlsSight};
pub use self::store::{KeptChange, KeptTarget, WatchFault, WatchStore, changes, latest, seen_of, watch_file};
pub use self::targets::{WatchedWay, serving, watched_ways};
