//! What is known of a target's hosts, and what a look changes about it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::change::PartnerChange;
use super::sight::{CertificateSight, SessionSight, Sight, TlsSight};
use crate::connector::{TlsVersion, expiry_threshold};
use crate::mail::UnixMillis;

/// A host's name, and one of its addresses. Either may be missing: an address literal has no name, and a name may have no
/// address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LookHost {
    /// The name; empty if it has none.
    pub name: String,
    /// Address and port.
    pub address: String,
}

/// What is known of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// The last look, whatever it came to.
    pub at: UnixMillis,
    /// Why no host could be found at the last look.
    pub lost: Option<String>,
    /// How many looks in a row no host could be found.
    lost_looks: u32,
    /// Hosts or addresses that the last look left out, since there are too many.
    pub left_out: usize,
    /// Its hosts' addresses.
    #[serde(with = "hosts_as_list")]
    pub hosts: BTreeMap<LookHost, HostRecord>,
    /// What hosts showed lately, by name.
    shown: BTreeMap<String, ShownFacts>,
}

/// What is known of one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// The first look at it.
    pub first_at: UnixMillis,
    /// Since when what `last` says of it has been so.
    pub since: UnixMillis,
    /// What the last look saw.
    pub last: Sight,
    /// The last handshake.
    pub tls: Option<TlsSight>,
    /// What was settled: by one look, or by two in a row if it could have been over in a moment.
    known: SettledFacts,
    /// How many looks in a row came to something that may be over in a moment.
    passing_looks: u32,
    /// How many looks in a row it was not among the addresses.
    absent_looks: u32,
}

/// The facts that changes are measured by; `None`: not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct SettledFacts {
    answers: Option<bool>,
    tls: Option<bool>,
    ok: Option<bool>,
    recipient: Option<bool>,
}

/// What a host showed lately: several machines may stand behind one name, and take turns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct ShownFacts {
    certificates: Vec<ShownCertificate>,
    sessions: Vec<ShownSession>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ShownCertificate {
    sha256: String,
    at: UnixMillis,
    /// The smallest threshold in days before its end that was reported.
    reported_days: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ShownSession {
    version: TlsVersion,
    suite: String,
    group: String,
    at: UnixMillis,
}

/// What a look at a whole target came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookResult {
    /// What each address came to, and how many were left out.
    Hosts(Vec<(LookHost, Sight)>, usize),
    /// There was no address to try, for this reason.
    Lost(String),
}

/// A change, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostChange {
    /// The host; with neither name nor address, all of them.
    pub host: LookHost,
    /// What changed.
    pub change: PartnerChange,
}

/// How long things are remembered.
#[derive(Debug, Clone, Copy)]
pub struct LookRules {
    /// For how long what a host showed is not new if it shows it again.
    pub turns: Duration,
    /// For how long an address that is not listed any more is not new if it is listed again.
    pub addresses: Duration,
}

impl LookHost {
    /// The key that stands for all hosts of a target.
    #[must_use]
    pub fn all() -> Self {
        Self { name: String::new(), address: String::new() }
    }

    /// What hosts are compared by: the name, or the address of a host without one.
    fn host(&self) -> &str {
        if self.name.is_empty() { &self.address } else { &self.name }
    }
}

impl std::fmt::Display for LookHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.name.is_empty(), self.address.is_empty()) {
            (true, true) => f.write_str("-"),
            (true, false) => f.write_str(&self.address),
            (false, true) => f.write_str(&self.name),
            (false, false) => write!(f, "{} {}", self.name, self.address),
        }
    }
}

impl TargetRecord {
    /// What is known after a look, and what it changed. The first look at a target changes nothing.
    #[must_use]
    pub fn after(
        before: Option<Self>,
        result: LookResult,
        now: UnixMillis,
        rules: LookRules,
    ) -> (Self, Vec<HostChange>) {
        let is_first = before.as_ref().is_none_or(|before| before.hosts.is_empty());
        let mut record = before.unwrap_or_else(|| Self::new(now));
        record.at = now;
        let mut changes = Vec::new();
        match result {
            LookResult::Lost(reason) => {
                record.lost_looks = record.lost_looks.saturating_add(1);
                if record.lost_looks == SETTLED_LOOKS && !is_first {
                    let change = PartnerChange::HostsUnknown { reason: reason.clone() };
                    changes.push(HostChange { host: LookHost::all(), change });
                }
                record.lost = Some(reason);
            }
            LookResult::Hosts(seen, left_out) => {
                if record.lost_looks >= SETTLED_LOOKS && !is_first {
                    changes.push(HostChange { host: LookHost::all(), change: PartnerChange::HostsKnown });
                }
                (record.lost, record.lost_looks, record.left_out) = (None, 0, left_out);
                record.compare(seen, (is_first, now, rules), &mut changes);
            }
        }
        (record, changes)
    }

