//! Checked settings of the admin listener. It parses no configuration.

use std::net::SocketAddr;

use super::tokens::Tokens;

/// The admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// The loopback addresses to bind; port 0 takes a free port.
    pub addresses: Vec<SocketAddr>,
    /// Who may ask.
    pub tokens: Tokens,
}
