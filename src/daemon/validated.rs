//! How connectors were validated: a file for each in `data_dir`, with the newest result for each address asked.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::admin::Validation;
use crate::config;
use crate::connector::Table;

/// What was found of a connector, the newest first; a file that can't be read is one that is not there.
pub(super) fn read(data_dir: &Path, name: &str) -> Vec<Validation> {
    let mut text = String::new();
    let read = fs::File::open(file(data_dir, name))
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    let found = read.ok().and_then(|_| serde_json::from_str(&text).ok());
    match found {
        Some(KeptResults::Many(all)) => all,
        Some(KeptResults::One(one)) => vec![one],
        None => Vec::new(),
    }
}

/// Keeps a result. It takes the place of what was found before for the same address, and for another revision.
///
/// # Errors
/// What the system said.
pub fn keep(data_dir: &Path, name: &str, found: Validation) -> io::Result<()> {
    let mut all = read(data_dir, name);
    all.retain(|one| one.to != found.to && one.revision == found.revision);
    all.insert(0, found);
    all.truncate(RESULTS_MAX);
    let file = file(data_dir, name);
    let folder = file.parent().unwrap_or(data_dir);
    fs::create_dir_all(folder)?;
    let fresh = folder.join(format!(".{name}.new"));
    fs::write(&fresh, serde_json::to_string(&all).map_err(io::Error::other)?)?;
    fs::rename(fresh, file)
}

/// Keeps what somebody found of a connector of this table.
///
/// # Errors
/// Why it is not kept, in a sentence.
pub(super) fn keep_of(table: &Table, data_dir: &Path, name: &str, found: Validation) -> Result<(), String> {
    let known: Vec<&str> = table.outbound.iter().map(|connector| &*connector.name).collect();
    let connector = table.outbound.iter().find(|connector| *connector.name == *name);
    let connector = connector.ok_or_else(|| config::unknown_name("outbound connector", name, &known))?;
    if connector.revision.to_string() != found.revision {
        return Err(format!("another revision of connector {name} is in effect"));
    }
    keep(data_dir, name, found).map_err(|fault| format!("{}: {fault}", file(data_dir, name).display()))
}

fn file(data_dir: &Path, name: &str) -> PathBuf {
    data_dir.join("validated").join(format!("{name}.json"))
}

/// As they are written, and as an earlier version wrote the last one.
#[derive(Deserialize)]
#[serde(untagged)]
enum KeptResults {
    Many(Vec<Validation>),
    One(Validation),
}

/// A verdict quotes one reply of a host, which has at most 64 KiB.
const FILE_BYTES_MAX: u64 = 2 << 20;
/// Addresses of which the result is kept.
const RESULTS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(to: Option<&str>, revision: &str, verdict: &str) -> Validation {
        let (to, revision) = (to.map(str::to_owned), revision.to_owned());
        Validation { at: "then".to_owned(), to, revision, verdict: verdict.to_owned(), ok: true }
    }

    #[track_caller]
    fn check(folder: &Path, expected: &[&str]) {
        let verdicts: Vec<String> = read(folder, "bank").into_iter().map(|one| one.verdict).collect();
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn each_address_asked_has_its_last_result() {
        let folder = tempfile::tempdir().expect("a folder");
        let keep = |one: Validation| keep(folder.path(), "bank", one).expect("written");
        keep(found(None, "1", "hosts"));
        keep(found(Some("no@b.example"), "1", "no such user"));
        keep(found(Some("ann@b.example"), "1", "taken"));
        keep(found(Some("no@b.example"), "1", "taken by now"));
        check(folder.path(), &["taken by now", "taken", "hosts"]);
        for number in 0..RESULTS_MAX {
            keep(found(Some(&format!("{number}@b.example")), "1", "taken"));
        }
        assert_eq!(read(folder.path(), "bank").len(), RESULTS_MAX);
        keep(found(None, "2", "another connector"));
        check(folder.path(), &["another connector"]);
    }

    #[test]
    fn the_file_of_an_earlier_version_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("validated")).expect("a folder");
        let text = r#"{ "at": "then", "revision": "1", "verdict": "it would do", "ok": true }"#;
        fs::write(folder.path().join("validated/bank.json"), text).expect("written");
        check(folder.path(), &["it would do"]);
    }
}
