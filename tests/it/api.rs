//! The API of the admin listener of the shipped program: who may do what, and that what was done is written down.

use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::console::{OPERATOR, READER};
use crate::peer::browser::{WebAnswer, WebRequest};
use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ADMIN, IDENTITY, QUICK, Site, outbound};
use crate::peer::{LONG, eventually, mix, within};

/// A daemon whose partner breaks its promise, and one message that waits for it: its queue ID.
async fn scene(site: &Site) -> (Daemon, Sink, String) {
    site.write_tokens(&format!("reader grafana {READER}\noperator ada {OPERATOR}\n"));
    let sink = Sink::start(Manner::clear()).await;
    let config = format!("{ADMIN}{QUICK}{}", outbound("bank", "b.test", sink.address, IDENTITY));
    let daemon = site.start(&config).await;
    let message = mix::plain("one", 1, 100, "a@a.test", "bob@b.test").remove(0);
    assert_eq!(Client::hello(daemon.at("in")).await.transact(&message).await.unwrap().code, 250);
    daemon.deferred("bob@b.test").await;
    let id = daemon.queue().await[0]["id"].as_str().unwrap().to_owned();
    (daemon, sink, id)
}

async fn ask(daemon: &Daemon, method: &str, path: &str, token: &str, body: Option<Value>) -> WebAnswer {
    WebRequest::new(method, &format!("/api/v1{path}")).bearer(token).json(body).to(daemon.at("admin")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_and_an_operator_acts() {
    let site = Site::new();
    let (daemon, _sink, id) = scene(&site).await;
    for path in ["/status", "/queue", "/queue/top", "/overrides", "/alerts", "/connectors"] {
        let shown = ask(&daemon, "GET", path, READER, None).await;
        assert_eq!(shown.status, 200, "{path}: {}", shown.body);
        shown.json();
    }
    let shown = ask(&daemon, "GET", &format!("/queue/{id}"), READER, None).await.json();
    assert_eq!(shown["recipients"][0]["last"]["decision"]["token"], "starttls-not-offered", "{shown}");
    // What changes something, or shows the content, takes an operator.
    let refused = [
        ("POST", "/queue/retry".to_owned(), Some(json!({}))),
        ("POST", format!("/queue/{id}/hold"), None),
        ("DELETE", format!("/queue/{id}"), None),
        ("GET", format!("/queue/{id}/content"), None),
        ("POST", "/connectors/bank/pause".to_owned(), None),
        ("POST", "/reload".to_owned(), None),
    ];
    for (method, path, body) in refused {
        let answer = ask(&daemon, method, &path, READER, body.clone()).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.body);
        let answer = ask(&daemon, method, &path, "0123456789abcdef0123456789abcdeX", body).await;
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.body);
    }
    assert_eq!(daemon.queue().await[0]["held"], Value::Null);
    let held = ask(&daemon, "POST", &format!("/queue/{id}/hold"), OPERATOR, None).await;
    assert_eq!(held.status, 200, "{}", held.body);
    assert_eq!(daemon.queue().await[0]["held"], "by the operator");
    let removed = ask(&daemon, "DELETE", &format!("/queue/{id}"), OPERATOR, None).await.json();
    assert_eq!(removed["removal"], "removed");
    // Who did it is in the log and in the tracking store.
    eventually("the removal in the store", LONG, async || {
        let way = site.home.run(&["trace", &id], &[]);
        String::from_utf8_lossy(&way.stdout).contains("removed by ada (token)").then_some(())
    })
    .await;
    let line = "handling=removed by=\"ada (token)\"";
    eventually("the removal in the log", LONG, async || daemon.log().contains(line).then_some(())).await;
    let paused = ask(&daemon, "POST", "/connectors/bank/pause", OPERATOR, None).await;
    assert_eq!(paused.status, 200, "{}", paused.body);
    let line = "paused=true by=\"ada (token)\"";
    eventually("the pause in the log", LONG, async || daemon.log().contains(line).then_some(())).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_for_no_browser_to_keep_or_share() {
    let site = Site::new();
    let (daemon, _sink, _) = scene(&site).await;
    let shown = ask(&daemon, "GET", "/status", READER, None).await;
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ] {
        assert_eq!(shown.header(name), Some(value), "{}", shown.head);
    }
    assert_eq!(shown.header("access-control-allow-origin"), None);
    let faulty = ask(&daemon, "GET", "/queue/nonsense", READER, None).await;
    assert_eq!(faulty.status, 400);
    assert!(faulty.json()["error"].as_str().unwrap().contains("nonsense"), "{}", faulty.body);
    for (method, path, token, status) in [
        ("GET", "/nothing", READER, 404),
        ("GET", "/reload", OPERATOR, 405),
        ("GET", "/status", "short", 401),
        ("POST", "/reload", READER, 403),
    ] {
        let answer = ask(&daemon, method, path, token, None).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(answer.json()["error"].is_string(), "{}", answer.body);
    }
    daemon.stop().await;
}

