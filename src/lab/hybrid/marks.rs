//! The messages of the hybrid lab: how one is written, recognised, and compared with its original. Pure.

use super::cases::{CASES, HybridCase};
use super::dress;
use super::fields::{RawField, SplitMessage};

/// The message of a case as its sender hands it to the gateway, in the run of this number.
#[must_use]
pub fn write(case: &HybridCase, run: u64) -> SplitMessage {
    let long = "0123456789".repeat(80);
    let (id, from, to) = (case.id, case.from, case.to);
    let text = format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: {id}\r\nMessage-ID: <{id}.{run}{MARK}>\r\n\
         Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\n\
         .\r\n..two dots\r\n.one dot\r\nspaces at the end  \t\r\n{long}\r\n\r\n{id}\r\n"
    );
    dress::cross_premises(SplitMessage::parse(text.as_bytes()), case.sender, case.marks)
}

/// The Message-ID of a message, without its brackets.
#[must_use]
pub fn message_id(content: &[u8]) -> Option<String> {
    let id = SplitMessage::parse(content).only("Message-ID")?;
    Some(id.trim_start_matches('<').trim_end_matches('>').to_owned())
}

/// The case and the run that a message belongs to, by its Message-ID.
#[must_use]
pub fn case_of(content: &[u8]) -> Option<(&'static HybridCase, u64)> {
    let id = message_id(content)?;
    let (case, run) = id.strip_suffix(MARK)?.rsplit_once('.')?;
    Some((CASES.iter().find(|known| known.id == case)?, run.parse().ok()?))
}

/// The organisation that a message says it comes from, as its sender names it by XOORG.
#[must_use]
pub fn originator(content: &[u8]) -> Option<String> {
    SplitMessage::parse(content).only("X-OriginatorOrg")
}

/// Compares a copy with its original: the body and every field must be there, octet by octet and in
/// order. Only Received and Exchange's own fields may be more, fewer or others.
///
/// # Errors
/// What differs, in words.
pub fn compare(original: &SplitMessage, copy: &SplitMessage) -> Result<(), &'static str> {
    if original.rest != copy.rest {
        return Err("the body did not arrive byte for byte");
    }
    let plain = |message: &SplitMessage| -> Vec<RawField> {
        message.fields.iter().filter(|field| !is_exchanges(field)).cloned().collect()
    };
    if plain(original) == plain(copy) {
        Ok(())
    } else {
        Err("the header section did not arrive byte for byte")
    }
}

fn is_exchanges(field: &RawField) -> bool {
    ["X-MS-Exchange-", "X-OriginatorOrg", "X-OrganizationHeadersPreserved", dress::FILTERED]
        .iter()
        .any(|family| field.is_of(family))
        || field.is("Received")
}

const MARK: &str = "@hybrid.lab.test";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_recognised_and_compared() {
        for case in CASES {
            let message = write(case, 7);
            let octets = message.octets();
            assert_eq!(case_of(&octets).map(|(case, run)| (case.id, run)), Some((case.id, 7)));
            let mut copy = message.clone();
            copy.fields.insert(0, RawField::new("Received", "from a"));
            assert_eq!(compare(&message, &copy), Ok(()));
            copy.rest.pop();
            assert!(compare(&message, &copy).is_err());
            let mut copy = message.clone();
            copy.fields.push(RawField::new("X-New", "a"));
            assert!(compare(&message, &copy).is_err());
        }
        assert!(case_of(b"Message-ID: <x@y>\r\n\r\n").is_none());
    }
}
