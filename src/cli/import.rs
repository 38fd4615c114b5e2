//! `import`: settings of another program to a configuration. It reads files, and writes only new ones.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::exit::{EXIT_NO, Failure};
use super::print::{complain, say_json};
use crate::config;
use crate::import::{self, Disk, ImportFault, NamedOctets, SideFile, Translation, Wishes};

/// What `import` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    #[command(subcommand)]
    source: ImportSource,
}

#[derive(Debug, clap::Subcommand)]
enum ImportSource {
    /// Connectors and accepted domains of Exchange Online and Exchange Server, exported as JSON or CSV.
    Exchange(ExchangeArgs),
    /// main.cf, master.cf and the tables that they name.
    Postfix(PostfixArgs),
}

#[derive(Debug, clap::Args)]
struct PostfixArgs {
    /// The folder with main.cf and master.cf: /etc/postfix, or a copy of it.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    into: IntoArgs,
}

#[derive(Debug, clap::Args)]
struct ExchangeArgs {
    /// Exports of Get-InboundConnector, Get-OutboundConnector, Get-SendConnector, Get-ReceiveConnector,
    /// Get-HybridConfiguration and Get-AcceptedDomain, in any order.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    into: IntoArgs,
}

/// What the source does not say.
#[derive(Debug, clap::Args)]
struct IntoArgs {
    /// Write the configuration to this new file; otherwise to standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The name of this server, if not that of the source.
    #[arg(long, value_name = "HOST")]
    name: Option<String>,
    /// The mailbox of the postmaster.
    #[arg(long, value_name = "MAILBOX")]
    postmaster: Option<String>,
    /// The server with the mailboxes of our own domains: HOST or HOST:PORT.
    #[arg(long, value_name = "HOST")]
    mailbox_host: Option<String>,
    /// Where certificates are, as ID.crt and ID.key. Keys that name one whose files are missing become comments.
    #[arg(long, value_name = "DIR", default_value = "/etc/sealpost/tls")]
    certificate_dir: PathBuf,
    /// The folder of the spool.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/sealpost")]
    data_dir: PathBuf,
    /// Print the configuration and the remarks as JSON.
    #[arg(long)]
    json: bool,
}

impl ImportArgs {
    /// Whether a program reads the answer.
    pub(super) fn is_json(&self) -> bool {
        self.into().json
    }

    fn into(&self) -> &IntoArgs {
        match &self.source {
            ImportSource::Exchange(args) => &args.into,
            ImportSource::Postfix(args) => &args.into,
        }
    }
}

/// Reads the source, writes the configuration, and reports what was not imported.
pub(super) fn import(args: &ImportArgs) -> Result<ExitCode, Failure> {
    let into = args.into();
    let wishes = into.wishes()?;
    let made = match &args.source {
        ImportSource::Exchange(args) => {
            let files = args.files.iter().map(|path| named(path)).collect::<Result<Vec<_>, _>>();
            files.and_then(|files| import::from_exchange(&files, &wishes, &LocalDisk))
        }
        ImportSource::Postfix(args) => {
            let folder = std::path::absolute(&args.folder).map_err(|e| Failure::new(EXIT_NO, e))?;
            let shown = args.folder.display().to_string();
            import::from_postfix(&shown, &folder.display().to_string(), &wishes, &LocalDisk)
        }
    };
    let made = made.map_err(|fault| Failure::new(EXIT_NO, fault))?;
    let folder = into.folder();
    for file in &made.files {
        create(&folder.join(&file.name), &file.text)?;
    }
    let shown = into.output.as_deref().unwrap_or(Path::new("imported.toml"));
    let faults = config::load_text(&made.text, folder, shown).err();
    match &into.output {
        Some(path) => create(path, &made.text)?,
        None if into.json => {}
        None => print(&made.text)?,
    }
    if into.json {
        say_json(&ImportAnswer::of(&made, into.output.as_deref()));
    }
    made.remarks.iter().for_each(|remark| complain(&format!("not imported: {remark}")));
    made.missing.iter().for_each(|what| complain(&format!("to do: {what} must be put there")));
    match faults {
        None => Ok(ExitCode::SUCCESS),
        Some(faults) => Err(Failure::new(EXIT_NO, format!("the result needs a correction\n{faults}"))),
    }
}

