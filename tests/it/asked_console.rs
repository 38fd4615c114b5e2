//! The page that explains: it answers as the verb does, and a draft reads nothing and changes nothing.

use std::process::Command;

use crate::console::{OPERATOR, READER, Scene, seal_of};
use crate::peer::browser::{WebAnswer, WebRequest};

/// What a page says, without its tags and with single spaces.
fn said(page: &str) -> String {
    let mut text = String::new();
    for part in page.split('<') {
        let shown = part.split_once('>').map_or(part, |(_, shown)| shown);
        text.push(' ');
        text.push_str(shown);
    }
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn ask(scene: &Scene, cookie: &str, fields: &[(&str, &str)]) -> WebAnswer {
    let seal = seal_of(&scene.page("/explain", cookie).await);
    let fields = [&[("seal", &*seal)], fields].concat();
    scene.send(WebRequest::new("POST", "/explain").header("Cookie", cookie).form(&fields)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_as_by_the_verb() {
    let scene = Scene::start().await;
    let cookie = scene.log_in(READER).await;
    let chain = scene.site.ours.pair(&["mx.bank.test"], crate::peer::mint::Kind::Good).chain;
    std::fs::write(scene.site.home.path().join("shown.pem"), &chain).unwrap();
    let shown = scene.site.home.path().join("shown.pem");
    let shown = shown.to_str().unwrap();
    for (fields, verb) in [
        (vec![("to", "eve@bank.test")], vec!["--to", "eve@bank.test"]),
        (vec![("to", "eve@nobody.test"), ("from", "<>")], vec!["--to", "eve@nobody.test", "--from", "<>"]),
        (
            vec![
                ("from", "ada@a.test"),
                ("client", "127.0.0.1"),
                ("session", "tls"),
                ("headers", "X-A: b\r\n"),
            ],
            vec!["--from", "ada@a.test", "--peer-ip", "127.0.0.1", "--tls", "--header", "X-A: b"],
        ),
        (
            vec![("to", "eve@bank.test"), ("session", "not-offered")],
            vec!["--to", "eve@bank.test", "--starttls", "not-offered"],
        ),
        (
            vec![("to", "eve@bank.test"), ("session", "shown"), ("shown", &*chain), ("version", "1.2")],
            vec!["--to", "eve@bank.test", "--peer-cert", shown, "--tls-version", "1.2"],
        ),
    ] {
        let config = scene.site.home.config();
        let mut command = Command::new(crate::peer::daemon::PROGRAM);
        let output = command.arg("explain").args(&verb).arg("--config").arg(config).output().unwrap();
        let words = String::from_utf8(output.stdout).unwrap();
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        let answer = ask(&scene, &cookie, &fields).await;
        assert_eq!(answer.status, 200, "{verb:?}: {}", answer.body);
        let page = said(&answer.body);
        assert!(!words.is_empty() && page.contains(&words), "{verb:?}: {words}\n{page}");
        let verdict = if output.status.success() {
            "Nothing is in the way of this mail."
        } else {
            "This mail is refused, or waits."
        };
        assert!(page.contains(verdict), "{verb:?}: {page}");
    }
    let linked = said(&scene.page("/explain?to=eve%40bank.test", &cookie).await);
    assert!(linked.contains("connector bank by bank.test"), "{linked}");
    let refusal = scene
        .page("/explain?refusal=550%205.7.64%20TenantAttribution%3B%20Relay%20Access%20Denied", &cookie)
        .await;
    assert!(refusal.contains("who can fix it"), "{refusal}");
    for (fields, words) in [
        (vec![("to", "nobody at all")], "is not an address: RCPT TO would be answered 501"),
        (vec![("to", "eve@bank.test"), ("client", "there")], "\"there\" is not an IP address."),
        (vec![("from", "<>"), ("listener", "nowhere")], "no listener is named \"nowhere\""),
        (vec![("to", "eve@bank.test"), ("session", "shown"), ("shown", "nothing")], "what the peer shows"),
        (
            vec![("to", "eve@bank.test"), ("session", "shown"), ("shown", "{}")],
            "these are no facts of a handshake",
        ),
    ] {
        let answer = ask(&scene, &cookie, &fields).await;
        let page = said(&answer.body);
        assert!(answer.status == 400 && page.contains(words), "{fields:?}: {page}");
    }
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_asked_and_nothing_of_it_takes_effect() {
    let scene = Scene::start().await;
    let cookie = scene.log_in(READER).await;
    let text = std::fs::read_to_string(scene.site.home.config()).unwrap();
    let ask = async |draft: &str| {
        let answer = ask(&scene, &cookie, &[("to", "eve@bank.test"), ("draft", draft)]).await;
        (answer.status, said(&answer.body))
    };
    let (status, page) = ask(&text).await;
    assert!(
        status == 200
            && page.contains("Answer of the draft Nothing is in the way of this mail. to <eve@bank.test>"),
        "{page}"
    );
    assert!(page.contains("connector bank by bank.test"), "{page}");

    let elsewhere = text
        .replace("name = \"bank\"", "name = \"other\"")
        .replace("data_dir = \"data\"", "data_dir = \"draft-data\"");
    let (status, page) = ask(&elsewhere).await;
    assert!(status == 200 && page.contains("connector other by bank.test"), "{page}");
    assert!(!scene.site.home.path().join("draft-data").exists());
    let after = said(&scene.page("/explain?to=eve%40bank.test", &cookie).await);
    assert!(after.contains("connector bank by bank.test"), "{after}");

    // Errors have their position, and the line.
    let wrong = text.replace("next_hop = [", "next_hpo = [");
    let (status, page) = ask(&wrong).await;
    let line = 1 + wrong.lines().position(|line| line.starts_with("next_hpo")).unwrap();
    let place = format!("draft: line {line}, column 1: unknown key \"next_hpo\"");
    assert!(status == 400 && page.contains(&place) && page.contains("next_hpo = ["), "{page}");

    // A form is bounded, and so is what a text can do to the one who reads it.
    let (status, page) = ask(&"#".repeat(65 << 10)).await;
    assert!(status == 400 && page.contains("The draft has more than 64 KiB."), "{page}");
    let (status, page) = ask(&"#".repeat(500 << 10)).await;
    assert!(status == 413 && page.contains("The request is not understood."), "{page}");
    for deep in [format!("x = {}", "[".repeat(60 << 10)), "[a]\n".repeat(10 << 10), "a.".repeat(30 << 10)] {
        let (status, page) = ask(&deep).await;
        assert!(status == 400 && page.contains("draft: "), "{}", &page[..page.len().min(2_000)]);
    }
    // Only the session's own form is answered.
    let foreign = [("seal", "x"), ("to", "eve@bank.test"), ("draft", &*text)];
    let foreign = WebRequest::new("POST", "/explain").header("Cookie", &cookie).form(&foreign);
    assert_eq!(scene.send(foreign).await.status, 403);
    scene.daemon.stop().await;
}

/// Whatever key of a draft names a file, nobody learns whether the file is there or what it has, and nobody waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_draft_reads_no_file() {
    let scene = Scene::start().await;
    let cookie = scene.log_in(OPERATOR).await;
    let folder = scene.site.home.path().to_owned();
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (there, absent) = (folder.join("tokens"), folder.join("absent"));
    let text = std::fs::read_to_string(scene.site.home.config()).unwrap();
    let inbound = "[[inbound]]\nname = \"draft\"\nfrom_domains = [\"d.test\"]\nto_domains = [\"e.test\"]\n";
    let keys = [
        ("tokens", String::from("token_file = \"tokens\""), String::from("token_file = \"FILE\"")),
        ("chain", String::from("chain = "), String::from("chain = \"FILE\" # ")),
        ("key", String::from("key = "), String::from("key = \"FILE\" # ")),
        ("anchors", String::from("anchors = "), String::from("anchors = \"FILE\" # ")),
        ("crl", String::from("crl = "), String::from("crl = [\"FILE\"] # ")),
        ("data", String::from("data_dir = \"data\""), String::from("data_dir = \"FILE\"")),
        (
            "trust",
            String::from("[admin]"),
            String::from("[trust.fresh]\nanchors = \"FILE\"\ncrl = [\"FILE\"]\n[admin]"),
        ),
        (
            "own",
            String::from("[admin]"),
            String::from("[certificate.fresh]\nchain = \"FILE\"\nkey = \"FILE\"\n[admin]"),
        ),
        (
            "hook",
            String::from("[admin]"),
            String::from(
                "[alerts]\nwebhook = \"https://localhost/\"\nwebhook_token_file = \"FILE\"\n[admin]",
            ),
        ),
        (
            "networks",
            String::from("[admin]"),
            format!("{inbound}tls = \"off\"\nfrom_networks_file = \"FILE\"\n[admin]"),
        ),
        (
            "users",
            String::from("[admin]"),
            format!("{inbound}tls = \"opportunistic\"\nusers_file = \"FILE\"\n[admin]"),
        ),
        (
            "recipients",
            String::from("[admin]"),
            format!("{inbound}tls = \"off\"\nrecipients_file = \"FILE\"\n[admin]"),
        ),
        (
            "domains",
            String::from("[admin]"),
            String::from("[[partner]]\nname = \"p\"\ndomains_file = \"FILE\"\n[admin]"),
        ),
    ];
    for (what, from, to) in keys {
        let mut answers = Vec::new();
        for file in [&there, &absent, &pipe] {
            let draft = text.replacen(&from, &to.replace("FILE", file.to_str().unwrap()), 1);
            assert_ne!(draft, text, "{what}");
            let fields = [("to", "eve@bank.test"), ("draft", &*draft)];
            let answer = ask(&scene, &cookie, &fields).await;
            let page = said(&answer.body.replace(file.to_str().unwrap(), "FILE"));
            assert!(!page.contains(READER) && !page.contains("grafana"), "{what}: {page}");
            let seal = seal_of(&answer.body);
            answers.push((answer.status, page.replace(&seal, "")));
        }
        assert_eq!(answers[0], answers[1], "{what}: it is seen whether the file is there");
        assert_eq!(answers[0], answers[2], "{what}: it is seen whether the file is there");
    }
    scene.daemon.stop().await;
}
