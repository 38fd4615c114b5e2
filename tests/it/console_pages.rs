//! Pages of the console about one connector, the settings in effect, and several messages at once.

use std::sync::Arc;

use crate::console::{OPERATOR, READER, Scene, seal_of};
use crate::peer::browser::{WebAnswer, WebRequest};
use crate::peer::client::Client;
use crate::peer::mint::Kind;
use crate::peer::sink::{Manner, SILENCE};
use crate::peer::site::PARTNER;
use crate::peer::source::Source;
use crate::peer::{LONG, eventually, mix, within};

const WATCH: &str = "[watch]\nmode = \"on\"\n\n";

async fn post(scene: &Scene, cookie: &str, path: &str, fields: &[(&str, &str)]) -> WebAnswer {
    let seal = seal_of(&scene.page("/explain", cookie).await);
    let fields = [&[("seal", &*seal)], fields].concat();
    scene.send(WebRequest::new("POST", path).header("Cookie", cookie).form(&fields)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_say_where_they_are_written() {
    let scene = Scene::start().await;
    let cookie = scene.log_in(READER).await;
    let file = std::fs::read_to_string(scene.site.home.config()).unwrap();
    let line = 1 + file.lines().position(|line| line.starts_with("token_file")).unwrap();
    let all = scene.page("/settings?all=true", &cookie).await;
    for words in ["server", "outbound: bank", "requirement", "follows from others", "[server]"] {
        assert!(all.contains(words), "{words}: {all}");
    }
    assert!(!all.contains(READER) && !all.contains(OPERATOR), "a token is shown");
    let written = scene.page("/settings?section=admin", &cookie).await;
    assert!(written.contains("token_file") && written.contains(&format!("line {line}")), "{written}");
    assert!(!written.contains("outbound: bank"), "{written}");
    let short = scene.page("/settings", &cookie).await;
    assert!(short.contains("token_file") && !short.contains("default</td>"), "{short}");
    let found = scene.page("/settings?q=hops", &cookie).await;
    assert!(found.contains("limits") && found.contains("default"), "{found}");
    let none = scene.page("/settings?q=no+such+thing", &cookie).await;
    assert!(none.contains("No setting matches."), "{none}");

    std::fs::write(scene.site.home.config(), format!("[dns]\ntimeout = \"4s\"\n\n{file}")).unwrap();
    let needs = scene.daemon.ask(&["reload"]).await["needs_restart"].clone();
    let sentence = needs[0].as_str().unwrap_or_else(|| panic!("{needs}")).to_owned();
    let after = scene.page("/settings?section=dns", &cookie).await;
    assert!(after.contains(&sentence) && after.contains("The file says otherwise"), "{sentence}: {after}");
    assert!(after.contains("4s") && after.contains("line 2"), "{after}");
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_has_its_page() {
    let scene = Scene::start_with(WATCH).await;
    let cookie = scene.log_in(READER).await;
    let inbound = scene.page("/connectors/anyone", &cookie).await;
    assert!(inbound.contains("inbound") && !inbound.contains("Validated"), "{inbound}");
    let page = async || scene.page("/connectors/bank", &cookie).await;
    let before = page().await;
    for words in [
        "outbound",
        "mail.partner.test",
        "Never in its present form.",
        "1 recipient",
        "Its mail of the last 30 days",
    ] {
        assert!(before.contains(words), "{words}: {before}");
    }
    assert!(!before.contains("/validate"), "a reader is shown nothing to do");
    within("a look", LONG * 3, scene.daemon.ask(&["watch", "now"])).await;
    let seen = page().await;
    assert!(
        seen.contains("The last look at each host") && seen.contains("STARTTLS is not offered"),
        "{seen}"
    );
    let good = Manner::sealed(scene.site.partners.pair(&[PARTNER], Kind::Good).server());
    scene.sinks[1].behave(good);
    for _ in 0..2 {
        within("a look", LONG * 3, scene.daemon.ask(&["watch", "now"])).await;
    }
    let changed = page().await;
    assert!(
        changed.contains("What has changed in 90 days") && changed.contains("<li class=\"\">"),
        "{changed}"
    );
    let unknown = scene.send(WebRequest::new("GET", "/connectors/nobody").header("Cookie", &cookie)).await;
    assert!(unknown.status == 404 && unknown.body.contains("No connector of this name"), "{}", unknown.body);
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validation_writes_its_steps_and_ends_with_its_page() {
    let scene = Arc::new(Scene::start().await);
    let (operator, reader) = (scene.log_in(OPERATOR).await, scene.log_in(READER).await);
    let validate = "/connectors/bank/validate";
    assert_eq!(post(&scene, &reader, validate, &[]).await.status, 403);
    let answer = post(&scene, &operator, validate, &[("to", " ")]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = &answer.body;
    let host = scene.sinks[1].address.to_string();
    let steps = [
        " …</span>",
        "NO: ",
        "Result",
        "0 of 1 addresses will do",
        &*host.replace("127.0.0.1", "[127.0.0.1]"),
    ];
    for words in steps {
        assert!(body.contains(words), "{words}: {body}");
    }
    assert!(body.contains("role=\"status\"") && body.ends_with("</html>"), "{body}");
    let page = scene.page("/connectors/bank", &operator).await;
    assert!(
        page.contains("0 of 1 addresses will do") && !page.contains("Never in its present form."),
        "{page}"
    );
    for (path, to, words) in [
        ("/connectors/nobody/validate", "", "there is no outbound connector"),
        (validate, "eve@other.test", "does not serve other.test"),
        (validate, "nobody at all", "is not an address"),
    ] {
        let refused = post(&scene, &operator, path, &[("to", to)]).await;
        assert!(refused.body.contains("Not validated:") && refused.body.contains(words), "{}", refused.body);
    }

    // One at a time; it ends when the browser goes.
    let tries = |log: &crate::peer::sink::Log| log.sessions;
    scene.sinks[1].behave(Manner::clear().greeting(SILENCE));
    let before = scene.sinks[1].read(tries);
    let (other, cookie) = (Arc::clone(&scene), operator.clone());
    let first = tokio::spawn(async move { post(&other, &cookie, validate, &[]).await.status });
    scene.sinks[1].until("the validation", LONG, |log| log.sessions > before).await;
    for _ in 0..2 {
        let other = post(&scene, &operator, validate, &[]).await;
        assert!(other.status == 503 && other.body.contains("is under way"), "{}", other.body);
    }
    first.abort();
    scene.sinks[1].behave(Manner::clear());
    eventually("the place of the one that left", LONG, async || {
        (post(&scene, &operator, validate, &[]).await.status == 200).then_some(())
    })
    .await;
    Arc::into_inner(scene).unwrap().daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_messages_are_confirmed_first() {
    let scene = Scene::start().await;
    let (operator, reader) = (scene.log_in(OPERATOR).await, scene.log_in(READER).await);
    let mut client = Client::hello(scene.daemon.at("in")).await;
    for to in ["ann@bank.test", "joe@bank.test"] {
        let message = mix::plain(to, 1, 100, "ada@a.test", to).remove(0);
        assert_eq!(client.transact(&message).await.unwrap().code, 250);
        scene.daemon.deferred(to).await;
    }
    let ids: Vec<String> =
        scene.daemon.queue().await.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    let held = async || {
        let queue = scene.daemon.queue().await;
        queue.iter().filter(|one| one["held"] == "by the operator").count()
    };
    assert!(!scene.page("/queue", &reader).await.contains("checkbox\" name=\"id\""));
    assert_eq!(post(&scene, &reader, "/queue/act", &[("action", "hold"), ("id", &ids[0])]).await.status, 403);

    // Asking changes nothing, and says what would be affected.
    let chosen =
        [("action", "hold"), ("which", "chosen"), ("id", &*ids[0]), ("id", &*ids[1]), ("connector", "bank")];
    let asked = post(&scene, &operator, "/queue/confirm", &chosen).await;
    for words in ["Hold?", "2 messages for 2 recipients: 2 by bank", &ids[0], &ids[1], "Hold: 2 messages"] {
        assert!(asked.status == 200 && asked.body.contains(words), "{words}: {}", asked.body);
    }
    assert!(
        asked.body.contains("value=\"/queue?connector=bank\"") && !asked.body.contains(&ids[2]),
        "{}",
        asked.body
    );
    assert_eq!(held().await, 0);
    let act = [("action", "hold"), ("id", &*ids[0]), ("id", &*ids[1]), ("back", "/queue?connector=bank")];
    let done = post(&scene, &operator, "/queue/act", &act).await;
    assert_eq!((done.status, done.header("location")), (303, Some("/queue?connector=bank")));
    let page = scene.page("/queue?connector=bank", &operator).await;
    assert!(page.contains("2 messages are held until they are released.") && page.contains("Undo"), "{page}");
    assert_eq!(held().await, 2);

    // What the button beside it sends.
    let undo = page.split_once("class=\"notice\"").unwrap().1.split_once("</form>").unwrap().0.to_owned();
    assert!(undo.contains("value=\"release\"") && undo.contains(&ids[1]), "{undo}");
    // Whoever holds these and another one takes back no hold but his own.
    let more = [("action", "hold"), ("id", &*ids[0]), ("id", &*ids[2]), ("back", "/queue\r\nX: y")];
    assert_eq!(post(&scene, &operator, "/queue/act", &more).await.header("location"), Some("/queue"));
    let page = scene.page("/queue", &operator).await;
    assert!(page.contains(&format!("1 message is as it was: {}: it is held already", ids[0])), "{page}");
    let undo = page.split_once("class=\"notice\"").unwrap().1.split_once("</form>").unwrap().0.to_owned();
    let named = |id: &str| undo.contains(&format!("value=\"{id}\""));
    assert!(named(&ids[2]) && !named(&ids[0]), "{undo}");
    post(&scene, &operator, "/queue/act", &[("action", "release"), ("id", &*ids[2])]).await;
    scene.daemon.deferred("joe@bank.test").await;
    let again = [("action", "retry"), ("id", &*ids[0]), ("id", &*ids[2])];
    post(&scene, &operator, "/queue/act", &again).await;
    let page = scene.page("/queue", &operator).await;
    assert!(
        page.contains(&format!(
            "1 message is tried again now; 1 message is as it was: {}: it is held",
            ids[0]
        )),
        "{page}"
    );
    let undo = [("action", "release"), ("id", &*ids[0]), ("id", &*ids[1])];
    post(&scene, &operator, "/queue/act", &undo).await;
    assert_eq!(held().await, 0);

    let all = post(
        &scene,
        &operator,
        "/queue/confirm",
        &[("action", "remove"), ("which", "matching"), ("domain", "bank.test")],
    )
    .await;
    assert!(
        all.body.contains("3 messages for 3 recipients") && all.body.contains("This can&#39;t be undone.")
            || all.body.contains("This can't be undone."),
        "{}",
        all.body
    );
    let unread = scene.send(WebRequest::new("GET", "/queue?older=two").header("Cookie", &operator)).await;
    assert!(
        unread.status == 400 && unread.body.contains("is not a whole number of hours."),
        "{}",
        unread.body
    );
    assert!(!unread.body.contains(&*ids[0]) && unread.body.contains("value=\"two\""), "{}", unread.body);
    let none = post(&scene, &operator, "/queue/confirm", &[("action", "remove"), ("which", "chosen")]).await;
    assert_eq!(none.header("location"), Some("/queue"));
    assert!(scene.page("/queue", &operator).await.contains("No message is selected."));
    for (fields, status, words) in [
        (vec![("action", "eat"), ("id", &*ids[0])], 404, "Unknown action."),
        (vec![("action", "hold"), ("id", "x y")], 400, "is not a queue ID."),
    ] {
        let odd = post(&scene, &operator, "/queue/act", &fields).await;
        assert!(odd.status == status && odd.body.contains(words), "{}", odd.body);
    }
    let gone = [("action", "remove"), ("id", &*ids[0]), ("id", &*ids[1]), ("back", "//evil.test/")];
    let gone = post(&scene, &operator, "/queue/act", &gone).await;
    assert_eq!(gone.header("location"), Some("/queue"));
    assert_eq!(scene.daemon.queue().await.len(), 1);
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_action_does_not_take_is_said_before_and_after() {
    let scene = Scene::start().await;
    let operator = scene.log_in(OPERATOR).await;
    scene.daemon.ask(&["queue", "pause", "bank"]).await;
    // With the one that waits there are 1,002.
    let crowd = mix::plain("crowd", 1_001, 100, "ada@a.test", "bob@bank.test");
    Source::clear(scene.daemon.at("in"), 4).send_all(crowd).await;
    let all = [("action", "hold"), ("which", "matching"), ("connector", "bank")];
    let asked = post(&scene, &operator, "/queue/confirm", &all).await;
    for words in [
        "These are the first 500 of 1,002 messages that match: one action takes no more. The others stay as they are",
        "<code>sealpost queue hold</code> with the same filter takes them all.",
        "Hold: 500 messages",
    ] {
        assert!(asked.status == 200 && asked.body.contains(words), "{words}: {}", asked.body);
    }
    // What the page's form sends.
    let hidden: Vec<(String, String)> = hidden_fields(&asked.body, "/queue/act");
    let hidden: Vec<(&str, &str)> = hidden.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(hidden.iter().filter(|(name, _)| *name == "id").count(), 500);
    let form = WebRequest::new("POST", "/queue/act").header("Cookie", &operator).form(&hidden);
    assert_eq!(scene.send(form).await.header("location"), Some("/queue?connector=bank"));
    let page = scene.page("/queue?connector=bank", &operator).await;
    let words = "500 messages are held until they are released; these were the first 500 of 1,002 messages that matched.";
    assert!(page.contains(words), "{page}");

    // Of all there is no verb for the others, and from a later page on it would do more than was chosen.
    let others = "The others stay as they are; repeat it for the rest, from <a href=\"/queue?";
    let whole = [("action", "hold"), ("which", "matching")];
    let asked_of_all = post(&scene, &operator, "/queue/confirm", &whole).await.body;
    assert!(asked_of_all.contains("of 1,002 messages") && asked_of_all.contains(others), "{asked_of_all}");
    assert!(!asked_of_all.contains("sealpost queue"), "{asked_of_all}");

    // From a later page on there are fewer, and what is left fits.
    let last = hidden.iter().rfind(|(name, _)| *name == "id").unwrap().1;
    let page = scene.page(&format!("/queue?connector=bank&after={last}"), &operator).await;
    assert!(page.contains("all that match from this page on, at most 500"), "{page}");
    let rest = [("action", "hold"), ("which", "matching"), ("connector", "bank"), ("after", last)];
    let asked = post(&scene, &operator, "/queue/confirm", &rest).await;
    assert!(
        asked.body.contains("the first 500 of 502 messages that match from that page on"),
        "{}",
        asked.body
    );
    assert!(asked.body.contains(others) && !asked.body.contains("sealpost queue"), "{}", asked.body);
    let rest = asked.body.split_once("from <a href=\"").unwrap().1.split('"').next().unwrap();
    let page = scene.page(&rest.replace("&amp;", "&"), &operator).await;
    assert_eq!(page.matches("name=\"id\"").count(), 2, "{page}");
    scene.daemon.ask(&["queue", "remove", "--recipient", "eve@bank.test"]).await;
    let few = mix::plain("few", 500, 100, "ada@a.test", "ann@bank.test");
    Source::clear(scene.daemon.at("in"), 4).send_all(few).await;
    let exact = [("action", "hold"), ("which", "matching"), ("recipient", "ann@bank.test")];
    let asked = post(&scene, &operator, "/queue/confirm", &exact).await;
    assert!(asked.body.contains("Hold: 500 messages") && !asked.body.contains("of 500"), "{}", asked.body);
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validation_of_an_earlier_session_is_not_made_and_not_lost() {
    let scene = Scene::start().await;
    let (first, reader) = (scene.log_in(OPERATOR).await, scene.log_in(READER).await);
    let (page, validate) = ("/connectors/bank", "/connectors/bank/validate");
    let mut typed = hidden_fields(&scene.page(page, &first).await, validate);
    typed.push(("to".to_owned(), "eve@bank.test".to_owned()));
    let typed: Vec<(&str, &str)> = typed.iter().map(|(name, value)| (&**name, &**value)).collect();
    let send = async |cookie: &str, site: &str| {
        let request = WebRequest::new("POST", validate).header("Cookie", cookie);
        scene.send(request.header("Sec-Fetch-Site", site).form(&typed)).await
    };
    let filled = "name=\"to\" value=\"eve@bank.test\"";
    // In another tab he has logged in again.
    let second = scene.log_in(OPERATOR).await;
    let again = send(&second, "same-origin").await;
    let words = "This form was of an earlier session, and nothing was validated. Send it again.";
    assert!(again.status == 403 && again.body.contains(words), "{}", again.body);
    assert!(
        again.body.contains(filled) && again.body.contains("Never in its present form."),
        "{}",
        again.body
    );
    // What another site sends, or another bearer, is shown to nobody.
    for (cookie, site) in [(&second, "cross-site"), (&reader, "same-origin")] {
        let refused = send(cookie, site).await;
        assert!(refused.status == 403 && !refused.body.contains("eve@bank.test"), "{}", refused.body);
    }

    // The way through the login says it too, once.
    let door = send("", "same-origin").await;
    let mut handed = hidden_fields(&door.body, "/login");
    handed.push(("token".to_owned(), OPERATOR.to_owned()));
    let handed: Vec<(&str, &str)> = handed.iter().map(|(name, value)| (&**name, &**value)).collect();
    let back = scene.send(WebRequest::new("POST", "/login").form(&handed)).await;
    assert_eq!(back.header("location"), Some(page), "{}", back.body);
    let third = back.header("set-cookie").unwrap().split(';').next().unwrap();
    let shown = scene.page(page, third).await;
    let words = "Your session had ended before this was sent, and nothing was validated. Send it again.";
    assert!(shown.contains(words) && shown.contains(filled), "{shown}");
    let shown = scene.page(page, third).await;
    assert!(!shown.contains("nothing was validated") && !shown.contains(filled), "{shown}");
    scene.daemon.stop().await;
}

/// The hidden fields of the form that is sent to an address.
pub(crate) fn hidden_fields(page: &str, action: &str) -> Vec<(String, String)> {
    let form = page.split_once(&format!("action=\"{action}\"")).unwrap().1.split_once("</form>").unwrap().0;
    let value = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\""))?;
        let text = rest.split('"').next()?;
        Some(text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
    };
    let inputs = form.split("<input ").skip(1).filter(|tag| tag.contains("type=\"hidden\""));
    inputs.filter_map(|tag| Some((value(tag, "name")?, value(tag, "value")?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_is_seen_and_ended() {
    let scene = Scene::start().await;
    let operator = scene.log_in(OPERATOR).await;
    let text = std::fs::read_to_string(scene.site.home.config()).unwrap();
    let floor = text.replace("require = \"identity\"", "require = \"identity\"\noverride_floor = \"chain\"");
    assert_ne!(floor, text);
    std::fs::write(scene.site.home.config(), floor).unwrap();
    scene.daemon.ask(&["reload"]).await;
    scene.daemon.ask(&["override", "bank", "--for", "1h", "--reason", "<their> renewal"]).await;
    for page in ["/", "/partners", "/connectors/bank"] {
        let shown = scene.page(page, &operator).await;
        assert!(shown.contains("Overridden: only &quot;chain&quot; is required until"), "{page}: {shown}");
        assert!(
            shown.contains("&lt;their&gt; renewal") && shown.contains("End the override"),
            "{page}: {shown}"
        );
    }
    let settings = scene.page("/settings", &operator).await;
    let explained = scene.page("/explain?to=bob@bank.test", &operator).await;
    for (page, before) in [(&settings, "<form"), (&explained, "class=\"verdict")] {
        let sentence = page.find("the requirement of connector bank is overridden");
        let main = page.find("<main").unwrap();
        let before = main + page[main..].find(before).unwrap();
        assert!(sentence.is_some_and(|at| main < at && at < before), "{page}");
    }
    let end = [("back", "/connectors/bank")];
    let ended = post(&scene, &operator, "/connectors/bank/end-override", &end).await;
    assert_eq!((ended.status, ended.header("location")), (303, Some("/connectors/bank")), "{}", ended.body);
    let page = scene.page("/connectors/bank", &operator).await;
    let words = "The override of connector bank has ended; its own requirement is in effect.";
    assert!(page.contains(words) && !page.contains("Overridden: only"), "{page}");
    let again = post(&scene, &operator, "/connectors/bank/end-override", &end).await;
    assert_eq!(again.status, 409, "{}", again.body);
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_asks_no_more_than_its_token_may() {
    let scene = Scene::start().await;
    let (busy, other) = (scene.log_in(READER).await, scene.log_in(OPERATOR).await);
    let mut answers = 0;
    let refused = loop {
        let answer = scene.send(WebRequest::new("GET", "/certificates").header("Cookie", &busy)).await;
        answers += 1;
        if answer.status != 200 {
            break answer;
        }
        assert!(answers < 100_000, "it is never refused");
    };
    assert!(refused.status == 429 && refused.header("retry-after").is_some(), "{}", refused.head);
    assert!(refused.body.contains("Too much is asked with this token"), "{}", refused.body);
    scene.page("/queue", &other).await;
}
