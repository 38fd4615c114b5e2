//! Delivery status notifications (RFC 3464): composes a multipart/report of three parts in wire form. It
//! returns the message's header section, or all of it if requested, and sends nothing.
//!
//! A report is stored before its next hop is known, so it is composed to pass every host: lines of printable ASCII,
//! whatever peers said and senders wrote. Only an address in UTF-8 needs a host that accepts it.

use std::fmt::Write;

use encodify::qp;
use mail_parser::{HeaderName, MessageParser};

use super::Trouble;
use crate::connector::Rerouting;
use crate::mail::{Mailbox, QueueId, from_xtext, printable_ascii, rfc5322};

mod cause;
mod letter;
mod report;
mod returned;
mod shorter;
mod text;

pub use report::{Addressee, Detail, Fate, HEADER_BYTES_MAX, Kind, NoSender, Report, ReportedRecipient};
pub use shorter::{is_refused_for_its_form, shortened};

use letter::letter;
use returned::{ReturnedPart, header_section};
use text::{address, address_type, original_address, wrapped};
pub(crate) use text::{paragraphs, stuffed};

/// Composes a report in wire form. It is 7-bit, except for an address in UTF-8 in its own header, which only a host with
/// SMTPUTF8 accepts anyway (RFC 6533 §5).
#[must_use]
pub fn compose(report: &Report<'_>) -> Vec<u8> {
    let message = if report.discreet { &[] } else { report.message };
    let header = header_section(message, report.detail);
    let chars_max = value_chars_max(report.recipients.len());
    let lines = paragraphs(&explanation(report, subject(&header).as_deref()), chars_max);
    let (charset, lines) = if lines.is_ascii() {
        ("us-ascii", lines)
    } else {
        ("utf-8\r\nContent-Transfer-Encoding: quoted-printable", qp::BODY.encode(&lines))
    };
    let fields = status_fields(report);
    let whole = (report.whole && !report.discreet).then(|| ReturnedPart::message(message)).flatten();
    let returned = whole.unwrap_or_else(|| ReturnedPart::header(&header));
    let boundary = boundary(report.id, &[lines.as_bytes(), fields.as_bytes(), &returned.content]);
    let encoding = if returned.quoted { "Content-Transfer-Encoding: quoted-printable\r\n" } else { "" };
    let text = format!(
        "{}\r\n--{boundary}\r\nContent-Type: text/plain; charset={charset}\r\n\r\n{lines}\
         \r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n{fields}\
         \r\n--{boundary}\r\nContent-Type: {}\r\n{encoding}\r\n",
        head(report, &boundary),
        returned.kind,
    );
    let mut content = stuffed(text.as_bytes());
    content.extend_from_slice(&returned.content);
    content.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    content
}

fn head(report: &Report<'_>, boundary: &str) -> String {
    let subject = match report.kind {
        Kind::Failed if report.addressee != Addressee::Sender => "A message was not delivered",
        Kind::Failed => "Your message was not delivered",
        Kind::Delayed { .. } => "Your message is delayed; we keep trying",
        Kind::Relayed => "Your message was handed on",
    };
    // RFC 3834 §5: keeps automatic responders from replying.
    format!(
        "From: \"Mail Delivery System\" <{}>\r\nTo: <{}>\r\nSubject: {subject}\r\nDate: {}\r\n\
         Message-ID: <{}@{}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n",
        from(report.postmaster),
        report.to,
        rfc5322(report.now),
        report.id,
        report.reporting_mta,
    )
}

/// Who a report comes from: a postmaster in UTF-8 under the name that every domain has (RFC 5321 §4.5.1).
fn from(postmaster: &Mailbox) -> String {
    if postmaster.is_ascii() {
        return postmaster.to_string();
    }
    format!("postmaster@{}", postmaster.domain())
}

