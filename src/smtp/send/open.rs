//! The session that a permit covers: transactions, one after the other or pipelined, until QUIT.
//! `envelope` writes the commands of each.

use std::collections::VecDeque;
use std::mem;

use super::words::{AwaitedReply, OpenEvent, SendFault, TransactionResult};
use super::{Dialogue, Permit, Replies, put};
use crate::connector::SessionId;
use crate::mail::Reply;
use crate::smtp::Offers;

/// A session that may carry mail.
#[derive(Debug)]
pub struct Open {
    pub(super) id: SessionId,
    pub(super) replies: Replies,
    pub(super) offers: Offers,
    /// `None` once the session is over, or a login was refused.
    pub(super) permit: Option<Permit>,
    pub(super) over_tls: bool,
    pub(super) owed: VecDeque<OwedReply>,
    pub(super) transactions: VecDeque<Transaction>,
    /// A transaction ended without its content: the server may still hold its envelope, so RSET is due.
    pub(super) reset_due: bool,
}

/// The command a pending reply belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwedReply {
    Rset,
    Mail,
    Rcpt(usize),
    Data,
    End,
}

/// One transaction, from MAIL to the reply that ends it.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) so_far: TransactionResult,
    /// Commands that wait for the previous reply, if PIPELINING is not offered.
    pub(super) unsent: VecDeque<(OwedReply, Vec<u8>)>,
    /// The content goes as one chunk of this many octets (RFC 3030 §2).
    pub(super) chunk: Option<u64>,
}

impl Open {
    pub(super) fn new(id: SessionId, replies: Replies, offers: Offers, permit: Permit) -> Self {
        Self {
            id,
            replies,
            offers,
            permit: Some(permit),
            over_tls: false,
            owed: VecDeque::new(),
            transactions: VecDeque::new(),
            reset_due: false,
        }
    }

    pub(super) fn over_tls(self) -> Self {
        Self { over_tls: true, ..self }
    }

    /// The session ID that a permit is bound to.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The extensions the server offers.
    #[must_use]
    pub fn offers(&self) -> Offers {
        self.offers
    }

    /// Replaces the permit with one from another judgement of the same session; the earlier one is
    /// void.
    pub fn reauthorise(&mut self, permit: Permit) {
        if self.permit.is_some() {
            self.permit = Some(permit);
        }
    }

    /// Whether a transaction could begin now, if the permit covers it: none is under way, or, with
    /// PIPELINING, the current one has sent its content (RFC 2920 §3.1 lets commands follow it).
    #[must_use]
    pub fn is_free(&self) -> bool {
        let chained =
            || self.offers.pipelining && self.owed.len() == 1 && self.owed.front() == Some(&OwedReply::End);
        self.permit.is_some() && (self.transactions.is_empty() || chained())
    }

    /// The content has been sent, or is in the same write: appends the final dot to `out`, unless it
    /// went as a chunk.
    pub fn end_content(&mut self, out: &mut Vec<u8>) {
        if self.transactions.back().is_none_or(|t| t.chunk.is_none()) {
            out.extend_from_slice(b".\r\n");
        }
        self.owed.push_back(OwedReply::End);
        if let Some(transaction) = self.transactions.back_mut() {
            transaction.so_far.sent = true;
        }
    }

    /// Ends the session, and returns how far each transaction got, oldest first.
    pub fn abandon(&mut self) -> Vec<TransactionResult> {
        self.close();
        mem::take(&mut self.transactions).into_iter().map(|t| t.so_far).collect()
    }

    pub(super) fn close(&mut self) {
        self.permit = None;
        self.owed.clear();
        self.transactions.iter_mut().for_each(|t| t.unsent.clear());
    }

    /// Without PIPELINING: sends the next command once the previous one was answered.
    pub(super) fn go_on(&mut self, out: &mut Vec<u8>) {
        if !self.owed.is_empty() {
            return;
        }
        if let Some((owed, line)) = self.transactions.back_mut().and_then(|t| t.unsent.pop_front()) {
            out.extend_from_slice(&line);
            self.owed.push_back(owed);
        }
    }

