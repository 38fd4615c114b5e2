//! What look-ups are told to do; every value is checked.

use std::net::SocketAddr;
use std::time::Duration;

/// What look-ups are told to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The servers to ask; empty: the system's.
    pub servers: Vec<SocketAddr>,
    /// How long one server is waited for.
    pub timeout: Duration,
    /// How often a server is asked.
    pub attempts: usize,
}
