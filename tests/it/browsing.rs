//! The console in a real browser: every page and action is clicked through, in light and dark, wide and narrow, and checked
//! for what shuts people out. Pictures of all pages are kept below the target folder, in `tmp/screens`.

use crate::console::{OPERATOR, Scene};
use crate::peer::webdriver::{Chromium, Looks};
use crate::peer::{LONG, eventually, left_out, within};

const PAGES: &[&str] =
    &["Overview", "Partners", "Queue", "Trace", "Certificates", "Reports", "Explain", "Settings"];

/// A browser that is logged in.
async fn browser(scene: &Scene, looks: Looks) -> Option<Chromium> {
    let Some(browser) = Chromium::start(scene.daemon.at("admin"), looks).await else {
        left_out("a browser", "Chromium and ChromeDriver");
        return None;
    };
    browser.go("/").await;
    accessible(&browser, "login").await;
    browser.write("//input[@id='token']", OPERATOR).await;
    browser.click("//button[.='Log in']").await;
    shows(&browser, "Failing now").await;
    Some(browser)
}

async fn shows(browser: &Chromium, words: &str) {
    eventually(words, LONG, async || browser.text().await.contains(words).then_some(())).await;
}

/// Nothing on the page shuts anybody out, and it is no wider than the window.
async fn accessible(browser: &Chromium, name: &str) {
    browser.picture(name).await;
    let beyond = browser.run("return document.documentElement.scrollWidth - window.innerWidth").await;
    assert!(beyond.as_i64().is_some_and(|beyond| beyond <= 0), "{name} is wider than the window by {beyond}");
    let found = browser.barriers().await;
    assert_eq!(found.as_array().map(Vec::len), Some(0), "{name}: {found:#}");
}

