//! Puts alerts into the spool, like reports of ours: with the null reverse-path, and by a connector that they are not about.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::alerting::AlertDesk;
use crate::alert::{
    AlertMail, AlertOccasion, AlertRoute, LetterFrame, WaitingCount, alert_route, compose_alert,
};
use crate::mail::{
    BodyType, Clock, Envelope, Mailbox, MessageDsn, Notify, QueueId, Recipient, RecipientDsn, ReversePath,
};
use crate::spool::{Filter, LaneKey, NewContent, NewMessage, Origin, SpoolFault};

impl AlertDesk {
    /// Queues a mail for every address that has not got it yet.
    ///
    /// # Errors
    /// The spool can't take it for some address.
    pub(super) async fn send(&self, mail: &AlertMail) -> Result<(), SpoolFault> {
        let settings = self.settings.load_full();
        for to in settings.to.iter().filter(|to| !mail.queued.contains(to.as_str())) {
            match self.queue(mail, to, |_| {}).await? {
                Some((id, connector)) => tracing::info!(%id, %to, %connector, "an alert is queued"),
                None => tracing::error!(
                    %to,
                    what = mail.items.first().map(|one| one.episode.words.as_str()),
                    "an alert can't be mailed: the only way to this address is the connector that it is about"
                ),
            }
            self.is_queued(mail, to);
        }
        Ok(())
    }

    /// Queues a mail for an address; `note` hears of its queue ID before anything can happen to it. `None`: there is no way to it
    /// but by the connector that it is about.
    ///
    /// # Errors
    /// The spool can't take it.
    pub(super) async fn queue(
        &self,
        mail: &AlertMail,
        to: &Mailbox,
        note: impl FnOnce(QueueId),
    ) -> Result<Option<(QueueId, Arc<str>)>, SpoolFault> {
        let (settings, now) = (self.settings.load_full(), Clock::wall());
        let Some(route) = self.way(mail, to) else { return Ok(None) };
        let waiting = self.waiting_for(mail).await;
        let id = self.spool.new_id(now);
        let (name, from) = (&settings.name, &settings.from);
        let frame = LetterFrame { name, from, to, id, now, waiting: &waiting };
        let (message_id, content) = compose_alert(mail, &frame);
        let dsn = RecipientDsn { notify: Notify::NEVER, orcpt: None };
        let message = NewMessage {
            id,
            envelope: Envelope {
                // A report about an alert would be another thing to report.
                reverse_path: ReversePath::NULL,
                recipients: vec![Recipient { forward_path: to.clone(), dsn }],
                body: BodyType::SevenBit,
                utf8: false,
                dsn: MessageDsn::default(),
            },
            lanes: vec![LaneKey::of(&route.connector, to.domain())],
            content: NewContent::Held(content.into()),
            accepted_at: now,
            origin: Origin { message_id: Some(message_id), ..Origin::default() },
            rerouted: route.rerouted,
        };
        note(id);
        let leased = self.spool.put(message).await?;
        self.scheduler.offer(leased);
        Ok(Some((id, Arc::clone(&route.connector.name))))
    }

    fn way(&self, mail: &AlertMail, to: &Mailbox) -> Option<AlertRoute> {
        let (table, settings) = (self.live.table(), self.settings.load());
        let stopped = mail.items.iter().filter(|one| {
            one.episode.kind.stops_outbound()
                && matches!(one.occasion, AlertOccasion::Began | AlertOccasion::Ongoing)
        });
        let about: Vec<&str> = stopped.filter_map(|one| one.episode.connector.as_deref()).collect();
        let via = settings.via.as_deref();
        let found = alert_route(&table, to, via, &about);
        match mail.items.len() {
            0 | 1 => found,
            // A digest is about others too: it waits there rather than being lost.
            _ => found.or_else(|| alert_route(&table, to, via, &[])),
        }
    }

    /// How much waits for the connectors that a mail is about.
    async fn waiting_for(&self, mail: &AlertMail) -> BTreeMap<String, WaitingCount> {
        let mut waiting = BTreeMap::new();
        // A digest does not say it.
        let [one] = mail.items.as_slice() else { return waiting };
        if let Some(connector) = one.episode.connector.as_ref().filter(|_| one.episode.kind.stops_outbound())
        {
            waiting.insert(connector.clone(), self.count(connector).await);
        }
        waiting
    }

    /// Counts the messages that wait for a connector, as far as a bounded look shows them.
    async fn count(&self, connector: &str) -> WaitingCount {
        let filter = Filter { connector: Some(connector.to_owned()), ..Filter::default() };
        let mut found = WaitingCount::default();
        let mut after = None;
        for _ in 0..PARTS_MAX {
            let Ok(part) = self.spool.list(filter.clone(), after, PART).await else { break };
            let count = u64::try_from(part.messages.len()).unwrap_or(u64::MAX);
            found.messages = found.messages.saturating_add(count);
            found.oldest = found.oldest.or_else(|| part.messages.first().map(|message| message.accepted_at));
            after = part.next;
            if after.is_none() {
                return found;
            }
        }
        found.more = true;
        found
    }
}

/// Messages of one look at the queue, and looks.
const PART: usize = 250;
const PARTS_MAX: usize = 4;
