//! Partners: one object for both directions, whose contact our own people learn, and nobody else.

use std::fs;

use serde_json::Value;

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{OPPORTUNISTIC, QUICK, Site, outbound};
use crate::peer::tools::said;
use crate::peer::{LONG, eventually};

const CONTACT: &str = "mail@fabrikam.test, +49 30 1";

/// The partner, a forced connector in each direction, and the rest of the world at the same host.
fn table(sink: &Sink) -> String {
    let hop = sink.address;
    format!(
        "{QUICK}[[partner]]\nname = \"fabrikam\"\ndomains = [\"fabrikam.test\"]\ndomains_file = \"fabrikam.txt\"\n\
         contact = \"{CONTACT}\"\nnote = \"contract 12\"\nreview = \"2999-01-31\"\n\n\
         [[inbound]]\nname = \"fabrikam-in\"\npartner = \"fabrikam\"\ntls = \"forced\"\n\
         peer_names = [\"mail.fabrikam.test\"]\ntrust = [\"partners\"]\nto_domains = [\"a.test\"]\n\n\
         [[outbound]]\nname = \"fabrikam-out\"\npartner = \"fabrikam\"\nnext_hop = [\"[{}]:{}\"]\ntls = \"forced\"\n\
         peer_names = [\"mail.fabrikam.test\"]\ntrust = [\"partners\"]\non_failure = \"bounce\"\n\n{}",
        hop.ip(),
        hop.port(),
        outbound("rest", "*", hop, OPPORTUNISTIC)
    )
}

async fn start(site: &Site, sink: &Sink) -> Daemon {
    fs::write(site.home.path().join("fabrikam.txt"), "# more\n*.fabrikam.test\n").unwrap();
    site.start(&table(sink)).await
}

fn explained(site: &Site, rest: &[&str]) -> (Value, String) {
    let output = |more: &[&str]| site.home.run(&["explain"], &[rest, more].concat());
    let json = output(&["--json"]);
    (serde_json::from_slice(&json.stdout).unwrap(), said(&output(&[])))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_gives_both_directions_its_domains_and_names_its_contact() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let daemon = start(&site, &sink).await;
    for domain in ["fabrikam.test", "sub.fabrikam.test"] {
        let (json, text) = explained(&site, &["--from", &format!("eve@{domain}")]);
        let decision = &json["inbound"]["decision"];
        assert_eq!(
            (&decision["partner"], &decision["contact"]),
            (&"fabrikam".into(), &CONTACT.into()),
            "{json}"
        );
        assert!(text.contains(&format!("  partner   fabrikam ({CONTACT})\n")), "{text}");
        let (json, text) = explained(&site, &["--to", &format!("eve@{domain}")]);
        let served = &json["outbound"];
        assert_eq!(
            (&served["connector"], &served["partner"]),
            (&"fabrikam-out".into(), &"fabrikam".into()),
            "{json}"
        );
        assert!(text.contains(&format!("  partner   fabrikam ({CONTACT})\n")), "{text}");
    }
    // A stranger in the partner's name: it is refused without the contact, which the log has.
    let mut client = Client::hello(daemon.at("in")).await;
    let reply = client.say("MAIL FROM:<eve@sub.fabrikam.test>").await;
    assert!(reply.text.starts_with("550 5.7.10") && !reply.text.contains("+49"), "{}", reply.text);
    let log = eventually("the refusal in the log", LONG, async || {
        daemon.log().lines().find(|line| line.contains("refused")).map(str::to_owned)
    })
    .await;
    assert!(log.contains(&format!("connector=fabrikam-in partner=fabrikam contact={CONTACT}")), "{log}");
    // Our own sender learns whom to ask about mail that is withheld.
    let message = mix::plain("one", 1, 200, "ada@a.test", "bob@fabrikam.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    let report = sink.messages(1).await.remove(0);
    let report = String::from_utf8_lossy(&report.content).replace("\r\n", " ");
    assert!(report.contains(&format!("({CONTACT})")), "{report}");
    assert!(report.contains("  Partner: fabrikam"), "{report}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partners_list_of_domains_counts_as_soon_as_it_changes() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let daemon = start(&site, &sink).await;
    fs::write(site.home.path().join("fabrikam.txt"), "fabrikam-too.test\n").unwrap();
    eventually("both connectors have the domain", LONG, async || {
        let answer = daemon.ask(&["connectors"]).await;
        let has = |name: &str| {
            answer["connectors"].as_array().unwrap().iter().any(|one| {
                one["name"] == name
                    && one["domains"] == serde_json::json!(["fabrikam.test", "fabrikam-too.test"])
            })
        };
        (has("fabrikam-in") && has("fabrikam-out")).then_some(())
    })
    .await;
    // A list that is damaged changes nothing.
    fs::write(site.home.path().join("fabrikam.txt"), "a@fabrikam.test\n").unwrap();
    let refused = daemon.command(&["reload"]).await;
    assert!(said(&refused).contains("fabrikam.txt, line 1"), "{}", said(&refused));
    let mut client = Client::hello(daemon.at("in")).await;
    let reply = client.say("MAIL FROM:<eve@fabrikam-too.test>").await;
    assert!(reply.text.starts_with("550 5.7.10"), "{}", reply.text);
    let pair = site.partners.pair(&["mail.fabrikam.test"], Kind::Good);
    let mut partner =
        Client::sealed(daemon.at("in"), &site.ours.client(Some(&pair)), crate::peer::daemon::NAME).await;
    assert_eq!(partner.say("MAIL FROM:<eve@fabrikam-too.test>").await.code, 250);
    daemon.stop().await;
}
