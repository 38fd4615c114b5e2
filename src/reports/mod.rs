//! Reports by mail: when one is due, what it says, and its form. It sends nothing, and keeps nothing on disk.

mod letter;
mod plan;
mod settings;
mod words;

pub use letter::{ReportFrame, ReportMail, compose_report};
pub use plan::{ReportMark, ReportRhythm, ReportRound, ReportSchedule, next_report};
pub use settings::{ReportAddressee, ReportSettings};
pub use words::{aligned, report_in_words};
