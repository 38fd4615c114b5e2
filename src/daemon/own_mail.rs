//! A mail of our own to one address, as the spool takes it: reports and alerts. Nothing that becomes of it is reported.

use crate::mail::{
    BodyType, Envelope, Mailbox, MessageDsn, Notify, QueueId, Recipient, RecipientDsn, ReversePath,
    UnixMillis,
};
use crate::spool::{LaneKey, NewContent, NewMessage, Origin};

/// The message with this Message-ID and content. It is in 7 bits.
pub(super) fn own_mail(
    (message_id, content): (String, Vec<u8>),
    (to, id): (&Mailbox, QueueId),
    lane: LaneKey,
    now: UnixMillis,
) -> NewMessage {
    let dsn = RecipientDsn { notify: Notify::NEVER, orcpt: None };
    NewMessage {
        id,
        envelope: Envelope {
            // A report about it would be another thing to report, and nobody reads what would come back.
            reverse_path: ReversePath::NULL,
            recipients: vec![Recipient { forward_path: to.clone(), dsn }],
            body: BodyType::SevenBit,
            utf8: false,
            dsn: MessageDsn::default(),
        },
        lanes: vec![lane],
        content: NewContent::Held(content.into()),
        accepted_at: now,
        origin: Origin { message_id: Some(message_id), ..Origin::default() },
        rerouted: None,
    }
}
