//! The grammar and the two sessions of SMTP (RFC 5321), without a socket: events in, actions out.

mod answer;
mod send;

pub use answer::{AnswerFault, AnswerReader, Offers};
pub use send::{Awaited, Demand, Finished, MailFrom, NotBegun, Opening, SendEvent, SendFault, SendSession};
