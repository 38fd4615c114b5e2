//! The verdict of one profile on a whole configuration, for an auditor: what conforms, what does not and what to write,
//! and what can't be claimed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::check::CheckedFile;
use super::fault::{Fault, Report};
use super::keys::{Entry, ListenerEntry};
use super::profiled::gaps;
use super::schema;
use crate::connector::{Forced, Inbound, InboundTls, Mode, Outbound, OutboundTls, Profile};
use crate::listen::settings::{Listener, ListenerTls};
use crate::tls::Identity;

/// What a profile makes of a configuration.
#[derive(Debug, Serialize)]
pub struct ProfileVerdict {
    /// The name of the profile.
    pub profile: &'static str,
    /// The guideline and its edition.
    pub source: &'static str,
    /// Whether every part conforms.
    pub conforms: bool,
    /// The listeners and connectors at which mail may also travel in plaintext, since TLS is not required there.
    pub plaintext: Vec<String>,
    /// Each listener and connector, in the order of the file.
    pub parts: Vec<PartVerdict>,
    /// What can't be claimed, whatever is configured.
    pub unclaimed: &'static [&'static str],
}

/// What a profile makes of one listener or connector.
#[derive(Debug, Serialize)]
pub struct PartVerdict {
    /// What it is, and its name.
    pub part: String,
    /// Whether it conforms; `None` if it was not looked at.
    pub conforms: Option<bool>,
    /// Whether mail may also travel in plaintext.
    pub plaintext: bool,
    /// What conforms.
    pub holds: Vec<String>,
    /// What does not, with its position and what to write.
    #[serde(serialize_with = "as_objects")]
    pub findings: Vec<Fault>,
    /// What can't be claimed of it, and why.
    pub unclaimed: Vec<String>,
}

/// The configuration that is judged: its text, and what was read from it.
pub(super) struct JudgedFile<'a> {
    pub(super) name: &'a Path,
    pub(super) text: &'a str,
    pub(super) file: &'a schema::File,
    pub(super) checked: &'a CheckedFile,
    pub(super) identities: &'a BTreeMap<String, Arc<Identity>>,
}

/// Judges a configuration without errors.
pub(super) fn of(profile: Profile, judged: &JudgedFile<'_>) -> ProfileVerdict {
    let mut parts = Vec::new();
    for (entry, listener) in judged.file.listener.iter().zip(&judged.checked.listen.listeners) {
        parts.push(of_listener(profile, judged, entry.get_ref(), listener));
    }
    for (entry, connector) in judged.file.inbound.iter().zip(&judged.checked.inbound) {
        parts.push(of_inbound(profile, judged, entry.get_ref(), connector));
    }
    for (entry, connector) in judged.file.outbound.iter().zip(&judged.checked.outbound) {
        parts.push(of_outbound(profile, judged, entry.get_ref(), connector));
    }
    let conforms = parts.iter().all(|part| part.conforms != Some(false));
    let plaintext = parts.iter().filter(|part| part.plaintext).map(|part| part.part.clone()).collect();
    let table = profile.table();
    let (source, unclaimed) = (table.source, table.unclaimed);
    ProfileVerdict { profile: table.name, source, conforms, plaintext, parts, unclaimed }
}

/// One part while it is looked at.
struct Part<'a> {
    profile: Profile,
    judged: &'a JudgedFile<'a>,
    name: String,
    report: Report<'a>,
    plaintext: bool,
    holds: Vec<String>,
    unclaimed: Vec<String>,
}

impl<'a> Part<'a> {
    fn new(profile: Profile, judged: &'a JudgedFile<'a>, name: String) -> Self {
        let report = Report::new(judged.name, judged.text);
        Self { profile, judged, name, report, plaintext: false, holds: Vec::new(), unclaimed: Vec::new() }
    }

    /// TLS is not required: mail may travel in plaintext, which the words say.
    fn in_plaintext_too(&mut self, words: &str) {
        self.plaintext = true;
        self.unclaimed.push(words.to_owned());
    }

