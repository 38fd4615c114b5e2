//! The tokens of the admin listener, and what their bearers may do. Only their digests are kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sha2::{Digest as _, Sha256};

/// The tokens that are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Arc<BearerToken>>);

/// A token: who bears it, and what he may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerToken {
    /// His name, as the file says.
    pub name: Arc<str>,
    /// What he may do.
    pub role: Role,
    digest: TokenDigest,
}

/// What a bearer may do. A later one may do all that an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees everything but the content of messages.
    Reader,
    /// Sees and changes everything.
    Operator,
}

impl Role {
    /// Its word in the file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
        }
    }
}

/// What is kept of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct TokenDigest([u8; 32]);

/// So many random octets, in hexadecimal digits: what nobody can guess. `None`: the system has no random numbers.
#[must_use]
pub fn random_hex<const OCTETS: usize>() -> Option<String> {
    let mut octets = [0; OCTETS];
    aws_lc_rs::rand::fill(&mut octets).ok()?;
    Some(data_encoding::HEXLOWER.encode(&octets))
}

/// The lines of the file so far: what one says must not contradict another.
#[derive(Debug, Default)]
pub struct TokenLines {
    tokens: HashSet<TokenDigest>,
    roles: HashMap<Arc<str>, Role>,
}

/// A line has no token, or contradicts one above it. It does not quote the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It could be guessed.
    #[error("a token has at least {TOKEN_LENGTH_MIN} characters; make one with \"openssl rand -hex 32\"")]
    Short,
    /// No HTTP header could carry it.
    #[error(
        "a token has no spaces, only letters, digits and marks of ASCII; make one with \"openssl rand -hex 32\""
    )]
    Characters,
    /// Neither a token, nor a role, a name and a token.
    #[error("write a token, or \"reader NAME TOKEN\", or \"operator NAME TOKEN\"")]
    Form,
    /// The name could not be shown in a log.
    #[error("a name has at most {NAME_LENGTH_MAX} letters, digits, dots, hyphens and underscores")]
    Name,
    /// Whose it is would depend on the order of the lines.
    #[error("this token is listed twice; remove it here or on the line above, or make another one")]
    Twice,
    /// Who is on two lines has a new token before the old one goes; he is the same on both.
    #[error(
        "this name has another role on a line above, and a line without a name is of the reader \"reader\"; write the \
         same role on each line of a name, or another name"
    )]
    Roles,
}

impl TokenLines {
    /// Parses the next line of the file. A name may be on several lines, so that a token is replaced without a gap.
    ///
    /// # Errors
    /// [`TokenFault`] as of [`BearerToken::parse`], or if a line above has the token, or the name with another role.
    pub fn parse(&mut self, line: &str) -> Result<BearerToken, TokenFault> {
        let token = BearerToken::parse(line)?;
        if !self.tokens.insert(token.digest) {
            return Err(TokenFault::Twice);
        }
        let role = *self.roles.entry(Arc::clone(&token.name)).or_insert(token.role);
        if role == token.role { Ok(token) } else { Err(TokenFault::Roles) }
    }
}

impl BearerToken {
    /// Parses a line of the file: `reader NAME TOKEN`, `operator NAME TOKEN`, or a token, whose bearer is a reader.
    ///
    /// # Errors
    /// [`TokenFault`] if the line has another form, or the token is too short or can't be sent.
    pub fn parse(line: &str) -> Result<Self, TokenFault> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (role, name, token) = match words.as_slice() {
            [token] => (Role::Reader, "reader", *token),
            ["reader", name, token] => (Role::Reader, *name, *token),
            ["operator", name, token] => (Role::Operator, *name, *token),
            _ => return Err(TokenFault::Form),
        };
        let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
        if name.len() > NAME_LENGTH_MAX || !name.chars().all(is_of_name) {
            return Err(TokenFault::Name);
        }
        Ok(Self { name: name.into(), role, digest: TokenDigest::parse(token)? })
    }
}

impl TokenDigest {
    fn parse(token: &str) -> Result<Self, TokenFault> {
        if !token.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(TokenFault::Characters);
        }
        if token.len() < TOKEN_LENGTH_MIN {
            return Err(TokenFault::Short);
        }
        Ok(Self::of(token))
    }

    fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

impl Tokens {
    /// These tokens.
    #[must_use]
    pub fn new(tokens: Vec<BearerToken>) -> Self {
        Self(tokens.into_iter().map(Arc::new).collect())
    }

