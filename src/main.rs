//! The `sealpost` command. It only parses the command line and runs the verb.

use std::process::ExitCode;

use sealpost::cli::Command;

fn main() -> ExitCode {
    Command::as_sendmail().unwrap_or_else(Command::main)
}
