//! Tests of the content scanner; the sink keeps everything in memory.

use super::*;

#[derive(Default)]
pub(super) struct Sink {
    pub(super) got: Vec<u8>,
    writes: usize,
    discarded: usize,
}

impl ContentSink for Sink {
    fn open(&mut self, _declared: u64) -> (QueueId, UnixMillis) {
        (QueueId::first_of(0), UnixMillis(0))
    }

    fn write(&mut self, octets: &[u8]) {
        assert!(!octets.is_empty() && self.discarded == 0);
        self.got.extend_from_slice(octets);
        self.writes += 1;
    }

    fn discard(&mut self) {
        self.got.clear();
        self.discarded += 1;
    }
}

pub(super) const LIMITS: ContentLimits =
    ContentLimits { message_bytes_max: 200, header_bytes_max: 100, line_bytes_max: 40 };

/// Returns the content, the header section, the fault, and what was left after the end.
fn read(pieces: &[&[u8]]) -> String {
    let mut scanner = Scanner::new(LIMITS);
    let mut sink = Sink::default();
    let mut left = Vec::new();
    let mut ended = false;
    for piece in pieces {
        if ended {
            left.extend_from_slice(piece);
            continue;
        }
        let fed = scanner.feed(piece, &mut sink);
        assert!(fed.ended || fed.used == piece.len(), "all is taken up to the end");
        ended = fed.ended;
        left.extend_from_slice(&piece[fed.used..]);
    }
    let end = if ended { "end" } else { "open" };
    let left = String::from_utf8_lossy(&left).escape_debug().to_string();
    match scanner.fault() {
        Some(fault) => {
            assert_eq!((sink.discarded, sink.got.len()), (1, 0));
            format!("{} {end} [{left}]", fault.reply().code)
        }
        None => {
            let header = scanner.header().len();
            format!("{} h{header} {end} [{left}]", String::from_utf8_lossy(&sink.got).escape_debug())
        }
    }
}

/// The result must not depend on how the input is split.
#[track_caller]
fn check(input: &[u8], expected: &str) {
    assert_eq!(read(&[input]), expected, "whole");
    for first in 0..=input.len() {
        assert_eq!(read(&[&input[..first], &input[first..]]), expected, "split at {first}");
        for second in first..=input.len() {
            assert_eq!(
                read(&[&input[..first], &input[first..second], &input[second..]]),
                expected,
                "split at {first} and {second}"
            );
        }
    }
    let single: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(read(&single), expected, "octet by octet");
}

#[test]
fn content_passes_as_it_came() {
    check(b".\r\n", " h0 end []");
    check(b"A: b\r\n\r\nc\r\n.\r\nMAIL", "A: b\\r\\n\\r\\nc\\r\\n h8 end [MAIL]");
    check(b"\r\nbody\r\n.\r\n", "\\r\\nbody\\r\\n h2 end []");
    check(b"A: b\r\n.\r\n", "A: b\\r\\n h6 end []");
    check(b"A: b\r\n\r\n..x\r\n..\r\ny\r\n.\r\n", "A: b\\r\\n\\r\\n..x\\r\\n..\\r\\ny\\r\\n h8 end []");
    check(b"a\r\n\r\n\r\n\r\n.\r\n", "a\\r\\n\\r\\n\\r\\n\\r\\n h5 end []");
    check(b"a\r\n.", "a\\r\\n h3 open []");
    check("\r\nü\u{7f}\u{1}\r\n.\r\n".as_bytes(), "\\r\\nü\\u{7f}\\u{1}\\r\\n h2 end []");
}

#[test]
fn nothing_else_is_an_end() {
    for smuggled in [
        &b"\n.\n"[..],
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\r\n",
        b"\r\n.\r\r\n",
        b"\n\n.\n\n",
    ] {
        let mut input = b"A: b\r\n\r\nc".to_vec();
        input.extend_from_slice(smuggled);
        input.extend_from_slice(b"MAIL FROM:<evil@e.example>\r\n");
        check(&input, "550 open []");
        input.extend_from_slice(b".\r\nNOOP\r\n");
        check(&input, "550 end [NOOP\\r\\n]");
    }
}

#[test]
fn limits_hold_to_the_octet() {
    let line = |octets: usize| [&vec![b'x'; octets - 2][..], b"\r\n"].concat();
    let fits = [b"\r\n".to_vec(), line(40), b".\r\n".to_vec()].concat();
    assert!(read(&[&fits]).ends_with("h2 end []"));
    check(&[b"\r\n".to_vec(), line(41), b".\r\nQ".to_vec()].concat(), "554 end [Q]");
    let body = [b"\r\n".to_vec(), line(40).repeat(4), line(38), b".\r\n".to_vec()].concat();
    assert!(read(&[&body]).ends_with("h2 end []"), "200 octets");
    let body = [b"\r\n".to_vec(), line(40).repeat(4), line(39), b".\r\n".to_vec()].concat();
    check(&body, "552 end []");
    let header = [line(20).repeat(5), b"\r\n.\r\n".to_vec()].concat();
    check(&header, "554 end []");
    let header = [line(20).repeat(4), line(18), b"\r\n.\r\n".to_vec()].concat();
    assert!(read(&[&header]).ends_with("h100 end []"));
    check(b"\r\na\0b\r\n.\r\n", "554 end []");
}