    /// The token in the value of an Authorization header (RFC 6750 §2.1).
    #[must_use]
    pub fn bearer(&self, authorization: Option<&str>) -> Option<Arc<BearerToken>> {
        let (scheme, token) = authorization?.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("Bearer") { self.holder(token.trim()) } else { None }
    }

    /// Which of them a text is. How long it takes does not depend on how much of one is right.
    #[must_use]
    pub fn holder(&self, token: &str) -> Option<Arc<BearerToken>> {
        let TokenDigest(presented) = TokenDigest::of(token);
        let mut found = None;
        // Each is compared, whether or not one before it was right.
        for token in &self.0 {
            let TokenDigest(known) = &token.digest;
            let is_it = verify_slices_are_equal(known, &presented).is_ok();
            found = if is_it { Some(token) } else { found };
        }
        found.cloned()
    }

    /// Whether the file still has this token, with the same name and role.
    #[must_use]
    pub fn has(&self, token: &BearerToken) -> bool {
        self.0.iter().any(|one| **one == *token)
    }
}

/// Characters of a token: 120 bits if they are hexadecimal.
const TOKEN_LENGTH_MIN: usize = 30;
const NAME_LENGTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn only_a_whole_token_is_accepted() {
        let other = BearerToken::parse(&"z".repeat(40)).expect("a token");
        let operator = BearerToken::parse(&format!("operator ada {TOKEN}")).expect("a token");
        let tokens = Tokens::new(vec![other, operator]);
        let whole = format!("Bearer {TOKEN}");
        for (header, expected) in [
            (Some(whole.as_str()), true),
            (Some(&whole.replace("Bearer", "bearer")), true),
            (Some(&whole.replace("Bearer", "Basic")), false),
            (whole.get(..whole.len() - 1), false),
            (Some(&format!("{whole}0")), false),
            (Some(TOKEN), false),
            (Some("Bearer "), false),
            (None, false),
        ] {
            assert_eq!(tokens.bearer(header).is_some(), expected, "{header:?}");
        }
        assert!(Tokens::default().bearer(Some(&whole)).is_none());
    }

    #[test]
    fn a_bearer_has_the_role_of_his_line() {
        let line = |line: &str| BearerToken::parse(line).map(|token| (token.name.to_string(), token.role));
        let bearer = |name: &str, role| Ok((name.to_owned(), role));
        assert_eq!(line(TOKEN), bearer("reader", Role::Reader));
        assert_eq!(line(&format!("reader grafana {TOKEN}")), bearer("grafana", Role::Reader));
        assert_eq!(line(&format!("operator  ada\t{TOKEN}")), bearer("ada", Role::Operator));
        assert_eq!(line(&format!("root ada {TOKEN}")), Err(TokenFault::Form));
        assert_eq!(line(&format!("operator {TOKEN}")), Err(TokenFault::Form));
        assert_eq!(line(&format!("operator a=b {TOKEN}")), Err(TokenFault::Name));
        assert!(Role::Reader < Role::Operator);
    }

    #[test]
    fn no_line_contradicts_another() {
        let other = TOKEN.to_uppercase();
        let last = |lines: &[&str]| {
            let mut file = TokenLines::default();
            let (last, above) = lines.split_last().expect("a line");
            above.iter().for_each(|line| assert!(file.parse(line).is_ok(), "{line}"));
            file.parse(last).map(|token| token.role)
        };
        let operator = format!("operator ada {TOKEN}");
        let (reader, replaced) = (format!("reader ada {other}"), format!("operator ada {other}"));
        assert_eq!(last(&[&operator, &replaced]), Ok(Role::Operator), "a token is being replaced");
        assert_eq!(last(&[TOKEN, &other]), Ok(Role::Reader), "two without a name");
        assert_eq!(last(&[&operator, &operator]), Err(TokenFault::Twice));
        assert_eq!(last(&[&operator, &format!("reader eve {TOKEN}")]), Err(TokenFault::Twice));
        assert_eq!(last(&[TOKEN, &operator]), Err(TokenFault::Twice));
        assert_eq!(last(&[&operator, &reader]), Err(TokenFault::Roles));
        assert_eq!(last(&[&other, &format!("operator reader {TOKEN}")]), Err(TokenFault::Roles));
    }

    #[test]
    fn what_could_be_guessed_is_not_a_token() {
        let short = TOKEN.get(..29).unwrap_or_default();
        assert_eq!(BearerToken::parse(short), Err(TokenFault::Short));
        assert_eq!(BearerToken::parse(&TOKEN.replace('0', "ü")), Err(TokenFault::Characters));
    }
}
