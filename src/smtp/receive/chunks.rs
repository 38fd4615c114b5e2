//! BDAT (RFC 3030 §2): content in chunks of a known length. `chunk` reads the content itself.

use super::{Action, ChunkedMessage, Left, Phase, Session, Transaction};
use crate::mail::{BodyType, Enhanced, Extension, Reply};
use crate::smtp::chunk::ChunkScanner;
use crate::smtp::command::{Chunk, CommandFault};
use crate::smtp::data::ContentSink;

impl Session {
    /// Whatever the reply is, the octets of the chunk follow and are never taken for commands.
    pub(super) fn on_bdat(&mut self, chunk: Chunk, sink: &mut dyn ContentSink) -> Option<Action> {
        if !self.offered().offers(Extension::Chunking) {
            return self.refuse_chunk(chunk, CommandFault::Withheld(Extension::Chunking).reply());
        }
        let chunked = match std::mem::replace(&mut self.phase, Phase::Ready) {
            Phase::Chunks(chunked) => {
                if let Some(fault) = chunked.scanner.fault_with(chunk.octets) {
                    sink.discard();
                    return self.end_transaction(chunk, *chunked.transaction, fault.reply());
                }
                chunked
            }
            Phase::Envelope(transaction) if transaction.has_recipient() => {
                match self.first_chunk(&transaction, chunk) {
                    Ok(scanner) => {
                        let opened = self.open_content(&transaction, sink);
                        Box::new(ChunkedMessage { transaction, scanner, opened })
                    }
                    // Chunks that follow must not be taken for the message's first one.
                    Err(reply) => return self.end_transaction(chunk, *transaction, reply),
                }
            }
            Phase::Envelope(transaction) => {
                let refused = transaction.refused > 0;
                self.phase = Phase::Envelope(transaction);
                let reply = if refused {
                    Reply::new(554, Enhanced(5, 5, 1), "no valid recipients")
                } else {
                    Reply::new(503, Enhanced(5, 5, 1), "RCPT comes first")
                };
                return self.refuse_chunk(chunk, reply);
            }
            phase @ (Phase::Ready
            | Phase::Content(..)
            | Phase::Chunk(..)
            | Phase::Commit(_)
            | Phase::Auth(_)
            | Phase::Asked(..)
            | Phase::Verify
            | Phase::Assess(_)
            | Phase::Handshake(_)
            | Phase::Closed) => {
                self.phase = phase;
                let reply = Reply::new(503, Enhanced(5, 5, 1), "MAIL and RCPT come first");
                return self.refuse_chunk(chunk, reply);
            }
        };
        // Forcing a reply for every few octets would be a way to waste our time.
        if !chunk.last && chunk.octets < CHUNK_BYTES_MIN && self.tally.waste(self.rules.patience) {
            sink.discard();
            return Some(self.close_for_waste());
        }
        let left = Left { octets: chunk.octets, last: chunk.last };
        if left.octets == 0 {
            return self.end_chunk(chunked, left, sink);
        }
        self.phase = Phase::Chunk(chunked, left);
        None
    }

    /// What reads a message whose first chunk this is, unless it is refused for the chunk's size alone.
    fn first_chunk(&self, transaction: &Transaction, chunk: Chunk) -> Result<ChunkScanner, Reply> {
        let binary = transaction.envelope.body == BodyType::BinaryMime;
        let scanner = ChunkScanner::new(self.content_limits(transaction), binary);
        match scanner.fault_with(chunk.octets) {
            Some(fault) => Err(fault.reply()),
            None => self.rules.room.takes(transaction.declared.max(chunk.octets)).map(|()| scanner),
        }
    }

    /// Refuses a message at the announcement of a chunk.
    fn end_transaction(&mut self, chunk: Chunk, transaction: Transaction, reply: Reply) -> Option<Action> {
        self.phase = Phase::Ready;
        let closing = self.refuse_content(transaction, reply);
        closing.or_else(|| self.pass_over(chunk))
    }

    /// Refuses a chunk before it comes.
    pub(super) fn refuse_chunk(&mut self, chunk: Chunk, reply: Reply) -> Option<Action> {
        let closing = self.refuse("BDAT", reply, None);
        closing.or_else(|| self.pass_over(chunk))
    }

    /// The octets of a refused chunk are not taken for commands. A client that announces far more than a message may
    /// have is not waited for: whatever it sends would cost us its traffic, and a place, for as long as it likes.
    fn pass_over(&mut self, chunk: Chunk) -> Option<Action> {
        if chunk.last {
            // What comes then does not follow from this refusal.
            self.tally.turn_over();
        }
        if chunk.octets > self.rules.content.message_bytes_max.saturating_mul(PASSED_OVER_MESSAGES) {
            self.phase = Phase::Closed;
            return Some(Action::Close);
        }
        self.unwanted = chunk.octets;
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
        let ChunkedMessage { transaction, scanner, .. } = &mut *chunked;
        scanner.feed(rest.get(..count).unwrap_or_default(), &mut transaction.sink(&self.rules.name, sink));
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
            let ChunkedMessage { transaction, scanner, .. } = &mut *chunked;
            let mut through = transaction.sink(&self.rules.name, sink);
            scanner.finish(&mut through);
            through.finish();
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
/// A refused chunk is passed over up to the size of so many of the largest messages.
const PASSED_OVER_MESSAGES: u64 = 2;
