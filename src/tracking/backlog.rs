//! Log lines waiting to be written, in order. Facts are kept up to a memory bound, other lines only while few
//! octets are waiting.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

/// Waiting lines, and what was dropped since the last report.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Whole lines; no chunk is empty.
    chunks: VecDeque<Vec<u8>>,
    /// An emptied chunk, reused for its allocation.
    spare: Vec<u8>,
    waiting: usize,
    /// Octets taken but not yet written.
    writing: usize,
    dropped: DroppedLines,
    /// The drop counts were taken, but the line that reports them is not queued yet.
    reporting: bool,
}

/// Counts of dropped lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DroppedLines {
    pub(super) facts: u64,
    /// Lines that are not facts, by level and target.
    others: BTreeMap<String, u64>,
}

impl Backlog {
    /// Queues a fact, unless the backlog would exceed [`FACTS_BYTES_MAX`]. Returns whether it was kept.
    pub(super) fn push_fact(&mut self, line: &[u8]) -> bool {
        let kept = self.held().saturating_add(line.len()) <= FACTS_BYTES_MAX;
        if kept {
            self.push(line);
        } else {
            self.dropped.facts = self.dropped.facts.saturating_add(1);
        }
        kept
    }

    /// Queues a line; the caller has checked [`Self::is_full`].
    pub(super) fn push(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        self.waiting = self.waiting.saturating_add(line.len());
        match self.chunks.back_mut() {
            Some(last) if last.len().saturating_add(line.len()) <= CHUNK_BYTES => {
                last.extend_from_slice(line)
            }
            _ => {
                let mut chunk = std::mem::take(&mut self.spare);
                chunk.reserve(CHUNK_BYTES.max(line.len()));
                chunk.extend_from_slice(line);
                self.chunks.push_back(chunk);
            }
        }
    }

    /// Whether lines that are not facts have to be dropped.
    pub(super) fn is_full(&self) -> bool {
        self.held() >= OTHERS_BYTES_MAX
    }

    /// Counts a dropped line.
    pub(super) fn drop_other(&mut self, level: &str, target: &str) {
        let others = &mut self.dropped.others;
        let mut what = format!("{level} {target}");
        if others.len() >= KINDS_MAX && !others.contains_key(&what) {
            "others".clone_into(&mut what);
        }
        let count = others.entry(what).or_default();
        *count = count.saturating_add(1);
    }

    /// Takes the oldest chunk of lines to be written.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let chunk = self.chunks.pop_front()?;
        self.waiting = self.waiting.saturating_sub(chunk.len());
        self.writing = chunk.len();
        Some(chunk)
    }

    /// Marks the taken chunk as written.
    pub(super) fn written(&mut self, mut chunk: Vec<u8>) {
        self.writing = 0;
        chunk.clear();
        if chunk.capacity() <= CHUNK_BYTES {
            self.spare = chunk;
        }
    }

    /// Takes the drop counts once there is room again. The caller reports them, then calls
    /// [`Self::reported`].
    pub(super) fn take_dropped(&mut self) -> Option<DroppedLines> {
        if !self.has_dropped() || self.held() > OTHERS_BYTES_MAX / 2 {
            return None;
        }
        self.reporting = true;
        Some(std::mem::take(&mut self.dropped))
    }

    pub(super) fn has_dropped(&self) -> bool {
        self.dropped != DroppedLines::default()
    }

    pub(super) fn reported(&mut self) {
        self.reporting = false;
    }

    /// Whether everything is written and reported.
    pub(super) fn is_settled(&self) -> bool {
        self.held() == 0 && !self.reporting && !self.has_dropped()
    }

    fn held(&self) -> usize {
        self.waiting.saturating_add(self.writing)
    }
}

impl DroppedLines {
    /// Number of dropped lines, facts included.
    pub(super) fn count(&self) -> u64 {
        self.others.values().fold(self.facts, |sum, count| sum.saturating_add(*count))
    }

