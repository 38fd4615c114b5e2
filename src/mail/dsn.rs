//! The DSN parameters of MAIL FROM and RCPT TO (RFC 3461), which are relayed from hop to hop. It composes no
//! report.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The DSN parameters of MAIL FROM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageDsn {
    /// `RET=` (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// `ENVID=`, xtext as received (RFC 3461 §4.4).
    pub envid: Option<Arc<str>>,
}

/// How much of the message a failure report returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ret {
    /// `RET=FULL`: the whole message.
    Full,
    /// `RET=HDRS`: the header section only.
    Headers,
}

/// The DSN parameters of RCPT TO.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecipientDsn {
    /// `NOTIFY=` (RFC 3461 §4.1).
    pub notify: Notify,
    /// `ORCPT=`, type and xtext as received (RFC 3461 §4.2).
    pub orcpt: Option<Arc<str>>,
}

/// Which reports the sender requests: the value of `NOTIFY=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notify(u8);

/// What a report can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The message was delivered.
    Success,
    /// Delivery failed for good.
    Failure,
    /// Delivery is delayed.
    Delay,
}

impl Ret {
    /// The parameter value, `FULL` or `HDRS`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        }
    }
}

impl Notify {
    /// No NOTIFY parameter: failures and delays are reported.
    pub const UNSAID: Self = Self(0);
    /// `NOTIFY=NEVER`: nothing is reported.
    pub const NEVER: Self = Self(8);

    /// Parses the parameter value: `NEVER`, or a list of the others.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value.eq_ignore_ascii_case("NEVER") {
            return Some(Self::NEVER);
        }
        let mut said = 0;
        for word in value.split(',') {
            let (_, bit) = WORDS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known))?;
            said |= bit;
        }
        Some(Self(said))
    }

    /// Restores a value from [`Self::number`].
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        (number <= 8).then_some(Self(number))
    }

    /// The value as stored.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// Whether there was no NOTIFY parameter.
    #[must_use]
    pub fn is_unsaid(self) -> bool {
        self == Self::UNSAID
    }

    /// Whether this is reported to the sender. Without NOTIFY, failures are reported (RFC 3461 §5.2.6), and
    /// so are delays, which the RFC leaves to us.
    #[must_use]
    pub fn wants(self, occasion: Occasion) -> bool {
        let bit = match occasion {
            Occasion::Success => SUCCESS,
            Occasion::Failure => FAILURE,
            Occasion::Delay => DELAY,
        };
        if self.is_unsaid() { occasion != Occasion::Success } else { self.0 & bit != 0 }
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER {
            return f.write_str("NEVER");
        }
        let said: Vec<&str> =
            WORDS.iter().filter(|(_, bit)| self.0 & bit != 0).map(|(word, _)| *word).collect();
        f.write_str(&said.join(","))
    }
}

/// Decodes xtext (RFC 3461 §4): `+3D` is `=`. Octets that are not UTF-8 are replaced.
#[must_use]
pub fn from_xtext(xtext: &str) -> String {
    let mut octets = Vec::with_capacity(xtext.len());
    let mut rest = xtext.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let hex = (*first == b'+').then(|| after.get(..2).and_then(hex_octet)).flatten();
        if let Some(octet) = hex {
            octets.push(octet);
            rest = after.get(2..).unwrap_or_default();
        } else {
            octets.push(*first);
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// Whether a text is xtext: printable ASCII without `=`, and `+` only before two hexadecimal digits.
#[must_use]
pub fn is_xtext(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => match after.get(..2).and_then(hex_octet) {
                Some(_) => rest = after.get(2..).unwrap_or_default(),
                None => return false,
            },
            b'=' => return false,
            octet if !octet.is_ascii_graphic() => return false,
            _ => {}
        }
    }
    true
}

fn hex_octet(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    digits.iter().all(u8::is_ascii_hexdigit).then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

const SUCCESS: u8 = 1;
const FAILURE: u8 = 2;
const DELAY: u8 = 4;
const WORDS: &[(&str, u8)] = &[("SUCCESS", SUCCESS), ("FAILURE", FAILURE), ("DELAY", DELAY)];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<(&str, [bool; 3])>) {
        let got = Notify::parse(value).map(|notify| {
            let wants = [Occasion::Success, Occasion::Failure, Occasion::Delay].map(|o| notify.wants(o));
            (notify.to_string(), wants)
        });
        assert_eq!(got, expected.map(|(text, wants)| (text.to_owned(), wants)), "{value:?}");
        if let Some(notify) = Notify::parse(value) {
            assert_eq!(Notify::from_number(notify.number()), Some(notify));
        }
    }

    #[test]
    fn notify_says_what_is_told() {
        check("NEVER", Some(("NEVER", [false; 3])));
        check("never", Some(("NEVER", [false; 3])));
        check("SUCCESS,FAILURE", Some(("SUCCESS,FAILURE", [true, true, false])));
        check("delay", Some(("DELAY", [false, false, true])));
        check("NEVER,SUCCESS", None);
        check("", None);
        check("SUCCESS,", None);
        assert_eq!(
            [Occasion::Success, Occasion::Failure, Occasion::Delay].map(|o| Notify::UNSAID.wants(o)),
            [false, true, true]
        );
    }

    #[test]
    fn xtext_is_decoded_and_checked() {
        assert_eq!(from_xtext("rfc822;a+2Bb+3Dc@d.example"), "rfc822;a+b=c@d.example");
        assert_eq!(from_xtext("a+2"), "a+2");
        assert!(is_xtext("a+2Bb") && is_xtext(""));
        assert!(
            !is_xtext("a+2") && !is_xtext("a=b") && !is_xtext("a b") && !is_xtext("ü") && !is_xtext("a+g0")
        );
    }
}
