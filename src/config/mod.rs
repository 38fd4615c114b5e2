//! The only module that knows TOML: it reads the file, checks it once, and fills in each module's settings.
//! It does not watch files, open sockets or create folders, and decides nothing about mail.

mod adoption;
mod alerts;
mod arrivals;
mod believed;
mod check;
mod clouds;
mod connectors;
mod dates;
mod demands;
mod draft;
mod echo;
mod fault;
mod files;
mod hooks;
mod keys;
mod known;
mod lenient;
mod lint;
mod lists;
mod load;
mod login;
mod materials;
mod named;
mod never;
mod offered;
mod outbound;
mod overridden;
mod partners;
mod ports;
mod presented;
mod profiled;
mod raise;
mod reported;
mod schema;
mod settings;
mod trust;
mod units;
mod values;
mod verdict;
mod view;
mod watched;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use adoption::{Adoption, AdoptionFile};
pub use dates::{ended_ocsp, moved_exchanger};
pub use fault::{Fault, Faults, UnmetRequirement};
pub(crate) use keys::ServerValues;
pub use keys::{needs_restart, reference_page, sample_file};
pub use load::{LocalListener, control_socket, data_dir_of, load, load_judged, load_text, local_listener};
pub use units::nearest;
pub use verdict::{PartVerdict, ProfileVerdict};

use crate::admin::AdminSettings;
use crate::alert::AlertSettings;
use crate::connector::{EchoMailbox, Generation, Inbound, Ourselves, Outbound, SmartHost, Table, TrustId};
use crate::mail::UnixMillis;
use crate::reports::ReportSettings;
use crate::seal::SealSettings;
use crate::tls::{Identity, TrustSet};
use crate::tracking::TrackingSettings;
use crate::{deliver, listen, lookout, resolver, retrieve, scheduler};

/// A checked configuration: the settings of every module.
#[derive(Clone)]
pub struct Config {
    /// The file it was read from, as passed.
    pub file: PathBuf,
    /// Every file that was read: the configuration, certificates, keys, trust anchors and lists.
    pub files: Vec<PathBuf>,
    /// The folder of the spool; loading does not create it.
    pub data_dir: PathBuf,
    /// The values of `[server]`.
    pub(crate) server: ServerValues,
    /// The path of the control socket, in `data_dir`.
    pub control: PathBuf,
    /// The settings of the listeners.
    pub listen: listen::settings::Settings,
    /// The settings of deliveries.
    pub deliver: deliver::settings::Settings,
    /// The settings of the queue.
    pub scheduler: scheduler::settings::Settings,
    /// The settings of DNS lookups.
    pub resolver: resolver::settings::Settings,
    /// How revocation lists are fetched.
    pub retrieve: retrieve::settings::Settings,
    /// The inbound connectors: who may hand us mail.
    pub inbound: Vec<Inbound>,
    /// The outbound connectors: where mail is sent.
    pub outbound: Vec<Outbound>,
    /// Our certificates, by the ID of `[certificate.ID]`.
    pub identities: BTreeMap<String, Arc<Identity>>,
    /// The trust anchor sets that connectors name; `system` only if a connector uses it.
    pub trust: BTreeMap<TrustId, Arc<TrustSet>>,
    /// The echo mailbox, if there is one.
    pub echo: Option<EchoMailbox>,
    /// How long a reload waits for transactions that a stricter connector does not allow.
    pub drain: Duration,
    /// When the successor of a certificate takes over, by the ID of `[certificate.ID]`; only future dates.
    pub staged: BTreeMap<String, UnixMillis>,
    /// What is kept of each message.
    pub tracking: TrackingSettings,
    /// How the record of events is sealed, if it is.
    pub seal: Option<SealSettings>,
    /// The admin listener, if there is one.
    pub admin: Option<AdminSettings>,
    /// Who hears of what goes wrong.
    pub alerts: AlertSettings,
    /// Who gets reports by mail, and when; `None`: nobody.
    pub reports: Option<ReportSettings>,
    /// What is watched.
    pub watch: lookout::settings::Settings,
    /// The settings of the program's own log.
    pub log: LogSettings,
    /// The requirements that nobody can meet at the moment.
    pub unmet: Vec<UnmetRequirement>,
    /// What is valid but probably unintended, sorted by position.
    pub warnings: Vec<Fault>,
    /// Every value in effect, for `check --json`.
    in_force: Value,
    /// The contents of the line-based files.
    lists: Arc<named::Lists>,
    /// The file's text.
    text: Arc<str>,
}

impl Config {
    /// The outbound connector of this name.
    ///
    /// # Errors
    /// There is none: in a sentence, with a name that is like it.
    pub fn outbound_named(&self, name: &str) -> Result<&Outbound, String> {
        self.outbound.iter().find(|connector| *connector.name == *name).ok_or_else(|| {
            let known: Vec<&str> = self.outbound.iter().map(|connector| &*connector.name).collect();
            unknown_name("outbound connector", name, &known)
        })
    }

    /// The table of its connectors.
    #[must_use]
    pub fn table(&self, generation: Generation) -> Table {
        let trust = self.trust.iter().map(|(id, set)| (id.clone(), set.contents())).collect();
        let certificates = self.identities.iter().map(|(id, own)| (id.as_str().into(), own.facts().clone()));
        let ourselves = Ourselves { echo: self.echo.clone(), certificates: certificates.collect() };
        let table = Table::new(generation, self.inbound.clone(), self.outbound.clone());
        table.trusting(trust).presenting(ourselves)
    }
}

impl fmt::Debug for Config {
    /// Only the values in effect, as `check` shows them; no key material.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("file", &self.file)
            .field("in_force", &self.in_force())
            .finish_non_exhaustive()
    }
}

/// How the program's own log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Whether lines are text or JSON.
    pub format: LogFormat,
    /// A level, or a filter as `tracing_subscriber::EnvFilter` parses it.
    pub level: String,
    /// Maximum octets of the protocol log's files.
    pub protocol_bytes_max: u64,
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Plain text, for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The answer to a name that nothing has, with the nearest one that something has.
#[must_use]
pub fn unknown_name(what: &str, name: &str, known: &[&str]) -> String {
    if known.is_empty() {
        return format!("there is no {what} \"{name}\", nor any other");
    }
    let choices = values::choices(name, known.iter().copied(), "names");
    format!("there is no {what} \"{name}\"{choices}")
}

/// A host as `next_hop` writes it: a name or an address, with a port unless it is the usual one.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn host_and_port(text: &str, usual: u16) -> Result<SmartHost, String> {
    units::smart_host(text, usual).map_err(|fault| fault.to_string())
}

/// Parses a duration as the configuration writes it: `30m`, `2d`.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|fault| fault.to_string())
}

/// Parses a date, meaning midnight UTC, or a date and time in RFC 3339 format, as the configuration writes them.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn moment(text: &str) -> Result<UnixMillis, String> {
    units::moment(text)
}
