//! Errors and warnings of the configuration, each with its position in the file.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// An error in the configuration, or something worth a warning, and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was passed to us.
    pub file: PathBuf,
    /// The line, from 1; 0 if the fault has no position in the file.
    pub line: usize,
    /// The column in characters, from 1; 0 if the fault has no position in the file.
    pub column: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
    /// The text of that line, or of a long one what is around the position; printed with a caret below.
    excerpt: String,
    /// The column of the position there.
    caret: usize,
}

/// A requirement that nobody can meet at the moment: an error of `check` and of a reload that brings it. The daemon starts
/// all the same, since a date that passes must not stop other mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmetRequirement {
    /// The connector's name.
    pub connector: String,
    /// What is in the way.
    pub fault: Fault,
}

/// Every error found in one configuration; never empty. `{}` prints one line each, `{:#}` also the excerpt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

/// Collects faults and warnings while a file is checked.
pub(crate) struct Report<'a> {
    file: &'a Path,
    text: &'a str,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    unmet: Vec<UnmetRequirement>,
    /// Number of errors that are not kept.
    left_out: usize,
}

impl Fault {
    /// A fault of the file as a whole, without a position.
    #[must_use]
    pub(super) fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message: message.into(),
            excerpt: String::new(),
            caret: 0,
        }
    }

    /// Faults as JSON objects with file, line, column and message.
    pub(super) fn to_json_list(faults: &[Self]) -> serde_json::Value {
        let one = |f: &Self| serde_json::json!({ "file": f.file, "line": f.line, "column": f.column, "message": f.message });
        faults.iter().map(one).collect()
    }

    /// A fault at an octet offset of the text.
    fn at(file: &Path, text: &str, offset: usize, message: String) -> Self {
        let (line, column) = place(text, offset);
        let whole = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let (excerpt, caret) = excerpt(whole, column);
        Self { file: file.to_owned(), line, column, message, excerpt, caret }
    }
}

impl Faults {
    /// A list of only this fault.
    #[must_use]
    pub(super) fn one(fault: Fault) -> Self {
        Self(vec![fault])
    }

    /// These faults; `None` if there are none.
    #[must_use]
    pub fn of(faults: Vec<Fault>) -> Option<Self> {
        (!faults.is_empty()).then(|| Self(in_order(faults)))
    }

    /// The faults as JSON objects with file, line, column and message.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        Fault::to_json_list(&self.0)
    }

    /// The faults, sorted by position.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.0
    }
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, faults: Vec::new(), warnings: Vec::new(), unmet: Vec::new(), left_out: 0 }
    }

    /// Reports an error at a value.
    pub(super) fn fault(&mut self, value: Range<usize>, message: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault::at(self.file, self.text, value.start, message.into()));
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// Reports an error at the key of a value.
    pub(super) fn fault_of_key(&mut self, value: Range<usize>, message: impl Into<String>) {
        self.fault(self.key_of(&value), message);
    }

    /// Warns of something that is valid but probably unintended.
    pub(super) fn warn(&mut self, value: Range<usize>, message: impl Into<String>) {
        let place = self.key_of(&value);
        self.warnings.push(Fault::at(self.file, self.text, place.start, message.into()));
    }

    /// Reports a requirement that nobody can meet at the moment.
    pub(super) fn unmet(&mut self, connector: String, value: Range<usize>, message: impl Into<String>) {
        let fault = Fault::at(self.file, self.text, self.key_of(&value).start, message.into());
        self.unmet.push(UnmetRequirement { connector, fault });
    }

    /// The requirements that nobody can meet at the moment.
    pub(super) fn take_unmet(&mut self) -> Vec<UnmetRequirement> {
        std::mem::take(&mut self.unmet)
    }

    /// Warns of something missing, without a position.
    pub(super) fn warn_of_file(&mut self, message: impl Into<String>) {
        self.warnings.push(Fault::of_file(self.file, message));
    }

    /// Reports something missing, without a position.
    pub(super) fn fault_of_file(&mut self, message: impl Into<String>) {
        self.faults.push(Fault::of_file(self.file, message));
    }

    /// The line number of a position, for messages that refer to another entry.
    pub(super) fn line(&self, at: &Range<usize>) -> usize {
        place(self.text, at.start).0
    }

    /// Whether no error has been found so far.
    pub(super) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// The warnings, or the errors if there are any.
    pub(super) fn finish(mut self) -> Result<Vec<Fault>, Faults> {
        if self.faults.is_empty() {
            return Ok(in_order(self.warnings));
        }
        if self.left_out > 0 {
            let words = format!("{} more errors are not shown", self.left_out);
            self.faults.push(Fault::of_file(self.file, words));
        }
        Err(Faults(in_order(self.faults)))
    }

    /// Extends a value's span back to its key: the first word of the line with the `=`. A table's span is its
    /// header and is kept.
    fn key_of(&self, value: &Range<usize>) -> Range<usize> {
        let before = self.text.get(..value.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let line = before.get(line_start..).unwrap_or_default();
        if !line.contains('=') {
            return value.clone();
        }
        let indent = line.len().saturating_sub(line.trim_start().len());
        line_start.saturating_add(indent)..value.end
    }
}

