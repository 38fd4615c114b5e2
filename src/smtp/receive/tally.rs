//! Counts the errors of a session since its last accepted message. A flood of refused or useless
//! commands soon ends in a 421; a client refused for reasons of ours is not cut off.

use crate::mail::Reply;

/// How many errors a session may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Refused or unknown commands since the last accepted message.
    pub errors_max: u32,
    /// Commands without effect since the last accepted message; each further one is an error.
    pub useless_max: u32,
}

/// The errors since the last accepted message.
#[derive(Debug, Default)]
pub(super) struct Tally {
    errors: u32,
    useless: u32,
    /// Refused recipients and chunks that were not counted as errors.
    excused: usize,
    follows: Follows,
}

/// What a pipelining client (RFC 2920 §3.1) may have sent before it read a refusal.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Follows {
    #[default]
    Nothing,
    /// A recipient, a chunk or content was refused: DATA or BDAT may follow.
    Content,
    /// MAIL was refused: the rest of its transaction may follow.
    Transaction,
}

impl Tally {
    /// A message was accepted. A partner may send for hours on one connection: errors between accepted
    /// messages do not add up.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Another transaction begins, or none is under way any more.
    pub(super) fn turn_over(&mut self) {
        self.follows = Follows::Nothing;
    }

    /// Counts a command without effect. Returns whether the session has to end.
    pub(super) fn waste(&mut self, patience: Patience) -> bool {
        self.useless = self.useless.saturating_add(1);
        if self.useless > patience.useless_max {
            self.errors = self.errors.saturating_add(1);
        }
        self.errors >= patience.errors_max
    }

    /// Counts a refusal. Up to `excused_max` are excused if they merely follow from another refusal, or
    /// if RFC 5321 §4.5.3.1.10 expects clients to cope with them. Returns whether the session has to
    /// end.
    pub(super) fn refuse(
        &mut self,
        stage: &'static str,
        reply: &Reply,
        (patience, excused_max): (Patience, usize),
    ) -> bool {
        if is_no_room(reply) {
            return self.refuse_for_room(stage);
        }
        // DATA is bounded by the refusals before it: one for each.
        let within = stage == "DATA" || self.excused < excused_max;
        let excused = within && self.is_excused(stage, reply);
        match (stage, reply.code) {
            ("MAIL", _) => self.follows = Follows::Transaction,
            ("RCPT" | "content" | "BDAT", _) if self.follows == Follows::Nothing => {
                self.follows = Follows::Content;
            }
            // Only the first DATA can have been pipelined.
            ("DATA", _) => self.follows = Follows::Nothing,
            _ => {}
        }
        if excused {
            self.excused = self.excused.saturating_add(usize::from(stage != "DATA"));
            return false;
        }
        if is_our_trouble(reply) {
            return self.waste(patience);
        }
        self.errors = self.errors.saturating_add(1);
        self.errors >= patience.errors_max
    }

    /// A full disk never ends a session for errors: a client that waits on an open session does no
    /// harm. What is pipelined behind each MAIL has its own limit. The session's duration is limited
    /// elsewhere.
    fn refuse_for_room(&mut self, stage: &'static str) -> bool {
        if stage == "MAIL" {
            (self.follows, self.excused) = (Follows::Transaction, 0);
        } else if self.follows == Follows::Nothing {
            self.follows = Follows::Content;
        }
        false
    }

    fn is_excused(&self, stage: &'static str, reply: &Reply) -> bool {
        match stage {
            "RCPT" => reply.code == 452 || reply.code == 503 && self.follows == Follows::Transaction,
            "DATA" => matches!(reply.code, 503 | 554) && self.follows != Follows::Nothing,
            // RFC 3030 §4.2: a client sends a message's chunks without waiting for their replies.
            "BDAT" => matches!(reply.code, 502 | 503 | 530 | 554) && self.follows != Follows::Nothing,
            _ => false,
        }
    }
}

/// RFC 3463 §3.4: X.3.1 means that the mail system is full.
fn is_no_room(reply: &Reply) -> bool {
    reply.code == 452 && reply.enhanced.is_some_and(|status| (status.0, status.1, status.2) == (4, 3, 1))
}

