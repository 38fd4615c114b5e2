//! Remembers dropped lanes whose hosts accepted mail: their next message goes before those to unknown
//! hosts. It is bounded and kept in memory only.

use std::collections::{BTreeMap, VecDeque};

use crate::mail::UnixMillis;
use crate::spool::LaneKey;

/// A bounded memory of lanes; the oldest entry is evicted first.
#[derive(Debug, Default)]
pub(super) struct ServedLanes {
    taken: BTreeMap<LaneKey, UnixMillis>,
    /// In the order they were first noted.
    order: VecDeque<LaneKey>,
}

impl ServedLanes {
    /// Records when a lane's hosts last accepted mail.
    pub(super) fn note(&mut self, lane: LaneKey, taken: UnixMillis) {
        if self.taken.insert(lane.clone(), taken).is_none() {
            self.order.push_back(lane);
        }
        while self.order.len() > LANES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.taken.remove(&oldest);
        }
    }

    /// When the lane's hosts last accepted mail, if known.
    pub(super) fn recall(&self, lane: &LaneKey) -> Option<UnixMillis> {
        self.taken.get(lane).copied()
    }
}

const LANES_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_bounded() {
        let mut served = ServedLanes::default();
        let key = |number: usize| LaneKey(format!("out/{number}").into());
        for number in 0..LANES_MAX + 10 {
            served.note(key(number), UnixMillis(1));
            served.note(key(number), UnixMillis(2));
        }
        assert_eq!((served.taken.len(), served.order.len()), (LANES_MAX, LANES_MAX));
        assert_eq!((served.recall(&key(9)), served.recall(&key(10))), (None, Some(UnixMillis(2))));
    }
}
