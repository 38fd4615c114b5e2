//! What is said in a session, as the protocol log may have it: commands and replies line by line, without secrets and
//! content. It writes nothing and knows no time.

use std::sync::Arc;

use crate::connector::ProtocolLogging;
use crate::mail::Reply;
use crate::smtp::command::{Auth, Command, CommandFault};

/// One thing that was said, or became known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoken {
    /// A line of the client.
    Heard(String),
    /// A line of ours.
    Said {
        /// The line, without CRLF.
        line: String,
        /// Whether it ends a reply that refuses something.
        refuses: bool,
    },
    /// This many octets of content came.
    Content(u64),
    /// The transaction belongs to the inbound connector of this name, which has this much logged.
    Attributed(Arc<str>, ProtocolLogging),
}

/// What was said since it was last taken.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    spoken: Vec<Spoken>,
    /// Octets of content that came.
    content: u64,
    /// Content is being read, and counted afterwards.
    reading: bool,
    /// A line that is not a command may be content: DATA came before it, and no MAIL since.
    may_be_content: bool,
    /// A line that is not a command may be a secret, to the end of the session: AUTH came before it, or what may have been.
    may_be_secret: bool,
}

impl Minutes {
    /// A line of the client, and what it was read as.
    pub(super) fn heard(&mut self, line: &[u8], parsed: &Result<Command, CommandFault>) {
        let shown = match parsed {
            Ok(Command::Auth(auth)) => {
                self.may_be_secret = true;
                shown_auth(auth)
            }
            Ok(Command::Noop | Command::Vrfy | Command::Expn | Command::Help) => text(verb(line)),
            Ok(Command::Data | Command::Bdat(_)) => {
                self.may_be_content = true;
                text(line)
            }
            Ok(Command::Mail(_)) => {
                self.may_be_content = false;
                text(line)
            }
            Ok(
                Command::Ehlo(_)
                | Command::Helo(_)
                | Command::StartTls
                | Command::Rcpt(_)
                | Command::Rset
                | Command::Quit,
            ) => text(line),
            Err(_) => {
                self.may_be_secret |= may_be_auth(line);
                if self.may_be_secret || self.may_be_content {
                    format!("({} octets that are not a command)", line.len())
                } else {
                    text(line)
                }
            }
        };
        self.spoken.push(Spoken::Heard(shown));
    }

    /// A line that was refused for its form, before it was looked at.
    pub(super) fn heard_malformed(&mut self) {
        self.may_be_secret = true;
        self.spoken.push(Spoken::Heard("(a line that is too long, or does not end in CRLF)".to_owned()));
    }

    /// An AUTH response; only that the client gives up is shown.
    pub(super) fn heard_secret(&mut self, gives_up: bool) {
        self.spoken.push(Spoken::Heard(if gives_up { "*" } else { MASK }.to_owned()));
    }

    /// A reply of ours.
    pub(super) fn said(&mut self, reply: &Reply) {
        if !self.reading {
            self.end_content();
        }
        if reply.code == 334 {
            let line = format!("334 {MASK}");
            return self.spoken.push(Spoken::Said { line, refuses: false });
        }
        let mut octets = Vec::new();
        reply.write_to(&mut octets);
        self.said_octets(&octets, reply.code >= 400);
    }

    pub(super) fn said_octets(&mut self, octets: &[u8], refuses: bool) {
        let mut lines = octets.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()).peekable();
        while let Some(line) = lines.next() {
            let refuses = refuses && lines.peek().is_none();
            self.spoken.push(Spoken::Said { line: text(line.trim_ascii_end()), refuses });
        }
    }

    /// The greeting was not sent.
    pub(super) fn not_greeted(&mut self) {
        self.spoken.clear();
    }

    /// The transaction is decided on by this connector.
    pub(super) fn attributed(&mut self, name: &Arc<str>, logging: ProtocolLogging) {
        self.spoken.push(Spoken::Attributed(Arc::clone(name), logging));
    }

    /// Takes what was said since the last time.
    pub(super) fn take(&mut self) -> Vec<Spoken> {
        std::mem::take(&mut self.spoken)
    }

    /// Content is about to be read; [`Self::counted`] follows.
    pub(super) fn begin_reading(&mut self) -> usize {
        self.reading = true;
        self.spoken.len()
    }

    /// Octets of content that were read. What ended with them is shown before what was said since.
    pub(super) fn counted(&mut self, octets: usize, before: usize, goes_on: bool) {
        self.reading = false;
        self.content = self.content.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
        if !goes_on {
            let spoken = Spoken::Content(std::mem::take(&mut self.content));
            self.spoken.insert(before.min(self.spoken.len()), spoken);
        }
    }

    fn end_content(&mut self) {
        if self.content > 0 {
            self.spoken.push(Spoken::Content(std::mem::take(&mut self.content)));
        }
    }
}

