//! `user`: creates a line for a users file. It does not change the file.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::process::ExitCode;

use argon2::password_hash::SaltString;
use argon2::password_hash::rand_core::OsRng;
use argon2::{Argon2, PasswordHasher as _};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::exit::{EXIT_ARGUMENTS, EXIT_NO, Failure};
use super::print::say;

/// What `user` takes.
#[derive(Debug, clap::Args)]
pub(super) struct UserArgs {
    /// The name the client logs in with.
    name: String,
}

/// Maximum octets of a password.
const PASSWORD_BYTES_MAX: u64 = 1024;

/// Prints `name:hash` for the password on standard input.
pub(super) fn user(args: &UserArgs) -> Result<ExitCode, Failure> {
    if args.name.is_empty() || args.name.contains(':') || args.name.chars().any(char::is_control) {
        return Err(Failure::new(
            EXIT_ARGUMENTS,
            "the name can't be empty, and has no colon and no control character",
        ));
    }
    let text = if std::io::stdin().is_terminal() {
        let first = typed("password: ")?;
        if typed("the same again: ")? != first {
            return Err(Failure::new(EXIT_ARGUMENTS, "the two are not the same"));
        }
        first
    } else {
        let mut text = String::new();
        std::io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut text).map_err(unread)?;
        text
    };
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::new(EXIT_ARGUMENTS, "write the password on standard input"));
    }
    let salt = SaltString::generate(&mut OsRng);
    let hash = Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map_err(|e| Failure::new(EXIT_NO, format!("the password can't be hashed: {e}")))?;
    say(&format!("{}:{hash}", args.name));
    Ok(ExitCode::SUCCESS)
}

/// Reads one line from the terminal without echo.
fn typed(prompt: &str) -> Result<String, Failure> {
    eprint!("{prompt}");
    let hidden = EchoOff::new().map_err(unread)?;
    let mut line = String::new();
    let read = std::io::stdin().lock().take(PASSWORD_BYTES_MAX).read_line(&mut line);
    drop(hidden);
    eprintln!();
    read.map_err(unread)?;
    Ok(line)
}

fn unread(fault: std::io::Error) -> Failure {
    Failure::new(EXIT_NO, format!("the password can't be read: {fault}"))
}

/// Turns off the terminal's echo until it is dropped.
struct EchoOff {
    before: Termios,
}

impl EchoOff {
    fn new() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // Input typed before this is discarded, because it was echoed.
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self { before })
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        let _shown_again = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}