    /// Whether the last look saw something that may be over in a moment and was not settled before.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        let unsure = |looks: u32| looks > 0 && looks < SETTLED_LOOKS;
        unsure(self.lost_looks)
            || self.hosts.values().any(|host| unsure(host.passing_looks))
            || self.gone().iter().any(|(_, looks)| unsure(*looks))
    }

    /// The addresses of the last look that came to any.
    pub fn present(&self) -> impl Iterator<Item = (&LookHost, &HostRecord)> {
        self.hosts.iter().filter(|(_, host)| host.absent_looks == 0)
    }

    fn new(now: UnixMillis) -> Self {
        Self {
            at: now,
            lost: None,
            lost_looks: 0,
            left_out: 0,
            hosts: BTreeMap::new(),
            shown: BTreeMap::new(),
        }
    }

    fn compare(
        &mut self,
        seen: Vec<(LookHost, Sight)>,
        (is_first, now, rules): (bool, UnixMillis, LookRules),
        changes: &mut Vec<HostChange>,
    ) {
        let known: BTreeSet<String> = self.hosts.keys().map(|key| key.host().to_owned()).collect();
        for host in self.hosts.values_mut() {
            host.absent_looks = host.absent_looks.saturating_add(u32::from(self.left_out == 0));
        }
        for (key, sight) in seen {
            let shown = self.shown.entry(key.host().to_owned()).or_default();
            let found = match self.hosts.remove(&key) {
                Some(before) => before.after(sight, (shown, now, rules)),
                None => {
                    let is_new = !known.contains(key.host());
                    // A host that has lost its addresses did answer before.
                    let answered = !is_new && key.address.is_empty();
                    let host = HostRecord::new(sight, answered, (shown, now));
                    let added = host.added(is_new, &key).filter(|_| !is_first);
                    (host, added.into_iter().collect())
                }
            };
            let (host, found) = found;
            changes.extend(found.into_iter().map(|change| HostChange { host: key.clone(), change }));
            self.hosts.insert(key, host);
        }
        for (name, looks) in self.gone() {
            if looks == SETTLED_LOOKS {
                let of_it = |key: &&LookHost| key.host() == name;
                let address = self.hosts.keys().find(of_it).filter(|key| key.name.is_empty());
                let host =
                    address.cloned().unwrap_or(LookHost { name: name.clone(), address: String::new() });
                changes.push(HostChange { host, change: PartnerChange::HostGone });
                self.hosts.retain(|key, _| key.host() != name);
            }
        }
        self.forget(now, rules);
    }

    /// The hosts of which no address is listed, and for how many looks.
    fn gone(&self) -> Vec<(String, u32)> {
        let mut looks: BTreeMap<&str, u32> = BTreeMap::new();
        for (key, host) in &self.hosts {
            let least = looks.entry(key.host()).or_insert(host.absent_looks);
            *least = host.absent_looks.min(*least);
        }
        looks
            .into_iter()
            .filter(|(_, looks)| *looks > 0)
            .map(|(name, looks)| (name.to_owned(), looks))
            .collect()
    }

    fn forget(&mut self, now: UnixMillis, rules: LookRules) {
        self.hosts.retain(|_, host| host.absent_looks == 0 || now.since(host.last.at) < rules.addresses);
        while self.hosts.len() > HOSTS_MAX {
            let oldest = self.hosts.iter().min_by_key(|(_, host)| host.last.at).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            self.hosts.remove(&oldest);
        }
        let names: BTreeSet<&str> = self.hosts.keys().map(LookHost::host).collect();
        self.shown.retain(|name, _| names.contains(name.as_str()));
    }
}

impl HostRecord {
    /// One that is looked at for the first time. Its certificate and session are what others of its name may have shown.
    fn new(sight: Sight, answered: bool, (shown, now): (&mut ShownFacts, UnixMillis)) -> Self {
        if let Some(tls) = sight.tls() {
            shown.note(tls, now);
        }
        let known = SettledFacts { answers: answered.then_some(true), ..SettledFacts::default() };
        Self {
            first_at: now,
            since: now,
            tls: sight.tls().cloned(),
            passing_looks: u32::from(sight.passing),
            absent_looks: 0,
            known: if sight.passing { known } else { known.and(&sight) },
            last: sight,
        }
    }

