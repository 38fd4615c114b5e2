//! The order of a lane's messages. Fresh ones go before retries, so that a storm of retries delays
//! nothing new. Reverse-paths take turns, so that one with thousands of messages does not delay the
//! others. Large messages go some rounds later, so that small ones need not wait for them. One message
//! in four is one that waited longer, so that none is starved.

use super::lane::{Lane, Line, State, WaitingMessage};
use crate::mail::QueueId;

/// One message in this many is not fresh, if there is one.
const TURNS: usize = 4;
/// Octets that cost a message one round, up to `ROUNDS_MAX` rounds.
const ROUND_BYTES: u64 = 1024 * 1024;
const ROUNDS_MAX: u64 = 16;
/// Messages after which a round is over, even if new senders keep arriving.
const ROUND_MESSAGES: usize = 16;

impl<L> WaitingMessage<L> {
    fn is_fresh(&self) -> bool {
        self.leased.recipients.iter().all(|recipient| recipient.attempts == 0)
    }

    /// Rounds it is delayed by for its size.
    fn rounds(&self) -> usize {
        let rounds = self.leased.message.size.checked_div(ROUND_BYTES).unwrap_or_default();
        usize::try_from(rounds.min(ROUNDS_MAX)).unwrap_or_default()
    }

    fn sender(&self) -> &str {
        self.leased.message.reverse_path.as_str()
    }
}

impl<L> Lane<L> {
    /// Whether the lane may hold this message in memory. Beyond the window there is some room for fresh
    /// messages, and for senders with nothing waiting.
    pub(super) fn has_place(&self, waiting: &WaitingMessage<L>, window_max: usize) -> bool {
        let window = self.window(window_max);
        if self.leased() < window {
            return true;
        }
        let reserve = window.checked_div(4).unwrap_or_default();
        let beyond =
            self.state == State::Open && waiting.is_fresh() && self.leased() < window.saturating_mul(2);
        let Some(line) = &self.line else { return beyond };
        beyond && (line.fresh < reserve || line.of_sender(waiting.sender()) == 0)
    }
}

impl<L> Line<L> {
    /// Queues a message. A fresh one goes behind as many messages of each other sender as its own
    /// sender has waiting, and further back if it is large.
    pub(super) fn queue_up(&mut self, mut waiting: WaitingMessage<L>) {
        if !waiting.is_fresh() {
            return self.waiting.push_back(waiting);
        }
        waiting.round =
            self.round.saturating_add(self.of_sender(waiting.sender())).saturating_add(waiting.rounds());
        let place = self.waiting.iter().take(self.fresh).position(|other| other.round > waiting.round);
        self.waiting.insert(place.unwrap_or(self.fresh), waiting);
        self.fresh = self.fresh.saturating_add(1);
    }

    /// Puts a message back at the front.
    pub(super) fn queue_first(&mut self, mut waiting: WaitingMessage<L>) {
        if waiting.is_fresh() {
            waiting.round = self.round;
            self.waiting.push_front(waiting);
            self.fresh = self.fresh.saturating_add(1);
        } else {
            self.waiting.insert(self.fresh, waiting);
        }
    }

    pub(super) fn next_up(&mut self) -> Option<WaitingMessage<L>> {
        self.turn = self.turn.saturating_add(1).checked_rem(TURNS).unwrap_or_default();
        let older = self.turn == 0 && self.waiting.len() > self.fresh;
        let taken = if older { self.waiting.remove(self.fresh) } else { self.waiting.pop_front() }?;
        if !older && self.fresh > 0 {
            self.fresh = self.fresh.saturating_sub(1);
            self.round_messages =
                self.round_messages.saturating_add(1).checked_rem(ROUND_MESSAGES).unwrap_or_default();
            let over = usize::from(self.round_messages == 0);
            self.round = taken.round.max(self.round.saturating_add(over));
        }
        Some(taken)
    }

    /// Removes these messages and returns them.
    pub(super) fn take_out(&mut self, ids: &[QueueId]) -> Vec<WaitingMessage<L>> {
        let named = |waiting: &WaitingMessage<L>| ids.contains(&waiting.leased.message.id);
        if !self.waiting.iter().any(named) {
            return Vec::new();
        }
        let fresh = self.fresh;
        let mut taken = Vec::new();
        for (place, waiting) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            if named(&waiting) {
                self.fresh = self.fresh.saturating_sub(usize::from(place < fresh));
                taken.push(waiting);
            } else {
                self.waiting.push_back(waiting);
            }
        }
        taken
    }

    fn of_sender(&self, sender: &str) -> usize {
        self.waiting.iter().take(self.fresh).filter(|other| other.sender() == sender).count()
    }
}
