//! A report as a message: plain text, and the document to print as an attachment.

use std::sync::Arc;

use encodify::qp;

use super::words::{aligned, only_of, report_in_words};
use crate::console::{PaperTitle, report_document};
use crate::mail::{Domain, Mailbox, QueueId, UnixMillis, printable_ascii, rfc5322};
use crate::outcome::dsn::stuffed;
use crate::trace::{Sum, SumKey, TlsReport, date_of_day};

/// What a report is about.
#[derive(Debug, Clone, Copy)]
pub struct ReportFrame<'a> {
    /// Our host name.
    pub name: &'a Domain,
    /// The first and the last day.
    pub days: (i64, i64),
    /// When it is made.
    pub now: UnixMillis,
    /// The partner that it is about; `None`: about all mail.
    pub partner: Option<&'a Arc<str>>,
}

/// A report, before it has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportMail {
    /// The Subject, without the name of the relay.
    pub subject: String,
    /// The plain text, lines ended by LF.
    pub text: String,
    html: String,
    file: String,
}

impl ReportMail {
    /// The report that these sums make.
    #[must_use]
    pub fn of(sums: &[(SumKey, Sum)], frame: &ReportFrame<'_>) -> Self {
        let ReportFrame { name, days, now, partner } = *frame;
        let theirs = partner.map(|partner| only_of(sums, partner));
        let sums = theirs.as_deref().unwrap_or(sums);
        let report = TlsReport::of(sums, days);
        let (first, last) = (date_of_day(days.0), date_of_day(days.1));
        let (about, file) = match partner {
            Some(partner) => (format!("mail with {partner}"), format!("tls-{partner}-{first}.html")),
            None => ("mail with all partners".to_owned(), format!("tls-{first}.html")),
        };
        let body = report_in_words(&report, |title, headings, mut rows| {
            if rows.is_empty() {
                return format!("{title}: none");
            }
            let more = rows.len().saturating_sub(ROWS_MAX);
            rows.truncate(ROWS_MAX);
            let rest = if more > 0 { format!("\nand {more} more") } else { String::new() };
            format!("{title}\n{}{rest}", aligned(headings, &rows))
        });
        let text = format!(
            "This is the report of {name} on how {about} was secured. The attached document says the same and is made for printing.\n\n\
             {body}\n"
        );
        let paper = PaperTitle { site: name.as_str(), partner: partner.map(|partner| &**partner), made: now };
        let html = report_document(sums, days, &paper);
        Self { subject: format!("TLS report {first} to {last}: {about}"), text, html, file }
    }
}

/// Composes the message in wire form, 7-bit, and says its Message-ID.
#[must_use]
pub fn compose_report(
    mail: &ReportMail,
    (name, now): (&Domain, UnixMillis),
    (from, to, id): (&Mailbox, &Mailbox, QueueId),
) -> (String, Vec<u8>) {
    let message_id = format!("report.{id}@{name}");
    // No line of quoted-printable text has this in it (RFC 2045 §6.7).
    let boundary = format!("=_report_{id}");
    let subject: String = mail.subject.chars().take(SUBJECT_CHARS_MAX).collect();
    let file: String = mail.file.chars().map(|one| if is_of_file(one) { one } else { '-' }).collect();
    let text = qp::BODY.encode(mail.text.replace('\n', "\r\n"));
    let html = qp::BODY.encode(&mail.html);
    // RFC 3834 §5: keeps automatic responders from replying.
    let whole = format!(
        "From: \"Sealpost on {name}\" <{from}>\r\nTo: <{to}>\r\nSubject: [sealpost {name}]\r\n {}\r\nDate: {}\r\n\
         Message-ID: <{message_id}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n\
         --{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{text}\r\n\
         --{boundary}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\
         Content-Disposition: attachment; filename=\"{file}\"\r\n\r\n{html}\r\n--{boundary}--\r\n",
        printable_ascii(&subject),
        rfc5322(now),
    );
    (message_id, stuffed(whole.as_bytes()))
}

fn is_of_file(one: char) -> bool {
    one.is_ascii_alphanumeric() || matches!(one, '-' | '.' | '_')
}

/// Rows of a table in the text; the document has more.
const ROWS_MAX: usize = 50;
const SUBJECT_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{EventKind, RequiredQuality, TlsQuality};
    use mail_parser::{MessageParser, MimeHeaders as _};

    fn sum(partner: &str, day: i64, messages: u64) -> (SumKey, Sum) {
        let key = SumKey {
            day,
            inbound: false,
            connector: format!("{partner}-out"),
            partner: partner.to_owned(),
            domain: format!("{partner}.test"),
            kind: EventKind::Delivered,
            reason: String::new(),
            requirement: RequiredQuality::Forced,
            version: "TLSv1.3".to_owned(),
            quality: TlsQuality::Named,
        };
        (key, Sum { messages, sessions: messages, ..Sum::default() })
    }

    fn composed(partner: Option<&str>) -> Vec<u8> {
        let name = Domain::parse("gw.contoso.example").expect("a domain");
        let mailbox = |text: &str| Mailbox::parse(text).expect("a mailbox");
        let (from, to) = (mailbox("postmaster@contoso.example"), mailbox("ciso@contoso.example"));
        let now = UnixMillis(1_795_932_000_000);
        let partner = partner.map(Arc::from);
        let days = (now.day() - 7, now.day() - 1);
        let frame = ReportFrame { name: &name, days, now, partner: partner.as_ref() };
        let sums = [sum("bank", days.0, 41), sum("clinic", days.1, 2)];
        let id = QueueId::first_of(1_795_932_000_000);
        compose_report(&ReportMail::of(&sums, &frame), (&name, now), (&from, &to, id)).1
    }

    #[test]
    fn it_is_a_message_of_text_and_an_attached_document() {
        let octets = composed(None);
        assert!(octets.is_ascii() && octets.split(|octet| *octet == b'\n').all(|line| line.len() < 990));
        let message = MessageParser::default().parse(&octets).expect("a message");
        assert!(message.subject().expect("a subject").contains("TLS report 2026-11-"), "{message:?}");
        assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
        let text = message.body_text(0).expect("text").into_owned();
        assert!(text.contains("bank     0        -    41        100 %"), "{text}");
        let attached = message.attachment(0).expect("an attachment");
        assert!(attached.attachment_name().expect("a name").starts_with("tls-2026-11-"));
        let html = attached.text_contents().expect("a document");
        for words in ["<!DOCTYPE html>", "clinic", "bank", "</html>"] {
            assert!(html.contains(words), "{words}: {html}");
        }
        for foreign in ["<script", "href=", "src="] {
            assert!(!html.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_partners_report_has_nothing_of_others() {
        let octets = composed(Some("bank"));
        let message = MessageParser::default().parse(&octets).expect("a message");
        let text = message.body_text(0).expect("text").into_owned();
        let html = message.attachment(0).expect("an attachment").text_contents().expect("a document");
        for part in [&*text, html] {
            assert!(part.contains("bank") && !part.contains("clinic"), "{part}");
        }
    }
}