    fn finding(&mut self, place: Option<Range<usize>>, words: impl Into<String>) {
        self.report.warn(place.unwrap_or_default(), words);
    }

    /// Whether this profile limits it, written at `profile`, or missing beside `tls`.
    fn limited(&mut self, entry: &impl Entry, written: Option<Profile>, held: &str) {
        let profile = self.profile;
        match written {
            Some(other) if profile.includes(other) => self.holds.push(format!("{held} {other}")),
            Some(other) => self.finding(
                entry.place("profile"),
                format!("{other} allows what {profile} does not; write profile = \"{profile}\""),
            ),
            None => {
                let words = format!("nothing limits it to {profile}; write profile = \"{profile}\"");
                self.finding(entry.place("tls"), words);
            }
        }
    }

    fn certificates(&mut self, ids: &[String], place: Option<Range<usize>>) {
        let profile = self.profile;
        for (id, identity) in ids.iter().filter_map(|id| Some((id, self.judged.identities.get(id)?))) {
            let strength = &identity.facts().strength;
            let found = gaps(profile, identity);
            if found.is_empty() {
                let words = format!("[certificate.{id}]: {}, {}", strength.key, strength.signature);
                self.holds.push(words);
            }
            for gap in found {
                let words = format!(
                    "[certificate.{id}] does not conform: {gap}; have one issued that does ({})",
                    profile.certificates_in_words()
                );
                self.report.warn(place.clone().unwrap_or_default(), words);
            }
            if let Some(gap) = profile.phased_out(identity.facts()) {
                self.unclaimed
                    .push(format!("[certificate.{id}] conforms for now: {gap}, which must be phased out"));
            }
        }
    }

    /// What a forced requirement comes to.
    fn forced(&mut self, entry: &impl Entry, forced: &Forced, mode: Mode) {
        self.limited(entry, forced.profile, "sessions and certificates are judged by");
        if mode == Mode::Audit {
            self.plaintext = true;
            let words = "mode = \"audit\" enforces nothing; write mode = \"enforce\"";
            self.finding(entry.place("mode"), words);
        }
    }

    fn done(self) -> PartVerdict {
        let findings = self.report.finish().unwrap_or_else(|faults| faults.list().to_vec());
        PartVerdict {
            part: self.name,
            conforms: Some(findings.is_empty()),
            plaintext: self.plaintext,
            holds: self.holds,
            findings,
            unclaimed: self.unclaimed,
        }
    }

    fn skipped(mut self, why: &str) -> PartVerdict {
        self.unclaimed.push(format!("not looked at: {why}"));
        PartVerdict { conforms: None, ..self.done() }
    }
}

fn of_listener<'a>(
    profile: Profile,
    judged: &'a JudgedFile<'a>,
    entry: &ListenerEntry,
    listener: &Listener,
) -> PartVerdict {
    let mut part = Part::new(profile, judged, format!("listener {}", listener.name));
    let place = entry.place("tls");
    match listener.tls {
        ListenerTls::Off if listener.addresses.iter().all(is_local) => {
            return part.skipped("it listens on loopback addresses only, without TLS");
        }
        ListenerTls::Off => {
            let words = format!(
                "mail comes in plaintext; write tls = \"starttls\" or \"required\", a certificate, and profile = \
                 \"{profile}\""
            );
            part.plaintext = true;
            part.finding(place, words);
            return part.done();
        }
        ListenerTls::StartTls => {
            part.in_plaintext_too(
                "that mail comes in over TLS: tls = \"starttls\" offers it, and clients may send in plaintext",
            );
            if profile.table().demands_master_secret {
                part.unclaimed.push(
                    "that TLS 1.2 sessions have the extended master secret: it is offered, and a client without it is refused \
                     only where tls is \"required\" or \"implicit\""
                        .to_owned(),
                );
            }
        }
        ListenerTls::Required | ListenerTls::Implicit => {}
    }
    part.limited(entry, listener.profile, "handshakes are limited to");
    part.certificates(&listener.certificates, entry.place("certificate"));
    part.done()
}

