//! Reports an attempt: events for the log, and reports (DSNs) to the reverse-path. It decides no
//! outcome.

use super::core::{RecipientVerdict, Work};
use super::run::Scheduler;
use crate::connector::{Arrival, Onward, choose, may_disclose, may_name_contacts};
use crate::mail::{
    BodyType, Content, Dates, Envelope, Mailbox, MessageDsn, Occasion, QueueId, Ret, ReversePath, UnixMillis,
};
use crate::outcome::dsn::{
    self, Addressee, Detail, Fate, HEADER_BYTES_MAX, Kind, NoSender, Report, ReportedRecipient,
};
use crate::spool::{LaneKey, Lease, NewContent, NewMessage, Origin, QueuedRecipient, StoredMessage};
use crate::tracking::{AlarmTopic, Event, MessageFacts};

/// The reports an attempt caused.
#[derive(Default)]
pub(super) struct Reports {
    pub(super) messages: Vec<NewMessage>,
    /// For each kind of report due: the report's queue ID, if it could be composed.
    pub(super) told: Vec<(&'static str, Option<QueueId>)>,
}

impl Scheduler {
    /// Logs the verdict on each recipient.
    pub(super) fn tell_verdicts(
        &self,
        (message, lane): (&StoredMessage, &LaneKey),
        verdicts: &[(QueuedRecipient, RecipientVerdict)],
        dates: &Dates,
    ) {
        let outbound = lane.connector();
        let (message, accepted_at) = (facts(message), message.accepted_at);
        for (recipient, verdict) in verdicts {
            let forward_path = &recipient.forward_path;
            let rerouted_from = recipient.rerouted.as_ref().map(|rerouting| &*rerouting.from);
            self.journal.record(&match verdict {
                RecipientVerdict::Delivered(delivered) => Event::Delivered {
                    message,
                    forward_path,
                    delivered,
                    delay: dates.age(accepted_at),
                    rerouted_from,
                },
                RecipientVerdict::Failed(trouble) => {
                    Event::Failed { message, forward_path, outbound, trouble, rerouted_from }
                }
                RecipientVerdict::Rerouted { trouble, rerouting, .. } => {
                    Event::Rerouted { message, forward_path, outbound, trouble, to: &rerouting.to }
                }
                RecipientVerdict::Deferred { trouble, next_at, .. } => {
                    let next_at = dates.to_wall(*next_at);
                    Event::Deferred { message, forward_path, outbound, trouble, next_at, rerouted_from }
                }
            });
        }
    }

    /// Composes the reports due: one for all failed recipients, one for all delayed ones, one for all
    /// relayed ones; each covers only recipients for whom a report was requested.
    pub(super) async fn reports(&self, work: &Work<Lease>, dates: &Dates) -> Reports {
        let now = dates.wall();
        let mut reports = Reports::default();
        let wants = |recipient: &QueuedRecipient, occasion| recipient.dsn.notify.wants(occasion);
        let failed: Vec<ReportedRecipient<'_>> = work
            .failed()
            .filter(|(recipient, _)| wants(recipient, Occasion::Failure))
            .map(|(recipient, trouble)| reported(recipient, Fate::Trouble(trouble)))
            .collect();
        let late: Vec<ReportedRecipient<'_>> = work
            .late()
            .filter(|(recipient, _)| wants(recipient, Occasion::Delay))
            .map(|(recipient, trouble)| reported(recipient, Fate::Trouble(trouble)))
            .collect();
        let relayed: Vec<ReportedRecipient<'_>> = work
            .relayed()
            .map(|(recipient, delivered)| reported(recipient, Fate::Relayed(delivered)))
            .collect();
        if failed.is_empty() && late.is_empty() && relayed.is_empty() {
            return reports;
        }
        // RFC 5321 §4.5.5: no report is sent for the null reverse-path.
        let Some(to) = work.message.reverse_path.mailbox() else {
            let shorter = self.shorter_reports(work, now).await;
            if !shorter.is_empty() {
                let told = shorter.iter().map(|message| (SHORTENED, Some(message.id)));
                reports.told.extend(told);
                reports.messages.extend(shorter);
            } else if !failed.is_empty() {
                let report = self.double_bounce(work, now, &failed).await;
                reports.told.push((Kind::Failed.word(), report.as_ref().map(|message| message.id)));
                reports.messages.extend(report);
            }
            return reports;
        };
        // Uses the clocks that decide the expiry, so that the date is right even if the clock was wrong
        // when the message arrived.
        let until = dates.since(work.message.accepted_at).plus(work.expire);
        let delayed = Kind::Delayed { until: dates.to_wall(until) };
        let detail = self.detail(work, to);
        let whole = !failed.is_empty() && detail == Detail::Full && self.returns_whole(work).await;
        let all = self.returned(work, whole).await;
        let header = all.get(..all.len().min(HEADER_BYTES_MAX)).unwrap_or(&all);
        for (kind, told) in [(Kind::Failed, failed), (delayed, late), (Kind::Relayed, relayed)] {
            if told.is_empty() {
                continue;
            }
            let whole = whole && kind == Kind::Failed;
            let message = if whole { all.as_slice() } else { header };
            let part = Part { kind, told: &told, message, whole, addressee: Addressee::Sender, detail };
            let mut report = self.report_message(work, to, now, &part);
            if report.is_none() && kind == Kind::Failed {
                // No connector leads to the sender: somebody must hear of it.
                report = self.to_postmaster(work, now, (&told, NoSender::NoRoute)).await;
            }
            reports.told.push((kind.word(), report.as_ref().map(|message| message.id)));
            reports.messages.extend(report);
        }
        reports
    }

