//! Time stamps of an authority (RFC 3161): what is asked, and whether an answer is about that. Whether the authority signed
//! it is for whoever relies on it to verify, with its certificate. Pure.

use x509_parser::asn1_rs::{Any, FromDer as _, Tag};

use super::tree::Hash;

/// Why an answer is no time stamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StampFault {
    /// It is not in the form of RFC 3161.
    #[error("the answer is no time stamp (TimeStampResp, RFC 3161)")]
    Malformed,
    /// The authority refused.
    #[error("the authority refused, with the status {0} (PKIStatus, RFC 3161)")]
    Refused(u8),
    /// It is about something else.
    #[error("the time stamp is about something else")]
    Other,
}

/// The question, a `TimeStampReq` with this nonce, for the authority's certificate to be in the answer.
#[must_use]
pub fn stamp_request(hash: &Hash, nonce: u64) -> Vec<u8> {
    // An INTEGER is positive if its first bit is not set, and has no octets that say nothing.
    let nonce = (nonce & POSITIVE | LEADING).to_be_bytes();
    [REQUEST_HEAD, &hash.0, &[0x02, 0x08], &nonce, &[0x01, 0x01, 0xff]].concat()
}

/// Whether an answer is a time stamp for a hash.
///
/// # Errors
/// [`StampFault`].
pub fn stamped_hash(answer: &[u8], hash: &Hash) -> Result<(), StampFault> {
    match imprint(answer)? {
        octets if octets == hash.0 => Ok(()),
        _ => Err(StampFault::Other),
    }
}

/// The hash that an answer is about: `TimeStampResp`, `ContentInfo`, `SignedData`, `TSTInfo`, `messageImprint`.
fn imprint(answer: &[u8]) -> Result<Vec<u8>, StampFault> {
    let none = || StampFault::Malformed;
    let answer = members(whole(answer).ok_or_else(none)?);
    let status = answer.first().map(|status| members(status.data)).ok_or_else(none)?;
    let status = status.first().and_then(|status| status.data.last().copied()).ok_or_else(none)?;
    if status > GRANTED_WITH_MODS {
        return Err(StampFault::Refused(status));
    }
    let token = answer.get(1).map(|token| members(token.data)).ok_or_else(none)?;
    // ContentInfo: its type, and the content in a tag of its own.
    let signed = token.get(1).and_then(|content| whole(content.data)).map(members).ok_or_else(none)?;
    // SignedData: version, digest algorithms, content.
    let content = signed.get(2).map(|content| members(content.data)).ok_or_else(none)?;
    let octets =
        content.get(1).and_then(|content| whole_of(content.data, Tag::OctetString)).ok_or_else(none)?;
    // TSTInfo: version, policy, message imprint: an algorithm and a hash.
    let info = members(whole(octets).ok_or_else(none)?);
    let imprint = info.get(2).map(|imprint| members(imprint.data)).ok_or_else(none)?;
    let hash = imprint.get(1).filter(|hash| hash.tag() == Tag::OctetString).ok_or_else(none)?;
    Ok(hash.data.to_vec())
}

/// What a SEQUENCE holds.
fn whole(octets: &[u8]) -> Option<&[u8]> {
    whole_of(octets, Tag::Sequence)
}

fn whole_of(octets: &[u8], tag: Tag) -> Option<&[u8]> {
    let (_, found) = Any::from_der(octets).ok()?;
    (found.tag() == tag).then_some(found.data)
}

/// The values that follow each other.
fn members(mut octets: &[u8]) -> Vec<Any<'_>> {
    let mut found = Vec::new();
    while let Ok((rest, one)) = Any::from_der(octets) {
        found.push(one);
        octets = rest;
        if octets.is_empty() || found.len() >= MEMBERS_MAX {
            break;
        }
    }
    found
}

/// A SEQUENCE with the version, and the SHA-256 `messageImprint` up to the hash.
const REQUEST_HEAD: &[u8] = &[
    0x30, 0x43, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
    0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
];
const POSITIVE: u64 = u64::MAX >> 1;
const LEADING: u64 = 1 << 62;
const GRANTED_WITH_MODS: u8 = 1;
/// Values that are looked at.
const MEMBERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_question_is_what_openssl_makes_of_it() {
        let asked = stamp_request(&Hash::of(b"x"), 0);
        let (rest, found) = Any::from_der(&asked).expect("a sequence");
        assert!(rest.is_empty());
        let inside = members(found.data);
        let tags: Vec<Tag> = inside.iter().map(Any::tag).collect();
        assert_eq!(tags, [Tag::Integer, Tag::Sequence, Tag::Integer, Tag::Boolean]);
        assert_eq!(inside[2].data.len(), 8, "a nonce of eight octets");
    }

    #[test]
    fn a_refusal_is_named() {
        // TimeStampResp with a PKIStatusInfo of 2 (rejection).
        let answer = [0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x02];
        assert_eq!(stamped_hash(&answer, &Hash::of(b"x")), Err(StampFault::Refused(2)));
        assert_eq!(stamped_hash(b"<html>", &Hash::of(b"x")), Err(StampFault::Malformed));
    }

    proptest! {
        #[test]
        fn any_answer_is_borne(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(stamped_hash(&octets, &Hash::of(b"x")).is_err());
        }
    }
}
