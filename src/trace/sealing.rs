//! States, in time, what the store holds.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::code::{signed, unsigned};
use super::ledger::{LedgerFault, StatementLedger};
use super::rebuilt::{PartSpan, RebuiltPart, rebuild};
use super::stamps::StampDesk;
use super::store::Store;
use super::tls_report::date_of_day;
use crate::mail::UnixMillis;
use crate::seal::{GrowingTree, PartSeal, SealSettings, StatementBody};

impl Store {
    /// Whether parts that ended, or events of the part that is written, are to be stated now. It costs nothing to ask.
    pub(super) fn is_seal_due(&self, now: UnixMillis, is_end: bool) -> bool {
        let Some(ledger) = &self.ledger else { return false };
        let is_over = self.part.is_some_and(|part| part.day < now.day());
        let current = self.part.map(|part| (part.number, self.next_seq.saturating_sub(1)));
        self.has_old_parts
            || !self.ended.is_empty()
            || self.is_key_due
            || is_over
            || current.is_some_and(|current| ledger.is_due(current, now, is_end))
    }

    /// Goes on with the statements, unless it does already.
    pub(super) fn open_ledger(
        &mut self,
        how: (&SealSettings, &StampDesk),
        data_dir: &Path,
        now: UnixMillis,
    ) -> Result<(), LedgerFault> {
        if self.ledger.is_none() {
            let mut ledger = StatementLedger::open(&self.connection, how, data_dir, now)?;
            ledger.state_unsealed(&self.connection, self.next_seq, now)?;
            self.ledger = Some(ledger);
        }
        Ok(())
    }

    /// States what is due: parts that ended, and what the part that is written has so far. The day being over ends it.
    pub(super) fn seal(&mut self, now: UnixMillis, dropped: u64, is_end: bool) -> Result<(), LedgerFault> {
        if self.part.is_some_and(|part| part.day < now.day()) {
            self.end_part();
        }
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        ledger.note_dropped(dropped);
        let mut is_closing = false;
        if self.has_old_parts {
            let known = self.part.map(|part| part.number).into_iter();
            let known: Vec<i64> = known.chain(self.ended.iter().map(|one| one.part.number)).collect();
            is_closing |= close_old(&self.connection, ledger, &known, now)?;
            self.has_old_parts = false;
        }
        while let Some(ended) = self.ended.first() {
            close(&self.connection, ledger, seal(ended.part.span(ended.last_seq), &ended.tree), now)?;
            self.ended.remove(0);
            is_closing = true;
        }
        self.is_key_due |= is_closing && ledger.is_key_old(now);
        if self.is_key_due {
            ledger.rotate(&self.connection, now)?;
            self.is_key_due = false;
        }
        let last_seq = self.next_seq.saturating_sub(1);
        if let (Some(part), Some(tree)) = (self.part, &self.tree)
            && ledger.is_due((part.number, last_seq), now, is_end)
        {
            ledger.state(
                &self.connection,
                StatementBody::Checkpoint(seal(part.span(last_seq), tree)),
                now,
            )?;
        }
        Ok(())
    }
}

fn seal(part: PartSpan, tree: &GrowingTree) -> PartSeal {
    PartSeal {
        part: unsigned(part.number),
        day: date_of_day(part.day),
        first_seq: unsigned(part.first_seq),
        last_seq: unsigned(part.last_seq),
        root: tree.root(),
    }
}

/// States that parts of earlier runs of the program get no more events. One that is not what was stated of it is left as
/// it is, for `evidence verify` to name the place: a signature on it would hide that. Whether any was closed.
fn close_old(
    connection: &Connection,
    ledger: &mut StatementLedger,
    known: &[i64],
    now: UnixMillis,
) -> Result<bool, LedgerFault> {
    let mut is_closing = false;
    let mut after = i64::MIN;
    while let Some(part) = open_part(connection, after)? {
        after = part.number;
        if known.contains(&part.number) {
            continue;
        }
        match rebuild(connection, part)? {
            RebuiltPart::Whole(tree) => {
                close(connection, ledger, seal(part, &tree), now)?;
                is_closing = true;
                continue;
            }
            RebuiltPart::Closed => {}
            RebuiltPart::Altered => tracing::error!(
                day = %date_of_day(part.day),
                "events of the record were altered while the relay did not run: `sealpost evidence verify` names the place"
            ),
        }
        connection.execute("UPDATE part SET closed = 1 WHERE part = ?1", [part.number])?;
    }
    Ok(is_closing)
}

/// States that a part gets no more events, in one commit with the note of it.
fn close(
    connection: &Connection,
    ledger: &mut StatementLedger,
    seal: PartSeal,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    let part = signed(seal.part);
    let draft = ledger.draft(StatementBody::Closed(seal), now);
    let transaction = connection.unchecked_transaction()?;
    draft.put(&transaction)?;
    transaction.execute("UPDATE part SET closed = 1 WHERE part = ?1", [part])?;
    transaction.commit()?;
    ledger.accept(draft);
    Ok(())
}

/// The first part after another one that was sealed and is not closed.
fn open_part(connection: &Connection, after: i64) -> rusqlite::Result<Option<PartSpan>> {
    connection
        .query_row(
            "SELECT part, day, first_seq, last_seq FROM part WHERE sealed AND NOT closed AND part > ?1 ORDER BY part LIMIT 1",
            params![after],
            |row| {
                Ok(PartSpan {
                    number: row.get(0)?,
                    // What is no number is not what was stated, so that the part is found altered, and others go on.
                    day: row.get(1).unwrap_or_default(),
                    first_seq: row.get(2).unwrap_or_default(),
                    last_seq: row.get(3).unwrap_or_default(),
                })
            },
        )
        .optional()
}
