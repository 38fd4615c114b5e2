//! Long answers for people at a terminal: through a pager where they do not fit, or drawn again every few seconds. What a
//! program reads is neither.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use signal_hook::consts::SIGINT;

use super::exit::{EXIT_ARGUMENTS, Failure};
use super::print::{say, say_json, terminal_size};
use crate::mail::{Clock, rfc3339};

/// How a list is shown that may be longer than the terminal.
#[derive(Debug, clap::Args)]
pub(super) struct PagerArgs {
    /// Print a list that is longer than the terminal as it is, not through $PAGER or less.
    #[arg(long)]
    no_pager: bool,
}

/// How a list of the running relay is shown.
#[derive(Debug, clap::Args)]
pub(super) struct ListingArgs {
    #[command(flatten)]
    pager: PagerArgs,
    /// Draw the list again every few seconds, until it is interrupted.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX),
        conflicts_with_all = ["json", "no_pager"]
    )]
    watch: Option<u64>,
}

impl ListingArgs {
    /// Shows what is asked for: once, or again and again.
    ///
    /// # Errors
    /// It can't be asked for, or there is no terminal to draw it on.
    pub(super) fn show<T: Serialize>(
        &self,
        as_json: bool,
        ask: impl Fn() -> Result<T, Failure>,
        words: impl Fn(&T) -> String,
    ) -> Result<ExitCode, Failure> {
        match self.watch {
            Some(seconds) => draw(Duration::from_secs(seconds), || ask().map(|answer| words(&answer))),
            None if as_json => ask().map(|answer| say_json(&answer)),
            None => ask().map(|answer| self.pager.show(&words(&answer))),
        }
        .map(|()| ExitCode::SUCCESS)
    }

    /// Whether it is drawn again and again.
    pub(super) fn is_watch(&self) -> bool {
        self.watch.is_some()
    }
}

impl PagerArgs {
    /// Shows a text; on a terminal that it does not fit, through a pager.
    pub(super) fn show(&self, text: &str) {
        let is_long = terminal_size().is_some_and(|(columns, rows)| height(text, columns) >= rows);
        let pager = (is_long && !self.no_pager).then(|| Pager::of(|name| env::var_os(name))).flatten();
        if pager.is_none_or(|pager| pager.show(text).is_err()) {
            say(text);
        }
    }
}

/// The program that shows long texts.
#[derive(Debug, PartialEq, Eq)]
enum Pager {
    /// Less, which ends by itself if the text fits, and leaves it on the screen.
    Less,
    /// What $PAGER says, for the shell.
    Named(OsString),
}

impl Pager {
    /// Which one it is, by the environment; `None`: there is none.
    fn of(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        if variable("TERM").is_none_or(|kind| kind == "dumb") {
            return None;
        }
        match variable("PAGER") {
            None => Some(Self::Less),
            Some(name) if name.is_empty() || name == "cat" => None,
            Some(name) => Some(Self::Named(name)),
        }
    }

    /// Shows a text. Whoever has seen enough may end the pager.
    fn show(&self, text: &str) -> io::Result<()> {
        let mut command = match self {
            Self::Less => Command::new("less"),
            Self::Named(line) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(line);
                shell
            }
        };
        if env::var_os("LESS").is_none() {
            command.env("LESS", "FRX");
        }
        // An interrupt is for the pager. Without this we would end, and leave the terminal to two readers.
        signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false)))?;
        let mut pager = command.stdin(Stdio::piped()).spawn()?;
        if let Some(mut into) = pager.stdin.take() {
            let _gone = into.write_all(text.as_bytes()).and_then(|()| into.write_all(b"\n"));
        }
        match pager.wait()?.code() {
            // The shell has found no such program.
            Some(126 | 127) => Err(io::ErrorKind::NotFound.into()),
            Some(_) | None => Ok(()),
        }
    }
}

