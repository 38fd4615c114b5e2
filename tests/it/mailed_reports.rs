//! Reports by mail, from the shipped program: who gets which, in what form, each once whatever happens in between.

use std::path::PathBuf;

use mail_parser::{MessageParser, MimeHeaders as _};
use serde_json::{Value, json};

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::mix;
use crate::peer::sink::{Arrived, Log, Manner, Sink};
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, QUICK, Site, outbound};
use crate::peer::{LONG, eventually, tools};

struct Office {
    site: Site,
    /// Where our own people are, and the partner.
    ours: Sink,
    partner: Sink,
}

impl Office {
    async fn open() -> Self {
        let site = Site::new();
        let (ours, partner) = (Sink::start(Manner::clear()).await, site.good_sink().await);
        Self { site, ours, partner }
    }

    async fn start(&self) -> Daemon {
        let bank = format!(
            "[[outbound]]\nname = \"bank-out\"\npartner = \"bank\"\nnext_hop = [\"{}\"]\n{IDENTITY}\n",
            self.partner.address
        );
        let config = format!(
            "{QUICK}[reports]\nto = [\"ciso@ops.test\"]\nhour = 0\n\n\
             [[partner]]\nname = \"bank\"\ndomains = [\"bank.test\"]\ncontact = \"secret@bank.test\"\nreport_to = [\"it@bank.test\"]\n\n\
             {}{bank}",
            outbound("ops", "ops.test", self.ours.address, OPPORTUNISTIC),
        );
        self.site.start(&config).await
    }

    fn data(&self, file: &str) -> PathBuf {
        self.site.home.path().join("data").join(file)
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.data("reports")).unwrap()).unwrap()
    }

    fn set_state(&self, state: &Value) {
        std::fs::write(self.data("reports"), state.to_string()).unwrap();
    }

    /// What was today was a week ago.
    fn age(&self) {
        let store = rusqlite::Connection::open(self.data("tracking.sqlite")).unwrap();
        assert!(store.execute("UPDATE sum SET day = day - 7", []).unwrap() > 0);
    }

    /// A message to each of the two, so that what was queued before it has arrived.
    async fn mail(&self, daemon: &Daemon, label: &str) {
        let mut client = Client::hello(daemon.at("in")).await;
        for to in ["bob@bank.test", "ann@ops.test"] {
            let message = mix::plain(&format!("{label}-{to}"), 1, 100, "ada@a.test", to).remove(0);
            assert_eq!(client.transact(&message).await.unwrap().code, 250);
        }
        daemon.queue_empty().await;
    }

    async fn partner_has(&self, reports: usize) {
        let enough = |log: &Log| log.arrived.iter().filter(|one| is_report(one)).count() >= reports;
        self.partner.until(&format!("{reports} reports of the partner's"), LONG, enough).await;
    }

    fn reports(&self) -> (usize, usize) {
        let of = |sink: &Sink| sink.arrived().iter().filter(|one| is_report(one)).count();
        (of(&self.ours), of(&self.partner))
    }
}

fn is_report(arrived: &Arrived) -> bool {
    arrived.mail.is_empty() && String::from_utf8_lossy(&arrived.content).contains("Message-ID: <report.")
}

