//! The echo mailbox: what it tells partners, whom it does not answer, and that an answer is neither lost nor doubled.

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, NAME, free_address};
use crate::peer::mint::Kind;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, PARTNER, QUICK, Site, outbound};

const ECHO: &str = "[echo]\naddress = \"echo@gw.sealpost.test\"\n\n";

/// A partner known by certificate, who may send to b.test alone.
const FORCED: &str = "[[inbound]]\nname = \"partner-in\"\nfrom_domains = [\"partner.test\"]\ntls = \"forced\"\n\
     peer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\nto_domains = [\"b.test\"]\nverify_recipients = true\n\n";

/// A partner known by network, who may send to b.test alone.
const KNOWN: &str = "[[inbound]]\nname = \"known\"\nfrom_domains = [\"partner.test\"]\nfrom_networks = [\"127.0.0.0/8\"]\n\
     tls = \"opportunistic\"\nto_domains = [\"b.test\"]\n\n";

/// Hands in a message and returns the code of the last reply.
async fn hand(client: &mut Client, from: &str, to: &[&str], header: &str) -> u16 {
    assert_eq!(client.say(&format!("MAIL FROM:<{from}>")).await.code, 250);
    for one in to {
        let reply = client.say(&format!("RCPT TO:<{one}>")).await;
        if reply.code != 250 {
            assert_eq!(client.say("RSET").await.code, 250);
            return reply.code;
        }
    }
    assert_eq!(client.say("DATA").await.code, 354);
    client.say(&format!("{header}Subject: buy this\r\n\r\nbuy that\r\n.")).await.code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_over_tls_learns_what_we_saw_and_what_to_expect() {
    let site = Site::new();
    let partner = site.good_sink().await;
    let out = outbound(
        "partner-out",
        "partner.test",
        partner.address,
        &format!("{IDENTITY}client_certificate = \"gw\"\n"),
    );
    let bob = outbound("bob", "b.test", free_address(), OPPORTUNISTIC);
    site.configure_all(&format!("{ECHO}{LISTENER}{FORCED}{out}{bob}"));
    let daemon = Daemon::start(&site.home).await;
    let shown = site.ours.client(Some(&site.partners.pair(&[PARTNER], Kind::Good)));
    let mut client = Client::sealed(daemon.at("in"), &shown, NAME).await;
    let header = "Message-ID: <1@partner.test>\r\nDate: Mon, 23 Nov 2026 21:35:56 +0000\r\n";
    assert_eq!(hand(&mut client, "ann@partner.test", &["Echo@GW.sealpost.test"], header).await, 250);
    let answer = partner.messages(1).await.remove(0);
    assert!(answer.sealed && answer.mail.is_empty(), "{}", answer.mail);
    assert_eq!(answer.recipients, ["ann@partner.test"]);
    let text = String::from_utf8(answer.content).unwrap();
    for expected in [
        "To: <ann@partner.test>\r\n",
        "In-Reply-To: <1@partner.test>\r\n",
        "References: <1@partner.test>\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "Mon, 23 Nov 2026 21:35:56 +0000",
        "127.0.0.1",
        "partner-in, identified by your client certificate",
        "TLSv1.3, TLS_AES_256_GCM_SHA384, X25519MLKEM768",
        "mail.partner.test",
        "Nothing. The session meets our requirement.",
        "TLS, or we send nothing: TLSv1.2 or later, a chain to",
        "this one, if your server asks for one",
        "STARTTLS is offered",
        "TLSv1.3 and TLSv1.2",
        "Our certificate:    gw.sealpost.test",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(text.is_ascii() && !text.contains("buy") && text.len() < 6_000, "{text}");
    assert_eq!(text.matches("SHA-256").count(), 3, "{text}");
    daemon.logged("kind=echo report=").await;
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_plaintext_is_described_and_strangers_get_nothing() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let out = outbound("partner-out", "partner.test", sink.address, OPPORTUNISTIC);
    let others = outbound("others", "b.test", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{ECHO}{LISTENER}{KNOWN}{ANYONE}{out}{others}"));
    let daemon = Daemon::start(&site.home).await;
    let mut client = Client::hello(daemon.at("in")).await;
    // `*` never uses it unless that is written.
    assert_eq!(hand(&mut client, "spam@c.test", &["echo@gw.sealpost.test"], "").await, 550);
    assert_eq!(hand(&mut client, "", &["echo@gw.sealpost.test"], "").await, 550);
    // Only the echo mailbox is special among the recipients.
    let both = ["bob@b.test", "echo@gw.sealpost.test"];
    assert_eq!(hand(&mut client, "ann@partner.test", &both, "").await, 250);
    let mut arrived = sink.messages(2).await;
    arrived.sort_by_key(|message| message.recipients.clone());
    assert_eq!(arrived[0].recipients, ["ann@partner.test"]);
    let text = String::from_utf8_lossy(&arrived[0].content).into_owned();
    for expected in [
        "known, identified by your address",
        "none: the session was in plaintext",
        "We do not require TLS of you. Your server did not use TLS.",
        "nothing; we use TLS if your server offers it",
        "Client certificate: none",
    ] {
        assert!(text.replace("\r\n", " ").contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("In-Reply-To"), "{text}");
    assert_eq!(arrived[1].recipients, ["bob@b.test"]);
    assert!(String::from_utf8_lossy(&arrived[1].content).contains("buy that"));
    daemon.queue_empty().await;
    assert_eq!(sink.arrived().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_lists_and_floods_are_accepted_and_not_answered() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let out = outbound("partner-out", "partner.test", sink.address, OPPORTUNISTIC);
    let bob = outbound("bob", "b.test", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{ECHO}per_hour = 2\n\n{LISTENER}{KNOWN}{out}{bob}"));
    let daemon = Daemon::start(&site.home).await;
    let mut client = Client::hello(daemon.at("in")).await;
    let echo = ["echo@gw.sealpost.test"];
    for (from, header, why) in [
        ("ann@partner.test", "Auto-Submitted: auto-generated\r\n", "echo-automatic"),
        ("ann@partner.test", "Precedence: bulk\r\n", "echo-bulk"),
        ("ann@partner.test", "List-Id: <a.partner.test>\r\n", "echo-list"),
        ("MAILER-DAEMON@partner.test", "", "echo-robot"),
    ] {
        assert_eq!(hand(&mut client, from, &echo, header).await, 250);
        daemon.logged(&format!("kind={why}")).await;
    }
    for number in 0..4 {
        assert_eq!(hand(&mut client, &format!("ann{number}@partner.test"), &echo, "").await, 250);
    }
    sink.messages(2).await;
    daemon.logged("kind=echo-hour-full").await;
    daemon.queue_empty().await;
    assert_eq!(sink.arrived().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_echo_mailboxes_do_not_keep_each_other_busy() {
    let (one, other) = (Site::new(), Site::new());
    let (at_one, at_other) = (free_address(), free_address());
    let listener = |at: std::net::SocketAddr| LISTENER.replace("127.0.0.1:0", &at.to_string());
    // Both take mail from everybody, and say that everybody may use it: the worst that can be configured.
    let open = ANYONE.replace("to_domains", "echo = true\nto_domains");
    let to_other = outbound("other", "gw.other.test", at_other, OPPORTUNISTIC);
    let to_one = outbound("one", "gw.one.test", at_one, OPPORTUNISTIC);
    let echo = |address: &str| ECHO.replace("echo@gw.sealpost.test", address);
    other.configure_all(&format!("{}{}{open}{to_one}", echo("echo@gw.other.test"), listener(at_other)));
    one.configure_all(&format!("{}{}{open}{to_other}", echo("echo@gw.one.test"), listener(at_one)));
    let (one, other) = (Daemon::start(&one.home).await, Daemon::start(&other.home).await);
    let mut client = Client::hello(at_one).await;
    assert_eq!(hand(&mut client, "echo@gw.other.test", &["echo@gw.one.test"], "").await, 250);
    one.logged("kind=echo report=").await;
    other.logged("kind=echo-null-path").await;
    one.queue_empty().await;
    other.queue_empty().await;
    one.logged_times("message: accepted id=", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_neither_loses_nor_doubles_an_answer() {
    let site = Site::new();
    let (away, at) = (free_address(), free_address());
    let listener = LISTENER.replace("127.0.0.1:0", &at.to_string());
    let out = outbound("partner-out", "partner.test", away, OPPORTUNISTIC);
    let bob = outbound("bob", "b.test", away, OPPORTUNISTIC);
    site.configure_all(&format!("{QUICK}{ECHO}{listener}{KNOWN}{out}{bob}"));
    let daemon = Daemon::start(&site.home).await;
    let mut client = Client::hello(at).await;
    for number in 0..6 {
        let from = format!("ann{number}@partner.test");
        let both = ["bob@b.test", "echo@gw.sealpost.test"];
        let to = if number % 2 == 0 { &both[1..] } else { &both };
        assert_eq!(hand(&mut client, &from, to, "").await, 250);
    }
    daemon.kill().await;
    let sink = Sink::start_at(&away.to_string(), Manner::clear()).await;
    let daemon = Daemon::start(&site.home).await;
    sink.messages(9).await;
    daemon.queue_empty().await;
    let mut answered: Vec<String> =
        sink.arrived().into_iter().flat_map(|message| message.recipients).collect();
    answered.sort();
    let expected: Vec<String> = (0..6).map(|number| format!("ann{number}@partner.test")).collect();
    assert_eq!(answered[..6], expected[..]);
    assert_eq!(answered[6..], ["bob@b.test"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_and_reload_know_it() {
    let site = Site::new();
    let out = outbound("partner-out", "partner.test", free_address(), OPPORTUNISTIC);
    let rest = format!("{LISTENER}{KNOWN}{ANYONE}{out}");
    site.configure_all(&rest);
    let daemon = Daemon::start(&site.home).await;
    let mut client = Client::hello(daemon.at("in")).await;
    assert_eq!(hand(&mut client, "ann@partner.test", &["echo@gw.sealpost.test"], "").await, 550);
    site.configure_all(&format!("{ECHO}{rest}"));
    assert!(daemon.command(&["reload"]).await.status.success());
    assert_eq!(hand(&mut client, "ann@partner.test", &["echo@gw.sealpost.test"], "").await, 250);
    let explain = |words: &[&str]| {
        let output = site.home.run(&["explain"], words);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let words = ["--to", "echo@gw.sealpost.test", "--from", "ann@partner.test", "--peer-ip", "127.0.0.1"];
    let (code, text) = explain(&words);
    assert_eq!(code, Some(0), "{text}");
    for expected in [
        "admitted by known",
        "known may use the echo mailbox",
        "to <echo@gw.sealpost.test>: the echo mailbox",
        "used by   known",
        "answer    to <ann@partner.test> by connector partner-out",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let words = ["--to", "echo@gw.sealpost.test", "--from", "x@stranger.test", "--peer-ip", "127.0.0.1"];
    let (code, text) = explain(&words);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("admitted by anyone") && text.contains("RCPT is refused with 550 5.4.4"), "{text}");
}
