//! The `sealpost` command. It only parses the command line and runs the verb.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    sealpost::cli::Command::as_sendmail().unwrap_or_else(|| sealpost::cli::Command::parse().run())
}
