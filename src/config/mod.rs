//! The one module that sees TOML: it reads the file, checks it once, and fills each module's
//! settings. It does not watch files, open sockets, create folders, or change anything; and it
//! decides nothing about mail.

mod check;
mod connectors;
mod demands;
mod fault;
mod files;
mod keys;
mod known;
mod lint;
mod lists;
mod load;
mod login;
mod materials;
mod named;
mod outbound;
mod presented;
mod schema;
mod units;
mod values;
mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

pub use fault::{Fault, Faults};
pub(crate) use keys::ServerValues;
pub use keys::{needs_restart, reference_page, sample_file};
pub use load::{LocalListener, control_socket, load, load_text, local_listener};

use crate::connector::{Inbound, Outbound, TrustId};
use crate::mail::UnixMillis;
use crate::tls::{Identity, TrustSet};
use crate::{deliver, listen, resolver, scheduler};

/// A configuration that was checked: what every module is told to do.
pub struct Config {
    /// The file it came from, as it was named.
    pub file: PathBuf,
    /// Every file that was read: this one, certificates, keys, trust anchors.
    pub files: Vec<PathBuf>,
    /// Where the spool lives; nothing is created there by loading.
    pub data_dir: PathBuf,
    /// What `[server]` says.
    pub(crate) server: ServerValues,
    /// The control socket, in `data_dir`.
    pub control: PathBuf,
    /// The listeners.
    pub listen: listen::settings::Settings,
    /// The deliveries.
    pub deliver: deliver::settings::Settings,
    /// The queue.
    pub scheduler: scheduler::settings::Settings,
    /// The look-ups.
    pub resolver: resolver::settings::Settings,
    /// Who may hand us mail.
    pub inbound: Vec<Inbound>,
    /// Where mail goes.
    pub outbound: Vec<Outbound>,
    /// Our certificates, by the ID of `[certificate.ID]`.
    pub identities: BTreeMap<String, Arc<Identity>>,
    /// The trust anchor sets that connectors name; `system` only if one does.
    pub trust: BTreeMap<TrustId, Arc<TrustSet>>,
    /// When the successor of a certificate takes over, by the ID of `[certificate.ID]`; only what is to come.
    pub staged: BTreeMap<String, UnixMillis>,
    /// The log.
    pub log: LogSettings,
    /// What is valid but probably unintended, in the order of the file.
    pub warnings: Vec<Fault>,
    /// Every value in effect, for `check --json`.
    in_force: Value,
}

impl fmt::Debug for Config {
    /// No key material: the values in effect, as `check` shows them.
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
    /// The form of a line.
    pub format: LogFormat,
    /// A level, or a filter as `tracing_subscriber::EnvFilter` reads it.
    pub level: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A duration as the configuration writes it: `30m`, `2d`.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    units::duration(text).map_err(|fault| fault.to_string())
}
