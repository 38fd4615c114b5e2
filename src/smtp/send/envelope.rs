//! What is written of an envelope, and under which permit.

use std::collections::VecDeque;
use std::mem;

use super::steps::{Steps, Transaction};
use super::words::{Demand, MailFrom, NotBegun};
use super::{Owed, SendSession};
use crate::mail::{BodyType, Mailbox};

impl SendSession {
    /// Begins a transaction. Nothing else writes an envelope, and it does so only if the session's
    /// permit covers `demand`.
    ///
    /// # Errors
    /// [`NotBegun`] says why nothing was written.
    pub fn begin<'a>(
        &mut self,
        mail: &MailFrom<'_>,
        recipients: impl Iterator<Item = &'a Mailbox>,
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
        self.write_envelope(mail, recipients, true, out);
        Ok(())
    }

    /// Asks whether recipients would be taken: an envelope under the same permit, and no DATA. Done
    /// comes with the last answer.
    ///
    /// # Errors
    /// [`NotBegun`] says why nothing was written.
    pub fn ask<'a>(
        &mut self,
        mail: &MailFrom<'_>,
        recipients: impl Iterator<Item = &'a Mailbox>,
        demand: &Demand<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), NotBegun> {
        self.check_permit(demand)?;
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
        recipients: impl Iterator<Item = &'a Mailbox>,
        with_data: bool,
        out: &mut Vec<u8>,
    ) {
        let mut transaction = Transaction::default();
        let mut steps =
            Steps { pipelined: self.offers.pipelining, owed: &mut self.owed, out, unsent: VecDeque::new() };
        if mem::take(&mut self.reset_due) {
            steps.put(Owed::Rset, format_args!("RSET\r\n"));
        }
        let mut options = String::new();
        if self.offers.size.is_some() {
            options = format!(" SIZE={}", mail.size);
        }
        if mail.body == BodyType::EightBitMime {
            options.push_str(" BODY=8BITMIME");
        }
        steps.put(Owed::Mail, format_args!("MAIL FROM:<{}>{options}\r\n", mail.reverse_path));
        for (number, mailbox) in recipients.enumerate() {
            steps.put(Owed::Rcpt(number), format_args!("RCPT TO:<{mailbox}>\r\n"));
            transaction.so_far.recipients.push(None);
        }
        // RFC 2920 §3.1: DATA may end a group, and nothing may follow it in that group.
        if with_data {
            steps.put(Owed::Data, format_args!("DATA\r\n"));
        }
        transaction.unsent = steps.unsent;
        self.transactions.push_back(transaction);
        self.go_on(out);
    }
}
