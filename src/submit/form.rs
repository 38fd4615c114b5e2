//! The octets of a program's message as valid lines: what SMTP can't carry is encoded or broken, nothing is lost.

use encodify::qp;

use super::header::{Header, is_named};

/// The content in wire form. Octets stay as they are; only line ends differ. A body with NUL or over-long lines
/// (RFC 5321 §2.3.8 and §4.5.3.1.6) is put in quoted-printable if it is plain text; in other messages NUL is left out, and
/// long lines are broken.
#[must_use]
pub fn content(header: &Header, body: &[u8]) -> Vec<u8> {
    let fits = lines(body).all(|line| line.len() <= LINE_BYTES_MAX && !line.contains(&0));
    let mut out = Vec::with_capacity(body.len().saturating_add(body.len() / 16).saturating_add(1024));
    let encode = !fits && is_plain_text(header);
    for field in header.fields() {
        if encode && is_named(field, "Content-Transfer-Encoding") {
            continue;
        }
        for line in folded(field) {
            push_line(&mut out, &line);
        }
    }
    if encode {
        for line in labels(header, body).lines() {
            push_line(&mut out, line.as_bytes());
        }
    }
    push_line(&mut out, b"");
    if encode {
        let whole: Vec<&[u8]> = lines(body).collect();
        let encoded = qp::BODY.encode(whole.join(&b"\n"[..]));
        lines(encoded.as_bytes()).for_each(|line| push_line(&mut out, line));
        return out;
    }
    for line in lines(body) {
        if line.len() <= LINE_BYTES_MAX && !line.contains(&0) {
            push_line(&mut out, line);
            continue;
        }
        let line: Vec<u8> = line.iter().copied().filter(|octet| *octet != 0).collect();
        line.chunks(LINE_BYTES_MAX).for_each(|part| push_line(&mut out, part));
    }
    out
}

/// Lines without their ends, which are CRLF, LF or, from programs that draw progress, CR.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at_checked(end)?;
        rest = after.strip_prefix(b"\r\n").or_else(|| after.get(1..)).unwrap_or_default();
        Some(line)
    })
}

/// Whether the body is text in a form that another encoding may take the place of.
fn is_plain_text(header: &Header) -> bool {
    let value = |name: &str| {
        let field = header.fields().find(|field| is_named(field, name))?;
        let value = field.splitn(2, |octet| *octet == b':').nth(1)?;
        Some(String::from_utf8_lossy(value).trim().to_ascii_lowercase())
    };
    let text = value("Content-Type").is_none_or(|kind| kind.starts_with("text/") || kind == "text");
    let encoding = value("Content-Transfer-Encoding");
    text && encoding.is_none_or(|encoding| matches!(encoding.as_str(), "7bit" | "8bit" | "binary"))
}

/// The fields that name the encoding, and what else is missing for it.
fn labels(header: &Header, body: &[u8]) -> String {
    let mut fields = String::new();
    if !header.has("MIME-Version") {
        fields.push_str("MIME-Version: 1.0\n");
    }
    if !header.has("Content-Type") {
        // RFC 1428 §3: unknown-8bit says that the character set is not known.
        let charset = match std::str::from_utf8(body) {
            Ok(text) if text.is_ascii() => "us-ascii",
            Ok(_) => "utf-8",
            Err(_) => "unknown-8bit",
        };
        fields.push_str(&format!("Content-Type: text/plain; charset={charset}\n"));
    }
    fields.push_str("Content-Transfer-Encoding: quoted-printable\n");
    fields
}