    /// Failures of mail that has no sender go to the postmaster, if so configured.
    async fn double_bounce(
        &self,
        work: &Work<Lease>,
        now: UnixMillis,
        failed: &[ReportedRecipient<'_>],
    ) -> Option<NewMessage> {
        if self.settings.double_bounces {
            self.to_postmaster(work, now, (failed, NoSender::Null)).await
        } else {
            None
        }
    }

    /// The report of failures for the postmaster; never of mail to the postmaster.
    async fn to_postmaster(
        &self,
        work: &Work<Lease>,
        now: UnixMillis,
        (failed, why): (&[ReportedRecipient<'_>], NoSender),
    ) -> Option<NewMessage> {
        let postmaster = &self.settings.postmaster;
        let own = postmaster.folded();
        if failed.iter().any(|told| told.forward_path.folded() == own) {
            return None;
        }
        let message = self.returned(work, false).await;
        let part = Part {
            kind: Kind::Failed,
            told: failed,
            message: &message,
            whole: false,
            addressee: Addressee::Postmaster(why),
            detail: Detail::Full,
        };
        self.report_message(work, postmaster, now, &part)
    }

    /// How much detail a report gives: outside our organisation, no more than the connector by which
    /// the message came allows.
    fn detail(&self, work: &Work<Lease>, to: &Mailbox) -> Detail {
        let came_by = work.message.origin.connector.as_deref();
        if may_disclose(&self.live.table(), &self.settings.postmaster, to, came_by) {
            Detail::Full
        } else {
            Detail::Codes
        }
    }

    /// A report of ours that was refused for its own form is sent again in a smaller one, to each recipient.
    async fn shorter_reports(&self, work: &Work<Lease>, now: UnixMillis) -> Vec<NewMessage> {
        // A report by another host came by a connector.
        if work.message.origin.connector.is_some() {
            return Vec::new();
        }
        let refused = work.failed().filter(|(_, trouble)| dsn::is_refused_for_its_form(trouble));
        let refused: Vec<&Mailbox> = refused.map(|(recipient, _)| &recipient.forward_path).collect();
        if refused.is_empty() {
            return Vec::new();
        }
        let report = self.content(work, REPORT_BYTES_MAX).await;
        let Some(shorter) = dsn::shortened(&report) else { return Vec::new() };
        let origin = &work.message.origin;
        refused.iter().filter_map(|to| self.new_report(to, shorter.clone(), origin, now)).collect()
    }

    fn new_report(
        &self,
        to: &Mailbox,
        content: Vec<u8>,
        origin: &Origin,
        now: UnixMillis,
    ) -> Option<NewMessage> {
        let choice = choose(&self.live.table(), to.domain_name(), Arrival::Ours)?;
        Some(NewMessage {
            id: self.spool.new_id(now),
            envelope: envelope(to),
            lanes: vec![LaneKey::of(&choice.connector, to.domain())],
            content: NewContent::Held(content.into()),
            accepted_at: now,
            origin: origin.clone(),
            rerouted: None,
        })
    }

    /// RET=FULL is honoured for messages of ordinary size, unless TLS was required on either side: a message that came
    /// or goes over forced TLS, to any of its recipients, is not returned to wherever the reverse-path points.
    async fn returns_whole(&self, work: &Work<Lease>) -> bool {
        let message = &work.message;
        message.dsn.ret == Some(Ret::Full)
            && !message.origin.sealed
            && message.origin.onward.level == Onward::Any
            && message.body != BodyType::BinaryMime
            && message.size <= RETURNED_BYTES_MAX
            && !self.goes_sealed(work).await
    }

    /// Whether TLS is, or was, demanded on the way to one of the message's recipients: of this attempt, or of those that
    /// wait, or of those that are done.
    async fn goes_sealed(&self, work: &Work<Lease>) -> bool {
        let table = self.live.table();
        let is_forced = |mailbox: &Mailbox| {
            choose(&table, mailbox.domain_name(), work.message.origin.arrival())
                .is_some_and(|choice| choice.connector.forced().is_some())
        };
        let here = work.verdicts.iter().any(|(recipient, verdict)| {
            is_forced(&recipient.forward_path)
                || verdict.decision().is_some_and(|decision| decision.required.is_forced())
        });
        if here {
            return true;
        }
        match self.spool.show(work.message.id).await {
            Ok(Some(queued)) => {
                queued.left_sealed || queued.recipients.iter().any(|row| is_forced(&row.forward_path))
            }
            Ok(None) | Err(_) => true,
        }
    }

    fn report_message(
        &self,
        work: &Work<Lease>,
        to: &Mailbox,
        now: UnixMillis,
        part: &Part<'_>,
    ) -> Option<NewMessage> {
        let Some(choice) = choose(&self.live.table(), to.domain_name(), Arrival::Ours) else {
            let what = format!(
                "no outbound connector covers {}: the report about {} can't be sent; add one",
                to.domain(),
                work.message.id
            );
            self.journal.record(&Event::Alarm { topic: AlarmTopic::Other, what: &what });
            return None;
        };
        let id = self.spool.new_id(now);
        let content = dsn::compose(&Report {
            kind: part.kind,
            id,
            about: work.message.id,
            reporting_mta: &self.settings.name,
            postmaster: &self.settings.postmaster,
            to,
            addressee: part.addressee,
            detail: part.detail,
            discreet: work.message.origin.onward.is_raised(),
            names_contacts: may_name_contacts(&self.live.table(), &self.settings.postmaster, to),
            arrived_at: work.message.accepted_at,
            now,
            recipients: part.told,
            envid: work.message.dsn.envid.as_deref(),
            message: part.message,
            whole: part.whole,
        });
        Some(NewMessage {
            id,
            envelope: envelope(to),
            lanes: vec![LaneKey::of(&choice.connector, to.domain())],
            content: NewContent::Held(content.into()),
            accepted_at: now,
            origin: Origin {
                message_id: Some(format!("{id}@{}", self.settings.name)),
                // A report reveals enough of the message to need the protection that its connector demands. A rule's
                // demand would keep from the sender that the message waits, so it holds for the message alone.
                onward: work.message.origin.onward.for_reports(),
                ..Origin::default()
            },
            rerouted: None,
        })
    }

    /// The message to return, or only its start.
    async fn returned(&self, work: &Work<Lease>, whole: bool) -> Vec<u8> {
        let whole_max = usize::try_from(RETURNED_BYTES_MAX).unwrap_or(usize::MAX);
        self.content(work, if whole { whole_max } else { HEADER_BYTES_MAX }).await
    }

    /// The first octets of a message; empty if it can't be read, since the report must still be sent.
    async fn content(&self, work: &Work<Lease>, octets_max: usize) -> Vec<u8> {
        let content = match &work.content {
            Some(content) => content.clone(),
            None => match self.spool.read(work.message.id).await {
                Ok(content) => content,
                Err(_) => return Vec::new(),
            },
        };
        match content {
            Content::Held(bytes) => bytes.get(..octets_max).unwrap_or(&bytes).to_vec(),
            Content::Source(_) => {
                let read = move || read_start(&content, octets_max);
                tokio::task::spawn_blocking(read).await.unwrap_or_default()
            }
        }
    }
}

/// What events say of a message.
fn facts(message: &StoredMessage) -> MessageFacts<'_> {
    MessageFacts {
        id: message.id,
        reverse_path: &message.reverse_path,
        message_id: message.origin.message_id.as_deref(),
        subject: message.origin.subject.as_deref(),
        size: message.size,
        came_by: message.origin.connector.as_deref(),
    }
}

/// What is said of a report: nothing but to whom it goes. Only an address in UTF-8 asks for more than the oldest host
/// can do.
fn envelope(to: &Mailbox) -> Envelope {
    Envelope {
        reverse_path: ReversePath::NULL,
        recipients: vec![to.clone().into()],
        body: BodyType::SevenBit,
        utf8: !to.is_ascii(),
        dsn: MessageDsn::default(),
    }
}

struct Part<'a> {
    kind: Kind,
    told: &'a [ReportedRecipient<'a>],
    message: &'a [u8],
    whole: bool,
    addressee: Addressee,
    detail: Detail,
}

fn reported<'a>(recipient: &'a QueuedRecipient, fate: Fate<'a>) -> ReportedRecipient<'a> {
    let rerouted = recipient.rerouted.as_ref();
    ReportedRecipient { forward_path: &recipient.forward_path, dsn: &recipient.dsn, rerouted, fate }
}

fn read_start(content: &Content, octets_max: usize) -> Vec<u8> {
    let mut start = vec![0; octets_max];
    let mut filled = 0_usize;
    while let Some(rest) = start.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match content.read_at(rest, u64::try_from(filled).unwrap_or(u64::MAX)) {
            Ok(0) | Err(_) => break,
            Ok(count) => filled = filled.saturating_add(count),
        }
    }
    start.truncate(filled);
    start
}

/// The kind of a report that took the place of another.
const SHORTENED: &str = "shortened";
/// Octets of a report that is made smaller: a thousand recipients, and a message that was returned whole.
const REPORT_BYTES_MAX: usize = 8 << 20;
/// Largest message returned whole, in octets; of a larger one only the header section is returned.
const RETURNED_BYTES_MAX: u64 = 256 * 1024;
