//! The checked settings of outbound sessions.

use std::time::Duration;

use crate::mail::Domain;

/// The settings that all outbound sessions share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The domain given in EHLO.
    pub name: Domain,
    /// How long each step waits (RFC 5321 §4.5.3.2).
    pub timeouts: Timeouts,
    /// Maximum number of addresses tried in one attempt.
    pub addresses_max: usize,
    /// Maximum number of messages over one connection.
    pub messages_per_connection_max: u32,
    /// Maximum number of recipients in one transaction.
    pub recipients_per_transaction_max: usize,
    /// How long an idle connection is kept.
    pub idle: Duration,
}

impl Settings {
    /// One message per connection, one recipient per transaction, and all addresses of a host.
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

/// How long each step waits (RFC 5321 §4.5.3.2).
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// To establish a TCP connection.
    pub connect: Duration,
    /// For the greeting, and for each reply to EHLO, MAIL and RCPT.
    pub command: Duration,
    /// For the reply to STARTTLS and the handshake.
    pub handshake: Duration,
    /// For the 354 reply to DATA.
    pub data_start: Duration,
    /// To write each block of content.
    pub data_block: Duration,
    /// For the reply to the final dot.
    pub data_end: Duration,
}
