//! Carries the content of a message to the spool and waits for the spool's answer before the 250. It does not
//! parse content.

use std::io::{self, Write};
use std::sync::Arc;

use super::ListenerState;
use super::echo::{self, EchoArrival};
use crate::connector::{Decision, Forced, Inbound, InboundTls, Mode};
use crate::echo::Silence;
use crate::mail::{Clock, Mailbox, QueueId, UnixMillis};
use crate::smtp::data::ContentSink;
use crate::smtp::receive::{ReceivedMessage, Reservation, StoreRefusal};
use crate::spool::{BodyWriter, LaneKey, Leased, NewContent, NewMessage, Origin, Pending, SpoolFault};
use crate::tracking::{AlarmTopic, ArrivalTimes, Event, MessageFacts};

/// Takes in the messages of one session, one at a time.
pub(super) struct Intake {
    shared: Arc<ListenerState>,
    listener: Arc<str>,
    id: QueueId,
    body: Body,
    octets: u64,
    /// The connector for which the client's certificate has been recorded in this session.
    noted: Option<Arc<str>>,
}

enum Body {
    /// No message is under way, or its content is discarded.
    Nothing,
    /// Held in memory while it fits.
    Held(Vec<u8>),
    /// Streaming to a file.
    Writing(Box<(Box<dyn BodyWriter>, Reservation)>),
    /// The spool could not take it; reported at the end of content, when the client expects a reply.
    Lost(SpoolFault),
}

impl Intake {
    pub(super) fn new(shared: Arc<ListenerState>, listener: Arc<str>) -> Self {
        Self { shared, listener, id: QueueId::first_of(0), body: Body::Nothing, octets: 0, noted: None }
    }

    /// Makes a received message durable. It may be acknowledged only after `Ok`.
    pub(super) async fn commit(
        &mut self,
        arrived: ReceivedMessage,
        peer: std::net::IpAddr,
    ) -> Result<(), StoreRefusal> {
        let id = arrived.id;
        self.put(arrived, peer).await.map_err(|fault| {
            tracing::error!(%id, %fault, "a message was not taken over");
            match fault {
                SpoolFault::Full(_) => StoreRefusal::Full,
                SpoolFault::Failed(_) | SpoolFault::Broken(_) | SpoolFault::Lost(_) => StoreRefusal::Failed,
            }
        })
    }

    async fn put(&mut self, arrived: ReceivedMessage, peer: std::net::IpAddr) -> Result<(), SpoolFault> {
        let (content, reservation) = self.content().await?;
        let accepted_at = Clock::wall();
        let echoed = self.echoed(&arrived, (peer, accepted_at));
        let ReceivedMessage { id, envelope, ways, connector, decision, findings, message_id, .. } = arrived;
        let recipients = envelope.recipients.iter().zip(&ways);
        let lanes = recipients.map(|(one, way)| LaneKey::of(way, one.forward_path.domain())).collect();
        let (proven, sealed) = (connector.forced().is_some_and(Forced::proves_who), is_sealed(&connector));
        let subject = arrived.subject.filter(|_| self.shared.settings.subjects);
        let reverse_path = envelope.reverse_path.clone();
        let mut recipients: Vec<Mailbox> =
            envelope.recipients.iter().map(|one| one.forward_path.clone()).collect();
        recipients.extend(arrived.echo.map(|call| call.address));
        let origin = Origin {
            connector: Some(Arc::clone(&connector.name)),
            sealed,
            onward: findings.demand.clone(),
            originator: arrived.originator,
            message_id: message_id.clone(),
            subject: subject.clone(),
        };
        // A message that is only for the echo mailbox ends here: its answer takes its place.
        let message = (!envelope.recipients.is_empty()).then(|| NewMessage {
            id,
            envelope,
            lanes,
            content,
            accepted_at,
            origin,
            rerouted: None,
        });
        let reservation = reservation.filter(|_| message.is_some());
        let spent = if reservation.is_some() { 0 } else { self.spend()? };
        let told = echoed.as_ref().map(echo::in_a_word);
        let answer = echoed.and_then(Result::ok);
        let stored = self.store(message, answer).await;
        let leased = stored.inspect_err(|_| self.shared.room.unspend(spent))?;
        reservation.into_iter().for_each(Reservation::keep);
        // The message is ours from here on; logged before it is handed to anyone, so that the log is in
        // order.
        let message = MessageFacts {
            id,
            reverse_path: &reverse_path,
            message_id: message_id.as_deref(),
            subject: subject.as_deref(),
            size: self.octets,
            came_by: Some(&connector.name),
        };
        self.shared.journal.record(&Event::Accepted {
            message,
            peer,
            recipients: &recipients,
            times: ArrivalTimes {
                content: accepted_at.since(arrived.at),
                stored: Clock::wall().since(accepted_at),
            },
            findings: &findings,
            decision: &decision,
        });
        if let Some((kind, report)) = told {
            self.shared.journal.record(&Event::Reported { id, kind, report });
        }
        (self.shared.accepted)(leased);
        self.shared.brakes.accepted(&connector, recipients.len(), || decision.client_text());
        if sealed && proven {
            self.note(&connector.name, &decision);
        }
        Ok(())
    }

    /// The answer to a message for the echo mailbox, or why there is none.
    fn echoed(
        &self,
        arrived: &ReceivedMessage,
        (peer, now): (std::net::IpAddr, UnixMillis),
    ) -> Option<Result<NewMessage, Silence>> {
        let at = EchoArrival { listener: &self.listener, peer, now };
        arrived.echo.as_deref().map(|call| echo::answer(&self.shared, (arrived, call), at))
    }

