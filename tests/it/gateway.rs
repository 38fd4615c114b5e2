//! One gateway with several sources of mail: the internet, our own Exchange by its network, Exchange Online by its
//! certificate, and a partner that a forced connector binds; and every way to pass for another.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::peer::client::{Client, Reply};
use crate::peer::daemon::{Daemon, NAME};
use crate::peer::mint::Kind;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{OPPORTUNISTIC, Site, outbound};

/// The address of our own Exchange server; everybody else comes from 127.0.0.1.
const EXCHANGE: [u8; 4] = [127, 0, 0, 2];
const STRANGER: [u8; 4] = [127, 0, 0, 1];

/// contoso.test is our own domain, fabrikam.test a partner's.
const TABLE: &str = r#"
[[listener]]
name = "internet"
address = ["127.0.0.1:0"]
tls = "starttls"
certificate = "gw"

[[listener]]
name = "inside"
address = ["127.0.0.1:0"]
tls = "starttls"
certificate = "gw"

[[inbound]]
name = "exchange-in"
kind = "own"
from_networks = ["127.0.0.2"]
listeners = ["inside"]
tls = "opportunistic"
to_domains = ["*"]

[[inbound]]
name = "cloud-in"
kind = "own"
tls = "forced"
peer_names = ["mail.protection.test"]
trust = ["partners"]
to_domains = ["*"]

[[inbound]]
name = "fabrikam-in"
from_domains = ["fabrikam.test"]
tls = "forced"
peer_names = ["mail.fabrikam.test"]
trust = ["partners"]
to_domains = ["contoso.test"]

[[inbound]]
name = "internet-in"
from_domains = ["*"]
except_domains = ["contoso.test", "*.contoso.test"]
listeners = ["internet"]
tls = "opportunistic"
to_domains = ["contoso.test"]

"#;

struct Gateway {
    site: Site,
    daemon: Daemon,
    sink: Sink,
}

impl Gateway {
    async fn start() -> Self {
        let site = Site::new();
        let sink = Sink::start(Manner::clear()).await;
        site.configure_all(&(TABLE.to_owned() + &outbound("out", "*", sink.address, OPPORTUNISTIC)));
        let daemon = Daemon::start(&site.home).await;
        Self { site, daemon, sink }
    }

    fn showing(&self, name: &str) -> Arc<ClientConfig> {
        self.site.ours.client(Some(&self.site.partners.pair(&[name], Kind::Good)))
    }

    async fn plain(&self, own: [u8; 4], listener: &str) -> Client {
        Client::hello_from(own, self.daemon.at(listener)).await
    }

    async fn certified(&self, name: &str, listener: &str) -> Client {
        Client::sealed(self.daemon.at(listener), &self.showing(name), NAME).await
    }
}

/// The replies to MAIL and RCPT, or the one to MAIL if it is refused.
async fn offer(client: &mut Client, from: &str, to: &str) -> Reply {
    client.say("RSET").await;
    let mail = client.say(&format!("MAIL FROM:<{from}>")).await;
    if mail.code == 250 { client.say(&format!("RCPT TO:<{to}>")).await } else { mail }
}

