//! Writes events as structured log lines. It does not choose what is reported, and it stores nothing.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use tracing::field::{DisplayValue, display};

use super::event::{Event, HandshakeSide};
use super::probes::ProbeBook;
use crate::connector::{Attainment, Decision, HeaderTally, Onward, Partner, RequiredTls};
use crate::mail::{moves_text, rfc3339};
use crate::outcome::{Remote, Trouble, hint_on_decision};

/// Whoever is told of each event besides the log: the tracking store, metrics, alerts. It is called where the event
/// happens, so it must neither wait nor do work that can be done elsewhere.
pub trait Observer: Send + Sync {
    /// An event has happened.
    fn observe(&self, event: &Event<'_>);
}

/// Records events: one log line each, under the target `sealpost::message`, and then each observer. The message of a
/// line is a fixed word or two to search for; everything else is a field.
#[derive(Default)]
pub struct Journal {
    observers: Vec<Arc<dyn Observer>>,
    probes: Arc<ProbeBook>,
}

/// The name of an event that is a fact: what happened to accepted mail, and alarms. Its line is kept while
/// others are dropped because the log is read too slowly.
pub(super) const FACT: &str = "fact";
/// The name of any other event.
const LINE: &str = "line";

/// Writes one line, with the fields that a decision adds, or those given after `of`; nothing is computed while the level is
/// off.
macro_rules! tell {
    ($name:ident, $level:ident, $words:literal, of $decided:expr, $fields:tt) => {
        write_line!($name, $level, $words, $decided, $fields)
    };
    ($name:ident, $level:ident, $words:literal, $decision:expr, $fields:tt) => {
        write_line!($name, $level, $words, DecisionFields::by($decision), $fields)
    };
}

macro_rules! write_line {
    ($name:ident, $level:ident, $words:literal, $decided:expr, { $($field:tt)* }) => {
        if tracing::enabled!(target: "sealpost::message", tracing::Level::$level) {
            let decided = $decided;
            tracing::event!(
                name: $name,
                target: "sealpost::message",
                tracing::Level::$level,
                $($field)*
                connector = decided.connector,
                partner = decided.partner,
                contact = decided.contact,
                required = decided.required,
                attained = decided.attained,
                because = decided.reason,
                token = decided.token,
                tls_version = decided.tls_version,
                tls_suite = decided.tls_suite,
                certificate_sha256 = decided.certificate_sha256,
                own_certificate_sha256 = decided.own_certificate_sha256,
                $words
            );
        }
    };
}

impl Journal {
    /// A journal that tells these observers too.
    #[must_use]
    pub fn with(observers: Vec<Arc<dyn Observer>>) -> Self {
        Self { observers, probes: Arc::default() }
    }

    /// The sessions of which observers are not told.
    #[must_use]
    pub fn probes(&self) -> &Arc<ProbeBook> {
        &self.probes
    }

    /// Writes the log line of an event, and tells the observers.
    pub fn record(&self, event: &Event<'_>) {
        Self::write(event);
        if self.probes.covers(event) {
            return;
        }
        for observer in &self.observers {
            observer.observe(event);
        }
    }

    fn write(event: &Event<'_>) {
        match event {
            Event::Accepted { .. } => Self::record_accepted(event),
            Event::Refused { .. }
            | Event::RefusedAgain { .. }
            | Event::Omitted { .. }
            | Event::SessionEnded { .. }
            | Event::ClearFallback { .. }
            | Event::KeySharesOmitted { .. }
            | Event::Waived { .. } => Self::record_session(event),
            Event::Handshake { .. } => Self::record_handshake(event),
            // The lines are those of `Refused`, as many as may be; the last line of all is the program's.
            Event::RefusalCounted { .. } | Event::Stopped => {}
            Event::Delivered { .. } => Self::record_delivered(event),
            Event::Deferred { .. } | Event::Rerouted { .. } | Event::Failed { .. } => {
                Self::record_recipient(event);
            }
            Event::Reported { .. }
            | Event::Held { .. }
            | Event::LinesDropped { .. }
            | Event::Alarm { .. } => Self::record_message(event),
            Event::Started { .. }
            | Event::Handled { .. }
            | Event::Reloaded { .. }
            | Event::Override { .. }
            | Event::Validated { .. }
            | Event::PartnerChanged { .. }
            | Event::AlarmChanged { .. } => Self::record_operation(event),
        }
    }

