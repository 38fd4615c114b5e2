//! Who is logged in. A session lives in memory, for a while without use and for a day's work at most; it ends with its token.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::kept::KeptForm;
use super::notice::ActionNotice;
use crate::admin::{BearerToken, random_hex};

/// The sessions.
pub(super) struct ConsoleSessions {
    /// The name of their cookie. Each start has its own: a browser sends a cookie to all ports of a host.
    pub(super) cookie_name: String,
    open: Mutex<HashMap<SessionKey, ConsoleSession>>,
}

/// The digest of a session's cookie: looking one up tells nobody how much of it was right.
pub(super) type SessionKey = [u8; 32];

/// One of them.
#[derive(Clone)]
struct ConsoleSession {
    token: Arc<BearerToken>,
    /// Each form of it has this, so that no page of another site can send one.
    seal: String,
    begun: Instant,
    seen: Instant,
    /// What the next page says first.
    notice: Option<ActionNotice>,
    /// What was typed into the form of a page before the login.
    kept: Option<(String, Arc<KeptForm>)>,
}

/// Who a page is for.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) token: Arc<BearerToken>,
    pub(super) seal: String,
    /// His session.
    pub(super) key: SessionKey,
    /// What this page says first.
    pub(super) notice: Option<ActionNotice>,
    /// What he had typed into its form when the last session ended.
    pub(super) kept: Option<Arc<KeptForm>>,
}

/// Who made a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// A person, who uses the session.
    Person,
    /// A page that keeps itself current, also after everybody has left.
    Refresh,
}

impl ConsoleSessions {
    pub(super) fn new() -> Self {
        let suffix = random_hex::<8>().unwrap_or_default();
        Self { cookie_name: format!("sealpost-console-{suffix}"), open: Mutex::default() }
    }

    /// Begins a session; what its cookie is. `None`: there is no randomness. Sessions whose tokens `holds` denies are over.
    pub(super) fn begin(
        &self,
        token: Arc<BearerToken>,
        holds: impl Fn(&BearerToken) -> bool,
    ) -> Option<String> {
        let (cookie, seal, now) = (random_hex::<32>()?, random_hex::<32>()?, Instant::now());
        let mut sessions = self.lock();
        sessions.retain(|_, one| one.is_alive(now) && holds(&one.token));
        if let Some(key) = in_the_way(&sessions, &token) {
            sessions.remove(&key);
        }
        sessions.insert(
            key(cookie.as_bytes()),
            ConsoleSession { token, seal, begun: now, seen: now, notice: None, kept: None },
        );
        Some(cookie)
    }

    /// Whose cookie it is, if his session goes on and `holds` says so of his token.
    pub(super) fn visit(
        &self,
        cookie: &[u8],
        presence: Presence,
        holds: impl Fn(&BearerToken) -> bool,
    ) -> Option<Visitor> {
        let (mut sessions, key, now) = (self.lock(), key(cookie), Instant::now());
        let session = sessions.get_mut(&key)?;
        if !session.is_alive(now) || !holds(&session.token) {
            sessions.remove(&key);
            return None;
        }
        if presence == Presence::Person {
            session.seen = now;
        }
        let (token, seal) = (Arc::clone(&session.token), session.seal.clone());
        Some(Visitor { token, seal, key, notice: None, kept: None })
    }

    /// Has a session that has just begun go on with what was typed before it. What was typed with a token
    /// of another name is left out, which the first page says.
    pub(super) fn go_on(&self, cookie: &str, page: &str, kept: KeptForm) {
        if let Some(session) = self.lock().get_mut(&key(cookie.as_bytes())) {
            if *session.token.name == *kept.bearer {
                session.kept = Some((page.to_owned(), Arc::new(kept)));
            } else {
                session.notice = Some(ActionNotice::new(OF_ANOTHER_NAME));
            }
        }
    }

