//! What statements say of parts, and whether that fits together: each part's seals grow and end, parts follow each other
//! without a gap, and only the oldest are removed, when they are old enough. Pure.

use std::collections::BTreeMap;

use super::breaks::ChainBreak;
use super::statement::{PartSeal, RemovalCause, Statement, StatementBody};
use crate::mail::day_of_date;

/// What all statements say of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartAccount {
    /// The seals, each with the number of its statement, in order.
    pub seals: Vec<(u64, PartSeal)>,
    /// Whether it gets no more events.
    pub is_closed: bool,
    /// Why it was removed, if it was.
    pub removed: Option<RemovalCause>,
    /// Events about accepted mail that could not be kept meanwhile.
    pub dropped: u64,
}

/// What all statements say.
#[derive(Debug, Clone, Default)]
pub struct RecordAccount {
    /// Of the parts, by their numbers.
    pub parts: BTreeMap<u64, PartAccount>,
    /// Events that were written while nothing was sealed: from one number to another.
    pub unsealed: Vec<(u64, u64)>,
    /// The last event that statements speak of.
    pub covered: Option<u64>,
    /// Events that could not be kept, and that belong to no part yet.
    dropped: u64,
}

impl RecordAccount {
    /// Takes the next statement in. What contradicts an earlier one is a break.
    pub(super) fn take(&mut self, statement: &Statement) -> Result<(), ChainBreak> {
        self.dropped = self.dropped.saturating_add(statement.dropped);
        match &statement.about {
            // A store that begins again goes on wherever it is.
            StatementBody::Begun { .. } => self.covered = None,
            StatementBody::NextKey { .. } => {}
            StatementBody::Checkpoint(seal) => self.sealed(statement.number, seal, false)?,
            StatementBody::Closed(seal) => self.sealed(statement.number, seal, true)?,
            StatementBody::Unsealed { first_seq, last_seq } => {
                self.follows(statement.number, *first_seq)?;
                self.unsealed.push((*first_seq, *last_seq));
                self.covered = Some(*last_seq);
            }
            StatementBody::Removed { .. } => return self.removed(statement),
        }
        Ok(())
    }

    /// Events that could not be kept after the last seal.
    #[must_use]
    pub fn dropped_since(&self) -> u64 {
        self.dropped
    }

    fn sealed(&mut self, number: u64, seal: &PartSeal, is_closed: bool) -> Result<(), ChainBreak> {
        let contradicts = ChainBreak::Contradicts { statement: number, part: seal.part };
        if seal.last_seq.saturating_add(1) < seal.first_seq {
            return Err(contradicts);
        }
        if let Some(part) = self.parts.get_mut(&seal.part) {
            let before = part.seals.last().map(|(_, before)| before);
            let grows = before.is_some_and(|before| {
                (before.first_seq, &before.day) == (seal.first_seq, &seal.day)
                    && before.last_seq <= seal.last_seq
            });
            if part.is_closed || part.removed.is_some() || !grows {
                return Err(contradicts);
            }
            part.is_closed = is_closed;
            part.dropped = part.dropped.saturating_add(std::mem::take(&mut self.dropped));
            part.seals.push((number, seal.clone()));
            self.covered = self.covered.max(Some(seal.last_seq));
            return Ok(());
        }
        let is_newer = self.parts.last_key_value().is_none_or(|(last, _)| *last < seal.part);
        let dropped = std::mem::take(&mut self.dropped);
        let follows = self.follows(number, seal.first_seq);
        self.parts.insert(
            seal.part,
            PartAccount { seals: vec![(number, seal.clone())], is_closed, removed: None, dropped },
        );
        self.covered = self.covered.max(Some(seal.last_seq));
        if is_newer { follows } else { Err(contradicts) }
    }

    /// Whether an event comes right after those that statements speak of.
    fn follows(&self, statement: u64, first_seq: u64) -> Result<(), ChainBreak> {
        let Some(covered) = self.covered else { return Ok(()) };
        let next = covered.saturating_add(1);
        if first_seq == next {
            return Ok(());
        }
        Err(ChainBreak::Gap {
            statement,
            from: next.min(first_seq),
            to: next.max(first_seq).saturating_sub(1),
        })
    }

