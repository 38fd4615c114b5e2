//! The outbound session, from the greeting to QUIT: replies come in, commands go out into a buffer. It
//! makes no TLS handshake, judges nothing and reads no content; it only knows what may be sent next.
//!
//! Its stages are types, so that nothing can happen in the wrong stage:
//!
//! - [`Opening`]: greeting, EHLO, STARTTLS. It ends in plaintext or before a handshake, and only a
//!   [`Permit`] takes it further: [`Opening::authorise`].
//! - [`SecuredSession`]: EHLO inside TLS, with the permit granted.
//! - [`Open`]: login and transactions. No envelope is written that the permit does not cover.

use std::io::Write as _;

use super::answer::AnswerReader;
use crate::connector::Permit;
use crate::mail::Reply;

mod envelope;
mod login;
mod open;
mod opening;
mod words;

pub use login::LoggingIn;
pub use open::Open;
pub use opening::{AuthorisedSession, Opening, SecuredSession};
pub use words::{
    AwaitedReply, Demand, Hello, LoginAs, LoginEvent, MailFrom, NotBegun, OpenEvent, OpeningEvent,
    SecuredEvent, SendFault, TransactionResult,
};

/// A stage of a session, as seen by the driver that transports its octets.
pub trait Dialogue {
    /// What can happen in this stage.
    type Event;

    /// Takes received octets until something happens; commands due meanwhile are appended to `out`.
    /// `None`: write `out`, and read on.
    ///
    /// # Errors
    /// A [`SendFault`]; the session is over then.
    fn feed(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<Self::Event>, SendFault>;

    /// Number of complete replies since the connection was opened. When it changes, the time limit for
    /// the next reply starts.
    fn replies(&self) -> u64;

    /// The reply it waits for, which decides the time limit.
    fn awaited(&self) -> AwaitedReply;
}

/// Reads replies, and counts them over all stages of a session.
#[derive(Debug, Default)]
struct Replies {
    reader: AnswerReader,
    count: u64,
}

impl Replies {
    fn next(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, SendFault> {
        let reply = self.reader.take(input)?;
        self.count = self.count.wrapping_add(u64::from(reply.is_some()));
        Ok(reply)
    }
}

fn put(out: &mut Vec<u8>, line: std::fmt::Arguments<'_>) {
    // Writing to a vector can't fail.
    let _infallible = out.write_fmt(line);
}

#[cfg(test)]
mod tests;