/// A line, and a column in it; of a long line only what is around the column.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let before = column.saturating_sub(EXCERPT_CHARS_MAX / 2);
    if before == 0 || line.chars().nth(EXCERPT_CHARS_MAX).is_none() {
        return (line.chars().take(EXCERPT_CHARS_MAX).collect(), column);
    }
    let shown = std::iter::once('…').chain(line.chars().skip(before).take(EXCERPT_CHARS_MAX));
    (shown.collect(), column.saturating_sub(before).saturating_add(1))
}

/// Characters of a line that are shown of it.
const EXCERPT_CHARS_MAX: usize = 160;
/// Errors of one file that are kept.
const FAULTS_MAX: usize = 1_000;

fn in_order(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_by_key(|fault| (fault.line, fault.column));
    faults
}

/// Line and column of an octet, both from 1.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or_default();
    let line = before.bytes().filter(|b| *b == b'\n').count().saturating_add(1);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
    (line, column)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        f.write_str(&self.message)?;
        if f.alternate() && self.line > 0 {
            let excerpt = self.excerpt.replace('\t', " ");
            write!(f, "\n    {excerpt}\n    {:>width$}", "^", width = self.caret)?;
        }
        Ok(())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(fault, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, word: &str, expected: &str) {
        let start = text.find(word).expect("the word");
        let mut report = Report::new(Path::new("f.toml"), text);
        report.fault_of_key(start..start + word.len(), "wrong");
        assert_eq!(format!("{:#}", report.finish().expect_err("a fault")), expected);
    }

    #[test]
    fn the_key_of_a_value_is_found() {
        check(
            "a = 1\n  bee = \"x\"\n",
            "\"x\"",
            "f.toml: line 2, column 3: wrong\n      bee = \"x\"\n      ^",
        );
        check(
            "[[listener]]\na = 1",
            "[[listener]]",
            "f.toml: line 1, column 1: wrong\n    [[listener]]\n    ^",
        );
        let long = format!("x = [{}\"bad\", {}]", "1, ".repeat(500), "2, ".repeat(500));
        let mut report = Report::new(Path::new("f.toml"), &long);
        let at = long.find("\"bad\"").expect("the word");
        (0..FAULTS_MAX + 5).for_each(|_| report.fault(at..at + 1, "wrong"));
        let faults = report.finish().expect_err("faults");
        assert_eq!(faults.list().len(), FAULTS_MAX + 1);
        let words: Vec<String> = faults.list().iter().take(2).map(|one| format!("{one:#}")).collect();
        assert_eq!(words[0], "f.toml: 5 more errors are not shown");
        let lines: Vec<&str> = words[1].lines().collect();
        assert!(words[1].starts_with("f.toml: line 1, column 1506: wrong\n    …"), "{}", words[1]);
        let caret = lines[2].chars().position(|c| c == '^').expect("a caret");
        assert!(lines[1].chars().skip(caret).collect::<String>().starts_with("\"bad\""), "{}", words[1]);
        assert!(lines[1].chars().count() < 170, "{}", words[1]);
        check("ä = [\n \"ö\", 1]", "1]", "f.toml: line 2, column 7: wrong\n     \"ö\", 1]\n          ^");
    }
}
