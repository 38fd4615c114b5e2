//! What next hops said of recipients, and for how long it counts.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::connector::Revision;
use crate::deliver::Courier;
use crate::listen::Asker;
use crate::smtp::receive::{Known, Question};

/// Asks by the courier, and remembers.
pub(super) struct Questions {
    courier: Arc<Courier>,
    book: Arc<Book>,
    room: Arc<Semaphore>,
}

impl Questions {
    pub(super) fn new(courier: Arc<Courier>) -> Arc<Self> {
        Arc::new(Self { courier, book: Arc::default(), room: Arc::new(Semaphore::new(ASKED_MAX)) })
    }
}

impl Asker for Questions {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Known> + Send>> {
        let (courier, book, room) =
            (Arc::clone(&self.courier), Arc::clone(&self.book), Arc::clone(&self.room));
        Box::pin(async move {
            let name = Name::of(&question);
            let all = name.of_domain(&question);
            let now = Instant::now();
            if let Some(known) = book.recall(&name, now).or_else(|| book.recall(&all, now)) {
                return known;
            }
            let asking = async {
                // Refused only once closed: never.
                let _room = room.acquire().await;
                // Somebody may have asked the same while we waited.
                match book.recall(&name, Instant::now()) {
                    Some(known) => known,
                    None => courier.knows(&question).await,
                }
            };
            let Ok(known) = timeout(PATIENCE, asking).await else {
                // Hosts that keep us waiting are not to keep the next client waiting as long.
                book.note(all, Known::Unsure, Instant::now());
                return Known::Unsure;
            };
            book.note(name, known.clone(), Instant::now());
            known
        })
    }
}

/// Which answer: another connector, or another state of it, is asked anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    way: Revision,
    mailbox: String,
    onward_sealed: bool,
}

impl Name {
    fn of(question: &Question) -> Self {
        // Hosts that tell cases apart are rare; asking once for each would let guessers ask for ever.
        let mailbox = question.mailbox.as_str().to_ascii_lowercase();
        Self { way: question.way.revision, mailbox, onward_sealed: question.onward_sealed }
    }

    /// What stands for every recipient of the domain.
    fn of_domain(&self, question: &Question) -> Self {
        Self { mailbox: format!("@{}", question.mailbox.domain()), ..self.clone() }
    }
}

/// Answers, bounded.
#[derive(Debug, Default)]
struct Book {
    answers: Mutex<HashMap<Name, (Known, Instant)>>,
}

impl Book {
    fn recall(&self, name: &Name, now: Instant) -> Option<Known> {
        self.lock().get(name).filter(|(_, until)| now < *until).map(|(known, _)| known.clone())
    }

    fn note(&self, name: Name, known: Known, now: Instant) {
        let kept = match &known {
            Known::Yes => TAKEN_FOR,
            Known::No(_) => REFUSED_FOR,
            Known::Unsure => UNSURE_FOR,
        };
        let mut answers = self.lock();
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, (_, until)| now < *until);
        }
        if answers.len() >= ANSWERS_MAX {
            // Whoever floods us with names must not keep the others from being remembered.
            let mut keep = false;
            answers.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        answers.insert(name, (known, now + kept));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, (Known, Instant)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const TAKEN_FOR: Duration = Duration::from_secs(6 * 3600);
const REFUSED_FOR: Duration = Duration::from_secs(600);
const UNSURE_FOR: Duration = Duration::from_secs(60);
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Questions under way at a time.
const ASKED_MAX: usize = 50;
const ANSWERS_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Enhanced, Reply};

    fn name(mailbox: &str) -> Name {
        Name { way: Revision::default(), mailbox: mailbox.to_owned(), onward_sealed: false }
    }

    #[test]
    fn answers_count_for_as_long_as_they_are_good() {
        let book = Book::default();
        let now = Instant::now();
        let no = Known::No(Reply::new(550, Enhanced(5, 1, 1), "nobody"));
        for (mailbox, known, kept) in
            [("a", Known::Yes, TAKEN_FOR), ("b", no, REFUSED_FOR), ("c", Known::Unsure, UNSURE_FOR)]
        {
            book.note(name(mailbox), known.clone(), now);
            let last = now + kept - Duration::from_millis(1);
            assert_eq!(book.recall(&name(mailbox), last), Some(known));
            assert_eq!(book.recall(&name(mailbox), now + kept), None);
        }
        assert_eq!(book.recall(&Name { onward_sealed: true, ..name("a") }, now), None);
    }

    #[test]
    fn the_book_is_bounded() {
        let book = Book::default();
        let now = Instant::now();
        for number in 0..120_000 {
            book.note(name(&number.to_string()), Known::Yes, now);
        }
        assert!(book.lock().len() <= ANSWERS_MAX);
        assert_eq!(book.recall(&name("119999"), now), Some(Known::Yes));
    }
}
