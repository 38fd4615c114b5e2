//! Requirements that nobody can meet on this day: errors where they are written, alarms where a date has passed.

use serde_json::Value;

use crate::peer::site::{Site, outbound};
use crate::peer::{LONG, eventually, tools};

const PIN: &str = "sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=";
const OTHER: &str = "sha256/E9CZ9INDbd+2eRQozYqqbQ2yXLVKB9+xcprMF+44U1g=";

#[tokio::test(flavor = "multi_thread")]
async fn pins_that_have_ended_are_errors_and_stop_no_other_mail() {
    let site = Site::new();
    let rest = |dates: &str| {
        let keys = format!(
            "tls = \"forced\"\nrequire = \"encryption\"\npins = [\"{PIN} {dates}\", \"{OTHER} until 2020-01-01\"]\n"
        );
        outbound("out", "partner.test", "127.0.0.1:9".parse().unwrap(), &keys)
    };
    let ended = "pins refuses every certificate now: the last of them ended on 2021-01-01";
    site.configure(&rest("until 2021-01-01"));

    // Where somebody looks at the file it is an error, with its position.
    let checked = site.home.run(&["check"], &[]);
    let line = 1 + std::fs::read_to_string(site.home.config())
        .unwrap()
        .lines()
        .position(|l| l.starts_with("pins"))
        .unwrap();
    assert_eq!(checked.status.code(), Some(78), "{}", tools::said(&checked));
    let said = tools::said(&checked);
    assert!(said.contains(&format!("line {line}, column 1: {ended}")), "{said}");
    let doctor = tools::said(&site.home.run(&["doctor"], &[]));
    assert!(doctor.contains(ended), "{doctor}");

    // A restart on that day starts, and alarms.
    let daemon = site.start(&rest("until 2021-01-01")).await;
    eventually("the alarm", LONG, async || {
        let alarm =
            |line: &&str| line.contains(" alarm ") && line.contains(&format!("connector out: {ended}"));
        daemon.log().lines().find(alarm).map(|_| ())
    })
    .await;
    let status = daemon.ask(&["connectors"]).await;
    assert_eq!(status["alarms"][0]["connectors"][0], "out", "{status}");
    // Another change takes effect meanwhile, a renewed certificate say.
    site.configure(&format!("{}{}", rest("until 2021-01-01"), "[queue]\nexpire = \"9d\"\n"));
    assert_eq!(daemon.ask(&["reload"]).await["generation"], 2);

    site.configure(&rest("until 2999-01-01"));
    assert_eq!(daemon.ask(&["reload"]).await["generation"], 3);
    assert_eq!(daemon.ask(&["connectors"]).await["alarms"], Value::Array(Vec::new()));
    // A change that nobody could meet does not.
    for (dates, words) in
        [("until 2021-01-01", ended), ("from 2998-01-01", "none of them is valid before 2998-01-01")]
    {
        site.configure(&rest(dates));
        let refused = site.home.run(&["reload"], &[]);
        assert_eq!(refused.status.code(), Some(78), "{}", tools::said(&refused));
        let said = tools::said(&refused);
        assert!(said.contains(words) && said.contains(&format!("line {line}, column 1")), "{said}");
        assert_eq!(daemon.ask(&["connectors"]).await["generation"], 3);
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_that_end_this_month_are_an_alarm() {
    let site = Site::new();
    let end = (jiff::Timestamp::now() + std::time::Duration::from_secs(5 * 24 * 3600)).strftime("%Y-%m-%d");
    let keys = format!("tls = \"forced\"\nrequire = \"encryption\"\npins = [\"{PIN} until {end}\"]\n");
    let out = outbound("out", "partner.test", "127.0.0.1:9".parse().unwrap(), &keys);
    let daemon = site.start(&out).await;
    let words = format!("connector out: no pin is valid from {end}T00:00:00Z on, in less than 7 days");
    eventually("the alarm", LONG, async || {
        daemon.log().lines().find(|line| line.contains(" alarm ") && line.contains(&words)).map(|_| ())
    })
    .await;
    let checked = site.home.run(&["check"], &[]);
    assert_eq!(checked.status.code(), Some(0), "{}", tools::said(&checked));
    let doctor = tools::said(&site.home.run(&["doctor"], &[]));
    assert!(doctor.contains("no pin is valid from"), "{doctor}");
    daemon.stop().await;
}
