//! Remembers the certificates of partners, so that each change is reported once. It does not judge
//! them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::connector::{CertificateFacts, Partner, expiry_threshold};
use crate::mail::{UnixMillis, rfc3339};

/// In `data_dir`.
const FILE_NAME: &str = "partners-seen";
/// Maximum number of partners; the oldest makes room.
const ENTRIES_MAX: usize = 16_384;
/// Maximum number of lines before the file is rewritten.
const LINES_MAX: usize = 2 * ENTRIES_MAX;
/// Issuers and certificates remembered per partner: several hosts behind one name may differ.
const EACH_MAX: usize = 8;

/// What partners presented, kept in a file in `data_dir`, with a JSON line per change.
#[derive(Debug, Default)]
pub struct Partners {
    file: Option<PathBuf>,
    state: Mutex<PartnersState>,
}

#[derive(Debug, Default)]
struct PartnersState {
    order: VecDeque<String>,
    known: HashMap<String, PartnerRecord>,
    /// Number of lines in the file.
    lines: usize,
}

/// One partner: a connector and a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct PartnerRecord {
    /// Each pair of issuer and root that was seen.
    issuers: Vec<(String, Option<String>)>,
    /// SHA-256 of each certificate, and the smallest expiry threshold in days that was reported for
    /// it.
    certificates: Vec<(String, Option<u64>)>,
    /// What is shown of these certificates, the newest last; files of earlier versions have none.
    #[serde(default)]
    seen: Vec<SeenCertificate>,
}

/// A certificate that met a connector's requirement, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenCertificate {
    /// Its SHA-256 fingerprint.
    pub sha256: String,
    /// Its issuer.
    pub issuer: String,
    /// The trust anchor that its chain ended in, if it is known.
    pub root: Option<String>,
    /// When it expires.
    pub not_after: UnixMillis,
    /// When it was seen for the first time.
    pub since: UnixMillis,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    partner: String,
    #[serde(flatten)]
    known: PartnerRecord,
}

impl Partners {
    /// Loads the file from `data_dir`; rewrites it if it has superfluous lines. Unreadable lines
    /// are ignored.
    ///
    /// # Errors
    /// The file exists but can't be read or written.
    pub fn load(data_dir: &Path) -> io::Result<Self> {
        let file = data_dir.join(FILE_NAME);
        let mut state = PartnersState::read(&file)?;
        if state.lines > state.order.len() {
            state.rewrite(&file)?;
        }
        Ok(Self { file: Some(file), state: Mutex::new(state) })
    }

    /// What a daemon that may be running has recorded in `data_dir`. Nothing is written, and a file that can't be read is
    /// one without lines.
    #[must_use]
    pub fn recorded(data_dir: &Path) -> Self {
        let state = PartnersState::read(&data_dir.join(FILE_NAME)).unwrap_or_default();
        Self { file: None, state: Mutex::new(state) }
    }

