//! What a session's driver can read from it: output, refusals, and where it stands.

use std::mem;

use super::{CountedRefusal, Phase, Refusal, RepeatedRefusals, Session};

impl Session {
    /// Takes the pending replies, to be sent in one write; the session keeps none.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        self.lines_in_turn = 0;
        mem::take(&mut self.out)
    }

    /// Takes the refusals since the last call that are to be logged in full.
    #[must_use]
    pub fn take_refusals(&mut self) -> Vec<Refusal> {
        mem::take(&mut self.refusals)
    }

    /// Takes all refusals since the last call, to be counted.
    #[must_use]
    pub fn take_counted(&mut self) -> Vec<CountedRefusal> {
        mem::take(&mut self.counted)
    }

    /// The number of further refusals, by kind. Call it once a message was accepted, and when the
    /// session is over.
    #[must_use]
    pub fn take_repeated(&mut self) -> Vec<RepeatedRefusals> {
        self.repeats.take()
    }

    /// The number of the line that has begun and is incomplete, if any.
    #[must_use]
    pub fn line_begun(&self) -> Option<u64> {
        self.lines.has_begun().then_some(self.lines_read)
    }

    /// Whether a transaction is under way.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        match self.phase {
            Phase::Envelope(_)
            | Phase::Asked(..)
            | Phase::Content(..)
            | Phase::Chunk(..)
            | Phase::Chunks(_)
            | Phase::Commit(_)
            | Phase::Handshake(Some(_)) => true,
            Phase::Ready
            | Phase::Auth(_)
            | Phase::Verify
            | Phase::Assess(_)
            | Phase::Handshake(None)
            | Phase::Closed => false,
        }
    }

    /// Whether content is arriving.
    #[must_use]
    pub fn in_content(&self) -> bool {
        // Between chunks too: a message's content has one time limit.
        let within = matches!(self.phase, Phase::Content(..) | Phase::Chunk(..) | Phase::Chunks(_));
        within || self.unwanted > 0
    }
}
