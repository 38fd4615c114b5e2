//! Why the relay can't start, one variant per part.

use std::path::PathBuf;

use crate::admin::{AdminFault, ControlFault};
use crate::listen::BindFault;
use crate::resolver::dns::ResolverFault;
use crate::spool::sqlite::OpenFault;
use crate::tls::TlsFault;

/// Why the relay can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The spool can't be opened.
    #[error(transparent)]
    Spool(#[from] OpenFault),
    /// An address can't be bound.
    #[error(transparent)]
    Listen(#[from] BindFault),
    /// The control socket can't be opened.
    #[error(transparent)]
    Control(#[from] ControlFault),
    /// The admin listener can't be opened.
    #[error(transparent)]
    Admin(#[from] AdminFault),
    /// The resolver can't be set up.
    #[error(transparent)]
    Dns(#[from] ResolverFault),
    /// The file of paused connectors can't be read.
    #[error("{0} can't be read: {1}; let the user that Sealpost runs as read it, or remove it")]
    Paused(PathBuf, #[source] std::io::Error),
    /// A certificate or a trust anchor set can't be used.
    #[error("{what}: {fault}")]
    Tls {
        /// The connector or listener that uses it.
        what: String,
        /// The TLS fault.
        fault: TlsFault,
    },
}
