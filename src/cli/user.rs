//! `user`: a line for a users file.

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use argon2::password_hash::SaltString;
use argon2::password_hash::rand_core::OsRng;
use argon2::{Argon2, PasswordHasher as _};

use super::print::say;
use super::{EXIT_NO, EXIT_USAGE, Failure};

/// What `user` takes.
#[derive(Debug, clap::Args)]
pub(super) struct UserArgs {
    /// The name that the client logs in by.
    name: String,
}

/// Octets of a password.
const PASSWORD_BYTES_MAX: u64 = 1024;

/// Prints `name:hash` for the password on standard input.
pub(super) fn user(args: &UserArgs) -> Result<ExitCode, Failure> {
    if args.name.is_empty() || args.name.contains(':') || args.name.chars().any(char::is_control) {
        return Err(Failure::new(
            EXIT_USAGE,
            "the name can't be empty, and has no colon and no control character",
        ));
    }
    if std::io::stdin().is_terminal() {
        eprintln!("the password, then Enter and Ctrl-D (it is shown while you type):");
    }
    let mut text = String::new();
    std::io::stdin()
        .take(PASSWORD_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|e| Failure::new(EXIT_NO, format!("the password can't be read: {e}")))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::new(EXIT_USAGE, "write the password on standard input"));
    }
    let salt = SaltString::generate(&mut OsRng);
    let hash = Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map_err(|e| Failure::new(EXIT_NO, format!("the password can't be hashed: {e}")))?;
    say(&format!("{}:{hash}", args.name));
    Ok(ExitCode::SUCCESS)
}
