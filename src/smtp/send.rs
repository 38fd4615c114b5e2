//! The outbound session, from the greeting to QUIT: replies come in, commands go out into a buffer. It makes no TLS
//! handshake, judges nothing, and reads no content; it only knows what may be said next.
//!
//! Its stages are types, so that nothing can happen in one that belongs to another:
//!
//! - [`Opening`]: greeting, EHLO, STARTTLS. It ends in plaintext or before a handshake, and only a [`Permit`] takes it
//!   on: [`Opening::authorise`].
//! - [`SecuredSession`]: EHLO inside TLS, with the permit in hand.
//! - [`Open`]: a login, transactions. No envelope is written that the permit does not cover.

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

/// A stage of a session, for whoever carries its octets.
pub trait Dialogue {
    /// What can happen in it.
    type Event;

    /// Takes octets that came until something happens; commands due meanwhile go to `out`. `None`: write `out`, and
    /// read on.
    ///
    /// # Errors
    /// A [`SendFault`]; the session is over then.
    fn feed(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<Self::Event>, SendFault>;

    /// How many whole replies have been taken since the connection was opened: the limit for the next one begins when
    /// it changes.
    fn replies(&self) -> u64;

    /// What it waits for.
    fn awaited(&self) -> AwaitedReply;
}

/// Replies as they come, counted over all stages of a session.
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
