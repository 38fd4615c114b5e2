//! What is told of an attempt: events, and reports to the reverse-path.

use super::run::Scheduler;
use super::settle::{Verdict, Work};
use crate::connector::choose;
use crate::mail::{Content, Envelope, Mailbox, QueueId, ReversePath, UnixMillis};
use crate::outcome::Trouble;
use crate::outcome::dsn::{self, HEADER_BYTES_MAX, Kind, Report, Told};
use crate::spool::{LaneKey, NewContent, NewMessage, Origin, QueuedRecipient};
use crate::tracking::Event;

/// The reports that an attempt caused.
#[derive(Default)]
pub(super) struct Reports {
    pub(super) messages: Vec<NewMessage>,
    /// For each kind of report due: the report, if one could be made.
    pub(super) told: Vec<(&'static str, Option<QueueId>)>,
}

impl Scheduler {
    /// Tells what became of each recipient.
    pub(super) fn tell_verdicts(&self, work: &Work, now: UnixMillis) {
        let id = work.message.id;
        for (recipient, verdict) in &work.verdicts {
            let forward_path = &recipient.forward_path;
            self.journal.record(&match verdict {
                Verdict::Delivered(delivered) => Event::Delivered {
                    id,
                    forward_path,
                    delivered,
                    delay: now.since(work.message.accepted_at),
                },
                Verdict::Failed(trouble) => Event::Failed { id, forward_path, trouble },
                Verdict::Deferred { trouble, next_at, .. } => {
                    Event::Deferred { id, forward_path, trouble, next_at: *next_at }
                }
            });
        }
    }

    /// Composes the reports due: one for all recipients that failed, one for all that are late.
    pub(super) async fn reports(&self, work: &Work, now: UnixMillis) -> Reports {
        let mut reports = Reports::default();
        let failed: Vec<_> = work.failed().collect();
        let late: Vec<_> = work.late().collect();
        if failed.is_empty() && late.is_empty() {
            return reports;
        }
        // RFC 5321 §4.5.5: nobody is told of what has no reverse-path.
        let Some(to) = work.message.reverse_path.mailbox() else {
            reports.told.extend((!failed.is_empty()).then_some((Kind::Failed.word(), None)));
            return reports;
        };
        let header = self.header(work).await;
        let delayed = Kind::Delayed { until: work.until };
        for (kind, recipients) in [(Kind::Failed, failed), (delayed, late)] {
            if recipients.is_empty() {
                continue;
            }
            let told = told(&recipients);
            let report = self.report_message(work, to, now, &Part { kind, told: &told, header: &header });
            reports.told.push((kind.word(), report.as_ref().map(|message| message.id)));
            reports.messages.extend(report);
        }
        reports
    }

    fn report_message(
        &self,
        work: &Work,
        to: &Mailbox,
        now: UnixMillis,
        part: &Part<'_>,
    ) -> Option<NewMessage> {
        let Some(choice) = choose(&self.live.table(), to.domain_name()) else {
            let what = format!(
                "no outbound connector covers {}: the report about {} can't be sent; add one",
                to.domain(),
                work.message.id
            );
            self.journal.record(&Event::Alarm { what: &what });
            return None;
        };
        let id = self.spool.new_id(now);
        let composed = dsn::compose(&Report {
            kind: part.kind,
            id,
            about: work.message.id,
            reporting_mta: &self.settings.name,
            postmaster: &self.settings.postmaster,
            to,
            arrived_at: work.message.accepted_at,
            now,
            recipients: part.told,
            header: part.header,
        });
        Some(NewMessage {
            id,
            envelope: Envelope {
                reverse_path: ReversePath::NULL,
                recipients: vec![to.clone()],
                body: composed.body,
            },
            lanes: vec![LaneKey::of(&choice.connector, to.domain())],
            content: NewContent::Held(composed.content.into()),
            accepted_at: now,
            origin: Origin {
                message_id: Some(format!("{id}@{}", self.settings.name)),
                // What a report tells of the message is as worth sealing as the message.
                onward_sealed: work.message.origin.onward_sealed,
                ..Origin::default()
            },
        })
    }

    /// The start of a message; nothing where it can't be read, since the report must go all the
    /// same.
    async fn header(&self, work: &Work) -> Vec<u8> {
        let content = match &work.content {
            Some(content) => content.clone(),
            None => match self.spool.read(work.message.id).await {
                Ok(content) => content,
                Err(_) => return Vec::new(),
            },
        };
        match content {
            Content::Held(bytes) => bytes.get(..HEADER_BYTES_MAX).unwrap_or(&bytes).to_vec(),
            Content::Source(_) => {
                tokio::task::spawn_blocking(move || read_start(&content)).await.unwrap_or_default()
            }
        }
    }
}

struct Part<'a> {
    kind: Kind,
    told: &'a [Told<'a>],
    header: &'a [u8],
}

fn told<'a>(recipients: &[(&'a QueuedRecipient, &'a Trouble)]) -> Vec<Told<'a>> {
    recipients
        .iter()
        .map(|(recipient, trouble)| Told { forward_path: &recipient.forward_path, trouble })
        .collect()
}

fn read_start(content: &Content) -> Vec<u8> {
    let mut start = vec![0; HEADER_BYTES_MAX];
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
