//! A small SMTP client for the local listener. It blocks; the daemon calls it off the runtime's threads.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{LocalMessage, SubmittedEnvelope};
use crate::mail::{Domain, Enhanced, Reply};
use crate::smtp::{AnswerReader, Offers};

/// How long the listener may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Sessions for one message in one go: others have their turn then.
const SESSIONS_MAX: usize = 20;
/// Too many recipients (RFC 3463 §3.6).
const TOO_MANY: Enhanced = Enhanced(4, 5, 3);

/// Why the listener did not accept a message.
#[derive(Debug, thiserror::Error)]
pub enum SubmitFault {
    /// There was no connection.
    #[error("no daemon accepts mail at {0}: {1}; start it with `sealpost run`")]
    Unreachable(SocketAddr, io::Error),
    /// The connection ended, or the listener did not speak SMTP.
    #[error("the listener did not accept the message: {0}")]
    Lost(io::Error),
    /// A command or the content was refused.
    #[error("{0} was refused: {1}")]
    Refused(String, Reply),
}

impl SubmitFault {
    /// Whether another attempt would end the same way.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Unreachable(..) | Self::Lost(_) => false,
            Self::Refused(_, reply) => reply.is_permanent(),
        }
    }
}

/// A session with the local listener.
pub struct Client {
    stream: TcpStream,
    answers: AnswerReader,
    pending: Vec<u8>,
    offers: Offers,
}

impl Client {
    /// Connects and says hello.
    ///
    /// # Errors
    /// There is no listener, or it refuses us.
    pub fn connect(address: SocketAddr, name: &Domain) -> Result<Self, SubmitFault> {
        let lost = |fault| SubmitFault::Unreachable(address, fault);
        let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(lost)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(lost)?;
        let offers = Offers::default();
        let mut client = Self { stream, answers: AnswerReader::default(), pending: Vec::new(), offers };
        let greeting = client.reply()?;
        expect("the greeting", greeting, |reply| reply.code == 220)?;
        let hello = client.say(&format!("EHLO {name}"))?;
        client.offers = Offers::read(&hello, &[]);
        expect("EHLO", hello, Reply::is_positive)?;
        Ok(client)
    }

    /// Submits a message to all its recipients or to none.
    ///
    /// # Errors
    /// [`SubmitFault`]; the message was not accepted then.
    pub fn submit(&mut self, submission: &LocalMessage) -> Result<Reply, SubmitFault> {
        self.mail(submission)?;
        for to in &submission.envelope.recipients {
            let reply = self.recipient(&submission.envelope, to)?;
            expect(&format!("the recipient {to}"), reply, Reply::is_positive)?;
        }
        self.content(&submission.content)
    }

    /// One transaction for some of a message's recipients.
    fn transaction(&mut self, message: &LocalMessage, recipients: &[String]) -> Result<Parts, SubmitFault> {
        self.mail(message)?;
        let (mut parts, mut taken) = (Parts::default(), Vec::new());
        let mut rest = recipients.iter();
        while let Some(to) = rest.next() {
            let reply = self.recipient(&message.envelope, to);
            match judge(reply.as_ref().ok(), !taken.is_empty()) {
                RecipientAnswer::Taken => taken.push(to.clone()),
                RecipientAnswer::Refused => parts.refused.push((to.clone(), reply?.to_string())),
                RecipientAnswer::Deferred => parts.deferred.push((to.clone(), reply?.to_string())),
                RecipientAnswer::Full => {
                    parts.unasked = std::iter::once(to).chain(rest).cloned().collect();
                    break;
                }
                RecipientAnswer::Closed => {
                    // The session ended before the content. What is known of others stays true, and if nothing is, it
                    // may have ended for this recipient: the others are asked without it.
                    let words = reply.map_or_else(|fault| fault.to_string(), |reply| reply.to_string());
                    parts.unasked = taken.into_iter().chain(rest.cloned()).collect();
                    if parts.refused.is_empty() && parts.deferred.is_empty() {
                        parts.deferred.push((to.clone(), words));
                    } else {
                        parts.unasked.push(to.clone());
                    }
                    return Ok(parts);
                }
            }
        }
        if !taken.is_empty() {
            self.content(&message.content)?;
            parts.taken = taken.len();
        }
        Ok(parts)
    }

    fn mail(&mut self, submission: &LocalMessage) -> Result<(), SubmitFault> {
        let LocalMessage { envelope, content } = submission;
        let mut mail = format!("MAIL FROM:<{}>", envelope.sender);
        if self.offers.eight_bit_mime && !content.is_ascii() {
            mail.push_str(" BODY=8BITMIME");
        }
        if envelope.needs_utf8() {
            mail.push_str(" SMTPUTF8");
        }
        if self.offers.dsn {
            mail.push_str(&envelope.of_mail());
        }
        let reply = self.say(&mail)?;
        expect("the sender", reply, Reply::is_positive).map(drop)
    }