    fn record_accepted(event: &Event<'_>) {
        let Event::Accepted { message, peer, recipients, times: _, findings, decision } = event else {
            return;
        };
        let tally = Some(&findings.tally);
        tell!(FACT, INFO, "accepted", Some(decision), {
            id = %message.id,
            peer = %peer,
            reverse_path = %Line(message.reverse_path.as_str()),
            recipients = recipients.len(),
            size = message.size,
            message_id = line(message.message_id),
            stripped = stripped(tally),
            stripped_fields = stripped_fields(tally),
            promoted = promoted(tally),
            onward = (findings.demand.level > Onward::Any).then(|| display(findings.demand.level.word())),
            raised_by = line(findings.demand.raised_by.as_deref()),
        });
    }

    fn record_session(event: &Event<'_>) {
        if let Event::Refused { peer, stage, reverse_path, forward_path, reply, decision } = event {
            tell!(LINE, INFO, "refused", decision.map(|decision| &**decision), {
                peer = %peer,
                stage = stage,
                reverse_path = line(reverse_path.map(|path| path.as_str())),
                forward_path = line(*forward_path),
                reply = %Line(&reply.to_string()),
            });
        }
        if let Event::RefusedAgain { peer, stage, code, count } = event {
            tell!(LINE, INFO, "refused again", None, { peer = %peer, stage = stage, code = code, count = count, });
        }
        if let Event::Omitted { network, count } = event {
            let network = network.map_or_else(|| "others".to_owned(), ToString::to_string);
            tell!(LINE, WARN, "not logged", None, { network = %network, count = count, });
        }
        if let Event::SessionEnded { peer, reason } = event {
            tell!(LINE, INFO, "session ended", None, { peer = %peer, reason = %Line(reason), });
        }
        if let Event::ClearFallback { host, decision } = event {
            tell!(LINE, WARN, "sent in plaintext", Some(decision), {
                host = %Line(host),
                hint = line(hint_on_decision(decision)),
            });
        }
        if let Event::KeySharesOmitted { host, connector, reason } = event {
            tell!(LINE, WARN, "post-quantum omitted", None, {
                host = %Line(host),
                outbound = %Line(connector),
                reason = %Line(reason),
            });
        }
        if let Event::Waived { host, decision } = event {
            tell!(LINE, WARN, "waived in audit", Some(decision), {
                host = %Line(host),
                hint = line(hint_on_decision(decision)),
            });
        }
    }

    fn record_handshake(event: &Event<'_>) {
        let Event::Handshake { side, peer, took, result } = event else { return };
        let (listener, outbound) = match side {
            HandshakeSide::Inbound(listener) => (Some(*listener), None),
            HandshakeSide::Outbound(connector) => (None, Some(*connector)),
        };
        tell!(LINE, DEBUG, "handshake", None, {
            peer = %peer,
            listener = line(listener),
            outbound = line(outbound),
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            version = result.as_ref().ok().map(display),
            reason = line(result.as_ref().err().map(|fault| &fault.words)),
        });
    }

    fn record_delivered(event: &Event<'_>) {
        let Event::Delivered { message, forward_path, delivered, delay, rerouted_from } = event else {
            return;
        };
        let tally = delivered.content.tally.as_deref();
        tell!(FACT, INFO, "delivered", Some(&delivered.decision), {
            id = %message.id,
            reverse_path = %Line(message.reverse_path.as_str()),
            message_id = line(message.message_id),
            forward_path = %Line(forward_path.as_str()),
            host = %Line(&delivered.host),
            reply = %Line(&delivered.reply.to_string()),
            delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            converted = delivered.content.converted.then_some(true),
            stripped = stripped(tally),
            stripped_fields = stripped_fields(tally),
            promoted = promoted(tally),
            rerouted_from = line(*rerouted_from),
        });
    }

