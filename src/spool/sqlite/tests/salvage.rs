//! Tests of what salvage copies from a damaged database, and what it reports about the rest.

use std::os::unix::fs::FileExt as _;

use rusqlite::Connection;

use super::*;

#[tokio::test]
async fn a_damaged_row_costs_its_recipient_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (id, leased) = put(&spool, &["x"; 2_000], 0).await;
    drop((spool, leased));
    let path = folder.path().join("spool.sqlite");
    let octets = fs::read(&path).expect("a file");
    let at = memchr::memmem::find(&octets, b"r1000@b.example").expect("in the table") / 8_192 * 8_192;
    let file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
    file.write_all_at(&[0xA5; 8_192], u64::try_from(at).expect("small")).expect("written");

    let to = folder.path().join("new.sqlite");
    let done = SqliteSpool::salvage(folder.path(), &to).expect("it can be read");
    assert_eq!(done.messages, 1);
    assert!((1_500..2_000).contains(&done.recipients), "{}", done.recipients);
    assert_eq!((done.lost.len(), done.lost[0].id), (1, id));
    let reason = &done.lost[0].reason;
    assert!(reason.contains(" 1000, ") && !reason.contains(" 1, "), "{reason}");
    let named = reason.rsplit(": ").next().expect("a list").split(", ").count();
    assert_eq!(u64::try_from(named).expect("few") + done.recipients, 2_000);
}

#[tokio::test]
async fn content_that_nothing_names_is_put_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (whole, _) = put(&spool, &["x"], 0).await;
    let (rowless, _) = put(&spool, &["x"], 0).await;
    let (nameless, _) = put(&spool, &["x"], 0).await;
    let (in_file, _) = put_file(&spool, b".large\r\n").await;
    drop(spool);
    let database = Connection::open(folder.path().join("spool.sqlite")).expect("a database");
    let gone = [rowless, nameless, in_file].map(|id| id.to_number().to_string()).join(", ");
    let nobody = [nameless, in_file].map(|id| id.to_number().to_string()).join(", ");
    let sql = format!(
        "DELETE FROM message WHERE id IN ({gone}); DELETE FROM recipient WHERE message IN ({nobody});"
    );
    database.execute_batch(&sql).expect("valid SQL");
    drop(database);

    let to = folder.path().join("new.sqlite");
    let done = SqliteSpool::salvage(folder.path(), &to).expect("it can be read");
    assert_eq!((done.messages, done.recipients), (1, 1));
    let ids: Vec<_> = done.lost.iter().map(|loss| loss.id).collect();
    assert_eq!(ids, [rowless, nameless, in_file]);
    for loss in &done.lost {
        let path = loss.file.as_ref().expect("it can be read");
        assert!(path.starts_with(folder.path().join("new.sqlite.lost")), "{}", path.display());
        let text = fs::read_to_string(path).expect("a file");
        let expected =
            if loss.id == in_file { ".large\r\n".into() } else { format!("content of {}\r\n", loss.id) };
        assert_eq!(text, expected);
    }
    assert_eq!(done.lost[0].recipients, ["r0@b.example"]);
    assert!(!ids.contains(&whole));

    // What was put aside would not be put there again.
    fs::remove_file(&to).expect("a file");
    let fault = SqliteSpool::salvage(folder.path(), &to).expect_err("the folder is there");
    assert!(matches!(&fault, SalvageFault::Exists(path) if path.ends_with("new.sqlite.lost")), "{fault}");
    assert!(!to.exists());
    let other = SqliteSpool::salvage(folder.path(), &folder.path().join("other")).expect("it can be read");
    assert!(other.lost.iter().all(|loss| loss.file.is_some()), "{other:?}");
}

#[tokio::test]
async fn a_mark_that_can_not_be_read_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    drop(put(&spool, &["x"], 0).await);
    drop(spool);
    let mark = folder.path().join(crate::spool::mark::NAME);
    fs::create_dir(&mark).expect("room");
    let done = SqliteSpool::salvage(folder.path(), &folder.path().join("one")).expect("it can be read");
    assert_eq!(done.messages, 1);
    assert!(done.mark_unread.is_some_and(|error| error.contains("directory")));
    fs::remove_dir(&mark).expect("empty");
    let done = SqliteSpool::salvage(folder.path(), &folder.path().join("two")).expect("it can be read");
    assert_eq!((done.messages, done.mark_unread), (1, None));
}
