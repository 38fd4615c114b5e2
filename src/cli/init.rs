//! `init`: a first configuration from five answers, checked before it is written. It starts nothing.

mod answers;
mod ask;
mod files;
mod mint;
mod text;
mod token;

use std::io::{self, IsTerminal as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use self::answers::{
    Elsewhere, FirstCertificate, InitAnswers, OwnNetwork, domain, each, elsewhere, mailbox_host, network,
};
use self::ask::{InitQuestion, Interview};
use self::files::{FileReader, Staging, existing};
use self::mint::{SelfSigned, self_signed};
use self::text::{Surroundings, compose};
use self::token::{ConsoleChoice, ConsolePlace, token_file};
use super::args::CONFIG_FILE;
use super::exit::{EXIT_ARGUMENTS, EXIT_CONFIG, EXIT_NO, Failure};
use super::print::{complain, say, say_json};
use crate::config::{self, Faults};
use crate::connector::SmartHost;
use crate::mail::{Clock, Domain};
use crate::tls::in_shell;

/// What `init` takes. What it has to know and no flag says is asked on the terminal.
#[derive(Debug, clap::Args)]
pub(super) struct InitArgs {
    /// Our host name, as other mail servers know it.
    #[arg(long, value_name = "HOST", value_parser = domain)]
    name: Option<Domain>,
    /// A domain of ours; several with commas between them.
    #[arg(long = "domain", value_name = "DOMAIN", value_delimiter = ',', value_parser = domain)]
    domains: Vec<Domain>,
    /// The server with the mailboxes of our domains: HOST or HOST:PORT.
    #[arg(long, value_name = "HOST", value_parser = mailbox_host)]
    mailbox_host: Option<SmartHost>,
    /// A network or address of our own servers, which may send to anyone; several with commas between them.
    #[arg(long = "own-network", value_name = "NETWORK", value_delimiter = ',', value_parser = network)]
    networks: Vec<OwnNetwork>,
    /// Where mail for all other domains goes: mx, or a smart host as HOST or HOST:PORT.
    #[arg(long, value_name = "mx|HOST", value_parser = elsewhere)]
    next_hop: Option<Elsewhere>,
    /// Our certificate with its issuers, PEM. It stays where it is.
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Make a certificate that is signed by itself.
    #[arg(long, conflicts_with = "certificate")]
    self_signed: bool,
    /// The mailbox of the postmaster; otherwise postmaster at our first domain.
    #[arg(long, value_name = "MAILBOX")]
    postmaster: Option<String>,
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', default_value = "0.0.0.0:25,[::]:25")]
    listen: Vec<SocketAddr>,
    /// Where the console and the API listen, on this machine: an address, or the path of a Unix socket; none: nowhere.
    #[arg(long, value_name = "ADDRESS|PATH|none", default_value = "127.0.0.1:9925", value_parser = ConsoleChoice::parse)]
    console: ConsoleChoice,
    /// The folder for the configuration.
    #[arg(long, value_name = "DIR", default_value = "/etc/sealpost")]
    dir: PathBuf,
    /// The folder of the spool.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/sealpost")]
    data_dir: PathBuf,
    /// Replace a configuration, and a certificate made by init, that are there.
    #[arg(long)]
    force: bool,
    /// Print what was written as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Asks for what is missing, and writes the configuration if it is valid.
pub(super) fn init(args: &InitArgs) -> Result<ExitCode, Failure> {
    let dir = absolute(&args.dir)?;
    let file = dir.join(FILE);
    // Before anything is asked.
    let replace = args.force || may_replace(&file)?;
    let answers = answers(args)?;
    let makes_one = answers.certificate == FirstCertificate::SelfSigned;
    for path in [CHAIN, KEY].map(|name| dir.join(name)).iter().filter(|_| makes_one && !args.force) {
        if existing(path)?.is_some() {
            let words = format!(
                "{}: exists already; use it with --certificate and --key, or replace it with --force",
                path.display()
            );
            return Err(Failure::new(EXIT_NO, words));
        }
    }
    let data_dir = absolute(&args.data_dir)?;
    let mut staging = Staging::new(&dir, &data_dir)?;
    let made = if makes_one {
        let made = self_signed(&answers.name, Clock::wall());
        let made =
            made.map_err(|fault| Failure::new(EXIT_NO, format!("no certificate can be made: {fault}")))?;
        staging.write(KEY, &made.key, FileReader::Relay)?;
        staging.write(CHAIN, &made.chain, FileReader::Everybody)?;
        Some(made)
    } else {
        None
    };
    let postmaster = args
        .postmaster
        .clone()
        .or_else(|| answers.domains.first().map(|domain| format!("postmaster@{domain}")));
    let postmaster = postmaster.unwrap_or_default();
    let certificate = certificate_paths(&answers.certificate)?;
    let tokens = tokens(args, &dir, &mut staging)?;
    let around = Surroundings {
        data_dir: &data_dir,
        listen: &args.listen,
        postmaster: &postmaster,
        console: tokens.as_ref().map(|(at, path)| (at, path.as_str())),
        certificate: (&certificate.0, &certificate.1),
    };
    let text = compose(&answers, &around);
    let warnings = checked(&text, staging.path(), &file)?;
    staging.write(FILE, &text, FileReader::Group)?;
    let written = staging.settle(replace)?;
    // Port 0 is whichever is free at the start: nobody can be sent there yet.
    let is_known =
        |place: &ConsolePlace| !matches!(place, ConsolePlace::Port(address) if address.port() == 0);
    let console = tokens.filter(|(at, _)| is_known(at)).map(|(at, path)| (at, dir.join(path)));
    report(args, &WrittenSetUp { file, written, warnings, made, postmaster, console });
    Ok(ExitCode::SUCCESS)
}

/// Where the console listens, and the path of its token file. One that is there is kept, also with --force: others have its tokens.
fn tokens(
    args: &InitArgs,
    dir: &Path,
    staging: &mut Staging,
) -> Result<Option<(ConsolePlace, String)>, Failure> {
    let ConsoleChoice::At(place) = args.console.clone() else { return Ok(None) };
    let there = dir.join(TOKENS);
    if existing(&there)?.is_some() {
        return Ok(Some((place, there.display().to_string())));
    }
    let text =
        token_file().ok_or_else(|| Failure::new(EXIT_NO, "the system has no random numbers for a token"))?;
    staging.write(TOKENS, &text, FileReader::Relay)?;
    Ok(Some((place, TOKENS.to_owned())))
}

/// The answers of the flags, and of the person at the terminal.
fn answers(args: &InitArgs) -> Result<InitAnswers, Failure> {
    let person = io::stdin().is_terminal().then(|| (io::stdin().lock(), io::stderr()));
    let mut interview = Interview::new(person);
    let some = |list: Vec<_>| Some(list).filter(|list| !list.is_empty());
    let name = interview.answer(args.name.clone(), &NAME, domain)?;
    let domains = interview.answer(some(args.domains.clone()), &DOMAINS, |text| each(text, domain))?;
    let mailbox_host = interview.answer(args.mailbox_host.clone(), &MAILBOX_HOST, mailbox_host)?;
    let networks = Some(args.networks.clone()).filter(|list| !list.is_empty());
    let networks = interview.answer(networks, &NETWORKS, |text| each(text, network))?;
    let next_hop = interview.answer(args.next_hop.clone(), &NEXT_HOP, elsewhere)?;
    let given = match (&args.certificate, &args.key) {
        (Some(chain), Some(_)) => Some(Some(chain.clone())),
        (None, _) | (_, None) => args.self_signed.then_some(None),
    };
    let chain =
        interview.answer(given, &CERTIFICATE, |text| Ok((text != NEW).then(|| PathBuf::from(text))))?;
    let key = match &chain {
        Some(Some(_)) => interview.answer(args.key.clone(), &PRIVATE_KEY, |text| Ok(PathBuf::from(text)))?,
        Some(None) | None => None,
    };
    let certificate = match (chain, key) {
        (Some(None), _) => Some(FirstCertificate::SelfSigned),
        (Some(Some(chain)), Some(key)) => Some(FirstCertificate::Files { chain, key }),
        (Some(Some(_)), None) | (None, _) => None,
    };
    match (name, domains, mailbox_host, networks, next_hop, certificate) {
        (
            Some(name),
            Some(domains),
            Some(mailbox_host),
            Some(networks),
            Some(next_hop),
            Some(certificate),
        ) => Ok(InitAnswers { name, domains, mailbox_host, networks, next_hop, certificate }),
        _ => Err(interview.unanswered()),
    }
}

/// Whether what is there may be replaced: nothing, or what the package has installed.
fn may_replace(file: &Path) -> Result<bool, Failure> {
    match existing(file)? {
        None => Ok(false),
        Some(octets) if octets == STARTING.as_bytes() => Ok(true),
        Some(_) => {
            let words = format!("{}: exists already; --force replaces it", file.display());
            Err(Failure::new(EXIT_NO, words))
        }
    }
}

/// The warnings about a text that is valid. Nothing is written of one that is not.
fn checked(text: &str, stage: &Path, file: &Path) -> Result<Vec<String>, Failure> {
    let wrong = |faults: Faults| {
        let words =
            format!("these answers do not make a valid configuration, and nothing was written\n{faults}");
        Failure { faults: Some(faults), ..Failure::new(EXIT_CONFIG, words) }
    };
    let config = config::load_text(text, stage, file).map_err(wrong)?;
    if let Some(faults) = Faults::of(config.unmet.iter().map(|one| one.fault.clone()).collect()) {
        return Err(wrong(faults));
    }
    Ok(config.warnings.iter().map(ToString::to_string).collect())
}

fn certificate_paths(certificate: &FirstCertificate) -> Result<(String, String), Failure> {
    let written = |path: &Path| {
        let path = absolute(path)?;
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| Failure::new(EXIT_ARGUMENTS, format!("{}: is not UTF-8", path.display())))
    };
    match certificate {
        FirstCertificate::Files { chain, key } => Ok((written(chain)?, written(key)?)),
        FirstCertificate::SelfSigned => Ok((CHAIN.to_owned(), KEY.to_owned())),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|fault| Failure::new(EXIT_ARGUMENTS, format!("{}: {fault}", path.display())))
}

/// What was written.
struct WrittenSetUp {
    file: PathBuf,
    written: Vec<PathBuf>,
    warnings: Vec<String>,
    made: Option<SelfSigned>,
    postmaster: String,
    /// Where the console listens, and its token file.
    console: Option<(ConsolePlace, PathBuf)>,
}

fn report(args: &InitArgs, done: &WrittenSetUp) {
    let next = next_steps(args, done);
    if args.json {
        let self_signed_until = done.made.as_ref().map(|made| made.until.as_str());
        let (written, warnings) = (&done.written, &done.warnings);
        let console = done.console.as_ref().map(|(at, tokens)| {
            let (url, socket) = match at {
                ConsolePlace::Port(address) => (Some(format!("http://{address}/")), None),
                ConsolePlace::Socket(path) => (None, Some(path.as_path())),
            };
            ConsoleAnswer { url, socket, tokens }
        });
        say_json(&InitAnswer { written, self_signed_until, warnings, console, next: &next });
        return;
    }
    done.written.iter().for_each(|path| say(&format!("wrote {}", path.display())));
    if let Some(made) = &done.made {
        say(&format!(
            "The certificate is signed by itself and ends on {}: it encrypts, but partners who verify\n\
             certificates will not accept it. Put one of a public authority in its place.",
            made.until
        ));
    }
    done.warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
    say(&format!("\nnext:\n  {}", next.join("\n  ")));
    if let Some((at, tokens)) = &done.console {
        let tokens = tokens.display();
        say(&match at {
            ConsolePlace::Port(address) => format!(
                "\nThe console is at http://{address}/ on this machine; log in with the token in {tokens}."
            ),
            ConsolePlace::Socket(path) => format!(
                "\nThe console is at the socket {path}: `ssh -L {forward} root@HOST` brings it to http://127.0.0.1:9925/ on \
                 your desk;\nlog in with the token in {tokens}.",
                path = path.display(),
                forward = in_shell(&format!("9925:{}", path.display()))
            ),
        });
    }
}

/// The commands that come next: check, start, a first message, its way.
fn next_steps(args: &InitArgs, done: &WrittenSetUp) -> Vec<String> {
    let usual = done.file == Path::new(CONFIG_FILE);
    let named = if usual {
        String::new()
    } else {
        format!(" --config {}", in_shell(&done.file.display().to_string()))
    };
    let (check, start) = if usual {
        // As the user that runs it, so that a file that it can't read is found now. Containers have no systemd.
        let start = if Path::new(SYSTEMD).is_dir() { "systemctl enable --now sealpost" } else { START };
        ("runuser -u sealpost -- sealpost check".to_owned(), start.to_owned())
    } else {
        (format!("sealpost check{named}"), format!("sealpost run{named}"))
    };
    let mut next = vec![check, start];
    if let Some(address) = args.listen.first() {
        let host = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
        };
        let to = in_shell(&done.postmaster);
        let port = address.port();
        // The null reverse-path is nobody's, so that it is admitted from anywhere.
        next.push(format!("swaks --server {host} --port {port} --tls --from '<>' --to {to}"));
        next.push(format!("sealpost trace {to}{named}"));
    }
    next
}

