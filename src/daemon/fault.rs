//! Why the relay can't start.

use std::path::PathBuf;

use crate::admin::ControlFault;
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
    /// The resolver can't be set up.
    #[error(transparent)]
    Dns(#[from] ResolverFault),
    /// It can't be read which connectors stand still.
    #[error("{0} can't be read: {1}; let the user that Sealpost runs as read it, or remove it")]
    Paused(PathBuf, #[source] std::io::Error),
    /// A certificate or a trust anchor set does not do.
    #[error("{what}: {fault}")]
    Tls {
        /// The connector or listener it is for.
        what: String,
        /// What is wrong.
        fault: TlsFault,
    },
}
