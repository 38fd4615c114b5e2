//! Revocation lists in a running relay: what has ended is told.

use serde_json::Value;

use crate::peer::mint::Authority;
use crate::peer::site::{OPPORTUNISTIC, Site, outbound};
use crate::peer::{LONG, eventually};

/// Every alarm of a log in JSON.
fn alarms(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let alarms = lines.filter(|line| line["message"] == "alarm");
    alarms.filter_map(|line| line["what"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_and_an_anchor_that_have_ended_are_alarms() {
    let site = Site::new();
    let ended = Authority::new_until("ended root", 2026);
    let write = |name: &str, text: String| std::fs::write(site.home.path().join(name), text).unwrap();
    write("partners.pem", site.partners.pem.clone() + &ended.pem);
    write("partners.crl", site.partners.revocation_list_until(2026, &[]));
    let address = "127.0.0.1:9".parse().unwrap();
    let forced = outbound(
        "forced",
        "partner.test",
        address,
        "tls = \"forced\"\nrequire = \"chain\"\ntrust = [\"partners\"]\n",
    );
    let other = outbound("other", "other.test", address, OPPORTUNISTIC);
    let daemon = site.start(&format!("[log]\nformat = \"json\"\n\n{forced}{other}")).await;
    let told = eventually("both alarms", LONG, async || {
        let told = alarms(&daemon.log());
        (told.len() >= 2).then_some(told)
    })
    .await;
    let has = |words: &[&str]| told.iter().any(|one| words.iter().all(|word| one.contains(word)));
    assert!(has(&["[trust.partners]", "anchor CN=ended root ended on 2026-01-01"]), "{told:#?}");
    assert!(has(&["partners.crl ended on 2026-01-01", "fetch a new one"]), "{told:#?}");
    let lasting = daemon.ask(&["connectors"]).await;
    let concerned = &lasting["alarms"][0]["connectors"];
    assert_eq!(concerned[0], "forced", "{lasting}");
    assert_eq!(concerned.as_array().map(Vec::len), Some(1));

    // A newer list of the same key beside it, and there is nothing more to say of the old one.
    write("newer.crl", site.partners.revocation_list(&[]));
    let config = std::fs::read_to_string(site.home.config()).unwrap();
    std::fs::write(site.home.config(), config.replace("\"partners.crl\"", "\"partners.crl\", \"newer.crl\""))
        .unwrap();
    daemon.ask(&["reload"]).await;
    let lasting = daemon.ask(&["connectors"]).await;
    assert_eq!(lasting["alarms"].as_array().map(Vec::len), Some(1), "{lasting}");
}
