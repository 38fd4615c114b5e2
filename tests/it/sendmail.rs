//! Mail of scripts on this machine, through `sealpost sendmail` and a link of that name.

use std::fs::Permissions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, PROGRAM, free_address};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, OPPORTUNISTIC, Site, outbound};
use crate::peer::{LONG, eventually};

fn hand(program: &Path, args: &[&str], text: &[u8]) -> Output {
    let mut child = Command::new(program)
        .args(args)
        .env("LOGNAME", "ann")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A usage error reads nothing.
    let _ = child.stdin.take().unwrap().write_all(text);
    child.wait_with_output().unwrap()
}

/// A site whose daemon picks up what is left in its folder `drop`, and takes mail of this machine.
fn site_with_drop(at: SocketAddr, sink: &Sink) -> Site {
    site_with_drop_and(at, sink, ANYONE)
}

/// The same with other inbound connectors, or limits.
fn site_with_drop_and(at: SocketAddr, sink: &Sink, more: &str) -> Site {
    let site = Site::new();
    let listener = format!("[[listener]]\nname = \"local\"\naddress = [\"{at}\"]\ntls = \"off\"\n\n");
    site.configure_all(&(listener + more + &outbound("out", "b.test", sink.address, OPPORTUNISTIC)));
    let config = std::fs::read_to_string(site.home.config()).unwrap();
    let config = config.replacen("postmaster =", "drop_dir = \"drop\"\npostmaster =", 1);
    std::fs::write(site.home.config(), config).unwrap();
    let drop = site.home.path().join("drop");
    std::fs::create_dir(&drop).unwrap();
    std::fs::set_permissions(&drop, Permissions::from_mode(0o3733)).unwrap();
    site
}

/// Leaves a file as `sendmail` does, with the age given in days.
fn leave(site: &Site, name: &str, (sender, recipients): (&str, &[&str]), days: u64) {
    let drop = site.home.path().join("drop");
    let envelope = serde_json::json!({ "sender": sender, "recipients": recipients });
    // Aged outside of the directory: the daemon removes old tmp-* files.
    let begun = site.home.path().join(format!("begun-{name}"));
    std::fs::write(&begun, format!("{envelope}\nSubject: {name}\r\n\r\nx\r\n.\r\n")).unwrap();
    age(&begun, days);
    std::fs::rename(begun, drop.join(name)).unwrap();
}

fn age(path: &Path, days: u64) {
    let time = SystemTime::now() - Duration::from_secs(days * 86_400);
    std::fs::File::open(path).unwrap().set_modified(time).unwrap();
}

/// One session from b.test only, and a session that is it: mail from there is deferred while that lasts.
const ONE_AT_A_TIME: &str = "[[inbound]]\nname = \"one\"\nfrom_domains = [\"b.test\"]\nconnections = 1\n\
     from_networks = [\"127.0.0.0/8\"]\ntls = \"opportunistic\"\nto_domains = [\"*\"]\n\n";

async fn occupy(at: SocketAddr) -> Client {
    let mut client = Client::hello(at).await;
    assert_eq!(client.say("MAIL FROM:<first@b.test>").await.code, 250);
    client
}

