//! Checked settings of the admin listener. It parses no configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::tokens::Tokens;

/// The admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// The loopback addresses to bind; port 0 takes a free port.
    pub addresses: Vec<SocketAddr>,
    /// The Unix socket to make, which the daemon's user and group may open.
    pub socket: Option<PathBuf>,
    /// Who may ask.
    pub tokens: Tokens,
}
