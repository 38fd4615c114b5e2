//! Sample values shared by this module's tests.

use std::sync::Arc;
use std::time::Duration;

use crate::connector::{
    Attainment, ClearCause, Decision, DomainPattern, NextHop, Outbound, RequiredTls, Requirement, Retry,
    Ruling,
};
use crate::mail::{BodyType, Content, Enhanced, Mailbox, QueueId, Reply, ReversePath, UnixMillis};
use crate::outcome::{Cause, ContentRecord, DeliveryRecord, Outcome, Scope, Trouble};
use crate::spool::{LaneKey, LeaseBook, Leased, Origin, QueuedRecipient, StoredMessage};

pub(super) fn outbound(name: &str, pattern: &str) -> Outbound {
    Outbound {
        retry: Retry {
            waits: [1, 5].map(Duration::from_secs).to_vec(),
            expire: Duration::from_secs(100),
            delay_dsn: Some(Duration::from_secs(10)),
        },
        connections: 2,
        ..Outbound::new(name, vec![DomainPattern::parse(pattern).unwrap()], NextHop::Mx { port: 25 })
    }
}

pub(super) fn delivered() -> Outcome {
    Outcome::Delivered(DeliveryRecord {
        reports_on: false,
        content: ContentRecord::default(),
        host: "mx".to_owned(),
        reply: Reply::new(250, Enhanced(2, 0, 0), "ok"),
        decision: Arc::new(Decision {
            connector: Some("out".into()),
            partner: None,
            host: None,
            required: RequiredTls::Session(Requirement::Opportunistic(None)),
            attained: Attainment::Plaintext,
            ruling: Ruling::Plaintext(ClearCause::NotOffered),
        }),
    })
}

pub(super) fn trouble(scope: Scope) -> Trouble {
    let (status, cause) = (Enhanced(4, 4, 1), Cause::Silent);
    Trouble {
        status,
        cause,
        reason: "no answer".to_owned(),
        remote: None,
        decision: None,
        scope,
        expired: false,
    }
}

pub(super) fn deferred(scope: Scope) -> Outcome {
    Outcome::Deferred(trouble(scope))
}

pub(super) fn failed() -> Outcome {
    Outcome::Failed(trouble(Scope::Recipient).made_final())
}

/// A requirement that no host met, of a connector that does not wait.
pub(super) fn withheld() -> Outcome {
    let trouble = trouble(Scope::Recipient).made_final();
    Outcome::Failed(Trouble { cause: Cause::Requirement, status: Enhanced(5, 7, 4), ..trouble })
}

/// A message for these recipients, in the lane of the first.
pub(super) fn leased(book: &Arc<LeaseBook>, now: UnixMillis, number: i64, to: &[&str]) -> Leased {
    let id = QueueId::from_number(number);
    let recipients: Vec<QueuedRecipient> = to
        .iter()
        .zip(0..)
        .map(|(path, number)| QueuedRecipient {
            dsn: crate::mail::RecipientDsn::default(),
            number,
            forward_path: Mailbox::parse(path).unwrap(),
            attempts: 0,
            delay_told: false,
            rerouted: None,
        })
        .collect();
    let numbers: Vec<u32> = recipients.iter().map(|recipient| recipient.number).collect();
    Leased {
        message: Arc::new(StoredMessage {
            id,
            reverse_path: ReversePath::parse("ann@contoso.example").unwrap(),
            body: BodyType::SevenBit,
            utf8: false,
            dsn: crate::mail::MessageDsn::default(),
            size: 1000,
            accepted_at: now,
            origin: Origin::default(),
        }),
        lane: LaneKey(format!("out/{}", recipients[0].forward_path.domain()).into()),
        recipients,
        content: Some(Content::Held(vec![b'x'; 1000].into())),
        lease: book.lease(id, &numbers).expect("free recipients"),
    }
}
