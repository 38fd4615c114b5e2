//! Why nobody can meet a requirement at the moment, whatever certificate is shown. What follows is decided elsewhere.

use std::fmt;

use super::facts::TrustId;
use super::pin::PinTerm;
use super::requirement::{Forced, Revocation};
use crate::mail::{UnixMillis, rfc3339};

/// Why nobody can meet a requirement at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The first pin is valid from this moment.
    PinsNotBefore(UnixMillis),
    /// The last pin ended at this moment.
    PinsEnded(UnixMillis),
    /// Revocation is checked with `hard`, and no list of these sets can show a certificate to be good.
    NothingVouches(Vec<TrustId>),
}

impl Obstacle {
    /// What is in the way now, if anything is. `vouches`: whether the revocation lists of a set can show a certificate to be
    /// good now.
    #[must_use]
    pub fn of(forced: &Forced, now: UnixMillis, vouches: impl Fn(&TrustId) -> bool) -> Option<Self> {
        match PinTerm::of(&forced.pins, now) {
            PinTerm::NotBefore(from) => return Some(Self::PinsNotBefore(from)),
            PinTerm::Ended(at) => return Some(Self::PinsEnded(at)),
            PinTerm::Lasting | PinTerm::Until(_) => {}
        }
        let sets = forced.trust();
        let hard = forced.revocation == Revocation::Hard && !sets.is_empty();
        (hard && !sets.iter().any(vouches)).then(|| Self::NothingVouches(sets.to_vec()))
    }

    /// Whether the configuration itself is at fault, and not a file that is renewed without it.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        match self {
            Self::PinsNotBefore(_) | Self::PinsEnded(_) => true,
            Self::NothingVouches(_) => false,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PinsNotBefore(from) => write!(
                f,
                "pins refuses every certificate now: none of them is valid before {}; add the pin of the key in use",
                rfc3339(*from)
            ),
            Self::PinsEnded(at) => write!(
                f,
                "pins refuses every certificate now: the last of them ended on {}; add the pin of the key in use",
                rfc3339(*at)
            ),
            Self::NothingVouches(sets) => {
                let sets: Vec<String> = sets.iter().map(|set| format!("[trust.{set}]")).collect();
                write!(
                    f,
                    "revocation = \"hard\" refuses every certificate now: {} has no current list that one of its anchors \
                     signed; add one to crl, or write \"soft\"",
                    sets.join(" and ")
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pin::Pin;
    use super::super::requirement::Require;
    use super::*;

    #[test]
    fn what_nobody_can_meet_now() {
        let set = TrustId("own".into());
        let check = |change: &dyn Fn(&mut Forced), vouches: bool, expected: &str| {
            let mut forced = Forced::new(Require::Chain { trust: vec![set.clone()] });
            change(&mut forced);
            let found = Obstacle::of(&forced, UnixMillis(100), |_| vouches);
            let words = found.map_or_else(String::new, |one| one.to_string());
            assert_eq!(words.split(':').next(), Some(expected), "{words}");
        };
        let pin = |from: Option<i64>, until: Option<i64>| Pin {
            sha256: [7; 32],
            from: from.map(UnixMillis),
            until: until.map(UnixMillis),
        };
        let (pins, hard) =
            ("pins refuses every certificate now", "revocation = \"hard\" refuses every certificate now");
        check(&|_| {}, false, "");
        check(&|f| f.pins = vec![pin(None, None)], false, "");
        check(&|f| f.pins = vec![pin(None, Some(101))], false, "");
        check(&|f| f.pins = vec![pin(None, Some(100))], true, pins);
        check(&|f| f.pins = vec![pin(Some(101), None)], true, pins);
        check(&|f| f.revocation = Revocation::Hard, false, hard);
        check(&|f| f.revocation = Revocation::Hard, true, "");
        check(&|f| (f.revocation, f.require) = (Revocation::Hard, Require::Encryption), false, "");
    }
}
