//! Delivery status notifications (RFC 3464): a multipart/report of three parts, composed in wire
//! form. The message itself is never returned, only its header section.

use std::fmt::Write;

use mail_parser::{HeaderName, MessageParser};

use super::Trouble;
use crate::mail::{BodyType, Domain, Enhanced, Mailbox, QueueId, UnixMillis, rfc5322};

/// What a report tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Delivery failed for good.
    Failed,
    /// Delivery is late and goes on until the time given.
    Delayed {
        /// When it is given up.
        until: UnixMillis,
    },
}

impl Kind {
    /// The value of the Action field (RFC 3464 §2.3.3).
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed { .. } => "delayed",
        }
    }
}

/// One recipient of a report.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The forward-path.
    pub forward_path: &'a Mailbox,
    /// What hindered it, with the status that is told.
    pub trouble: &'a Trouble,
}

/// Everything a report is made of.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// What it tells.
    pub kind: Kind,
    /// The report's own queue id: its Message-ID and boundary come from it.
    pub id: QueueId,
    /// The message it is about.
    pub about: QueueId,
    /// Our name.
    pub reporting_mta: &'a Domain,
    /// Who it comes from, in its header.
    pub postmaster: &'a Mailbox,
    /// Who is told: the reverse-path.
    pub to: &'a Mailbox,
    /// When the message was accepted.
    pub arrived_at: UnixMillis,
    /// When the report is made, which is when the last attempt was.
    pub now: UnixMillis,
    /// Whom it is about; not empty.
    pub recipients: &'a [Told<'a>],
    /// The start of the message in wire form, with the header section or as much as was read.
    pub header: &'a [u8],
}

/// A report, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// The content in wire form.
    pub content: Vec<u8>,
    /// `EightBitMime` where the returned header has octets above 127.
    pub body: BodyType,
}

/// Octets of a message that are enough for [`Report::header`]; of a longer header section the
/// rest is not returned.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Composes a report.
#[must_use]
pub fn compose(report: &Report<'_>) -> Composed {
    let header = header_section(report.header);
    let chars_max = value_chars_max(report.recipients.len());
    let eight_bit = !header.is_ascii();
    let boundary = boundary(report.id, &header);
    let mut text = head(report, &boundary, eight_bit);
    let _infallible = write!(text, "\r\n--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n");
    text.push_str(&paragraphs(&explanation(report, subject(&header).as_deref()), chars_max));
    let _infallible = write!(text, "\r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n");
    text.push_str(&status_fields(report));
    let encoding = if eight_bit { "Content-Transfer-Encoding: 8bit\r\n" } else { "" };
    let _infallible = write!(text, "\r\n--{boundary}\r\nContent-Type: text/rfc822-headers\r\n{encoding}\r\n");
    let mut content = stuffed(text.as_bytes());
    content.extend_from_slice(&stuffed(&header));
    content.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let body = if eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit };
    Composed { content, body }
}

