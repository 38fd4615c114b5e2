//! Checked settings of the listeners. It parses no configuration.

use std::net::SocketAddr;
use std::time::Duration;

use crate::connector::{BrakeRules, Profile};
use crate::mail::{Domain, Extension, Mailbox, NetworkBits};

/// All listeners and what they share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our host name in the greeting, the EHLO reply and Received fields.
    pub name: Domain,
    /// The mailbox for `RCPT TO:<postmaster>`.
    pub postmaster: Mailbox,
    /// The listeners, each with its own addresses.
    pub listeners: Vec<Listener>,
    /// Limits of a session.
    pub limits: Limits,
    /// Timeouts of a session.
    pub timeouts: Timeouts,
    /// What must stay free for mail to be accepted.
    pub reserve: Reserve,
    /// When a flood is one.
    pub brake: BrakeRules,
    /// Whether the Subject of messages is kept.
    pub subjects: bool,
}

/// What must stay free for mail to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve {
    /// Octets that must stay free on the spool's disk.
    pub free_disk: u64,
    /// Maximum number of queued messages.
    pub queued_max: u64,
}

/// The settings of one listener.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The listener's name in the configuration.
    pub name: String,
    /// The addresses to bind; port 0 takes a free port.
    pub addresses: Vec<SocketAddr>,
    /// How it handles TLS.
    pub tls: ListenerTls,
    /// The `[certificate.ID]`s to choose from by fit; empty only if `tls` is off.
    pub certificates: Vec<String>,
    /// The profile that its handshakes are limited to.
    pub profile: Option<Profile>,
    /// The extensions it does not offer.
    pub withheld: Vec<Extension>,
    /// How long a client must be silent before it is greeted; `None` greets at once.
    pub greeting_delay: Option<Duration>,
}

/// How a listener handles TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerTls {
    /// STARTTLS is not offered.
    Off,
    /// STARTTLS is offered.
    StartTls,
    /// Nothing is accepted before STARTTLS (RFC 3207 §4).
    Required,
    /// TLS from the first octet (RFC 8314 §3).
    Implicit,
}

/// Limits of a session.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Octets of a message's content.
    pub message_bytes_max: u64,
    /// Octets of a message's header section.
    pub header_bytes_max: usize,
    /// Octets of one line of content, CRLF included.
    pub line_bytes_max: usize,
    /// Recipients of one message.
    pub recipients_max: usize,
    /// Received fields of a message.
    pub hops_max: usize,
    /// Received fields of our own in a message.
    pub own_hops_max: usize,
    /// Refused or unknown commands in a session since its last accepted message.
    pub errors_max: u32,
    /// Commands without effect (NOOP, RSET, EHLO, HELO, VRFY, HELP) since then; each one beyond this is an
    /// error.
    pub useless_max: u32,
    /// Failed logins of a network in ten minutes; beyond this, its logins are deferred.
    pub failed_logins_max: u32,
    /// Unknown recipients that a network may have asked about in ten minutes; beyond this, no next hop is asked for it.
    pub unknown_recipients_max: u32,
    /// Concurrent sessions.
    pub connections_max: usize,
    /// Concurrent sessions of one network.
    pub connections_per_address_max: usize,
    /// How many of `connections_max` are reserved for clients that a connector names by network.
    pub reserved_connections: usize,
    /// Concurrent TLS handshakes.
    pub handshakes_max: usize,
    /// Concurrent TLS handshakes of one network.
    pub handshakes_per_address_max: usize,
    /// Prefix lengths of the networks that addresses are counted under.
    pub network_bits: NetworkBits,
    /// Minimum average octets of content per second.
    pub content_rate_min: u64,
    /// Octets of content held in memory; larger content streams to disk.
    pub held_bytes_max: usize,
}

/// Timeouts of a session.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// For the next octet of a command or of content (RFC 5321 §4.5.3.2.7), and how far content may fall
    /// behind its minimum rate.
    pub idle: Duration,
    /// For a whole command line, from its first octet.
    pub line: Duration,
    /// For a whole TLS handshake.
    pub handshake: Duration,
    /// For a whole message's content, from DATA to the end.
    pub content: Duration,
    /// For the next accepted message, from the start or the last one; not counting content under way.
    pub session: Duration,
    /// For a session as a whole, not counting content under way.
    pub age: Duration,
}

/// Test settings, kept here so that a new field is added in one place.
#[cfg(test)]
pub(super) mod samples {
    use super::{Duration, Limits, Listener, ListenerTls, NetworkBits, Timeouts};

    /// A listener on a free port, without TLS.
    pub(in crate::listen) fn listener() -> Listener {
        Listener {
            name: "lab".to_owned(),
            addresses: vec![([127, 0, 0, 1], 0).into()],
            tls: ListenerTls::Off,
            certificates: Vec::new(),
            profile: None,
            withheld: Vec::new(),
            greeting_delay: None,
        }
    }

    pub(in crate::listen) fn limits() -> Limits {
        Limits {
            message_bytes_max: 10_000_000,
            header_bytes_max: 10_000,
            line_bytes_max: 1_000,
            recipients_max: 100,
            hops_max: 100,
            own_hops_max: 16,
            errors_max: 20,
            useless_max: 100,
            failed_logins_max: 20,
            unknown_recipients_max: 100,
            connections_max: 10,
            connections_per_address_max: 10,
            reserved_connections: 0,
            handshakes_max: 10,
            handshakes_per_address_max: 10,
            network_bits: NetworkBits::default(),
            content_rate_min: 64,
            held_bytes_max: 65_536,
        }
    }

    pub(in crate::listen) fn timeouts() -> Timeouts {
        Timeouts {
            idle: Duration::from_secs(60),
            line: Duration::from_secs(60),
            handshake: Duration::from_secs(60),
            content: Duration::from_secs(60),
            session: Duration::from_secs(60),
            age: Duration::from_secs(60),
        }
    }
}