fn of_inbound<'a>(
    profile: Profile,
    judged: &'a JudgedFile<'a>,
    entry: &impl Entry,
    connector: &Inbound,
) -> PartVerdict {
    let mut part = Part::new(profile, judged, format!("inbound connector {}", connector.name));
    if connector.mode == Mode::Off {
        return part.skipped("its mode is off");
    }
    match &connector.tls {
        InboundTls::Off | InboundTls::Opportunistic => {
            let words = "that its mail comes in over TLS: TLS is not forced; what is negotiated is up to the listeners";
            part.unclaimed.push(words.to_owned());
            part.plaintext = offers_plaintext(connector, &judged.checked.listen.listeners);
        }
        InboundTls::Forced(forced) => {
            part.forced(entry, forced, connector.mode);
            if !forced.needs_certificate() {
                part.unclaimed.push(
                    "anything about client certificates: require = \"encryption\" asks for none".to_owned(),
                );
            }
            if profile.table().demands_master_secret {
                part.unclaimed.push(
                    "that its TLS 1.2 sessions have the extended master secret, which can't be seen at MAIL FROM: limit it to \
                     listeners that require TLS and have the profile"
                        .to_owned(),
                );
            }
        }
    }
    part.done()
}

/// Whether clients that it covers can send in plaintext: a listener that they come by does not require TLS.
fn offers_plaintext(connector: &Inbound, listeners: &[Listener]) -> bool {
    let covers = |listener: &Listener| {
        connector.listeners.is_empty() || connector.listeners.iter().any(|name| **name == listener.name)
    };
    listeners
        .iter()
        .any(|one| covers(one) && !matches!(one.tls, ListenerTls::Required | ListenerTls::Implicit))
}

fn of_outbound<'a>(
    profile: Profile,
    judged: &'a JudgedFile<'a>,
    entry: &impl Entry,
    connector: &Outbound,
) -> PartVerdict {
    let mut part = Part::new(profile, judged, format!("outbound connector {}", connector.name));
    if connector.mode == Mode::Off {
        return part.skipped("its mode is off");
    }
    match &connector.tls {
        OutboundTls::Off => {
            let words =
                format!("mail leaves in plaintext; write tls = \"forced\" and profile = \"{profile}\"");
            part.plaintext = true;
            part.finding(entry.place("tls"), words);
        }
        OutboundTls::Opportunistic(None) if profile.excludes_usual_peers() => {
            let words = format!(
                "nothing limits it to {profile}; write tls = \"forced\" and profile = \"{profile}\" for the partners that must \
                 conform: with opportunistic TLS, hosts that have nothing in common with the profile would get mail in plaintext"
            );
            part.finding(entry.place("tls"), words);
        }
        OutboundTls::Opportunistic(written) => part.limited(entry, *written, "handshakes are limited to"),
        OutboundTls::Forced(forced) => {
            part.forced(entry, forced, connector.mode);
            if forced.trust().is_empty() {
                part.unclaimed.push(
                    "anything about the partner's certificate but its key: require = \"encryption\" checks no chain"
                        .to_owned(),
                );
            }
        }
    }
    if matches!(connector.tls, OutboundTls::Opportunistic(_)) {
        part.in_plaintext_too(
            "that mail leaves over TLS, or to whom: opportunistic TLS judges no certificate and may go on in plaintext",
        );
        if profile.table().demands_master_secret {
            part.unclaimed.push(
                "that TLS 1.2 sessions have the extended master secret: it is offered, and a host without it is refused only \
                 where tls is \"forced\""
                    .to_owned(),
            );
        }
    }
    if let Some(id) = &connector.client_certificate {
        part.certificates(&[id.to_string()], entry.place("client_certificate"));
    }
    part.done()
}

fn is_local(address: &SocketAddr) -> bool {
    address.ip().is_loopback()
}

fn as_objects<S: Serializer>(faults: &[Fault], serializer: S) -> Result<S::Ok, S::Error> {
    Fault::to_json_list(faults).serialize(serializer)
}