    fn recipient(&mut self, envelope: &SubmittedEnvelope, to: &str) -> Result<Reply, SubmitFault> {
        let asked = if self.offers.dsn { envelope.of_recipient() } else { String::new() };
        self.say(&format!("RCPT TO:<{to}>{asked}"))
    }

    fn content(&mut self, content: &[u8]) -> Result<Reply, SubmitFault> {
        let reply = self.say("DATA")?;
        expect("the message", reply, |reply| reply.code == 354)?;
        self.write(content)?;
        self.write(b".\r\n")?;
        let reply = self.reply()?;
        expect("the message", reply, Reply::is_positive)
    }

    fn say(&mut self, line: &str) -> Result<Reply, SubmitFault> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    fn write(&mut self, octets: &[u8]) -> Result<(), SubmitFault> {
        self.stream.write_all(octets).map_err(SubmitFault::Lost)
    }

    fn reply(&mut self) -> Result<Reply, SubmitFault> {
        loop {
            let mut rest = self.pending.as_slice();
            let taken = self.answers.take(&mut rest);
            let taken = taken.map_err(|fault| SubmitFault::Lost(io::Error::other(fault)))?;
            let used = self.pending.len().saturating_sub(rest.len());
            self.pending.drain(..used);
            if let Some(reply) = taken {
                return Ok(reply);
            }
            let mut block = [0; 4096];
            let count = self.stream.read(&mut block).map_err(SubmitFault::Lost)?;
            if count == 0 {
                return Err(SubmitFault::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            self.pending.extend_from_slice(block.get(..count).unwrap_or_default());
        }
    }
}

/// What happened to the recipients of a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// For how many it was accepted.
    pub taken: usize,
    /// Those permanently refused, and the reply.
    pub refused: Vec<(String, String)>,
    /// Those not accepted for now, and why.
    pub deferred: Vec<(String, String)>,
    /// Those for whom another transaction is needed.
    pub unasked: Vec<String>,
}

/// What a reply to RCPT means.
enum RecipientAnswer {
    Taken,
    Refused,
    Deferred,
    /// The transaction takes no more recipients.
    Full,
    /// The session is over.
    Closed,
}

/// RFC 5321 §3.8: 421 may take the place of any reply, and closes. §4.5.3.1.10: after 452 for too many recipients, those
/// accepted so far stay accepted.
fn judge(reply: Option<&Reply>, some_taken: bool) -> RecipientAnswer {
    match reply {
        None => RecipientAnswer::Closed,
        Some(reply) if reply.code == 421 => RecipientAnswer::Closed,
        Some(reply) if reply.is_positive() => RecipientAnswer::Taken,
        Some(reply) if reply.is_permanent() => RecipientAnswer::Refused,
        Some(reply) if some_taken && reply.code == 452 && reply.enhanced == Some(TOO_MANY) => {
            RecipientAnswer::Full
        }
        Some(_) => RecipientAnswer::Deferred,
    }
}

/// Submits a message to all its recipients who are accepted, in as many transactions as the listener asks for, each in a
/// session of its own: a session ends after too many refusals. Every recipient is in one part of the answer.
#[must_use]
pub fn submit_in_parts(address: SocketAddr, name: &Domain, message: &LocalMessage) -> Parts {
    let mut whole = Parts { unasked: message.envelope.recipients.clone(), ..Parts::default() };
    for _ in 0..SESSIONS_MAX {
        let asked = std::mem::take(&mut whole.unasked);
        if asked.is_empty() {
            break;
        }
        let session = Client::connect(address, name);
        match session.and_then(|mut session| session.transaction(message, &asked)) {
            Ok(parts) => {
                whole.taken = whole.taken.saturating_add(parts.taken);
                whole.refused.extend(parts.refused);
                whole.deferred.extend(parts.deferred);
                whole.unasked = parts.unasked;
            }
            Err(fault) => {
                let words = fault.to_string();
                let same = asked.into_iter().map(|to| (to, words.clone()));
                if fault.is_permanent() {
                    whole.refused.extend(same)
                } else {
                    whole.deferred.extend(same)
                }
                break;
            }
        }
    }
    whole
}

impl Drop for Client {
    fn drop(&mut self) {
        // What was accepted stays accepted; a failed goodbye changes nothing.
        let _bye = self.stream.write_all(b"QUIT\r\n");
    }
}

fn expect(what: &str, reply: Reply, taken: impl Fn(&Reply) -> bool) -> Result<Reply, SubmitFault> {
    if taken(&reply) { Ok(reply) } else { Err(SubmitFault::Refused(what.to_owned(), reply)) }
}
