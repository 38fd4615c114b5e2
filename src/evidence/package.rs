//! The files of a package, and whether they prove what they show. No store and no key of the site is needed for that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::event::RecordedEvent;
use super::folder::{FolderListing, STAMPS_FOLDER, hash_of_file};
use super::manifest::{MANIFEST_FILE, PackageManifest, SIGNATURE_FILE};
use crate::seal::{
    Chain, ChainBreak, ChainOutline, Hash, KeptElsewhere, PartSeal, SignedStatement, SitePublicKey,
    root_by_path,
};
use crate::trace::clean;

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
    /// The statements.
    #[serde(flatten)]
    pub outline: ChainOutline,
    /// The partner, by the manifest, if that is signed; so are the next three.
    pub partner: Option<String>,
    /// The first day.
    pub from: Option<String>,
    /// The last day.
    pub to: Option<String>,
    /// When the package was made, in RFC 3339 format.
    pub made_at: Option<String>,
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
    /// An event is there twice, or in another place.
    #[error(
        "{EVENTS_FILE}, line {line}: event {seq} follows one that is not before it: lines were doubled or moved"
    )]
    Order {
        /// The line.
        line: u64,
        /// The number of the event.
        seq: u64,
    },
    /// A file about a time stamp does not say what the statement says.
    #[error("{file} is not what {STATEMENTS_FILE} has of statement {number}")]
    StampFile {
        /// The file.
        file: String,
        /// The number of the statement.
        number: u64,
    },
    /// A file is not there.
    #[error("{} is missing", clean(.0))]
    Absent(String),
    /// A file is there that the package has not.
    #[error("{} is not part of the package", clean(.0))]
    Foreign(String),
    /// A file is not what it was.
    #[error("{} is not what was exported: it was altered", clean(.0))]
    Changed(String),
    /// The manifest is not signed.
    #[error(
        "{MANIFEST_FILE} is not signed by the key that the last statement leaves in effect: it was altered, or statements were \
         added or removed"
    )]
    Unsigned,
    /// The manifest can't be read.
    #[error("{MANIFEST_FILE} can't be read: it was altered, or is of a newer version of Sealpost")]
    Manifest,
    /// The number of lines is another one.
    #[error("{file} has {found} lines, and {MANIFEST_FILE} says {says}: some were added or removed")]
    Count {
        /// The file.
        file: &'static str,
        /// The number of its lines.
        found: u64,
        /// What it was.
        says: u64,
    },
    /// The last statement is another one.
    #[error("the last statement is not the one that {MANIFEST_FILE} names: statements were added or removed")]
    LastStatement,
}

/// Verifies the files in a folder.
///
/// # Errors
/// The folder or a file can't be read.
pub fn verify_package(
    folder: &Path,
    kept: &KeptElsewhere,
) -> Result<PackageVerification, (PathBuf, io::Error)> {
    let listing = FolderListing::of(folder)?;
    let mut check = PackageCheck { folder, listing, breaks: Vec::new() };
    let mut statements = Vec::new();
    let stated = check.each::<StatementLine>(STATEMENTS_FILE, |line, read, breaks| match read {
        Some(statement) => statements.push(statement.signed()),
        None => breaks.push(PackageBreak::Unreadable { file: STATEMENTS_FILE, line }),
    })?;
    let mut chain = Chain::verified(&statements);
    chain.compare(kept);
    check.breaks.extend(chain.breaks.iter().cloned().map(PackageBreak::from));
    let mut decisions = BTreeSet::new();
    let decided = check.each::<DecisionLine>(DECISIONS_FILE, |line, read, breaks| match read {
        Some(one) => {
            decisions.insert(Hash::of(one.text.as_bytes()));
        }
        None => breaks.push(PackageBreak::Unreadable { file: DECISIONS_FILE, line }),
    })?;
    let (events, lines) = check.events(&chain, &decisions)?;
    check.stamps(&statements)?;
    let found = LinesFound {
        counts: [(EVENTS_FILE, lines), (DECISIONS_FILE, decided), (STATEMENTS_FILE, stated)],
        last: statements.last().map(SignedStatement::hash),
    };
    let manifest = check.manifest(chain.next_key, &found)?;
    let of = |get: fn(&PackageManifest) -> &String| manifest.as_ref().map(get).cloned();
    Ok(PackageVerification {
        version: 1,
        outline: ChainOutline::from(&chain),
        partner: of(|one| &one.partner),
        from: of(|one| &one.from),
        to: of(|one| &one.to),
        made_at: of(|one| &one.made_at),
        events,
        breaks: check.breaks,
    })
}

/// What was counted in the files of a package.
struct LinesFound {
    counts: [(&'static str, u64); 3],
    last: Option<Hash>,
}

/// A package that is verified, and what was found so far.
struct PackageCheck<'a> {
    folder: &'a Path,
    listing: FolderListing,
    breaks: Vec<PackageBreak>,
}

impl PackageCheck<'_> {
    /// Reads a file line by line, and says how many it has. A line that is no such object, or too long, is `None`.
    fn each<T: serde::de::DeserializeOwned>(
        &mut self,
        name: &str,
        mut see: impl FnMut(u64, Option<T>, &mut Vec<PackageBreak>),
    ) -> Result<u64, (PathBuf, io::Error)> {
        if !self.listing.files.contains(name) {
            self.breaks.push(PackageBreak::Absent(name.to_owned()));
            return Ok(0);
        }
        let path = self.folder.join(name);
        let told = |fault: io::Error| (path.clone(), fault);
        let mut file = BufReader::new(File::open(&path).map_err(told)?);
        let (mut octets, mut line) = (Vec::new(), 0_u64);
        loop {
            octets.clear();
            let length = file.by_ref().take(LINE_MAX).read_until(b'\n', &mut octets).map_err(told)?;
            if length == 0 {
                return Ok(line);
            }
            line = line.saturating_add(1);
            see(line, serde_json::from_slice(&octets).ok(), &mut self.breaks);
        }
    }

