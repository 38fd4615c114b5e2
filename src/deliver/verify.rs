//! `verify_recipients`: asks a next hop whether it accepts mail for a recipient, over the same way
//! and under the same rules as mail, but without content. Answers are cached.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::courier::Courier;
use super::need::Need;
use super::search::Search;
use crate::connector::Revision;
use crate::mail::ReversePath;
use crate::scheduler::Way;
use crate::smtp::TransactionResult;
use crate::smtp::receive::{Question, RecipientCheck, RecipientVerifier};

/// Asks next hops about recipients and caches the answers.
pub struct Verifier {
    courier: Arc<Courier>,
    book: Arc<AnswerBook>,
    room: Arc<Semaphore>,
}

impl Verifier {
    /// A verifier with an empty cache.
    #[must_use]
    pub fn new(courier: Arc<Courier>) -> Arc<Self> {
        Arc::new(Self { courier, book: Arc::default(), room: Arc::new(Semaphore::new(ASKED_MAX)) })
    }
}

impl RecipientVerifier for Verifier {
    fn verify(&self, question: Question) -> Pin<Box<dyn Future<Output = RecipientCheck> + Send>> {
        let (courier, book, room) =
            (Arc::clone(&self.courier), Arc::clone(&self.book), Arc::clone(&self.room));
        Box::pin(async move {
            let name = AnswerKey::of(&question);
            let all = name.of_domain(&question);
            let now = Instant::now();
            if let Some(known) = book.recall(&name, now).or_else(|| book.recall(&all, now)) {
                return known;
            }
            let asking = async {
                // Acquiring fails only on a closed semaphore, and this one is never closed.
                let _room = room.acquire().await;
                // Another task may have asked the same while we waited.
                match book.recall(&name, Instant::now()) {
                    Some(known) => known,
                    None => courier.knows(&question).await,
                }
            };
            let Ok(known) = timeout(PATIENCE, asking).await else {
                // If a host keeps us waiting, the next client must not wait as long.
                book.note(all, RecipientCheck::Unsure, Instant::now());
                return RecipientCheck::Unsure;
            };
            book.note(name, known.clone(), Instant::now());
            known
        })
    }
}

impl Courier {
    /// Asks the next hop about a recipient. The caller limits the time.
    async fn knows(&self, question: &Question) -> RecipientCheck {
        let Question { mailbox, way, onward_sealed } = question;
        let way = Way::new(Arc::clone(way), mailbox.domain());
        let need = Need::Question { mailbox, onward_sealed: *onward_sealed };
        let search = Search { courier: self, way: &way, need, jobs: None };
        for _ in 0..SESSIONS_MAX {
            let Ok(mut session) = search.run().await else { break };
            let envelope = (&ReversePath::NULL, mailbox);
            if let Ok(finished) = session.ask(self, &way.connector, envelope, need).await {
                self.keep(session, &way);
                return checked(finished);
            }
            session.connection.dismiss();
        }
        RecipientCheck::Unsure
    }
}

/// Only a rejection of the recipient itself means that it is unknown.
fn checked(finished: TransactionResult) -> RecipientCheck {
    match (finished.mail, finished.recipients.into_iter().next()) {
        (None, Some(None)) => RecipientCheck::Exists,
        (None, Some(Some(reply))) if reply.is_permanent() => RecipientCheck::Unknown(reply),
        (Some(_), _) | (None, Some(Some(_)) | None) => RecipientCheck::Unsure,
    }
}

/// Sessions tried: an idle one may have ended meanwhile.
const SESSIONS_MAX: usize = 2;

/// The cache key: another connector, or another revision of it, is asked again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct AnswerKey {
    way: Revision,
    mailbox: String,
    onward_sealed: bool,
}

impl AnswerKey {
    fn of(question: &Question) -> Self {
        // Hosts that distinguish case are rare; one query per spelling would let guessers ask
        // forever.
        let mailbox = question.mailbox.as_str().to_ascii_lowercase();
        Self { way: question.way.revision, mailbox, onward_sealed: question.onward_sealed }
    }

    /// The key that stands for every recipient of the domain.
    fn of_domain(&self, question: &Question) -> Self {
        Self { mailbox: format!("@{}", question.mailbox.domain()), ..self.clone() }
    }
}

/// A bounded cache of answers.
#[derive(Debug, Default)]
struct AnswerBook {
    answers: Mutex<HashMap<AnswerKey, (RecipientCheck, Instant)>>,
}

impl AnswerBook {
    fn recall(&self, name: &AnswerKey, now: Instant) -> Option<RecipientCheck> {
        self.lock().get(name).filter(|(_, until)| now < *until).map(|(known, _)| known.clone())
    }

    fn note(&self, name: AnswerKey, known: RecipientCheck, now: Instant) {
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
            // A client that floods us with names must not displace all other answers.
            let mut keep = false;
            answers.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        answers.insert(name, (known, now + kept));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AnswerKey, (RecipientCheck, Instant)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const TAKEN_FOR: Duration = Duration::from_secs(6 * 3600);
const REFUSED_FOR: Duration = Duration::from_secs(600);
const UNSURE_FOR: Duration = Duration::from_secs(60);
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Maximum number of queries under way.
const ASKED_MAX: usize = 50;
const ANSWERS_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Enhanced, Reply};

    fn name(mailbox: &str) -> AnswerKey {
        AnswerKey { way: Revision::default(), mailbox: mailbox.to_owned(), onward_sealed: false }
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
            book.note(name(mailbox), known.clone(), now);
            let last = now + kept - Duration::from_millis(1);
            assert_eq!(book.recall(&name(mailbox), last), Some(known));
            assert_eq!(book.recall(&name(mailbox), now + kept), None);
        }
        assert_eq!(book.recall(&AnswerKey { onward_sealed: true, ..name("a") }, now), None);
    }

    #[test]
    fn the_book_is_bounded() {
        let book = AnswerBook::default();
        let now = Instant::now();
        for number in 0..120_000 {
            book.note(name(&number.to_string()), RecipientCheck::Exists, now);
        }
        assert!(book.lock().len() <= ANSWERS_MAX);
        assert_eq!(book.recall(&name("119999"), now), Some(RecipientCheck::Exists));
    }
}
