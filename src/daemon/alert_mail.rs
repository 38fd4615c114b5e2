//! Puts alerts into the spool, like reports of ours: with the null reverse-path, and by a connector that they are not about and
//! that works. One that does not arrive is handed to another connector.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::alerting::AlertDesk;
use super::own_mail::own_mail;
use crate::alert::{
    AlertMail, AlertPassage, AlertRoute, LetterFrame, PassageState, WaitingCount, WayTrouble, alert_route,
    compose_alert, other_route,
};
use crate::mail::{Clock, Mailbox, QueueId};
use crate::spool::{LaneKey, NewMessage, Removal, SpoolFault};
use crate::tracking::{Event, QueueHandling};

/// How much waits for the connectors that a mail is about, by name.
type WaitingCounts = BTreeMap<String, WaitingCount>;

impl AlertDesk {
    /// Queues a mail for every address that has not got it yet.
    ///
    /// # Errors
    /// The spool can't take it for some address.
    pub(super) async fn send(&self, mail: &AlertMail) -> Result<(), SpoolFault> {
        let settings = self.settings.load_full();
        let waiting = self.waiting_for(mail).await;
        for to in settings.to.iter().filter(|to| !mail.is_queued_for(to.as_str())) {
            let Some(route) = self.way(mail, to) else {
                tracing::error!(
                    %to,
                    what = mail.items.first().map(|one| one.episode.words.as_str()),
                    "an alert can't be mailed: the only way to this address is the connector that it is about"
                );
                continue;
            };
            let connector = Arc::clone(&route.connector.name);
            let id = self.queue((mail, &waiting), to, route, |_| {}).await?;
            tracing::info!(%id, %to, %connector, "an alert is queued");
            let passage = AlertPassage::begin(to.as_str(), (id, &connector), Clock::wall());
            self.book().queued(mail.number, passage);
        }
        Ok(())
    }

    /// Queues a mail for an address; `note` hears of its queue ID before anything can happen to it.
    ///
    /// # Errors
    /// The spool can't take it.
    pub(super) async fn queue(
        &self,
        (mail, waiting): (&AlertMail, &WaitingCounts),
        to: &Mailbox,
        route: AlertRoute,
        note: impl FnOnce(QueueId),
    ) -> Result<QueueId, SpoolFault> {
        let (settings, now) = (self.settings.load_full(), Clock::wall());
        let id = self.spool.new_id(now);
        let (name, from) = (&settings.name, &settings.from);
        let frame = LetterFrame { name, from, to, id, now, waiting };
        let (message_id, content) = compose_alert(mail, &frame);
        let lane = LaneKey::of(&route.connector, to.domain());
        let message =
            NewMessage { rerouted: route.rerouted, ..own_mail((message_id, content), (to, id), lane, now) };
        note(id);
        let leased = self.spool.put(message).await?;
        self.scheduler.offer(leased);
        Ok(id)
    }

    /// Hands mails that do not arrive to other connectors: queued there first, and then withdrawn here, so that none is lost.
    ///
    /// # Errors
    /// The spool can't take one.
    pub(super) async fn hand_on(&self) -> Result<(), SpoolFault> {
        let restless = self.book().restless();
        for (number, passage) in restless {
            let mail = self.book().mail_of(number).cloned();
            let settings = self.settings.load_full();
            let to = settings.to.iter().find(|to| to.as_str() == passage.to);
            let (Some(mail), Some(to)) = (mail, to) else {
                self.book().given_up(passage.id);
                continue;
            };
            let Some(route) = self.other_way(&mail, to, &passage) else {
                self.book().given_up(passage.id);
                continue;
            };
            let (connector, waiting) = (Arc::clone(&route.connector.name), self.waiting_for(&mail).await);
            let id = self.queue((&mail, &waiting), to, route, |_| {}).await?;
            tracing::info!(
                %id, %to, %connector, before = %passage.id, before_by = passage.connector,
                "an alert goes by another connector"
            );
            self.book().handed_on(passage.id, (id, &connector), Clock::wall());
            if passage.state != PassageState::Failed {
                self.withdrawn().push(passage.id);
            }
        }
        self.withdraw().await;
        Ok(())
    }

    /// Removes what goes by another connector now, unless it is being attempted: then once that is over.
    async fn withdraw(&self) {
        let ids = std::mem::take(&mut *self.withdrawn());
        for id in ids {
            let mut removal = self.spool.remove(id).await;
            if matches!(removal, Ok(Removal::Leased)) {
                self.scheduler.let_go(&[id]).await;
                removal = self.spool.remove(id).await;
            }
            match removal {
                Ok(Removal::Removed) => {
                    let handling = QueueHandling::Removed;
                    self.journal.record(&Event::Handled { id, handling, by: WITHDRAWER });
                }
                Ok(Removal::Unknown) => {}
                Ok(Removal::Leased) | Err(_) => {
                    let mut withdrawn = self.withdrawn();
                    // What there is no room for may arrive twice.
                    if withdrawn.len() < WITHDRAWN_MAX {
                        withdrawn.push(id);
                    }
                }
            }
        }
    }

    fn way(&self, mail: &AlertMail, to: &Mailbox) -> Option<AlertRoute> {
        let (table, settings) = (self.live.table(), self.settings.load());
        let (via, stopped) = (settings.via.as_deref(), self.book().stopped());
        let (about, nothing) = (mail.about(), BTreeSet::new());
        let of = |about| alert_route(&table, to, via, WayTrouble { about, stopped: &stopped });
        let found = of(&about);
        match mail.items.len() {
            0 | 1 => found,
            // A digest is about others too: it waits there rather than being lost.
            _ => found.or_else(|| of(&nothing)),
        }
    }

    fn other_way(&self, mail: &AlertMail, to: &Mailbox, passage: &AlertPassage) -> Option<AlertRoute> {
        let (table, settings) = (self.live.table(), self.settings.load());
        let stopped = self.book().stopped();
        let trouble = WayTrouble { about: &mail.about(), stopped: &stopped };
        other_route(&table, (to, passage), settings.via.as_deref(), trouble)
    }

    /// How much waits for the connector that a mail is about.
    async fn waiting_for(&self, mail: &AlertMail) -> WaitingCounts {
        // A digest does not say it.
        let [one] = mail.items.as_slice() else { return WaitingCounts::new() };
        let connector = one.episode.connector.as_ref().filter(|_| one.episode.kind.stops_outbound());
        let Some(connector) = connector else { return WaitingCounts::new() };
        let Ok(found) = self.spool.waiting(connector.as_str().into(), COUNTED_MAX).await else {
            return WaitingCounts::new();
        };
        let more = usize::try_from(found.recipients).is_ok_and(|count| count >= COUNTED_MAX);
        let count = WaitingCount { recipients: found.recipients, more, oldest: found.oldest };
        WaitingCounts::from([(connector.clone(), count)])
    }
}

/// Recipients that are counted of those that wait.
const COUNTED_MAX: usize = 1_000;
/// Who removes what goes by another connector, in events.
const WITHDRAWER: &str = "alerts";
/// Messages that are to be removed as soon as nobody attempts them.
const WITHDRAWN_MAX: usize = 100;
