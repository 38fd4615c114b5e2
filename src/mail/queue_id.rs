//! Queue IDs: how they are built, ordered and written. The spool assigns them.

use std::fmt;
use std::str::FromStr;

/// The name of an accepted message: 48 bits of milliseconds since 1970 above a 15-bit counter, so IDs sort by
/// age. Written as 13 characters of Crockford's base 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, pattern = "^[0-9A-HJKMNP-TV-Z]{13}$", example = "01M8H7T516000")]
pub struct QueueId(i64);

impl QueueId {
    /// The first ID of a millisecond.
    #[must_use]
    pub fn first_of(unix_ms: u64) -> Self {
        Self(i64::try_from(unix_ms << COUNTER_BITS).unwrap_or(i64::MAX))
    }

    /// The ID after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number the spool stores; never negative.
    #[must_use]
    pub fn to_number(self) -> i64 {
        self.0
    }

    /// Restores an ID from its stored number.
    #[must_use]
    pub fn from_number(number: i64) -> Self {
        Self(number)
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shift = 60_u32;
        loop {
            let digit = usize::try_from((self.0 >> shift) & 31).unwrap_or_default();
            let letter = LETTERS.get(digit).copied().unwrap_or(b'0');
            write!(f, "{}", char::from(letter))?;
            if shift == 0 {
                return Ok(());
            }
            shift = shift.saturating_sub(5);
        }
    }
}

/// The text is not a queue ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a queue id has 13 letters and digits, as `sealpost queue list` prints it")]
pub struct NoQueueId;

impl FromStr for QueueId {
    type Err = NoQueueId;

    fn from_str(text: &str) -> Result<Self, NoQueueId> {
        if text.len() != 13 {
            return Err(NoQueueId);
        }
        text.bytes()
            .try_fold(0_i64, |number, byte| {
                let digit = LETTERS.iter().position(|l| *l == byte.to_ascii_uppercase())?;
                number.checked_mul(32)?.checked_add(i64::try_from(digit).ok()?)
            })
            .map(Self)
            .ok_or(NoQueueId)
    }
}

impl serde::Serialize for QueueId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for QueueId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

const COUNTER_BITS: u32 = 15;
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_sorts_by_age() {
        let early = QueueId::first_of(1_780_000_000_000);
        let late = QueueId::first_of(1_780_000_000_001);
        assert_eq!(early.to_string().parse(), Ok(early));
        assert!(early.next() < late && early.to_string() < late.to_string());
        assert_eq!("nonsense".parse::<QueueId>(), Err(NoQueueId));
        assert_eq!("ZZZZZZZZZZZZZ".parse::<QueueId>(), Err(NoQueueId));
    }
}
