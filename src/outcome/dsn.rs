//! Delivery status notifications (RFC 3464): composes a multipart/report of three parts in wire form. It
//! returns the message's header section, or all of it if requested, and sends nothing.

use std::fmt::Write;

use mail_parser::{HeaderName, MessageParser};

use super::Trouble;
use crate::mail::{BodyType, QueueId, from_xtext, rfc5322};

mod cause;
mod letter;
mod report;
mod text;

pub use report::{Addressee, Detail, Fate, Kind, Report, ReportedRecipient};

use letter::letter;
use text::{address, address_type, paragraphs, plain, stuffed, wrapped};

/// A report, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposedReport {
    /// The content in wire form.
    pub content: Vec<u8>,
    /// `EightBitMime` if the content has octets above 127.
    pub body: BodyType,
    /// Whether it needs SMTPUTF8 because its own addresses are in UTF-8 (RFC 6533 §5).
    pub utf8: bool,
}

/// Octets of a message that suffice for [`Report::message`]; a longer header section is truncated.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Composes a report in wire form.
#[must_use]
pub fn compose(report: &Report<'_>) -> ComposedReport {
    let header = match report.detail {
        Detail::Full => header_section(report.message),
        Detail::Codes => without_traces(&header_section(report.message)),
    };
    let chars_max = value_chars_max(report.recipients.len());
    let lines = paragraphs(&explanation(report, subject(&header).as_deref()), chars_max);
    // A message returned whole is in wire form already.
    let returned = if report.whole { report.message.to_vec() } else { stuffed(&header) };
    let eight_bit = !lines.is_ascii() || !returned.is_ascii();
    let boundary = boundary(report.id, &returned);
    let mut text = head(report, &boundary, eight_bit);
    let charset = if lines.is_ascii() { "us-ascii" } else { "utf-8\r\nContent-Transfer-Encoding: 8bit" };
    let _infallible = write!(text, "\r\n--{boundary}\r\nContent-Type: text/plain; charset={charset}\r\n\r\n");
    text.push_str(&lines);
    let _infallible = write!(text, "\r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n");
    text.push_str(&status_fields(report));
    let encoding = if returned.is_ascii() { "" } else { "Content-Transfer-Encoding: 8bit\r\n" };
    // RFC 6533 §4: a header section in UTF-8 needs a message/global type.
    let plain = header.is_ascii() || std::str::from_utf8(&header).is_err();
    let kind = match (report.whole, plain) {
        (true, true) => "message/rfc822",
        (true, false) => "message/global",
        (false, true) => "text/rfc822-headers",
        (false, false) => "message/global-headers",
    };
    let _infallible = write!(text, "\r\n--{boundary}\r\nContent-Type: {kind}\r\n{encoding}\r\n");
    let mut content = stuffed(text.as_bytes());
    content.extend_from_slice(&returned);
    content.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let body = if eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit };
    ComposedReport { content, body, utf8: !report.to.is_ascii() }
}

fn head(report: &Report<'_>, boundary: &str, eight_bit: bool) -> String {
    let subject = match report.kind {
        Kind::Failed if report.addressee == Addressee::Postmaster => "A message was not delivered",
        Kind::Failed => "Your message was not delivered",
        Kind::Delayed { .. } => "Your message is delayed; we keep trying",
        Kind::Relayed => "Your message was handed on",
    };
    let encoding = if eight_bit { "Content-Transfer-Encoding: 8bit\r\n" } else { "" };
    // RFC 3834 §5: keeps automatic responders from replying.
    format!(
        "From: \"Mail Delivery System\" <{}>\r\nTo: <{}>\r\nSubject: {subject}\r\nDate: {}\r\n\
         Message-ID: <{}@{}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n{encoding}",
        report.postmaster,
        report.to,
        rfc5322(report.now),
        report.id,
        report.reporting_mta,
    )
}

