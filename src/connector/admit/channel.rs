//! What is known about a client that wants to submit, and which condition it fails. Nothing is decided here.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::facts::TlsFacts;
use super::super::shortfall::Shortfall;
use super::super::users::User;

/// What is known about an inbound session at MAIL FROM.
#[derive(Debug, Clone)]
pub struct Channel {
    /// The listener's name; `None`: any, as if each connector took mail on it.
    pub listener: Option<Arc<str>>,
    /// The client's address.
    pub peer: IpAddr,
    /// The handshake; `None` in plaintext.
    pub tls: Option<Arc<TlsFacts>>,
    /// The logged-in user, if any.
    pub user: Option<Arc<User>>,
}

/// How a client's mail was attributed to a connector, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribution {
    /// By the client's certificate.
    Certificate,
    /// By the logged-in user.
    User,
    /// By the client's address.
    Network,
    /// Only by the reverse-path domain that the client claims.
    Domain,
}

/// The first condition of an inbound connector that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnmetCondition {
    /// The connector is turned off.
    Off,
    /// It takes no mail on the listener that the client uses.
    Listener,
    /// The client's address is in none of its networks.
    Network,
    /// None of the connector's users has logged in.
    User,
    /// The connector requires TLS, and the session is in plaintext.
    NoTls,
    /// The handshake does not meet the connector's requirement.
    Tls(Shortfall),
}

impl Channel {
    /// A client at this address, with no TLS and no login.
    #[must_use]
    pub fn new(peer: IpAddr) -> Self {
        Self { listener: None, peer, tls: None, user: None }
    }
}
