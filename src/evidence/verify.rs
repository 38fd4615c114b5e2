//! Whether the record is what was written: statements, then every event of every part they are about.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::mail::rfc3339;
use crate::seal::{Chain, ChainBreak, GrowingTree, Hash, KeptElsewhere, PartSeal, Statement, StatementBody};
use crate::trace::{RecordPart, RecordedLine, TraceReader, date_of_day};

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// The version of this record.
    pub version: u32,
    /// The name of the relay, as its first statement gives it.
    pub site: Option<String>,
    /// The fingerprint of the first key, which whoever relies on the record compares.
    pub first_key: Option<Hash>,
    /// Statements that can be relied on.
    pub statements: usize,
    /// How many of them have a time stamp (RFC 3161) about them.
    pub stamped: usize,
    /// The last of them: its number, date and hash.
    pub last: Option<LastStatement>,
    /// The days that were looked at, in order.
    pub days: Vec<DayVerdict>,
    /// What is broken, the earliest first.
    #[serde(skip)]
    pub breaks: Vec<RecordBreak>,
}

/// The last statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastStatement {
    /// Its number.
    pub number: u64,
    /// When it was made, in RFC 3339 format.
    pub at: String,
    /// Its hash.
    pub hash: Hash,
}

/// The events of a day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DayVerdict {
    /// The day, as a date.
    pub day: String,
    /// Events that are there.
    pub events: u64,
    /// Those of them that a statement seals.
    pub sealed: u64,
    /// Events that were removed by the rules for keeping them.
    pub removed: u64,
    /// Events about accepted mail that could not be kept.
    pub dropped: u64,
    /// Whether all of it is as it was written.
    pub is_whole: bool,
}

