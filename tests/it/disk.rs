//! Disks that are full, fail, or give back other octets than they were given.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, PROGRAM, free_address};
use crate::peer::mix::{self, Message};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, LISTENER, OPPORTUNISTIC, QUICK, Site, outbound};
use crate::peer::{LONG, eventually, left_out, tools, within};

/// A daemon under strace; a thread's flush fails as `when` says.
pub(crate) fn failing_flush(when: &str) -> Option<Command> {
    let mut command = Command::new(tools::program("strace")?);
    command.args(["-D", "-f", "-e", "trace=fsync,fdatasync", "-e"]);
    command.arg(format!("inject=fsync,fdatasync:error=EIO:{when}"));
    command.args(["-o", "/dev/null", "--", PROGRAM]);
    Some(command)
}

/// A listener that keeps its address when the process starts again.
pub(crate) fn configure(site: &Site, sink: &Sink, more: &str) -> SocketAddr {
    let address = free_address();
    let listener = LISTENER.replace("127.0.0.1:0", &address.to_string());
    let out = outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{QUICK}{more}{listener}{ANYONE}{out}"));
    address
}

pub(crate) fn message(label: &str, size: usize, to: &str) -> Message {
    mix::plain(label, 1, size, "ada@a.test", to).remove(0)
}

/// How often each message arrived.
pub(crate) fn copies(sink: &Sink) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for arrived in sink.arrived() {
        *copies.entry(mix::id_of(&arrived.content).unwrap()).or_default() += 1;
    }
    copies
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_flush_is_answered_451_and_nothing_goes_twice() {
    let site = Site::new();
    let Some(command) = failing_flush("when=12") else {
        return left_out("disk::a_failing_flush_is_answered_451_and_nothing_goes_twice", "no strace");
    };
    let sink = Sink::start(Manner::clear()).await;
    let address = configure(&site, &sink, "");
    let daemon = Daemon::start_by(&site.home, command).await;
    let mut client = Client::hello(address).await;
    let mut kept = Vec::new();
    let refused = loop {
        let message = message(&format!("before{}", kept.len()), 500, "bob@b.test");
        let reply = within("an answer", LONG, client.transact(&message)).await.unwrap();
        if reply.code != 250 {
            break reply;
        }
        kept.push(message.id);
        assert!(kept.len() < 60, "no flush failed");
    };
    assert_eq!(refused.code, 451, "{}", refused.text);
    daemon.logged("the spool has passed its check").await;
    assert!(!site.home.path().join("data/spool-fault").exists());
    let mut client = eventually("a greeting", LONG, async || {
        let client = Client::try_connect(address).await.ok()?;
        (client.greeting.code == 220).then_some(client)
    })
    .await;
    assert_eq!(client.say("EHLO client.test").await.code, 250);
    let after = message("after", 500, "bob@b.test");
    assert_eq!(client.transact(&after).await.unwrap().code, 250);
    kept.push(after.id);
    daemon.queue_empty().await;
    let copies = copies(&sink);
    let wrong: Vec<_> = kept.iter().filter(|id| copies.get(*id) != Some(&1)).collect();
    assert!(wrong.is_empty(), "{wrong:?} of {copies:?}");
    drop(client);
    daemon.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_during_a_failing_flush_is_answered_451() {
    let site = Site::new();
    // Each flush of the writer takes a moment from the twelfth on, and fails then.
    let Some(command) = failing_flush("delay_enter=700000:when=12+") else {
        return left_out("disk::sigterm_during_a_failing_flush_is_answered_451", "no strace");
    };
    let sink = Sink::start(Manner::clear().replying("mail", "451 4.3.0 not now")).await;
    let address = configure(&site, &sink, "");
    let mut daemon = Daemon::start_by(&site.home, command).await;
    let mut client = Client::hello(address).await;
    for number in 0..60 {
        let message = message(&format!("m{number}"), 500, "bob@b.test");
        let asked = std::time::Instant::now();
        let mut sending = Box::pin(client.transact(&message));
        let reply = tokio::select! {
            reply = &mut sending => reply.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(350)) => {
                daemon.signal("TERM");
                let reply = within("an answer", LONG, sending).await.unwrap();
                assert_eq!(reply.code, 451, "{} after {:?}", reply.text, asked.elapsed());
                let status = within("the end", Duration::from_secs(8), daemon.ended()).await;
                assert!(status.success(), "{status}");
                assert!(site.home.path().join("data/spool-fault").exists());
                return;
            }
        };
        assert_eq!(reply.code, 250, "{}", reply.text);
    }
    panic!("no flush was slow");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_the_spool_breaks_is_a_stop_and_no_fresh_start() {
    let site = Site::new();
    let Some(command) = failing_flush("when=12") else {
        return left_out("disk::sigterm_while_the_spool_breaks_is_a_stop_and_no_fresh_start", "no strace");
    };
    let sink = Sink::start(Manner::clear()).await;
    let address = configure(&site, &sink, "");
    let mut daemon = Daemon::start_by(&site.home, command).await;
    // A message under way, for which every end of service waits a few seconds.
    let mut slow = Client::hello(address).await;
    assert_eq!(slow.say("MAIL FROM:<ada@a.test>").await.code, 250);
    assert_eq!(slow.say("RCPT TO:<bob@b.test>").await.code, 250);
    assert_eq!(slow.say("DATA").await.code, 354);
    let mut client = Client::hello(address).await;
    for number in 0..60 {
        let message = message(&format!("m{number}"), 500, "bob@b.test");
        if within("an answer", LONG, client.transact(&message)).await.unwrap().code != 250 {
            break;
        }
    }
    daemon.logged("the spool has stopped; starting again").await;
    daemon.signal("TERM");
    let status = within("the end", LONG, daemon.ended()).await;
    assert!(status.success(), "{status}\n{}", daemon.log());
    assert!(!daemon.log().contains("it is checked before"), "{}", daemon.log());
    assert!(site.home.path().join("data/spool-fault").exists());
}

/// Queues messages of 3,000 octets, each to a recipient of its own, and stops the daemon.
pub(crate) async fn queued(site: &Site, sink: &Sink, count: usize) -> SocketAddr {
    sink.behave(Manner::clear().replying("mail", "451 4.3.0 not now"));
    let address = configure(site, sink, "");
    let daemon = Daemon::start(&site.home).await;
    let mut client = Client::hello(address).await;
    for number in 0..count {
        let message = message(&format!("marked{number}x"), 3_000, &format!("bob{number}@b.test"));
        assert_eq!(client.transact(&message).await.unwrap().code, 250);
    }
    drop(client);
    daemon.stop().await;
    sink.behave(Manner::clear());
    address
}

/// Overwrites the pages of the database on which this stands.
pub(crate) fn damage(database: &Path, text: &str) -> usize {
    const PAGE: usize = 8_192;
    let octets = std::fs::read(database).unwrap();
    let mut pages: Vec<usize> =
        memchr::memmem::find_iter(&octets, text.as_bytes()).map(|at| at / PAGE).collect();
    pages.dedup();
    let file = std::fs::OpenOptions::new().write(true).open(database).unwrap();
    for page in &pages {
        assert!(*page > 0, "the first page would be damaged");
        file.write_all_at(&[0xA5; PAGE], (page * PAGE) as u64).unwrap();
    }
    pages.len()
}

pub(crate) fn spool_verb(site: &Site, verb: &[&str], rest: &[&str]) -> (Option<i32>, Value) {
    let output = site.home.run(verb, &[rest, &["--json"]].concat());
    let text = tools::said(&output);
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{verb:?}: {text}"));
    (output.status.code(), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_of_contents_holds_its_messages_and_no_other() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let address = queued(&site, &sink, 12).await;
    let database = site.home.path().join("data/spool.sqlite");
    assert_eq!(spool_verb(&site, &["spool", "check"], &[]).0, Some(0));
    assert_eq!(damage(&database, "X-Test-Id: marked5x"), 1);
    let (code, found) = spool_verb(&site, &["spool", "check"], &[]);
    assert_eq!(code, Some(1), "{found}");

    let daemon = Daemon::start(&site.home).await;
    let left = eventually("held messages alone", LONG, async || {
        let queue = daemon.queue().await;
        queue.iter().all(|message| !message["held"].is_null()).then_some(queue)
    })
    .await;
    assert!((1..=3).contains(&left.len()), "{left:?}");
    let copies = copies(&sink);
    assert_eq!(copies.len() + left.len(), 12, "{copies:?}");
    assert!(copies.values().all(|count| *count == 1), "{copies:?}");
    // What is held can be taken out, and mail goes on.
    for held in &left {
        let id = held["id"].as_str().unwrap();
        assert!(daemon.command(&["queue", "remove", id]).await.status.success());
    }
    let more = message("more", 500, "bob@b.test");
    assert_eq!(Client::hello(address).await.transact(&more).await.unwrap().code, 250);
    daemon.queue_empty().await;
    assert!(!daemon.log().contains("starting again"), "{}", daemon.log());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_of_the_queue_stops_deliveries_until_it_is_salvaged() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let address = queued(&site, &sink, 60).await;
    let data = site.home.path().join("data");
    assert!(damage(&data.join("spool.sqlite"), "bob5@b.test") > 0);

    let daemon = Daemon::start(&site.home).await;
    daemon.logged("sealpost spool salvage").await;
    let client = Client::connect(address).await;
    assert_eq!(client.greeting.code, 421, "{}", client.greeting.text);
    assert!(data.join("spool-fault").exists());
    daemon.stop().await;
    assert!(copies(&sink).values().all(|count| *count == 1), "{:?}", copies(&sink));

    let new = site.home.path().join("new.sqlite");
    let before = std::fs::read(data.join("spool.sqlite")).unwrap();
    let (code, done) = spool_verb(&site, &["spool", "salvage"], &["--to", new.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{done}");
    assert_eq!(before, std::fs::read(data.join("spool.sqlite")).unwrap(), "the old one was changed");
    let (taken, lost) = (done["messages"].as_u64().unwrap(), done["lost"].as_array().unwrap().len());
    assert!(lost > 0 && done["lost"][0]["reverse_path"] == "ada@a.test", "{done}");
    let aside = data.join("damaged");
    std::fs::create_dir(&aside).unwrap();
    for name in ["spool.sqlite", "spool.sqlite-wal", "spool.sqlite-shm"] {
        let _ = std::fs::rename(data.join(name), aside.join(name));
    }
    std::fs::rename(&new, data.join("spool.sqlite")).unwrap();
    let daemon = Daemon::start(&site.home).await;
    daemon.queue_empty().await;
    let copies = copies(&sink);
    assert_eq!((copies.len() + lost, taken), (60, 60 - lost as u64), "{copies:?}");
    assert!(copies.values().all(|count| *count == 1), "{copies:?}");
    daemon.stop().await;
}

/// A small disk for `data`; gone with this.
pub(crate) struct Disk(pub(crate) PathBuf);

impl Disk {
    pub(crate) fn mount(site: &Site, mib: u64) -> Option<Self> {
        let data = site.home.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0700"), "tmpfs"]).arg(&data);
        (tools::am_root() && command.status().is_ok_and(|done| done.success())).then_some(Self(data))
    }

    pub(crate) fn free(&self) -> u64 {
        free(&self.0)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn free(path: &Path) -> u64 {
    let found = rustix::fs::statvfs(path).unwrap();
    found.f_bavail * found.f_frsize
}

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_large_messages_never_touches_the_reserve() {
    let site = Site::new();
    let Some(disk) = Disk::mount(&site, 96) else {
        return left_out("disk::a_crowd_of_large_messages_never_touches_the_reserve", "it needs root");
    };
    let sink = Sink::start(Manner::clear().replying("mail", "451 4.3.0 not now")).await;
    let address = configure(&site, &sink, "[limits]\nfree_disk = \"32MiB\"\n\n");
    let daemon = Daemon::start(&site.home).await;
    let (least, over) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicBool::new(false)));
    let watch = {
        let (least, over, path) = (Arc::clone(&least), Arc::clone(&over), disk.0.clone());
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                least.fetch_min(free(&path), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        })
    };
    let large = message("large", 12 * MIB as usize, "bob@b.test");
    let mut crowd = JoinSet::new();
    for _ in 0..30 {
        let large = large.clone();
        crowd.spawn(async move { Client::hello(address).await.transact(&large).await.unwrap() });
    }
    // One with little to say is served all the while.
    let mut calm = Client::hello(address).await;
    let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
    let mut number = 0;
    while !crowd.is_empty() {
        let small = message(&format!("small{number}"), 800, "bob@b.test");
        number += 1;
        let reply = within("an answer to a small one", LONG, calm.transact(&small)).await.unwrap();
        assert_eq!(reply.code, 250, "{}", reply.text);
        if let Ok(Some(reply)) = tokio::time::timeout(Duration::from_millis(20), crowd.join_next()).await {
            *codes.entry(reply.unwrap().code).or_default() += 1;
        }
    }
    over.store(true, Ordering::Relaxed);
    watch.join().unwrap();
    let taken = codes.get(&250).copied().unwrap_or_default();
    assert!(taken > 0 && codes.get(&452).copied().unwrap_or_default() == 30 - taken, "{codes:?}");
    let least = least.load(Ordering::Relaxed);
    assert!(least >= 32 * MIB, "{} KiB were left of 32 MiB", least / 1024);
    drop(calm);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_backlog_mail_is_taken_again_and_the_file_shrinks() {
    let site = Site::new();
    let Some(disk) = Disk::mount(&site, 80) else {
        return left_out("disk::after_a_backlog_mail_is_taken_again_and_the_file_shrinks", "it needs root");
    };
    let refusing = Manner::clear().replying("mail", "451 4.3.0 not now");
    let sink = Sink::start(refusing).await;
    let address = configure(&site, &sink, "[limits]\nfree_disk = \"32MiB\"\n\n");
    let daemon = Daemon::start(&site.home).await;
    let mut client = Client::hello(address).await;
    let mut count = 0;
    let refused = loop {
        let message = message(&format!("m{count}"), 60_000, "bob@b.test");
        let reply = client.transact(&message).await.unwrap();
        if reply.code != 250 {
            break reply;
        }
        count += 1;
        assert!(count < 2_000, "the disk was never full");
    };
    assert_eq!(refused.code, 452, "{}", refused.text);
    assert!(disk.free() >= 24 * MIB, "{} KiB are left", disk.free() / 1024);
    drop(client);
    sink.behave(Manner::clear());
    daemon.command(&["queue", "retry", "--all"]).await;
    daemon.queue_empty().await;
    assert_eq!(sink.arrived().len(), count);
    eventually("mail is taken again", LONG, async || {
        let mut client = Client::hello(address).await;
        let reply = client.say("MAIL FROM:<ada@a.test> SIZE=20000000").await;
        (reply.code == 250).then_some(())
    })
    .await;
    let top = daemon.ask(&["queue", "top"]).await;
    assert!(top["database"]["file"].as_u64().unwrap() < 8 * MIB, "{top}");
    assert!(std::fs::metadata(disk.0.join("spool.sqlite")).unwrap().len() < 8 * MIB);
    daemon.stop().await;
}
