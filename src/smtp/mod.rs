//! The grammar of SMTP (RFC 5321) and its two session state machines, without a socket: events in,
//! actions out. They decide neither who may relay nor whether TLS is sufficient: `connector` does.

mod answer;
pub mod chunk;
pub mod command;
pub mod data;
pub mod extension;
mod hidden;
pub mod line;
pub mod receive;
mod send;

pub use answer::{AnswerFault, AnswerReader, Offers};
pub use hidden::HiddenWords;
pub use send::{
    AuthorisedSession, AwaitedReply, Demand, Dialogue, Hello, LoggingIn, LoginAs, LoginEvent, MailFrom,
    NotBegun, Open, OpenEvent, Opening, OpeningEvent, SecuredEvent, SecuredSession, SendFault,
    TransactionResult,
};
