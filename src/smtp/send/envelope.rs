//! Writes the commands of an envelope, if the permit covers it. It makes no permits.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::mem;

use super::open::{Open, OwedReply, Transaction};
use super::put;
use super::words::{Demand, MailFrom, NotBegun};
use crate::mail::{BodyType, Mailbox, RecipientDsn};
use crate::smtp::Offers;
use crate::smtp::extension::XOORG;

impl Open {
    /// Begins a transaction. Nothing else writes an envelope, and it does so only if the session's
    /// permit covers `demand`.
    ///
    /// # Errors
    /// [`NotBegun`] says why nothing was written.
    pub fn begin<'a>(
        &mut self,
        mail: &MailFrom<'_>,
        recipients: impl Iterator<Item = (&'a Mailbox, &'a RecipientDsn)>,
        demand: &Demand<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), NotBegun> {
        self.check_permit(demand)?;
        match self.offers.size {
            Some(limit) if limit > 0 && mail.size > limit => {
                return Err(NotBegun::TooLarge { size: mail.size, limit });
            }
            Some(_) | None => {}
        }
        if mail.body == BodyType::EightBitMime && !self.offers.eight_bit_mime {
            return Err(NotBegun::EightBit);
        }
        let in_chunks = self.offers.chunking && self.offers.binary_mime;
        if mail.body == BodyType::BinaryMime && !in_chunks {
            return Err(NotBegun::Binary);
        }
        if mail.utf8 && !self.offers.utf8 {
            return Err(NotBegun::Utf8);
        }
        self.write_envelope(mail, recipients, true, out);
        Ok(())
    }

    /// Asks whether recipients would be accepted: an envelope under the same permit, without DATA. The
    /// last reply ends it with `Done`.
    ///
    /// # Errors
    /// [`NotBegun`] says why nothing was written.
    pub fn ask<'a>(
        &mut self,
        mail: &MailFrom<'_>,
        recipients: impl Iterator<Item = (&'a Mailbox, &'a RecipientDsn)>,
        demand: &Demand<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), NotBegun> {
        self.check_permit(demand)?;
        if mail.utf8 && !self.offers.utf8 {
            return Err(NotBegun::Utf8);
        }
        self.write_envelope(mail, recipients, false, out);
        Ok(())
    }

    fn check_permit(&self, demand: &Demand<'_>) -> Result<(), NotBegun> {
        let permit = self.permit.as_ref().ok_or(NotBegun::Unauthorised)?;
        demand.met_by(permit, self.id)?;
        if self.is_free() { Ok(()) } else { Err(NotBegun::Busy) }
    }

    fn write_envelope<'a>(
        &mut self,
        mail: &MailFrom<'_>,
        recipients: impl Iterator<Item = (&'a Mailbox, &'a RecipientDsn)>,
        with_data: bool,
        out: &mut Vec<u8>,
    ) {
        let mut transaction = Transaction::default();
        let mut steps =
            Steps { pipelined: self.offers.pipelining, owed: &mut self.owed, out, unsent: VecDeque::new() };
        if mem::take(&mut self.reset_due) {
            steps.put(OwedReply::Rset, format_args!("RSET\r\n"));
        }
        let options = mail_options(mail, self.offers);
        steps.put(OwedReply::Mail, format_args!("MAIL FROM:<{}>{options}\r\n", mail.reverse_path));
        for (number, (mailbox, dsn)) in recipients.enumerate() {
            let options = if self.offers.dsn { recipient_options(dsn) } else { String::new() };
            steps.put(OwedReply::Rcpt(number), format_args!("RCPT TO:<{mailbox}>{options}\r\n"));
            transaction.so_far.recipients.push(None);
        }
        transaction.chunk = (with_data && mail.body == BodyType::BinaryMime).then_some(mail.size);
        // RFC 2920 §3.1: DATA may end a group, and nothing may follow it in that group. A chunk waits
        // for the replies: it would be sent in vain if all recipients are refused.
        if with_data && transaction.chunk.is_none() {
            steps.put(OwedReply::Data, format_args!("DATA\r\n"));
        }
        transaction.unsent = steps.unsent;
        self.transactions.push_back(transaction);
        self.go_on(out);
    }
}

/// The commands of one envelope, sent all at once or one after the other.
struct Steps<'a> {
    pipelined: bool,
    owed: &'a mut VecDeque<OwedReply>,
    out: &'a mut Vec<u8>,
    unsent: VecDeque<(OwedReply, Vec<u8>)>,
}

impl Steps<'_> {
    fn put(&mut self, owed: OwedReply, line: std::fmt::Arguments<'_>) {
        if self.pipelined {
            self.owed.push_back(owed);
            return put(self.out, line);
        }
        let mut text = Vec::new();
        put(&mut text, line);
        self.unsent.push_back((owed, text));
    }
}

fn mail_options(mail: &MailFrom<'_>, offers: Offers) -> String {
    let mut options = String::new();
    let mut add = |text: std::fmt::Arguments<'_>| {
        // Writing to a String never fails.
        let _infallible = options.write_fmt(text);
    };
    if offers.size.is_some() {
        add(format_args!(" SIZE={}", mail.size));
    }
    match mail.body {
        BodyType::SevenBit => {}
        BodyType::EightBitMime => add(format_args!(" BODY=8BITMIME")),
        BodyType::BinaryMime => add(format_args!(" BODY=BINARYMIME")),
    }
    if mail.utf8 {
        add(format_args!(" SMTPUTF8"));
    }
    if let Some(organisation) = mail.originator.filter(|_| offers.originator) {
        add(format_args!(" {XOORG}={organisation}"));
    }
    if offers.dsn {
        if let Some(ret) = mail.dsn.ret {
            add(format_args!(" RET={}", ret.word()));
        }
        if let Some(envid) = &mail.dsn.envid {
            add(format_args!(" ENVID={envid}"));
        }
    }
    options
}

/// RFC 3461 §5.2.1: passed on unchanged.
fn recipient_options(dsn: &RecipientDsn) -> String {
    let mut options = String::new();
    if !dsn.notify.is_unsaid() {
        let _infallible = write!(options, " NOTIFY={}", dsn.notify);
    }
    if let Some(orcpt) = &dsn.orcpt {
        let _infallible = write!(options, " ORCPT={orcpt}");
    }
    options
}
