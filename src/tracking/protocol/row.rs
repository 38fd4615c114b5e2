//! One row of the protocol log, as CSV (RFC 4180). Whatever a peer says stays in its field.

use std::fmt::Write as _;

use crate::mail::{UnixMillis, moves_text, rfc3339_millis};

/// The names of the fields: those of Exchange's protocol logs, without the last one.
pub(super) const HEADER: &str =
    "date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data\n";

/// One thing that happened in a session.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) at: UnixMillis,
    pub(super) number: u64,
    /// `+` connected, `-` disconnected, `>` we said, `<` the peer said, `*` something else.
    pub(super) event: char,
    /// Cleaned text: it has no octet that could end a line.
    pub(super) data: String,
}

/// What all rows of a session have in common.
#[derive(Debug, Clone)]
pub(super) struct SessionFields {
    pub(super) id: String,
    pub(super) local: String,
    pub(super) remote: String,
}

impl Row {
    /// Appends the row to `out`, after a mark of its direction.
    pub(super) fn write(&self, out: &mut String, (mark, connector): (char, &str), session: &SessionFields) {
        let (at, number, event) = (rfc3339_millis(self.at), self.number, self.event);
        let (connector, data) = (field(connector), field(&self.data));
        let SessionFields { id, local, remote } = session;
        // Writing to a string can't fail.
        let _infallible =
            writeln!(out, "{mark}{at},{connector},{id},{number},{local},{remote},{event},{data}");
    }
}

/// Text without anything that could end a line or move a cursor, and no longer than it may be.
pub(super) fn cleaned(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(DATA_OCTETS_MAX));
    for (at, c) in text.char_indices() {
        if clean.len() >= DATA_OCTETS_MAX {
            let _infallible = write!(clean, " ... ({} octets more)", text.len().saturating_sub(at));
            break;
        }
        if moves_text(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    clean
}

/// RFC 4180 §2: a field with a comma or a quote stands in quotes, and its quotes are doubled.
fn field(text: &str) -> String {
    if !text.contains([',', '"']) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Octets of one row's data.
const DATA_OCTETS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &str, expected: &str) {
        let row = Row { at: UnixMillis(1_795_469_756_000), number: 3, event: '<', data: cleaned(said) };
        let session = SessionFields {
            id: "1".to_owned(),
            local: "192.0.2.1:25".to_owned(),
            remote: "[2001:db8::1]:4".to_owned(),
        };
        let mut out = String::new();
        row.write(&mut out, ('r', "bank, \"in\""), &session);
        let start = "r2026-11-23T21:35:56.000Z,\"bank, \"\"in\"\"\",1,3,192.0.2.1:25,[2001:db8::1]:4,<,";
        assert_eq!(out, format!("{start}{expected}\n"));
        assert_eq!(HEADER.split(',').count(), 8);
    }

    #[test]
    fn peers_can_forge_no_row_and_no_field() {
        check("EHLO a", "EHLO a");
        check("EHLO a,b", "\"EHLO a,b\"");
        check("say \"hi\"", "\"say \"\"hi\"\"\"");
        check("a\r\n2026,b\u{1b}[2J\u{2028}", "\"a\\r\\n2026,b\\u{1b}[2J\\u{2028}\"");
        check(&"x".repeat(1_030), &format!("{} ... (6 octets more)", "x".repeat(1_024)));
    }
}
