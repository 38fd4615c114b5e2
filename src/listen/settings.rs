//! What the listeners are told to do; every value is checked.

use std::net::SocketAddr;
use std::time::Duration;

use crate::mail::{Domain, Extension, Mailbox, NetworkBits};

/// All listeners, and what they share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our name: greeting, EHLO answer, Received.
    pub name: Domain,
    /// Who `RCPT TO:<postmaster>` means.
    pub postmaster: Mailbox,
    /// The listeners.
    pub listeners: Vec<Listener>,
    /// What a session may cost.
    pub limits: Limits,
    /// How long a session waits.
    pub timeouts: Timeouts,
    /// What must be left for mail to be taken.
    pub reserve: Reserve,
}

/// What must be left for mail to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve {
    /// Octets free on the disk of the spool.
    pub free_disk: u64,
    /// Messages queued.
    pub queued_max: u64,
}

/// One listener.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name in the configuration.
    pub name: String,
    /// Where it listens; port 0 takes a free one.
    pub addresses: Vec<SocketAddr>,
    /// What it does of TLS.
    pub tls: ListenerTls,
    /// The `[certificate.ID]`s of which it shows the one that fits; empty only where `tls` is off.
    pub certificates: Vec<String>,
    /// The extensions it does not offer.
    pub withheld: Vec<Extension>,
    /// How long a client must be silent before it is greeted; `None` greets at once.
    pub greeting_delay: Option<Duration>,
}

/// What a listener does of TLS.
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

/// What a session may cost.
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
    /// Received lines.
    pub hops_max: usize,
    /// Refused or unknown commands in one session since its last accepted message.
    pub errors_max: u32,
    /// Commands without effect (NOOP, RSET, EHLO, HELO, VRFY, HELP) since then; beyond, each is an error.
    pub useless_max: u32,
    /// Failed logins of one network in ten minutes; beyond, its logins are deferred.
    pub failed_logins_max: u32,
    /// Sessions at the same time.
    pub connections_max: usize,
    /// Sessions of one network at the same time.
    pub connections_per_address_max: usize,
    /// Of `connections_max`, the last ones, for clients that a connector names by network.
    pub reserved_connections: usize,
    /// TLS handshakes under way at the same time.
    pub handshakes_max: usize,
    /// TLS handshakes of one network under way at the same time.
    pub handshakes_per_address_max: usize,
    /// Which network an address is counted with.
    pub network_bits: NetworkBits,
    /// Octets of content a second, on average.
    pub content_rate_min: u64,
    /// Octets of content held in memory; more streams to disk.
    pub held_bytes_max: usize,
}

/// How long a session waits.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// For the next octet of a command or of content (RFC 5321 §4.5.3.2.7), and how far content may
    /// fall behind its rate.
    pub idle: Duration,
    /// For a whole command line, from its first octet.
    pub line: Duration,
    /// For a whole TLS handshake.
    pub handshake: Duration,
    /// For a whole message's content, from DATA to the end.
    pub content: Duration,
    /// For an accepted message, from the beginning or the last one; content under way aside.
    pub session: Duration,
}

/// Settings for tests, here so that another field is added in one place.
#[cfg(test)]
pub(super) mod samples {
    use super::{Duration, Limits, Listener, ListenerTls, NetworkBits, Timeouts};

    /// One on a free port, without TLS.
    pub(in crate::listen) fn listener() -> Listener {
        Listener {
            name: "lab".to_owned(),
            addresses: vec![([127, 0, 0, 1], 0).into()],
            tls: ListenerTls::Off,
            certificates: Vec::new(),
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
            errors_max: 20,
            useless_max: 100,
            failed_logins_max: 20,
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
        }
    }
}
