//! The parts of the simulated world: dice, leases, kinds of hosts, what is on disk, what happens when.

use super::*;

/// A small random number generator (xorshift), so that a seed determines a whole world.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides.max(1)
    }

    pub(super) fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// A lease as plain data: one dropped by accident is lost, and the check at the end of the world finds
/// it.
#[derive(Debug)]
pub(super) struct Token(pub(super) i64, pub(super) Vec<u32>);

impl Divisible for Token {
    fn split_off(&mut self, recipients: &[u32]) -> Self {
        let (taken, kept) = self.1.iter().partition(|number| recipients.contains(number));
        self.1 = kept;
        Self(self.0, taken)
    }

    fn absorb(&mut self, mut other: Self) {
        assert_eq!(self.0, other.0, "leases of two messages");
        self.1.append(&mut other.1);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Healthy,
    Slow,
    /// Accepts the connection and never greets.
    Mute,
    /// Never answers DATA, or takes forever for each step before the final dot.
    Stalls,
    /// Takes the content and never answers the final dot.
    Silent,
    /// Refuses every recipient, temporarily or permanently.
    Refuses(bool),
    /// Drops sessions at random.
    Drops,
    /// Sometimes does not offer STARTTLS.
    Strips,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) lane: LaneKey,
    pub(super) domain: usize,
    pub(super) next_at: i64,
    pub(super) attempts: u32,
    pub(super) delay_told: bool,
    pub(super) rerouted: Option<Rerouting>,
}

#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) message: Arc<StoredMessage>,
    pub(super) rows: BTreeMap<u32, Row>,
}

/// An event at a future time.
#[derive(Debug)]
pub(super) enum Happening {
    Arrive,
    Accepted(i64),
    Fetched(Fetch),
    Swept(Sweep),
    Written(Box<Work<Token>>),
    /// A carrier's next step, if it is still at that one.
    Carrier(u64, u64),
    Restart,
    StepClock(i64),
    Disk(bool),
    Retable,
}

/// Where a carrier's session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Taking,
    Opening,
    Opened,
    BeforeDot,
    AfterDot,
}

#[derive(Debug)]
pub(super) struct Sim {
    pub(super) way: Arc<Way>,
    pub(super) phase: Phase,
    /// Counts steps: an event for an older step is ignored.
    pub(super) step: u64,
    pub(super) moved: i64,
    pub(super) job: Option<(u64, i64, Vec<u32>)>,
    pub(super) session: bool,
    /// How the session was judged: whether it is in plaintext.
    pub(super) plaintext: bool,
    pub(super) halted: bool,
}
