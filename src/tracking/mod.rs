//! Everything worth telling, as one enum, and where it is told; and whether all that must go on does. It decides nothing.

mod backlog;
mod event;
mod journal;
mod log;
mod vitals;

pub use event::Event;
pub use journal::Journal;
pub use log::{LineWriter, Log};
pub use vitals::{Life, Loss, Vitals};
