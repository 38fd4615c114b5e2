//! Conversions as a table, and properties of any.

use mail_parser::{Encoding, MimeHeaders as _};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn spliced(wire: &[u8], edits: &[Edit]) -> Vec<u8> {
    let (mut out, mut kept_from) = (Vec::new(), 0);
    for Edit { at, text } in edits {
        out.extend_from_slice(&wire[kept_from..at.start]);
        out.extend_from_slice(text);
        kept_from = at.end;
    }
    out.extend_from_slice(&wire[kept_from..]);
    assert!(out.is_ascii());
    assert!(out.split_inclusive(|o| *o == b'\n').all(|line| line.ends_with(b"\r\n") && line.len() <= 1000));
    out
}

/// `|` is CRLF, and each character an octet.
fn wire(text: &str) -> Vec<u8> {
    text.replace('|', "\r\n").chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn converted(wire: &[u8]) -> Result<Vec<u8>, ConversionFault> {
    convert(wire).map(|edits| spliced(wire, &edits))
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let got = converted(&wire(text)).unwrap();
    assert_eq!(String::from_utf8(got).unwrap().replace("\r\n", "|"), expected);
}

#[track_caller]
fn refused(text: &str, expected: ConversionFault) {
    assert_eq!(converted(&wire(text)), Err(expected), "{text}");
}

const TWO: &str = "MIME-Version: 1.0|Content-Type: multipart/alternative; boundary=\"b\"||";
const QP: &str = "Content-Transfer-Encoding: quoted-printable";
const IN_BASE64: &str = "Content-Transfer-Encoding: base64";

#[test]
fn text_of_one_part_becomes_quoted_printable() {
    let mime = "MIME-Version: 1.0|Content-Type: text/plain; charset=";
    check("A: b||Gr\u{fc}\u{df}e =|", &format!("A: b|{mime}unknown-8bit|{QP}||Gr=FC=DFe =3D|"));
    check("A: b||\u{c3}\u{bc} |..|..x|", &format!("A: b|{mime}utf-8|{QP}||=C3=BC=20|..|..x|"));
    let whole = "MIME-Version: 1.0|content-type: TEXT/html; charset=iso-8859-1";
    check(&format!("{whole}|A: b||\u{fc}|"), &format!("{whole}|A: b|{QP}||=FC|"));
    check(&format!("{whole}|content-transfer-encoding: 8BIT|A: b||\u{fc}|"), &{
        format!("{whole}|content-transfer-encoding: quoted-printable|A: b||=FC|")
    });
    check(
        "Content-Type: text/plain|Content-Transfer-Encoding:| 7bit||\u{fc}|",
        &format!("Content-Type: text/plain|{QP}|MIME-Version: 1.0||=FC|"),
    );
}

#[test]
fn dots_of_transparency_are_those_of_the_new_lines() {
    let dotted = format!("MIME-Version: 1.0||{}.{}\u{fc}|..x|", "y".repeat(75), "z".repeat(10));
    let got = converted(&wire(&dotted)).unwrap();
    let got = String::from_utf8(got).unwrap();
    assert!(got.contains(&format!("{}=\r\n..{}=FC\r\n..x\r\n", "y".repeat(75), "z".repeat(10))), "{got}");
}

#[test]
fn only_the_parts_with_8_bit_octets_change() {
    check(
        &format!(
            "{TWO}preamble|--b||no \u{fc}ber|--b|Content-Type: text/html|Content-Transfer-Encoding: 8bit||<p>=3D|--b|Content-Type: text/html|Content-Transfer-Encoding: 8bit||<p>\u{fc}|..|--b--|end|"
        ),
        &format!(
            "{TWO}preamble|--b|{QP}||no =FCber|--b|Content-Type: text/html|Content-Transfer-Encoding: 8bit||<p>=3D|--b|Content-Type: text/html|{QP}||<p>=FC|..|--b--|end|"
        ),
    );
    let labelled = TWO.replace("||", "|Content-Transfer-Encoding: 8bit||");
    check(
        &format!("{labelled}--b|Content-Type: application/octet-stream||\u{fc}|..x|--b--|"),
        &format!("{}--b|Content-Type: application/octet-stream|{IN_BASE64}||/A0KLng=|--b--|", {
            labelled.replace("8bit", "7bit")
        }),
    );
    let nested = "Content-Type: message/rfc822||Subject: x||";
    let mime = "MIME-Version: 1.0|Content-Type: text/plain; charset=unknown-8bit";
    check(
        &format!("{TWO}--b|{nested}\u{fc}|--b--|"),
        &format!("{TWO}--b|Content-Type: message/rfc822||Subject: x|{mime}|{QP}||=FC|--b--|"),
    );
    let inner = "Content-Type: multipart/mixed; boundary=c||--c||";
    check(
        &format!("{TWO}--b|{inner}\u{fc}|--c--||--b||\u{e4}|--b--|"),
        &format!(
            "{TWO}--b|{}{QP}||=FC|--c--||--b|{QP}||=E4|--b--|",
            inner.trim_end_matches('|').to_owned() + "|"
        ),
    );
    // Its end is missing.
    check(&format!("{TWO}--b||\u{fc}|"), &format!("{TWO}--b|{QP}||=FC|"));
    check(
        "MIME-Version: 1.0|Content-Type: image/x||\u{fc}|",
        &format!("MIME-Version: 1.0|Content-Type: image/x|{IN_BASE64}||/A0K|"),
    );
}

#[test]
fn signatures_stay_valid() {
    use ConversionFault::Signed;
    refused("DKIM-Signature: v=1||\u{fc}|", Signed);
    refused("arc-message-signature: i=1||\u{fc}|", Signed);
    let smime = "Content-Type: multipart/signed; boundary=c||--c||";
    refused(&format!("{smime}\u{fc}|--c|Content-Type: application/pkcs7-signature||x|--c--|"), Signed);
    refused(&format!("{smime}|x|--c||\u{fc}|--c--|"), Signed);
    refused("Content-Type: multipart/encrypted; boundary=c||--c||\u{fc}|--c--|", Signed);
    refused("Content-Type: application/pkcs7-mime||\u{fc}|", Signed);
    refused(&format!("{TWO}--b|Content-Type: message/rfc822||DKIM-Signature: x||\u{fc}|--b--|"), Signed);
    // What is signed has no 8-bit octets.
    let kept = format!("{smime}x|--c|Content-Type: application/pkcs7-signature||x|--c--|");
    check(&format!("{TWO}--b|{kept}|--b||\u{fc}|--b--|"), &format!("{TWO}--b|{kept}|--b|{QP}||=FC|--b--|"));
}

#[test]
fn what_is_in_doubt_is_refused() {
    use ConversionFault::{Ambiguous, Intricate, Mislabelled, Outside};
    refused("Subject: \u{fc}||x|", Outside);
    refused("Subject: \u{fc}||\u{fc}|", Outside);
    refused("\u{fc}|", Outside);
    refused(&format!("{TWO}\u{fc}|--b||x|--b--|"), Outside);
    refused(&format!("{TWO}--b||x|--b--|\u{fc}|"), Outside);
    refused(&format!("{TWO}--b|X: \u{fc}||x|--b--|"), Outside);
    refused("Content-Type: multipart/mixed||\u{fc}|", Ambiguous);
    refused("Content-Type: message/delivery-status||\u{fc}|", Ambiguous);
    refused("Content-Transfer-Encoding: base64||\u{fc}|", Mislabelled);
    refused("Content-Transfer-Encoding: quoted-printable||\u{fc}|", Mislabelled);
    refused("Content-Transfer-Encoding: x||\u{fc}|", Mislabelled);
    refused("Content-Transfer-Encoding: 8bit|Content-Transfer-Encoding: 7bit||\u{fc}|", Ambiguous);
    refused("Content-Type: text/plain|Content-Type: text/html||\u{fc}|", Ambiguous);
    // What the parser takes for a delimiter is none.
    refused(&format!("{TWO}--b||\u{fc} x--b|--b--|"), Ambiguous);
    refused(&format!("{TWO}--b||\u{fc}|--bb|--b--|"), Ambiguous);
    refused(&format!("{TWO}--bb||\u{fc}|--b--|"), Ambiguous);
    // The inner multipart ends nowhere, or at the outer delimiter.
    let inner = "Content-Type: multipart/mixed; boundary=c||--c||";
    refused(&format!("{TWO}--b|{inner}\u{fc}|--b||x|--b--|"), Ambiguous);
    // A line that is broken for its length would begin like a delimiter.
    refused(&format!("{TWO}--b||\u{fc}{}|--b--|", "--b".repeat(40)), Ambiguous);
    let types = "Content - Type: message/rfc822||".repeat(100_000);
    refused(&format!("{types}\u{fc}|"), Intricate);
    let levels = "Content-Type: message/rfc822||".repeat(200);
    refused(&format!("{levels}\u{fc}|"), Intricate);
}

/// A leaf's octets, decoded as its fields say.
fn decoded(wire: &[u8], part: &MessagePart<'_>) -> Vec<u8> {
    let body = unstuffed(&wire[offset(part.offset_body)..offset(part.offset_end)]);
    match part.encoding {
        Encoding::QuotedPrintable => qp::BODY.strict().decode(&body).unwrap().into_owned(),
        Encoding::Base64 => base64::MIME.decode(&body).unwrap(),
        Encoding::None => body,
    }
}

fn leaves(wire: &[u8]) -> Vec<(String, Vec<u8>)> {
    let message = MessageParser::new().parse(wire).unwrap();
    let leaves = message.parts.iter().filter(|part| !matches!(part.body, PartType::Multipart(_)));
    let kind = |part: &MessagePart<'_>| part.content_type().map_or("", ContentType::ctype).to_owned();
    leaves.map(|part| (kind(part), decoded(wire, part))).collect()
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        Just(b' '),
        Just(b'.'),
        Just(b'-'),
        Just(b'='),
        Just(b'\t'),
        1_u8..=9,
        11..=12_u8,
        14..=255_u8
    ];
    vec(vec(octet, 0..120), 0..6).prop_map(|lines| {
        let mut text = lines.join(&b"\r\n"[..]);
        text.push(0xfc);
        text
    })
}

