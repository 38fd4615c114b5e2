//! Sums by day for reports: how many messages went or came, by domain, connector, outcome and TLS. Pure; they are kept
//! longer than events.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::code::StoredWord;
use super::record::{EventFacts, EventKind, NewEvent};
use super::terms;
use crate::connector::{
    Attainment, ChainVerdict, Decision, PeerName, RequiredTls, Requirement, Ruling, TlsFacts, first_match,
};
use crate::mail::UnixMillis;

/// How well a session was protected, as far as a certificate can be judged without a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TlsQuality {
    /// There was no session.
    #[default]
    NoSession,
    /// In plaintext.
    Plaintext,
    /// Over TLS, with a certificate that no trust anchor vouches for, or none, or one that was not looked at.
    Encrypted,
    /// A trust anchor vouches for the certificate, and it has another name.
    Trusted,
    /// A trust anchor vouches for the certificate, and it has the name of the host.
    Named,
    /// A trust anchor vouches for the certificate, and it has the name of the domain, which no DNS answer can change.
    DomainNamed,
}

impl StoredWord for TlsQuality {
    const ALL: &'static [(Self, &'static str, u8)] = &[
        (Self::NoSession, "no-session", 0),
        (Self::Plaintext, "plaintext", 1),
        (Self::Encrypted, "encrypted", 2),
        (Self::Trusted, "trusted", 3),
        (Self::Named, "named", 4),
        (Self::DomainNamed, "domain-named", 5),
    ];
}

impl TlsQuality {
    /// Of a session with a host, for a domain.
    fn of(decision: &Decision, domain: &str) -> Self {
        let Some(tls) = decision.tls() else {
            return if decision.is_in_plaintext() { Self::Plaintext } else { Self::NoSession };
        };
        let Some(certificate) = tls.certificate().filter(|one| one.proved) else { return Self::Encrypted };
        if !certificate.chain.values().any(|verdict| *verdict == ChainVerdict::Trusted) {
            return Self::Encrypted;
        }
        let host = decision.host.as_deref().map(terms::host_name).unwrap_or_default();
        let has = |name: &str| {
            PeerName::parse(name).is_ok_and(|name| first_match(&[name], &certificate.names).is_some())
        };
        if has(domain) {
            Self::DomainNamed
        } else if has(host) {
            Self::Named
        } else {
            Self::Trusted
        }
    }
}

/// What one sum is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SumKey {
    /// Days since 1970, in UTC.
    pub day: i64,
    /// Whether mail came in or went out.
    pub inbound: bool,
    /// The connector; empty if there was none.
    pub connector: String,
    /// The partner; empty if there was none.
    pub partner: String,
    /// The sender's domain of what came in, the recipient's of what went out; empty if it is not counted.
    pub domain: String,
    /// What happened.
    pub kind: EventKind,
    /// Why: the token of the decision, or else a status code.
    pub reason: String,
    /// The requirement of the connector.
    pub requirement: RequiredQuality,
    /// The TLS version; empty in plaintext and without a session.
    pub version: String,
    /// How well it was protected.
    pub quality: TlsQuality,
}

impl SumKey {
    /// Whether it is of this partner, or of this connector of none.
    #[must_use]
    pub fn is_of(&self, name: &str) -> bool {
        self.partner == name || (self.partner.is_empty() && self.connector == name)
    }
}

/// What a connector required of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum RequiredQuality {
    /// Nothing.
    #[default]
    Nothing,
    /// TLS, in audit: enforced for nobody, whatever was shown.
    Audit,
    /// TLS, and it was enforced.
    Forced,
}

impl StoredWord for RequiredQuality {
    const ALL: &'static [(Self, &'static str, u8)] =
        &[(Self::Nothing, "nothing", 0), (Self::Audit, "audit", 1), (Self::Forced, "forced", 2)];
}

