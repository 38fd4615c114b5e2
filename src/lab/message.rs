//! The messages of the lab, and a check that one arrived unchanged. Pure.

/// A message whose content is easily damaged: leading dots, trailing spaces, a long line. `marker`
/// occurs nowhere else.
#[must_use]
pub fn write(from: &str, to: &str, marker: &str) -> Vec<u8> {
    let long = "0123456789".repeat(80);
    format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: {marker}\r\nMessage-ID: <{marker}@lab.test>\r\n\
         Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\n\
         .\r\n..two dots\r\n.one dot\r\nspaces at the end  \t\r\n{long}\r\n\r\n{marker}\r\n"
    )
    .into_bytes()
}

/// Compares a copy with its original: it may only have one more Received field at the top.
///
/// # Errors
/// What differs, in words.
pub fn compare(original: &[u8], copy: &[u8]) -> Result<(), &'static str> {
    let trace = copy.strip_suffix(original).ok_or("the content did not arrive byte for byte")?;
    let trace = std::str::from_utf8(trace).map_err(|_| "what was put before the content is not text")?;
    let mut lines = trace.split_inclusive('\n');
    let first = lines.next().ok_or("no Received field was put before the content")?;
    let is_one_field = first.starts_with("Received: ")
        && trace.ends_with("\r\n")
        && lines.all(|line| line.starts_with([' ', '\t']) && line.ends_with("\r\n"));
    if is_one_field { Ok(()) } else { Err("what was put before the content is not one Received field") }
}

/// Whether the octets contain `wanted`.
#[must_use]
pub fn contains(octets: &[u8], wanted: &str) -> bool {
    memchr::memmem::find(octets, wanted.as_bytes()).is_some()
}

/// A message as text, each folded field on one line (RFC 5322 §2.2.3).
#[must_use]
pub fn unfolded(content: &[u8]) -> String {
    String::from_utf8_lossy(content).replace("\r\n\t", " ").replace("\r\n ", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &str, spoil: bool, expected: Result<(), &'static str>) {
        let original = write("a@a.test", "b@b.test", "m1");
        let mut copy = before.as_bytes().to_vec();
        copy.extend_from_slice(&original);
        if spoil {
            copy.pop();
        }
        assert_eq!(compare(&original, &copy), expected);
    }

    #[test]
    fn one_received_field_is_all_that_may_be_added() {
        let not_one = Err("what was put before the content is not one Received field");
        check("Received: from a\r\n\tby b; now\r\n", false, Ok(()));
        check("", false, Err("no Received field was put before the content"));
        check("Received: from a\r\nX-Other: b\r\n", false, not_one);
        check("Received: from a\n", false, not_one);
        check("Received: from a\r\n", true, Err("the content did not arrive byte for byte"));
    }
}
