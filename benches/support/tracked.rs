//! A tracking store with many messages, as the relay would have written it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealpost::connector::{Attainment, Decision, Forced, HeaderFindings, RequiredTls, Requirement, Ruling};
use sealpost::mail::{Clock, Enhanced, Mailbox, QueueId, Reply, ReversePath};
use sealpost::outcome::{ContentRecord, DeliveryRecord};
use sealpost::seal::SealSettings;
use sealpost::trace::{EventRecorder, TraceStore};
use sealpost::tracking::{ArrivalTimes, Event, MessageFacts, Observer as _, TrackingSettings};

/// Writes so many messages, sealed as by default, and returns the time in the first one's queue ID.
pub(crate) fn write(folder: &Path, messages: u64) -> u64 {
    let settings =
        TrackingSettings { enabled: true, keep: Duration::from_secs(90 * 86_400), bytes_max: 8 << 30 };
    let seal = SealSettings {
        site: "gw.example".to_owned(),
        timestamp_url: None,
        rotate: Duration::from_secs(86_400),
    };
    let store = TraceStore::start(folder, settings, Some(seal), 0).expect("a thread");
    let recorder = store.recorder();
    let met: Vec<Arc<Decision>> = (0..50).map(|number| decision(&format!("partner-{number}"))).collect();
    let first = u64::try_from(Clock::wall().0).expect("a date") - messages;
    for number in 0..messages {
        tell(&recorder, first, number, &met);
        if number % 20_000 == 0 {
            // No faster than it is written, or events would be dropped.
            while recorder.waiting() > 60_000 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    store.stop(Duration::from_secs(600));
    assert_eq!(recorder.dropped().all, 0, "all are kept");
    first
}

fn decision(connector: &str) -> Arc<Decision> {
    Arc::new(Decision {
        connector: Some(connector.into()),
        partner: None,
        host: Some("mx.b.example [192.0.2.7]:25".to_owned()),
        required: RequiredTls::Session(Requirement::Forced(Forced::encryption())),
        attained: Attainment::NoSession,
        ruling: Ruling::Met,
    })
}

fn tell(recorder: &EventRecorder, first: u64, number: u64, met: &[Arc<Decision>]) {
    let id = QueueId::first_of(first + number);
    let from = ReversePath::parse(&format!("me{}@contoso.example", number % 5_000)).expect("a path");
    let to =
        Mailbox::parse(&format!("user{}@d{}.example", number % 199_999, number % 3_001)).expect("a mailbox");
    let (message_id, subject) =
        (format!("{number}@a.example"), format!("Your word{} of day {}", number % 50_021, number % 31));
    let message = MessageFacts {
        id,
        reverse_path: &from,
        message_id: Some(&message_id),
        subject: Some(&subject),
        size: 4_096,
        came_by: Some("exchange"),
    };
    let decision = met.get(usize::try_from(number % 50).expect("small")).expect("one");
    recorder.observe(&Event::Accepted {
        message,
        peer: "192.0.2.1".parse().expect("an address"),
        recipients: std::slice::from_ref(&to),
        times: ArrivalTimes::default(),
        findings: &HeaderFindings::default(),
        decision: met.first().expect("one"),
    });
    recorder.observe(&Event::Delivered {
        message,
        forward_path: &to,
        delivered: &DeliveryRecord {
            host: "mx.b.example [192.0.2.7]:25".to_owned(),
            reply: Reply::new(250, Enhanced(2, 0, 0), "ok"),
            decision: Arc::clone(decision),
            reports_on: false,
            content: ContentRecord::default(),
        },
        delay: Duration::from_millis(17),
        rerouted_from: None,
    });
}