    fn added(&self, is_new: bool, key: &LookHost) -> Option<PartnerChange> {
        let (ok, reason) = (self.last.ok, self.last.reason.clone());
        match (is_new, key.address.is_empty()) {
            (true, _) => Some(PartnerChange::HostAdded { ok, reason }),
            (false, false) => Some(PartnerChange::AddressAdded { ok, reason }),
            // A host that has lost its addresses.
            (false, true) => None,
        }
    }

    /// What is known after a look, and what it changed.
    fn after(
        self,
        sight: Sight,
        (shown, now, rules): (&mut ShownFacts, UnixMillis, LookRules),
    ) -> (Self, Vec<PartnerChange>) {
        let passing_looks = if sight.passing { self.passing_looks.saturating_add(1) } else { 0 };
        let since = if same(&self.last, &sight) { self.since } else { now };
        let settled = !sight.passing || passing_looks >= SETTLED_LOOKS;
        let tls = sight.tls().filter(|_| settled).or(self.tls.as_ref()).cloned();
        let (known, changes) = if settled {
            let known = self.known.and(&sight);
            (known, self.changes(known, &sight, (shown, now, rules)))
        } else {
            (self.known, Vec::new())
        };
        (Self { since, last: sight, tls, known, passing_looks, absent_looks: 0, ..self }, changes)
    }

    fn changes(
        &self,
        known: SettledFacts,
        sight: &Sight,
        (shown, now, rules): (&mut ShownFacts, UnixMillis, LookRules),
    ) -> Vec<PartnerChange> {
        let mut found = Vec::new();
        let before = &self.known;
        let reason = || sight.reason.clone();
        match flip(before.answers, known.answers) {
            Some(false) => found.push(PartnerChange::Unanswered { reason: reason() }),
            Some(true) => found.push(PartnerChange::Answered),
            None => {}
        }
        if sight.session == SessionSight::None {
            return found;
        }
        match flip(before.tls, known.tls) {
            Some(false) => found.push(PartnerChange::TlsGone { reason: reason() }),
            Some(true) => found.push(PartnerChange::TlsOffered),
            None => {}
        }
        if let Some(tls) = sight.tls() {
            found.extend(shown.compare(self.tls.as_ref(), tls, now, rules.turns));
        }
        match flip(before.ok, known.ok) {
            Some(false) => {
                found.push(PartnerChange::Unmet { reason: reason(), token: sight.token.clone() });
            }
            Some(true) => found.push(PartnerChange::Met),
            None => {}
        }
        match flip(before.recipient, known.recipient) {
            Some(false) => {
                let reply = sight.recipient.as_ref().and_then(|one| one.reply.clone()).unwrap_or_default();
                found.push(PartnerChange::RecipientRefused { reply });
            }
            Some(true) => found.push(PartnerChange::RecipientTaken),
            None => {}
        }
        found
    }
}

impl SettledFacts {
    /// What is known after this; without a session, only that there was none.
    fn and(self, sight: &Sight) -> Self {
        if sight.session == SessionSight::None {
            return Self { answers: Some(false), ..self };
        }
        Self {
            answers: Some(true),
            tls: Some(sight.tls().is_some()),
            ok: Some(sight.ok),
            // One that is not asked about any more is not known.
            recipient: sight.recipient.as_ref().map(|one| one.taken),
        }
    }
}

impl ShownFacts {
    /// What a handshake shows that none did lately, compared with the last one; and a certificate that ends soon.
    fn compare(
        &mut self,
        was: Option<&TlsSight>,
        now: &TlsSight,
        at: UnixMillis,
        turns: Duration,
    ) -> Vec<PartnerChange> {
        let mut found = Vec::new();
        // However long ago it was, the last handshake is what there is to compare with.
        if let Some(was) = was {
            self.note(was, at);
        }
        self.certificates.retain(|one| at.since(one.at) < turns);
        self.sessions.retain(|one| at.since(one.at) < turns);
        if let Some(was) = was.filter(|_| !self.sessions.iter().any(|one| one.is(now))) {
            found.extend(now.differs_from(was));
        }
        if let Some(certificate) = &now.certificate {
            let known = self.certificates.iter().any(|one| one.sha256 == certificate.sha256);
            if let Some(was) = was.and_then(|was| was.certificate.as_ref()).filter(|_| !known) {
                let (was, now) = (Box::new(was.clone()), Box::new(certificate.clone()));
                found.push(PartnerChange::Certificate { was, now });
            }
        }
        self.note(now, at);
        found.extend(now.certificate.as_ref().and_then(|certificate| self.ending(certificate, at)));
        found
    }