proptest! {
    #[test]
    fn decoded_parts_are_the_original_octets(
        bodies in vec((body(), 0_usize..4), 1..5), alone: bool, labelled: bool,
    ) {
        let types = ["", "Content-Type: text/html; charset=x\r\n", "Content-Type: image/x\r\n", "Content-Type: text/x\r\n"];
        let label = if labelled { "Content-Transfer-Encoding: 8bit\r\n" } else { "" };
        let mut message = b"Subject: x\r\n".to_vec();
        if !alone {
            message.extend_from_slice(b"Content-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\n");
        }
        for (body, kind) in bodies.iter().take(if alone { 1 } else { usize::MAX }) {
            if !alone {
                message.extend_from_slice(b"--=_x\r\n");
            }
            message.extend_from_slice(format!("{}{label}\r\n", types[*kind]).as_bytes());
            message.extend_from_slice(&stuffed(body));
            message.extend_from_slice(b"\r\n");
        }
        if !alone {
            message.extend_from_slice(b"--=_x--\r\n");
        }
        let got = converted(&message).unwrap();
        let original = leaves(&message);
        let kept = leaves(&got);
        prop_assert_eq!(original.len(), kept.len());
        for ((kind, octets), (new_kind, new_octets)) in original.iter().zip(&kept) {
            prop_assert!(kind == new_kind || kind.is_empty(), "{kind} {new_kind}");
            prop_assert_eq!(octets, new_octets);
        }
    }

    #[test]
    fn whatever_comes_is_converted_or_refused(noise in vec(any::<u8>(), 0..300), cut in 0_usize..200) {
        let _any = convert(&noise);
        let text = wire(&format!("{TWO}--b|Content-Type: message/rfc822||A: b||\u{fc}|--b|Content-Type: multipart/x; boundary=c||--c||\u{fc}|--c--|--b--|"));
        let text = [text.get(..cut).unwrap_or(&text), &noise, text.get(cut..).unwrap_or_default()].concat();
        if let Ok(edits) = convert(&text) {
            let mut kept_from = 0;
            for Edit { at, text } in edits {
                prop_assert!(at.start >= kept_from && text.is_ascii());
                kept_from = at.end;
            }
        }
    }
}
