//! Everything worth telling, as one enum, and where it is told; and whether all that must go on does. It decides nothing.

mod event;
mod journal;
mod vitals;

pub use event::Event;
pub use journal::Journal;
pub use vitals::{Life, Loss, Vitals};
