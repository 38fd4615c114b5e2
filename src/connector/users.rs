//! Users files: names and password hashes, and the login a client sent. Hashes are checked elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::mail::Mailbox;

/// A users file: names, each with a password hash in PHC format (`$argon2id$…`).
#[derive(Clone, PartialEq, Eq)]
pub struct Users {
    /// The file name, as in the configuration.
    pub file: Arc<str>,
    /// The PHC hash for each name, in the form used for comparison.
    hashes: BTreeMap<String, String>,
}

/// A name and password sent by a client.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub name: String,
    /// The password, in plaintext.
    pub password: String,
}

/// A client that has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: Arc<str>,
    /// The users files that list it with this password.
    pub logins: Vec<VerifiedLogin>,
}

/// An entry of a users file that a password was verified against. The hash says which password that was: once the
/// entry is changed or gone, the login is no longer valid.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedLogin {
    /// The file.
    pub file: Arc<str>,
    /// The hash in it.
    pub hash: Arc<str>,
}

impl Users {
    /// Parses a users file: one `name:hash` per line; empty lines and lines starting with `#` are ignored.
    ///
    /// # Errors
    /// The line number and what is wrong with that line.
    pub fn parse(file: &str, text: &str) -> Result<Self, (usize, String)> {
        let mut hashes = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |what: &str| (number.saturating_add(1), what.to_owned());
            let (name, hash) = line.split_once(':').ok_or_else(|| at("it is not of the form name:hash"))?;
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(at("the name is empty or has a control character"));
            }
            if !hash.starts_with("$argon2") {
                return Err(at("the hash is not of Argon2; make the line with \"sealpost user NAME\""));
            }
            if hashes.insert(compared(name), hash.to_owned()).is_some() {
                return Err(at("the name is listed twice"));
            }
        }
        Ok(Self { file: file.into(), hashes })
    }

    /// The user's entry, as verified. A name that is an address matches however its local part is quoted, and in any case
    /// of its domain.
    #[must_use]
    pub fn verified(&self, name: &str) -> Option<VerifiedLogin> {
        let hash = self.hashes.get(&compared(name))?;
        Some(VerifiedLogin { file: Arc::clone(&self.file), hash: hash.as_str().into() })
    }

    /// Whether the user has logged in with an entry of this file as it is now.
    #[must_use]
    pub fn has(&self, user: &User) -> bool {
        self.verified(&user.name).is_some_and(|login| user.logins.contains(&login))
    }

    /// Every name with its hash.
    pub fn hashes(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.hashes.iter().map(|(name, hash)| (name.as_str(), hash.as_str()))
    }
}

/// The form of a name used for comparison: that of an address, if it is one.
fn compared(name: &str) -> String {
    Mailbox::parse(name).map_or_else(|_| name.to_owned(), |mailbox| mailbox.plain().into_owned())
}

impl Serialize for Users {
    /// Serialises the file name and a digest, so that no hash is disclosed.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digest = self.hashes.iter().fold(Sha256::new(), |digest, (name, hash)| {
            // Unambiguous: a name contains no colon, and neither part a line break.
            digest.chain_update(name).chain_update(":").chain_update(hash).chain_update("\n")
        });
        let mut fields = serializer.serialize_struct("Users", 2)?;
        fields.serialize_field("file", &self.file)?;
        fields.serialize_field("digest", digest.finalize().as_slice())?;
        fields.end()
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({}, {} names)", self.file, self.hashes.len())
    }
}

impl fmt::Debug for VerifiedLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedLogin({})", self.file)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[&str], (usize, &str)>) {
        let got = Users::parse("users", text);
        let names = got.as_ref().map(|u| u.hashes.keys().map(String::as_str).collect::<Vec<_>>());
        let names = names.map_err(|(line, what)| (*line, what.as_str()));
        assert_eq!(names, expected.map(<[_]>::to_vec), "{text:?}");
    }

    #[test]
    fn a_users_file_is_read_line_by_line() {
        check("# who\n\nann:$argon2id$x\n bob:$argon2id$y \n", Ok(&["ann", "bob"]));
        check("", Ok(&[]));
        check("\"ann\"@B.example:$argon2id$x", Ok(&["ann@b.example"]));
        check(
            "ann@b.example:$argon2id$x\n\"ann\"@b.example:$argon2id$y",
            Err((2, "the name is listed twice")),
        );
        check("ann", Err((1, "it is not of the form name:hash")));
        check("\n:$argon2id$x", Err((2, "the name is empty or has a control character")));
        check("a:$argon2id$x\na:$argon2id$y", Err((2, "the name is listed twice")));
        check("ann:secret", Err((1, "the hash is not of Argon2; make the line with \"sealpost user NAME\"")));
    }

    #[test]
    fn a_name_that_is_an_address_is_found_in_every_spelling() {
        let users = Users::parse("users", "ann@b.example:$argon2id$x\nbob:$argon2id$y").expect("users");
        let hash = |name| users.verified(name).map(|login| login.hash);
        for name in ["ann@b.example", "ann@B.Example", "\"ann\"@b.example", "\"a\\nn\"@b.example."] {
            assert_eq!(hash(name).as_deref(), Some("$argon2id$x"), "{name}");
        }
        assert_eq!(hash("bob").as_deref(), Some("$argon2id$y"));
        assert_eq!((hash("Bob"), hash("Ann@b.example")), (None, None));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let users = Users::parse("users", "ann:$argon2id$x").expect("users");
        let login = Login { name: "ann".to_owned(), password: "pw".to_owned() };
        assert_eq!(format!("{users:?} {login:?}"), "Users(users, 1 names) Login(ann)");
        let json = serde_json::to_string(&users).expect("JSON");
        assert!(json.starts_with("{\"file\":\"users\",\"digest\":[") && !json.contains("argon2"), "{json}");
    }
}