    fn record_recipient(event: &Event<'_>) {
        if let Event::Deferred { message, forward_path, outbound, trouble, next_at, rerouted_from } = event {
            tell!(FACT, WARN, "deferred", trouble.decision.as_deref(), {
                id = %message.id,
                reverse_path = %Line(message.reverse_path.as_str()),
                message_id = line(message.message_id),
                forward_path = %Line(forward_path.as_str()),
                outbound = %Line(outbound),
                status = %trouble.status,
                reason = %Line(&trouble.reason),
                host = host(trouble),
                reply = line(reply(trouble)),
                hint = line(trouble.hint()),
                next_at = %rfc3339(*next_at),
                rerouted_from = line(*rerouted_from),
            });
        }
        if let Event::Rerouted { message, forward_path, outbound, trouble, to } = event {
            tell!(FACT, WARN, "rerouted", trouble.decision.as_deref(), {
                id = %message.id,
                reverse_path = %Line(message.reverse_path.as_str()),
                message_id = line(message.message_id),
                forward_path = %Line(forward_path.as_str()),
                outbound = %Line(outbound),
                to = %Line(to),
                status = %trouble.status,
                reason = %Line(&trouble.reason),
                host = host(trouble),
                reply = line(reply(trouble)),
                hint = line(trouble.hint()),
            });
        }
        if let Event::Failed { message, forward_path, outbound, trouble, rerouted_from } = event {
            tell!(FACT, WARN, "failed", trouble.decision.as_deref(), {
                id = %message.id,
                reverse_path = %Line(message.reverse_path.as_str()),
                message_id = line(message.message_id),
                forward_path = %Line(forward_path.as_str()),
                outbound = %Line(outbound),
                status = %trouble.status,
                reason = %Line(&trouble.reason),
                host = host(trouble),
                reply = line(reply(trouble)),
                hint = line(trouble.hint()),
                rerouted_from = line(*rerouted_from),
            });
        }
    }

    fn record_message(event: &Event<'_>) {
        if let Event::Reported { id, kind, report: Some(report) } = event {
            tell!(FACT, INFO, "reported", None, { id = %id, kind = kind, report = %report, });
        }
        if let Event::Reported { id, kind, report: None } = event {
            tell!(FACT, INFO, "not reported", None, { id = %id, kind = kind, });
        }
        if let Event::Held { id, reason } = event {
            tell!(FACT, WARN, "held", None, { id = %id, reason = %Line(reason), });
        }
        if let Event::LinesDropped { count, facts: 0, kinds } = event {
            tell!(FACT, WARN, "lines dropped", None, { count = count, kinds = %Line(kinds), });
        }
        if let Event::LinesDropped { count, facts: facts @ 1.., kinds } = event {
            tell!(FACT, ERROR, "lines dropped", None, { count = count, facts = facts, kinds = %Line(kinds), });
        }
        if let Event::Alarm { topic: _, what } = event {
            tell!(FACT, ERROR, "alarm", None, { what = %Line(what), });
        }
    }

    /// What operators do, and what the daemon finds by itself.
    fn record_operation(event: &Event<'_>) {
        if let Event::Started { version } = event {
            tell!(FACT, INFO, "started", None, { version = %Line(version), });
        }
        if let Event::Handled { id, handling, by } = event {
            tell!(FACT, INFO, "handled", None, { id = %id, handling = handling.word(), by = %Line(by), });
        }
        if let Event::Reloaded { generation, weaker } = event {
            let weaker = (!weaker.is_empty()).then(|| weaker.join("; "));
            tell!(FACT, INFO, "reloaded", None, { generation = generation, weaker = line(weaker), });
        }
        if let Event::Override { connector, level, words } = event {
            tell!(FACT, WARN, "override", None, {
                outbound = %Line(connector),
                level = line(*level),
                words = %Line(words),
            });
        }
        if let Event::Validated { connector, partner: _, holds, words } = event {
            tell!(FACT, INFO, "validated", None, {
                outbound = %Line(connector),
                holds = holds,
                words = %Line(words),
            });
        }
        if let Event::PartnerChanged { connector, partner, domain, host, change } = event
            && change.is_worse()
        {
            tell!(FACT, WARN, "partner changed", of DecisionFields::of_connector(connector, *partner, true), {
                domain = line(*domain),
                host = %Line(host),
                change = %change.word(),
                words = %Line(change),
            });
        }
        if let Event::PartnerChanged { connector, partner, domain, host, change } = event
            && !change.is_worse()
        {
            tell!(FACT, INFO, "partner changed", of DecisionFields::of_connector(connector, *partner, false), {
                domain = line(*domain),
                host = %Line(host),
                change = %change.word(),
                words = %Line(change),
            });
        }
        if let Event::AlarmChanged { kind, raised: true, what, .. } = event {
            tell!(FACT, ERROR, "alarm", None, { kind = kind, what = %Line(what), });
        }
        if let Event::AlarmChanged { kind, raised: false, what, .. } = event {
            tell!(FACT, INFO, "alarm cleared", None, { kind = kind, what = %Line(what), });
        }
    }
}

/// The fields that a decision adds to a line; their text is composed as the line is written.
#[derive(Default)]
struct DecisionFields<'a> {
    connector: Option<DisplayValue<Line<&'a str>>>,
    partner: Option<DisplayValue<Line<&'a str>>>,
    /// Only where there is something to ask about.
    contact: Option<DisplayValue<Line<&'a str>>>,
    required: Option<DisplayValue<Line<&'a RequiredTls>>>,
    attained: Option<DisplayValue<Line<&'a Attainment>>>,
    reason: Option<DisplayValue<Line<String>>>,
    token: Option<DisplayValue<Line<Cow<'static, str>>>>,
    tls_version: Option<DisplayValue<crate::connector::TlsVersion>>,
    tls_suite: Option<DisplayValue<Line<&'a str>>>,
    certificate_sha256: Option<DisplayValue<Line<&'a str>>>,
    own_certificate_sha256: Option<DisplayValue<Line<&'a str>>>,
}

