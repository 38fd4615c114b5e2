//! Adds the missing CR to lines that end in a bare LF, for clients whose connector has `bare_lf =
//! "normalize"`. The content still ends only at CRLF.CRLF, so that no message can be smuggled in behind
//! another one's end.

/// The position of the input within its lines.
#[derive(Debug, Default)]
pub(super) struct Bare {
    /// Octets of the current line already passed on.
    line: usize,
    begins_with_dot: bool,
    /// A CR at the end of the previous input is held until the next octet is known.
    held_cr: bool,
    /// The previous line ended in a bare LF.
    after_bare: bool,
}

impl Bare {
    /// A line, or part of one, as the scanner must see it.
    pub(super) fn wire(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(piece.len().saturating_add(3));
        if std::mem::take(&mut self.held_cr) {
            text.push(b'\r');
        }
        text.extend_from_slice(piece);
        if self.line == 0 {
            self.begins_with_dot = text.first() == Some(&b'.');
        }
        let whole = text.pop_if(|octet| *octet == b'\n').is_some();
        let cr = text.pop_if(|octet| *octet == b'\r').is_some();
        self.line = self.line.saturating_add(text.len());
        if !whole {
            self.held_cr = cr;
            return text;
        }
        // A lone dot ends the content only between two complete CRLFs.
        if self.begins_with_dot && self.line == 1 && (!cr || self.after_bare) {
            text.push(b'.');
        }
        text.extend_from_slice(b"\r\n");
        *self = Self { after_bare: !cr, ..Self::default() };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scanner;
    use super::super::tests::{LIMITS, Sink};

    fn read(input: &[u8], step: usize) -> String {
        let (mut scanner, mut sink) = (Scanner::new(LIMITS).normalizing(), Sink::default());
        let mut used = 0;
        for piece in input.chunks(step) {
            let fed = scanner.feed(piece, &mut sink);
            used += fed.used;
            if fed.ended {
                let fault =
                    scanner.fault().map_or_else(String::new, |fault| format!(" {}", fault.reply().code));
                return format!(
                    "{} / {}{fault}",
                    String::from_utf8_lossy(&sink.got).escape_debug(),
                    input.len() - used
                );
            }
        }
        format!("{}...", String::from_utf8_lossy(&sink.got).escape_debug())
    }

    #[track_caller]
    fn check(input: &str, expected: &str) {
        for step in [1, 2, 3, 5, 1000] {
            assert_eq!(read(input.as_bytes(), step), expected, "{input:?} in pieces of {step}");
        }
    }

    #[test]
    fn each_line_feed_gets_its_carriage_return() {
        check("A: b\n\nc\r\n.\r\nQUIT\r\n", r"A: b\r\n\r\nc\r\n / 6");
        check("\n..x\n\r\n.\r\n", r"\r\n..x\r\n\r\n / 0");
        check(".A: b\n. c\n\n.x\n..\r\n.y\r\n.\r\n", r"A: b\r\n c\r\n\r\nx\r\n..\r\ny\r\n / 0");
    }

    #[test]
    fn nothing_but_two_whole_line_ends_around_a_dot_is_the_end() {
        check("a\n.\nb\r\n.\r\n", r"a\r\n..\r\nb\r\n / 0");
        check("a\n.\r\nb\r\n.\r\n", r"a\r\n..\r\nb\r\n / 0");
        check("a\r\n.\nb\r\n.\r\n", r"a\r\n..\r\nb\r\n / 0");
        check(".\r\n", r" / 0");
    }
}
