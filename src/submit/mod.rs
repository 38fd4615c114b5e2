//! Mail of programs on this machine: made valid, submitted to the local listener, or left in the drop directory until
//! the daemon picks it up. It decides nothing about connectors.

mod client;
mod drop;
mod form;
mod header;
mod rotation;

use serde::{Deserialize, Serialize};

use crate::mail::{Domain, Mailbox, MessageDsn, Notify, Occasion, Ret, ReversePath};

pub use client::{Client, PATIENCE, Parts, SubmitFault, submit_in_parts};
pub use drop::{Damage, DropDir, DropFault, PublishedListener};
pub use form::content;
pub use header::Header;
pub use rotation::{DropFile, DueFiles, FileEnd, Rotation, is_expired};

/// Where mail is left if the configuration does not say otherwise.
pub const DROP_DIR: &str = "/var/spool/sealpost";

/// A message that is ready to be submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMessage {
    /// Its paths, and what is asked of reports.
    pub envelope: SubmittedEnvelope,
    /// Its content in wire form.
    pub content: Vec<u8>,
}

/// The paths of a submission, and what is asked of reports; also the first line of a dropped file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedEnvelope {
    /// The reverse-path; empty if it is null.
    pub sender: String,
    /// The forward-paths.
    pub recipients: Vec<String>,
    /// `RET`.
    #[serde(default)]
    pub ret: Option<Ret>,
    /// `ENVID`, in xtext.
    #[serde(default)]
    pub envid: Option<String>,
    /// `NOTIFY`, for each recipient.
    #[serde(default)]
    pub notify: Option<String>,
}

impl SubmittedEnvelope {
    /// For a report about a submission.
    #[must_use]
    pub fn of_report(to: &str) -> Self {
        Self {
            sender: String::new(),
            recipients: vec![to.to_owned()],
            ret: None,
            envid: None,
            notify: Some(Notify::NEVER.to_string()),
        }
    }

    /// Whether all of it can be said in SMTP: a file in the drop directory may hold anything.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        ReversePath::parse(&self.sender).is_ok()
            && !self.recipients.is_empty()
            && self.recipients.iter().all(|recipient| Mailbox::parse(recipient).is_ok())
            && self.envid.as_deref().is_none_or(crate::mail::is_xtext)
            && self.notify.as_deref().is_none_or(|list| Notify::parse(list).is_some())
    }

    /// Whether the sender wants a report of recipients that are refused (RFC 3461 §4.1).
    #[must_use]
    pub fn notify_of_failures(&self) -> bool {
        let notify = self.notify.as_deref().and_then(Notify::parse).unwrap_or_default();
        notify.wants(Occasion::Failure)
    }

    fn needs_utf8(&self) -> bool {
        !self.sender.is_ascii() || self.recipients.iter().any(|recipient| !recipient.is_ascii())
    }

    /// The parameters of MAIL FROM about reports.
    fn of_mail(&self) -> String {
        let dsn = MessageDsn { ret: self.ret, envid: self.envid.as_deref().map(Into::into) };
        let ret = dsn.ret.map_or_else(String::new, |ret| format!(" RET={}", ret.word()));
        let envid = dsn.envid.map_or_else(String::new, |envid| format!(" ENVID={envid}"));
        ret + &envid
    }

    /// The parameter of RCPT TO about reports.
    fn of_recipient(&self) -> String {
        self.notify.as_ref().map_or_else(String::new, |notify| format!(" NOTIFY={notify}"))
    }
}

/// A report to the sender about recipients that were refused, with what was said of each.
#[must_use]
pub fn refusal_report(
    submission: &LocalMessage,
    refused: &[(String, String)],
    name: &Domain,
    now: crate::mail::UnixMillis,
) -> Option<LocalMessage> {
    let to = &submission.envelope.sender;
    if to.is_empty() {
        return None;
    }
    let head = format!(
        "From: \"Mail Delivery System\" <MAILER-DAEMON@{name}>\nTo: <{to}>\nSubject: Your message was not accepted\n\
         Date: {}\nMessage-ID: <{}.{:016x}@{name}>\nAuto-Submitted: auto-replied\n",
        crate::mail::rfc5322(now),
        now.0,
        fastrand::u64(..)
    );
    let mut text =
        "A program on this machine left this message for the mail system. It was not accepted for:\n\n"
            .to_owned();
    for (recipient, reply) in refused {
        text.push_str(&format!("<{recipient}>\n  {reply}\n\n"));
    }
    text.push_str("The header of the message:\n\n");
    let mut body = text.into_bytes();
    let end = memchr::memmem::find(&submission.content, b"\r\n\r\n").unwrap_or_default();
    body.extend_from_slice(submission.content.get(..end.min(HEADER_BYTES_MAX)).unwrap_or_default());
    let (header, _) = Header::split(head.as_bytes());
    Some(LocalMessage { envelope: SubmittedEnvelope::of_report(to), content: content(&header, &body) })
}

/// Octets of a header section that a report repeats.
const HEADER_BYTES_MAX: usize = 16 << 10;
