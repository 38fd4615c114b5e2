//! Checked settings for DNS lookups. It parses no configuration.

use std::net::SocketAddr;
use std::time::Duration;

/// Checked settings for DNS lookups.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The servers to query; empty uses the system's.
    pub servers: Vec<SocketAddr>,
    /// Timeout of one query to one server.
    pub timeout: Duration,
    /// Attempts per server.
    pub attempts: usize,
}
