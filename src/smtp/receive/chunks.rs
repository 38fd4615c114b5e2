//! BDAT (RFC 3030 §2): content in chunks of a known length. `chunk` reads the content itself.

use super::{Action, ChunkedMessage, Left, Phase, Session};
use crate::mail::{BodyType, Enhanced, Extension, Reply};
use crate::smtp::chunk::ChunkScanner;
use crate::smtp::command::{Chunk, CommandFault};
use crate::smtp::data::ContentSink;

impl Session {
    /// Whatever the reply is, the octets of the chunk follow and are never taken for commands.
    pub(super) fn on_bdat(&mut self, chunk: Chunk, sink: &mut dyn ContentSink) -> Option<Action> {
        // Forcing a reply for every few octets would be a way to waste our time.
        if !chunk.last && chunk.octets < CHUNK_BYTES_MIN && self.tally.waste(self.rules.patience) {
            sink.discard();
            return Some(self.close_for_waste());
        }
        if !self.offered().offers(Extension::Chunking) {
            self.unwanted = chunk.octets;
            return self.refuse("BDAT", CommandFault::Withheld(Extension::Chunking).reply(), None);
        }
        let chunked = match std::mem::replace(&mut self.phase, Phase::Ready) {
            Phase::Chunks(chunked) => chunked,
            Phase::Envelope(transaction) if !transaction.envelope.recipients.is_empty() => {
                if let Err(reply) = self.rules.room.takes(transaction.declared) {
                    self.phase = Phase::Envelope(transaction);
                    self.unwanted = chunk.octets;
                    return self.refuse("BDAT", reply, None);
                }
                let opened = self.open_content(&transaction, sink);
                let binary = transaction.envelope.body == BodyType::BinaryMime;
                let scanner = ChunkScanner::new(self.content_limits(&transaction), binary);
                Box::new(ChunkedMessage { transaction, scanner, opened })
            }
            Phase::Envelope(transaction) => {
                let refused = transaction.refused > 0;
                self.phase = Phase::Envelope(transaction);
                self.unwanted = chunk.octets;
                if refused {
                    let reply = Reply::new(554, Enhanced(5, 5, 1), "no valid recipients");
                    return self.refuse("BDAT", reply, None);
                }
                return self.out_of_order("BDAT", "RCPT comes first");
            }
            phase @ (Phase::Ready
            | Phase::Content(..)
            | Phase::Chunk(..)
            | Phase::Commit(_)
            | Phase::Auth(_)
            | Phase::Asked(..)
            | Phase::Verify
            | Phase::Handshake(_)
            | Phase::Closed) => {
                self.phase = phase;
                self.unwanted = chunk.octets;
                return self.out_of_order("BDAT", "MAIL and RCPT come first");
            }
        };
        let left = Left { octets: chunk.octets, last: chunk.last };
        if left.octets == 0 {
            return self.end_chunk(chunked, left, sink);
        }
        self.phase = Phase::Chunk(chunked, left);
        None
    }

    pub(super) fn on_chunk(
        &mut self,
        rest: &[u8],
        mut chunked: Box<ChunkedMessage>,
        left: Left,
        sink: &mut dyn ContentSink,
    ) -> (usize, Option<Action>) {
        let count = usize::try_from(left.octets).unwrap_or(usize::MAX).min(rest.len());
        chunked.scanner.feed(rest.get(..count).unwrap_or_default(), sink);
        let taken = u64::try_from(count).unwrap_or(u64::MAX);
        let left = Left { octets: left.octets.saturating_sub(taken), ..left };
        if left.octets > 0 {
            self.phase = Phase::Chunk(chunked, left);
            return (count, None);
        }
        (count, self.end_chunk(chunked, left, sink))
    }

    /// A refused chunk ends the transaction: the next chunk has none to belong to.
    fn end_chunk(
        &mut self,
        mut chunked: Box<ChunkedMessage>,
        left: Left,
        sink: &mut dyn ContentSink,
    ) -> Option<Action> {
        self.phase = Phase::Ready;
        if left.last {
            chunked.scanner.finish(sink);
        }
        if left.last || chunked.scanner.fault().is_some() {
            let ChunkedMessage { transaction, scanner, opened } = *chunked;
            return self.conclude(*transaction, opened, (scanner.header(), scanner.fault()), sink);
        }
        self.phase = Phase::Chunks(chunked);
        self.answer(250, Enhanced(2, 0, 0), "chunk received")
    }

    /// Skips the octets of a chunk that was refused before they arrived.
    pub(super) fn skip_unwanted(&mut self, available: usize) -> usize {
        let count = usize::try_from(self.unwanted).unwrap_or(usize::MAX).min(available);
        self.unwanted = self.unwanted.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        count
    }
}

/// Octets of a chunk below which it counts as waste, unless it is the last one.
const CHUNK_BYTES_MIN: u64 = 64;
