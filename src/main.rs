//! The `sealpost` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    sealpost::cli::Command::as_sendmail().unwrap_or_else(|| sealpost::cli::Command::parse().run())
}