    fn on_reply(&mut self, reply: Reply, out: &mut Vec<u8>) -> Result<Option<OpenEvent>, SendFault> {
        let owed = self.owed.pop_front();
        if reply.code == 421 {
            self.close();
            return Ok(Some(OpenEvent::Closing(reply)));
        }
        match owed {
            None => Err(SendFault::Unasked(reply)),
            // The server may still hold the envelope before: whatever it says of the next one, it may not mean it.
            Some(OwedReply::Rset) if !reply.is_positive() => {
                self.close();
                Ok(Some(OpenEvent::Closing(reply)))
            }
            Some(owed) => Ok(self.on_transaction(owed, reply, out)),
        }
    }

    fn on_transaction(&mut self, owed: OwedReply, reply: Reply, out: &mut Vec<u8>) -> Option<OpenEvent> {
        if owed == OwedReply::End {
            let mut finished = self.transactions.pop_front()?.so_far;
            finished.end = Some(reply);
            return Some(OpenEvent::Done(finished));
        }
        let transaction = self.transactions.back_mut()?;
        let so_far = &mut transaction.so_far;
        match owed {
            OwedReply::Mail => {
                so_far.begun = true;
                so_far.mail = (!reply.is_positive()).then_some(reply);
            }
            OwedReply::Rcpt(number) => {
                if let Some(slot) = so_far.recipients.get_mut(number) {
                    *slot = (!reply.is_positive()).then_some(reply);
                }
            }
            OwedReply::Data if reply.code == 354 => return self.on_go_ahead(out),
            OwedReply::Data => so_far.data = Some(reply),
            OwedReply::Rset | OwedReply::End => {}
        }
        let hopeless = !so_far.has_taker()
            && matches!(transaction.unsent.front(), Some((OwedReply::Data, _)))
            || so_far.mail.is_some() && !transaction.unsent.is_empty();
        if owed == OwedReply::Data || hopeless {
            return self.end_early();
        }
        self.go_on(out);
        if self.owed.is_empty() {
            // The last recipient was answered, and no DATA follows: either the content follows as a
            // chunk, or nothing.
            if let Some(octets) =
                self.transactions.back().filter(|t| t.so_far.has_taker()).and_then(|t| t.chunk)
            {
                put(out, format_args!("BDAT {octets} LAST\r\n"));
                return Some(OpenEvent::SendContent);
            }
            return self.end_early();
        }
        None
    }

    /// Ends the last transaction without content.
    fn end_early(&mut self) -> Option<OpenEvent> {
        let finished = self.transactions.pop_back()?.so_far;
        self.reset_due = finished.mail.is_none();
        Some(OpenEvent::Done(finished))
    }

    fn on_go_ahead(&mut self, out: &mut Vec<u8>) -> Option<OpenEvent> {
        let taker = self.transactions.back().is_some_and(|t| t.so_far.has_taker());
        if taker {
            return Some(OpenEvent::SendContent);
        }
        // RFC 2920 §3.1: a 354 although every recipient was refused is answered with an empty message,
        // which the server should refuse.
        out.extend_from_slice(b".\r\n");
        self.owed.push_back(OwedReply::End);
        None
    }
}

impl Dialogue for Open {
    type Event = OpenEvent;

    fn feed(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<OpenEvent>, SendFault> {
        while let Some(reply) = self.replies.next(input).inspect_err(|_| self.close())? {
            let event = self.on_reply(reply, out).inspect_err(|_| self.close())?;
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn replies(&self) -> u64 {
        self.replies.count
    }

    fn awaited(&self) -> AwaitedReply {
        match self.owed.front() {
            None => AwaitedReply::Nothing,
            Some(OwedReply::Data) => AwaitedReply::Data,
            Some(OwedReply::End) => AwaitedReply::End,
            Some(OwedReply::Rset | OwedReply::Mail | OwedReply::Rcpt(_)) => AwaitedReply::Command,
        }
    }
}
