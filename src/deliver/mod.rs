//! Connections on which mail goes out. It never touches the spool: the scheduler hands it jobs and takes outcomes. It
//! decides nothing of its own: `connector` judges a session, `smtp` says what may be written, `outcome` what a reply
//! comes to.
//!
//! ARCHITECTURE.md has the walk of a job through the files.

mod carry;
mod classify;
mod connection;
mod courier;
mod declare;
mod dial;
mod login;
mod memory;
mod need;
mod open;
mod pool;
mod probe;
mod route;
mod search;
mod session;
pub mod settings;
mod verify;

pub use self::courier::{ClientSetups, Courier};
pub use self::memory::TlsHistory;
pub use self::probe::{HostReport, RecipientReply, Trial};
pub use self::verify::Verifier;

#[cfg(test)]
mod tests;
