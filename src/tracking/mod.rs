//! Everything worth telling, as one enum, and where it is told. It decides nothing.

mod event;
mod journal;

pub use event::Event;
pub use journal::Journal;
