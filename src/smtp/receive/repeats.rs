//! Decides which refusals of a session are logged in full, and counts the others by kind. It writes no
//! log.

/// Refusals since the last accepted message, by stage and reply code. Both come from our code, so there
/// are few kinds.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    kinds: Vec<RepeatedRefusals>,
}

/// The number of refusals of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepeatedRefusals {
    /// The SMTP verb, or the stage of the session.
    pub stage: &'static str,
    /// The reply code, such as 550.
    pub code: u16,
    /// Number of refusals of this kind that were not logged in full.
    pub count: u64,
}

/// Refusals of one kind that are logged in full. This equals the default error limit of a session,
/// because operators ask about single recipients.
const IN_FULL_MAX: u64 = 20;

impl Repeats {
    /// Counts a refusal. Returns whether to log it in full.
    pub(super) fn note(&mut self, stage: &'static str, code: u16) -> bool {
        let found = self.kinds.iter_mut().find(|kind| (kind.stage, kind.code) == (stage, code));
        match found {
            Some(kind) => {
                kind.count = kind.count.saturating_add(1);
                kind.count <= IN_FULL_MAX
            }
            None => {
                self.kinds.push(RepeatedRefusals { stage, code, count: 1 });
                true
            }
        }
    }

    /// The refusals that were only counted; the counts start again.
    pub(super) fn take(&mut self) -> Vec<RepeatedRefusals> {
        let mut kinds = std::mem::take(&mut self.kinds);
        kinds.retain_mut(|kind| {
            kind.count = kind.count.saturating_sub(IN_FULL_MAX);
            kind.count > 0
        });
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_are_logged_and_the_rest_is_counted() {
        let mut repeats = Repeats::default();
        let in_full = (0..27).filter(|_| repeats.note("RCPT", 452)).count();
        assert_eq!(in_full, 20);
        assert!(repeats.note("RCPT", 550) && repeats.note("MAIL", 452));
        assert_eq!(repeats.take(), [RepeatedRefusals { stage: "RCPT", code: 452, count: 7 }]);
        assert!(repeats.take().is_empty() && repeats.note("RCPT", 452));
    }
}
