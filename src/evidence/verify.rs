//! Whether the record is what was written: statements, then every event of every part they are about.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::seal::{
    Chain, ChainBreak, ChainOutline, GrowingTree, Hash, KeptElsewhere, PartAccount, PartSeal, RecordAccount,
    SignedStatement,
};
use crate::trace::{RecordPart, RecordedLine, TraceReader, date_of_day};

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// The version of this record.
    pub version: u32,
    /// The statements.
    #[serde(flatten)]
    pub outline: ChainOutline,
    /// The days that were looked at, in order.
    pub days: Vec<DayVerdict>,
    /// What is broken, the earliest first.
    #[serde(skip)]
    pub breaks: Vec<RecordBreak>,
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
    /// Events of the part that is written which no statement seals yet.
    pub waiting: u64,
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

    fn is_about(&self, asked: &str) -> bool {
        let other = match self {
            Self::AnotherDay { sealed, .. } => Some(sealed.as_str()),
            Self::Chain(_)
            | Self::Altered { .. }
            | Self::Removed { .. }
            | Self::Added { .. }
            | Self::Exchanged { .. }
            | Self::Replaced { .. } => None,
        };
        [self.day(), other].contains(&Some(asked))
    }
}

/// The record at one moment, with its statements verified.
pub(super) struct RecordSnapshot {
    pub(super) signed: Vec<SignedStatement>,
    pub(super) chain: Chain,
    pub(super) parts: Vec<RecordPart>,
}

impl RecordSnapshot {
    pub(super) fn of(reader: &TraceReader, kept: &KeptElsewhere) -> rusqlite::Result<Self> {
        let (signed, parts) = reader.record()?;
        let mut chain = Chain::verified(&signed);
        chain.compare(kept);
        Ok(Self { signed, chain, parts })
    }
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
        Self::of_snapshot(reader, &RecordSnapshot::of(reader, kept)?, is_wanted)
    }

    /// The same of what was read before.
    pub(super) fn of_snapshot(
        reader: &TraceReader,
        RecordSnapshot { chain, parts, .. }: &RecordSnapshot,
        is_wanted: impl Fn(&str) -> bool,
    ) -> rusqlite::Result<Self> {
        let mut found = Self {
            version: 1,
            outline: ChainOutline::from(chain),
            days: Vec::new(),
            breaks: chain.breaks.iter().cloned().map(RecordBreak::from).collect(),
        };
        let mut days = BTreeMap::new();
        let parts: BTreeMap<u64, &RecordPart> = parts.iter().map(|part| (part.part, part)).collect();
        let last = parts.last_key_value().map(|(number, _)| *number);
        let numbers: BTreeSet<u64> = chain.account.parts.keys().chain(parts.keys()).copied().collect();
        for number in numbers {
            let (stated, stored) = (chain.account.parts.get(&number), parts.get(&number));
            let day = match (stated.and_then(|one| one.seals.first()), stored) {
                (Some((_, seal)), _) => seal.day.clone(),
                (None, Some(part)) => date_of_day(part.day),
                (None, None) => continue,
            };
            if !is_wanted(&day) {
                continue;
            }
            let verdict: &mut DayVerdict = days.entry(day.clone()).or_default();
            verdict.day.clone_from(&day);
            verdict.dropped = verdict.dropped.saturating_add(stated.map_or(0, |one| one.dropped));
            let place = PartPlace { stated, day: &day, is_last: Some(number) == last };
            match stored {
                Some(part) => match found.part(reader, part, (&place, &chain.account), verdict) {
                    // It was removed by the rules while this went on.
                    Err(_) if is_removed_by_now(reader, number)? => {
                        verdict.removed = verdict.removed.saturating_add(size(part));
                    }
                    done => done?,
                },
                None => found.absent(&place, verdict),
            }
        }
        if let Some((_, verdict)) = days.last_key_value().filter(|_| chain.account.dropped_since() > 0) {
            let day = verdict.day.clone();
            days.entry(day).and_modify(|last| {
                last.dropped = last.dropped.saturating_add(chain.account.dropped_since());
            });
        }
        found.days = days.into_values().collect();
        for verdict in &mut found.days {
            verdict.is_whole = !found.breaks.iter().any(|one| one.is_about(&verdict.day));
        }
        Ok(found)
    }

    /// Whether nothing is broken.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.breaks.is_empty()
    }

    /// A part that is not there.
    fn absent(&mut self, place: &PartPlace<'_>, verdict: &mut DayVerdict) {
        let Some((stated, (_, seal))) = place.stated.and_then(|one| Some((one, one.seals.last()?))) else {
            return;
        };
        if stated.removed.is_some() {
            verdict.removed = verdict.removed.saturating_add(seal.size());
        } else {
            let (day, from, to) = (place.day.to_owned(), seal.first_seq, seal.last_seq);
            self.breaks.push(RecordBreak::Removed { day, from, to });
        }
    }

    fn part(
        &mut self,
        reader: &TraceReader,
        part: &RecordPart,
        (place, account): (&PartPlace<'_>, &RecordAccount),
        verdict: &mut DayVerdict,
    ) -> rusqlite::Result<()> {
        let first = place.stated.and_then(|one| one.seals.first());
        if let Some((statement, seal)) = first.filter(|(_, seal)| seal.day != date_of_day(part.day)) {
            self.breaks.push(RecordBreak::AnotherDay {
                says: date_of_day(part.day),
                sealed: seal.day.clone(),
                statement: *statement,
            });
        }
        // What is in no seal can't be older than what is, unless it was stated that nothing was sealed then.
        let is_older = account.covered.is_some_and(|covered| part.first_seq <= covered);
        let is_stated = |(from, to): &(u64, u64)| *from <= part.first_seq && part.last_seq <= *to;
        if first.is_none() && is_older && !account.unsealed.iter().any(is_stated) {
            let (day, from, to) = (place.day.to_owned(), part.first_seq, part.last_seq);
            self.breaks.push(RecordBreak::Added { day, from, to });
        }
        let mut walk = EventWalk::new(part, place);
        reader.record_lines(part, |line| {
            walk.see(&line);
            Ok::<(), rusqlite::Error>(())
        })?;
        walk.end();
        // No statement speaks of it, and its own row says that there was something.
        if walk.events == 0 && place.stated.is_none_or(|one| one.seals.is_empty()) && size(part) > 0 {
            walk.removed(part.first_seq, part.last_seq);
        }
        verdict.events = verdict.events.saturating_add(walk.events);
        verdict.sealed = verdict.sealed.saturating_add(walk.sealed);
        if place.is_last && part.is_sealed {
            verdict.waiting = verdict.waiting.saturating_add(walk.events.saturating_sub(walk.sealed));
        }
        self.breaks.append(&mut walk.breaks);
        Ok(())
    }
}

