//! The console of the shipped program: who gets in, what its pages say, and that no page of another site acts by it.

use tokio::io::AsyncWriteExt as _;

use crate::console_pages::hidden_fields;
use crate::peer::browser::{WebAnswer, WebRequest, encoded};
use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ADMIN, IDENTITY, OPPORTUNISTIC, QUICK, Site, outbound};
use crate::peer::{LONG, eventually, mix};

pub(crate) const READER: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const OPERATOR: &str = "fedcba9876543210fedcba9876543210";

pub(crate) struct Scene {
    pub(crate) site: Site,
    pub(crate) daemon: Daemon,
    /// The partner that takes mail, and the one that breaks its promise.
    pub(crate) sinks: [Sink; 2],
    /// The message that waits.
    pub(crate) waiting: String,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// With more in the configuration.
    pub(crate) async fn start_with(more: &str) -> Self {
        let site = Site::new();
        site.write_tokens(&format!("reader grafana {READER}\noperator ada {OPERATOR}\n"));
        let (good, bad) = (Sink::start(Manner::clear()).await, Sink::start(Manner::clear()).await);
        let config = format!(
            "{ADMIN}{QUICK}{more}{}{}",
            outbound("plain", "plain.test", good.address, OPPORTUNISTIC),
            outbound("bank", "bank.test", bad.address, IDENTITY),
        );
        let daemon = site.start(&config).await;
        let mut client = Client::hello(daemon.at("in")).await;
        for to in ["bob@plain.test", "eve@bank.test"] {
            let mut message = mix::plain(to, 1, 100, "ada@a.test", to).remove(0);
            let content = String::from_utf8(message.content).unwrap();
            let forged = content.replacen("Subject: ", "Subject: <script>alert(1)</script> ", 1);
            assert_ne!(forged, content);
            message.content = forged.into_bytes();
            assert_eq!(client.transact(&message).await.unwrap().code, 250);
        }
        good.messages(1).await;
        daemon.deferred("eve@bank.test").await;
        let waiting = daemon.queue().await[0]["id"].as_str().unwrap().to_owned();
        Self { site, daemon, sinks: [good, bad], waiting }
    }

    pub(crate) async fn send(&self, request: WebRequest) -> WebAnswer {
        request.to(self.daemon.at("admin")).await
    }

    /// The cookie that a token gets.
    pub(crate) async fn log_in(&self, token: &str) -> String {
        let form = WebRequest::new("POST", "/login").form(&[("token", token), ("next", "/queue")]);
        let answer = self.send(form).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/queue")), "{}", answer.head);
        let set = answer.header("set-cookie").unwrap();
        assert!(set.contains("; HttpOnly; SameSite=Strict"), "{set}");
        set.split(';').next().unwrap().to_owned()
    }