impl RequiredQuality {
    fn of(decision: &Decision) -> Self {
        if matches!(decision.ruling, Ruling::Waived(_) | Ruling::WaivedClient(_))
            || matches!(&decision.required, RequiredTls::Session(Requirement::Audit(_)))
        {
            return Self::Audit;
        }
        let client = |decision: &Decision| match &decision.required {
            RequiredTls::Client { tls, .. } => tls.is_some(),
            RequiredTls::Session(_)
            | RequiredTls::InboundConnector
            | RequiredTls::TlsAsBefore
            | RequiredTls::Onward(_) => false,
        };
        if decision.required.is_forced() || client(decision) { Self::Forced } else { Self::Nothing }
    }
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sum {
    /// Messages that came in; recipients for whom an attempt ended so.
    pub messages: u64,
    /// Sessions in which the first of them went or came.
    pub sessions: u64,
    /// Octets of what was accepted or delivered.
    pub octets: u64,
    /// The hosts, or the names in clients' certificates, that were seen; [`MORE_HOSTS`] stands for further ones.
    pub hosts: BTreeSet<String>,
}

impl Sum {
    fn see(&mut self, host: String) {
        let is_word = !host.is_empty() && !host.contains(char::is_whitespace);
        if self.hosts.contains(&host) || !is_word {
            return;
        }
        let room = self.hosts.len() < HOSTS_MAX;
        self.hosts.insert(if room { host } else { MORE_HOSTS.to_owned() });
    }
}

/// Whether events of this kind are counted as what came in, or as what went out; `None`: they are not counted.
pub(super) fn direction(kind: EventKind) -> Option<bool> {
    match kind {
        EventKind::Accepted => Some(true),
        EventKind::Delivered | EventKind::Deferred | EventKind::Failed | EventKind::Rerouted => Some(false),
        EventKind::Refused
        | EventKind::SessionEnded
        | EventKind::Reported
        | EventKind::Plaintext
        | EventKind::Waived
        | EventKind::Held
        | EventKind::Handled
        | EventKind::Started
        | EventKind::Stopped
        | EventKind::Reloaded
        | EventKind::Override
        | EventKind::Validated
        | EventKind::PartnerChanged
        | EventKind::Alarm
        | EventKind::AlarmCleared => None,
    }
}

/// The sums of a batch.
#[derive(Debug, Default)]
pub(super) struct BatchSums {
    sums: Vec<(SumKey, Sum)>,
    places: HashMap<SumKey, usize>,
    /// The place of events that are alike, so that a key is made once for a batch: by decision, kind, day, and a hash of
    /// the domain.
    alike: HashMap<(usize, EventKind, i64, u64), usize>,
}

impl BatchSums {
    /// Counts an event. `fresh`: its session has not been counted yet.
    pub(super) fn count(&mut self, event: &NewEvent, fresh: bool) {
        let Some(inbound) = direction(event.kind) else { return };
        let address = if inbound { &event.facts.reverse_path } else { &event.facts.forward_path };
        let domain = address.as_deref().and_then(terms::domain).unwrap_or_default();
        let decision = event.decision.as_deref();
        // Without a decision the reason is that of the event.
        let pointer = event.decision.as_ref().map(|decision| Arc::as_ptr(decision).addr());
        let like = pointer.map(|pointer| (pointer, event.kind, event.at.day(), terms::hash(domain)));
        let known = like.and_then(|like| self.alike.get(&like).copied());
        let place = known.unwrap_or_else(|| {
            let place = self.place(key(event, decision, (inbound, domain.to_ascii_lowercase())));
            if let Some(like) = like {
                self.alike.insert(like, place);
            }
            place
        });
        let Some((_, sum)) = self.sums.get_mut(place) else { return };
        sum.messages = sum.messages.saturating_add(1);
        sum.sessions = sum.sessions.saturating_add(u64::from(fresh));
        if matches!(event.kind, EventKind::Accepted | EventKind::Delivered) {
            sum.octets = sum.octets.saturating_add(event.facts.size.unwrap_or_default());
        }
        if fresh && let Some(host) = decision.and_then(seen_host) {
            sum.see(host);
        }
    }

    /// Adds refusals that were only counted.
    pub(super) fn add_door(&mut self, door: &DoorSums) {
        for (key, count) in &door.0 {
            let place = self.place(key.clone());
            if let Some((_, sum)) = self.sums.get_mut(place) {
                sum.messages = sum.messages.saturating_add(*count);
            }
        }
    }

    fn place(&mut self, key: SumKey) -> usize {
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let place = self.sums.len();
        self.places.insert(key.clone(), place);
        self.sums.push((key, Sum::default()));
        place
    }

    pub(super) fn into_sums(self) -> Vec<(SumKey, Sum)> {
        self.sums
    }
}

/// Refusals, by connector and reason; never by domain, which a stranger chooses.
#[derive(Debug, Default)]
pub(super) struct DoorSums(pub(super) BTreeMap<SumKey, u64>);

impl DoorSums {
    pub(super) fn count(&mut self, key: SumKey) {
        let count = self.0.entry(key).or_default();
        *count = count.saturating_add(1);
    }