    /// What was typed into the form of this page; the next time there is nothing.
    pub(super) fn take_kept(&self, key: &SessionKey, page: &str) -> Option<Arc<KeptForm>> {
        let mut sessions = self.lock();
        let kept = &mut sessions.get_mut(key)?.kept;
        kept.take_if(|(of, _)| of == page).map(|(_, kept)| kept)
    }

    /// Leaves a notice for the next page of a session.
    pub(super) fn leave(&self, key: &SessionKey, notice: ActionNotice) {
        if let Some(session) = self.lock().get_mut(key) {
            session.notice = Some(notice);
        }
    }

    /// The notice of a session; the next page has none.
    pub(super) fn take_notice(&self, key: &SessionKey) -> Option<ActionNotice> {
        self.lock().get_mut(key).and_then(|session| session.notice.take())
    }

    pub(super) fn end(&self, cookie: &[u8]) {
        self.lock().remove(&key(cookie));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, ConsoleSession>> {
        // Each change is complete even if the thread that made it panicked later.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which session has to end before one of this token begins: the one of the same token that has been idle for longest
/// if the token has all that it may, or else, if there is no place left, one of the token that has the most. So nobody keeps
/// others out by logging in again and again.
fn in_the_way(
    sessions: &HashMap<SessionKey, ConsoleSession>,
    token: &Arc<BearerToken>,
) -> Option<SessionKey> {
    let of = |token: &Arc<BearerToken>| sessions.values().filter(|one| one.token == *token).count();
    let idlest = |of: &dyn Fn(&ConsoleSession) -> bool| {
        let theirs = sessions.iter().filter(|(_, one)| of(one));
        theirs.min_by_key(|(_, one)| one.seen).map(|(key, _)| *key)
    };
    if of(token) >= TOKEN_SESSIONS_MAX {
        return idlest(&|one| one.token == *token);
    }
    if sessions.len() < SESSIONS_MAX {
        return None;
    }
    let most = sessions.values().map(|one| of(&one.token)).max()?;
    idlest(&|one| of(&one.token) == most)
}

impl ConsoleSession {
    fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) < IDLE_MAX
            && now.saturating_duration_since(self.begun) < LIFE_MAX
    }
}

fn key(cookie: &[u8]) -> SessionKey {
    Sha256::digest(cookie).into()
}

const OF_ANOTHER_NAME: &str =
    "what was typed before the login was typed with a token of another name, and is not shown";
const SESSIONS_MAX: usize = 64;
const TOKEN_SESSIONS_MAX: usize = 8;
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

    fn begin(sessions: &ConsoleSessions, name: &str) -> String {
        sessions.begin(token(name), |_| true).expect("a cookie")
    }

    /// Whose session a cookie is of.
    fn who(sessions: &ConsoleSessions, cookie: &str) -> Option<String> {
        let visitor = sessions.visit(cookie.as_bytes(), Presence::Refresh, |_| true);
        visitor.map(|visitor| visitor.token.name.to_string())
    }

    #[test]
    fn a_session_ends_with_its_token_and_when_it_is_ended() {
        let sessions = ConsoleSessions::new();
        let (first, second) = (begin(&sessions, "ada"), begin(&sessions, "eve"));
        assert_ne!(first, second);
        assert_eq!(who(&sessions, &first).as_deref(), Some("ada"));
        assert_eq!(who(&sessions, ""), None);
        let denied = sessions.visit(first.as_bytes(), Presence::Person, |token| &*token.name != "ada");
        assert!(denied.is_none());
        assert_eq!(who(&sessions, &first), None, "it is gone for good");
        sessions.end(second.as_bytes());
        assert_eq!(who(&sessions, &second), None);
    }

    #[test]
    fn only_a_person_uses_a_session() {
        let sessions = ConsoleSessions::new();
        let cookie = begin(&sessions, "ada");
        let seen = || sessions.lock().values().map(|one| one.seen).max();
        let begun = seen();
        sessions.visit(cookie.as_bytes(), Presence::Refresh, |_| true).expect("a visitor");
        assert_eq!(seen(), begun);
        sessions.visit(cookie.as_bytes(), Presence::Person, |_| true).expect("a visitor");
        assert!(seen() > begun);
    }

