//! The tokens of the admin listener. Only their digests are kept.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sha2::{Digest as _, Sha256};

/// The tokens that are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens(Vec<TokenDigest>);

/// What is kept of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

/// A text is not a token. It does not quote the text.
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
}

impl TokenDigest {
    /// Parses a token.
    ///
    /// # Errors
    /// [`TokenFault`] if it is too short, or can't be sent.
    pub fn parse(token: &str) -> Result<Self, TokenFault> {
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
    pub fn new(digests: Vec<TokenDigest>) -> Self {
        Self(digests)
    }

    /// Whether the value of an Authorization header has one of them (RFC 6750 §2.1). How long it takes does not depend on
    /// how much of one is right.
    #[must_use]
    pub fn accept(&self, authorization: Option<&str>) -> bool {
        let Some((scheme, token)) = authorization.and_then(|value| value.split_once(' ')) else {
            return false;
        };
        let TokenDigest(presented) = TokenDigest::of(token.trim());
        let is_it = |TokenDigest(known): &TokenDigest| verify_slices_are_equal(known, &presented).is_ok();
        // Each is compared, whether or not one before it was right.
        let found = self.0.iter().map(is_it).fold(false, |found, is_it| found | is_it);
        found && scheme.eq_ignore_ascii_case("Bearer")
    }
}

/// Characters of a token: 120 bits if they are hexadecimal.
const TOKEN_LENGTH_MIN: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn only_a_whole_token_is_accepted() {
        let other = TokenDigest::parse(&"z".repeat(40)).expect("a token");
        let tokens = Tokens::new(vec![other, TokenDigest::parse(TOKEN).expect("a token")]);
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
            assert_eq!(tokens.accept(header), expected, "{header:?}");
        }
        assert!(!Tokens::default().accept(Some(&whole)));
    }

    #[test]
    fn what_could_be_guessed_is_not_a_token() {
        assert_eq!(TokenDigest::parse(TOKEN.get(..29).unwrap_or_default()), Err(TokenFault::Short));
        assert_eq!(TokenDigest::parse(&TOKEN.replace('0', " ")), Err(TokenFault::Characters));
    }
}