async fn one_report(sink: &Sink) -> Arrived {
    sink.until("a report", LONG, |log| log.arrived.iter().any(is_report)).await;
    sink.arrived().into_iter().find(is_report).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_report_is_mailed_once_whatever_ends_in_between() {
    let office = Office::open().await;
    let daemon = office.start().await;
    office.mail(&daemon, "first").await;
    daemon.stop().await;
    assert_eq!(office.reports(), (0, 0), "nothing is due for the time before");

    // It was down for three weeks, and our own server defers at first.
    office.age();
    let done = office.state();
    let mut missed = done.clone();
    missed["mark"]["due"] = json!(done["mark"]["due"].as_i64().unwrap() - 21 * 24 * 3_600_000);
    missed["mark"]["until"] = json!(done["mark"]["until"].as_i64().unwrap() - 21);
    office.set_state(&missed);
    office.ours.behave(Manner::clear().replying("rcpt", "451 4.3.0 later"));
    let daemon = office.start().await;
    let theirs = one_report(&office.partner).await;
    daemon.deferred("ciso@ops.test").await;
    // A kill between a next hop's 250 and the note of it would have the partner's delivered again, as any mail.
    let waiting = eventually("only the deferred one", LONG, async || {
        let queue = daemon.queue().await;
        (queue.len() == 1).then(|| queue[0]["id"].clone())
    });
    let waiting = waiting.await;
    let round = office.state()["mark"].clone();
    daemon.kill().await;

    // As if it had been killed after the message was in the spool, and before that was noted.
    let first = round["until"].as_i64().unwrap() - 7;
    let planned = json!({ "to": "ciso@ops.test", "partner": null, "id": waiting, "queued": false });
    let days = json!({ "due": round["due"], "first": first, "last": first + 6 });
    office.set_state(&json!({ "mark": round, "begun": { "round": days, "mails": [planned] } }));
    office.ours.behave(Manner::clear());
    let daemon = office.start().await;
    let ours = one_report(&office.ours).await;
    office.mail(&daemon, "second").await;
    assert_eq!(office.reports(), (1, 1), "each once");
    assert_eq!(office.state()["begun"], Value::Null);
    check(&ours, "ciso@ops.test", "mail with all partners");
    check(&theirs, "it@bank.test", "mail with bank");
    assert!(theirs.sealed, "what is forced is forced for reports");

    // As if it had been killed before the spool had it.
    let planned = json!({ "to": "it@bank.test", "partner": "bank", "id": "01M8FZYVM9000", "queued": false });
    daemon.kill().await;
    office.set_state(&json!({ "mark": round, "begun": { "round": days, "mails": [planned] } }));
    let daemon = office.start().await;
    office.partner_has(2).await;
    office.mail(&daemon, "third").await;
    assert_eq!(office.reports(), (1, 2));
}

/// Text and document, by another program's reading of MIME.
#[track_caller]
fn check(arrived: &Arrived, to: &str, about: &str) {
    assert!(arrived.content.is_ascii());
    let message = MessageParser::default().parse(&arrived.content).unwrap();
    assert_eq!(message.to().unwrap().first().unwrap().address(), Some(to));
    assert!(message.subject().unwrap().ends_with(about), "{:?}", message.subject());
    assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
    let text = message.body_text(0).unwrap();
    assert!(
        text.contains("Went out  1 messages, 100 % over TLS (TLSv1.3 1)") || about.contains("all"),
        "{text}"
    );
    assert!(text.contains("bank") && !text.contains("secret@bank.test"), "{text}");
    let attached = message.attachment(0).unwrap();
    assert!(attached.attachment_name().unwrap().ends_with(".html"));
    let html = attached.text_contents().unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("bank"), "{html}");
    assert_eq!(html.contains("ops.test"), about.contains("all"), "of others only where it is about all");
    assert!(!html.contains("secret@bank.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_report_that_cannot_be_queued_keeps_no_other_back() {
    let office = Office::open().await;
    let daemon = office.start().await;
    office.mail(&daemon, "first").await;
    daemon.stop().await;
    // What the engine refuses of one message, it takes of others.
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON recipient WHEN NEW.forward_path = 'ciso@ops.test' \
         BEGIN SELECT RAISE(ABORT, 'not for him'); END";
    rusqlite::Connection::open(office.data("spool.sqlite")).unwrap().execute_batch(refuse).unwrap();
    let daemon = office.start().await;
    let asked = daemon.command(&["report", "mail", "--now"]).await;
    assert_eq!(asked.status.code(), Some(1), "{}", tools::said(&asked));
    let mailed: Value = serde_json::from_slice(&asked.stdout).unwrap();
    let (ours, theirs) = (&mailed["reports"][0], &mailed["reports"][1]);
    let why = "the spool can't take it: the spool could not do it: not for him";
    assert_eq!(
        (&ours["to"], &ours["id"], &ours["connector"], &ours["why"]),
        (&json!("ciso@ops.test"), &Value::Null, &Value::Null, &json!(why)),
        "{mailed}"
    );
    assert_eq!((&theirs["to"], &theirs["why"]), (&json!("it@bank.test"), &Value::Null), "{mailed}");
    assert!(theirs["id"].is_string() && theirs["connector"] == "bank-out", "{mailed}");
    let words = tools::said(&office.site.home.run(&["report", "mail"], &["--now"]));
    for line in [
        format!("all partners: not queued for ciso@ops.test: {why}"),
        "bank: queued for it@bank.test".to_owned(),
    ] {
        assert!(words.contains(&line), "{line}\n{words}");
    }
    office.partner_has(2).await;
    daemon.stop().await;
    assert_eq!(office.reports(), (0, 2));

    // So it is with those that are due: the partner's own is mailed, and the other one waits.
    office.age();
    let mut due = office.state();
    due["mark"]["due"] = json!(due["mark"]["due"].as_i64().unwrap() - 7 * 24 * 3_600_000);
    due["mark"]["until"] = json!(due["mark"]["until"].as_i64().unwrap() - 7);
    office.set_state(&due);
    let daemon = office.start().await;
    office.partner_has(3).await;
    let waiting = ["reports are not queued yet", "to=ciso@ops.test", "not for him"];
    daemon.logged_line(&waiting).await;
    assert_eq!(office.reports(), (0, 3));
    let waits = office.state()["begun"]["mails"].clone();
    assert_eq!((&waits[0]["queued"], &waits[1]["queued"]), (&json!(false), &json!(true)), "{waits}");

    // What is due is tried again before each answer, so at least once between these two, and logged once.
    for asked in 1..=2 {
        assert_eq!(daemon.command(&["report", "mail", "--now"]).await.status.code(), Some(1));
        daemon.logged_times("a report is not queued", asked).await;
    }
    assert_eq!(daemon.log().matches(waiting[0]).count(), 1, "{}", daemon.log());

    // A reload tries it again at once.
    rusqlite::Connection::open(office.data("spool.sqlite"))
        .unwrap()
        .execute_batch("DROP TRIGGER refuse")
        .unwrap();
    daemon.ask(&["reload"]).await;
    let ours = one_report(&office.ours).await;
    check(&ours, "ciso@ops.test", "mail with all partners");
    let noted = async || (office.state()["begun"] == Value::Null).then_some(());
    eventually("the end of these reports", LONG, noted).await;
    office.partner_has(5).await;
    daemon.stop().await;
    assert_eq!(office.reports(), (1, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_and_mails_reports_at_any_time() {
    let office = Office::open().await;
    let daemon = office.start().await;
    office.mail(&daemon, "first").await;
    let shown = daemon.ask(&["report", "mail"]).await;
    assert_eq!(
        (&shown[0]["to"], &shown[1]["to"]),
        (&json!("ciso@ops.test"), &json!("it@bank.test")),
        "{shown}"
    );
    assert_eq!(office.reports(), (0, 0), "showing mails nothing");
    let mailed = daemon.ask(&["report", "mail", "--now"]).await;
    let reports = mailed["reports"].as_array().unwrap();
    assert_eq!(reports.len(), 2, "{mailed}");
    assert_eq!((&reports[1]["partner"], &reports[1]["connector"]), (&json!("bank"), &json!("bank-out")));
    one_report(&office.ours).await;
    one_report(&office.partner).await;
    let file = office.site.home.path().join("report.html");
    let done =
        office.site.home.run(&["report", "tls"], &["--partner", "bank", "--html", file.to_str().unwrap()]);
    assert!(done.status.success(), "{done:?}");
    let html = std::fs::read_to_string(file).unwrap();
    assert!(html.contains("TLS report: bank") && html.ends_with("</html>"), "{html}");
}
