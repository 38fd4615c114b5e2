//! A hash that is the same on every machine and in every release, for what is kept on disk. It is fast and not meant for
//! security.

/// The FNV-1a hash of some octets (draft-eastlake-fnv).
#[must_use]
pub fn stable_hash(octets: impl IntoIterator<Item = u8>) -> u64 {
    octets.into_iter().fold(BASIS, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(PRIME))
}

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_draft() {
        // draft-eastlake-fnv, appendix C.
        assert_eq!(stable_hash([]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(stable_hash(*b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(stable_hash(*b"foobar"), 0x8594_4171_f739_67e8);
    }
}
