//! A report that was not taken for its form, made smaller: first without what it returns of the message, then with no
//! more than whom it is about, what happened, and the status.

use super::cause::Hindrance;
use crate::outcome::{Cause, Stage, Trouble};

/// Whether a report failed for its own form: a smaller one may pass. A host that refuses content may mean what is
/// returned in it.
#[must_use]
pub fn is_refused_for_its_form(trouble: &Trouble) -> bool {
    if trouble.expired {
        return false;
    }
    let code = trouble.remote.as_ref().and_then(|remote| remote.reply.as_ref()).map(|reply| reply.code);
    match trouble.cause {
        Cause::Refused(Stage::Data | Stage::End) => true,
        // RFC 1870 §6.1: 552 at MAIL means the size that was declared.
        Cause::Refused(Stage::Mail) if code == Some(552) => true,
        Cause::Refused(_) | Cause::Unsuitable => {
            matches!(Hindrance::of(trouble), Hindrance::TooLarge | Hindrance::Form)
        }
        Cause::Requirement
        | Cause::Login
        | Cause::Unreachable
        | Cause::Silent
        | Cause::Lost
        | Cause::Displaced
        | Cause::Garbled
        | Cause::NoSuchDomain
        | Cause::NullMx
        | Cause::NoAddress
        | Cause::Ourselves
        | Cause::DnsUnanswered
        | Cause::Settings
        | Cause::Unreadable
        | Cause::NotTried
        | Cause::Operator => false,
    }
}

/// A smaller edition of a report of ours in wire form; `None` if there is none.
#[must_use]
pub fn shortened(report: &[u8]) -> Option<Vec<u8>> {
    let report = std::str::from_utf8(report).ok()?;
    let (head, _) = report.split_once("\r\n\r\n")?;
    let boundary = head.split_once("\tboundary=\"")?.1.split_once('"')?.0;
    let delimiter = format!("\r\n--{boundary}");
    let parts: Vec<&str> = report.split(&delimiter).collect();
    let (text, status) = match parts.as_slice() {
        [_, text, status, _returned, _end] if text.is_ascii() => ((*text).to_owned(), (*status).to_owned()),
        [_, _text, status, ..] => (TEXT.to_owned(), brief(status)),
        _ => return None,
    };
    // A report that an earlier version made may say so.
    let head = head.replace("\r\nContent-Transfer-Encoding: 8bit", "");
    let short = format!("{head}\r\n{delimiter}{text}{delimiter}{status}{delimiter}--\r\n");
    (short.len() < report.len()).then(|| short.into_bytes())
}

/// The fields of the second part that RFC 3464 §2 requires, and those that name the message.
fn brief(status: &str) -> String {
    let mut out = String::new();
    let mut kept = true;
    for line in status.split_inclusive("\r\n") {
        if !line.starts_with('\t') {
            kept = line == "\r\n" || FIELDS_KEPT.iter().any(|name| line.starts_with(name));
        }
        if kept {
            out.push_str(line);
        }
    }
    out
}

const TEXT: &str = "\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
    This report was shortened, because the next mail server did not accept it in full.\r\n\
    The subject says what happened. The next part lists the recipients.\r\n";

const FIELDS_KEPT: &[&str] = &[
    "Content-Type:",
    "Original-Envelope-Id:",
    "Reporting-MTA:",
    "X-Sealpost-Queue-ID:",
    "Original-Recipient:",
    "Final-Recipient:",
    "Action:",
    "Status:",
];
