//! What is on disk, and what happens to it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::*;

const RULES: LookRules = LookRules { turns: Duration::from_secs(1), addresses: Duration::from_secs(1) };

fn look(store: &mut WatchStore, target: &LookTarget, at: i64, sight: Sight) {
    let result = LookResult::Hosts(vec![(key("mx", "192.0.2.1:25"), sight)], 0);
    let before = store.record(target).unwrap();
    let (record, changes) = TargetRecord::after(before, result, UnixMillis(at), RULES);
    store.keep(target, Some("fabrikam"), &record, &changes).unwrap();
}

#[test]
fn what_is_kept_is_read_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(latest(folder.path()).unwrap(), Vec::new());
    assert_eq!(changes(folder.path(), UnixMillis(0)).unwrap(), Vec::new());
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "reading creates nothing");
    let mut store = WatchStore::open(folder.path()).unwrap();
    look(&mut store, &target(1), START, sealed("a", 400));
    look(&mut store, &target(1), START + DAY, sealed("b", 400));
    look(&mut store, &target(2), START, dead());
    let all = latest(folder.path()).unwrap();
    assert_eq!(all.iter().map(|one| &*one.connector).collect::<Vec<_>>(), ["partner-1", "partner-2"]);
    assert_eq!(
        (all[0].partner.as_deref(), all[0].domain.as_deref()),
        (Some("fabrikam"), Some("partner.test"))
    );
    assert_eq!(all[0].record.at, UnixMillis(START + DAY));
    let told = changes(folder.path(), UnixMillis(START)).unwrap();
    assert_eq!(told.iter().map(|one| one.what.change.word()).collect::<Vec<_>>(), ["certificate"]);
    assert_eq!(changes(folder.path(), UnixMillis(START + 2 * DAY)).unwrap(), Vec::new());
    drop(store);
    let store = WatchStore::open(folder.path()).unwrap();
    let expected = BTreeMap::from([(target(1), UnixMillis(START + DAY)), (target(2), UnixMillis(START))]);
    assert_eq!(store.last_looks().unwrap(), expected);
}

#[test]
fn old_changes_and_what_is_not_watched_any_more_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = WatchStore::open(folder.path()).unwrap();
    for (day, sha256) in (0..).zip(["a", "b", "c"]) {
        look(&mut store, &target(1), START + day * DAY, sealed(sha256, 400));
    }
    look(&mut store, &target(2), START, sealed("a", 400));
    store.prune(UnixMillis(START + DAY + 1), |one| *one == target(2)).unwrap();
    assert_eq!(changes(folder.path(), UnixMillis(0)).unwrap().len(), 1);
    assert_eq!(store.last_looks().unwrap().len(), 2, "the one is young, and the other watched");
    store.prune(UnixMillis(START + 30 * DAY), |one| *one == target(2)).unwrap();
    assert_eq!(store.last_looks().unwrap().into_keys().collect::<Vec<_>>(), [target(2)]);
}

#[test]
fn a_newer_or_damaged_file_is_said_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("watch.sqlite");
    let mut store = WatchStore::open(folder.path()).unwrap();
    look(&mut store, &target(1), START, sealed("a", 400));
    drop(store);
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.execute("UPDATE target SET record = '{\"odd\":1}'", []).unwrap();
    let store = WatchStore::open(folder.path()).unwrap();
    assert_eq!(store.record(&target(1)).unwrap(), None, "a record of another version is none");
    assert_eq!(latest(folder.path()).unwrap(), Vec::new());
    connection.pragma_update(None, "user_version", 9).unwrap();
    let words = WatchStore::open(folder.path()).unwrap_err().to_string();
    assert!(words.contains("newer version of sealpost (schema 9)"), "{words}");
    assert!(latest(folder.path()).is_err());
    drop(connection);
    fs::write(&file, "no database at all, and longer than a header of one hundred octets".repeat(4)).unwrap();
    assert!(WatchStore::open(folder.path()).is_err());
    assert!(fs::read_to_string(&file).unwrap().starts_with("no database"));
}
