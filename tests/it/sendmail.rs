//! Mail of scripts on this machine, through `sealpost sendmail` and a link of that name.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::peer::daemon::{Daemon, PROGRAM, free_address};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, OPPORTUNISTIC, Site, outbound};

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

#[tokio::test(flavor = "multi_thread")]
async fn scripts_hand_in_mail_as_they_always_did() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear().replying("rcpt to:<gone@", "550 5.1.1 nobody")).await;
    let at = free_address();
    let listener = format!("[[listener]]\nname = \"local\"\naddress = [\"{at}\"]\ntls = \"off\"\n\n");
    site.configure_all(&(listener + ANYONE + &outbound("out", "b.test", sink.address, OPPORTUNISTIC)));
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