/// As in a container, or where other users of the machine are not to reach it.
#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_serves_api_and_console_to_owner_and_group() {
    let site = Site::new();
    site.write_tokens(&format!("operator ada {OPERATOR}\n"));
    let path = site.home.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let daemon = site.start("[admin]\nsocket = \"admin.sock\"\ntoken_file = \"tokens\"\n\n").await;
    assert!(daemon.ready_line.contains(&format!("admin {}", path.display())), "{}", daemon.ready_line);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o660);
    let ask = async |request: WebRequest| request.over(UnixStream::connect(&path).await.unwrap()).await;
    assert_eq!(ask(WebRequest::new("GET", "/health")).await.status, 200);
    assert_eq!(ask(WebRequest::new("GET", "/api/v1/status")).await.status, 401);
    let status = ask(WebRequest::new("GET", "/api/v1/status").bearer(OPERATOR)).await;
    assert_eq!(status.status, 200, "{}", status.body);
    let login = ask(WebRequest::new("POST", "/login").form(&[("token", OPERATOR)])).await;
    let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let overview = ask(WebRequest::new("GET", "/").header("Cookie", &cookie)).await;
    assert!(overview.body.contains("Overview"), "{}", overview.body);
    // Another daemon takes it from nobody.
    let other = Site::new();
    other.write_tokens(&format!("operator ada {OPERATOR}\n"));
    other.configure(&format!("[admin]\nsocket = \"{}\"\ntoken_file = \"tokens\"\n\n", path.display()));
    let refused = other.home.run(&["run"], &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("another process listens there"), "{said}");
    assert_eq!(ask(WebRequest::new("GET", "/health")).await.status, 200);
    daemon.stop().await;
    assert!(!path.exists());
}

/// A script without a pause between its questions.
#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_who_asks_too_much_is_refused_and_nobody_else() {
    let site = Site::new();
    let (daemon, _sink, id) = scene(&site).await;
    let (admin, way) = (daemon.at("admin"), format!("/api/v1/queue/{id}"));
    let refused = within("a refusal", LONG, async {
        loop {
            let asked = (0..6).map(|_| {
                let request = WebRequest::new("GET", &way).bearer(READER);
                tokio::spawn(async move { request.to(admin).await })
            });
            for one in asked.collect::<Vec<_>>() {
                let answer = one.await.unwrap();
                if answer.status != 200 {
                    return answer;
                }
            }
        }
    });
    let refused = refused.await;
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1, "{}", refused.head);
    assert!(refused.json()["error"].as_str().unwrap().contains("grafana asks too much"), "{}", refused.body);
    // The others are answered, and mail is taken.
    assert_eq!(ask(&daemon, "GET", "/status", OPERATOR, None).await.status, 200);
    let message = mix::plain("two", 1, 100, "a@a.test", "bob@b.test").remove(0);
    assert_eq!(Client::hello(daemon.at("in")).await.transact(&message).await.unwrap().code, 250);
    let page = WebRequest::new("GET", "/metrics").bearer(OPERATOR).to(admin).await.body;
    let counted =
        page.lines().find(|line| line.starts_with("sealpost_admin_requests_limited_total ")).unwrap();
    assert_ne!(counted, "sealpost_admin_requests_limited_total 0", "{page}");
    daemon.stop().await;
}

/// Whoever guesses leaves connections to the rest.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_wait_in_few_places() {
    let site = Site::new();
    let (daemon, _sink, _) = scene(&site).await;
    let admin = daemon.at("admin");
    let guesses = (0..48).map(|number| {
        let form = WebRequest::new("POST", "/login").form(&[("token", "0123456789abcdef0123456789abcdeX")]);
        let bare = WebRequest::new("GET", "/api/v1/status").bearer("0123456789abcdef0123456789abcdeX");
        let guess = if number % 2 == 0 { form } else { bare };
        tokio::spawn(async move { guess.to(admin).await })
    });
    let guesses: Vec<_> = guesses.collect();
    assert_eq!(ask(&daemon, "GET", "/status", READER, None).await.status, 200);
    let (mut waited, mut sent_away) = (0, 0);
    for guess in guesses {
        let answer = guess.await.unwrap();
        match answer.status {
            401 => waited += 1,
            429 => {
                assert_eq!(answer.header("retry-after"), Some("1"), "{}", answer.head);
                sent_away += 1;
            }
            other => panic!("{other}: {}", answer.body),
        }
    }
    assert!(waited >= 16 && sent_away > 0, "{waited} waited, {sent_away} were sent away");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_answered_as_the_verbs_say_it() {
    let site = Site::new();
    let (daemon, _sink, id) = scene(&site).await;
    let found = eventually("the deferral in the store", LONG, async || {
        let found = ask(&daemon, "GET", "/trace?to=%40b.test&event=deferred,failed", READER, None).await;
        assert_eq!(found.status, 200, "{}", found.body);
        let found = found.json();
        (found["messages"] != json!([])).then_some(found)
    });
    let found = found.await;
    assert_eq!(found["messages"][0]["id"], id.as_str(), "{found}");
    let way = ask(&daemon, "GET", &format!("/trace/{id}"), READER, None).await.json();
    assert_eq!(way["events"][0]["event"], "accepted", "{way}");
    let one = &way["events"][1];
    assert_eq!(
        (&one["event"], &one["decision"]["token"]),
        (&json!("deferred"), &json!("starttls-not-offered"))
    );
    let report = ask(&daemon, "GET", "/report/tls?days=2", READER, None).await.json();
    assert_eq!(report["inbound"]["messages"], 1, "{report}");
    assert_eq!(report["failing"][0]["reason"], "starttls-not-offered", "{report}");
    for (path, status) in [
        ("/trace?event=bogus", 400),
        ("/trace?sender=a%40a.test", 400),
        ("/trace/0000000000000", 404),
        ("/report/tls?days=many", 400),
    ] {
        let answer = ask(&daemon, "GET", path, READER, None).await;
        assert!(answer.status == status && answer.json()["error"].is_string(), "{path}: {}", answer.body);
    }
    daemon.stop().await;
}
