//! States, in time, what the store holds.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::ledger::{LedgerFault, StatementLedger};
use super::stamps::StampDesk;
use super::store::{Store, size};
use super::tls_report::date_of_day;
use crate::mail::UnixMillis;
use crate::seal::{GrowingTree, PartSeal, SealSettings, StatementBody};

impl Store {
    /// Whether parts that ended, or events of the part that is written, are to be stated now. It costs nothing to ask.
    pub(super) fn is_seal_due(&self, now: UnixMillis, is_end: bool) -> bool {
        let Some(ledger) = &self.ledger else { return false };
        let is_over = self.part.is_some_and(|part| part.day < now.day());
        let current = self.part.map(|part| (part.number, self.next_seq.saturating_sub(1)));
        self.has_ended_parts || is_over || current.is_some_and(|current| ledger.is_due(current, now, is_end))
    }

    /// Goes on with the statements, unless it does already.
    pub(super) fn open_ledger(
        &mut self,
        how: (&SealSettings, &StampDesk),
        data_dir: &Path,
        now: UnixMillis,
    ) -> Result<(), LedgerFault> {
        if self.ledger.is_none() {
            self.ledger = Some(StatementLedger::open(&self.connection, how, data_dir, now)?);
        }
        Ok(())
    }

    /// States what is due: parts that ended, and what the part that is written has so far. The day being over ends it.
    pub(super) fn seal(&mut self, now: UnixMillis, dropped: u64, is_end: bool) -> Result<(), LedgerFault> {
        if self.part.is_some_and(|part| part.day < now.day()) {
            (self.part, self.tree, self.has_ended_parts) = (None, None, true);
        }
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        ledger.note_dropped(dropped);
        if self.has_ended_parts {
            let current = self.part.map_or(0, |part| part.number);
            let mut is_closing = false;
            while let Some(seal) = ended_part(&self.connection, current)? {
                is_closing = true;
                close(&self.connection, ledger, seal, now)?;
            }
            self.has_ended_parts = false;
            if is_closing && ledger.is_key_old(now) {
                ledger.rotate(&self.connection, now)?;
            }
        }
        let last_seq = self.next_seq.saturating_sub(1);
        if let (Some(part), Some(tree)) = (self.part, &self.tree)
            && ledger.is_due((part.number, last_seq), now, is_end)
        {
            let seal = PartSeal {
                part: unsigned(part.number),
                day: date_of_day(part.day),
                first_seq: unsigned(part.first_seq),
                last_seq: unsigned(last_seq),
                root: tree.root(),
            };
            ledger.state(&self.connection, StatementBody::Checkpoint(seal), now)?;
        }
        Ok(())
    }
}

/// States that a part gets no more events, in one commit with the note of it.
fn close(
    connection: &Connection,
    ledger: &mut StatementLedger,
    seal: PartSeal,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    let part = i64::try_from(seal.part).unwrap_or(i64::MAX);
    let draft = ledger.draft(StatementBody::Closed(seal), now);
    let transaction = connection.unchecked_transaction()?;
    draft.put(&transaction)?;
    transaction.execute("UPDATE part SET closed = 1 WHERE part = ?1", [part])?;
    transaction.commit()?;
    ledger.accept(draft);
    Ok(())
}

/// The first part that was sealed, gets no more events, and of which that was not stated yet.
fn ended_part(connection: &Connection, current: i64) -> rusqlite::Result<Option<PartSeal>> {
    connection
        .query_row(
            "SELECT part, day, first_seq, last_seq, tree FROM part
            WHERE tree IS NOT NULL AND closed = 0 AND part <> ?1 ORDER BY part LIMIT 1",
            params![current],
            |row| {
                let (first_seq, last_seq): (i64, i64) = (row.get(2)?, row.get(3)?);
                let octets: Vec<u8> = row.get(4)?;
                let tree = GrowingTree::from_octets(size(first_seq, last_seq), &octets).unwrap_or_default();
                Ok(PartSeal {
                    part: unsigned(row.get(0)?),
                    day: date_of_day(row.get(1)?),
                    first_seq: unsigned(first_seq),
                    last_seq: unsigned(last_seq),
                    root: tree.root(),
                })
            },
        )
        .optional()
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