/// The first part as paragraphs separated by empty lines: for the reader, then for administrators.
fn explanation(report: &Report<'_>, subject: Option<&str>) -> Vec<String> {
    let mut lines = letter(report, subject);
    lines.push("Details for administrators:".to_owned());
    for recipient in report.recipients {
        lines.push(String::new());
        lines.push(format!("<{}>", recipient.forward_path));
        if let (Some(Rerouting { from, to, status, reason, .. }), Detail::Full) =
            (recipient.rerouted, report.detail)
        {
            // The reason may quote another server.
            let reason = reason.trim_end_matches('.');
            let reason = if report.discreet { String::new() } else { format!(": {reason}") };
            lines.push(format!("  First: connector {from} could not send it{reason} ({status})."));
            lines.push(format!("  Then: it was handed to connector {to}."));
        }
        let detail = report.detail_of(recipient.fate);
        match recipient.fate {
            Fate::Trouble(trouble) => explain_trouble(trouble, (report, detail), &mut lines),
            Fate::Relayed(delivered) if detail == Detail::Full => {
                lines.push(format!("  Host: {}", delivered.host));
                lines.push(format!("  It said: {}", delivered.reply));
            }
            Fate::Relayed(_) => lines.push("  Status: 2.0.0".to_owned()),
        }
    }
    lines.push(String::new());
    lines.push(format!("This report was made by {}; queue id {}.", report.reporting_mta, report.about));
    lines
}

fn explain_trouble(trouble: &Trouble, (report, detail): (&Report<'_>, Detail), lines: &mut Vec<String>) {
    if detail == Detail::Full {
        lines.push(format!("  Reason: {}.", trouble.reason.trim_end_matches('.')));
        if let Some(decision) = &trouble.decision {
            lines.push(format!("  Required: {}", decision.required));
            lines.push(format!("  Attained: {}", decision.attained));
            let connector = decision.connector.as_deref().unwrap_or("none");
            lines.push(format!("  Connector: {connector} ({})", decision.token()));
            if let Some(partner) = &decision.partner {
                let name = if report.names_contacts { partner.to_string() } else { partner.name.to_string() };
                lines.push(format!("  Partner: {name}"));
            }
        }
        if let Some(remote) = &trouble.remote {
            lines.push(format!("  Host: {}", remote.host));
            if let Some(reply) = &remote.reply {
                lines.push(format!("  It said: {reply}"));
            }
        }
        if let Some(hint) = trouble.hint() {
            lines.push(format!("  Hint: {hint}"));
        }
    }
    lines.push(format!("  Status: {}", trouble.status));
}

/// The second part: the delivery status fields (RFC 3464 §2).
fn status_fields(report: &Report<'_>) -> String {
    let chars_max = value_chars_max(report.recipients.len());
    let field = |out: &mut String, name: &str, value: &str| field(out, chars_max, name, value);
    let mut fields = String::new();
    if let Some(envid) = report.envid {
        field(&mut fields, "Original-Envelope-Id", &from_xtext(envid));
    }
    let _infallible = write!(
        fields,
        "Reporting-MTA: dns; {}\r\nX-Sealpost-Queue-ID: {}\r\nArrival-Date: {}\r\n",
        report.reporting_mta,
        report.about,
        rfc5322(report.arrived_at)
    );
    for recipient in report.recipients {
        fields.push_str("\r\n");
        if let Some((kind, original)) = recipient.dsn.orcpt.as_ref().and_then(|orcpt| orcpt.split_once(';')) {
            field(
                &mut fields,
                "Original-Recipient",
                &format!("{kind}; {}", original_address(kind, original)),
            );
        }
        let path = recipient.forward_path;
        let value = format!("{}; {}", address_type(path), address(path));
        field(&mut fields, "Final-Recipient", &value);
        field(&mut fields, "Action", report.kind.word());
        match (recipient.fate, report.detail_of(recipient.fate)) {
            (Fate::Trouble(trouble), Detail::Full) => trouble_fields(trouble, chars_max, &mut fields),
            (Fate::Trouble(trouble), Detail::Codes) => trouble_codes(trouble, chars_max, &mut fields),
            (Fate::Relayed(_), Detail::Codes) => field(&mut fields, "Status", "2.0.0"),
            (Fate::Relayed(delivered), Detail::Full) => {
                field(&mut fields, "Status", "2.0.0");
                field(&mut fields, "Remote-MTA", &format!("dns; {}", host_name(&delivered.host)));
                field(&mut fields, "Diagnostic-Code", &format!("smtp; {}", delivered.reply));
            }
        }
        if let (Some(rerouting), Detail::Full) = (recipient.rerouted, report.detail) {
            let Rerouting { from, to, status, .. } = rerouting;
            field(&mut fields, "X-Sealpost-Rerouted", &format!("from {from} to {to}; {status}"));
        }
        field(&mut fields, "Last-Attempt-Date", &rfc5322(report.now));
        if let Kind::Delayed { until } = report.kind {
            field(&mut fields, "Will-Retry-Until", &rfc5322(until));
        }
    }
    fields
}

fn trouble_fields(trouble: &Trouble, chars_max: usize, fields: &mut String) {
    let mut field = |name: &str, value: &str| field(fields, chars_max, name, value);
    field("Status", &trouble.status.to_string());
    if let Some(remote) = &trouble.remote {
        field("Remote-MTA", &format!("dns; {}", host_name(&remote.host)));
    }
    match (trouble.remote.as_ref().and_then(|r| r.reply.as_ref()), &trouble.decision) {
        (Some(reply), _) => field("Diagnostic-Code", &format!("smtp; {reply}")),
        (None, Some(decision)) => field("Diagnostic-Code", &format!("X-Sealpost; {}", decision.token())),
        (None, None) => field("Diagnostic-Code", &format!("X-Sealpost; {}", trouble.reason)),
    }
    if let Some(hint) = trouble.hint() {
        field("X-Sealpost-Hint", hint.token);
    }
    if let Some(decision) = &trouble.decision {
        field("X-Sealpost-Decision", &decision.token());
        field("X-Sealpost-Connector", decision.connector.as_deref().unwrap_or("none"));
        field("X-Sealpost-Required", &decision.required.to_string());
        field("X-Sealpost-Attained", &decision.attained.to_string());
    }
}

/// The fields of a trouble without details: a reply may name the server, and a decision names the connector
/// and host.
fn trouble_codes(trouble: &Trouble, chars_max: usize, fields: &mut String) {
    field(fields, chars_max, "Status", &trouble.status.to_string());
    if let Some(reply) = trouble.remote.as_ref().and_then(|remote| remote.reply.as_ref()) {
        let enhanced = reply.enhanced.map_or_else(String::new, |enhanced| format!(" {enhanced}"));
        field(fields, chars_max, "Diagnostic-Code", &format!("smtp; {}{enhanced}", reply.code));
    }
}

/// The name of a host that is given with address and port, or else its address (RFC 5321 §4.1.3): a port is part of
/// neither (RFC 3464 §2.1.2).
fn host_name(host: &str) -> String {
    let (name, address) = host.split_once('[').unwrap_or((host, ""));
    let address = address.split(']').next().unwrap_or_default();
    match name.trim().split([' ', ':']).next() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ if address.contains(':') => format!("[IPv6:{address}]"),
        _ => format!("[{address}]"),
    }
}

