//! The message tracking log: events as one enum, the log they go to, and a watch on long-lived tasks. It
//! decides nothing.

mod backlog;
mod event;
mod journal;
mod log;
mod vitals;

pub use event::Event;
pub use journal::Journal;
pub use log::{LineWriter, Log};
pub use vitals::{Life, Loss, Vitals};
