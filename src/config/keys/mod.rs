//! The keys of the configuration file, each declared once: how it is written, its default, when it applies,
//! what it means. The schema, the errors about unknown and ignored keys, `check --json`,
//! `config/sealpost.toml` and the reference page are made from these declarations. What a value means to a
//! module is not decided here.

mod admin;
mod alerts;
mod brake;
mod certificate;
mod crl;
mod demands;
mod dns;
mod echo;
mod entry;
mod evidence;
mod forced;
mod forms;
mod inbound;
mod key;
mod kinds;
mod limits;
mod listener;
mod log;
mod outbound;
mod pages;
mod partner;
mod queue;
mod raise;
mod reports;
mod section;
mod server;
#[cfg(test)]
mod tests;
mod timeouts;
mod tracking;
mod watch;
mod words;

use serde_json::Value;

pub(super) use admin::{AdminEntry, AdminValues};
pub(super) use alerts::{AlertsEntry, AlertsValues};
pub(super) use brake::{BrakeEntry, BrakeValues};
pub(super) use certificate::{CertificateEntry, TrustEntry};
pub(super) use crl::{CrlEntry, CrlValues};
pub(super) use demands::Demands;
pub(super) use dns::{DnsEntry, DnsValues};
pub(super) use echo::{EchoEntry, EchoValues};
pub(super) use entry::Entry;
pub(super) use evidence::{EvidenceEntry, EvidenceValues};
pub(super) use inbound::{InboundEntry, InboundValues};
pub(super) use key::{Key, Section};
pub(crate) use key::{List, Text};
pub(super) use kinds::OneOrMany;
pub(super) use limits::{LimitsEntry, LimitsValues};
pub(super) use listener::{ListenerEntry, ListenerValues};
pub(super) use log::{LogEntry, LogValues};
pub(super) use outbound::{OutboundEntry, OutboundValues};
pub use pages::{reference_page, sample_file};
pub(super) use partner::PartnerEntry;
pub(super) use queue::{QueueEntry, QueueValues};
pub(super) use raise::{RaiseEntry, RaiseValues};
pub(super) use reports::{ReportEvery, ReportsEntry, ReportsValues};
pub(super) use server::ServerEntry;
pub(crate) use server::ServerValues;
pub(super) use timeouts::{TimeoutsEntry, TimeoutsValues};
pub(super) use tracking::{TrackingEntry, TrackingValues};
pub(super) use watch::{WatchEntry, WatchValues};
pub(super) use words::{Level, OutboundTlsKey, RaiseTo, TlsIn};

/// Every section, in the order of the file.
pub(super) const SECTIONS: &[&Section] = &[
    &server::SECTION,
    &certificate::CERTIFICATE,
    &certificate::TRUST,
    &listener::SECTION,
    &partner::SECTION,
    &inbound::SECTION,
    &outbound::SECTION,
    &raise::SECTION,
    &dns::SECTION,
    &crl::SECTION,
    &queue::SECTION,
    &limits::SECTION,
    &brake::SECTION,
    &echo::SECTION,
    &watch::SECTION,
    &timeouts::SECTION,
    &tracking::SECTION,
    &evidence::SECTION,
    &admin::SECTION,
    &alerts::SECTION,
    &reports::SECTION,
    &log::SECTION,
];

/// Whether a change takes effect only after a restart: to the value of a key, or with `None` to the entries of a
/// section. A reload applies only what is declared so.
#[must_use]
pub fn needs_restart(section: &str, key: Option<&str>) -> bool {
    let Some(section) = SECTIONS.iter().find(|one| one.name == section) else { return true };
    let declared = key.and_then(|key| section.keys.iter().find(|one| one.name == key));
    !section.reload && !declared.is_some_and(|key| key.reload)
}

/// The values of an entry as `check --json` shows them: null where a key does not apply.
pub(super) fn shown<E: Entry>(entry: &E, values: &E::Values) -> serde_json::Map<String, Value> {
    let applies = |key: &Key| entry.ignored(key).is_none();
    let one =
        |(key, value): (&Key, Value)| (key.name.to_owned(), if applies(key) { value } else { Value::Null });
    E::KEYS.iter().zip(E::shown(values)).map(one).collect()
}
