//! Connections on which mail goes out. It never touches the spool: the scheduler hands it jobs and takes outcomes. It
//! decides nothing of its own: `connector` judges a session, `smtp` says what may be written, `outcome` what a reply
//! comes to.
//!
//! The way of a job, file by file:
//!
//! 1. `carry`: takes jobs of one lane, and sends them over a session, one after the other
//! 2. `search`: finds a session for the next job: one that waits (`pool`), or a fresh one, host by host
//! 3. `route`: which hosts there are, as addresses in their order
//! 4. `open`: one host: `dial`, greeting, TLS, judgement and permit, EHLO inside TLS, `login`
//! 5. `carry`: the transactions under that permit; what is declared of a message, `declare` says
//! 6. `classify`: what the replies, or their absence, mean for each recipient
//!
//! `connection` carries the octets of every session, `memory` is what is remembered of hosts, and `probe` and `verify`
//! ask hosts without delivering.

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
pub use self::memory::TlsSeen;
pub use self::probe::{HostReport, RecipientReply, Trial};
pub use self::verify::Verifier;

#[cfg(test)]
mod tests;
