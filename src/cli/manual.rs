//! `man` and `completions`: the manual pages and the completions of shells, made from the command line's own
//! definition, so that they can't differ from it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap_complete::Shell;
use clap_mangen::Man;

use super::exit::{EXIT_NO, Failure};
use super::print::say;

/// What `man` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Write a page for each verb into this folder, as sealpost-VERB.1; otherwise print the page of sealpost.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What `completions` takes.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell that will read them.
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the manual pages of a command and its verbs.
pub(super) fn man(args: &ManArgs, command: clap::Command) -> Result<ExitCode, Failure> {
    let command = command.disable_help_subcommand(true);
    let Some(dir) = &args.dir else {
        print(&page(command, "sealpost")?)?;
        return Ok(ExitCode::SUCCESS);
    };
    let unwritten = |path: &Path, fault: io::Error| {
        Failure::new(EXIT_NO, format!("{}: can't be written: {fault}", path.display()))
    };
    fs::create_dir_all(dir).map_err(|fault| unwritten(dir, fault))?;
    let mut built = command;
    // Names the verbs in full, as `sealpost queue list`.
    built.build();
    let pages = pages(built, None);
    for (name, command) in &pages {
        let path = dir.join(format!("{name}.1"));
        fs::write(&path, page(command.clone(), name)?).map_err(|fault| unwritten(&path, fault))?;
    }
    say(&format!("wrote {} pages to {}", pages.len(), dir.display()));
    Ok(ExitCode::SUCCESS)
}

/// Prints the completions.
pub(super) fn completions(args: &CompletionsArgs, mut command: clap::Command) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "sealpost", &mut text);
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A command and all that is below it, each with the name of its page.
fn pages(command: clap::Command, above: Option<&str>) -> Vec<(String, clap::Command)> {
    let name = above
        .map_or_else(|| command.get_name().to_owned(), |above| format!("{above}-{}", command.get_name()));
    let below: Vec<_> = command
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help" && !verb.is_hide_set())
        .cloned()
        .collect();
    let mut found = vec![(name.clone(), command)];
    found.extend(below.into_iter().flat_map(|verb| pages(verb, Some(&name))));
    found
}

fn page(command: clap::Command, name: &str) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let man = Man::new(command).title(name.to_uppercase());
    man.render(&mut page).map_err(|fault| Failure::new(EXIT_NO, fault))?;
    Ok(page)
}

/// A reader that closes the pipe is not an error.
fn print(octets: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(octets).and_then(|()| out.flush()) {
        Err(fault) if fault.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(EXIT_NO, fault)),
        Ok(()) | Err(_) => Ok(()),
    }
}