impl<'a> DecisionFields<'a> {
    /// Of a connector that decided nothing: its name, its partner, and whether there is something to ask about.
    fn of_connector(connector: &'a str, partner: Option<&'a Partner>, ask: bool) -> Self {
        Self {
            connector: line(Some(connector)),
            partner: line(partner.map(|partner| &*partner.name)),
            contact: line(partner.filter(|_| ask).and_then(|partner| partner.contact.as_deref())),
            ..Self::default()
        }
    }

    fn by(decision: Option<&'a Decision>) -> Self {
        let Some(decision) = decision else { return Self::default() };
        let tls = decision.tls();
        Self {
            connector: line(decision.connector.as_deref()),
            partner: line(decision.partner.as_ref().map(|partner| &*partner.name)),
            contact: line(decision.contact().filter(|_| decision.lacks_something())),
            required: line(Some(&decision.required)),
            attained: line(Some(&decision.attained)),
            reason: line(Some(decision.reason())),
            token: line(Some(decision.token())),
            tls_version: tls.map(|facts| display(facts.version)),
            tls_suite: line(tls.map(|facts| facts.suite.as_str())),
            certificate_sha256: line(tls.and_then(|f| f.certificate()).map(|c| c.sha256.as_str())),
            own_certificate_sha256: line(tls.and_then(|f| f.own_sha256.as_deref())),
        }
    }
}

/// The number of header fields that were removed, if any were.
fn stripped(tally: Option<&HeaderTally>) -> Option<usize> {
    tally.map(|tally| tally.stripped).filter(|count| *count > 0)
}

fn stripped_fields(tally: Option<&HeaderTally>) -> Option<DisplayValue<Line<&HeaderTally>>> {
    line(tally.filter(|tally| tally.stripped > 0))
}

fn promoted(tally: Option<&HeaderTally>) -> Option<usize> {
    tally.map(|tally| tally.promoted).filter(|count| *count > 0)
}

fn host(trouble: &Trouble) -> Option<DisplayValue<Line<&str>>> {
    line(trouble.remote.as_ref().map(|remote| remote.host.as_str()))
}

fn reply(trouble: &Trouble) -> Option<String> {
    let Remote { reply, .. } = trouble.remote.as_ref()?;
    reply.as_ref().map(ToString::to_string)
}

fn line<T: fmt::Display>(text: Option<T>) -> Option<DisplayValue<Line<T>>> {
    text.map(|text| display(Line(text)))
}

/// Text kept on one line: peer input must not look like a line of ours.
pub(super) struct Line<T>(pub(super) T);

impl<T: fmt::Display> fmt::Display for Line<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(EscapingWriter(f), "{}", self.0)
    }
}

