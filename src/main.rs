//! The `sealpost` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    sealpost::cli::Command::parse().run()
}