/// The names in the drop directory, in order.
fn dropped(site: &Site) -> Vec<String> {
    let entries = std::fs::read_dir(site.home.path().join("drop")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn what_programs_write_arrives_with_its_octets() {
    let sink = Sink::start(Manner::clear()).await;
    let site = site_with_drop(free_address(), &sink);
    let _daemon = Daemon::start(&site.home).await;
    let config = site.home.config();
    let args = ["sendmail", "-C", config.to_str().unwrap(), "-i", "bob@b.test"];
    let long = [b'x'; 5000];
    let cases: [(&[u8], &[u8]); 5] = [
        (b"Subject: cron\n\n  10%\r  50%\r 100%\ndone\n", b"  10%\r\n  50%\r\n 100%\r\ndone\r\n"),
        (b"Subject: Gr\xfc\xdfe\n\ngr\xf6\xdfer\n", b"gr\xf6\xdfer\r\n"),
        (b"Subject: x\n\nzero \0 octet\n", b"quoted-printable\r\n\r\nzero =00 octet\r\n"),
        (&[b"Subject: x\n\n", &long[..], b"\n"].concat(), b"xxx=\r\n"),
        (&[b"X-Long: ", &long[..], b"\n\nbody\n"].concat(), b"\r\n\r\nbody\r\n"),
    ];
    for (number, (text, expected)) in cases.into_iter().enumerate() {
        let done = hand(Path::new(PROGRAM), &args, text);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let content = sink.messages(number + 1).await.pop().unwrap().content;
        let found = content.windows(expected.len()).any(|part| part == expected);
        assert!(found, "{}", String::from_utf8_lossy(&content));
    }
    assert!(sink.arrived()[1].content.windows(16).any(|part| part == b"\r\nSubject: Gr\xfc\xdfe"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_is_left_while_the_daemon_is_down_is_picked_up() {
    let sink = Sink::start(Manner::clear()).await;
    let site = site_with_drop(free_address(), &sink);
    let config = site.home.config();
    let config = config.to_str().unwrap();
    let program = Path::new(PROGRAM);
    let left = hand(
        program,
        &["sendmail", "-C", config, "-v", "-fann@a.test", "bob@b.test"],
        b"Subject: x\n\nleft\n",
    );
    assert!(left.status.success(), "{}", String::from_utf8_lossy(&left.stderr));
    assert!(String::from_utf8_lossy(&left.stdout).contains(": left in "), "{left:?}");
    let refused = ["sendmail", "-C", config, "-ferin@b.test", "carol@b.test", "gone@elsewhere.test"];
    assert!(hand(program, &refused, b"Subject: y\n\nsecret\n").status.success());
    let nobody = ["sendmail", "-C", config, "-f<>", "gone@elsewhere.test"];
    assert!(hand(program, &nobody, b"x\n").status.success());
    let drop = site.home.path().join("drop");
    std::fs::write(drop.join("mail-damaged"), "not what we write").unwrap();
    std::os::unix::fs::symlink(config, drop.join("mail-link")).unwrap();
    std::fs::write(drop.join("mail-two"), "names").unwrap();
    std::fs::hard_link(drop.join("mail-two"), drop.join("other-name")).unwrap();
    assert_eq!(dropped(&site).len(), 3 + 4, "{:?}", dropped(&site));

    let daemon = Daemon::start(&site.home).await;
    let mut arrived = sink.messages(3).await;
    arrived.sort_by(|one, other| one.recipients.cmp(&other.recipients));
    let recipients: Vec<&str> = arrived.iter().map(|one| one.recipients[0].as_str()).collect();
    assert_eq!(recipients, ["bob@b.test", "carol@b.test", "erin@b.test"]);
    assert!(arrived[0].mail == "ann@a.test" && arrived[0].content.ends_with(b"\r\n\r\nleft\r\n"));
    let report = String::from_utf8_lossy(&arrived[2].content).into_owned();
    assert!(arrived[2].mail.is_empty() && report.contains("<gone@elsewhere.test>\r\n  550 5."), "{report}");
    assert!(report.contains("\r\nSubject: y\r\n") && !report.contains("secret"), "{report}");
    daemon.queue_empty().await;
    eventually("the last file", LONG, async || (dropped(&site).len() == 6).then_some(())).await;
    let names = dropped(&site);
    let bad = names.iter().filter(|name| name.starts_with("bad-")).count();
    assert_eq!(
        (bad, names.len()),
        (4, 4 + 2),
        "listener, other-name, and what could not be submitted: {names:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_may_not_read_the_configuration_hands_in_mail() {
    let sink = Sink::start(Manner::clear()).await;
    let site = site_with_drop(free_address(), &sink);
    let home = site.home.path();
    // The folders above the program need not be open to others.
    let program = home.join("sealpost");
    std::fs::copy(PROGRAM, &program).unwrap();
    let daemon = Daemon::start(&site.home).await;
    let listener = home.join("drop/listener");
    eventually("the published listener", LONG, async || listener.exists().then_some(())).await;
    std::fs::set_permissions(site.home.config(), Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(home, Permissions::from_mode(0o711)).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let hand = |text: &str| {
        let mut command = Command::new(&program);
        command.args(["sendmail", "bob@b.test"]).env("LOGNAME", "ann").stdin(Stdio::piped());
        command.env("SEALPOST_CONFIG", if is_root { site.home.config() } else { home.join("unreadable") });
        command.env("SEALPOST_DROP_DIR", home.join("drop"));
        if is_root {
            command.uid(65_534).gid(65_534);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    hand("Subject: x\n\nup\n");
    assert_eq!(sink.messages(1).await[0].mail, "ann@gw.sealpost.test");
    daemon.stop().await;
    hand("Subject: x\n\ndown\n");
    let _daemon = Daemon::start(&site.home).await;
    assert!(sink.messages(2).await[1].content.ends_with(b"\r\n\r\ndown\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_hand_in_mail_as_they_always_did() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear().replying("rcpt to:<gone@", "550 5.1.1 nobody")).await;
    let at = free_address();
    let listener = format!("[[listener]]\nname = \"local\"\naddress = [\"{at}\"]\ntls = \"off\"\n\n");
    site.configure_all(&(listener + ANYONE + &outbound("out", "b.test", sink.address, OPPORTUNISTIC)));
    // Not that of the machine that runs this.
    let text = std::fs::read_to_string(site.home.config()).unwrap();
    std::fs::write(site.home.config(), text.replacen("postmaster =", "drop_dir = \"none\"\npostmaster =", 1))
        .unwrap();
    let daemon = Daemon::start(&site.home).await;
    let config = site.home.config();
    let config = config.to_str().unwrap();
    let link = site.home.path().join("sendmail");
    std::os::unix::fs::symlink(PROGRAM, &link).unwrap();

    let text = b"To: Bob <bob@b.test>\nBcc: carol@b.test\nSubject: backup\n\nline\n.\nnot sent\n".as_slice();
    let done = hand(&link, &["-C", config, "-t", "-FBackup"], text);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let first = sink.messages(1).await.remove(0);
    assert_eq!((first.mail.as_str(), first.recipients.len()), ("ann@gw.sealpost.test", 2));
    let content = String::from_utf8_lossy(&first.content).into_owned();
    assert!(content.contains("From: \"Backup\" <ann@gw.sealpost.test>\r\n"), "{content}");
    assert!(content.contains("\r\nMessage-ID: <") && content.ends_with("\r\n\r\nline\r\n"), "{content}");
    assert!(!content.contains("carol@b.test"), "Bcc is taken out: {content}");

    let text = b"all well\n.\n\xc3\xbc".as_slice();
    let done = hand(Path::new(PROGRAM), &["sendmail", "-C", config, "-oi", "-f", "<>", "bob@b.test"], text);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let second = sink.messages(2).await.remove(1);
    assert_eq!(second.mail, "");
    assert!(second.content.ends_with(b"\r\n\r\nall well\r\n.\r\n\xc3\xbc\r\n"));

    for (args, code) in [
        (&["-C", config, "-t"][..], 64),
        (&["-C", config, "bob@elsewhere.test"], 65),
        (&["-C", "/nowhere/sealpost.toml", "bob@b.test"], 78),
    ] {
        let refused = hand(&link, args, b"Subject: x\n\nx\n");
        assert_eq!(
            refused.status.code(),
            Some(code),
            "{args:?} {}",
            String::from_utf8_lossy(&refused.stderr)
        );
        assert!(!refused.stderr.is_empty());
    }
    let session = b"EHLO x\r\nMAIL FROM:<ann@a.test>\r\nRCPT TO:<bob@b.test>\r\nDATA\r\nSubject: bs\r\n\r\nx\r\n.\r\nQUIT\r\n";
    let done = hand(&link, &["-C", config, "-bs"], session);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.starts_with("220 ") && said.contains("\r\n221 2.0.0"), "{said}");
    sink.messages(3).await;
    sink.behave(Manner::clear().replying("rcpt to:", "450 4.2.1 later"));
    let waits = hand(&link, &["-C", config, "-f", "ann@a.test", "later@b.test"], b"x\n");
    assert!(waits.status.success());
    daemon.deferred("later@b.test").await;
    let listed = hand(&link, &["-bp", "-C", config], b"");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("later@b.test"), "{listed:?}");
    sink.behave(Manner::clear());
    let tried = hand(&link, &["-q", "-C", config], b"");
    assert_eq!(String::from_utf8_lossy(&tried.stdout), "1 recipient is tried again now\n");
    daemon.queue_empty().await;
    daemon.stop().await;
    let late = hand(&link, &["-C", config, "bob@b.test"], b"x\n");
    assert_eq!(late.status.code(), Some(75), "{}", String::from_utf8_lossy(&late.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_user_stops_the_drop_directory_for_others() {
    let sink = Sink::start(Manner::clear()).await;
    let at = free_address();
    let site = site_with_drop_and(at, &sink, &(ONE_AT_A_TIME.to_owned() + ANYONE));
    let drop = site.home.path().join("drop");
    for folder in ["listener", "tmp-old", "mail-x", "bad-x/y"] {
        std::fs::create_dir_all(drop.join(folder)).unwrap();
    }
    age(&drop.join("tmp-old"), 3);
    let daemon = Daemon::start(&site.home).await;
    let _first = occupy(at).await;
    // More than one turn takes, and all of them older.
    for number in 0..250 {
        leave(&site, &format!("mail-held{number}"), ("ann@b.test", &["bob@b.test"]), 1);
    }
    for number in 0..3 {
        leave(&site, &format!("mail-good{number}"), ("ann@a.test", &["bob@b.test"]), 0);
    }
    assert!(sink.messages(3).await.iter().all(|one| one.mail == "ann@a.test"));
    eventually("the last good file", LONG, async || {
        (!dropped(&site).iter().any(|name| name.starts_with("mail-good"))).then_some(())
    })
    .await;
    let names = dropped(&site);
    assert!(drop.join("listener").is_file() && !names.iter().any(|name| name == "mail-x"), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.starts_with("tmp-")).count(), 1, "{names:?}");
    assert_eq!(names.iter().filter(|name| name.starts_with("mail-held")).count(), 250);
    daemon.logged_times("/mail-x can't be submitted", 1).await;
    let log = daemon.log();
    assert!(!log.contains("the drop directory") || !log.contains("can't be used"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_never_accepted_is_reported_after_five_days() {
    let sink = Sink::start(Manner::clear()).await;
    let at = free_address();
    let site = site_with_drop_and(at, &sink, &(ONE_AT_A_TIME.to_owned() + ANYONE));
    let _daemon = Daemon::start(&site.home).await;
    let _first = occupy(at).await;
    leave(&site, "mail-old", ("carol@b.test", &["bob@b.test"]), 6);
    let report = sink.messages(1).await.remove(0);
    let content = String::from_utf8_lossy(&report.content).into_owned();
    assert_eq!((report.mail.as_str(), report.recipients), ("", vec!["carol@b.test".to_owned()]));
    assert!(content.contains("<bob@b.test>\r\n  not accepted in 5 days; last: "), "{content}");
    eventually("its removal", LONG, async || (dropped(&site) == ["listener"]).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_reported_to_whom_wants_no_report() {
    let sink = Sink::start(Manner::clear()).await;
    let site = site_with_drop_and(free_address(), &sink, ANYONE);
    let daemon = Daemon::start(&site.home).await;
    let never = r#"{"sender":"carol@b.test","recipients":["bob@nowhere.test"],"notify":"NEVER"}"#;
    let drop = site.home.path().join("drop");
    std::fs::write(drop.join("tmp-never"), format!("{never}\nSubject: x\r\n\r\nx\r\n.\r\n")).unwrap();
    std::fs::rename(drop.join("tmp-never"), drop.join("mail-never")).unwrap();
    eventually("its removal", LONG, async || (dropped(&site) == ["listener"]).then_some(())).await;
    daemon.logged("refused, and the sender wants no report of failures").await;
    let log = daemon.log();
    assert!(!log.contains("event=accepted"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_recipients_is_accepted_or_reported() {
    let sink = Sink::start(Manner::clear()).await;
    let limits = "[limits]\nrecipients = 2\nerrors = 8\n\n";
    let site = site_with_drop_and(free_address(), &sink, &(limits.to_owned() + ANYONE));
    let gone: Vec<String> = (0..45).map(|number| format!("gone{number}@elsewhere.test")).collect();
    let good: Vec<String> = (0..5).map(|number| format!("good{number}@b.test")).collect();
    let (first, last) = gone.split_at(20);
    let config = site.home.config();
    let mut args = vec!["sendmail", "-C", config.to_str().unwrap(), "-ferin@b.test"];
    args.extend(first.iter().chain(&good).chain(last).map(String::as_str));
    assert!(hand(Path::new(PROGRAM), &args, b"Subject: x\n\nx\n").status.success());
    let daemon = Daemon::start(&site.home).await;
    eventually("its removal", LONG, async || (dropped(&site) == ["listener"]).then_some(())).await;
    daemon.queue_empty().await;
    let (reports, messages): (Vec<_>, Vec<_>) =
        sink.arrived().into_iter().partition(|one| one.mail.is_empty());
    let mut reached: Vec<String> = messages.into_iter().flat_map(|one| one.recipients).collect();
    reached.sort();
    assert_eq!(reached, good);
    let reports: String = reports.iter().map(|one| String::from_utf8_lossy(&one.content)).collect();
    for recipient in &gone {
        assert_eq!(
            reports.matches(&format!("<{recipient}>\r\n  550 5.")).count(),
            1,
            "{recipient}: {reports}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_message_gets_no_second_copy_for_those_who_wait() {
    let sink = Sink::start(Manner::clear().replying("rcpt to:<gone@", "550 5.1.1 nobody")).await;
    let asking = ANYONE.trim_end().to_owned() + "\nverify_recipients = true\n\n";
    let limits = "[limits]\nunknown_recipients = 1\n\n".to_owned();
    let site = site_with_drop_and(free_address(), &sink, &(limits + &asking));
    let _daemon = Daemon::start(&site.home).await;
    let recipients = ["erin@b.test", "gone@b.test", "later@b.test"];
    leave(&site, "mail-some", ("erin@b.test", &recipients), 0);
    let file = site.home.path().join("drop/mail-some");
    eventually("the rest", LONG, async || {
        let text = std::fs::read_to_string(&file).unwrap();
        (text.starts_with("{\"sender\":\"erin@b.test\",\"recipients\":[\"later@b.test\"]")
            && text.ends_with("Subject: mail-some\r\n\r\nx\r\n.\r\n"))
        .then_some(())
    })
    .await;
    let arrived = sink.messages(2).await;
    let mut kinds: Vec<&str> = arrived.iter().map(|one| one.mail.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["", "erin@b.test"], "the report and the message");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_listener_could_ever_accept_is_not_left() {
    let sink = Sink::start(Manner::clear()).await;
    let site = site_with_drop(free_address(), &sink);
    let config = site.home.config();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replacen("tls = \"off\"", "tls = \"required\"\ncertificate = \"gw\"", 1))
        .unwrap();
    let done = hand(Path::new(PROGRAM), &["sendmail", "-C", config.to_str().unwrap(), "bob@b.test"], b"x\n");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(78), "{said}");
    assert!(said.contains("no listener accepts mail from this machine in plaintext"), "{said}");
    assert_eq!(dropped(&site), Vec::<String>::new());
    leave(&site, "mail-before", ("ann@a.test", &["bob@b.test"]), 0);
    let daemon = Daemon::start(&site.home).await;
    eventually("an alarm", LONG, async || {
        daemon.log().contains("can't be used: no listener accepts mail from this machine").then_some(())
    })
    .await;
}
