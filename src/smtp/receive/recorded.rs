//! A session that keeps minutes: when they begin, what content counts, and whose transaction it is. It writes nothing.

use super::minutes::{Minutes, Spoken};
use super::{Phase, Session};
use crate::connector::Decision;

impl Session {
    /// Keeps minutes from the greeting on.
    pub fn keep_minutes(&mut self) {
        let greeting = std::mem::take(&mut self.out);
        let mut minutes = Box::<Minutes>::default();
        minutes.said_octets(&greeting, false);
        self.out = greeting;
        self.minutes = Some(minutes);
    }

    /// Takes what was said since the last time; nothing if no minutes are kept.
    pub fn take_minutes(&mut self) -> Vec<Spoken> {
        self.minutes.as_mut().map(|minutes| minutes.take()).unwrap_or_default()
    }

    /// Counts content, if it was about to be read.
    pub(super) fn count_content(&mut self, octets: usize, before: Option<usize>) {
        let goes_on = self.reads_content();
        if let (Some(before), Some(minutes)) = (before, &mut self.minutes) {
            minutes.counted(octets, before, goes_on);
        }
    }

    /// Whether content is being read, or was refused and passes by.
    pub(super) fn reads_content(&self) -> bool {
        self.unwanted > 0 || matches!(self.phase, Phase::Content(..) | Phase::Chunk(..))
    }

    /// The transaction is decided on by the connector that the decision names.
    pub(super) fn attribute(&mut self, decision: &Decision) {
        let (Some(minutes), Some(name)) = (&mut self.minutes, &decision.connector) else { return };
        let logging = self.table.table().protocol_log_of(name);
        minutes.attributed(name, logging);
    }
}