/// Passes text on, escaping everything that could start a new line or move the cursor.
struct EscapingWriter<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for EscapingWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.contains(moves_text) {
            return self.0.write_str(text);
        }
        text.chars().try_for_each(|c| {
            if moves_text(c) { write!(self.0, "{}", c.escape_default()) } else { self.0.write_char(c) }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::connector::{Forced, Requirement, Ruling, Shortfall, TlsVersion};
    use crate::mail::{Enhanced, Mailbox, QueueId, Reply, ReversePath, UnixMillis};
    use crate::outcome::{Cause, ContentRecord, DeliveryRecord, Scope};
    use crate::tracking::{AlarmTopic, MessageFacts};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[track_caller]
    fn check(event: &Event<'_>, expected: &str) {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .fmt_fields(crate::tracking::QuotedFields)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || Journal::default().record(event));
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.trim(), expected);
    }

    fn decision() -> Arc<Decision> {
        Arc::new(Decision {
            connector: Some("fabrikam-out".into()),
            partner: None,
            host: None,
            required: RequiredTls::Session(Requirement::Forced(Forced::encryption())),
            attained: Attainment::Plaintext,
            ruling: Ruling::Withheld(Shortfall::NotOffered),
        })
    }

    #[test]
    fn an_event_is_one_line_whatever_the_peer_said() {
        let forward_path = &Mailbox::parse("a@b.example").unwrap();
        let message = MessageFacts {
            id: QueueId::first_of(1_795_469_756_000),
            reverse_path: &ReversePath::parse("s@a.example").unwrap(),
            message_id: Some("1@a.example"),
            subject: None,
            size: 7,
            came_by: None,
        };
        let trouble = &Trouble {
            status: Enhanced(4, 7, 4),
            cause: Cause::Requirement,
            reason: "odd\r\nanswer \u{202e}\u{2066}".to_owned(),
            remote: Some(Remote {
                host: "mx.b.example [192.0.2.7]:25".to_owned(),
                reply: Some(Reply::bare(454, "later\r\u{1b}")),
            }),
            decision: Some(decision()),
            scope: Scope::Lane,
            expired: false,
        };
        check(
            &Event::Deferred {
                message,
                forward_path,
                outbound: "fabrikam-out",
                trouble,
                next_at: UnixMillis(1_795_469_756_000),
                rerouted_from: None,
            },
            "WARN sealpost::message: deferred id=01M855CHK0000 reverse_path=s@a.example message_id=1@a.example forward_path=a@b.example outbound=fabrikam-out status=4.7.4 \
             reason=\"odd\\\\r\\\\nanswer \\\\u{202e}\\\\u{2066}\" host=\"mx.b.example [192.0.2.7]:25\" reply=\"454 later\\\\r\\\\u{1b}\" \
             next_at=2026-11-23T21:35:56Z connector=fabrikam-out required=\"TLSv1.2 or later, any certificate\" \
             attained=plaintext because=\"TLS is required, and STARTTLS is not offered\" token=starttls-not-offered",
        );
        let delivered = &DeliveryRecord {
            reports_on: false,
            content: ContentRecord::default(),
            host: "mx".to_owned(),
            reply: Reply::new(250, Enhanced(2, 0, 0), "ok"),
            decision: decision(),
        };
        check(
            &Event::Delivered {
                message,
                forward_path,
                delivered,
                delay: Duration::from_millis(12),
                rerouted_from: Some("bank"),
            },
            "INFO sealpost::message: delivered id=01M855CHK0000 reverse_path=s@a.example message_id=1@a.example forward_path=a@b.example host=mx \
             reply=\"250 2.0.0 ok\" delay_ms=12 rerouted_from=bank connector=fabrikam-out required=\"TLSv1.2 or later, any certificate\" \
             attained=plaintext because=\"TLS is required, and STARTTLS is not offered\" token=starttls-not-offered",
        );
        check(
            &Event::Handshake {
                side: HandshakeSide::Outbound("bank"),
                peer: ([192, 0, 2, 7], 25).into(),
                took: Duration::from_millis(7),
                result: Ok(TlsVersion::V13),
            },
            "DEBUG sealpost::message: handshake peer=192.0.2.7:25 outbound=bank took_ms=7 version=TLSv1.3",
        );
        check(
            &Event::Alarm { topic: AlarmTopic::Other, what: "disk" },
            "ERROR sealpost::message: alarm what=disk",
        );
    }
}
