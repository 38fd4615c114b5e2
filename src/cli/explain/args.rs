//! What `explain` takes.

use std::net::IpAddr;
use std::path::PathBuf;

use super::super::args::ConfigArg;

/// What `explain` takes.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ExplainArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// A recipient: which outbound connector serves it, and what does it demand?
    #[arg(long, value_name = "ADDRESS", required_unless_present = "from")]
    pub(super) to: Option<String>,
    /// A reverse-path ("" or "<>" for the null one): which inbound connector admits it?
    #[arg(long, value_name = "ADDRESS")]
    pub(super) from: Option<String>,
    /// With --from: the address the peer connects from.
    #[arg(long, value_name = "IP", requires = "from", default_value = "203.0.113.1")]
    pub(super) peer_ip: IpAddr,
    /// With --from: the user who has logged in; any password is taken for the right one.
    #[arg(long, value_name = "NAME", requires = "from")]
    pub(super) user: Option<String>,
    /// The peer uses TLS. The peer is the client of --from; with --to alone, the next hop.
    #[arg(long)]
    pub(super) tls: bool,
    /// The certificate chain the peer shows (PEM); it is taken to hold the key.
    #[arg(long, value_name = "FILE")]
    pub(super) peer_cert: Option<PathBuf>,
    /// The TLS version of the session.
    #[arg(long, value_enum, value_name = "VERSION", default_value = "1.3")]
    pub(super) tls_version: Version,
    /// The key exchange group of the session, as the log names it.
    #[arg(long, value_name = "NAME", default_value = "X25519")]
    pub(super) group: String,
    /// What a handshake showed, as JSON: a decision of the log, of `queue show --json` or of `validate
    /// --json`, or its "tls" alone.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tls", "peer_cert"])]
    pub(super) facts: Option<PathBuf>,
    /// With --to alone: what becomes of STARTTLS there, where it is not simply used.
    #[arg(long, value_enum, requires = "to", conflicts_with_all = ["tls", "peer_cert", "facts", "from"])]
    pub(super) starttls: Option<StartTls>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// A next hop whose STARTTLS is not simply used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum StartTls {
    /// It is not in the answer to EHLO.
    NotOffered,
    /// It is offered, and answered 454.
    Refused,
    /// The handshake breaks, and not over a certificate.
    Broken,
    /// The handshake breaks since the host refuses our certificate, or wants one that we don't show.
    OursRefused,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Version {
    /// TLS 1.2.
    #[value(name = "1.2")]
    V12,
    /// TLS 1.3.
    #[value(name = "1.3")]
    V13,
}
