//! What a start makes of a disk that can't be read, a full one, a mark that can't be read, and a configuration
//! that is being edited.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::disk::{Disk, configure, copies, failing_flush, message, queued, spool_verb};
use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, PROGRAM};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::Site;
use crate::peer::{LONG, eventually, left_out, tools, within};

fn mark(site: &Site, text: &str) {
    std::fs::write(site.home.path().join("data/spool-fault"), text).unwrap();
}

/// The process that traces this one.
fn tracer(pid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?.trim().to_owned();
    (tracer != "0").then_some(tracer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_can_not_be_read_stops_deliveries_until_it_can() {
    let site = Site::new();
    let Some(strace) = tools::program("strace") else {
        return left_out(
            "spool_faults::a_page_that_can_not_be_read_stops_deliveries_until_it_can",
            "no strace",
        );
    };
    let sink = Sink::start(Manner::clear()).await;
    queued(&site, &sink, 40).await;
    mark(&site, "fault 1 for a test\n");
    let mut command = Command::new(strace);
    command.args(["-D", "-f", "-I", "2", "-P"]).arg(site.home.path().join("data/spool.sqlite"));
    // The first page and the schema can be read, what comes later can't.
    command.args(["-e", "trace=pread64", "-e", "inject=pread64:error=EIO:when=12+"]);
    command.args(["-o", "/dev/null", "--", PROGRAM]);
    let mut daemon = Daemon::begin_by(&site.home, command);
    daemon.logged("the database can't be read from the disk").await;
    assert!(sink.arrived().is_empty() && !daemon.log().contains("is damaged"), "{}", daemon.log());
    let strace = tracer(daemon.pid()).unwrap();
    assert!(Command::new("kill").arg(strace).status().unwrap().success());
    daemon.ready().await;
    daemon.queue_empty().await;
    let copies = copies(&sink);
    assert!(copies.len() == 40 && copies.values().all(|count| *count == 1), "{copies:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_can_not_be_read_from_the_disk_breaks_the_spool_and_holds_nothing() {
    let site = Site::new();
    let Some(strace) = tools::program("strace") else {
        return left_out(
            "spool_faults::content_that_can_not_be_read_from_the_disk_breaks_the_spool_and_holds_nothing",
            "no strace",
        );
    };
    let sink = Sink::start(Manner::clear()).await;
    let address = queued(&site, &sink, 12).await;
    sink.behave(Manner::clear().replying("mail", "451 4.3.0 not now"));
    let daemon = Daemon::start(&site.home).await;
    daemon.deferred_any().await;
    let task = thread(daemon.pid(), "spool-reader");
    let mut tracing = Command::new(strace)
        .args(["-p", &task, "-e", "trace=pread64", "-e", "inject=pread64:error=EIO", "-o", "/dev/null"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("a tracer", LONG, async || tracer(task.parse().unwrap())).await;
    sink.behave(Manner::clear());
    daemon.command(&["queue", "retry", "--all"]).await;
    daemon.logged("the spool has passed its check").await;
    let _ = tracing.wait();
    eventually("a greeting", LONG, async || {
        let client = Client::try_connect(address).await.ok()?;
        (client.greeting.code == 220).then_some(())
    })
    .await;
    daemon.queue_empty().await;
    let copies = copies(&sink);
    assert!(copies.len() == 12 && copies.values().all(|count| *count == 1), "{copies:?}");
    daemon.kill().await;
}

fn thread(pid: u32, name: &str) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .map(|task| task.unwrap())
        .find(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
        .map(|task| task.file_name().into_string().unwrap())
        .unwrap()
}

/// Takes all that is left of a disk.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_the_queue_going_and_causes_no_second_copy() {
    const COUNT: usize = 150;
    let site = Site::new();
    let Some(disk) = Disk::mount(&site, 16) else {
        return left_out(
            "spool_faults::a_full_disk_keeps_the_queue_going_and_causes_no_second_copy",
            "it needs root",
        );
    };
    let sink = Sink::start(Manner::clear().replying("mail", "451 4.3.0 not now")).await;
    let address = configure(&site, &sink, "[limits]\nfree_disk = \"1MiB\"\n\n");
    let daemon = Daemon::start(&site.home).await;
    let mut client = Client::hello(address).await;
    for number in 0..COUNT {
        let message = message(&format!("m{number}"), 3_000, "bob@b.test");
        assert_eq!(client.transact(&message).await.unwrap().code, 250);
    }
    drop(client);
    let done = daemon.queue().await[3]["id"].as_str().unwrap().to_owned();
    daemon.stop().await;
    mark(&site, &format!("fault 1 for a test\ndone {done} 0 .\n"));
    let filler = disk.0.join("filler");
    fill(&filler);
    sink.behave(Manner::clear());

    let daemon = Daemon::start(&site.home).await;
    daemon.logged("no room to write").await;
    eventually("all but one", LONG, async || (sink.arrived().len() >= COUNT - 1).then_some(())).await;
    fill(&disk.0.join("more"));
    let mut client = Client::hello(address).await;
    assert_eq!(client.say("MAIL FROM:<ada@a.test>").await.code, 452);
    drop(client);
    daemon.stop().await;
    let noted = std::fs::read_to_string(disk.0.join("spool-fault")).unwrap();
    assert!(noted.lines().any(|line| line.starts_with("done ")), "{noted}");

    std::fs::remove_file(filler).unwrap();
    let daemon = Daemon::start(&site.home).await;
    daemon.queue_empty().await;
    eventually("no mark", LONG, async || (!disk.0.join("spool-fault").exists()).then_some(())).await;
    let copies = copies(&sink);
    assert!(copies.len() == COUNT - 1 && copies.values().all(|count| *count == 1), "{copies:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_is_not_finished_does_not_end_a_relay_whose_disk_failed() {
    let site = Site::new();
    let Some(command) = failing_flush("when=12") else {
        return left_out(
            "spool_faults::an_edit_that_is_not_finished_does_not_end_a_relay_whose_disk_failed",
            "no strace",
        );
    };
    let sink = Sink::start(Manner::clear()).await;
    let address = configure(&site, &sink, "");
    let daemon = Daemon::start_by(&site.home, command).await;
    let whole = std::fs::read_to_string(site.home.config()).unwrap();
    std::fs::write(site.home.config(), format!("{whole}\nunfinished = \n")).unwrap();
    let mut client = Client::hello(address).await;
    for number in 0..60 {
        let message = message(&format!("m{number}"), 500, "bob@b.test");
        let Ok(reply) = within("an answer", LONG, client.transact(&message)).await else { break };
        if reply.code != 250 {
            break;
        }
    }
    daemon.logged("sealpost goes on once they are fixed").await;
    std::fs::write(site.home.config(), whole).unwrap();
    // As after any other edit.
    daemon.signal("HUP");
    daemon.logged("the spool has passed its check").await;
    daemon.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_can_not_be_read_is_waited_for_and_systemd_waits_too() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    configure(&site, &sink, "");
    let data = site.home.path().join("data");
    std::fs::create_dir(data.join("spool-fault")).unwrap();
    let path = site.home.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = Command::new(PROGRAM);
    command.env("NOTIFY_SOCKET", &path);
    let mut daemon = Daemon::begin_by(&site.home, command);
    daemon.logged("spool-fault in data_dir, can't be read").await;
    assert!(crate::cli::heard(&socket, "EXTEND_TIMEOUT_USEC=30000000"));
    std::fs::remove_dir(data.join("spool-fault")).unwrap();
    daemon.ready().await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_salvage_report_a_mark_that_can_not_be_read() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    queued(&site, &sink, 2).await;
    let to = site.home.path().join("new.sqlite");
    let salvage = || spool_verb(&site, &["spool", "salvage"], &["--to", to.to_str().unwrap()]);
    let mark = site.home.path().join("data/spool-fault");
    std::fs::create_dir(&mark).unwrap();
    let (code, found) = spool_verb(&site, &["spool", "check"], &[]);
    assert!(code == Some(1) && found["findings"][0].as_str().unwrap().contains("spool-fault"), "{found}");
    let (code, done) = salvage();
    assert!(code == Some(1) && done["messages"] == 2 && done["mark_unread"].is_string(), "{done}");
    std::fs::remove_dir(&mark).unwrap();
    std::fs::remove_file(&to).unwrap();
    let (code, done) = salvage();
    assert!(code == Some(0) && done["mark_unread"].is_null(), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_before_the_trial_notes_what_the_last_process_handed_on() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    configure(&site, &sink, "");
    let path = site.home.path().join("data/spool-fault");
    let stopped = async || {
        let mut command = Command::new(PROGRAM);
        // After so many faults the pause before the trial is the longest.
        command.env("SEALPOST_SPOOL_FAULT", "fault 9 for a test\ndone 0000000000007 0 .\n");
        let mut daemon = Daemon::begin_by(&site.home, command);
        daemon.logged("it is checked before").await;
        daemon.signal("TERM");
        let status = within("the end", LONG, daemon.ended()).await;
        assert!(status.success(), "{status}\n{}", daemon.log());
        daemon.log()
    };
    for _ in 0..2 {
        let log = stopped().await;
        let noted = std::fs::read_to_string(&path).unwrap();
        assert_eq!(noted, "fault 9 for a test\ndone 0000000000007 0 .\n");
        assert!(!log.contains("can't be noted"), "{log}");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let log = stopped().await;
    assert!(log.contains("can't be noted in spool-fault") && log.contains("messages=1"), "{log}");
}
