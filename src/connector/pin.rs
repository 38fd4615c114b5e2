//! Pins of certificate keys: their text form and when they are valid.

use std::cmp::Ordering;
use std::fmt;

use serde::Serialize;

use crate::mail::UnixMillis;

/// A key that a certificate must have: the SHA-256 of its SubjectPublicKeyInfo (RFC 7469 §2.4), with an
/// optional validity period.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Pin {
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub sha256: [u8; 32],
    /// The first moment at which the pin is valid; `None`: no lower limit.
    pub from: Option<UnixMillis>,
    /// The first moment at which the pin is no longer valid; `None`: no upper limit.
    pub until: Option<UnixMillis>,
}

/// The text is not a valid pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pin is \"sha256/\" and the 44 characters of base64 that `sealpost cert show` prints")]
pub struct PinFault;

impl Pin {
    /// Parses `sha256/BASE64`; the validity is left open.
    ///
    /// # Errors
    /// [`PinFault`] if the prefix is missing or the rest is not 32 octets in base64.
    pub fn parse(text: &str) -> Result<Self, PinFault> {
        let digits = text.strip_prefix("sha256/").ok_or(PinFault)?;
        let sha256 = decode(digits).ok_or(PinFault)?;
        Ok(Self { sha256, from: None, until: None })
    }

    /// Whether the pin is valid at this moment.
    #[must_use]
    pub fn counts_at(&self, now: UnixMillis) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }
}

/// When a list of pins can be met, seen from one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinTerm {
    /// Some pin is valid now and at every later moment; also if there is no pin.
    Lasting,
    /// Some pin is valid now; from this moment none is.
    Until(UnixMillis),
    /// No pin is valid yet; the next one begins at this moment.
    NotBefore(UnixMillis),
    /// The last pin ended at this moment.
    Ended(UnixMillis),
}

impl PinTerm {
    /// The term of these pins, any of which is enough.
    #[must_use]
    pub fn of(pins: &[Pin], now: UnixMillis) -> Self {
        if pins.is_empty() {
            return Self::Lasting;
        }
        // Pins that overlap carry on from each other; each turn ends at a later moment than the last one.
        let mut end = now;
        while let Some(last) = pins.iter().filter(|pin| pin.counts_at(end)).map(|pin| pin.until).max_by(later)
        {
            let Some(until) = last else { return Self::Lasting };
            end = until;
        }
        if end > now {
            return Self::Until(end);
        }
        let next = pins.iter().filter_map(|pin| pin.from).filter(|from| *from > now).min();
        let last = pins.iter().filter_map(|pin| pin.until).max();
        next.map_or_else(|| Self::Ended(last.unwrap_or(now)), Self::NotBefore)
    }
}

/// Compares ends; one that never comes is the latest.
fn later(one: &Option<UnixMillis>, other: &Option<UnixMillis>) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => one.cmp(other),
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
    }
}

/// A digest in pin notation: `sha256/` and base64.
#[must_use]
pub fn pin_text(sha256: &[u8; 32]) -> String {
    let mut out = String::from("sha256/");
    for chunk in sha256.chunks(3) {
        let at = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let word = (at(0) << 16) | (at(1) << 8) | at(2);
        for place in 0..4 {
            let digit = usize::try_from((word >> (18 - 6 * place)) & 63).unwrap_or(0);
            let filled = place <= u32::try_from(chunk.len()).unwrap_or(0);
            out.push(if filled { char::from(*ALPHABET.get(digit).unwrap_or(&b'=')) } else { '=' });
        }
    }
    out
}

fn decode(digits: &str) -> Option<[u8; 32]> {
    let bare = digits.strip_suffix('=')?;
    if bare.len() != 43 {
        return None;
    }
    let mut bits: u32 = 0;
    let mut held: u32 = 0;
    let mut out = Vec::with_capacity(33);
    for digit in bare.bytes() {
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        bits = (bits << 6) | u32::try_from(value).ok()?;
        held = held.saturating_add(6);
        if held >= 8 {
            held = held.saturating_sub(8);
            out.push(u8::try_from((bits >> held) & 0xff).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    // Non-zero trailing bits would give one pin several spellings.
    (bits == 0).then_some(())?;
    out.try_into().ok()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&pin_text(&self.sha256))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_it_is_written() {
        for digest in [[0; 32], [255; 32], std::array::from_fn(|i| u8::try_from(i * 7).expect("small"))] {
            assert_eq!(Pin::parse(&pin_text(&digest)).map(|pin| pin.sha256), Ok(digest));
        }
        // An example from RFC 7469 §2.1.
        let known = "sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=";
        assert_eq!(Pin::parse(known).map(|pin| pin.to_string()), Ok(known.to_owned()));
        for bad in [
            "",
            "sha256/",
            "sha1/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=",
            "sha256/d6qz=",
            "sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmN=",
        ] {
            assert_eq!(Pin::parse(bad), Err(PinFault), "{bad}");
        }
    }

    #[test]
    fn pins_carry_on_from_each_other() {
        let pins = |dates: &[(Option<i64>, Option<i64>)]| -> Vec<Pin> {
            let pin = |(from, until): &(Option<i64>, Option<i64>)| Pin {
                sha256: [0; 32],
                from: from.map(UnixMillis),
                until: until.map(UnixMillis),
            };
            dates.iter().map(pin).collect()
        };
        let check = |dates: &[(Option<i64>, Option<i64>)], expected: PinTerm| {
            assert_eq!(PinTerm::of(&pins(dates), UnixMillis(100)), expected, "{dates:?}");
        };
        let at = UnixMillis;
        check(&[], PinTerm::Lasting);
        check(&[(None, None)], PinTerm::Lasting);
        check(&[(None, Some(150)), (Some(140), None)], PinTerm::Lasting);
        check(&[(None, Some(150))], PinTerm::Until(at(150)));
        check(&[(None, Some(150)), (Some(140), Some(170)), (Some(170), Some(180))], PinTerm::Until(at(180)));
        check(&[(None, Some(150)), (Some(151), None)], PinTerm::Until(at(150)));
        check(&[(Some(120), None), (Some(110), None), (None, Some(90))], PinTerm::NotBefore(at(110)));
        check(&[(None, Some(90)), (None, Some(100))], PinTerm::Ended(at(100)));
    }

    #[test]
    fn its_dates_bound_it() {
        let pin = Pin { sha256: [0; 32], from: Some(UnixMillis(10)), until: Some(UnixMillis(20)) };
        let at = |now| pin.counts_at(UnixMillis(now));
        assert_eq!([9, 10, 19, 20].map(at), [false, true, true, false]);
    }
}
