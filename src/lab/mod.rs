//! The one-command lab: a gateway with its partners, good and bad, on loopback. It decides
//! nothing about mail: the gateway is the shipped daemon, and what its stand-ins saw is compared
//! with what the policy says. Linux only: it binds addresses all over 127.0.0.0/8.

pub mod capture;
pub mod client;
pub mod mint;
pub mod partner;
mod wire;
pub mod zone;

/// Why there is no lab.
#[derive(Debug, thiserror::Error)]
pub enum LabFault {
    /// A certificate that the lab can't make.
    #[error("the lab's certificates can't be made: {0}")]
    Mint(#[from] rcgen::Error),
    /// A stand-in whose TLS can't be set up.
    #[error("the TLS of a stand-in can't be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A verifier that can't be made.
    #[error("the client verifier of a stand-in can't be made: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// A name that is none.
    #[error("{0} is no server name")]
    Name(String),
}
