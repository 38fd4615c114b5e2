//! The other ends: partners, clients, name servers and certificate authorities that behave as a test
//! needs them to. Nothing here knows the library: it sees what a real peer would see.

pub(crate) mod behaviour;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod dns;
pub(crate) mod foreign;
pub(crate) mod manner;
pub(crate) mod mint;
pub(crate) mod mix;
pub(crate) mod one_thing;
pub(crate) mod postfix;
pub(crate) mod queued;
pub(crate) mod sink;
pub(crate) mod site;
pub(crate) mod source;
pub(crate) mod tools;
pub(crate) mod town;
pub(crate) mod web;
pub(crate) mod webdriver;
pub(crate) mod workshop;

use std::time::Duration;

/// Longer than anything takes on a slow machine; reached only by a test that fails.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Waits for an event, and fails the test by name if it does not come.
#[track_caller]
pub(crate) fn within<F: Future>(what: &str, limit: Duration, event: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(limit, event).await {
            Ok(value) => value,
            Err(_) => panic!("{what}: nothing came in {limit:?} ({place})"),
        }
    }
}

/// Asks again until there is an answer; only for what sends no event, such as a command's output.
pub(crate) async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    within(what, limit, async {
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        loop {
            pace.tick().await;
            if let Some(answer) = probe().await {
                return answer;
            }
        }
    })
    .await
}

/// Says that a test does not run here. Fails instead where every peer was promised.
pub(crate) fn left_out(test: &str, why: &str) {
    assert!(std::env::var_os("SEALPOST_REQUIRE_PEERS").is_none(), "{test} can't run: {why}");
    // Past the capture of the test harness: what was not tested has to be seen.
    let line = format!("\nleft out: {test}: {why}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}
