//! What a host without 8BITMIME is sent of a message: the content, or a conversion of it, made away from the threads
//! that carry mail, one at a time.

use std::io;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::declare::{SevenBitForm, is_seven_bit};
use super::seven_bit::{ConversionFault, Edit, convert};
use crate::connector::EightBit;
use crate::mail::{Content, ContentSource};

/// Converts messages, one at a time.
pub(super) struct Converter {
    turn: Arc<Semaphore>,
}

impl Default for Converter {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Converter {
    /// What a host without 8BITMIME is sent of this content.
    ///
    /// # Errors
    /// The content can't be read.
    pub(super) async fn form(&self, content: &Content, wish: EightBit) -> io::Result<SevenBitForm> {
        if let Some(form) = at_once(content) {
            return Ok(form);
        }
        let scanned = content.clone();
        if spawn_blocking(move || is_seven_bit(&scanned)).await?? {
            return Ok(SevenBitForm::AsIs);
        }
        match wish {
            EightBit::Report => return Ok(SevenBitForm::Refused(ConversionFault::Off)),
            EightBit::Convert if content.len() > CONTENT_BYTES_MAX => {
                return Ok(SevenBitForm::Refused(ConversionFault::Large));
            }
            EightBit::Convert => {}
        }
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(io::Error::other)?;
        let content = content.clone();
        spawn_blocking(move || {
            // Kept to the end, even if nobody waits for the result any more.
            let _turn = turn;
            converted(&content)
        })
        .await?
    }
}

/// The form of content in memory that has no 8-bit octets.
pub(super) fn at_once(content: &Content) -> Option<SevenBitForm> {
    match content {
        Content::Held(bytes) if bytes.is_ascii() => Some(SevenBitForm::AsIs),
        Content::Held(_) | Content::Source(_) => None,
    }
}

fn converted(content: &Content) -> io::Result<SevenBitForm> {
    let wire = whole(content)?;
    let edits = match convert(&wire) {
        Ok(edits) => edits,
        Err(fault) => return Ok(SevenBitForm::Refused(fault)),
    };
    let pieces = pieces(edits, wire.len());
    let spliced = SplicedContent::new(content.clone(), pieces);
    let content = match content {
        Content::Held(_) => Content::Held(whole(&Content::Source(Arc::new(spliced)))?.into()),
        Content::Source(_) => Content::Source(Arc::new(spliced)),
    };
    Ok(SevenBitForm::Converted(content))
}

/// Reads all of it.
fn whole(content: &Content) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(content.len()).map_err(io::Error::other)?];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let count = content.read_at(rest, octets(done))?;
        if count == 0 {
            return Err(io::Error::other("it is shorter than recorded"));
        }
        done = done.saturating_add(count);
    }
    Ok(bytes)
}

/// What is kept of content of this length, and what takes the place of the rest.
fn pieces(edits: Vec<Edit>, length: usize) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(edits.len().saturating_mul(2).saturating_add(1));
    let mut kept_from = 0;
    for Edit { at, text } in edits {
        pieces.push(Piece::Kept {
            from: octets(kept_from),
            length: octets(at.start.saturating_sub(kept_from)),
        });
        pieces.push(Piece::New(text.into_boxed_slice()));
        kept_from = at.end;
    }
    pieces.push(Piece::Kept { from: octets(kept_from), length: octets(length.saturating_sub(kept_from)) });
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

/// Octets of content that is converted; it is read into memory for that.
const CONTENT_BYTES_MAX: u64 = 64 << 20;
