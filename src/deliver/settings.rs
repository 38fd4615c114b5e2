//! What deliveries are told to do; every value is checked.

use std::time::Duration;

use crate::mail::Domain;

/// What all outbound sessions share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our name in EHLO.
    pub name: Domain,
    /// How long each step waits (RFC 5321 §4.5.3.2).
    pub timeouts: Timeouts,
    /// Addresses tried in one attempt.
    pub addresses_max: usize,
    /// Messages sent over one connection.
    pub messages_per_connection_max: u32,
    /// Recipients in one transaction.
    pub recipients_per_transaction_max: usize,
    /// How long a connection without work is kept.
    pub idle: Duration,
}

impl Settings {
    /// One message a connection and one recipient a transaction, all addresses of a host; other
    /// settings say otherwise.
    #[must_use]
    pub fn single(name: Domain, timeouts: Timeouts) -> Self {
        Self {
            name,
            timeouts,
            addresses_max: 32,
            messages_per_connection_max: 1,
            recipients_per_transaction_max: 1,
            idle: Duration::ZERO,
        }
    }
}

/// How long each step waits.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// For a TCP connection.
    pub connect: Duration,
    /// For the greeting, and for each reply to EHLO, MAIL and RCPT.
    pub command: Duration,
    /// For the reply to STARTTLS and the handshake.
    pub handshake: Duration,
    /// For the 354.
    pub data_start: Duration,
    /// For each block of content to leave.
    pub data_block: Duration,
    /// For the reply to the final dot.
    pub data_end: Duration,
}