/// Where the record is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordBreak {
    /// Among the statements.
    #[error("{0}")]
    Chain(#[from] ChainBreak),
    /// An event is not what it was.
    #[error("{day}: event {seq} was altered: {line}")]
    Altered {
        /// The day of its part.
        day: String,
        /// Its number.
        seq: u64,
        /// What it says now.
        line: String,
    },
    /// Events are not there.
    #[error("{day}: {} removed", events(*.from, *.to, "was", "were"))]
    Removed {
        /// The day of their part.
        day: String,
        /// The first one.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// Events are there that were not written.
    #[error("{day}: {} not there when the day was sealed", events(*.from, *.to, "was", "were"))]
    Added {
        /// The day of their part.
        day: String,
        /// The first one.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// Events are there that belong elsewhere.
    #[error("{day}: it has {}, which {} to another place: days were exchanged", events(*.from, *.to, "", "").trim_end(), if from == to { "belongs" } else { "belong" })]
    Exchanged {
        /// The day of the part in which they are.
        day: String,
        /// The first one.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// Events and their own hashes were altered together.
    #[error("{day}: {} not what statement {statement} has sealed", events(*.from, *.to, "is", "are, together,"))]
    Replaced {
        /// The day of their part.
        day: String,
        /// The first one that may be.
        from: u64,
        /// The last one.
        to: u64,
        /// The statement.
        statement: u64,
    },
    /// The store gives a part another day than the statement.
    #[error("{says}: statement {statement} says that these events are of {sealed}: days were exchanged")]
    AnotherDay {
        /// What the store says.
        says: String,
        /// What was sealed.
        sealed: String,
        /// The statement.
        statement: u64,
    },
}

fn events(from: u64, to: u64, one: &str, many: &str) -> String {
    if from == to { format!("event {from} {one}") } else { format!("events {from} to {to} {many}") }
}

impl RecordBreak {
    /// The day that it is about, if it is about one.
    pub(super) fn day(&self) -> Option<&str> {
        match self {
            Self::Chain(_) => None,
            Self::Altered { day, .. }
            | Self::Removed { day, .. }
            | Self::Added { day, .. }
            | Self::Exchanged { day, .. }
            | Self::Replaced { day, .. }
            | Self::AnotherDay { says: day, .. } => Some(day),
        }
    }
}

/// What the statements say of a part.
#[derive(Debug, Default)]
struct PartHistory {
    /// The seals, each with its statement, in order.
    seals: Vec<(u64, PartSeal)>,
    is_closed: bool,
    is_removed: bool,
    dropped: u64,
}

impl Verification {
    /// Verifies the statements, and the events of these days.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn of(
        reader: &TraceReader,
        kept: &KeptElsewhere,
        is_wanted: impl Fn(&str) -> bool,
    ) -> rusqlite::Result<Self> {
        let (signed, parts) = reader.record()?;
        let mut chain = Chain::verified(&signed);
        chain.compare(kept);
        let mut found = Self {
            version: 1,
            site: chain.statements.first().map(|(first, _)| first.site.clone()),
            first_key: chain.statements.first().map(|(first, _)| first.key),
            statements: chain.statements.len(),
            stamped: chain.stamped,
            last: chain.statements.last().map(|(last, hash)| LastStatement {
                number: last.number,
                at: rfc3339(last.at),
                hash: *hash,
            }),
            days: Vec::new(),
            breaks: chain.breaks.iter().cloned().map(RecordBreak::from).collect(),
        };
        let mut days = BTreeMap::new();
        let parts: BTreeMap<u64, RecordPart> = parts.into_iter().map(|part| (part.part, part)).collect();
        let mut histories = histories(&chain.statements);
        for number in parts.keys() {
            histories.entry(*number).or_default();
        }
        for (number, history) in &histories {
            let stored = parts.get(number);
            let day = match (history.seals.last(), stored) {
                (Some((_, seal)), _) => seal.day.clone(),
                (None, Some(part)) => date_of_day(part.day),
                (None, None) => continue,
            };
            if !is_wanted(&day) {
                continue;
            }
            let verdict: &mut DayVerdict = days.entry(day.clone()).or_default();
            verdict.day.clone_from(&day);
            verdict.dropped = verdict.dropped.saturating_add(history.dropped);
            match stored {
                Some(part) => match found.part(reader, part, history, (&day, verdict)) {
                    // It was removed by the rules while this went on.
                    Err(_) if is_removed_by_now(reader, *number)? => {
                        verdict.removed = verdict.removed.saturating_add(size(part));
                    }
                    done => done?,
                },
                None => found.absent(history, (&day, verdict)),
            }
        }
        found.days = days.into_values().collect();
        for verdict in &mut found.days {
            verdict.is_whole = !found.breaks.iter().any(|one| one.day() == Some(&verdict.day));
        }
        Ok(found)
    }

    /// Whether nothing is broken.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.breaks.is_empty()
    }

    /// A part that is not there.
    fn absent(&mut self, history: &PartHistory, (day, verdict): (&str, &mut DayVerdict)) {
        let Some((_, seal)) = history.seals.last() else { return };
        if history.is_removed {
            verdict.removed = verdict.removed.saturating_add(seal.size());
        } else {
            let (day, from, to) = (day.to_owned(), seal.first_seq, seal.last_seq);
            self.breaks.push(RecordBreak::Removed { day, from, to });
        }
    }

    fn part(
        &mut self,
        reader: &TraceReader,
        part: &RecordPart,
        history: &PartHistory,
        (day, verdict): (&str, &mut DayVerdict),
    ) -> rusqlite::Result<()> {
        if let Some((statement, seal)) = history.seals.last()
            && seal.day != date_of_day(part.day)
        {
            self.breaks.push(RecordBreak::AnotherDay {
                says: date_of_day(part.day),
                sealed: seal.day.clone(),
                statement: *statement,
            });
        }
        let mut walk = EventWalk::new(part, history, day);
        reader.record_lines(part, |line| {
            walk.see(&line);
            Ok::<(), rusqlite::Error>(())
        })?;
        walk.end();
        verdict.events = verdict.events.saturating_add(walk.events);
        verdict.sealed = verdict.sealed.saturating_add(walk.sealed);
        self.breaks.append(&mut walk.breaks);
        Ok(())
    }
}

fn is_removed_by_now(reader: &TraceReader, part: u64) -> rusqlite::Result<bool> {
    let (signed, _) = reader.record()?;
    let histories = histories(&Chain::verified(&signed).statements);
    Ok(histories.get(&part).is_some_and(|history| history.is_removed))
}

fn size(part: &RecordPart) -> u64 {
    part.last_seq.saturating_add(1).saturating_sub(part.first_seq)
}

fn histories(statements: &[(Statement, Hash)]) -> BTreeMap<u64, PartHistory> {
    let (mut histories, mut dropped) = (BTreeMap::<u64, PartHistory>::new(), 0_u64);
    for (statement, _) in statements {
        dropped = dropped.saturating_add(statement.dropped);
        match &statement.about {
            StatementBody::Checkpoint(seal) | StatementBody::Closed(seal) => {
                let history = histories.entry(seal.part).or_default();
                history.is_closed |= matches!(statement.about, StatementBody::Closed(_));
                history.seals.push((statement.number, seal.clone()));
                history.dropped = history.dropped.saturating_add(std::mem::take(&mut dropped));
            }
            StatementBody::Removed { part, .. } => histories.entry(*part).or_default().is_removed = true,
            StatementBody::Begun { .. } | StatementBody::NextKey { .. } => {}
        }
    }
    histories
}

/// Goes through the events of a part, one after the other.
struct EventWalk<'a> {
    day: &'a str,
    is_closed: bool,
    is_hashed: bool,
    /// The seals that are still ahead, the next one last.
    ahead: Vec<&'a (u64, PartSeal)>,
    /// The last event that a statement seals.
    sealed_to: u64,
    /// The place of the next event.
    next: u64,
    first: u64,
    /// The first event since the last seal that was compared.
    since: u64,
    tree: GrowingTree,
    /// What follows a break can't have the root that was sealed.
    is_broken: bool,
    events: u64,
    sealed: u64,
    breaks: Vec<RecordBreak>,
}

