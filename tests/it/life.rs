//! The life of the process: how it ends, whatever hangs.

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, PROGRAM, free_address};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, LISTENER, OPPORTUNISTIC, QUICK, Site, outbound};
use crate::peer::{LONG, eventually, within};

fn site() -> Site {
    let site = Site::new();
    let out = outbound("out", "b.test", free_address(), OPPORTUNISTIC);
    site.configure_all(&format!("{QUICK}{LISTENER}{ANYONE}{out}"));
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_ends_it_at_once() {
    let site = site();
    let mut daemon = Daemon::start(&site.home).await;
    // A message under way keeps the stop from being over at once.
    let mut client = Client::hello(daemon.at("in")).await;
    assert_eq!(client.say("MAIL FROM:<ada@a.test>").await.code, 250);
    assert_eq!(client.say("RCPT TO:<bob@b.test>").await.code, 250);
    assert_eq!(client.say("DATA").await.code, 354);
    daemon.signal("TERM");
    daemon.logged("stopping").await;
    daemon.signal("INT");
    let status = within("the end", Duration::from_secs(3), daemon.ended()).await;
    assert_eq!(status.signal(), Some(2), "{status}\n{}", daemon.log());
    assert!(daemon.log().contains("asked twice to stop"), "{}", daemon.log());
    assert!(!daemon.log().contains("stopped"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_hangs_is_forced_and_says_at_what() {
    let site = site();
    // The thread that would stop it reads this, and nobody writes.
    let data = site.home.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    assert!(Command::new("mkfifo").arg(data.join("paused")).status().unwrap().success());
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--config"]).arg(site.home.config()).stdin(Stdio::null());
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the control socket", LONG, async || data.join("control.sock").exists().then_some(())).await;
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap());
    let output = within("the end", LONG, ended).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{said}");
    assert!(said.contains("the stop has taken 10 s (the start): ending now"), "{said}");
}

/// A daemon whose log nobody reads before [`read`].
async fn unread(site: &Site) -> (Daemon, std::fs::File) {
    let pipe = site.home.path().join("log");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let held = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$0" "$@" 2> "$LOG_PIPE""#, PROGRAM]).env("LOG_PIPE", &pipe);
    (Daemon::start_by(&site.home, command).await, held)
}

/// Reads the log, from now on and to its end.
fn read(site: &Site, held: std::fs::File) -> tokio::task::JoinHandle<String> {
    let mut reader = std::fs::File::open(site.home.path().join("log")).unwrap();
    drop(held);
    tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    })
}

/// The queue ids in lines with this message, in the order of the lines.
fn ids<'a>(log: &'a str, message: &str) -> Vec<&'a str> {
    let mark = format!(" sealpost::message: {message} id=");
    log.lines().filter_map(|line| Some(&line.split_once(&mark)?.1[..13])).collect()
}

/// Waits for so many datagrams that feed the service manager's watchdog.
fn fed(socket: &UnixDatagram, count: usize) {
    let (mut buffer, mut seen) = ([0; 1024], 0);
    while seen < count {
        let length = socket.recv(&mut buffer).expect("the watchdog is fed");
        seen +=
            String::from_utf8_lossy(&buffer[..length]).lines().filter(|line| *line == "WATCHDOG=1").count();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_is_fed_idle_and_under_load_and_not_while_the_process_is_stopped() {
    let site = site();
    let path = site.home.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut command = Command::new(PROGRAM);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "2000000");
    let daemon = Daemon::start_by(&site.home, command).await;
    let (idle, busy) = (socket.try_clone().unwrap(), socket.try_clone().unwrap());
    tokio::task::spawn_blocking(move || fed(&idle, 10)).await.unwrap();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let until = std::sync::Arc::clone(&done);
    let loaded = tokio::task::spawn_blocking(move || {
        fed(&busy, 10);
        until.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let mut client = Client::hello(daemon.at("in")).await;
    while !done.load(std::sync::atomic::Ordering::Relaxed) && !loaded.is_finished() {
        send(&mut client, 20).await;
    }
    loaded.await.unwrap();
    drop(client);
    // Stopped for longer than the service manager waits: that is its affair, and no word of ours.
    daemon.signal("STOP");
    tokio::task::spawn_blocking(move || {
        while socket.recv(&mut [0; 1024]).is_ok() {}
        socket
    })
    .await
    .map(|socket| {
        daemon.signal("CONT");
        fed(&socket, 3);
    })
    .unwrap();
    assert!(!daemon.log().contains("makes no turn"), "{}", daemon.log());
    daemon.stop().await;
}

/// Sends a message to so many recipients.
async fn send(client: &mut Client, recipients: usize) {
    assert_eq!(client.say("MAIL FROM:<ada@a.test>").await.code, 250);
    for number in 0..recipients {
        assert_eq!(client.say(&format!("RCPT TO:<bob{number}@b.test>")).await.code, 250);
    }
    assert_eq!(client.say("DATA").await.code, 354);
    let reply = within("an answer", LONG, client.say("Subject: x\r\n\r\ntext\r\n.")).await;
    assert_eq!(reply.code, 250, "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_no_mail_and_loses_no_fact() {
    const MESSAGES: usize = 50;
    const RECIPIENTS: usize = 100;
    const REFUSED: usize = 10;
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let out = outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{QUICK}{LISTENER}{ANYONE}{out}"));
    let (daemon, held) = unread(&site).await;
    let mut client = Client::hello(daemon.at("in")).await;
    for _ in 0..MESSAGES {
        send(&mut client, RECIPIENTS).await;
    }
    daemon.queue_empty().await;
    assert_eq!(client.say("MAIL FROM:<ada@a.test>").await.code, 250);
    for _ in 0..REFUSED {
        assert_eq!(client.say("RCPT TO:<bob@nowhere.test>").await.code, 550);
    }
    let alarm =
        async || daemon.ask(&["connectors"]).await["alarms"].to_string().contains("lines are dropped");
    eventually("the alarm", LONG, async || alarm().await.then_some(())).await;
    let log = read(&site, held);
    eventually("its end", LONG, async || (!alarm().await).then_some(())).await;
    drop(client);
    daemon.stop().await;
    let log = within("the end of the log", LONG, log).await.unwrap();
    let (accepted, delivered) = (ids(&log, "accepted"), ids(&log, "delivered"));
    assert_eq!((accepted.len(), delivered.len()), (MESSAGES, MESSAGES * RECIPIENTS));
    assert!(accepted.is_sorted(), "the order is not kept");
    assert!(accepted.iter().all(|id| delivered.iter().filter(|other| *other == id).count() == RECIPIENTS));
    // On a slow machine another session begins meanwhile, and that it is in plaintext is a line that is dropped as well.
    let dropped = format!("kinds=\"INFO sealpost::message {REFUSED}");
    let is_counted =
        |line: &str| line.contains("sealpost::message: lines dropped count=") && line.contains(&dropped);
    assert!(log.lines().any(is_counted) && !log.contains("nowhere.test"), "{}", &log[log.len() - 3_000..]);
    assert!(log.trim_end().ends_with("stopped"), "the last lines are missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_keeps_no_stop_waiting() {
    let site = site();
    let (daemon, _held) = unread(&site).await;
    let mut client = Client::hello(daemon.at("in")).await;
    // Each recipient has a line when it is deferred: together they are more than a pipe holds.
    for _ in 0..4 {
        send(&mut client, 100).await;
    }
    daemon.idle().await;
    drop(client);
    daemon.stop().await;
}
