//! The record of events as evidence: whether it is what was written, and what an auditor is given of it.

mod event;
mod export;
mod fault;
mod package;
mod page;
mod select;
mod summary;
#[cfg(test)]
mod tests;
mod verify;

pub use export::export;
pub use fault::ExportFault;
pub use package::{PackageBreak, PackageVerification, verify_package};
pub use summary::{
    ExportScope, ExportSummary, LeftOut, LoweredLine, ScopeConnector, TransferCount, WithheldCount,
};
pub use verify::{DayVerdict, LastStatement, RecordBreak, Verification};
