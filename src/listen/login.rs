//! Checks passwords against the hashes of users files. A check is deliberately slow and large, so it runs
//! beside the sessions, few at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use argon2::password_hash::PasswordHash;
use argon2::{Argon2, PasswordVerifier};
use tokio_util::sync::CancellationToken;

use super::ListenerState;
use super::turns::Turns;
use crate::connector::{Login, Table, User, Users};
use crate::mail::Network;

/// Delay before a wrong password is answered.
const AFTER_FAILURE: Duration = Duration::from_millis(500);
/// Maximum wait for a check.
const LIMIT: Duration = Duration::from_secs(30);

/// The outcome of a login.
pub(super) enum LoginOutcome {
    /// The user; `None` if name or password is wrong.
    Answer(Option<Arc<User>>),
    /// Not checked; try again later.
    Later,
}

/// Checks a login, unless its network has failed too often or the daemon stops.
pub(super) async fn checked(
    shared: &ListenerState,
    turns: &Arc<Turns>,
    table: &Table,
    login: Login,
    (network, stop): (Network, &CancellationToken),
) -> LoginOutcome {
    let outcome = tokio::select! {
        outcome = tried(shared, turns, table, login, network) => outcome,
        () = stop.cancelled() => return LoginOutcome::Later,
    };
    if let LoginOutcome::Later | LoginOutcome::Answer(None) = outcome {
        // Only those who guess wait; an unchecked login must not be answered faster than a checked one.
        tokio::select! {
            () = tokio::time::sleep(AFTER_FAILURE) => {}
            () = stop.cancelled() => {}
        }
    }
    outcome
}

async fn tried(
    shared: &ListenerState,
    turns: &Arc<Turns>,
    table: &Table,
    login: Login,
    network: Network,
) -> LoginOutcome {
    let Some(rank) = shared.guesses.rank(network, Instant::now()) else { return LoginOutcome::Later };
    let Some(turn) = turns.wait(network, rank, LIMIT).await else { return LoginOutcome::Later };
    let Some(attempt) = shared.guesses.begin(network, Instant::now()) else { return LoginOutcome::Later };
    let lists = lists(table);
    let checked = tokio::task::spawn_blocking(move || {
        let user = matching(&lists, &login);
        drop(turn);
        user
    });
    let Ok(user) = checked.await else { return LoginOutcome::Later };
    attempt.settle(user.is_some(), Instant::now());
    LoginOutcome::Answer(user)
}

/// The users files of a table.
fn lists(table: &Table) -> Vec<Arc<Users>> {
    let mut lists: Vec<Arc<Users>> = table.inbound.iter().filter_map(|c| c.users.clone()).collect();
    lists.sort_by(|a, b| a.file.cmp(&b.file));
    lists.dedup_by(|a, b| a.file == b.file);
    lists
}

/// An unknown name takes as long as a wrong password: timing reveals nothing.
fn matching(lists: &[Arc<Users>], login: &Login) -> Option<Arc<User>> {
    let mut logins = Vec::new();
    let mut asked = false;
    for users in lists {
        if let Some(entry) = users.verified(&login.name) {
            asked = true;
            if fits(&entry.hash, &login.password) {
                logins.push(entry);
            }
        }
    }
    if !asked {
        let _never = fits(NOBODY, &login.password);
    }
    (!logins.is_empty()).then(|| Arc::new(User { name: login.name.as_str().into(), logins }))
}

fn fits(hash: &str, password: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// A hash no password is known for, at the usual cost.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5LW5vYm9keQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher;
    use argon2::password_hash::SaltString;

    use super::*;

    fn hash(password: &str) -> String {
        let cheap = argon2::Params::new(64, 1, 1, None).expect("parameters");
        let hasher = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cheap);
        let salt = SaltString::from_b64("c2FsdC1zYWx0").expect("a salt");
        hasher.hash_password(password.as_bytes(), &salt).expect("a hash").to_string()
    }

    #[test]
    fn a_user_belongs_to_the_files_that_have_the_password() {
        let users = |file: &str, text: String| Arc::new(Users::parse(file, &text).expect("users"));
        let lists = [
            users("a", format!("ann:{}\n", hash("one"))),
            users("b", format!("ann:{}\nbob:{}\n", hash("one"), hash("two"))),
            users("c", format!("ann:{}\n", hash("other"))),
        ];
        let files = |name: &str, password: &str| {
            let login = Login { name: name.to_owned(), password: password.to_owned() };
            matching(&lists, &login)
                .map(|user| user.logins.iter().map(|login| login.file.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(files("ann", "one"), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(files("bob", "two"), Some(vec!["b".to_owned()]));
        assert_eq!(files("bob", "one"), None);
        assert_eq!(files("eve", ""), None);
        assert!(PasswordHash::new(NOBODY).is_ok(), "it must cost what others cost");
    }
}