/// What `init --json` prints.
#[derive(Serialize)]
struct InitAnswer<'a> {
    written: &'a [PathBuf],
    #[serde(skip_serializing_if = "Option::is_none")]
    self_signed_until: Option<&'a str>,
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<ConsoleAnswer<'a>>,
    next: &'a [String],
}

#[derive(Serialize)]
struct ConsoleAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<&'a Path>,
    tokens: &'a Path,
}

const NAME: InitQuestion =
    InitQuestion { words: "Our host name, as other mail servers know it", flag: "--name HOST", usual: None };
const DOMAINS: InitQuestion = InitQuestion { words: "Our domains", flag: "--domain DOMAIN", usual: None };
const MAILBOX_HOST: InitQuestion = InitQuestion {
    words: "The server with their mailboxes, as HOST or HOST:PORT",
    flag: "--mailbox-host HOST",
    usual: None,
};
const NETWORKS: InitQuestion = InitQuestion {
    words: "Networks and addresses of our own servers, which may send to anyone",
    flag: "--own-network NETWORK",
    usual: Some("127.0.0.0/8 ::1"),
};
const NEXT_HOP: InitQuestion = InitQuestion {
    words: "Where mail for all other domains goes: mx, or a smart host",
    flag: "--next-hop mx|HOST",
    usual: Some("mx"),
};
const CERTIFICATE: InitQuestion = InitQuestion {
    words: "The PEM file of our certificate, or new to make one that is signed by itself",
    flag: "--certificate FILE --key FILE, or --self-signed",
    usual: Some(NEW),
};
const PRIVATE_KEY: InitQuestion =
    InitQuestion { words: "The PEM file of its private key", flag: "--key FILE", usual: None };
const NEW: &str = "new";

/// There if systemd is what started this machine (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";
const START: &str = "setpriv --reuid sealpost --regid sealpost --init-groups --inh-caps=+net_bind_service \
                     --ambient-caps=+net_bind_service sealpost run";

const FILE: &str = "sealpost.toml";
const CHAIN: &str = "tls/gw.crt";
const KEY: &str = "tls/gw.key";
const TOKENS: &str = "tokens";

/// The configuration that the package installs, which says nothing about anybody's site.
const STARTING: &str = include_str!("init/starting.toml");
