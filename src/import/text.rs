//! The octets of an exported file to text: UTF-8 or UTF-16, with or without a byte order mark.

use super::fault::ImportFault;

/// Maximum octets of a file. No export of connectors and no map that is worth reading is larger.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Reads the text of a file, by its byte order mark or by the zero octets of UTF-16.
pub(super) fn decode(file: &str, octets: &[u8]) -> Result<String, ImportFault> {
    if u64::try_from(octets.len()).is_ok_and(|octets| octets > FILE_BYTES_MAX) {
        return Err(ImportFault::TooLarge { file: file.to_owned() });
    }
    let text = match octets {
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf_8(rest),
        [0xFF, 0xFE, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        [first, 0, ..] if *first != 0 => utf_16(octets, u16::from_le_bytes),
        [0, second, ..] if *second != 0 => utf_16(octets, u16::from_be_bytes),
        _ => utf_8(octets),
    };
    text.map_err(|line| ImportFault::Encoding { file: file.to_owned(), line })
}

/// The text, or the line where it ends to be UTF-8.
fn utf_8(octets: &[u8]) -> Result<String, usize> {
    std::str::from_utf8(octets).map(str::to_owned).map_err(|fault| {
        let good = octets.get(..fault.valid_up_to()).unwrap_or_default();
        1 + good.iter().filter(|octet| **octet == b'\n').count()
    })
}

fn utf_16(octets: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, usize> {
    let pairs = octets.chunks(2).map(|pair| <[u8; 2]>::try_from(pair).map(unit));
    let mut text = String::with_capacity(octets.len() / 2);
    let units = pairs.map(|unit| unit.unwrap_or(LONE_SURROGATE));
    for read in char::decode_utf16(units) {
        match read {
            Ok(letter) => text.push(letter),
            Err(_) => return Err(1 + text.matches('\n').count()),
        }
    }
    Ok(text)
}

/// Stands for half a unit at the end of a file, which is not UTF-16 either.
const LONE_SURROGATE: u16 = 0xD800;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(octets: &[u8], expected: &str) {
        let read = decode("a.json", octets).unwrap_or_else(|fault| fault.to_string());
        assert_eq!(read, expected);
    }

    #[test]
    fn both_encodings_are_read_with_and_without_a_mark() {
        check("[\"ü\"]".as_bytes(), "[\"ü\"]");
        check(b"\xEF\xBB\xBF[]", "[]");
        check(b"\xFF\xFE[\0]\0", "[]");
        check(b"\xFE\xFF\0[\0]", "[]");
        check(b"[\0]\0", "[]");
        check(b"\0[\0]", "[]");
        check(b"", "");
    }

    #[test]
    fn what_is_no_text_is_an_error_with_its_line() {
        let words = "is neither UTF-8 nor UTF-16; save it again as UTF-8";
        check(b"[\n\n\"M\xFCller\"]", &format!("a.json: line 3: {words}"));
        check(b"\xFF\xFE[\0\n\0]", &format!("a.json: line 2: {words}"));
        check(b"\xFF\xFE\0\xDC", &format!("a.json: line 1: {words}"));
        check(
            &vec![b' '; 8 * 1024 * 1024 + 1],
            "a.json: has more than 8 MiB, which no export of connectors and no map needs; is it the right file?",
        );
    }
}