/// A field in lines that are not too long, folded at blanks if there are any.
fn folded(field: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for line in field.split(|octet| *octet == b'\n') {
        let line: Vec<u8> = line
            .iter()
            .filter(|octet| **octet != 0)
            .map(|octet| if *octet == b'\r' { b' ' } else { *octet })
            .collect();
        let mut rest = line.as_slice();
        while rest.len() > LINE_BYTES_MAX {
            let within = rest.get(1..LINE_BYTES_MAX).unwrap_or_default();
            let blank = within.iter().rposition(|octet| matches!(octet, b' ' | b'\t'));
            // Behind the name a fold would leave a line without a value.
            let at = blank.map(|at| at.saturating_add(1)).filter(|at| *at > FIELD_NAME_BYTES);
            let Some((line, after)) = rest.split_at_checked(at.unwrap_or(FOLD_BYTES)) else { break };
            out.push(line.to_vec());
            if at.is_some() {
                rest = after;
                continue;
            }
            let mut next = b" ".to_vec();
            next.extend_from_slice(after);
            out.extend(folded(&next));
            return out;
        }
        out.push(rest.to_vec());
    }
    out
}

/// A line in wire form: CRLF at its end, a dot before a dot at its start.
fn push_line(out: &mut Vec<u8>, line: &[u8]) {
    if line.starts_with(b".") {
        out.push(b'.');
    }
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}

/// Octets of a line without CRLF.
const LINE_BYTES_MAX: usize = 998;
/// Where a line without blanks is broken.
const FOLD_BYTES: usize = 990;
const FIELD_NAME_BYTES: usize = 78;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &[u8]) -> String {
        let (header, body) = Header::split(text);
        let wire = content(&header, body);
        assert!(wire.split_inclusive(|b| *b == b'\n').all(|l| l.ends_with(b"\r\n") && l.len() <= 1000));
        assert!(!wire.contains(&0));
        wire.iter().map(|octet| char::from(*octet)).collect::<String>().replace("\r\n", "|")
    }

    #[track_caller]
    fn check(text: &[u8], expected: &str) {
        assert_eq!(shown(text), expected);
    }

    #[test]
    fn octets_stay_and_line_ends_become_valid() {
        check(b"A: b\n\nx\n.\n..\ny", "A: b||x|..|...|y|");
        check(b"A: b\r\n\r\n10%\r50%\r\n\rend\n", "A: b||10%|50%||end|");
        check(b"A: \xfc\rb\n\n\xdf\n", "A: \u{fc} b||\u{df}|");
        check(b"A: b\n\n", "A: b||");
        check(b"no header\nat all\n", "|no header|at all|");
    }

    #[test]
    fn what_smtp_cannot_carry_is_encoded_or_broken() {
        let text = "MIME-Version: 1.0|Content-Type: text/plain; charset=";
        let quoted = "|Content-Transfer-Encoding: quoted-printable||";
        check(b"A: b\n\nx\0y=\n", &format!("A: b|{text}us-ascii{quoted}x=00y=3D|"));
        check(b"A: b\n\n\xfc\0\n", &format!("A: b|{text}unknown-8bit{quoted}=FC=00|"));
        let labelled = b"Content-Type: TEXT/plain; charset=x\nContent-Transfer-Encoding: 8bit\nMIME-version: 1.0\n\n\xfc\0";
        let kept = "Content-Type: TEXT/plain; charset=x|MIME-version: 1.0";
        check(labelled, &format!("{kept}{quoted}=FC=00|"));
        let long = "word ".repeat(400);
        let read = shown(format!("A: b\n\n{long}\n").as_bytes()).replace("=|", "");
        assert!(read.ends_with(&format!("{quoted}{}=20|", long.trim_end())), "{read}");
        check(
            b"Content-Type: multipart/mixed; boundary=x\n\nx\0y\n",
            "Content-Type: multipart/mixed; boundary=x||xy|",
        );
        let other = [&b"Content-Transfer-Encoding: base64\n\n"[..], &[b'x'; 1000]].concat();
        let expected = format!("Content-Transfer-Encoding: base64||{}|xx|", "x".repeat(998));
        check(&other, &expected);
    }

    #[test]
    fn a_long_field_is_folded() {
        let words = format!("A: {}", "word ".repeat(400));
        let read = shown(format!("{words}\n\n").as_bytes());
        assert_eq!(read.trim_end_matches('|').replace('|', ""), words);
        let solid = shown(format!("A: {}\n\nx", "y".repeat(3000)).as_bytes());
        assert_eq!(solid.replace("| ", "").matches('y').count(), 3000);
    }
}
