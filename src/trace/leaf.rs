//! The octets of an event that its seal is made of. They are made of what is stored, as it is stored, so that every version
//! of the program makes the same of it. Pure.

use std::fmt::Write as _;

use super::code::StoredWord as _;
use super::record::EventKind;
use crate::mail::QueueId;

/// An event as it is stored, with the SHA-256 hash of its decision in hexadecimal digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredEvent<'a> {
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) kind: u8,
    pub(super) id: Option<i64>,
    pub(super) decision: Option<&'a str>,
    pub(super) data: &'a str,
}

impl StoredEvent<'_> {
    /// As a line of JSON, whose octets are a leaf of the tree.
    pub(super) fn write_line(&self, out: &mut String) {
        // Writing to a String does not fail.
        let _head = write!(out, "{{\"seq\":{},\"at\":{},\"event\":\"", self.seq, self.at);
        let _kind = match EventKind::numbered(self.kind) {
            Some(kind) => write!(out, "{}\"", kind.word()),
            None => write!(out, "event-{}\"", self.kind),
        };
        if let Some(id) = self.id {
            let _id = write!(out, ",\"id\":\"{}\"", QueueId::from_number(id));
        }
        if let Some(decision) = self.decision {
            let _decision = write!(out, ",\"decision\":\"{decision}\"");
        }
        let _facts = write!(out, ",\"facts\":{}}}", if self.data.is_empty() { "{}" } else { self.data });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_made_of_what_is_stored() {
        let line = |event: StoredEvent<'_>| {
            let mut out = String::new();
            event.write_line(&mut out);
            out
        };
        let event =
            StoredEvent { seq: 7, at: 1_795_469_756_000, kind: 4, id: None, decision: None, data: "" };
        assert_eq!(line(event), r#"{"seq":7,"at":1795469756000,"event":"delivered","facts":{}}"#);
        let id = QueueId::first_of(1_795_469_756_000);
        let event = StoredEvent {
            kind: 99,
            id: Some(id.to_number()),
            decision: Some("ab"),
            data: r#"{"v":1,"new":"of a later version"}"#,
            ..event
        };
        let expected = format!(
            r#"{{"seq":7,"at":1795469756000,"event":"event-99","id":"{id}","decision":"ab","facts":{{"v":1,"new":"of a later version"}}}}"#
        );
        assert_eq!(line(event), expected);
    }
}
