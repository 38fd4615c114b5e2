//! Who is logged in. A session lives in memory, for a while without use and for a day's work at most; it ends with its token.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

use crate::admin::BearerToken;

/// The sessions.
#[derive(Default)]
pub(super) struct ConsoleSessions(Mutex<HashMap<SessionKey, ConsoleSession>>);

/// The digest of a session's cookie: looking one up tells nobody how much of it was right.
type SessionKey = [u8; 32];

/// One of them.
#[derive(Clone)]
struct ConsoleSession {
    token: Arc<BearerToken>,
    /// Each form of it has this, so that no page of another site can send one.
    seal: String,
    begun: Instant,
    seen: Instant,
}

/// Who a page is for.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) token: Arc<BearerToken>,
    pub(super) seal: String,
}

impl ConsoleSessions {
    /// Begins a session; what its cookie is. `None`: there is no randomness.
    pub(super) fn begin(&self, token: Arc<BearerToken>) -> Option<String> {
        let (cookie, seal, now) = (random()?, random()?, Instant::now());
        let mut sessions = self.lock();
        sessions.retain(|_, one| one.is_alive(now));
        if sessions.len() >= SESSIONS_MAX {
            let idle = sessions.iter().min_by_key(|(_, one)| one.seen).map(|(key, _)| *key);
            idle.map(|key| sessions.remove(&key));
        }
        sessions.insert(key(&cookie), ConsoleSession { token, seal, begun: now, seen: now });
        Some(cookie)
    }

    /// Whose cookie it is, if his session goes on and `holds` says so of his token.
    pub(super) fn visit(&self, cookie: &str, holds: impl Fn(&BearerToken) -> bool) -> Option<Visitor> {
        let (mut sessions, key, now) = (self.lock(), key(cookie), Instant::now());
        let session = sessions.get_mut(&key)?;
        if !session.is_alive(now) || !holds(&session.token) {
            sessions.remove(&key);
            return None;
        }
        session.seen = now;
        Some(Visitor { token: Arc::clone(&session.token), seal: session.seal.clone() })
    }

    pub(super) fn end(&self, cookie: &str) {
        self.lock().remove(&key(cookie));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, ConsoleSession>> {
        // Each change is complete even if the thread that made it panicked later.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConsoleSession {
    fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) < IDLE_MAX
            && now.saturating_duration_since(self.begun) < LIFE_MAX
    }
}

fn key(cookie: &str) -> SessionKey {
    Sha256::digest(cookie.as_bytes()).into()
}

/// 256 bits, in hexadecimal.
fn random() -> Option<String> {
    let mut octets = [0; 32];
    SystemRandom::new().fill(&mut octets).ok()?;
    Some(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

const SESSIONS_MAX: usize = 64;
const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
const LIFE_MAX: Duration = Duration::from_secs(12 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str) -> Arc<BearerToken> {
        Arc::new(
            BearerToken::parse(&format!("reader {name} 0123456789abcdef0123456789abcdef")).expect("a token"),
        )
    }

    #[test]
    fn a_session_ends_with_its_token_and_when_it_is_ended() {
        let sessions = ConsoleSessions::default();
        let first = sessions.begin(token("ada")).expect("a cookie");
        let second = sessions.begin(token("eve")).expect("a cookie");
        assert_ne!(first, second);
        let visitor = sessions.visit(&first, |_| true).expect("a visitor");
        assert_eq!(&*visitor.token.name, "ada");
        assert!(sessions.visit("", |_| true).is_none());
        assert!(sessions.visit(&first, |token| &*token.name != "ada").is_none());
        assert!(sessions.visit(&first, |_| true).is_none(), "it is gone for good");
        sessions.end(&second);
        assert!(sessions.visit(&second, |_| true).is_none());
    }

    #[test]
    fn there_are_only_so_many() {
        let sessions = ConsoleSessions::default();
        let first = sessions.begin(token("ada")).expect("a cookie");
        for _ in 0..SESSIONS_MAX {
            sessions.begin(token("eve")).expect("a cookie");
        }
        assert!(sessions.visit(&first, |_| true).is_none());
        assert_eq!(sessions.lock().len(), SESSIONS_MAX);
    }
}
