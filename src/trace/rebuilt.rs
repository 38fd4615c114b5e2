//! The tree of a part that an earlier run of the program has written, made of its events again and held against what was
//! stated of them: nothing is stated of what only a row says.

use rusqlite::Connection;

use super::code::unsigned;
use super::ledger;
use super::sealed::part_lines;
use super::tls_report::date_of_day;
use crate::seal::{GrowingTree, Hash};

/// A part, as its row says.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartSpan {
    pub(super) number: i64,
    pub(super) day: i64,
    pub(super) first_seq: i64,
    pub(super) last_seq: i64,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum RebuiltPart {
    /// Its events are those that were stated, and perhaps more.
    Whole(GrowingTree),
    /// It was stated that it gets no more.
    Closed,
    /// It is not what was stated.
    Altered,
}

/// Reads all events of a part.
pub(super) fn rebuild(connection: &Connection, part: PartSpan) -> rusqlite::Result<RebuiltPart> {
    let stated = ledger::last_seal(connection, part.number)?;
    if stated.as_ref().is_some_and(|(_, is_closed)| *is_closed) {
        return Ok(RebuiltPart::Closed);
    }
    let seal = stated.map(|(seal, _)| seal);
    let (first_seq, last_seq) = (unsigned(part.first_seq), unsigned(part.last_seq));
    let mut is_whole = seal.as_ref().is_none_or(|seal| {
        (seal.first_seq, &seal.day) == (first_seq, &date_of_day(part.day)) && seal.last_seq <= last_seq
    });
    let (mut tree, mut next) = (GrowingTree::default(), first_seq);
    part_lines(connection, part.number, |line| {
        let leaf = Hash::of_leaf(line.line.as_bytes());
        is_whole &= line.seq == next && line.leaf == Some(leaf);
        tree.push(leaf);
        next = line.seq.saturating_add(1);
        if let Some(seal) = seal.as_ref().filter(|seal| seal.last_seq == line.seq) {
            is_whole &= tree.root() == seal.root;
        }
        Ok::<(), rusqlite::Error>(())
    })?;
    is_whole &= next == last_seq.saturating_add(1);
    Ok(if is_whole { RebuiltPart::Whole(tree) } else { RebuiltPart::Altered })
}