impl IntoArgs {
    fn wishes(&self) -> Result<Wishes, Failure> {
        let absolute = |path: &Path| {
            let whole = std::path::absolute(path).map_err(|e| Failure::new(EXIT_NO, e))?;
            Ok::<String, Failure>(whole.display().to_string())
        };
        if let Some(host) = &self.mailbox_host {
            let wrong = |why| Failure::new(EXIT_NO, format!("--mailbox-host {host}: {why}"));
            config::host_and_port(host, 25).map_err(wrong)?;
        }
        Ok(Wishes {
            name: self.name.clone(),
            postmaster: self.postmaster.clone(),
            mailbox_host: self.mailbox_host.clone(),
            certificate_dir: absolute(&self.certificate_dir)?,
            data_dir: absolute(&self.data_dir)?,
            beside: self.output.is_some().then(|| self.folder().display().to_string()),
        })
    }

    /// What paths of the configuration are relative to.
    fn folder(&self) -> &Path {
        let parent = self.output.as_deref().and_then(Path::parent);
        parent.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }
}

fn named(path: &Path) -> Result<NamedOctets, ImportFault> {
    let name = path.display().to_string();
    match read(path) {
        Ok(octets) => Ok(NamedOctets { name, octets }),
        Err(fault) => Err(ImportFault::Unreadable { file: name, words: fault.to_string() }),
    }
}

/// Reads a file, and no more of it than the import would take.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    File::open(path)?.take(import::FILE_BYTES_MAX + 1).read_to_end(&mut octets)?;
    Ok(octets)
}

fn create(path: &Path, text: &str) -> Result<(), Failure> {
    let fault = |e: std::io::Error| {
        let exists = e.kind() == std::io::ErrorKind::AlreadyExists;
        let otherwise = format!("can't be written: {e}");
        let why = if exists { "exists already, and nothing is overwritten".to_owned() } else { otherwise };
        Failure::new(EXIT_NO, format!("{}: {why}", path.display()))
    };
    let mut file = File::create_new(path).map_err(fault)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)
}

/// Standard output, without a line of its own at the end. A reader that closes the pipe is not an error.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(EXIT_NO, e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The files of this machine.
struct LocalDisk;

impl Disk for LocalDisk {
    fn is_file(&self, path: &str) -> bool {
        File::open(path).and_then(|file| file.metadata()).is_ok_and(|data| data.is_file())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        read(Path::new(path)).map_err(|e| e.to_string())
    }
}

/// What `import --json` prints.
#[derive(Serialize)]
struct ImportAnswer<'a> {
    /// The configuration, unless it was written to a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a Path>,
    not_imported: Vec<RemarkAnswer<'a>>,
    missing: &'a [String],
    files: Vec<&'a str>,
}

/// A setting without an exact counterpart.
#[derive(Serialize)]
struct RemarkAnswer<'a> {
    place: &'a str,
    setting: &'a str,
    value: &'a str,
    why: &'a str,
    instead: &'a str,
}

impl<'a> ImportAnswer<'a> {
    fn of(made: &'a Translation, output: Option<&'a Path>) -> Self {
        let remarks = made.remarks.iter().map(|one| RemarkAnswer {
            place: &one.place,
            setting: &one.remark.setting,
            value: &one.remark.value,
            why: &one.remark.why,
            instead: &one.remark.instead,
        });
        Self {
            configuration: output.is_none().then_some(made.text.as_str()),
            output,
            not_imported: remarks.collect(),
            missing: &made.missing,
            files: made.files.iter().map(|file: &SideFile| file.name.as_str()).collect(),
        }
    }
}