/// One field, folded at spaces; the peer's text is cut to the maximum for a field.
fn field(out: &mut String, chars_max: usize, name: &str, value: &str) {
    let value: String = printable_ascii(value).chars().take(chars_max).collect();
    let folded = wrapped(&format!("{name}: {value}"), "\t");
    out.push_str(&folded.join("\r\n"));
    out.push_str("\r\n");
}

/// Maximum length of a value: a peer's text appears up to twice per recipient, and a message may have a
/// thousand recipients.
fn value_chars_max(recipients: usize) -> usize {
    if recipients > RECIPIENTS_MANY { VALUE_CHARS_MAX_MANY } else { VALUE_CHARS_MAX }
}

fn subject(header: &[u8]) -> Option<String> {
    let message = MessageParser::new()
        .header_text(HeaderName::Subject)
        .default_header_ignore()
        .parse_headers(header)?;
    let subject = message.subject()?.trim();
    (!subject.is_empty()).then(|| subject.chars().take(120).collect())
}

/// A boundary that is in none of the parts.
fn boundary(id: QueueId, parts: &[&[u8]]) -> String {
    let mut boundary = format!("=_{id}");
    while parts.iter().any(|part| memchr::memmem::find(part, boundary.as_bytes()).is_some()) {
        boundary.push('=');
    }
    boundary
}

const VALUE_CHARS_MAX: usize = 4000;
const VALUE_CHARS_MAX_MANY: usize = 500;
const RECIPIENTS_MANY: usize = 50;

#[cfg(test)]
mod tests;
