//! Outbound connections. It never touches the spool: the scheduler hands it jobs and takes
//! outcomes. It makes no decisions of its own: `connector` judges a session, `smtp` says what may
//! be written, `outcome` classifies replies.
//!
//! ARCHITECTURE.md follows a job through the files.

mod answers;
mod batch;
mod carry;
mod classify;
mod connection;
mod convert;
mod courier;
mod declare;
mod dial;
mod leaving;
mod login;
mod memory;
mod need;
mod open;
mod pool;
mod probe;
mod route;
mod script;
mod search;
mod session;
pub mod settings;
mod seven_bit;
mod verify;
mod waits;

pub use self::courier::{ClientSetups, Courier};
pub use self::memory::TlsHistory;
pub use self::probe::{HostReport, RecipientReply, Trial, TrialHost, TrialHosts};
pub use self::verify::Verifier;
pub use self::waits::{StepListener, WaitEntry, WaitList};

#[cfg(test)]
mod tests;