/// RFC 3463 §3.4: X.3.X concerns the mail system, here ours.
fn is_our_trouble(reply: &Reply) -> bool {
    reply.enhanced.is_some_and(|status| (status.0, status.1) == (4, 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Enhanced;

    const PATIENCE: Patience = Patience { errors_max: 3, useless_max: 4 };

    fn reply(text: &str) -> Reply {
        let (code, rest) = text.split_once(' ').expect("a code");
        let (enhanced, _) = Enhanced::split(rest).expect("an enhanced code");
        Reply::new(code.parse().expect("a number"), enhanced, "no")
    }

    /// The number of rounds of these refusals after which a session ends; at most 1,000.
    #[track_caller]
    fn check(round: &[(&'static str, &str)], excused_max: usize, expected: usize) {
        let mut tally = Tally::default();
        let ends = (1..=1_000).find(|_| {
            round.iter().any(|(stage, text)| match *stage {
                "RSET" => {
                    tally.turn_over();
                    tally.waste(PATIENCE)
                }
                stage => tally.refuse(stage, &reply(text), (PATIENCE, excused_max)),
            })
        });
        assert_eq!(ends.unwrap_or(1_001), expected, "{round:?}");
    }

    #[test]
    fn every_refusal_counts() {
        check(&[("command", "500 5.5.2")], 10, 3);
        check(&[("RCPT", "550 5.1.1")], 10, 3);
        check(&[("MAIL", "450 4.7.1")], 10, 3);
        check(&[("STARTTLS", "454 4.7.0")], 10, 3);
        check(&[("DATA", "503 5.5.1")], 10, 3);
    }

    #[test]
    fn commands_without_effect_count_beyond_their_number() {
        check(&[("RSET", "")], 10, 4 + 3);
    }

    #[test]
    fn recipients_over_the_limit_count_beyond_as_many_again() {
        check(&[("RCPT", "452 4.5.3")], 10, 10 + 3);
        check(&[("RCPT", "452 4.5.3")], 0, 3);
    }

    #[test]
    fn what_follows_from_a_refused_mail_does_not_count() {
        // If they were counted, the session would end in the first round.
        let pipeline =
            [("MAIL", "550 5.7.1"), ("RCPT", "503 5.5.1"), ("RCPT", "503 5.5.1"), ("DATA", "503 5.5.1")];
        check(&pipeline, 100, 3);
        check(&[("RCPT", "503 5.5.1")], 100, 3);
        check(&[("MAIL", "550 5.7.1"), ("DATA", "503 5.5.1"), ("DATA", "503 5.5.1")], 100, 2);
        check(&[("MAIL", "550 5.7.1"), ("RSET", ""), ("RCPT", "503 5.5.1")], 100, 2);
        check(&[("RCPT", "550 5.1.1"), ("DATA", "554 5.5.1")], 100, 3);
    }

    #[test]
    fn chunks_of_a_message_that_is_refused_count_once() {
        let chunks = [("BDAT", "503 5.5.1"), ("BDAT", "503 5.5.1"), ("BDAT", "503 5.5.1"), ("RSET", "")];
        check(&chunks, 100, 3);
        check(&[("BDAT", "502 5.5.1"), ("BDAT", "502 5.5.1"), ("RSET", "")], 100, 3);
        check(
            &[("content", "552 5.3.4"), ("BDAT", "503 5.5.1"), ("BDAT", "503 5.5.1"), ("RSET", "")],
            100,
            3,
        );
        // Whoever goes on and on has so many for nothing, and no more.
        check(&[("BDAT", "503 5.5.1")], 10, 1 + 10 + 2);
    }

    #[test]
    fn trouble_of_ours_weighs_little() {
        let pipeline = [("MAIL", "451 4.3.0"), ("RCPT", "503 5.5.1"), ("DATA", "503 5.5.1")];
        check(&pipeline, 1_000, 4 + 3);
        check(&[("content", "451 4.3.0")], 0, 4 + 3);
    }

    #[test]
    fn want_of_room_ends_no_session() {
        let pipeline =
            [("MAIL", "452 4.3.1"), ("RCPT", "503 5.5.1"), ("RCPT", "503 5.5.1"), ("DATA", "503 5.5.1")];
        check(&pipeline, 2, 1_001);
        check(&pipeline, 1, 3);
        check(&[("DATA", "452 4.3.1")], 0, 1_001);
        check(&[("content", "452 4.3.1"), ("DATA", "503 5.5.1")], 0, 1_001);
        check(&[("MAIL", "450 4.7.1")], 2, 3);
        check(&[("MAIL", "452 4.2.2")], 2, 3);
    }
}