    /// A summary by level and target: `INFO sealpost::message 3, DEBUG sealpost::listen 1`.
    pub(super) fn kinds(&self) -> String {
        let mut text = String::new();
        let facts = (self.facts > 0).then_some(("facts", self.facts));
        let others = self.others.iter().map(|(what, count)| (what.as_str(), *count));
        for (what, count) in facts.into_iter().chain(others) {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{what} {count}");
        }
        text
    }
}

/// Maximum octets of all waiting lines; beyond this, facts are dropped too.
pub(super) const FACTS_BYTES_MAX: usize = 64 << 20;
/// While this many octets are waiting, only facts are kept.
pub(super) const OTHERS_BYTES_MAX: usize = 1 << 20;
/// Maximum octets of one write: the size of a pipe's buffer.
const CHUNK_BYTES: usize = 64 << 10;
/// Kinds of dropped lines that are counted separately.
const KINDS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(backlog: &mut Backlog) -> Vec<u8> {
        let mut octets = Vec::new();
        while let Some(chunk) = backlog.take() {
            octets.extend_from_slice(&chunk);
            backlog.written(chunk);
        }
        octets
    }

    #[test]
    fn lines_come_out_in_their_order_whatever_their_class() {
        let mut backlog = Backlog::default();
        let mut expected = Vec::new();
        for number in 0..5_000_u32 {
            let line =
                format!("line {number} {}\n", "x".repeat(usize::try_from(number % 90).expect("small")));
            expected.extend_from_slice(line.as_bytes());
            if number % 3 == 0 {
                backlog.push(line.as_bytes());
            } else {
                assert!(backlog.push_fact(line.as_bytes()));
            }
        }
        let long = vec![b'y'; 3 * CHUNK_BYTES];
        assert!(backlog.push_fact(&long));
        backlog.push(b"");
        expected.extend_from_slice(&long);
        assert!(!backlog.is_settled());
        assert!(drained(&mut backlog) == expected);
        assert!(backlog.is_settled() && backlog.take().is_none());
    }

    #[test]
    fn facts_have_room_where_others_have_none_and_memory_is_bounded() {
        let mut backlog = Backlog::default();
        let line = [b'x'; 1 << 10];
        let mut kept: usize = 0;
        while !backlog.is_full() {
            backlog.push(&line);
            kept += 1;
        }
        assert_eq!(kept, OTHERS_BYTES_MAX >> 10);
        // A chunk being written counts too: it still uses memory.
        let writing = backlog.take().expect("lines");
        assert!(backlog.is_full());
        let refused = (0..(FACTS_BYTES_MAX >> 10)).filter(|_| !backlog.push_fact(&line)).count();
        assert_eq!(refused, kept);
        assert_eq!(backlog.dropped.facts, u64::try_from(kept).expect("small"));
        assert_eq!(backlog.held(), FACTS_BYTES_MAX);
        backlog.written(writing);
        assert_eq!(drained(&mut backlog).len(), FACTS_BYTES_MAX - CHUNK_BYTES);
    }

    #[test]
    fn what_was_dropped_is_reported_once_there_is_room() {
        let mut backlog = Backlog::default();
        backlog.push(&[b'x'; OTHERS_BYTES_MAX]);
        backlog.drop_other("INFO", "a");
        backlog.drop_other("DEBUG", "b");
        backlog.drop_other("INFO", "a");
        assert_eq!(backlog.take_dropped(), None);
        let chunk = backlog.take().expect("a line");
        assert_eq!(backlog.take_dropped(), None);
        backlog.written(chunk);
        let dropped = backlog.take_dropped().expect("there is room");
        assert_eq!((dropped.count(), dropped.kinds().as_str()), (3, "DEBUG b 1, INFO a 2"));
        assert!(!backlog.is_settled(), "the line about it is still to come");
        backlog.reported();
        assert!(backlog.is_settled() && backlog.take_dropped().is_none());
        (0..100).for_each(|number| backlog.drop_other("INFO", &number.to_string()));
        let dropped = backlog.take_dropped().expect("there is room");
        assert_eq!(
            (dropped.count(), dropped.others.len(), dropped.others.get("others")),
            (100, 33, Some(&68))
        );
    }
}