impl<'a> EventWalk<'a> {
    fn new(part: &RecordPart, history: &'a PartHistory, day: &'a str) -> Self {
        let first = history.seals.first().map_or(part.first_seq, |(_, seal)| seal.first_seq);
        Self {
            day,
            is_closed: history.is_closed,
            is_hashed: part.is_sealed || !history.seals.is_empty(),
            ahead: history.seals.iter().rev().collect(),
            sealed_to: history.seals.last().map_or(0, |(_, seal)| seal.last_seq),
            next: first,
            first,
            since: first,
            tree: GrowingTree::default(),
            is_broken: false,
            events: 0,
            sealed: 0,
            breaks: Vec::new(),
        }
    }

    fn see(&mut self, event: &RecordedLine<'_>) {
        self.events = self.events.saturating_add(1);
        if !self.is_hashed {
            return;
        }
        let seq = event.seq;
        let is_foreign =
            seq < self.first || (self.is_closed && self.tree.size() == 0 && seq > self.sealed_to);
        if is_foreign {
            return self.exchanged(seq);
        }
        if self.is_closed && seq > self.sealed_to {
            return self.added(seq);
        }
        if seq > self.next {
            self.removed(self.next, seq.saturating_sub(1));
        }
        let leaf = Hash::of_leaf(event.line.as_bytes());
        if event.leaf != Some(leaf) {
            self.broken(RecordBreak::Altered { day: self.day.to_owned(), seq, line: shortened(event.line) });
        }
        self.tree.push(leaf);
        self.next = seq.saturating_add(1);
        if seq <= self.sealed_to {
            self.sealed = self.sealed.saturating_add(1);
        }
        while let Some((statement, seal)) = self.ahead.pop_if(|(_, seal)| seal.last_seq <= seq) {
            if !self.is_broken && self.tree.root() != seal.root {
                let (day, from, to) = (self.day.to_owned(), self.since, seal.last_seq);
                self.broken(RecordBreak::Replaced { day, from, to, statement: *statement });
            }
            self.since = seal.last_seq.saturating_add(1);
        }
    }

    fn end(&mut self) {
        if self.next <= self.sealed_to {
            self.removed(self.next, self.sealed_to);
        }
    }

    fn broken(&mut self, place: RecordBreak) {
        self.is_broken = true;
        if self.breaks.len() < BREAKS_MAX {
            self.breaks.push(place);
        }
    }

    fn removed(&mut self, from: u64, to: u64) {
        self.broken(RecordBreak::Removed { day: self.day.to_owned(), from, to });
    }

    /// An event of elsewhere; those that follow each other are named together.
    fn exchanged(&mut self, seq: u64) {
        self.is_broken = true;
        if let Some(RecordBreak::Exchanged { to, .. }) = self.breaks.last_mut()
            && to.saturating_add(1) == seq
        {
            *to = seq;
            return;
        }
        self.broken(RecordBreak::Exchanged { day: self.day.to_owned(), from: seq, to: seq });
    }

    fn added(&mut self, seq: u64) {
        if let Some(RecordBreak::Added { to, .. }) = self.breaks.last_mut() {
            *to = seq;
            return;
        }
        self.broken(RecordBreak::Added { day: self.day.to_owned(), from: seq, to: seq });
    }
}

fn shortened(line: &str) -> String {
    let mut text: String = line.chars().take(LINE_MAX).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    text
}

/// Breaks that are named of one part.
const BREAKS_MAX: usize = 1_000;
/// Characters of an event that are shown.
const LINE_MAX: usize = 160;
