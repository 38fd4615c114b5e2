//! A small SMTP client for the local listener. It blocks; the daemon calls it off the runtime's threads.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{LocalMessage, SubmittedEnvelope};
use crate::mail::{Domain, Reply};
use crate::smtp::{AnswerReader, Offers};

/// How long the listener may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(300);

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

    /// Submits a message to those recipients that are not permanently refused. Answers with the others, and what was
    /// said of each.
    ///
    /// # Errors
    /// [`SubmitFault`]; the message was not accepted for anybody then.
    pub fn submit_to_some(
        &mut self,
        submission: &LocalMessage,
    ) -> Result<Vec<(String, String)>, SubmitFault> {
        self.mail(submission)?;
        let mut refused = Vec::new();
        for to in &submission.envelope.recipients {
            let reply = self.recipient(&submission.envelope, to)?;
            if reply.is_permanent() {
                refused.push((to.clone(), reply.to_string()));
                continue;
            }
            expect(&format!("the recipient {to}"), reply, Reply::is_positive)?;
        }
        if refused.len() < submission.envelope.recipients.len() {
            self.content(&submission.content)?;
        } else {
            self.say("RSET")?;
        }
        Ok(refused)
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

impl Drop for Client {
    fn drop(&mut self) {
        // What was accepted stays accepted; a failed goodbye changes nothing.
        let _bye = self.stream.write_all(b"QUIT\r\n");
    }
}

fn expect(what: &str, reply: Reply, taken: impl Fn(&Reply) -> bool) -> Result<Reply, SubmitFault> {
    if taken(&reply) { Ok(reply) } else { Err(SubmitFault::Refused(what.to_owned(), reply)) }
}