    fn removed(&mut self, statement: &Statement) -> Result<(), ChainBreak> {
        let StatementBody::Removed { part, first_seq, last_seq, why, keep } = &statement.about else {
            return Ok(());
        };
        let wrong = ChainBreak::WrongRemoval { statement: statement.number, part: *part };
        let oldest =
            self.parts.iter().find(|(_, account)| account.removed.is_none()).map(|(number, _)| *number);
        let Some(account) = self.parts.get_mut(part) else { return Err(wrong) };
        account.removed = Some(*why);
        let Some((_, seal)) = account.seals.last() else { return Err(wrong) };
        let is_whole = account.is_closed && (seal.first_seq, seal.last_seq) == (*first_seq, *last_seq);
        let cutoff = statement.at.before(std::time::Duration::from_secs(*keep)).day();
        let is_old = match why {
            RemovalCause::Age => day_of_date(&seal.day).is_some_and(|day| day < cutoff),
            RemovalCause::Size => true,
        };
        if oldest == Some(*part) && is_whole && is_old { Ok(()) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Hash;
    use super::*;
    use crate::mail::UnixMillis;

    fn seal(part: u64, (first_seq, last_seq): (u64, u64)) -> PartSeal {
        let day = format!("2026-11-{:02}", 10 + part);
        PartSeal { part, day, first_seq, last_seq, root: Hash([0; 32]) }
    }

    fn removal(part: u64, (first_seq, last_seq): (u64, u64), keep_days: u64) -> StatementBody {
        StatementBody::Removed { part, first_seq, last_seq, why: RemovalCause::Age, keep: keep_days * 86_400 }
    }

    /// The breaks, by the number of the statement, counted from 1. All were made on 2026-11-20.
    fn breaks(about: &[StatementBody]) -> Vec<u64> {
        let mut account = RecordAccount::default();
        let mut found = Vec::new();
        for (number, about) in (1..).zip(about) {
            let statement = Statement {
                version: 1,
                number,
                at: UnixMillis::of_day(20_777),
                site: String::new(),
                previous: None,
                key: Hash([0; 32]),
                dropped: 0,
                about: about.clone(),
            };
            if account.take(&statement).is_err() {
                found.push(number);
            }
        }
        found
    }

    #[test]
    fn what_fits_together_is_no_break() {
        use StatementBody::{Checkpoint, Closed, Unsealed};
        let usual = [
            Unsealed { first_seq: 1, last_seq: 4 },
            Checkpoint(seal(1, (5, 7))),
            Checkpoint(seal(1, (5, 7))),
            Closed(seal(1, (5, 9))),
            Checkpoint(seal(2, (10, 12))),
            removal(1, (5, 9), 7),
            Closed(seal(2, (10, 12))),
            Unsealed { first_seq: 13, last_seq: 13 },
            Checkpoint(seal(4, (14, 20))),
        ];
        assert_eq!(breaks(&usual), [0_u64; 0]);
    }

    #[test]
    fn what_contradicts_is_one() {
        use StatementBody::{Checkpoint, Closed, Unsealed};
        let first = || Closed(seal(1, (1, 9)));
        let other_day = PartSeal { day: "2026-11-01".to_owned(), ..seal(1, (1, 9)) };
        for (about, expected) in [
            // Closed again, with fewer events, or with more.
            (vec![first(), Closed(seal(1, (1, 7)))], vec![2]),
            (vec![first(), Checkpoint(seal(1, (1, 12)))], vec![2]),
            (vec![Checkpoint(seal(1, (1, 9))), Closed(seal(1, (1, 8)))], vec![2]),
            // Of another day, or from another event on.
            (vec![Checkpoint(seal(1, (1, 9))), Closed(other_day)], vec![2]),
            (vec![Checkpoint(seal(1, (1, 9))), Closed(seal(1, (2, 9)))], vec![2]),
            // An older one that was not there; one with a gap before it; one that overlaps.
            (vec![Closed(seal(5, (1, 9))), Closed(seal(4, (10, 12)))], vec![2]),
            (vec![first(), Checkpoint(seal(2, (12, 13)))], vec![2]),
            (vec![first(), Checkpoint(seal(2, (9, 13)))], vec![2]),
            (vec![first(), Unsealed { first_seq: 11, last_seq: 12 }], vec![2]),
            // Removed too early, in another order, in part, while it is written, or never there.
            (vec![first(), removal(1, (1, 9), 30)], vec![2]),
            (vec![first(), Closed(seal(2, (10, 12))), removal(2, (10, 12), 1)], vec![3]),
            (vec![first(), removal(1, (1, 5), 1)], vec![2]),
            (vec![Checkpoint(seal(1, (1, 9))), removal(1, (1, 9), 1)], vec![2]),
            (vec![first(), removal(7, (10, 12), 1)], vec![2]),
        ] {
            assert_eq!(breaks(&about), expected, "{about:?}");
        }
    }
}
