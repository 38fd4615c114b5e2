//! A job that is only a question: whether a recipient would be taken.

use std::sync::Arc;

use super::Job;
use crate::mail::{BodyType, Content, Mailbox, MessageDsn, QueueId, RecipientDsn, ReversePath, UnixMillis};
use crate::spool::{Origin, QueuedRecipient, StoredMessage};

impl Job {
    /// A message of nobody, with nothing in it, for this recipient; it is in no queue.
    #[must_use]
    pub fn question(mailbox: &Mailbox, onward_sealed: bool) -> Self {
        let message = StoredMessage {
            id: QueueId::from_number(0),
            reverse_path: ReversePath::NULL,
            body: BodyType::SevenBit,
            utf8: !mailbox.is_ascii(),
            dsn: MessageDsn::default(),
            size: 0,
            accepted_at: UnixMillis(0),
            origin: Origin { onward_sealed, ..Origin::default() },
        };
        let recipient = QueuedRecipient {
            number: 0,
            forward_path: mailbox.clone(),
            dsn: RecipientDsn::default(),
            attempts: 0,
            delay_told: false,
        };
        let content = Content::Held(Arc::default());
        Self { message: Arc::new(message), recipients: [recipient].into(), content, ticket: 0 }
    }
}