/// A part among the others.
struct PartPlace<'a> {
    /// What statements say of it.
    stated: Option<&'a PartAccount>,
    day: &'a str,
    /// Whether it is the one that is written.
    is_last: bool,
}

fn is_removed_by_now(reader: &TraceReader, part: u64) -> rusqlite::Result<bool> {
    let (signed, parts) = reader.record()?;
    let account = Chain::verified(&signed).account;
    let is_there = parts.iter().any(|one| one.part == part);
    Ok(!is_there && account.parts.get(&part).is_none_or(|one| one.removed.is_some()))
}

fn size(part: &RecordPart) -> u64 {
    part.last_seq.saturating_add(1).saturating_sub(part.first_seq)
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
    fn new(part: &RecordPart, place: &PartPlace<'a>) -> Self {
        let seals = place.stated.map_or(&[][..], |one| &one.seals);
        let first = seals.first().map_or(part.first_seq, |(_, seal)| seal.first_seq);
        // In the order of what they seal: a later one may say less only where somebody has tampered.
        let mut ahead: Vec<&(u64, PartSeal)> = seals.iter().collect();
        ahead.sort_by_key(|(statement, seal)| (Reverse(seal.last_seq), Reverse(*statement)));
        Self {
            day: place.day,
            is_closed: place.stated.is_some_and(|one| one.is_closed),
            is_hashed: part.is_sealed || !seals.is_empty(),
            sealed_to: ahead.first().map_or(0, |(_, seal)| seal.last_seq),
            ahead,
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
