//! Resolves a recipient domain to the addresses of its mail hosts. It knows no connector and no session.

pub mod dns;
mod edns;
pub mod route;
pub mod settings;