    #[test]
    fn a_notice_is_shown_once_and_by_its_own_session() {
        let sessions = ConsoleSessions::new();
        let [ada, eve] = ["ada", "eve"].map(|name| {
            let cookie = begin(&sessions, name);
            sessions.visit(cookie.as_bytes(), Presence::Person, |_| true).expect("a visitor").key
        });
        sessions.leave(&ada, ActionNotice::new("first"));
        sessions.leave(&ada, ActionNotice::new("second"));
        assert_eq!(sessions.take_notice(&eve), None);
        assert_eq!(sessions.take_notice(&ada), Some(ActionNotice::new("second")));
        assert_eq!(sessions.take_notice(&ada), None);
        sessions.leave(&key(b"gone"), ActionNotice::new("third"));
    }

    #[test]
    fn what_was_typed_before_is_for_whoever_typed_it_and_for_its_page() {
        let sessions = ConsoleSessions::new();
        let [ada, eve] = ["ada", "eve"].map(|name| {
            let cookie = begin(&sessions, name);
            let typed =
                [("bearer", "ada"), ("draft", "x")].map(|(name, text)| (name.to_owned(), text.to_owned()));
            sessions.go_on(&cookie, "/explain", KeptForm::of_form(typed.into()).expect("a form"));
            sessions.visit(cookie.as_bytes(), Presence::Person, |_| true).expect("a visitor").key
        });
        assert_eq!(sessions.take_kept(&ada, "/queue"), None);
        assert_eq!(
            sessions.take_kept(&ada, "/explain").map(|kept| kept.text("draft").to_owned()).as_deref(),
            Some("x")
        );
        assert_eq!((sessions.take_kept(&ada, "/explain"), sessions.take_notice(&ada)), (None, None));
        assert_eq!(sessions.take_kept(&eve, "/explain"), None);
        assert_eq!(sessions.take_notice(&eve), Some(ActionNotice::new(OF_ANOTHER_NAME)));
    }

    #[test]
    fn nobody_keeps_others_out_by_logging_in() {
        let sessions = ConsoleSessions::new();
        let ada = begin(&sessions, "ada");
        let first = begin(&sessions, "eve");
        for _ in 0..SESSIONS_MAX {
            begin(&sessions, "eve");
        }
        assert_eq!(who(&sessions, &first), None, "hers give way to hers");
        assert_eq!(sessions.lock().len(), 1 + TOKEN_SESSIONS_MAX);
        // However many tokens there are, the bound of all holds, and whoever has most gives way.
        for number in 0..SESSIONS_MAX {
            for _ in 0..TOKEN_SESSIONS_MAX {
                begin(&sessions, &format!("reader{}", number % 8));
            }
            assert!(sessions.lock().len() <= SESSIONS_MAX);
        }
        assert_eq!(sessions.lock().len(), SESSIONS_MAX);
        assert_eq!(who(&sessions, &ada).as_deref(), Some("ada"));
        let bob = begin(&sessions, "bob");
        assert_eq!(who(&sessions, &bob).as_deref(), Some("bob"));
        assert_eq!(who(&sessions, &ada).as_deref(), Some("ada"));
    }

    #[test]
    fn sessions_of_removed_tokens_take_no_place() {
        let sessions = ConsoleSessions::new();
        begin(&sessions, "eve");
        sessions.begin(token("ada"), |token| &*token.name != "eve").expect("a cookie");
        assert_eq!(sessions.lock().len(), 1);
    }

    #[test]
    fn each_start_has_a_cookie_name_of_its_own() {
        assert_ne!(ConsoleSessions::new().cookie_name, ConsoleSessions::new().cookie_name);
    }
}
