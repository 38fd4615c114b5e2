//! Content of which ranges are replaced: what is kept stays where it is stored. It decides nothing about them.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::{Content, ContentSource};

/// A range of octets, and what takes its place. Both are in wire form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; empty if text is only inserted.
    pub at: Range<usize>,
    /// What takes its place; empty if the range is only removed.
    pub text: Vec<u8>,
}

impl Edit {
    /// Removes a range.
    #[must_use]
    pub fn removal(at: Range<usize>) -> Self {
        Self { at, text: Vec::new() }
    }
}

/// Octets after edits, which are in order and do not overlap.
#[must_use]
pub fn edited(octets: &[u8], edits: &[Edit]) -> Vec<u8> {
    let added: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut out = Vec::with_capacity(octets.len().saturating_add(added));
    let mut kept_from = 0;
    for Edit { at, text } in edits {
        out.extend_from_slice(octets.get(kept_from..at.start).unwrap_or_default());
        out.extend_from_slice(text);
        kept_from = at.end;
    }
    out.extend_from_slice(octets.get(kept_from..).unwrap_or_default());
    out
}

impl Content {
    /// The content after edits, which are in order and do not overlap.
    #[must_use]
    pub fn edited(&self, edits: Vec<Edit>) -> Self {
        match self {
            Self::Held(bytes) => Self::Held(edited(bytes, &edits).into()),
            Self::Source(source) => {
                Self::Source(Arc::new(SplicedContent::new(self.clone(), pieces(edits, source.len()))))
            }
        }
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// The I/O error of the read, or content that ends early.
    pub fn whole(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.len()).map_err(io::Error::other)?];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let count = self.read_at(rest, octets(done))?;
            if count == 0 {
                return Err(io::Error::other("it is shorter than recorded"));
            }
            done = done.saturating_add(count);
        }
        Ok(bytes)
    }
}

/// What is kept of content of this length, and what takes the place of the rest.
fn pieces(edits: Vec<Edit>, length: u64) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(edits.len().saturating_mul(2).saturating_add(1));
    let mut kept_from = 0;
    for Edit { at, text } in edits {
        pieces.push(Piece::Kept { from: kept_from, length: octets(at.start).saturating_sub(kept_from) });
        pieces.push(Piece::New(text.into_boxed_slice()));
        kept_from = octets(at.end);
    }
    pieces.push(Piece::Kept { from: kept_from, length: length.saturating_sub(kept_from) });
    pieces.retain(|piece| piece.length() > 0);
    pieces
}

fn octets(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A piece of spliced content.
enum Piece {
    /// Octets of the original content.
    Kept {
        from: u64,
        length: u64,
    },
    New(Box<[u8]>),
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Self::Kept { length, .. } => *length,
            Self::New(text) => octets(text.len()),
        }
    }
}

/// Content of which pieces were replaced; the others stay where they are stored.
struct SplicedContent {
    original: Content,
    /// Each piece and where it ends.
    pieces: Vec<(u64, Piece)>,
}

impl SplicedContent {
    fn new(original: Content, pieces: Vec<Piece>) -> Self {
        let mut end = 0_u64;
        let placed = pieces.into_iter().map(|piece| {
            end = end.saturating_add(piece.length());
            (end, piece)
        });
        Self { original, pieces: placed.collect() }
    }

    /// As [`ContentSource::read_at`], but not beyond the end of a piece.
    fn read_piece(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let place = self.pieces.partition_point(|(end, _)| *end <= offset);
        let Some((end, piece)) = self.pieces.get(place) else { return Ok(0) };
        let left = end.saturating_sub(offset);
        let skipped = piece.length().saturating_sub(left);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..count).unwrap_or_default();
        match piece {
            Piece::Kept { from, .. } => self.original.read_at(buffer, from.saturating_add(skipped)),
            Piece::New(text) => {
                let start = usize::try_from(skipped).unwrap_or(usize::MAX);
                let text = text.get(start..).and_then(|rest| rest.get(..count)).unwrap_or_default();
                buffer.copy_from_slice(text);
                Ok(count)
            }
        }
    }
}

impl ContentSource for SplicedContent {
    fn len(&self) -> u64 {
        self.pieces.last().map_or(0, |(end, _)| *end)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let count = self.read_piece(rest, offset.saturating_add(octets(done)))?;
            if count == 0 {
                break;
            }
            done = done.saturating_add(count);
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, edits: &[(Range<usize>, &str)], expected: &str) {
        let edits: Vec<Edit> =
            edits.iter().map(|(at, text)| Edit { at: at.clone(), text: text.as_bytes().to_vec() }).collect();
        let held = Content::Held(text.as_bytes().into());
        let stored =
            Content::Source(Arc::new(SplicedContent::new(held.clone(), pieces(Vec::new(), held.len()))));
        for content in [held, stored] {
            let edited = content.edited(edits.clone());
            assert_eq!(edited.len(), octets(expected.len()), "{text:?}");
            assert_eq!(String::from_utf8(edited.whole().expect("readable")).expect("text"), expected);
        }
    }

    #[test]
    fn content_in_memory_and_in_a_file_is_edited_alike() {
        check("abcdef", &[], "abcdef");
        check("abcdef", &[(0..2, ""), (3..3, "XY"), (5..6, "z")], "cXYdez");
        check("abcdef", &[(0..0, "1"), (0..1, ""), (1..1, "2"), (6..6, "3")], "12bcdef3");
        check("", &[(0..0, "a")], "a");
        check("abc", &[(0..3, "")], "");
    }
}
