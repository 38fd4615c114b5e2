//! Sockets on which mail comes in. It decides nothing of its own: `smtp::receive` says what to
//! answer, `connector` who may relay, and the spool when a message is ours.

pub mod settings;
