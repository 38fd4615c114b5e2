//! Where a chain of statements is broken. Pure.

use super::tree::Hash;

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// It can't be read.
    #[error("statement {0} can't be read: it was altered")]
    Unreadable(u64),
    /// It is kept under another number than it has.
    #[error("statement {kept} says that it is number {says}: one was exchanged for the other")]
    Exchanged {
        /// The number under which it is kept.
        kept: u64,
        /// The number that it has.
        says: u64,
    },
    /// Some are not there.
    #[error("{} missing", statements(*.from, *.to))]
    Missing {
        /// The first one.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// It does not name the one before.
    #[error("statement {0} does not follow statement {before}: one of them was altered or exchanged", before = .0.saturating_sub(1))]
    Unconnected(u64),
    /// The first statement is not the first of the record.
    #[error(
        "the record begins with statement {number}: those before it are in another store. Verify that one, and give the \
         hash of its last statement (--statement)"
    )]
    Earlier {
        /// Its number.
        number: u64,
    },
    /// It does not fit to what was stated of the same events.
    #[error("statement {statement} contradicts an earlier one about the same events (part {part})")]
    Contradicts {
        /// Its number.
        statement: u64,
        /// The part of the record.
        part: u64,
    },
    /// Events that come before it are in no statement, or in two.
    #[error("statement {statement} does not go on where the ones before it end: {}", gap(*.from, *.to))]
    Gap {
        /// Its number.
        statement: u64,
        /// The first event.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// Events were removed that the rules for keeping them do not remove.
    #[error("statement {statement} removes events that are not the oldest, or not old enough (part {part})")]
    WrongRemoval {
        /// Its number.
        statement: u64,
        /// The part of the record.
        part: u64,
    },
    /// There are none.
    #[error("there is no statement that can be relied on, so nothing is proved")]
    Empty,
    /// The signature is not that of the key.
    #[error("statement {0} is not signed by the key of the site: it was altered")]
    Unsigned(u64),
    /// The time stamp is not about it.
    #[error("the time stamp of statement {0} is about something else: one of them was altered")]
    Stamp(u64),
    /// Another key signs, which the one before has not named.
    #[error("statement {number} begins with the key {key}, which the key before it did not announce")]
    UnknownKey {
        /// Its number.
        number: u64,
        /// The fingerprint of that key.
        key: Hash,
    },
    /// The first key is not the one that is expected.
    #[error("the record begins with the key {found}, not with {expected}")]
    AnotherKey {
        /// The fingerprint of its key.
        found: Hash,
        /// The fingerprint that is expected.
        expected: Hash,
    },
    /// A statement that somebody has kept is not there.
    #[error("no statement has the hash {0}")]
    WithoutKept(Hash),
}

fn statements(from: u64, to: u64) -> String {
    if from == to { format!("statement {from} is") } else { format!("statements {from} to {to} are") }
}

fn gap(from: u64, to: u64) -> String {
    if from == to { format!("event {from}") } else { format!("events {from} to {to}") }
}