/// Draws a text on the terminal, again and again. A relay that is restarted meanwhile is no reason to end.
fn draw(every: Duration, text: impl Fn() -> Result<String, Failure>) -> Result<(), Failure> {
    let dumb = env::var_os("TERM").is_none_or(|kind| kind == "dumb");
    if dumb || !io::stdout().is_terminal() {
        return Err(Failure::new(EXIT_ARGUMENTS, "--watch draws on a terminal; a program asks without it"));
    }
    let mut drawn = text()?;
    let _gone = io::stdout().write_all(CLEAR.as_bytes());
    loop {
        let Some(size) = terminal_size() else { return Ok(()) };
        let head = format!("every {} s until Ctrl-C, now {}", every.as_secs(), rfc3339(Clock::wall()));
        let mut out = io::stdout().lock();
        if out.write_all(frame(&head, &drawn, size).as_bytes()).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
        drop(out);
        thread::sleep(every);
        drawn = text().unwrap_or_else(|failure| format!("sealpost: {}", failure.message));
    }
}

/// What is drawn over the last frame: as much of a text as fits under a heading.
fn frame(head: &str, text: &str, (columns, rows): (usize, usize)) -> String {
    let mut drawn = String::from(HOME);
    let mut left = rows.saturating_sub(1);
    let mut lines = std::iter::once(head).chain(text.lines()).peekable();
    while let Some(line) = lines.next() {
        let needed = height(line, columns);
        // The last line is for what does not fit, if there is more.
        let reserved = usize::from(lines.peek().is_some());
        if needed.saturating_add(reserved) > left {
            let more = lines.count().saturating_add(1);
            drawn.push_str(&format!("({more} more lines){END_OF_LINE}"));
            break;
        }
        left = left.saturating_sub(needed);
        drawn.push_str(line);
        drawn.push_str(END_OF_LINE);
    }
    drawn.push_str(REST);
    drawn
}

/// The lines of the terminal that a text takes.
fn height(text: &str, columns: usize) -> usize {
    text.lines().map(|line| line.chars().count().div_ceil(columns.max(1)).max(1)).sum()
}

const SECONDS_MAX: u64 = 86_400;
/// ECMA-48: the whole screen is blank, and the cursor in its first place.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
/// The cursor is in the first place; nothing flickers, since the new text covers the old.
const HOME: &str = "\u{1b}[H";
/// What was on the rest of the line is gone.
const END_OF_LINE: &str = "\u{1b}[K\n";
/// What was below is gone.
const REST: &str = "\u{1b}[J";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pager_is_what_the_environment_says() {
        let pager = |term: Option<&str>, pager: Option<&str>| {
            Pager::of(|name| match name {
                "TERM" => term.map(OsString::from),
                "PAGER" => pager.map(OsString::from),
                _ => None,
            })
        };
        let xterm = Some("xterm");
        for (kind, named, expected) in [
            (xterm, None, Some(Pager::Less)),
            (xterm, Some("most -s"), Some(Pager::Named("most -s".into()))),
            (xterm, Some(""), None),
            (xterm, Some("cat"), None),
            (Some("dumb"), Some("most"), None),
            (None, None, None),
        ] {
            assert_eq!(pager(kind, named), expected, "{kind:?} {named:?}");
        }
    }

    #[test]
    fn a_text_is_as_high_as_the_terminal_wraps_it() {
        for (text, columns, rows) in [
            ("", 80, 0),
            ("a\n\nb", 80, 3),
            ("12345678", 4, 2),
            ("123456789", 4, 3),
            ("ä", 1, 1),
            ("ab", 0, 2),
        ] {
            assert_eq!(height(text, columns), rows, "{text:?} {columns}");
        }
    }

    #[test]
    fn a_frame_never_scrolls() {
        let lines = |rows| frame("head", "one\ntwo\nthree", (80, rows)).replace(END_OF_LINE, "|");
        assert_eq!(lines(5), format!("{HOME}head|one|two|three|{REST}"));
        assert_eq!(lines(4), format!("{HOME}head|one|(2 more lines)|{REST}"));
        assert_eq!(lines(3), format!("{HOME}head|(3 more lines)|{REST}"));
        let wide = frame("head", "123456789\ntwo\nthree", (4, 6)).replace(END_OF_LINE, "|");
        assert_eq!(wide, format!("{HOME}head|123456789|(2 more lines)|{REST}"));
        for rows in 0..8 {
            let drawn = frame("head", "one\ntwo\nthree", (80, rows));
            assert!(drawn.matches('\n').count() <= rows.saturating_sub(1).max(1), "{rows}");
        }
    }
}
