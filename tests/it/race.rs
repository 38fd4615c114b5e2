//! The table swapped for a tighter one while mail flows in clear: nothing leaves in clear after
//! the swap returns.

use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{OPPORTUNISTIC, QUICK, Site, outbound};
use crate::peer::source::Source;
use crate::peer::{LONG, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_in_clear_after_a_tighter_table_is_in_force() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    site.configure(&rest(&sink, OPPORTUNISTIC));
    let config = sealpost::config::load(&site.home.config()).expect("a configuration");
    let running = sealpost::daemon::start(config).await.expect("a running relay");
    let target = running.listening[0].1;

    let messages = mix::plain("race", 3_000, 2_000, "a@sender.test", "b@partner.test");
    let source = tokio::spawn(async move { Source::clear(target, 10).send_all(messages).await });
    sink.until("mail in clear", LONG, |log| log.arrived.len() >= SWAP_AFTER).await;

    site.configure(&rest(&sink, "tls = \"forced\"\nrequire = \"encryption\"\n"));
    running.reload().await.expect("the tighter connectors in effect");
    let then = in_clear(&sink);

    let acknowledged = source.await.expect("the source ends").len();
    let withheld = async || {
        let lanes = running.scheduler.snapshot().await.lanes;
        lanes.iter().any(|l| l.in_flight == 0 && l.reason.as_deref().is_some_and(|r| r.contains("STARTTLS")))
    };
    eventually("another try, withheld", LONG, async || withheld().await.then_some(())).await;
    assert_eq!(in_clear(&sink), then, "an envelope or content left in clear after the swap returned");
    let arrived = sink.arrived().len();
    let queued = usize::try_from(running.spool.stats().await.expect("stats").messages).expect("a count");
    assert!(arrived < acknowledged, "the swap came too late to show anything");
    assert_eq!(arrived + queued, acknowledged, "each acknowledged message is delivered or queued");
    running.stop(false).await;
}

fn rest(sink: &Sink, tls: &str) -> String {
    QUICK.to_owned() + &outbound("out", "partner.test", sink.address, tls)
}

/// Envelopes and contents that came in clear so far.
fn in_clear(sink: &Sink) -> (usize, usize) {
    sink.read(|log| {
        let mails = log.commands.iter().filter(|c| c.to_ascii_uppercase().starts_with("MAIL FROM")).count();
        (mails, log.arrived.len())
    })
}

const SWAP_AFTER: usize = 300;