    /// Stores a message and an answer to it in one commit; either may be missing.
    fn store(
        &self,
        message: Option<NewMessage>,
        answer: Option<NewMessage>,
    ) -> Pending<Result<Vec<Leased>, SpoolFault>> {
        let spool = &self.shared.spool;
        match (message, answer) {
            (Some(message), answer) => spool.put_with(message, answer),
            (None, Some(answer)) => spool.put(answer),
            (None, None) => Box::pin(std::future::ready(Ok(Vec::new()))),
        }
    }

    /// The content that has come, durable if it is in a file.
    async fn content(&mut self) -> Result<(NewContent, Option<Reservation>), SpoolFault> {
        match std::mem::replace(&mut self.body, Body::Nothing) {
            Body::Held(octets) => Ok((NewContent::Held(octets.into()), None)),
            Body::Writing(writing) => {
                let (writer, reserved) = *writing;
                Ok((NewContent::Stored(writer.finish().await?), Some(reserved)))
            }
            Body::Lost(fault) => Err(fault),
            Body::Nothing => Err(SpoolFault::Failed("no content came".to_owned())),
        }
    }

    /// Reserves the space that a message in memory will take.
    fn spend(&self) -> Result<u64, SpoolFault> {
        let octets = self.octets.saturating_add(ROW_BYTES);
        if self.shared.room.spend(octets) { Ok(octets) } else { Err(no_room()) }
    }

    /// Starts a file for content, reserving space for the declared size.
    fn begin(&self, declared: u64) -> Result<Body, SpoolFault> {
        let mut reservation = Reservation::new(Arc::clone(&self.shared.room));
        if !reservation.reserve(declared) {
            return Err(no_room());
        }
        Ok(Body::Writing(Box::new((self.shared.spool.begin_body(self.id)?, reservation))))
    }

    /// Records the certificate a partner presented for a forced requirement, once per session. Raises an
    /// alarm if the issuer has changed or expiry is near.
    fn note(&mut self, connector: &Arc<str>, decision: &Decision) {
        if self.noted.as_ref() == Some(connector) {
            return;
        }
        self.noted = Some(Arc::clone(connector));
        let Some(facts) = decision.tls() else { return };
        let Some(certificate) = facts.certificate() else { return };
        let who = certificate.names.first().map_or_else(|| certificate.subject.clone(), ToString::to_string);
        let (told, kept) = self.shared.seen.partners.saw(
            (connector, decision.partner.as_deref()),
            &who,
            certificate,
            facts.at,
        );
        for what in &told {
            self.shared.journal.record(&Event::Alarm { topic: AlarmTopic::Other, what });
        }
        if let Err(fault) = kept {
            tracing::warn!(%fault, "partners-seen can't be written: only this process remembers it");
        }
    }

    fn take_in(&mut self, octets: &[u8]) -> Result<(), SpoolFault> {
        match &mut self.body {
            Body::Held(held) => {
                if held.len().saturating_add(octets.len()) <= self.shared.settings.limits.held_bytes_max {
                    held.extend_from_slice(octets);
                    return Ok(());
                }
                let held = std::mem::take(held);
                self.body = self.begin(u64_of(held.len()))?;
                self.take_in(&held)?;
                self.take_in(octets)
            }
            Body::Writing(writing) => {
                let (writer, reservation) = &mut **writing;
                let count = u64_of(octets.len());
                if !reservation.reserve(count) {
                    return Err(no_room());
                }
                writer.write_all(octets).map_err(|e| fault_of(&e))?;
                reservation.wrote(count);
                Ok(())
            }
            Body::Nothing | Body::Lost(_) => Ok(()),
        }
    }
}

impl ContentSink for Intake {
    fn open(&mut self, declared: u64) -> (QueueId, UnixMillis) {
        let now = Clock::wall();
        self.id = self.shared.spool.new_id(now);
        self.octets = 0;
        let held_max = self.shared.settings.limits.held_bytes_max;
        self.body = if declared > u64_of(held_max) {
            // It will go to a file anyway: nothing is copied twice.
            self.begin(declared).unwrap_or_else(Body::Lost)
        } else {
            let declared = usize::try_from(declared).unwrap_or(usize::MAX);
            let room = declared.saturating_add(TRACE_BYTES).clamp(FIRST_BYTES.min(held_max), held_max);
            Body::Held(Vec::with_capacity(room))
        };
        (self.id, now)
    }

    fn write(&mut self, octets: &[u8]) {
        self.octets = self.octets.saturating_add(u64_of(octets.len()));
        if let Err(fault) = self.take_in(octets) {
            self.body = Body::Lost(fault);
        }
    }

    fn discard(&mut self) {
        self.body = Body::Nothing;
    }
}

/// Whether mail by this connector came over TLS because that was demanded.
fn is_sealed(connector: &Inbound) -> bool {
    match (&connector.tls, connector.mode) {
        (InboundTls::Forced(_), Mode::Enforce) => true,
        // Audit mode may have waived the requirement.
        (InboundTls::Forced(_), Mode::Audit | Mode::Off) => false,
        (InboundTls::Off | InboundTls::Opportunistic, _) => false,
    }
}

fn no_room() -> SpoolFault {
    SpoolFault::Full("what is left above free_disk is promised to other messages".to_owned())
}

fn u64_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn fault_of(fault: &io::Error) -> SpoolFault {
    let text = format!("writing a body: {fault}");
    if matches!(fault.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return SpoolFault::Full(text);
    }
    SpoolFault::Failed(text)
}

/// Octets of a message's rows, and of the page its content does not fill.
const ROW_BYTES: u64 = 4_096;
/// Initial buffer, in octets, if the client declared no size.
const FIRST_BYTES: usize = 2_048;
/// Octets of a typical Received field and of dot-stuffing.
const TRACE_BYTES: usize = 512;