    /// Takes in others.
    pub(super) fn add(&mut self, others: Self) {
        for (key, more) in others.0 {
            let count = self.0.entry(key).or_default();
            *count = count.saturating_add(more);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How a refusal is counted.
pub(super) fn refusal_key(at: UnixMillis, code: u16, decision: Option<&Arc<Decision>>) -> SumKey {
    let facts = EventFacts { reply: Some(code.to_string()), ..EventFacts::default() };
    let event = NewEvent { at, kind: EventKind::Refused, id: None, facts, decision: None };
    key(&event, decision.map(|one| &**one), (true, String::new()))
}

fn key(event: &NewEvent, decision: Option<&Decision>, (inbound, domain): (bool, String)) -> SumKey {
    let named = decision.and_then(|decision| decision.connector.as_deref());
    let status = || {
        let code = event.facts.reply.as_deref().and_then(|reply| reply.get(..3)).map(str::to_owned);
        event.facts.status.clone().or(code).unwrap_or_default()
    };
    SumKey {
        day: event.at.day(),
        inbound,
        connector: named.or(event.facts.connector.as_deref()).unwrap_or_default().to_owned(),
        partner: decision
            .and_then(|one| one.partner.as_ref())
            .map_or_else(String::new, |one| one.name.to_string()),
        kind: event.kind,
        reason: decision.map_or_else(status, |decision| decision.token().into_owned()),
        requirement: decision.map(RequiredQuality::of).unwrap_or_default(),
        version: decision.and_then(Decision::tls).map_or_else(String::new, |tls| tls.version.to_string()),
        quality: decision.map(|decision| TlsQuality::of(decision, &domain)).unwrap_or_default(),
        domain,
    }
}

/// Of what went out, the host; of what came in, the name in the client's certificate.
fn seen_host(decision: &Decision) -> Option<String> {
    let certificate =
        |tls: &TlsFacts| tls.certificate().and_then(|one| one.names.first()).map(ToString::to_string);
    match &decision.attained {
        Attainment::Client { tls, .. } => tls.as_deref().and_then(certificate),
        Attainment::Tls(_) | Attainment::Plaintext => {
            decision.host.as_deref().map(|host| terms::host_name(host).to_owned())
        }
        Attainment::NoSession | Attainment::Settings { .. } => None,
    }
}

/// Hosts of a sum that are remembered by name.
const HOSTS_MAX: usize = 8;
/// In place of those that are not.
pub(super) const MORE_HOSTS: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{Forced, samples};

    fn shown(names: &[&str], verdict: ChainVerdict, requirement: Requirement) -> Decision {
        Decision {
            connector: Some("internet".into()),
            partner: None,
            host: Some("mx.b.example [192.0.2.7]:25".to_owned()),
            required: RequiredTls::Session(requirement),
            attained: Attainment::Tls(Arc::new(samples::shown(names, verdict))),
            ruling: Ruling::Sealed,
        }
    }

    #[test]
    fn whose_name_a_certificate_has_is_told_apart() {
        let quality = |names: &[&str]| {
            TlsQuality::of(
                &shown(names, ChainVerdict::Trusted, Requirement::Opportunistic(None)),
                "b.example",
            )
        };
        assert_eq!(quality(&["mx.b.example"]), TlsQuality::Named);
        assert_eq!(quality(&["b.example"]), TlsQuality::DomainNamed);
        assert_eq!(quality(&["mx.b.example", "b.example"]), TlsQuality::DomainNamed);
        assert_eq!(quality(&["other.example"]), TlsQuality::Trusted);
        for &(quality, word, number) in TlsQuality::ALL {
            assert_eq!((quality.word(), quality.number()), (word, number));
            assert_eq!(TlsQuality::numbered(number), Some(quality));
        }
    }

    #[test]
    fn what_is_in_audit_is_so_whether_it_was_met_or_not() {
        let required = |requirement: Requirement| {
            RequiredQuality::of(&shown(&["mx.b.example"], ChainVerdict::Trusted, requirement))
        };
        assert_eq!(required(Requirement::Audit(Forced::encryption())), RequiredQuality::Audit);
        assert_eq!(required(Requirement::Forced(Forced::encryption())), RequiredQuality::Forced);
        assert_eq!(required(Requirement::Opportunistic(None)), RequiredQuality::Nothing);
    }
}