    /// The threshold before the end of a certificate that was reached, once each.
    fn ending(&mut self, certificate: &CertificateSight, at: UnixMillis) -> Option<PartnerChange> {
        let days = expiry_threshold(certificate.not_after, at)?;
        let shown = self.certificates.iter_mut().find(|one| one.sha256 == certificate.sha256)?;
        if shown.reported_days.is_some_and(|reported| reported <= days) {
            return None;
        }
        shown.reported_days = Some(days);
        Some(PartnerChange::Ending { days, not_after: certificate.not_after })
    }

    /// Something was shown now.
    fn note(&mut self, tls: &TlsSight, at: UnixMillis) {
        self.remember(tls, at);
        for one in self.sessions.iter_mut().filter(|one| one.is(tls)) {
            one.at = at;
        }
        let sha256 = tls.certificate.as_ref().map(|certificate| &certificate.sha256);
        for one in self.certificates.iter_mut().filter(|one| Some(&one.sha256) == sha256) {
            one.at = at;
        }
    }

    /// Adds what is not there yet; the oldest makes room.
    fn remember(&mut self, tls: &TlsSight, at: UnixMillis) {
        if !self.sessions.iter().any(|one| one.is(tls)) {
            let TlsSight { version, suite, group, .. } = tls.clone();
            self.sessions.push(ShownSession { version, suite, group, at });
            let over = self.sessions.len().saturating_sub(SHOWN_MAX);
            self.sessions.drain(..over);
        }
        let Some(certificate) = &tls.certificate else { return };
        if !self.certificates.iter().any(|one| one.sha256 == certificate.sha256) {
            let sha256 = certificate.sha256.clone();
            self.certificates.push(ShownCertificate { sha256, at, reported_days: None });
            let over = self.certificates.len().saturating_sub(SHOWN_MAX);
            self.certificates.drain(..over);
        }
    }
}

impl ShownSession {
    fn is(&self, tls: &TlsSight) -> bool {
        self.version == tls.version && self.suite == tls.suite && self.group == tls.group
    }
}

impl TlsSight {
    /// The most telling difference: another version brings other suites.
    fn differs_from(&self, was: &Self) -> Option<PartnerChange> {
        if self.version != was.version {
            return Some(PartnerChange::Version { was: was.version, now: self.version });
        }
        if self.suite != was.suite {
            return Some(PartnerChange::Suite { was: was.suite.clone(), now: self.suite.clone() });
        }
        let (was, now) = (was.group.clone(), self.group.clone());
        (was != now).then_some(PartnerChange::Group { was, now })
    }
}

/// The new value, if both are known and differ.
fn flip(was: Option<bool>, now: Option<bool>) -> Option<bool> {
    now.filter(|now| was.is_some_and(|was| was != *now))
}

/// Whether two looks say the same of a host.
fn same(was: &Sight, now: &Sight) -> bool {
    let kind = |sight: &Sight| match sight.session {
        SessionSight::None => 0,
        SessionSight::Plaintext => 1,
        SessionSight::Tls(_) => 2,
    };
    let taken = |sight: &Sight| sight.recipient.as_ref().map(|one| one.taken);
    (was.ok, kind(was), taken(was)) == (now.ok, kind(now), taken(now))
}

/// In JSON, keys of objects are texts.
mod hosts_as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::{HostRecord, LookHost};

    pub(super) fn serialize<S: Serializer>(
        hosts: &BTreeMap<LookHost, HostRecord>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        hosts.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<LookHost, HostRecord>, D::Error> {
        Vec::<(LookHost, HostRecord)>::deserialize(deserializer).map(|list| list.into_iter().collect())
    }
}

/// How many looks in a row settle what may be over in a moment.
const SETTLED_LOOKS: u32 = 2;
/// Addresses that are remembered of one target.
const HOSTS_MAX: usize = 256;
/// Certificates and kinds of session that are remembered of one host.
const SHOWN_MAX: usize = 8;
