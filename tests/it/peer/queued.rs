//! A queue that is there before the daemon starts, written through the spool itself.

use sealpost::mail::{BodyType, Envelope, Mailbox, MessageDsn, ReversePath, UnixMillis};
use sealpost::spool::sqlite::SqliteSpool;
use sealpost::spool::{LaneKey, NewContent, NewMessage, Origin, Settings, Spool};

use super::site::{OPPORTUNISTIC, Site};

/// Partners that nobody answers for.
pub(crate) const DEAD: usize = 20;

/// Outbound connectors to them: `d0.test`, `d1.test`, ...
pub(crate) fn dead_partners() -> String {
    (0..DEAD)
        .map(|n| {
            format!(
                "[[outbound]]\nname = \"dead{n}\"\ndomains = [\"d{n}.test\"]\nnext_hop = [\"[127.0.0.{}]:9\"]\n\
                 {OPPORTUNISTIC}\n",
                n + 10
            )
        })
        .collect()
}

/// Queues so many messages for the dead partners by turns, and behind them one for `last`.
pub(crate) async fn fill(site: &Site, count: usize, last: Option<&str>) {
    let dead = |number: usize| {
        let n = number % DEAD;
        (format!("r{number}@d{n}.test"), format!("dead{n}/"))
    };
    fill_by(site, count, dead, last).await;
}

/// The same for the recipient and the lane that are given for each number.
pub(crate) async fn fill_by(
    site: &Site,
    count: usize,
    to: impl Fn(usize) -> (String, String),
    last: Option<&str>,
) {
    let data_dir = site.home.path().join("data");
    let (spool, _) = SqliteSpool::open(Settings { data_dir, ..Settings::default() }).unwrap();
    let now = UnixMillis(
        i64::try_from(
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis(),
        )
        .unwrap(),
    );
    let content: std::sync::Arc<[u8]> = b"Subject: waits\r\n\r\nbody\r\n".as_slice().into();
    let new = |to: &str, lane: String| NewMessage {
        id: spool.new_id(now),
        envelope: Envelope {
            reverse_path: ReversePath::parse("ada@a.test").unwrap(),
            recipients: vec![Mailbox::parse(to).unwrap().into()],
            body: BodyType::SevenBit,
            utf8: false,
            dsn: MessageDsn::default(),
        },
        lanes: vec![LaneKey(lane.into())],
        content: NewContent::Held(std::sync::Arc::clone(&content)),
        accepted_at: now,
        origin: Origin::default(),
        rerouted: None,
    };
    let mut under_way = Vec::new();
    for number in 0..count {
        let (to, lane) = to(number);
        under_way.push(spool.put(new(&to, lane)));
        if under_way.len() >= 1_000 {
            for put in under_way.drain(..) {
                drop(put.await.unwrap());
            }
        }
    }
    if let Some(last) = last {
        under_way.push(spool.put(new(last, "live/".to_owned())));
    }
    for put in under_way {
        drop(put.await.unwrap());
    }
}
