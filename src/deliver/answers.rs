//! What hosts said about recipients (`verify_recipients`), remembered for a while. Nothing here asks them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::connector::{Onward, RecipientCheck, Revision};
use crate::mail::Mailbox;

/// The question an answer belongs to. Another connector, or another revision of it, is asked again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AnswerKey {
    connector: Revision,
    mailbox: String,
    onward: Onward,
}

impl AnswerKey {
    pub(super) fn new(connector: Revision, mailbox: &Mailbox, onward: Onward) -> Self {
        // Hosts that distinguish upper and lower case are rare, and asking for each spelling would let guessers ask
        // without end.
        Self { connector, mailbox: mailbox.folded(), onward }
    }

    /// The key that stands for every recipient of the mailbox's domain.
    pub(super) fn of_domain(&self, mailbox: &Mailbox) -> Self {
        Self { mailbox: format!("@{}", mailbox.domain()), ..self.clone() }
    }
}

/// Answers, bounded in number.
#[derive(Debug, Default)]
pub(super) struct AnswerBook {
    answers: Mutex<HashMap<AnswerKey, (RecipientCheck, Instant)>>,
}

impl AnswerBook {
    pub(super) fn recall(&self, key: &AnswerKey) -> Option<RecipientCheck> {
        self.recall_at(key, Instant::now())
    }

    pub(super) fn note(&self, key: AnswerKey, known: RecipientCheck) {
        self.note_at(key, known, Instant::now());
    }

    fn recall_at(&self, key: &AnswerKey, now: Instant) -> Option<RecipientCheck> {
        self.lock().get(key).filter(|(_, until)| now < *until).map(|(known, _)| known.clone())
    }

    fn note_at(&self, key: AnswerKey, known: RecipientCheck, now: Instant) {
        let kept = match &known {
            RecipientCheck::Exists => TAKEN_FOR,
            RecipientCheck::Unknown(_) => REFUSED_FOR,
            RecipientCheck::Unsure => UNSURE_FOR,
        };
        let mut answers = self.lock();
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, (_, until)| now < *until);
        }
        if answers.len() >= ANSWERS_MAX {
            // A flood of names must not keep the others from being remembered.
            let mut keep = false;
            answers.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        answers.insert(key, (known, now + kept));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AnswerKey, (RecipientCheck, Instant)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const TAKEN_FOR: Duration = Duration::from_secs(6 * 3600);
const REFUSED_FOR: Duration = Duration::from_secs(600);
const UNSURE_FOR: Duration = Duration::from_secs(60);
const ANSWERS_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Enhanced, Reply};

    fn key(mailbox: &str) -> AnswerKey {
        AnswerKey { connector: Revision::default(), mailbox: mailbox.to_owned(), onward: Onward::Any }
    }

    #[test]
    fn answers_count_for_as_long_as_they_are_good() {
        let book = AnswerBook::default();
        let now = Instant::now();
        let no = RecipientCheck::Unknown(Reply::new(550, Enhanced(5, 1, 1), "nobody"));
        for (mailbox, known, kept) in [
            ("a", RecipientCheck::Exists, TAKEN_FOR),
            ("b", no, REFUSED_FOR),
            ("c", RecipientCheck::Unsure, UNSURE_FOR),
        ] {
            book.note_at(key(mailbox), known.clone(), now);
            let last = now + kept - Duration::from_millis(1);
            assert_eq!(book.recall_at(&key(mailbox), last), Some(known));
            assert_eq!(book.recall_at(&key(mailbox), now + kept), None);
        }
        assert_eq!(book.recall_at(&AnswerKey { onward: Onward::Sealed, ..key("a") }, now), None);
    }

    #[test]
    fn the_book_is_bounded() {
        let book = AnswerBook::default();
        let now = Instant::now();
        for number in 0..120_000 {
            book.note_at(key(&number.to_string()), RecipientCheck::Exists, now);
        }
        assert!(book.lock().len() <= ANSWERS_MAX);
        assert_eq!(book.recall_at(&key("119999"), now), Some(RecipientCheck::Exists));
    }
}
