//! The record of events as evidence: whether it is what was written, and what an auditor is given of it.

mod event;
mod export;
mod fault;
mod folder;
mod manifest;
mod package;
mod page;
mod scope;
mod select;
mod summary;
#[cfg(test)]
mod tests;
mod verify;

pub use export::export;
pub use fault::ExportFault;
pub use package::{PackageBreak, PackageVerification, verify_package};
pub use scope::{ExportScope, ScopeConnector};
pub use summary::{ExportSummary, LeftOut, LoweredLine, TransferCount, WithheldCount};
pub use verify::{DayVerdict, RecordBreak, Verification};
