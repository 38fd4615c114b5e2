//! The echo mailbox: whether it answers a message, and what. It sees neither sockets nor the spool.

mod call;
mod letter;
mod quota;
mod text;

pub use call::{EchoCall, Silence};
pub use letter::{EchoAnswer, ExpectedTls, OwnListener, compose};
pub use quota::EchoQuota;

#[cfg(test)]
mod tests;