#[track_caller]
fn check(reply: &Reply, expected: &str) {
    assert!(reply.text.starts_with(expected), "expected {expected}: {}", reply.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_table_serves_the_internet_our_servers_the_cloud_and_partners() {
    let gateway = Gateway::start().await;
    let inside = "bob@contoso.test";
    let [internet, ours, cloud, partner] = [0, 1, 2, 3];
    let mut clients = [
        gateway.plain(STRANGER, "internet").await,
        gateway.plain(EXCHANGE, "inside").await,
        gateway.certified("mail.protection.test", "internet").await,
        gateway.certified("mail.fabrikam.test", "internet").await,
    ];
    for (client, from, to) in [
        (internet, "ada@world.test", inside),
        (internet, "", inside),
        (ours, "bob@contoso.test", "ada@world.test"),
        // Mail that somebody redirects, of a domain that a partner's connector binds, and a report.
        (ours, "eve@fabrikam.test", "ada@world.test"),
        (ours, "", "ada@world.test"),
        (cloud, "bob@contoso.test", "ada@world.test"),
        (cloud, "eve@fabrikam.test", "ada@world.test"),
        (cloud, "", inside),
        (partner, "eve@fabrikam.test", inside),
        (partner, "", inside),
    ] {
        check(&offer(&mut clients[client], from, to).await, "250");
    }
    // And it is delivered.
    for command in ["DATA", "Subject: x\r\n\r\nx\r\n."] {
        clients[cloud].say(command).await;
    }
    assert_eq!(gateway.sink.messages(1).await[0].recipients, [inside]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_passes_for_another() {
    let gateway = Gateway::start().await;
    let (inside, outside) = ("bob@contoso.test", "ada@world.test");
    let [internet, sneaking, wrong_door, partner, other] = [0, 1, 2, 3, 4];
    let mut clients = [
        gateway.plain(STRANGER, "internet").await,
        gateway.plain(STRANGER, "inside").await,
        gateway.plain(EXCHANGE, "internet").await,
        gateway.certified("mail.fabrikam.test", "internet").await,
        gateway.certified("mail.other.test", "internet").await,
    ];
    for (client, from, to, expected) in [
        // A stranger is not us, and is told so; nor a part of us.
        (
            internet,
            "bob@contoso.test",
            inside,
            "550 5.7.1 mail from contoso.test is accepted only from servers that are known to send it",
        ),
        (internet, "bob@hr.contoso.test", inside, "550 5.7.1 mail from hr.contoso.test is accepted only"),
        (internet, "ada@world.test", outside, "550 5.7.1"),
        (internet, "eve@fabrikam.test", inside, "550 5.7.10"),
        // The listener for our servers takes nothing from others, and theirs is not the one for the internet.
        (sneaking, "ada@world.test", inside, "550 5.7.1"),
        (sneaking, "", inside, "550 5.7.1"),
        (wrong_door, "bob@contoso.test", outside, "550 5.7.1"),
        (wrong_door, "ada@world.test", outside, "550 5.7.1"),
        // A partner's certificate is good for his own domain only, and relays nowhere.
        (partner, "bob@contoso.test", inside, "550 5.7.1"),
        (partner, "eve@fabrikam.test", outside, "550 5.7.1"),
        (other, "eve@fabrikam.test", inside, "550 5.7.1"),
        (other, "bob@contoso.test", inside, "550 5.7.1"),
    ] {
        check(&offer(&mut clients[client], from, to).await, expected);
    }
    assert!(gateway.sink.arrived().is_empty());
    // A claim of our own domain has a token of its own.
    gateway.daemon.logged("token=excepted-domain").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_every_loser_and_why() {
    let gateway = Gateway::start().await;
    let explain = |rest: &[&str]| {
        let output = gateway.site.home.run(&["explain"], rest);
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    let claim = ["--from", "bob@contoso.test", "--peer-ip", "203.0.113.9"];
    let unsaid = explain(&claim);
    assert!(unsaid.contains("name a listener: internet, inside"), "{unsaid}");
    let stranger = explain(&[claim.as_slice(), &["--listener", "internet"]].concat());
    for line in [
        "refused: 550 5.7.1 mail from contoso.test is accepted only from servers that are known to send it",
        "not exchange-in: it takes no mail on this listener",
        "not fabrikam-in: none of its from_domains covers the reverse-path",
        "not internet-in: its except_domains exclude the reverse-path",
    ] {
        assert!(stranger.contains(line), "{line}:\n{stranger}");
    }
    let own = explain(&["--from", "eve@fabrikam.test", "--peer-ip", "127.0.0.2", "--listener", "inside"]);
    assert!(own.contains("admitted by exchange-in"), "{own}");
    assert!(own.contains("not fabrikam-in: the session is in plaintext"), "{own}");
    let redirected =
        explain(&["--from", "ada@world.test", "--peer-ip", "127.0.0.2", "--listener", "nowhere"]);
    assert!(
        redirected.contains("no listener is named \"nowhere\"; there is internet, inside"),
        "{redirected}"
    );
}