    /// The newest certificate of each host of a connector, by host.
    #[must_use]
    pub fn newest(&self, connector: &str) -> Vec<(String, SeenCertificate)> {
        let state = self.lock();
        let of_connector = state.known.iter().filter_map(|(partner, known)| {
            let (name, host) = partner.split_once(' ')?;
            (name == connector).then_some((host.to_owned(), known.seen.last()?.clone()))
        });
        let mut found: Vec<_> = of_connector.collect();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    /// For each connector, when the first certificate expires that one of its hosts presented last. What has expired
    /// already is left out: the host may be gone.
    #[must_use]
    pub fn next_expiry(&self, now: UnixMillis) -> BTreeMap<String, UnixMillis> {
        let state = self.lock();
        let mut ends = BTreeMap::new();
        for (partner, known) in &state.known {
            let Some((connector, _)) = partner.split_once(' ') else { continue };
            let Some(end) = known.seen.last().map(|seen| seen.not_after).filter(|end| *end > now) else {
                continue;
            };
            match ends.get_mut(connector) {
                Some(first) => *first = end.min(*first),
                None => drop(ends.insert(connector.to_owned(), end)),
            }
        }
        ends
    }

    /// Records a certificate that met a requirement, and returns what to report about it.
    ///
    /// # Errors
    /// It can't be saved for the next start; this process still remembers it. What to report is
    /// returned in either case.
    pub fn saw(
        &self,
        (connector, partner): (&str, Option<&Partner>),
        host: &str,
        facts: &CertificateFacts,
        now: UnixMillis,
    ) -> (Vec<String>, io::Result<()>) {
        let whom = Partner::whom(partner);
        let partner = format!("{connector} {host}");
        // Written under the lock, because the last line of a partner is the valid one.
        let mut state = self.lock();
        let before = state.known.get(&partner).cloned();
        let (known, told) = step(before.as_ref(), (connector, host, &whom), facts, now);
        if before.as_ref() == Some(&known) {
            return (told, Ok(()));
        }
        state.put(&partner, known);
        let Some(file) = &self.file else { return (told, Ok(())) };
        state.lines = state.lines.saturating_add(1);
        let kept = if state.lines > LINES_MAX {
            state.rewrite(file)
        } else {
            let line = state.line(&partner).unwrap_or_default();
            let opened = OpenOptions::new().create(true).append(true).open(file);
            opened.and_then(|mut file| file.write_all(line.as_bytes()))
        };
        (told, kept)
    }

    fn lock(&self) -> MutexGuard<'_, PartnersState> {
        // Each entry is consistent even if a holder of the lock panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known after a certificate was seen, and what to report. Pure.
fn step(
    before: Option<&PartnerRecord>,
    (connector, host, whom): (&str, &str, &str),
    facts: &CertificateFacts,
    now: UnixMillis,
) -> (PartnerRecord, Vec<String>) {
    let mut told = Vec::new();
    let mut known = before.cloned().unwrap_or_default();
    let root = |root: &Option<String>| root.clone().unwrap_or_else(|| "no root we know".to_owned());
    let issuer = (facts.issuer.clone(), facts.root.clone());
    if !known.issuers.contains(&issuer) {
        if let Some((last, last_root)) = known.issuers.last() {
            told.push(format!(
                "connector {connector}: {host} shows a certificate of another issuer: {} under {}; before it \
                 was {last} under {}. Ask {whom} if that is not expected",
                issuer.0,
                root(&issuer.1),
                root(last_root),
            ));
        }
        known.issuers.push(issuer);
        let over = known.issuers.len().saturating_sub(EACH_MAX);
        known.issuers.drain(..over);
    }
    if !known.certificates.iter().any(|(sha256, _)| *sha256 == facts.sha256) {
        known.certificates.push((facts.sha256.clone(), None));
        let over = known.certificates.len().saturating_sub(EACH_MAX);
        known.certificates.drain(..over);
    }
    if !known.seen.iter().any(|seen| seen.sha256 == facts.sha256) {
        let (issuer, root) = (facts.issuer.clone(), facts.root.clone());
        let (sha256, not_after) = (facts.sha256.clone(), facts.not_after);
        known.seen.push(SeenCertificate { sha256, issuer, root, not_after, since: now });
        let over = known.seen.len().saturating_sub(EACH_MAX);
        known.seen.drain(..over);
    }
    let days = expiry_threshold(facts.not_after, now);
    let this = known.certificates.iter_mut().find(|(sha256, _)| *sha256 == facts.sha256);
    if let (Some(days), Some((_, last))) = (days, this)
        && last.is_none_or(|last| days < last)
    {
        *last = Some(days);
        let date = rfc3339(facts.not_after);
        told.push(format!(
            "connector {connector}: the certificate of {host} {}, on {date}; {whom} should renew it",
            ending(days)
        ));
    }
    (known, told)
}

fn ending(days: u64) -> String {
    match days {
        0 => "has expired".to_owned(),
        1 => "expires within a day".to_owned(),
        days => format!("expires in less than {days} days"),
    }
}

impl PartnersState {
    /// Reads a file; unreadable lines are ignored.
    fn read(file: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut state = Self::default();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
            state.put(&line.partner, line.known);
        }
        state.lines = text.lines().count();
        Ok(state)
    }

    fn put(&mut self, partner: &str, known: PartnerRecord) {
        if self.known.insert(partner.to_owned(), known).is_none() {
            self.order.push_back(partner.to_owned());
        }
        if self.order.len() > ENTRIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Rewrites the file, one line per partner.
    fn rewrite(&mut self, file: &Path) -> io::Result<()> {
        let lines: Vec<String> = self.order.iter().filter_map(|partner| self.line(partner)).collect();
        let fresh = file.with_extension("new");
        fs::write(&fresh, lines.concat())?;
        fs::rename(fresh, file)?;
        self.lines = lines.len();
        Ok(())
    }

    fn line(&self, partner: &str) -> Option<String> {
        let known = self.known.get(partner)?.clone();
        let line = Line { partner: partner.to_owned(), known };
        serde_json::to_string(&line).ok().map(|text| text + "\n")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1_000;

    fn shown(issuer: &str, sha256: &str, days: i64) -> CertificateFacts {
        CertificateFacts {
            names: Vec::new(),
            subject: String::new(),
            issuer: issuer.to_owned(),
            common_name: None,
            organisation: Vec::new(),
            issuer_names: Vec::new(),
            strength: crate::connector::CertificateStrength::default(),
            paths: std::collections::BTreeMap::new(),
            spki: [0; 32],
            for_servers: true,
            for_clients: true,
            not_before: UnixMillis(0),
            not_after: UnixMillis(days * DAY),
            sha256: sha256.to_owned(),
            proved: true,
            chain: BTreeMap::new(),
            revocation: BTreeMap::new(),
            beside: Vec::new(),
            root: Some("Root".to_owned()),
        }
    }

    #[test]
    fn another_issuer_is_told_once_and_kept_over_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let saw = |partners: &Partners, issuer: &str, sha256: &str| {
            let (told, kept) =
                partners.saw(("bank", None), "mx.bank.example", &shown(issuer, sha256, 1_000), UnixMillis(0));
            kept.expect("kept");
            told.join("\n")
        };
        let partners = Partners::load(folder.path()).expect("loaded");
        assert_eq!(saw(&partners, "CN=A", "1"), "");
        assert_eq!(saw(&partners, "CN=A", "2"), "", "a renewal by the same issuer");
        let told = saw(&partners, "CN=B", "3");
        assert!(told.contains("another issuer: CN=B under Root; before it was CN=A under Root"), "{told}");
        assert_eq!(saw(&partners, "CN=A", "1"), "", "another host behind the same name");
        assert_eq!(saw(&partners, "CN=B", "3"), "");
        let again = Partners::load(folder.path()).expect("loaded");
        assert_eq!(saw(&again, "CN=B", "3"), "");
        assert!(saw(&again, "CN=C", "4").contains("CN=C"));
        let lines = |folder: &Path| {
            fs::read_to_string(folder.join("partners-seen")).expect("the file").lines().count()
        };
        let before = lines(folder.path());
        assert!(Partners::load(folder.path()).is_ok() && lines(folder.path()) == 1 && before > 1);
    }

    #[test]
    fn the_newest_certificate_of_each_host_is_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = r#"{"partner":"bank old","issuers":[["CN=A",null]],"certificates":[["1",null]]}"#;
        fs::write(folder.path().join(FILE_NAME), format!("{old}\n")).expect("written");
        let partners = Partners::load(folder.path()).expect("loaded");
        let saw = |host: &str, issuer: &str, sha256: &str, day: i64| {
            let (_, kept) =
                partners.saw(("bank", None), host, &shown(issuer, sha256, 1_000), UnixMillis(day));
            kept.expect("kept");
        };
        saw("mx", "CN=A", "1", 1);
        saw("mx", "CN=B", "2", 2);
        saw("mx", "CN=A", "1", 3);
        saw("old", "CN=A", "1", 4);
        partners.saw(("bank-too", None), "mx", &shown("CN=C", "3", 1), UnixMillis(5)).1.expect("kept");
        let newest = |partners: &Partners| {
            let found = partners.newest("bank").into_iter();
            found.map(|(host, seen)| format!("{host} {} {}", seen.issuer, seen.since.0)).collect::<Vec<_>>()
        };
        let expected = ["mx CN=B 2", "old CN=A 4"];
        assert_eq!(newest(&partners), expected);
        assert_eq!(newest(&Partners::recorded(folder.path())), expected);
        assert!(Partners::recorded(&folder.path().join("none")).newest("bank").is_empty());
    }

    #[test]
    fn each_day_before_the_end_is_told_once() {
        let partners = Partners::default();
        let mut days = Vec::new();
        for day in 0..101 {
            let (told, _) =
                partners.saw(("bank", None), "mx", &shown("CN=A", "1", 100), UnixMillis(day * DAY + 1));
            days.extend(told.iter().map(|_| 100 - day));
        }
        assert_eq!(days, [30, 14, 7, 1, 0]);
        // Two hosts behind one name that present their certificates alternately are not reported
        // each time.
        let turns = |day: i64, sha256| {
            partners.saw(("bank", None), "two", &shown("CN=A", sha256, 100), UnixMillis(day * DAY)).0.len()
        };
        assert_eq!([turns(95, "x"), turns(95, "y"), turns(95, "x"), turns(95, "y")], [1, 1, 0, 0]);
        // A renewed certificate starts again.
        let (told, _) = partners.saw(("bank", None), "mx", &shown("CN=A", "2", 105), UnixMillis(100 * DAY));
        assert!(told.concat().contains("less than 7 days"), "{told:?}");
    }
}
