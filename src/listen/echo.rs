//! The answer to a message for the echo mailbox: gathers the facts, and makes a message of ours of them. It stores
//! nothing.

use std::net::IpAddr;
use std::sync::PoisonError;

use super::ListenerState;
use super::settings::{Listener, ListenerTls};
use crate::connector::{Arrival, NextHop, Outbound, Table, choose};
use crate::echo::{EchoAnswer, EchoCall, ExpectedTls, OwnListener, Silence, compose};
use crate::mail::{BodyType, Domain, Envelope, Mailbox, MessageDsn, QueueId, ReversePath, UnixMillis};
use crate::smtp::receive::ReceivedMessage;
use crate::spool::{LaneKey, NewContent, NewMessage, Origin};

/// Where and when a message came.
#[derive(Clone, Copy)]
pub(super) struct EchoArrival<'a> {
    pub(super) listener: &'a str,
    pub(super) peer: IpAddr,
    pub(super) now: UnixMillis,
}

/// The answer to a message for the echo mailbox.
///
/// # Errors
/// Why there is none.
pub(super) fn answer(
    shared: &ListenerState,
    (message, call): (&ReceivedMessage, &EchoCall),
    at: EchoArrival<'_>,
) -> Result<NewMessage, Silence> {
    let table = shared.live.table();
    let mailbox = table.ourselves.echo.as_ref().ok_or(Silence::Off)?;
    let to = call.answerable(mailbox, &message.envelope.reverse_path)?;
    let choice = choose(&table, to.domain_name(), Arrival::Ours).ok_or(Silence::NoRoute)?;
    // Each change is complete, even if a holder panicked.
    let mut quota = shared.echo.lock().unwrap_or_else(PoisonError::into_inner);
    quota.take(mailbox, to.domain(), at.now)?;
    drop(quota);
    let name = &shared.settings.name;
    let id = shared.spool.new_id(at.now);
    let listener = shared.settings.listeners.iter().find(|listener| listener.name == at.listener);
    let content = compose(&EchoAnswer {
        id,
        name,
        from: &mailbox.address,
        to,
        call,
        now: at.now,
        peer: at.peer,
        connector: &message.connector,
        decision: &message.decision,
        listener: listener.map(|listener| shown(listener, &table)),
        expected: expected(&choice.connector, to, &table, name),
    });
    Ok(NewMessage {
        id,
        envelope: Envelope {
            reverse_path: ReversePath::NULL,
            recipients: vec![to.clone().into()],
            body: BodyType::SevenBit,
            utf8: false,
            dsn: MessageDsn::default(),
        },
        lanes: vec![LaneKey::of(&choice.connector, to.domain())],
        content: NewContent::Held(content.into()),
        accepted_at: at.now,
        origin: Origin {
            message_id: Some(format!("{id}@{name}")),
            // It reveals of the message no more than a report would.
            onward: message.findings.demand.for_reports(),
            ..Origin::default()
        },
        rerouted: None,
    })
}

/// The kind of report that an answer is, or why there is none; and its queue ID.
pub(super) fn in_a_word(echoed: &Result<NewMessage, Silence>) -> (&'static str, Option<QueueId>) {
    match echoed {
        Ok(answer) => ("echo", Some(answer.id)),
        Err(silence) => (silence.token(), None),
    }
}

fn shown<'a>(listener: &Listener, table: &'a Table) -> OwnListener<'a> {
    let tls = match listener.tls {
        ListenerTls::Off => "not offered",
        ListenerTls::StartTls => "STARTTLS is offered",
        ListenerTls::Required => "STARTTLS is required",
        ListenerTls::Implicit => "from the first octet",
    };
    let certificates = &table.ourselves.certificates;
    let certificates = listener.certificates.iter().filter_map(|id| certificates.get(id.as_str())).collect();
    OwnListener { tls, profile: listener.profile, certificates }
}

fn expected<'a>(
    connector: &'a Outbound,
    to: &Mailbox,
    table: &'a Table,
    name: &'a Domain,
) -> ExpectedTls<'a> {
    let smart = match &connector.next_hop {
        NextHop::SmartHosts(hosts) => hosts.first().map(|host| &host.name),
        NextHop::Mx { .. } => None,
    };
    let certificate = connector.client_certificate.as_ref();
    ExpectedTls {
        ehlo: connector.ehlo_name.as_ref().unwrap_or(name),
        requirement: connector.requirement(to.domain_name(), smart),
        certificate: certificate.and_then(|id| table.ourselves.certificates.get(id)),
    }
}
