//! How the fields of a line are written as text: `key=value`, a value in quotes if it is more than one word. So the words
//! of a peer can't look like fields. It chooses no fields.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Writes the fields of a line: its message first and as it is, then `key=value`. A value with anything but letters,
/// digits and the signs of addresses and dates is in double quotes, with `\` before a quote and a backslash.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuotedFields;

impl<'writer> FormatFields<'writer> for QuotedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut fields_of = FieldWriter { writer, value: String::new(), is_first: true, done: Ok(()) };
        fields.record(&mut fields_of);
        fields_of.done
    }
}

struct FieldWriter<'writer> {
    writer: Writer<'writer>,
    /// One value at a time.
    value: String,
    is_first: bool,
    done: fmt::Result,
}

impl FieldWriter<'_> {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.done.is_ok() {
            self.done = self.write(field, value);
        }
    }

    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.writer.write_char(' ')?;
        }
        if field.name() == "message" {
            return self.writer.write_fmt(value);
        }
        self.value.clear();
        self.value.write_fmt(value)?;
        self.writer.write_str(field.name())?;
        self.writer.write_char('=')?;
        if !self.value.is_empty() && self.value.chars().all(is_plain) {
            return self.writer.write_str(&self.value);
        }
        self.writer.write_char('"')?;
        for c in self.value.chars() {
            if matches!(c, '"' | '\\') {
                self.writer.write_char('\\')?;
            }
            self.writer.write_char(c)?;
        }
        self.writer.write_char('"')
    }
}

impl Visit for FieldWriter<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, format_args!("{}", super::journal::Line(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Not all that is told is a `Line` already, and escaping one again changes nothing.
        self.put(field, format_args!("{}", super::journal::Line(format_args!("{value:?}"))));
    }
}

/// Whether a value needs no quotes for this character.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "-_.:@/+*%[]<>,$!?&~^|#{}()".contains(c)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_value_of_several_words_is_in_quotes() {
        let (lines, number) = (Lines::default(), 7);
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .fmt_fields(QuotedFields)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let forged = r#"ok id=01M855CHK0000 token="met" \"#;
            let turned = "a\u{202e}b\u{2066}\n";
            tracing::info!(target: "t", id = "01M8", to = %"bob@b.example", forged, %turned, none = "", number, list = ?[1, 2], "said");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text.trim(),
            r#"INFO t: said id=01M8 to=bob@b.example forged="ok id=01M855CHK0000 token=\"met\" \\" turned="a\\u{202e}b\\u{2066}\\n" none="" number=7 list="[1, 2]""#
        );
    }
}
