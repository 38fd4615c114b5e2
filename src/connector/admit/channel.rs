//! What is known of a client that wants to submit, and what it lacks.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::facts::TlsFacts;
use super::super::shortfall::Shortfall;
use super::super::users::User;

/// What is known of an inbound session when MAIL FROM comes.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Where the client connected from.
    pub peer: IpAddr,
    /// The handshake, if there was one.
    pub tls: Option<Arc<TlsFacts>>,
    /// Who logged in, if anybody did.
    pub user: Option<Arc<User>>,
}

/// By what a client's mail is attributed to a connector; the strongest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribution {
    /// Its certificate.
    Certificate,
    /// Who logged in.
    User,
    /// Its address.
    Network,
    /// Its claim alone.
    Domain,
}

/// The first condition of an inbound connector that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnmetCondition {
    /// It is turned off.
    Off,
    /// The client's address is in none of its networks.
    Network,
    /// Nobody of its users has logged in.
    User,
    /// It demands TLS, and the session is in clear.
    NoTls,
    /// The handshake does not meet its requirement.
    Tls(Shortfall),
}

impl Channel {
    /// A client that connected from this address and has shown nothing yet.
    #[must_use]
    pub fn new(peer: IpAddr) -> Self {
        Self { peer, tls: None, user: None }
    }
}
