//! A deterministic mix of messages that looks like real mail: many small, some large, MIME, 8-bit,
//! lines that begin with dots, long lines, an empty body.

/// A message to send, with the marker by which it is found again.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    /// The content, CRLF lines, not dot-stuffed, without the final dot.
    pub(crate) content: Vec<u8>,
}

/// `count` messages between two addresses; the same for the same label.
pub(crate) fn messages(label: &str, count: usize, from: &str, to: &str) -> Vec<Message> {
    let mut random = fastrand::Rng::with_seed(0x5ea1_9057);
    (0..count)
        .map(|number| {
            let id = format!("{label}-{number}");
            let content = content(&id, number, &mut random);
            Message { id, from: from.to_owned(), to: vec![to.to_owned()], content }
        })
        .collect()
}

/// `count` messages of about `size` octets of plain text.
pub(crate) fn plain(label: &str, count: usize, size: usize, from: &str, to: &str) -> Vec<Message> {
    let body = "The quick brown fox jumps over the lazy dog, again and again.\r\n".repeat(size.div_ceil(63));
    (0..count)
        .map(|number| {
            let id = format!("{label}-{number}");
            let content = format!("{}{body}", header(&id)).into_bytes();
            Message { id, from: from.to_owned(), to: vec![to.to_owned()], content }
        })
        .collect()
}

/// The marker of a message that arrived.
pub(crate) fn id_of(content: &[u8]) -> Option<String> {
    let at = memchr::memmem::find(content, b"X-Test-Id: ")? + 11;
    let rest = &content[at..];
    let end = memchr::memchr(b'\r', rest)?;
    String::from_utf8(rest[..end].to_vec()).ok()
}

/// The content but for the Received field at its top, which must be there exactly once more than
/// before.
pub(crate) fn without_received(content: &[u8]) -> Result<&[u8], String> {
    let top = content.get(..9).unwrap_or_default();
    if top != b"Received:" {
        return Err(format!("begins with {:?}", String::from_utf8_lossy(top)));
    }
    let mut at = 0;
    loop {
        let line = memchr::memmem::find(&content[at..], b"\r\n").ok_or("no line end in Received")? + 2;
        at += line;
        match content.get(at) {
            Some(b' ' | b'\t') => {}
            _ => return Ok(&content[at..]),
        }
    }
}

/// Fails with a short account of where two contents part.
#[track_caller]
pub(crate) fn assert_same(id: &str, sent: &[u8], arrived: &[u8]) {
    let arrived = without_received(arrived).unwrap_or_else(|why| panic!("{id}: {why}"));
    if sent == arrived {
        return;
    }
    let at = sent.iter().zip(arrived).take_while(|(a, b)| a == b).count();
    let near = |bytes: &[u8]| {
        let from = at.saturating_sub(40).min(bytes.len());
        String::from_utf8_lossy(&bytes[from..(at + 40).min(bytes.len())]).into_owned()
    };
    panic!(
        "{id}: sent {} octets, {} arrived; they part at {at}: sent {:?}, arrived {:?}",
        sent.len(),
        arrived.len(),
        near(sent),
        near(arrived)
    );
}

fn header(id: &str) -> String {
    format!(
        "From: Ada <ada@a.test>\r\nTo: Bob <bob@b.test>\r\nSubject: message {id}\r\n\
         Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nMessage-ID: <{id}@a.test>\r\nX-Test-Id: {id}\r\n\r\n"
    )
}

fn content(id: &str, number: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut out = header(id).into_bytes();
    match number % 10 {
        0 => {} // No body at all.
        1 => dotted(&mut out, random),
        2 => eight_bit(&mut out, random),
        3 => long_lines(&mut out, random, 998),
        4 => long_lines(&mut out, random, 8000),
        5 => multipart(&mut out, id, random),
        _ => text(&mut out, size(number, random), random),
    }
    out
}

fn size(number: usize, random: &mut fastrand::Rng) -> usize {
    match number % 100 {
        99 => random.usize(1 << 20..2 << 20),
        66 | 86 => random.usize(60_000..200_000),
        _ => random.usize(200..20_000),
    }
}

fn text(out: &mut Vec<u8>, size: usize, random: &mut fastrand::Rng) {
    let end = out.len() + size;
    while out.len() < end {
        let length = random.usize(0..76);
        out.extend((0..length).map(|_| random.u8(32..127)));
        out.extend_from_slice(b"\r\n");
    }
}

fn dotted(out: &mut Vec<u8>, random: &mut fastrand::Rng) {
    for line in ["..", ".", "...three", ".hidden", "ends with a dot .", ".", ""] {
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    text(out, 500, random);
    out.extend_from_slice(b".\r\n..\r\n.\r\n");
}

fn eight_bit(out: &mut Vec<u8>, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(5..60) {
        let length = random.usize(0..200);
        out.extend((0..length).map(|_| match random.u8(..) {
            0 | b'\r' | b'\n' => b'.',
            octet => octet,
        }));
        out.extend_from_slice(b"\r\n");
    }
}

fn long_lines(out: &mut Vec<u8>, random: &mut fastrand::Rng, length: usize) {
    for extra in [0, 1, 2] {
        out.extend((0..length - extra).map(|_| random.u8(b'!'..=b'~')));
        out.extend_from_slice(b"\r\n");
    }
}

fn multipart(out: &mut Vec<u8>, id: &str, random: &mut fastrand::Rng) {
    // The header is over already: a body that looks like MIME is what a relay must leave alone.
    for part in 0..random.usize(2..5) {
        let opening = format!(
            "--=_{id}\r\nContent-Type: application/octet-stream; name=\"{part}.bin\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n"
        );
        out.extend_from_slice(opening.as_bytes());
        for _ in 0..random.usize(10..400) {
            out.extend((0..76).map(|_| random.alphanumeric() as u8));
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(format!("--=_{id}--\r\n").as_bytes());
}