/// The first part as paragraphs separated by empty lines: for the reader, then for administrators.
fn explanation(report: &Report<'_>, subject: Option<&str>) -> Vec<String> {
    let mut lines = letter(report, subject);
    lines.push("Details for administrators:".to_owned());
    for recipient in report.recipients {
        lines.push(String::new());
        lines.push(format!("<{}>", recipient.forward_path));
        match recipient.fate {
            Fate::Trouble(trouble) => explain_trouble(trouble, report.detail, &mut lines),
            Fate::Relayed(delivered) if report.detail == Detail::Full => {
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

fn explain_trouble(trouble: &Trouble, detail: Detail, lines: &mut Vec<String>) {
    if detail == Detail::Full {
        lines.push(format!("  Reason: {}.", trouble.reason.trim_end_matches('.')));
        if let Some(decision) = &trouble.decision {
            lines.push(format!("  Required: {}", decision.required));
            lines.push(format!("  Attained: {}", decision.attained));
            let connector = decision.connector.as_deref().unwrap_or("none");
            lines.push(format!("  Connector: {connector} ({})", decision.token()));
        }
        if let Some(remote) = &trouble.remote {
            lines.push(format!("  Host: {}", remote.host));
            if let Some(reply) = &remote.reply {
                lines.push(format!("  It said: {reply}"));
            }
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
            field(&mut fields, "Original-Recipient", &format!("{kind}; {}", address(&from_xtext(original))));
        }
        let path = recipient.forward_path;
        let value = format!("{}; {}", address_type(path), address(path.as_str()));
        field(&mut fields, "Final-Recipient", &value);
        field(&mut fields, "Action", report.kind.word());
        match (recipient.fate, report.detail) {
            (Fate::Trouble(trouble), Detail::Full) => trouble_fields(trouble, chars_max, &mut fields),
            (Fate::Trouble(trouble), Detail::Codes) => trouble_codes(trouble, chars_max, &mut fields),
            (Fate::Relayed(_), Detail::Codes) => field(&mut fields, "Status", "2.0.0"),
            (Fate::Relayed(delivered), Detail::Full) => {
                field(&mut fields, "Status", "2.0.0");
                field(&mut fields, "Remote-MTA", &format!("dns; {}", host_name(&delivered.host)));
                field(&mut fields, "Diagnostic-Code", &format!("smtp; {}", delivered.reply));
            }
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

/// The name of a host given with address and port.
fn host_name(host: &str) -> &str {
    host.split([' ', '[']).next().filter(|name| !name.is_empty()).unwrap_or(host)
}

/// One field, folded at spaces; the peer's text is cut to the maximum for a field.
fn field(out: &mut String, chars_max: usize, name: &str, value: &str) {
    let value: String = plain(value).chars().take(chars_max).collect();
    let folded = wrapped(&format!("{name}: {value}"), "\t");
    out.push_str(&folded.join("\r\n"));
    out.push_str("\r\n");
}

/// Maximum length of a value: a peer's text appears up to twice per recipient, and a message may have a
/// thousand recipients.
fn value_chars_max(recipients: usize) -> usize {
    if recipients > RECIPIENTS_MANY { VALUE_CHARS_MAX_MANY } else { VALUE_CHARS_MAX }
}

/// The header section without dot-stuffing, cut after the last complete line.
fn header_section(wire: &[u8]) -> Vec<u8> {
    let wire = wire.get(..HEADER_BYTES_MAX).unwrap_or(wire);
    let mut out = Vec::new();
    for line in wire.split_inclusive(|b| *b == b'\n') {
        if line == b"\r\n" || !line.ends_with(b"\n") {
            break;
        }
        let line = line.strip_prefix(b".").unwrap_or(line);
        // RFC 5322 §2.1.1: we may have accepted a line over 998 octets, but the next host may not.
        if line.len() > 1000 {
            continue;
        }
        out.extend_from_slice(line);
    }
    out
}

/// Only the fields written by the author: fields added in transit name hosts.
fn without_traces(header: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut kept = false;
    for line in header.split_inclusive(|b| *b == b'\n') {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|b| *b == b':').next().unwrap_or_default().trim_ascii_end();
            kept = FIELDS_OF_SENDERS.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes()));
        }
        if kept {
            out.extend_from_slice(line);
        }
    }
    out
}

fn subject(header: &[u8]) -> Option<String> {
    let message = MessageParser::new()
        .header_text(HeaderName::Subject)
        .default_header_ignore()
        .parse_headers(header)?;
    let subject = message.subject()?.trim();
    (!subject.is_empty()).then(|| subject.chars().take(120).collect())
}

fn boundary(id: QueueId, header: &[u8]) -> String {
    let mut boundary = format!("=_{id}");
    while memchr::memmem::find(header, boundary.as_bytes()).is_some() {
        boundary.push('=');
    }
    boundary
}

/// Fields for the author, date, subject and recipients (RFC 5322 §3.6).
const FIELDS_OF_SENDERS: &[&str] = &[
    "Date",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Subject",
    "Comments",
    "Keywords",
];
const VALUE_CHARS_MAX: usize = 4000;
const VALUE_CHARS_MAX_MANY: usize = 500;
const RECIPIENTS_MANY: usize = 50;

#[cfg(test)]
mod tests;