async fn looks_good(looks: Looks) {
    let scene = Scene::start_with("[watch]\nmode = \"on\"\n\n").await;
    let Some(browser) = browser(&scene, looks).await else { return };
    within("a look", LONG * 3, scene.daemon.ask(&["watch", "now"])).await;
    for page in PAGES {
        browser.click(&format!("//nav/a[.='{page}']")).await;
        eventually(page, LONG, async || {
            let current = browser.run("return document.querySelector('nav [aria-current]')?.innerText").await;
            (current == *page).then_some(())
        })
        .await;
        accessible(&browser, &page.to_lowercase()).await;
    }
    browser.go(&format!("/trace/{}", scene.waiting)).await;
    accessible(&browser, "message").await;
    browser
        .go("/explain?to=eve%40bank.test&from=ada%40a.test&client=127.0.0.1&refusal=550%205.7.64%20x")
        .await;
    accessible(&browser, "explained").await;
    browser.go("/connectors/bank").await;
    accessible(&browser, "connector").await;
    browser.click("//button[.='Validate']").await;
    shows(&browser, "0 of 1 addresses will do").await;
    accessible(&browser, "validation").await;
    browser.go("/queue").await;
    browser.click("//input[@name='id']").await;
    browser.click("//button[.='Remove…']").await;
    shows(&browser, "Nobody is notified").await;
    accessible(&browser, "confirmation").await;
    browser.go("/settings?q=no+such+thing").await;
    accessible(&browser, "no-settings").await;
    browser.go("/nowhere").await;
    accessible(&browser, "nowhere").await;
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_for_everybody_in_the_light() {
    looks_good(Looks { name: "light", width: 1_280, dark: false }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_for_everybody_in_the_dark() {
    looks_good(Looks { name: "dark", width: 1_280, dark: true }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_for_everybody_on_320_pixels() {
    looks_good(Looks { name: "narrow", width: 320, dark: false }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_clicks_through_every_action() {
    let scene = Scene::start().await;
    let looks = Looks { name: "actions", width: 1_280, dark: false };
    let Some(browser) = browser(&scene, looks).await else { return };
    let held = async || scene.daemon.queue().await[0]["held"].clone();

    browser.click("//nav/a[.='Partners']").await;
    browser.click("//article[.//a[contains(@href,'connector=bank')]]//button[.='Pause deliveries']").await;
    browser.answer(true).await;
    shows(&browser, "Paused: bank.").await;
    accessible(&browser, "paused").await;
    browser.click("//button[.='Undo']").await;
    shows(&browser, "No connector is paused.").await;
    browser.click("//article[.//a[contains(@href,'connector=bank')]]//button[.='Pause deliveries']").await;
    browser.answer(true).await;
    browser.click("//button[.='Resume deliveries']").await;
    shows(&browser, "Pause deliveries").await;

    browser.click("//nav/a[.='Queue']").await;
    browser.write("//input[@name='recipient']", "eve@bank.test").await;
    browser.click("//button[.='Show']").await;
    browser.click(&format!("//a[.='{}']", scene.waiting)).await;
    browser.click("//button[.='Hold']").await;
    shows(&browser, "Held: by the operator").await;
    assert_eq!(held().await, "by the operator");
    browser.click("//button[.='Undo']").await;
    shows(&browser, "is released; 1 recipient is tried again now.").await;
    browser.click("//button[.='Hold']").await;
    browser.click("//button[.='Release']").await;
    shows(&browser, "Try now").await;
    browser.click("//nav/a[.='Queue']").await;
    browser.click("//input[@name='which'][@value='matching']").await;
    browser.click("//button[.='Hold…']").await;
    browser.click("//button[.='Hold: 1 message']").await;
    shows(&browser, "1 message is held until it is released.").await;
    assert_eq!(held().await, "by the operator");
    browser.click("//button[.='Undo']").await;
    shows(&browser, "1 message is tried again now.").await;
    browser.click(&format!("//a[.='{}']", scene.waiting)).await;
    browser.click("//button[.='Try now']").await;
    shows(&browser, "Try now").await;
    // What can't be undone is asked about first.
    browser.click("//button[.='Remove']").await;
    browser.answer(false).await;
    assert_eq!(scene.daemon.queue().await.len(), 1);
    browser.click("//button[.='Remove']").await;
    browser.answer(true).await;
    shows(&browser, "The queue is empty.").await;
    assert!(scene.daemon.queue().await.is_empty());

    browser.click("//nav/a[.='Trace']").await;
    browser.write("//input[@name='q']", "eve@bank.test").await;
    browser.click("//button[.='Search']").await;
    browser.click(&format!("//a[.='{}']", scene.waiting)).await;
    eventually("the removal on the way", LONG, async || {
        browser.go(&format!("/trace/{}", scene.waiting)).await;
        browser.text().await.contains("removed by ada (token)").then_some(())
    })
    .await;
    browser.click("//nav/a[.='Explain']").await;
    browser.write("//input[@name='to']", "eve@bank.test").await;
    browser.click("//summary[contains(.,'A draft')]").await;
    browser.write("//textarea[@name='draft']", "[server]\nnmae = 1\n").await;
    browser.click("//button[.='Explain']").await;
    shows(&browser, "draft: line 2, column 1: unknown key").await;
    accessible(&browser, "draft").await;
    browser.click("//nav/a[.='Reports']").await;
    browser.click("//summary[.='The same as a table']").await;
    browser.click("//button[.='Log out']").await;
    shows(&browser, "Log in").await;
    browser.go("/queue").await;
    shows(&browser, "Log in").await;
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_outlives_the_session() {
    let scene = Scene::start().await;
    let looks = Looks { name: "outlives", width: 1_280, dark: false };
    let Some(browser) = browser(&scene, looks).await else { return };
    browser.click("//nav/a[.='Explain']").await;
    browser.write("//input[@name='to']", "eve@bank.test").await;
    browser.click("//summary[contains(.,'A draft')]").await;
    browser.write("//textarea[@name='draft']", "# <kept> & \"quoted\"\n\n[server]\nnmae = 1\n").await;
    // As many sessions as a token may have: the browser's own has ended.
    for _ in 0..8 {
        scene.log_in(OPERATOR).await;
    }
    browser.click("//button[.='Explain']").await;
    shows(&browser, "Log in as ada, and the form has it again.").await;
    accessible(&browser, "door").await;
    browser.write("//input[@name='token']", OPERATOR).await;
    browser.click("//button[.='Log in']").await;
    shows(&browser, "Your session had ended before this was answered. Send it again.").await;
    accessible(&browser, "kept").await;
    browser.click("//button[.='Explain']").await;
    shows(&browser, "draft: line 4, column 1: unknown key").await;
    scene.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overview_that_is_not_current_says_so() {
    let scene = Scene::start().await;
    let looks = Looks { name: "stale", width: 1_280, dark: false };
    let Some(browser) = browser(&scene, looks).await else { return };
    let refresh = "document.dispatchEvent(new Event('visibilitychange'))";
    shows(&browser, "As of ").await;

    browser.click("//nav/a[.='Certificates']").await;
    shows(&browser, "Copy").await;
    browser.click("//nav/a[.='Overview']").await;
    shows(&browser, "As of ").await;
    browser.run("document.getElementById('live').replaceChildren()").await;
    browser.run(refresh).await;
    shows(&browser, "Failing now").await;
    assert!(!browser.text().await.contains("Not current"));

    scene.site.write_tokens(&format!("operator eve {}\n", OPERATOR.to_uppercase()));
    scene.daemon.ask(&["reload"]).await;
    browser.run(refresh).await;
    shows(&browser, "the session has ended. Log in again").await;
    accessible(&browser, "stale").await;
    scene.daemon.stop().await;
    browser.run(refresh).await;
    shows(&browser, "the daemon does not answer. Log in again").await;
}