#[test]
fn dots_of_transparency_do_not_count() {
    let line = [b"..".as_slice(), &[b'x'; 36], b"\r\n"].concat();
    // Five lines of 39 octets, two for the blank line and three: 200.
    let body = [b"\r\n".to_vec(), line.repeat(5), b"x\r\n.\r\n".to_vec()].concat();
    assert!(read(&[&body]).ends_with("h2 end []"));
    check(&[b"\r\n".to_vec(), line.repeat(5), b"xx\r\n.\r\n".to_vec()].concat(), "552 end []");
}

#[test]
fn a_dot_that_stands_for_nothing_is_dropped() {
    check(b".A: b\r\n\r\n.c\r\n.\r\n", "A: b\\r\\n\\r\\nc\\r\\n h8 end []");
    check(
        b"A: b\r\n. c\r\n.\td\r\n\r\n.x\r\n.y\r\n.\r\nQ",
        "A: b\\r\\n c\\r\\n\\td\\r\\n\\r\\nx\\r\\ny\\r\\n h16 end [Q]",
    );
    check(b"..A: b\r\n...c\r\n.\r\n", "..A: b\\r\\n...c\\r\\n h14 end []");
    check(b".a\n\r\n.\r\n", "550 end []");
    check(b".a\0\r\n.\r\n", "554 end []");
    // It counts neither for the line nor for the message.
    let line = [b".".as_slice(), &[b'x'; 38], b"\r\n"].concat();
    let body =
        [b"\r\n".to_vec(), line.repeat(4), b".".to_vec(), vec![b'x'; 36], b"\r\n.\r\n".to_vec()].concat();
    assert!(read(&[&body]).ends_with("h2 end []"), "200 octets");
    let body =
        [b"\r\n".to_vec(), line.repeat(4), b".".to_vec(), vec![b'x'; 37], b"\r\n.\r\n".to_vec()].concat();
    check(&body, "552 end []");
}

#[test]
fn the_reply_says_what_is_wrong() {
    let told = |fault: ContentFault| fault.reply().to_string();
    assert_eq!(
        told(ContentFault::BareLineEnd),
        "550 5.6.11 the content has a CR or LF by itself; a line ends in CR LF"
    );
    assert_eq!(told(ContentFault::TooBig(5)), "552 5.3.4 the message is larger than 5 octets");
    assert_eq!(told(ContentFault::Nul), "554 5.6.0 the content has a NUL octet");
    assert_eq!(told(ContentFault::LineLong(5)), "554 5.6.0 a line of the content is longer than 5 octets");
    assert_eq!(told(ContentFault::HeaderLarge(5)), "554 5.6.0 the header section is larger than 5 octets");
}

#[test]
fn one_input_is_one_write() {
    let mut scanner = Scanner::new(ContentLimits { message_bytes_max: 1 << 20, ..LIMITS });
    let mut sink = Sink::default();
    let input = b"A: b\r\n\r\n..x\r\nline\r\n..\r\n".repeat(50);
    scanner.feed(&input, &mut sink);
    assert_eq!((sink.writes, sink.got == input), (1, true));
}

/// The same check, made by looking at the whole input at once.
fn plainly(input: &[u8]) -> (Option<usize>, bool) {
    let whole = [b"\r\n", input].concat();
    let end = whole.windows(5).position(|w| w == b"\r\n.\r\n").map(|at| at + 3);
    let content = &input[..end.unwrap_or(input.len())];
    let bare = content.iter().enumerate().any(|(at, byte)| match byte {
        b'\r' => content.get(at + 1).is_some_and(|next| *next != b'\n'),
        b'\n' => at == 0 || content[at - 1] != b'\r',
        _ => false,
    });
    (end, bare)
}

/// Lines without a dot that is not content.
fn canonical(content: &[u8]) -> Vec<u8> {
    let lines = content.split_inclusive(|octet| *octet == b'\n');
    lines
        .map(|line| line.strip_prefix(b".").filter(|rest| !rest.starts_with(b".")).unwrap_or(line))
        .collect::<Vec<_>>()
        .concat()
}

proptest::proptest! {
    #[test]
    fn ends_and_bare_octets_are_found_in_any_pieces(
        input in proptest::collection::vec(proptest::sample::select(vec![b'\r', b'\n', b'.', b'a']), 0..40),
        piece in 1_usize..8,
    ) {
        let mut scanner = Scanner::new(LIMITS);
        let mut sink = Sink::default();
        let mut used = 0;
        let mut end = None;
        for piece in input.chunks(piece) {
            let fed = scanner.feed(piece, &mut sink);
            used += fed.used;
            if fed.ended {
                end = Some(used);
                break;
            }
        }
        let (expected, bare) = plainly(&input);
        proptest::prop_assert_eq!(end, expected);
        proptest::prop_assert_eq!(scanner.fault() == Some(ContentFault::BareLineEnd), bare);
        if let (Some(end), None) = (end, scanner.fault()) {
            proptest::prop_assert_eq!(sink.got, canonical(&input[..end - 3]));
        }
    }
}
