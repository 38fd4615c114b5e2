//! What clients' certificates cost: who is asked for one, and what is done with chains that strangers make up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, NAME};
use crate::peer::mint::{Authority, Kind};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, LISTENER, OPPORTUNISTIC, Site, outbound};

const BANK: &str = "[[inbound]]\nname = \"bank\"\nfrom_domains = [\"bank.test\"]\ntls = \"forced\"\n\
    peer_names = [\"mail.bank.test\"]\ntrust = [\"partners\"]\nto_domains = [\"b.test\"]\n\n";

async fn bank(inbound: &str) -> (Site, Sink, Daemon) {
    let (site, sink) = (Site::new(), Sink::start(Manner::clear()).await);
    let out = outbound("out", "*", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{LISTENER}{ANYONE}{inbound}{out}"));
    let daemon = Daemon::start(&site.home).await;
    (site, sink, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_with_many_namesakes_are_refused_and_hold_up_nobody() {
    let (site, _sink, daemon) = bank(BANK).await;
    let liar = Authority::new("X");
    let crowd: Vec<Authority> = (0..60).map(|_| liar.below("X", |_| {})).collect();
    let pair = liar.pair(&["mail.bank.test"], Kind::Good).followed_by(&crowd.iter().collect::<Vec<_>>());
    let config = site.ours.client(Some(&pair));
    let mut strangers = Vec::new();
    for _ in 0..8 {
        strangers.push(Client::sealed(daemon.at("in"), &config, NAME).await);
    }
    for stranger in &mut strangers {
        stranger.write(b"MAIL FROM:<ada@bank.test>\r\n").await.unwrap();
    }
    // The partner's chain is long too: among its intermediates are some that have nothing to do with it.
    let mut above = site.partners.below("one", |_| {});
    let mut line = vec![Authority::new("one"), Authority::new("two"), Authority::new("X")];
    for name in ["two", "three", "four"] {
        let next = above.below(name, |_| {});
        line.push(std::mem::replace(&mut above, next));
    }
    let good = above.pair(&["mail.bank.test"], Kind::Good);
    line.insert(0, above);
    let good = good.followed_by(&line.iter().collect::<Vec<_>>());
    let mut partner = Client::sealed(daemon.at("in"), &site.ours.client(Some(&good)), NAME).await;
    let taken = partner.say("MAIL FROM:<ada@bank.test>").await;
    assert_eq!(taken.code, 250, "{taken:?}");
    assert_eq!(partner.say("RSET").await.code, 250);
    assert_eq!(partner.say("MAIL FROM:<ada@bank.test>").await.code, 250, "once assessed, it stays so");
    for stranger in &mut strangers {
        let refused = stranger.reply().await;
        assert!(
            refused.text.starts_with("550 5.7.1 ") && refused.text.contains("no more are considered"),
            "{refused:?}"
        );
        assert_eq!(stranger.say("MAIL FROM:<ada@a.test>").await.code, 250, "the session goes on");
    }
}

/// Counts how often a server asks for a certificate, and presents none.
#[derive(Debug, Default)]
struct Asked {
    times: AtomicUsize,
    hints: AtomicUsize,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.times.fetch_add(1, Ordering::SeqCst);
        self.hints.fetch_add(hints.len(), Ordering::SeqCst);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_of_which_a_connector_wants_a_certificate_are_asked() {
    let networks = BANK.replace("tls =", "from_networks = [\"127.0.0.2/32\"]\ntls =");
    let (site, _sink, daemon) = bank(&networks).await;
    for (source, times) in [([127, 0, 0, 1], 0), ([127, 0, 0, 2], 1)] {
        let asked = Arc::new(Asked::default());
        let mut config = ClientConfig::clone(&site.ours.client(None));
        config.client_auth_cert_resolver = Arc::clone(&asked) as Arc<dyn ResolvesClientCert>;
        let mut client = Client::try_connect_from(source.into(), daemon.at("in")).await.unwrap();
        assert_eq!(client.say("EHLO client.test").await.code, 250);
        assert_eq!(client.say("STARTTLS").await.code, 220);
        let mut client = client.handshake(&Arc::new(config), NAME).await.unwrap();
        assert_eq!(client.say("EHLO client.test").await.code, 250);
        let seen = (asked.times.load(Ordering::SeqCst), asked.hints.load(Ordering::SeqCst));
        assert_eq!(seen, (times, 0), "{source:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_is_logged_as_too_old() {
    let (_site, _sink, daemon) = bank("").await;
    for (minor, name) in [(1, "TLS 1.0"), (2, "TLS 1.1")] {
        let mut client = Client::hello(daemon.at("in")).await;
        assert_eq!(client.say("STARTTLS").await.code, 220);
        // A ClientHello without extensions, as such clients send it: one suite, no compression.
        let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, minor];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0, 47, 1, 0]);
        client.write(&hello).await.unwrap();
        client.closed().await;
        let told = format!("TLS handshake: the client is too old: it speaks {name}");
        daemon.logged(&told).await;
    }
}
