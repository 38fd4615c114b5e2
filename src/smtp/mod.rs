//! The grammar and the two sessions of SMTP (RFC 5321), without a socket: events in, actions out.

pub mod command;
pub mod data;
pub mod extension;
pub mod line;
pub mod receive;