    pub(crate) async fn page(&self, path: &str, cookie: &str) -> String {
        let answer = self.send(WebRequest::new("GET", path).header("Cookie", cookie)).await;
        assert_eq!(answer.status, 200, "{path}: {}\n{}", answer.head, answer.body);
        assert!(
            answer.header("content-security-policy").unwrap().contains("script-src 'self'"),
            "{}",
            answer.head
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer.body
    }

    pub(crate) async fn act(&self, path: &str, cookie: &str, seal: &str) -> WebAnswer {
        self.send(WebRequest::new("POST", path).header("Cookie", cookie).form(&[("seal", seal)])).await
    }
}

/// What the forms of a page have.
pub(crate) fn seal_of(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"seal\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_what_is_and_need_a_session() {
    let scene = Scene::start().await;
    let message = format!("/queue/{}", scene.waiting);
    let places = [
        "/",
        "/partners",
        "/queue",
        &message,
        "/trace",
        "/certificates",
        "/reports",
        "/explain",
        "/settings",
        "/connectors/bank",
    ];
    for place in places {
        let answer = scene.send(WebRequest::new("GET", place)).await;
        let door = format!("/login?next={}", encoded(place).replace("%2F", "/"));
        assert_eq!((answer.status, answer.header("location")), (303, Some(&*door)), "{place}");
    }
    let cookie = scene.log_in(READER).await;
    let tracked = eventually("what the store has", LONG, async || {
        let found = scene.page("/trace?q=eve%40bank.test", &cookie).await;
        found.contains(&scene.waiting).then_some(found)
    });
    // What a stranger wrote is text.
    let found = tracked.await;
    assert!(found.contains("&lt;script&gt;alert(1)") && !found.contains("<script>alert"), "{found}");
    let way = eventually("the attempt in the store", LONG, async || {
        let way = scene.page(&format!("/trace/{}", scene.waiting), &cookie).await;
        way.contains("deferred").then_some(way)
    });
    assert!(way.await.contains("STARTTLS is not offered"), "the reason is on the way");
    for (place, words) in [
        ("/", vec!["Failing now", "STARTTLS is not offered", "Queued messages", "grafana (reader)"]),
        ("/partners", vec!["bank.test", "1 recipient waits", "TLS if offered"]),
        ("/queue", vec![&*scene.waiting, "eve@bank.test"]),
        ("/reports", vec!["The record of events is sealed", "number 1 of"]),
        ("/queue?recipient=%40plain.test", vec!["No queued message matches, of 1."]),
        (
            &*message,
            vec![
                "In the queue",
                "eve@bank.test",
                "STARTTLS is not offered",
                "/explain?to=eve%40bank.test&amp;arrives_by=anyone",
            ],
        ),
        (
            "/explain?to=eve%40bank.test&arrives_by=anyone",
            vec!["arrived by anyone: connector bank by bank.test"],
        ),
        ("/certificates", vec!["CN=ours", "SHA-256"]),
        ("/reports?days=7", vec!["Sent in plaintext for lack of TLS", "plain.test"]),
    ] {
        let page = scene.page(place, &cookie).await;
        for words in words {
            assert!(page.contains(words), "{place} has no {words:?}: {page}");
        }
        assert!(!page.contains("data-confirm"), "a reader is shown nothing to do: {place}");
    }
    let unknown = scene.send(WebRequest::new("GET", "/trace/nonsense").header("Cookie", &cookie)).await;
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_acts_and_nobody_else_does() {
    let scene = Scene::start().await;
    let (id, reader, operator) = (&scene.waiting, scene.log_in(READER).await, scene.log_in(OPERATOR).await);
    let place = format!("/queue/{id}");
    let (theirs, ours) =
        (seal_of(&scene.page(&place, &reader).await), seal_of(&scene.page(&place, &operator).await));
    assert_ne!(theirs, ours);
    let hold = format!("{place}/hold");
    // A reader; a page of another site, which knows no seal; another session's seal; nobody.
    for (cookie, seal) in [(&*reader, &*theirs), (&*operator, ""), (&*operator, &*theirs)] {
        let answer = scene.act(&hold, cookie, seal).await;
        assert_eq!(answer.status, 403, "{}", answer.body);
    }
    assert_eq!(scene.act(&hold, "sealpost-console=nothing", &ours).await.status, 303);
    assert_eq!(scene.daemon.queue().await[0]["held"], serde_json::Value::Null);

    assert_eq!(scene.act(&hold, &operator, &ours).await.header("location"), Some(&*place));
    assert_eq!(scene.daemon.queue().await[0]["held"], "by the operator");
    assert!(scene.page(&place, &operator).await.contains("Held: by the operator"));
    assert_eq!(scene.act(&format!("{place}/release"), &operator, &ours).await.status, 303);
    assert_eq!(scene.act("/connectors/bank/pause", &operator, &ours).await.status, 303);
    assert!(scene.page("/partners", &operator).await.contains("Resume deliveries"));
    assert_eq!(scene.act("/connectors/nobody/pause", &operator, &ours).await.status, 404);
    let unknown = scene.act(&format!("{place}/eat"), &operator, &ours).await;
    assert!(unknown.status == 404 && unknown.body.contains("Unknown action."), "{}", unknown.body);
    let removed = scene.act(&format!("{place}/remove"), &operator, &ours).await;
    assert_eq!(removed.header("location"), Some("/queue"));
    assert!(scene.daemon.queue().await.is_empty());
    let line = "handling=removed by=\"ada (token)\"";
    eventually("the removal in the log", LONG, async || scene.daemon.log().contains(line).then_some(()))
        .await;
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_page_says_what_an_action_came_to() {
    let scene = Scene::start().await;
    let (id, operator) = (&scene.waiting, scene.log_in(OPERATOR).await);
    let place = format!("/queue/{id}");
    let seal = seal_of(&scene.page(&place, &operator).await);
    let status = |page: &str| {
        let said = page.split_once("<p role=\"status\">").map(|(_, rest)| rest.split_once("</p>").unwrap());
        said.map(|(words, rest)| (words.to_owned(), rest.split_once("</div>").unwrap().0.to_owned()))
    };
    let said = async |deed: &str, back: &str| {
        let form = WebRequest::new("POST", deed).header("Cookie", &operator);
        let answer = scene.send(form.form(&[("seal", &*seal), ("back", back)])).await;
        let page = answer.header("location").unwrap_or_else(|| panic!("{deed}: {}", answer.body)).to_owned();
        (page.clone(), status(&scene.page(&page, &operator).await).unwrap_or_default())
    };
    let (page, (words, undo)) = said(&format!("{place}/hold"), "").await;
    assert_eq!((page, words), (place.clone(), format!("{id} is held until it is released.")));
    assert!(undo.contains(&format!("action=\"{place}/release\"")) && undo.contains("Undo"), "{undo}");
    assert_eq!(status(&scene.page(&place, &operator).await), None, "it is shown once");

    // What undoes is what the form beside it sends.
    assert_eq!(
        said(&format!("{place}/release"), &place).await.1.0.split(';').next().unwrap(),
        format!("{id} is released")
    );
    assert_eq!(scene.daemon.queue().await[0]["held"], serde_json::Value::Null);

    // A page that keeps itself current takes no notice away.
    assert_eq!(
        scene.act("/connectors/bank/pause", &operator, &seal).await.header("location"),
        Some("/partners")
    );
    let refresh = WebRequest::new("GET", "/").header("Cookie", &operator).header("X-Sealpost-Refresh", "1");
    assert_eq!(status(&scene.send(refresh).await.body), None);
    let (words, undo) = status(&scene.page("/", &operator).await).unwrap();
    assert_eq!(words, "Paused: bank.");
    assert!(undo.contains("action=\"/connectors/bank/resume\""), "{undo}");

    let (_, (words, resume)) = said(&format!("{place}/retry"), "").await;
    assert!(
        words.starts_with("Nothing is tried now; 1 recipient waits until connector bank is resumed"),
        "{words}"
    );
    assert!(
        resume.contains("action=\"/connectors/bank/resume\"") && resume.contains("Resume bank"),
        "{resume}"
    );
    let (page, (words, _)) = said("/connectors/bank/resume", &place).await;
    assert_eq!((page, &*words), (place.clone(), "No connector is paused."));
    // No form leads elsewhere.
    let (page, _) = said("/connectors/bank/pause", "//evil.test/").await;
    assert_eq!(page, "/partners");
    let (page, (words, _)) = said(&format!("{place}/remove"), "").await;
    assert_eq!((&*page, words), ("/queue", format!("{id} is removed; nobody is notified.")));
    let (operator_only, reader) =
        (scene.act("/connectors/bank/release", &operator, &seal).await, scene.log_in(READER).await);
    assert!(operator_only.status == 409 && operator_only.body.contains("bank"), "{}", operator_only.body);
    let theirs = seal_of(&scene.page("/", &reader).await);
    for deed in ["pause", "release", "accept", "end-override"] {
        assert_eq!(
            scene.act(&format!("/connectors/bank/{deed}"), &reader, &theirs).await.status,
            403,
            "{deed}"
        );
    }
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_token_and_by_logging_out() {
    let scene = Scene::start().await;
    let wrong = WebRequest::new("POST", "/login").form(&[("token", "0123456789abcdef0123456789abcdeX")]);
    let wrong = scene.send(wrong).await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None), "{}", wrong.body);
    for next in ["//evil.test/", "/\t/evil.test/", "/\\evil.test/", "/\0/evil.test/", "/\x7f", "/\x01"] {
        let elsewhere = [("token", READER), ("next", next)];
        let answer = scene.send(WebRequest::new("POST", "/login").form(&elsewhere)).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{next:?}");
    }
    for (name, value) in
        [("Sec-Fetch-Site", "cross-site"), ("Origin", "http://localhost:1"), ("Origin", "null")]
    {
        let foreign = WebRequest::new("POST", "/login").header(name, value);
        assert_eq!(scene.send(foreign.form(&[("token", READER)])).await.status, 403, "{name}: {value}");
    }
    let own = WebRequest::new("POST", "/login").header("Origin", "http://localhost");
    assert_eq!(scene.send(own.form(&[("token", READER)])).await.status, 303);

    let (reader, operator) = (scene.log_in(READER).await, scene.log_in(OPERATOR).await);
    let seal = seal_of(&scene.page("/", &reader).await);
    let out = scene.act("/logout", &reader, &seal).await;
    assert_eq!((out.status, out.header("location")), (303, Some("/login")));
    let gone = scene.send(WebRequest::new("GET", "/").header("Cookie", &reader)).await;
    assert_eq!(gone.status, 303, "the session has ended");

    scene.page("/", &operator).await;
    scene.site.write_tokens(&format!("reader grafana {READER}\n"));
    scene.daemon.ask(&["reload"]).await;
    let gone = scene.send(WebRequest::new("GET", "/").header("Cookie", &operator)).await;
    assert_eq!(gone.status, 303, "the token has been removed");
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_keeps_an_operator_out() {
    let scene = Scene::start().await;
    let (operator, first) = (scene.log_in(OPERATOR).await, scene.log_in(READER).await);
    for _ in 0..64 {
        scene.log_in(READER).await;
    }
    scene.page("/", &operator).await;
    let gone = scene.send(WebRequest::new("GET", "/").header("Cookie", &first)).await;
    assert_eq!(gone.status, 303, "the reader's own sessions give way");

    // A login takes the place of the session that the browser had.
    let again = WebRequest::new("POST", "/login").header("Cookie", &operator);
    assert_eq!(scene.send(again.form(&[("token", READER)])).await.status, 303);
    let gone = scene.send(WebRequest::new("GET", "/").header("Cookie", &operator)).await;
    assert_eq!(gone.status, 303, "it was not ended");
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_others_are_not_in_the_way() {
    let scene = Scene::start().await;
    let ours = scene.log_in(READER).await;
    let (name, _) = ours.split_once('=').unwrap();
    for cookies in [
        format!("other=\u{e4}; {ours}"),
        format!("{name}=bad; {ours}"),
        format!("sealpost-console=of-another-port; {ours}; {name}="),
    ] {
        scene.page("/queue", &cookies).await;
    }
    let other = Scene::start().await;
    let theirs = other.log_in(READER).await;
    assert_ne!(
        theirs.split_once('=').unwrap().0,
        name,
        "two daemons on one host overwrite each other's cookie"
    );
    other.daemon.stop().await;
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_is_answered_by_a_page() {
    let scene = Scene::start().await;
    let cookie = scene.log_in(OPERATOR).await;
    for (method, path, status, words) in [
        ("GET", "/nowhere", 404, "There is no such page."),
        ("GET", "/queue/a/b/c", 404, "Not found"),
        ("POST", "/queue", 405, "only takes a form"),
        ("GET", "/logout", 405, "only takes a form"),
        ("GET", "/reports?days=soon", 400, "days: invalid digit"),
        ("GET", "/queue?held=perhaps", 400, "is not understood"),
        ("POST", "/connectors/bank/pause", 400, "is not understood"),
        ("GET", "/trace/%FF", 400, "is not understood"),
        ("GET", "/trace?event=bogus", 400, "There is no event &quot;bogus&quot;."),
        ("GET", "/trace?since=2026-02-30", 400, "is not a date"),
    ] {
        let request = WebRequest::new(method, path).header("Cookie", &cookie);
        let request = if method == "POST" { request.form(&[("sael", "x")]) } else { request };
        let answer = scene.send(request).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains(words) && answer.body.contains("Log out"), "{path}: {}", answer.body);
        assert_eq!(answer.header("allow").is_some(), status == 405, "{path}: {}", answer.head);
    }
    let nobody = scene.send(WebRequest::new("GET", "/api/v1/nowhere")).await;
    // What a script asks is answered as to a script.
    assert!(nobody.status == 401 && nobody.json()["error"].is_string(), "{}", nobody.body);
    let odd = scene.send(WebRequest::new("GET", "/login?next=a&next=b")).await;
    assert!(odd.status == 200 && odd.body.contains("all but the content of messages"), "{}", odd.body);
    let odd = scene.send(WebRequest::new("POST", "/login").form(&[("next", "/")])).await;
    assert!(odd.status == 400 && odd.body.contains("The form is not understood"), "{}", odd.body);
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_after_the_end_of_the_session_is_not_lost_in_silence() {
    let scene = Scene::start().await;
    let page = format!("/queue/{}", scene.waiting);
    let lost = scene.act(&format!("{page}/hold"), "", "").await;
    let door = format!("/login?lost=true&next={page}");
    assert_eq!((lost.status, lost.header("location")), (303, Some(&*door)));
    let shown = scene.send(WebRequest::new("GET", &door)).await.body;
    assert!(shown.contains("Your session had ended; what you sent was not done."), "{shown}");
    assert!(shown.contains(&format!("value=\"{page}\"")), "{shown}");
    assert_eq!(scene.daemon.queue().await[0]["held"], serde_json::Value::Null);
    scene.daemon.stop().await;
}

const DRAFT: &str = "# a draft with <tags> & \"quotes\"\r\n\r\n[server]\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_outlives_the_session_for_whoever_typed_it() {
    let scene = Scene::start().await;
    let (reader, other) = (scene.log_in(READER).await, scene.log_in(OPERATOR).await);
    let form = hidden_fields(&scene.page("/explain", &reader).await, "/explain");
    let seal = seal_of(&scene.page("/explain", &reader).await);
    let typed: Vec<(&str, &str)> = form.iter().map(|(name, value)| (&**name, &**value)).collect();
    let typed = [&typed[..], &[("to", "eve@bank.test"), ("draft", DRAFT)]].concat();
    scene.act("/logout", &reader, &seal).await;
    let lost = async |path: &str, typed: &[(&str, &str)], head: (&str, &str)| {
        let request = WebRequest::new("POST", path).header("Cookie", &reader).header(head.0, head.1);
        scene.send(request.form(typed)).await
    };
    let own = ("Sec-Fetch-Site", "same-origin");
    let door = lost("/explain", &typed, own).await;
    assert_eq!((door.status, door.header("set-cookie")), (401, None), "{}", door.head);
    let words = "what you sent was not done. Log in as grafana, and the form has it again.";
    assert!(door.body.contains(words) && !door.body.contains("<tags>"), "{}", door.body);
    assert!(!door.body.contains(&seal), "the seal of the session that has ended: {}", door.body);
    assert_eq!(door.header("cache-control"), Some("no-store"));
    let handed = hidden_fields(&door.body, "/login");
    let log_in = async |token: &str, cookie: &str| {
        let handed: Vec<(&str, &str)> = handed.iter().map(|(name, value)| (&**name, &**value)).collect();
        let request = WebRequest::new("POST", "/login").header("Cookie", cookie);
        scene.send(request.form(&[&handed[..], &[("token", token)]].concat())).await
    };
    // A token with a slip: the draft is still there.
    let wrong = log_in(&READER.replace('0', "1"), "").await;
    assert_eq!((wrong.status, hidden_fields(&wrong.body, "/login")), (401, handed.clone()));
    let cookie =
        |answer: &WebAnswer| answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let back = log_in(READER, "").await;
    assert_eq!((back.status, back.header("location")), (303, Some("/explain")), "{}", back.body);
    let ours = cookie(&back);
    // Other pages of the session do not show it, and the form shows it once; nothing is asked by itself.
    assert!(!scene.page("/queue", &ours).await.contains("a draft with"));
    let again = scene.page("/explain", &ours).await;
    let draft = "# a draft with &lt;tags&gt; &amp; &quot;quotes&quot;\r\n\r\n[server]\r\n</textarea>";
    assert!(again.contains(draft) && again.contains("value=\"eve@bank.test\""), "{again}");
    assert!(again.contains("Your session had ended before this was answered") && !again.contains("verdict"));
    assert!(!scene.page("/explain", &ours).await.contains("a draft with"));

    // A token of another name at the same browser sees nothing of it, but that there was something.
    let theirs = cookie(&log_in(OPERATOR, "").await);
    let shown = scene.page("/explain", &theirs).await;
    assert!(!shown.contains("a draft with") && !shown.contains("eve@bank.test"), "{shown}");
    assert!(
        shown.contains(
            "What was typed before the login was typed with a token of another name, and is not shown."
        ),
        "{shown}"
    );
    // Nor does a form of an earlier session show anything in one of somebody else; in one of his own it is there again.
    for (cookie, is_his) in [(&other, false), (&ours, true)] {
        let request = WebRequest::new("POST", "/explain").header("Cookie", cookie).form(&typed);
        let refused = scene.send(request).await;
        assert_eq!(refused.status, 403, "{}", refused.body);
        assert_eq!(refused.body.contains("a draft with"), is_his, "{}", refused.body);
        assert!(!refused.body.contains("verdict"), "it was answered: {}", refused.body);
    }

    // What another site sends, what says not whose it is, and what is too large, is lost as before.
    let large = "x".repeat(120 << 10);
    let nobody: Vec<_> = typed.iter().filter(|(name, _)| *name != "bearer").copied().collect();
    let too_large = [&typed[..], &[("shown", &*large)]].concat();
    for (typed, head) in [
        (&typed, ("Sec-Fetch-Site", "cross-site")),
        (&typed, ("Sec-Fetch-Site", "same-site")),
        (&typed, ("Origin", "null")),
        (&nobody, own),
        (&too_large, own),
    ] {
        let gone = lost("/explain", typed, head).await;
        let door = "/login?lost=true&next=/explain";
        assert_eq!((gone.status, gone.header("location")), (303, Some(door)), "{head:?}");
    }
    // What does something is not done later.
    let hold = lost(&format!("/queue/{}/hold", scene.waiting), &typed, own).await;
    assert_eq!(hold.status, 303, "{}", hold.body);
    let validate = lost("/connectors/bank/validate", &typed, own).await;
    let handed = hidden_fields(&validate.body, "/login");
    let next = handed.iter().find(|(name, _)| name == "next").map(|(_, value)| &**value);
    assert_eq!((validate.status, next), (401, Some("/connectors/bank")), "{}", validate.body);
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_a_session_has_much_read() {
    let scene = Scene::start().await;
    let typed = [("bearer", "ada"), ("draft", DRAFT)];
    let send = async || scene.send(WebRequest::new("POST", "/explain").form(&typed)).await;
    assert_eq!(send().await.status, 401);
    // As many forms as are read at a time, none of which comes to its end.
    let head = "POST /explain HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                Content-Length: 300000\r\n\r\nbearer=ada&draft=";
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut stream = tokio::net::TcpStream::connect(scene.daemon.at("admin")).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let full = async || Some(send().await).filter(|answer| answer.status != 401);
    let refused = eventually("no place is left", LONG, full).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{}", refused.body);
    assert!(refused.body.contains("Too many forms without a session are being read."), "{}", refused.body);
    // Whoever has a token comes in all the same.
    scene.log_in(READER).await;
    drop(slow);
    eventually("a place", LONG, async || (send().await.status == 401).then_some(())).await;

    // What is no form of ours is not even taken apart, and what comes back is hardly more than what was sent.
    let many = vec![("a", ""); 2_000];
    for path in ["/explain", "/login"] {
        let many = [&many[..], &[("bearer", "ada"), ("token", "x"), ("draft", DRAFT)]].concat();
        let answer = scene.send(WebRequest::new("POST", path).form(&many)).await;
        assert!([303, 400].contains(&answer.status) && answer.body.len() < 4_096, "{}", answer.head);
    }
    let (toml, marks) = ("key = \"value\"\n".repeat(4_700), "\"".repeat(100 << 10));
    for (draft, status) in [(toml, 401), (marks, 303)] {
        let fields = [("bearer", "ada"), ("draft", &*draft)];
        let answer = scene.send(WebRequest::new("POST", "/explain").form(&fields)).await;
        assert_eq!(answer.status, status, "{}", answer.head);
        assert!(answer.body.len() < 3 * draft.len(), "{} octets come back", answer.body.len());
    }
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_tokens_that_contradict_each_other_are_refused() {
    let scene = Scene::start().await;
    let other = READER.to_uppercase();
    for (lines, fault) in [
        (format!("reader grafana {READER}\noperator ada {READER}\n"), "line 2: this token is listed twice"),
        (format!("operator ada {READER}\n\nreader ada {other}\n"), "line 3: this name has another role"),
    ] {
        scene.site.write_tokens(&lines);
        let check = scene.daemon.command(&["check"]).await;
        let said = [check.stdout, check.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!check.status.success() && said.contains(fault), "{said}");
        assert!(!said.contains(READER), "{said}");
    }
    scene.site.write_tokens(&format!("operator ada {OPERATOR}\noperator ada {READER}\n"));
    let check = scene.daemon.command(&["check"]).await;
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    scene.daemon.stop().await;
}
