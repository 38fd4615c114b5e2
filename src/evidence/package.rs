//! The files of a package, and whether they prove what they show. No store and no key of the site is needed for that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::event::RecordedEvent;
use super::verify::LastStatement;
use crate::mail::rfc3339;
use crate::seal::{
    Chain, ChainBreak, Hash, KeptElsewhere, PartSeal, SignedStatement, StatementBody, root_by_path,
};

/// A statement in a package.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StatementLine {
    #[serde(rename = "n")]
    pub(super) number: u64,
    pub(super) text: String,
    pub(super) signature: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stamp: Option<String>,
}

/// An event in a package.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventLine {
    /// The statement that seals it.
    pub(super) statement: u64,
    pub(super) path: Vec<Hash>,
    pub(super) text: String,
}

/// A decision in a package.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DecisionLine {
    pub(super) hash: Hash,
    pub(super) text: String,
}

impl StatementLine {
    pub(super) fn of(signed: &SignedStatement) -> Self {
        Self {
            number: signed.number,
            text: signed.text.clone(),
            signature: STANDARD.encode(&signed.signature),
            stamp: signed.stamp.as_ref().map(|stamp| STANDARD.encode(stamp)),
        }
    }

    fn signed(self) -> SignedStatement {
        let octets = |text: &str| STANDARD.decode(text).unwrap_or_default();
        SignedStatement {
            number: self.number,
            signature: octets(&self.signature),
            stamp: self.stamp.as_deref().map(octets),
            text: self.text,
        }
    }
}

/// What was found of a package.
#[derive(Debug, Clone, Serialize)]
pub struct PackageVerification {
    /// The version of this record.
    pub version: u32,
    /// The name of the relay.
    pub site: Option<String>,
    /// The fingerprint of its first key, which whoever relies on the package compares.
    pub first_key: Option<Hash>,
    /// Statements that can be relied on.
    pub statements: usize,
    /// How many of them have a time stamp (RFC 3161) about them.
    pub stamped: usize,
    /// The last of them.
    pub last: Option<LastStatement>,
    /// Events that are proved to be in the record.
    pub events: u64,
    /// What is broken, the first one first.
    #[serde(skip)]
    pub breaks: Vec<PackageBreak>,
}

/// Where a package is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageBreak {
    /// Among the statements.
    #[error("{0}")]
    Chain(#[from] ChainBreak),
    /// A line can't be read.
    #[error("{file}, line {line} can't be read: it was altered")]
    Unreadable {
        /// The file.
        file: &'static str,
        /// The line.
        line: u64,
    },
    /// An event is not in the record.
    #[error("{EVENTS_FILE}, line {line}: event {seq} is not what was sealed: it was altered")]
    Altered {
        /// The line.
        line: u64,
        /// The number of the event.
        seq: u64,
    },
    /// The decision of an event is not there, or not what it was.
    #[error("{EVENTS_FILE}, line {line}: the decision of event {seq} is not in {DECISIONS_FILE} as it was")]
    Decision {
        /// The line.
        line: u64,
        /// The number of the event.
        seq: u64,
    },
}

/// Verifies the files in a folder.
///
/// # Errors
/// A file is missing or can't be read.
pub fn verify_package(
    folder: &Path,
    kept: &KeptElsewhere,
) -> Result<PackageVerification, (PathBuf, io::Error)> {
    let mut breaks = Vec::new();
    let mut statements = Vec::new();
    each::<StatementLine>(folder, STATEMENTS_FILE, |line, read| match read {
        Some(statement) => statements.push(statement.signed()),
        None => breaks.push(PackageBreak::Unreadable { file: STATEMENTS_FILE, line }),
    })?;
    let mut chain = Chain::verified(&statements);
    chain.compare(kept);
    breaks.extend(chain.breaks.iter().cloned().map(PackageBreak::from));
    let seals: BTreeMap<u64, PartSeal> =
        chain.statements.iter().filter_map(|(one, _)| Some((one.number, seal_of(&one.about)?))).collect();
    let mut decisions = BTreeSet::new();
    each::<DecisionLine>(folder, DECISIONS_FILE, |line, read| match read {
        Some(one) => {
            decisions.insert(Hash::of(one.text.as_bytes()));
        }
        None => breaks.push(PackageBreak::Unreadable { file: DECISIONS_FILE, line }),
    })?;
    let mut events = 0_u64;
    each::<EventLine>(folder, EVENTS_FILE, |line, read| {
        let event = read.as_ref().and_then(|one| serde_json::from_str::<RecordedEvent>(&one.text).ok());
        let (Some(read), Some(event)) = (read, event) else {
            return breaks.push(PackageBreak::Unreadable { file: EVENTS_FILE, line });
        };
        let seq = event.seq;
        if !seals.get(&read.statement).is_some_and(|seal| is_in(seal, seq, &read)) {
            return breaks.push(PackageBreak::Altered { line, seq });
        }
        if event.decision.is_some_and(|hash| !decisions.contains(&hash)) {
            return breaks.push(PackageBreak::Decision { line, seq });
        }
        events = events.saturating_add(1);
    })?;
    let (first, last) = (chain.statements.first(), chain.statements.last());
    Ok(PackageVerification {
        version: 1,
        site: first.map(|(one, _)| one.site.clone()),
        first_key: first.map(|(one, _)| one.key),
        statements: chain.statements.len(),
        stamped: chain.stamped,
        last: last.map(|(one, hash)| LastStatement { number: one.number, at: rfc3339(one.at), hash: *hash }),
        events,
        breaks,
    })
}

/// Whether an event has the place in a part that its number says.
fn is_in(seal: &PartSeal, seq: u64, line: &EventLine) -> bool {
    let Some(index) = seq.checked_sub(seal.first_seq) else { return false };
    let leaf = Hash::of_leaf(line.text.as_bytes());
    root_by_path(leaf, (index, seal.size()), &line.path) == Some(seal.root)
}

fn seal_of(about: &StatementBody) -> Option<PartSeal> {
    match about {
        StatementBody::Checkpoint(seal) | StatementBody::Closed(seal) => Some(seal.clone()),
        StatementBody::Begun { .. } | StatementBody::Removed { .. } | StatementBody::NextKey { .. } => None,
    }
}

/// Reads a file line by line. One that is no such object, or too long, is `None`.
fn each<T: serde::de::DeserializeOwned>(
    folder: &Path,
    name: &str,
    mut see: impl FnMut(u64, Option<T>),
) -> Result<(), (PathBuf, io::Error)> {
    let path = folder.join(name);
    let told = |fault: io::Error| (path.clone(), fault);
    let mut file = BufReader::new(File::open(&path).map_err(told)?);
    let (mut octets, mut line) = (Vec::new(), 0_u64);
    loop {
        octets.clear();
        let length = file.by_ref().take(LINE_MAX).read_until(b'\n', &mut octets).map_err(told)?;
        if length == 0 {
            return Ok(());
        }
        line = line.saturating_add(1);
        see(line, serde_json::from_slice(&octets).ok());
    }
}

/// The statements, one a line.
pub(super) const STATEMENTS_FILE: &str = "statements.jsonl";
/// The events, one a line.
pub(super) const EVENTS_FILE: &str = "events.jsonl";
/// The decisions that events refer to, one a line.
pub(super) const DECISIONS_FILE: &str = "decisions.jsonl";
/// What verifies the package without this program.
pub(super) const SCRIPT_FILE: &str = "verify.py";
/// Octets of a line: an event has a few hundred, its decision a few thousand.
const LINE_MAX: u64 = 16 << 20;