/// The mechanism, and whether a response came with it. A word that is not a mechanism may be anything.
fn shown_auth(auth: &Auth) -> String {
    let known = MECHANISMS.contains(&auth.mechanism.as_str());
    let mechanism = if known { auth.mechanism.as_str() } else { MASK };
    match auth.initial {
        Some(_) => format!("AUTH {mechanism} {MASK}"),
        None => format!("AUTH {mechanism}"),
    }
}

/// Whether a line that can't be read may hold a secret.
fn may_be_auth(line: &[u8]) -> bool {
    let line = line.trim_ascii().to_ascii_uppercase();
    !line.starts_with(b"MAIL") && line.windows(4).any(|four| four == b"AUTH")
}

fn verb(line: &[u8]) -> &[u8] {
    line.split(|octet| *octet == b' ').next().unwrap_or_default()
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// Shown in place of a secret.
const MASK: &str = "***";
/// The names of SASL mechanisms that are shown.
const MECHANISMS: &[&str] = &[
    "PLAIN",
    "LOGIN",
    "CRAM-MD5",
    "DIGEST-MD5",
    "NTLM",
    "GSSAPI",
    "EXTERNAL",
    "XOAUTH2",
    "OAUTHBEARER",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], expected: &[&str]) {
        let mut minutes = Minutes::default();
        for line in lines {
            minutes.heard(line.as_bytes(), &Command::parse(line.as_bytes()));
        }
        let heard = minutes.spoken.iter().map(|spoken| match spoken {
            Spoken::Heard(line) => line.as_str(),
            Spoken::Said { .. } | Spoken::Content(_) | Spoken::Attributed(..) => "?",
        });
        assert_eq!(heard.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn secrets_are_masked_wherever_a_client_puts_them() {
        check(&["AUTH PLAIN AGFkYQBvcGVu"], &["AUTH PLAIN ***"]);
        check(&["auth login"], &["AUTH LOGIN"]);
        check(&["AUTH AGFkYQBvcGVu"], &["AUTH ***"]);
        let hidden = "(12 octets that are not a command)";
        // What follows an AUTH that was refused is a response all the same.
        check(
            &["AUTH LOGIN", "AGFkYQBvcGVu", "EHLO x", "AGFkYQBvcGVu"],
            &["AUTH LOGIN", hidden, "EHLO x", hidden],
        );
        check(&["AUTH PLAIN a b", "AUTHPLAIN ab"], &["(14 octets that are not a command)", hidden]);
        // A client that does not look at replies begins its transaction, and then says it.
        check(
            &["AUTH LOGIN", "MAIL FROM:<a@b.example>", "AGFkYQBvcGVu", "RSET", "AGFkYQBvcGVu"],
            &["AUTH LOGIN", "MAIL FROM:<a@b.example>", hidden, "RSET", hidden],
        );
        check(&["XYZZY a,b", "MAIL FROM:<a@b> AUTH=<"], &["XYZZY a,b", "MAIL FROM:<a@b> AUTH=<"]);
        check(&["NOOP AGFkYQBvcGVu", "VRFY ada"], &["NOOP", "VRFY"]);
    }

    #[test]
    fn content_that_is_read_as_commands_is_left_out() {
        check(
            &["Subject: a", "DATA", "Subject: b", "MAIL FROM:<a@b.example>", "Subject: c"],
            &[
                "Subject: a",
                "DATA",
                "(10 octets that are not a command)",
                "MAIL FROM:<a@b.example>",
                "Subject: c",
            ],
        );
    }

    #[test]
    fn content_is_counted_before_the_reply_to_it() {
        let mut minutes = Minutes::default();
        let before = minutes.begin_reading();
        minutes.counted(10, before, true);
        let before = minutes.begin_reading();
        minutes.said(&Reply::bare(250, "ok"));
        minutes.counted(5, before, false);
        let said = Spoken::Said { line: "250 ok".to_owned(), refuses: false };
        assert_eq!(minutes.spoken, [Spoken::Content(15), said]);
    }
}
