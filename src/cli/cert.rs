use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value};

use super::print::{say, say_json};
use super::validate::runtime;
use super::{EXIT_CONFIG, EXIT_NO, EXIT_OS, Failure};
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
    /// The configuration that has the ID.
    #[arg(long, short, value_name = "FILE", default_value = "/etc/sealpost/sealpost.toml")]
    config: PathBuf,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as --format json.
    #[arg(long)]
    json: bool,
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

/// Shows certificates.
pub(super) fn cert(args: &CertArgs) -> Result<ExitCode, Failure> {
    let CertVerb::Show(args) = &args.verb;
    let no = |fault: String| Failure::new(EXIT_NO, fault);
    let mut shown = Vec::new();
    for certificate in chain(args)? {
        shown.push(tls::describe(&certificate).map_err(no)?);
    }
    match if args.json { Format::Json } else { args.format } {
        Format::Json => {
            let all: Vec<Value> = shown.into_iter().map(as_json).collect();
            say_json(&all);
        }
        Format::Text => shown.iter().zip(1..).for_each(|(rows, number)| {
            say(&format!("certificate {number}"));
            rows.iter().for_each(|(heading, text)| say(&format!("  {heading:<16}  {text}")));
        }),
        Format::Markdown => shown.iter().zip(1..).for_each(|(rows, number)| {
            say(&format!("| certificate {number} | |\n|---|---|"));
            rows.iter()
                .for_each(|(heading, text)| say(&format!("| {heading} | {} |", text.replace('|', "\\|"))));
            say("");
        }),
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(rows: Vec<(&'static str, String)>) -> Value {
    let pairs = rows
        .into_iter()
        .map(|(heading, text)| (heading.to_lowercase().replace([' ', '-'], "_"), text.into()));
    Value::Object(pairs.collect::<Map<String, Value>>())
}

fn chain(args: &ShowArgs) -> Result<Vec<tls::Certificate>, Failure> {
    let no = |fault: String| Failure::new(EXIT_NO, fault);
    let file = Path::new(&args.target);
    if file.exists() {
        return tls::read_chain(file).map_err(|fault| no(fault.to_string()));
    }
    if args.target.contains(':') {
        let limit = Duration::from_secs(args.timeout.max(1));
        let fetched = runtime()?.block_on(daemon::fetch_chain(&args.target, limit));
        return fetched.map_err(|fault| Failure::new(EXIT_OS, format!("{}: {fault}", args.target)));
    }
    let config = config::load(&args.config)
        .map_err(|faults| Failure::new(EXIT_CONFIG, format!("the configuration has mistakes\n{faults}")))?;
    let identity = config.identities.get(&args.target).ok_or_else(|| {
        let known: Vec<&str> = config.identities.keys().map(String::as_str).collect();
        no(format!("{:?} is no file and no [certificate.ID]; there is {}", args.target, known.join(", ")))
    })?;
    Ok(identity.chain().to_vec())
}
