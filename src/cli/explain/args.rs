//! The arguments of `explain`.

use std::net::IpAddr;
use std::path::PathBuf;

use super::super::args::ConfigArg;

/// What `explain` takes.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ExplainArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// A recipient: which outbound connector serves it, and what does it require?
    #[arg(long, value_name = "ADDRESS", required_unless_present_any = ["from", "reply"])]
    pub(super) to: Option<String>,
    /// A reverse-path ("" or "<>" for the null one): which inbound connector accepts it?
    #[arg(long, value_name = "ADDRESS")]
    pub(super) from: Option<String>,
    /// With --from: the address the peer connects from.
    #[arg(long, value_name = "IP", requires = "from", default_value = "203.0.113.1")]
    pub(super) peer_ip: IpAddr,
    /// With --from: the listener that the peer connects to, where connectors are limited to some.
    #[arg(long, value_name = "NAME", requires = "from")]
    pub(super) listener: Option<String>,
    /// With --from: the user who has logged in; the password is assumed to be right.
    #[arg(long, value_name = "NAME", requires = "from")]
    pub(super) user: Option<String>,
    /// With only --to: the inbound connector by which the mail arrives, where outbound connectors name some.
    #[arg(long, value_name = "CONNECTOR", requires = "to", conflicts_with = "from")]
    pub(super) arrives_by: Option<String>,
    /// With --from: a header field of the message, as "X-Seal: yes"; may be given several times. Does a [[raise]] rule match?
    #[arg(long, value_name = "FIELD", requires = "from", value_parser = field)]
    pub(super) header: Vec<String>,
    /// The peer uses TLS. The peer is the client of --from, or the next hop if only --to is given.
    #[arg(long)]
    pub(super) tls: bool,
    /// The certificate chain the peer presents (PEM); it is assumed to have the key.
    #[arg(long, value_name = "FILE")]
    pub(super) peer_cert: Option<PathBuf>,
    /// The TLS version of the session.
    #[arg(long, value_enum, value_name = "VERSION", default_value = "1.3")]
    pub(super) tls_version: Version,
    /// The cipher suite of the session, as the log names it. Every profile allows the default.
    #[arg(long, value_name = "NAME")]
    pub(super) suite: Option<String>,
    /// The key exchange group of the session, as the log names it. Every profile allows the default.
    #[arg(long, value_name = "NAME", default_value = "secp384r1")]
    pub(super) group: String,
    /// What a handshake showed, as JSON: a decision of `queue show --json` or `validate --json`, or only its "tls".
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tls", "peer_cert"])]
    pub(super) facts: Option<PathBuf>,
    /// With only --to: what happens to STARTTLS there, if it does not simply succeed.
    #[arg(long, value_enum, requires = "to", conflicts_with_all = ["tls", "peer_cert", "facts", "from"])]
    pub(super) starttls: Option<StartTls>,
    /// A refusal as a log or a report has it: what is known about it, and what to do? No configuration is read.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["to", "from", "tls", "peer_cert", "facts"])]
    pub(super) reply: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

fn field(text: &str) -> Result<String, &'static str> {
    let name = text.split(':').next().unwrap_or_default();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    let is_field = is_name && text.contains(':') && !text.contains(['\r', '\n']);
    if is_field { Ok(text.to_owned()) } else { Err("write a header field as \"X-Seal: yes\"") }
}

/// A next hop whose STARTTLS is not simply used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum StartTls {
    /// It is not in the reply to EHLO.
    NotOffered,
    /// It is offered, and refused with 454.
    Refused,
    /// The handshake fails, but not because of a certificate.
    Broken,
    /// The handshake is completed, and the session lost before its first reply inside TLS.
    Lost,
    /// The handshake fails because the host refuses our certificate, or wants one that we don't present.
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