fn head(report: &Report<'_>, boundary: &str, eight_bit: bool) -> String {
    let subject = match report.kind {
        Kind::Failed => "Undelivered mail returned to sender",
        Kind::Delayed { .. } => "Delayed mail (still being retried)",
    };
    let encoding = if eight_bit { "Content-Transfer-Encoding: 8bit\r\n" } else { "" };
    // RFC 3834 §5: so that no responder answers it.
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

/// The first part, in paragraphs parted by empty lines.
fn explanation(report: &Report<'_>, subject: Option<&str>) -> Vec<String> {
    let subject = subject.map_or_else(String::new, |subject| format!(" \"{subject}\""));
    let arrived = rfc5322(report.arrived_at);
    let mut lines = vec![match report.kind {
        Kind::Failed => format!(
            "Your message{subject} of {arrived} could not be delivered to the recipients below. It will not \
             be tried again."
        ),
        Kind::Delayed { until } => format!(
            "Your message{subject} of {arrived} has not been delivered yet to the recipients below. You need \
             not send it again: it will be tried until {}.",
            rfc5322(until)
        ),
    }];
    for told in report.recipients {
        lines.push(String::new());
        lines.push(format!("<{}>: {}.", told.forward_path, told.trouble.reason.trim_end_matches('.')));
        lines.push(mender(told.trouble, report.postmaster));
        if let Some(decision) = &told.trouble.decision {
            lines.push(format!("  Wanted: {}", decision.wanted));
            lines.push(format!("  Got: {}", decision.got));
            let connector = decision.connector.as_deref().unwrap_or("none");
            lines.push(format!("  Connector: {connector} ({})", decision.token));
        }
        if let Some(remote) = &told.trouble.remote {
            lines.push(format!("  Host: {}", remote.host));
            if let Some(reply) = &remote.reply {
                lines.push(format!("  It said: {reply}"));
            }
        }
        lines.push(format!("  Status: {}", told.trouble.status));
    }
    lines.push(String::new());
    lines.push(format!("This report was made by {}; queue id {}.", report.reporting_mta, report.about));
    lines
}

/// Who can mend it, as far as the status tells (RFC 3463 §3).
fn mender(trouble: &Trouble, postmaster: &Mailbox) -> String {
    // Some reasons are nobody's else than ours, whatever class of status they are told under.
    match trouble.decision.as_ref().map(|decision| &*decision.token) {
        Some("onward-not-sealed") => {
            return format!(
                "Your message came in encrypted and must go on encrypted. Our administrator <{postmaster}> can \
                 arrange that with the recipient's mail system."
            );
        }
        Some("tls-remembered") => {
            return format!(
                "The recipient's mail system had encryption before and has none now; its administrator can \
                 mend this. If it stays so, mail goes on without it after a while; ask <{postmaster}>."
            );
        }
        Some(_) | None => {}
    }
    let Enhanced(_, subject, detail) = trouble.status;
    match (subject, detail) {
        (7, 4 | 5) => format!(
            "The administrator of the recipient's mail system can mend this: its encryption is not what was \
             agreed. If it was changed on purpose, tell <{postmaster}>."
        ),
        (1, 8 | 7) => "Check the address you sent from.".to_owned(),
        (1, _) => "Please check the recipient's address.".to_owned(),
        (2, _) => "The recipient can mend this, or the administrator of their mail system.".to_owned(),
        (3, 4) | (6, _) => "You can mend this: the message itself is not accepted.".to_owned(),
        (3, _) if trouble.remote.is_none() => format!("Our administrator <{postmaster}> can mend this."),
        (4, 4) if trouble.remote.is_none() => {
            format!("Please check the domain of the address; if it is right, ask <{postmaster}>.")
        }
        (3 | 4, _) => "The administrator of the recipient's mail system can mend this.".to_owned(),
        _ => format!("The administrator of the recipient's mail system knows more, or <{postmaster}>."),
    }
}

/// The second part (RFC 3464 §2).
fn status_fields(report: &Report<'_>) -> String {
    let mut fields = format!(
        "Reporting-MTA: dns; {}\r\nX-Sealpost-Queue-ID: {}\r\nArrival-Date: {}\r\n",
        report.reporting_mta,
        report.about,
        rfc5322(report.arrived_at)
    );
    let chars_max = value_chars_max(report.recipients.len());
    let field = |out: &mut String, name: &str, value: &str| field(out, chars_max, name, value);
    for told in report.recipients {
        let trouble = told.trouble;
        fields.push_str("\r\n");
        field(&mut fields, "Final-Recipient", &format!("rfc822; {}", told.forward_path));
        field(&mut fields, "Action", report.kind.word());
        field(&mut fields, "Status", &trouble.status.to_string());
        if let Some(remote) = &trouble.remote {
            let name = remote.host.split([' ', '[']).next().filter(|name| !name.is_empty());
            field(&mut fields, "Remote-MTA", &format!("dns; {}", name.unwrap_or(&remote.host)));
        }
        match (trouble.remote.as_ref().and_then(|r| r.reply.as_ref()), &trouble.decision) {
            (Some(reply), _) => field(&mut fields, "Diagnostic-Code", &format!("smtp; {reply}")),
            (None, Some(decision)) => {
                field(&mut fields, "Diagnostic-Code", &format!("X-Sealpost; {}", decision.token));
            }
            (None, None) => {
                field(&mut fields, "Diagnostic-Code", &format!("X-Sealpost; {}", trouble.reason));
            }
        }
        if let Some(decision) = &trouble.decision {
            field(&mut fields, "X-Sealpost-Decision", &decision.token);
            field(&mut fields, "X-Sealpost-Connector", decision.connector.as_deref().unwrap_or("none"));
            field(&mut fields, "X-Sealpost-Wanted", &decision.wanted);
            field(&mut fields, "X-Sealpost-Got", &decision.got);
        }
        field(&mut fields, "Last-Attempt-Date", &rfc5322(report.now));
        if let Kind::Delayed { until } = report.kind {
            field(&mut fields, "Will-Retry-Until", &rfc5322(until));
        }
    }
    fields
}

/// One field, folded at spaces; what a peer said is cut to what a field may hold.
fn field(out: &mut String, chars_max: usize, name: &str, value: &str) {
    let value: String = plain(value).chars().take(chars_max).collect();
    let folded = wrapped(&format!("{name}: {value}"), "\t");
    out.push_str(&folded.join("\r\n"));
    out.push_str("\r\n");
}

fn paragraphs(lines: &[String], chars_max: usize) -> String {
    let mut out = String::new();
    for line in lines {
        let shown: String = plain(line).chars().take(chars_max).collect();
        let indent = if shown.starts_with(' ') { "    " } else { "" };
        for part in wrapped(&shown, indent) {
            out.push_str(&part);
            out.push_str("\r\n");
        }
    }
    out
}

/// What a value may hold: peers' texts come up to twice a recipient, and a message may have a
/// thousand of them.
fn value_chars_max(recipients: usize) -> usize {
    if recipients > RECIPIENTS_MANY { VALUE_CHARS_MAX_MANY } else { VALUE_CHARS_MAX }
}

/// Printable ASCII alone: a report's own text says 7bit.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// Breaks a line at spaces, before column 78 where there is one, before 900 at all events
/// (RFC 5322 §2.1.1). Every line after the first starts with `indent`.
fn wrapped(text: &str, indent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    let mut start = "";
    while rest.len() > COLUMNS_MAX {
        let Some(at) = break_at(rest) else { break };
        let (line, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        lines.push(format!("{start}{}", line.trim_end()));
        rest = after.trim_start();
        start = indent;
    }
    if !rest.is_empty() || lines.is_empty() {
        lines.push(format!("{start}{rest}"));
    }
    lines
}

fn break_at(text: &str) -> Option<usize> {
    let within = text.get(..COLUMNS_MAX)?;
    let indented = within.len().saturating_sub(within.trim_start().len());
    if let Some(at) = within.rfind(' ').filter(|at| *at > indented) {
        // A field name alone on its line would leave a folded field without a value.
        return Some(at);
    }
    let next = text.get(indented..)?.find(' ').map(|at| at.saturating_add(indented));
    Some(next.unwrap_or(text.len()).min(WORD_MAX)).filter(|at| *at < text.len())
}

/// The header section as it was before dot-stuffing, each line ended, cut at the last whole line.
fn header_section(wire: &[u8]) -> Vec<u8> {
    let wire = wire.get(..HEADER_BYTES_MAX).unwrap_or(wire);
    let mut out = Vec::new();
    for line in wire.split_inclusive(|b| *b == b'\n') {
        if line == b"\r\n" || !line.ends_with(b"\n") {
            break;
        }
        let line = line.strip_prefix(b".").unwrap_or(line);
        // RFC 5322 §2.1.1: a line over 998 octets that passed us on its way may not pass others.
        if line.len() > 1000 {
            continue;
        }
        out.extend_from_slice(line);
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

/// RFC 5321 §4.5.2: a line that starts with a dot gets another one.
fn stuffed(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out
}

const COLUMNS_MAX: usize = 78;
const WORD_MAX: usize = 900;
const VALUE_CHARS_MAX: usize = 4000;
const VALUE_CHARS_MAX_MANY: usize = 500;
const RECIPIENTS_MANY: usize = 50;

#[cfg(test)]
mod tests;
