//! The first token of the console and the API.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::admin::random_hex;

/// Where the console and the API listen, if they do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ConsoleChoice {
    /// There.
    At(ConsolePlace),
    /// Nowhere.
    Nowhere,
}

/// Where the console and the API listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ConsolePlace {
    /// A loopback address.
    Port(SocketAddr),
    /// The path of a Unix socket.
    Socket(PathBuf),
}

impl ConsoleChoice {
    /// Reads the flag.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::Nowhere);
        }
        if text.starts_with('/') {
            return Ok(Self::At(ConsolePlace::Socket(PathBuf::from(text))));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Self::At(ConsolePlace::Port(address))),
            Ok(_) => Err("only an address of this machine is possible, such as 127.0.0.1:9925".to_owned()),
            Err(_) => {
                Err("write ADDRESS:PORT, such as 127.0.0.1:9925, the path of a socket, or none".to_owned())
            }
        }
    }
}

/// A token file with a token that nobody can guess. `None`: the system has no random numbers.
pub(super) fn token_file() -> Option<String> {
    let token = random_hex::<32>()?;
    Some(format!(
        "# Whoever has a token of this file can log in to the console and use the API.\noperator admin {token}\n"
    ))
}
