//! Counts by a word of a small set, without a lock and without a copy of the word.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::connector::{Decision, Ruling, TlsVersion};

/// A reason: a token, and whether audit mode waived it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) token: &'static str,
    pub(super) waived: bool,
}

impl Reason {
    pub(super) const fn of(token: &'static str) -> Self {
        Self { token, waived: false }
    }

    /// The reason of a decision; its token, without a new text for each event.
    pub(super) fn by(decision: &Decision) -> Self {
        match &decision.ruling {
            Ruling::Waived(shortfall) => Self { token: shortfall.token(), waived: true },
            Ruling::WaivedClient(unmet) => Self { token: unmet.token(), waived: true },
            Ruling::Withheld(shortfall) => Self::of(shortfall.token()),
            Ruling::Plaintext(cause) => Self::of(cause.token()),
            Ruling::Met
            | Ruling::Sealed
            | Ruling::Remembered(_)
            | Ruling::Onward
            | Ruling::Attributed(_)
            | Ruling::Refused(..)
            | Ruling::Excepted(_)
            | Ruling::NoConnector(_) => Self::of(match decision.token() {
                std::borrow::Cow::Borrowed(token) => token,
                std::borrow::Cow::Owned(_) => OTHERS,
            }),
        }
    }
}

/// Counts by reason. It grows by one link for each reason that occurs, up to [`REASONS_MAX`].
#[derive(Debug, Default)]
pub(super) struct ReasonTally(OnceLock<Box<Link>>);

#[derive(Debug)]
struct Link {
    reason: Reason,
    count: AtomicU64,
    next: ReasonTally,
}

impl ReasonTally {
    pub(super) fn add(&self, reason: Reason) {
        let mut here = self;
        for _ in 0..REASONS_MAX {
            // Whoever comes second finds the link of the first, and looks whether it is for the same reason.
            let link = here
                .0
                .get_or_init(|| Box::new(Link { reason, count: AtomicU64::new(0), next: Self::default() }));
            if link.reason == reason {
                link.count.fetch_add(1, Ordering::Relaxed);
                return;
            }
            here = &link.next;
        }
        // The last link counts for all reasons beyond the bound.
        let link = here.0.get_or_init(|| {
            Box::new(Link { reason: Reason::of(OTHERS), count: AtomicU64::new(0), next: Self::default() })
        });
        link.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Each reason that occurred, and how often.
    pub(super) fn read(&self) -> Vec<(Reason, u64)> {
        let mut found = Vec::new();
        let mut here = self;
        while let Some(link) = here.0.get() {
            found.push((link.reason, link.count.load(Ordering::Relaxed)));
            here = &link.next;
        }
        found
    }

    pub(super) fn count(&self, token: &str) -> u64 {
        let found = self.read();
        found.iter().filter(|(reason, _)| reason.token == token).map(|(_, count)| *count).sum()
    }
}

/// Counts by the TLS version of a session.
#[derive(Debug, Default)]
pub(super) struct VersionTally {
    plaintext: AtomicU64,
    v12: AtomicU64,
    v13: AtomicU64,
}

impl VersionTally {
    pub(super) fn add(&self, version: Option<TlsVersion>) {
        let count = match version {
            None => &self.plaintext,
            Some(TlsVersion::V12) => &self.v12,
            Some(TlsVersion::V13) => &self.v13,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Each version as its label, and the count.
    pub(super) fn read(&self) -> [(&'static str, u64); 3] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            (PLAINTEXT, read(&self.plaintext)),
            (version_label(TlsVersion::V12), read(&self.v12)),
            (version_label(TlsVersion::V13), read(&self.v13)),
        ]
    }
}

/// The label of a version.
pub(super) const fn version_label(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::V12 => "TLSv1.2",
        TlsVersion::V13 => "TLSv1.3",
    }
}

/// The version of what goes without TLS.
pub(super) const PLAINTEXT: &str = "none";
/// All reasons beyond the bound.
const OTHERS: &str = "others";
/// Reasons that are told apart: more than there are.
const REASONS_MAX: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_apart_and_within_bounds() {
        let tally = ReasonTally::default();
        let waived = Reason { token: "a", waived: true };
        for reason in [Reason::of("a"), Reason::of("b"), Reason::of("a"), waived] {
            tally.add(reason);
        }
        assert_eq!(tally.read(), [(Reason::of("a"), 2), (Reason::of("b"), 1), (waived, 1)]);
        assert_eq!(tally.count("a"), 3);
        for number in 0..1_000 {
            let token: &'static str = Box::leak(format!("t{number}").into_boxed_str());
            tally.add(Reason::of(token));
        }
        let read = tally.read();
        assert_eq!(read.len(), REASONS_MAX + 1);
        assert_eq!(read.last(), Some(&(Reason::of(OTHERS), 1_000 - (96 - 3))));
    }

    #[test]
    fn threads_that_begin_together_lose_nothing() {
        let tally = ReasonTally::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for token in ["a", "b", "c", "d"].iter().cycle().take(4_000) {
                        tally.add(Reason::of(token));
                    }
                });
            }
        });
        let read = tally.read();
        assert_eq!(read.len(), 4);
        assert!(read.iter().all(|(_, count)| *count == 8_000), "{read:?}");
    }
}