    /// How many events are proved, and how many lines there are.
    fn events(
        &mut self,
        chain: &Chain,
        decisions: &BTreeSet<Hash>,
    ) -> Result<(u64, u64), (PathBuf, io::Error)> {
        let seals = chain.account.parts.values().flat_map(|part| &part.seals);
        let seals: BTreeMap<u64, &PartSeal> = seals.map(|(statement, seal)| (*statement, seal)).collect();
        let (mut events, mut before) = (0_u64, None);
        let lines = self.each::<EventLine>(EVENTS_FILE, |line, read, breaks| {
            let event = read.as_ref().and_then(|one| serde_json::from_str::<RecordedEvent>(&one.text).ok());
            let (Some(read), Some(event)) = (read, event) else {
                return breaks.push(PackageBreak::Unreadable { file: EVENTS_FILE, line });
            };
            let seq = event.seq;
            if before.replace(seq).is_some_and(|before| seq <= before) {
                return breaks.push(PackageBreak::Order { line, seq });
            }
            if !seals.get(&read.statement).is_some_and(|seal| is_in(seal, seq, &read)) {
                return breaks.push(PackageBreak::Altered { line, seq });
            }
            if event.decision.is_some_and(|hash| !decisions.contains(&hash)) {
                return breaks.push(PackageBreak::Decision { line, seq });
            }
            events = events.saturating_add(1);
        })?;
        Ok((events, lines))
    }

    /// The files for the tools that verify time stamps.
    fn stamps(&mut self, statements: &[SignedStatement]) -> Result<(), (PathBuf, io::Error)> {
        for statement in statements {
            let (number, Some(stamp)) = (statement.number, &statement.stamp) else { continue };
            for (ending, octets) in [("json", statement.text.as_bytes()), ("tsr", stamp)] {
                let file = format!("{STAMPS_FOLDER}/{number}.{ending}");
                if !self.listing.files.contains(&file) {
                    self.breaks.push(PackageBreak::Absent(file));
                } else if self.hash(&file)? != Hash::of(octets) {
                    self.breaks.push(PackageBreak::StampFile { file, number });
                }
            }
        }
        Ok(())
    }

    /// Whether the manifest is signed, and the files are those that it names. It is answered only if it is signed.
    fn manifest(
        &mut self,
        key: Option<SitePublicKey>,
        found: &LinesFound,
    ) -> Result<Option<PackageManifest>, (PathBuf, io::Error)> {
        let absent =
            [MANIFEST_FILE, SIGNATURE_FILE].into_iter().filter(|name| !self.listing.files.contains(*name));
        let absent: Vec<PackageBreak> = absent.map(|name| PackageBreak::Absent(name.to_owned())).collect();
        if !absent.is_empty() {
            self.breaks.extend(absent);
            return Ok(None);
        }
        let (octets, signature) = (self.read(MANIFEST_FILE)?, self.read(SIGNATURE_FILE)?);
        let is_signed = key.is_some_and(|key| key.has_signed(&octets, &signature));
        if !is_signed {
            self.breaks.push(PackageBreak::Unsigned);
        }
        let Some(manifest) = PackageManifest::read(&octets) else {
            self.breaks.push(PackageBreak::Manifest);
            return Ok(None);
        };
        self.files(&manifest.files)?;
        let says = [manifest.events, manifest.decisions, manifest.statements];
        for ((file, found), says) in found.counts.into_iter().zip(says) {
            if found != says {
                self.breaks.push(PackageBreak::Count { file, found, says });
            }
        }
        if found.last != Some(manifest.last_statement) {
            self.breaks.push(PackageBreak::LastStatement);
        }
        Ok(Some(manifest).filter(|_| is_signed))
    }

    /// Compares what is there with what was exported. Only what is in the folder is opened.
    fn files(&mut self, exported: &BTreeMap<String, Hash>) -> Result<(), (PathBuf, io::Error)> {
        for (name, hash) in exported {
            let absent = PackageBreak::Absent(name.clone());
            if !self.listing.files.contains(name) {
                if !self.breaks.contains(&absent) {
                    self.breaks.push(absent);
                }
            } else if self.hash(name)? != *hash {
                self.breaks.push(PackageBreak::Changed(name.clone()));
            }
        }
        let is_known = |name: &&String| {
            [MANIFEST_FILE, SIGNATURE_FILE].contains(&name.as_str()) || exported.contains_key(*name)
        };
        let foreign = self.listing.files.iter().filter(|name| !is_known(name)).chain(&self.listing.others);
        self.breaks.extend(foreign.cloned().map(PackageBreak::Foreign));
        Ok(())
    }

    fn hash(&self, name: &str) -> Result<Hash, (PathBuf, io::Error)> {
        let path = self.folder.join(name);
        hash_of_file(&path).map_err(|fault| (path, fault))
    }

    /// A small file.
    fn read(&self, name: &str) -> Result<Vec<u8>, (PathBuf, io::Error)> {
        let path = self.folder.join(name);
        let mut octets = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(LINE_MAX).read_to_end(&mut octets));
        read.map(|_| octets).map_err(|fault| (path, fault))
    }
}

/// Whether an event has the place in a part that its number says.
fn is_in(seal: &PartSeal, seq: u64, line: &EventLine) -> bool {
    let Some(index) = seq.checked_sub(seal.first_seq) else { return false };
    let leaf = Hash::of_leaf(line.text.as_bytes());
    root_by_path(leaf, (index, seal.size()), &line.path) == Some(seal.root)
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
