//! What a session shows to whoever drives it.

use std::mem;

use super::{Phase, Refusal, RepeatedRefusals, Session};

impl Session {
    /// The replies owed, to be sent in one write; the session keeps nothing of them.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        self.lines_in_turn = 0;
        mem::take(&mut self.out)
    }

    /// What was refused since it was last asked, and is to be logged in full.
    #[must_use]
    pub fn take_refusals(&mut self) -> Vec<Refusal> {
        mem::take(&mut self.refusals)
    }

    /// How many more refusals there were, by kind. To be asked once a message was accepted, and when
    /// the session is over.
    #[must_use]
    pub fn take_repeated(&mut self) -> Vec<RepeatedRefusals> {
        self.repeats.take()
    }

    /// The number of the line of which a part has come, if one has begun.
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
            Phase::Ready | Phase::Auth(_) | Phase::Verify | Phase::Handshake(None) | Phase::Closed => false,
        }
    }

    /// Whether content is coming.
    #[must_use]
    pub fn in_content(&self) -> bool {
        // Between chunks too: the time for a message's content is one.
        let within = matches!(self.phase, Phase::Content(..) | Phase::Chunk(..) | Phase::Chunks(_));
        within || self.unwanted > 0
    }
}
