//! `doctor` knows the present: whether the daemon runs, what waits for TLS, and what ends soon.

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, PARTNER, Site, outbound};
use crate::peer::tools;

/// Its lines that begin so.
fn lines(site: &Site, start: &str) -> Vec<String> {
    let told = tools::said(&site.home.run(&["doctor"], &["--timeout", "2"]));
    told.lines().filter(|line| line.contains(start)).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_is_wrong_now() {
    let site = Site::new();
    let bank = Sink::start(Manner::clear()).await;
    let partner = "[[partner]]\nname = \"bank\"\ndomains = [\"b.test\"]\ncontact = \"tls@b.test\"\n\n";
    let out = outbound("bank", "b.test", bank.address, IDENTITY);
    let out = out.replace("domains = [\"b.test\"]", "partner = \"bank\"");
    site.configure_all(&format!("{partner}{LISTENER}{ANYONE}{out}"));
    let before = lines(&site, " daemon: ");
    assert!(before[0].starts_with("warn"), "it has never run: {before:?}");
    let daemon = Daemon::start(&site.home).await;
    assert!(lines(&site, " daemon: ")[0].starts_with("ok    daemon: it runs; 0 messages"), "{before:?}");
    let message = mix::plain("one", 1, 200, "ada@a.test", "bob@b.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    daemon.deferred("bob@b.test").await;
    let waiting = lines(&site, "recipients wait for TLS");
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    for part in ["FAIL  connector bank: 1 recipients", "STARTTLS is not offered", "ask tls@b.test"] {
        assert!(waiting[0].contains(part), "{part}: {waiting:?}");
    }
    let output = site.home.run(&["doctor"], &["--timeout", "2"]);
    assert_eq!(output.status.code(), Some(1));
    bank.behave(Manner::sealed(site.partners.pair(&[PARTNER], Kind::Good).server()));
    daemon.command(&["queue", "retry", "--all"]).await;
    daemon.queue_empty().await;
    assert!(lines(&site, "recipients wait for TLS").is_empty());
    daemon.stop().await;
    assert!(lines(&site, " daemon: ")[0].starts_with("FAIL"), "it is down");
}
