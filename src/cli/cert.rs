//! `cert`: shows certificates of a file, a host or the configuration. It trusts and changes
//! nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::exit::{EXIT_NO, Failure};
use super::print::{say, say_json};
use super::runtime::runtime;
use super::wait::Wait;
use crate::connector::{ChainVerdict, PeerCertificate, SmartHost, SmartHostName, TrustId};
use crate::mail::{Clock, UnixMillis};
use crate::{config, daemon, tls};

/// What `cert` takes.
#[derive(Debug, clap::Args)]
pub(super) struct CertArgs {
    #[command(subcommand)]
    verb: CertVerb,
}

#[derive(Debug, clap::Subcommand)]
enum CertVerb {
    /// Show a chain: names, issuer, key, dates, SHA-256, the pin that connectors take, TLSA.
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// A PEM file, HOST:PORT of an SMTP server (STARTTLS; TLS at once on 465), or the ID of a
    /// [certificate.ID].
    target: String,
    /// The configuration with the ID.
    #[arg(long, short, value_name = "FILE", default_value = "/etc/sealpost/sealpost.toml")]
    config: PathBuf,
    /// The output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as --format json.
    #[arg(long)]
    json: bool,
    /// Implicit TLS, whatever the port.
    #[arg(long)]
    implicit: bool,
    /// How long each step with a host may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    timeout: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Markdown,
    Json,
}

impl CertArgs {
    pub(super) fn is_json(&self) -> bool {
        let CertVerb::Show(args) = &self.verb;
        args.format() == Format::Json
    }
}

impl ShowArgs {
    fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// Shows certificates.
pub(super) fn cert(args: &CertArgs) -> Result<ExitCode, Failure> {
    let CertVerb::Show(args) = &args.verb;
    let no = |fault: String| Failure::new(EXIT_NO, fault);
    let chain = chain(args)?;
    if chain.is_empty() {
        return Err(no(format!("{} shows no certificate", args.target)));
    }
    let now = Clock::wall();
    let mut shown = Vec::new();
    for certificate in &chain {
        shown.push(tls::describe(certificate, now).map_err(no)?);
    }
    let end = end(&chain, now);
    match args.format() {
        Format::Json => {
            let certificates = shown.iter().map(|rows| fields(rows)).collect();
            say_json(&CertAnswer { certificates, root: end.as_ref().ok(), fault: end.as_ref().err() });
        }
        Format::Text => {
            for (rows, number) in shown.iter().zip(1..) {
                say(&format!("certificate {number}"));
                rows.iter().for_each(|row| say(&format!("  {:<16}  {}", row.heading, row.line())));
            }
            say(&in_words(&end));
        }
        Format::Markdown => {
            for (rows, number) in shown.iter().zip(1..) {
                say(&format!("| certificate {number} | |\n|---|---|"));
                rows.iter().for_each(|row| {
                    say(&format!("| {} | {} |", row.heading, row.line().replace('|', "\\|")))
                });
                say("");
            }
            say(&in_words(&end));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The system root that the chain ends in, or why it ends in none.
fn end(chain: &[tls::Certificate], now: UnixMillis) -> Result<String, String> {
    let set = tls::TrustSet::system().map_err(|fault| fault.to_string())?;
    let id = TrustId::system();
    let sets = [(id.clone(), Arc::new(set))];
    let shown = tls::assess(chain, true, &sets, tls::Usage::ClientOrServer, now);
    let PeerCertificate::Shown(facts) = shown else { return Err("it can't be read".to_owned()) };
    match facts.chain_to(&[id]) {
        ChainVerdict::Trusted => Ok(facts.root.clone().unwrap_or_default()),
        ChainVerdict::Faulty(fault) => Err(fault.in_words(&facts)),
    }
}

fn in_words(end: &Result<String, String>) -> String {
    match end {
        Ok(root) => format!("The chain ends in a root of the operating system's: {root}"),
        Err(why) => format!("The chain ends in no root of the operating system's: {why}"),
    }
}

/// What `cert show --json` prints.
#[derive(Serialize)]
struct CertAnswer<'a> {
    certificates: Vec<BTreeMap<String, Field<'a>>>,
    root: Option<&'a String>,
    fault: Option<&'a String>,
}

/// One entry of a certificate.
#[derive(Serialize)]
#[serde(untagged)]
enum Field<'a> {
    List(&'a [String]),
    Line(String),
}

fn fields(rows: &[tls::CertificateLine]) -> BTreeMap<String, Field<'_>> {
    rows.iter().map(field).collect()
}

fn field(row: &tls::CertificateLine) -> (String, Field<'_>) {
    let value = if row.is_list { Field::List(&row.texts) } else { Field::Line(row.line()) };
    (row.heading.to_lowercase().replace([' ', '-'], "_"), value)
}

fn chain(args: &ShowArgs) -> Result<Vec<tls::Certificate>, Failure> {
    let no = |fault: String| Failure::new(EXIT_NO, fault);
    let file = Path::new(&args.target);
    if file.exists() {
        return tls::read_chain(file).map_err(|fault| no(fault.to_string()));
    }
    if args.target.contains(':') {
        let limit = Duration::from_secs(args.timeout.max(1));
        let SmartHost { name, port } = config::host_and_port(&args.target, PORT_SMTP).map_err(no)?;
        let target = match name {
            SmartHostName::Ip(ip) => SocketAddr::new(ip, port).to_string(),
            SmartHostName::Name(name) => format!("{name}:{port}"),
        };
        let _shown = Wait::on(format!("the certificate of {target}"));
        let fetched = runtime()?.block_on(daemon::fetch_chain(&target, args.implicit, limit));
        return fetched.map_err(|fault| no(format!("{}: {fault}", args.target)));
    }
    let config = config::load(&args.config)?;
    let identity = config.identities.get(&args.target).ok_or_else(|| {
        let known: Vec<&str> = config.identities.keys().map(String::as_str).collect();
        let words = config::unknown_name("[certificate.ID]", &args.target, &known);
        no(format!("there is no file {:?}, and {words}; a host is written HOST:PORT", args.target))
    })?;
    Ok(identity.chain().to_vec())
}

const PORT_SMTP: u16 = 25;
