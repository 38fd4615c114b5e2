//! `[timeouts]`: the keys for how long each step of a session may take.

use super::entry::Entry as _;
use super::key::Section;
use super::kinds::Period;
use super::section::section;
use crate::{deliver, listen};

section! {
    pub(in crate::config) TimeoutsEntry, TimeoutsValues;

    idle: Period = "5m" => {
        meaning: "Inbound: for the next octet (RFC 5321 section 4.5.3.2.7), and for a client to read its replies.",
    }
    line: Period = "1m" => {
        meaning: "Inbound: for a whole command line or AUTH response, from its first octet.",
    }
    handshake: Period = "30s" => {
        meaning: "Inbound: for a whole TLS handshake.",
    }
    content: Period = "2h" => {
        meaning: "Inbound: for the whole content of one message, from DATA or the first BDAT.",
    }
    session: Period = "1h" => {
        meaning: "Inbound: for an accepted message, from the beginning of the session or its last one. Content \
            that is being received has its own timeout.",
    }
    session_age: Period = "24h" => {
        meaning: "Inbound: for a session as a whole. One of this age is ended with 421, but not while content is being \
            received.",
        explanation: "A client reconnects and goes on. So everything that is only looked at when a session begins, such \
            as our certificate and the client's, is looked at again after that time at the latest.",
    }
    drain: Period = "30s" => {
        meaning: "Reload: for the transactions in progress that a stricter connector no longer allows.",
        explanation: "Only these are waited for. Then their sessions are ended, and `sealpost reload` and the log say \
            how many: a client gets 421, and a message to a host stays in the queue. A transaction whose message has left \
            completely is not ended, since it might be delivered twice.",
        reload: true,
    }
    connect: Period = "30s" => {
        meaning: "Outbound: for a TCP connection.",
    }
    command: Period = "5m" => {
        meaning: "Outbound: for the greeting and for each reply to EHLO, MAIL and RCPT (RFC 5321 section 4.5.3.2).",
    }
    outbound_handshake: Period = "1m" => {
        meaning: "Outbound: for the reply to STARTTLS and the handshake.",
    }
    data_start: Period = "2m" => {
        meaning: "Outbound: for the 354.",
    }
    data_block: Period = "3m" => {
        meaning: "Outbound: for each block of content to leave.",
    }
    data_end: Period = "10m" => {
        meaning: "Outbound: for the reply to the final dot.",
    }
    reuse: Period = "5s" => {
        meaning: "How long an outbound connection without work is kept.",
    }
}

impl TimeoutsValues {
    pub(in crate::config) fn inbound(&self) -> listen::settings::Timeouts {
        listen::settings::Timeouts {
            idle: self.idle,
            line: self.line,
            handshake: self.handshake,
            content: self.content,
            session: self.session,
            age: self.session_age,
        }
    }

    pub(in crate::config) fn outbound(&self) -> deliver::settings::Timeouts {
        deliver::settings::Timeouts {
            connect: self.connect,
            command: self.command,
            handshake: self.outbound_handshake,
            data_start: self.data_start,
            data_block: self.data_block,
            data_end: self.data_end,
        }
    }
}

pub(super) const SECTION: Section = Section {
    name: "timeouts",
    header: "[timeouts]",
    sample_header: "[timeouts]",
    sample: &[],
    comment: "",
    intro: "",
    reload: false,
    keys: TimeoutsEntry::KEYS,
};
