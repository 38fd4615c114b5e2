//! `evidence`: verifies the sealed record of events, and exports a partner's part of it; the daemon need not run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::args::ConfigArg;
use super::exit::{EXIT_ARGUMENTS, EXIT_IO, EXIT_NO, Failure};
use super::print::{complain, show, table};
use crate::config::{self, Config};
use crate::daemon;
use crate::evidence::{
    DayVerdict, ExportFault, ExportScope, ExportSummary, PackageVerification, RecordBreak, ScopeConnector,
    Verification, export, verify_package,
};
use crate::mail::{Clock, day_of_date};
use crate::seal::{ChainBreak, ChainOutline, Hash, KeptElsewhere};
use crate::trace::{TraceReader, clean, date_of_day, last_stated};

/// What `evidence` takes.
#[derive(Debug, clap::Args)]
pub(super) struct EvidenceArgs {
    #[command(subcommand)]
    action: EvidenceAction,
}

#[derive(Debug, clap::Subcommand)]
enum EvidenceAction {
    /// Verify that nothing in the record was altered, removed or exchanged, and name the first place where it was.
    Verify(VerifyArgs),
    /// Write a package for an auditor: how each message with a partner travelled, and the proof that it is recorded so.
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The folder of the tracking store, instead of the configuration's data_dir.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// This file instead, such as a tracking store that was set aside.
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    store: Option<PathBuf>,
    /// Verify a package that `evidence export` has written, instead of the record.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data_dir", "store", "from", "to", "day"])]
    package: Option<PathBuf>,
    /// Only this day, such as 2026-11-29, in UTC. The statements are verified as a whole.
    #[arg(long, value_name = "DATE", value_parser = day, conflicts_with_all = ["from", "to"])]
    day: Option<i64>,
    /// From this day on.
    #[arg(long, value_name = "DATE", value_parser = day)]
    from: Option<i64>,
    /// Up to this day.
    #[arg(long, value_name = "DATE", value_parser = day)]
    to: Option<i64>,
    /// The fingerprint that the first key must have, as kept elsewhere.
    #[arg(long, value_name = "FINGERPRINT", value_parser = hash)]
    key: Option<Hash>,
    /// The hash of a statement that must be there, as kept elsewhere. May be given several times.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    statement: Vec<Hash>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The partner, or a connector that belongs to none.
    #[arg(long, value_name = "NAME")]
    partner: String,
    /// The first day, such as 2026-11-01, in UTC.
    #[arg(long, value_name = "DATE", value_parser = day)]
    from: i64,
    /// The last day.
    #[arg(long, value_name = "DATE", value_parser = day)]
    to: i64,
    /// The folder to write; it must not exist. Without it, one that is named after partner and days.
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print what the package comes to as JSON.
    #[arg(long)]
    json: bool,
}

impl EvidenceArgs {
    pub(super) fn is_json(&self) -> bool {
        match &self.action {
            EvidenceAction::Verify(args) => args.json,
            EvidenceAction::Export(args) => args.json,
        }
    }
}

/// Verifies or exports.
pub(super) fn evidence(args: &EvidenceArgs) -> Result<ExitCode, Failure> {
    match &args.action {
        EvidenceAction::Verify(args) => verify(args),
        EvidenceAction::Export(args) => exported(args),
    }
}

fn verify(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let mut kept = KeptElsewhere { first_key: args.key, hashes: args.statement.clone(), last_number: None };
    if let Some(folder) = &args.package {
        let found = verify_package(folder, &kept)
            .map_err(|(path, fault)| Failure::new(EXIT_IO, format!("{}: {fault}", path.display())))?;
        let breaks: Vec<String> = found.breaks.iter().map(ToString::to_string).collect();
        return verdict(args.json, &found, &breaks, package_in_words);
    }
    let reader = match (&args.store, &args.data_dir) {
        (Some(file), _) => TraceReader::open_file(file.clone())?,
        (None, folder) => {
            let folder = match folder {
                Some(folder) => folder.clone(),
                None => config::data_dir_of(&args.config.config)?,
            };
            kept.last_number = last_number(&folder)?;
            TraceReader::open(&folder)?
        }
    };
    if let (Some(from), Some(to)) = (args.from, args.to) {
        in_order(from, to)?;
    }
    let from = args.from.or(args.day).map(date_of_day);
    let to = args.to.or(args.day).map(date_of_day);
    let is_wanted = |day: &str| {
        from.as_ref().is_none_or(|from| from.as_str() <= day)
            && to.as_ref().is_none_or(|to| day <= to.as_str())
    };
    let found = Verification::of(&reader, &kept, is_wanted)
        .map_err(|fault| Failure::new(EXIT_IO, format!("the tracking store can't be read: {fault}")))?;
    if found.breaks == [RecordBreak::Chain(ChainBreak::Empty)] {
        return Err(Failure::new(
            EXIT_NO,
            "the record has no statements: the relay has not sealed it, or `[evidence] enabled` is false",
        ));
    }
    if found.days.is_empty() && (from.is_some() || to.is_some()) {
        return Err(Failure::new(EXIT_NO, "the record has no events of these days"));
    }
    let breaks: Vec<String> = found.breaks.iter().map(ToString::to_string).collect();
    verdict(args.json, &found, &breaks, record_in_words)
}

/// What both verifications print, with every place that is broken.
#[derive(serde::Serialize)]
struct VerdictAnswer<'a, T> {
    is_whole: bool,
    breaks: &'a [String],
    #[serde(flatten)]
    found: &'a T,
}

fn verdict<T: serde::Serialize>(
    as_json: bool,
    found: &T,
    breaks: &[String],
    words: fn(&T) -> String,
) -> Result<ExitCode, Failure> {
    let answer = VerdictAnswer { is_whole: breaks.is_empty(), breaks, found };
    show(as_json, &answer, |answer| {
        let mut lines = vec![words(answer.found)];
        match answer.breaks.split_first() {
            None => lines.push("Nothing was altered, removed or exchanged.".to_owned()),
            Some((first, rest)) => {
                lines.push(format!("BROKEN. The first place:\n  {first}"));
                lines.extend(broken(rest));
            }
        }
        lines.join("\n")
    })?;
    Ok(if breaks.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}

/// Places, a line each, up to a number.
fn broken(places: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = places.iter().take(BREAKS_SHOWN).map(|one| format!("  {one}")).collect();
    if places.len() > BREAKS_SHOWN {
        lines.push(format!("  and {} more", places.len().saturating_sub(BREAKS_SHOWN)));
    }
    lines
}

fn record_in_words(found: &Verification) -> String {
    let mut lines = heading(&found.outline);
    lines.extend(found.outline.last.as_ref().map(|last| {
        format!("The last one is number {} of {}, with the hash {}.", last.number, last.at, last.hash)
    }));
    let rows: Vec<Vec<String>> = found.days.iter().map(day_row).collect();
    if !rows.is_empty() {
        lines.push(table(&["day", "events", "sealed", "removed", "dropped", "verdict"], &rows));
    }
    lines.join("\n")
}

fn heading(outline: &ChainOutline) -> Vec<String> {
    let ChainOutline { site, first_key, statements, stamped, .. } = outline;
    let mut lines = vec![format!("Record of {}", clean(site.as_deref().unwrap_or("an unknown relay")))];
    lines.extend(
        first_key
            .map(|key| format!("Its first key is {key}: compare it with what you have kept, or keep it.")),
    );
    lines.push(match *statements {
        1 => "There is one statement, and it is signed.".to_owned(),
        _ => format!("{statements} statements are signed and follow each other."),
    });
    if *stamped > 0 {
        lines.push(format!("{stamped} of them have time stamps about them."));
    }
    lines
}

fn day_row(day: &DayVerdict) -> Vec<String> {
    let never = day.events.saturating_sub(day.sealed).saturating_sub(day.waiting);
    let verdict = match (day.is_whole, day.waiting, never) {
        (false, ..) => "broken".to_owned(),
        (true, 0, 0) => "whole".to_owned(),
        (true, waiting, 0) => format!("whole; {waiting} not sealed yet"),
        (true, 0, never) => format!("{never} were not sealed"),
        (true, waiting, never) => format!("{never} were not sealed; {waiting} are not yet"),
    };
    let counts = [day.events, day.sealed, day.removed, day.dropped].map(|count| count.to_string());
    [vec![day.day.clone()], counts.to_vec(), vec![verdict]].concat()
}

fn package_in_words(found: &PackageVerification) -> String {
    let mut lines = heading(&found.outline);
    if let (Some(partner), Some(from), Some(to), Some(made_at)) =
        (&found.partner, &found.from, &found.to, &found.made_at)
    {
        lines.push(clean(&format!(
            "The package is about {partner}, from {from} to {to}, and was made at {made_at}."
        )));
    }
    lines.push(format!("{} as sealed.", counted(found.events, "event")));
    lines.join("\n")
}

fn exported(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let config = config::load(&args.config.config)?;
    in_order(args.from, args.to)?;
    let scope = scope(args, &config)?;
    let folder = args.output.clone().unwrap_or_else(|| {
        let (from, to) = (date_of_day(args.from), date_of_day(args.to));
        PathBuf::from(format!("evidence-{}-{from}-{to}", file_name(&args.partner)))
    });
    let kept = KeptElsewhere { last_number: last_number(&config.data_dir)?, ..KeptElsewhere::default() };
    let mut reader = TraceReader::open(&config.data_dir)?;
    let summary = export(&mut reader, &config.data_dir, &scope, &kept, &folder).map_err(failure)?;
    show(args.json, &summary, |summary| in_words(summary, &folder))
}

/// The connectors of a partner, as they are configured.
fn scope(args: &ExportArgs, config: &Config) -> Result<ExportScope, Failure> {
    let name = args.partner.as_str();
    let all = daemon::connectors_from_file(config).connectors;
    let is_its = |partner: Option<&str>, connector: &str| {
        partner == Some(name) || (partner.is_none() && connector == name)
    };
    let connectors: Vec<ScopeConnector> = all
        .iter()
        .filter(|one| is_its(one.partner.as_deref(), &one.name))
        .map(|one| ScopeConnector {
            name: one.name.to_string(),
            direction: one.direction.word().to_owned(),
            mode: one.mode.word().to_owned(),
            requirement: one.requirement.clone(),
        })
        .collect();
    // One that is not configured any more may still be in the record, as a partner or as a connector.
    let is_anothers = all.iter().any(|one| one.partner.is_some() && &*one.name == name)
        && !connectors.iter().any(|one| one.name == name);
    let names = connectors.iter().map(|one| one.name.clone());
    let names = names.chain((!is_anothers).then(|| name.to_owned())).collect();
    if connectors.is_empty() {
        complain(&format!("no connector of {name} is configured: the record is searched for that name only"));
    }
    Ok(ExportScope {
        partner: name.to_owned(),
        connectors,
        names,
        from: args.from,
        to: args.to,
        made_at: Clock::wall(),
    })
}

fn failure(fault: ExportFault) -> Failure {
    let exit = match &fault {
        ExportFault::Broken(_) | ExportFault::Nothing => EXIT_NO,
        ExportFault::Store(_) | ExportFault::File(..) | ExportFault::Key(_) | ExportFault::AnotherKey => {
            EXIT_IO
        }
    };
    Failure::new(exit, fault)
}

fn in_words(summary: &ExportSummary, folder: &Path) -> String {
    let mut lines = vec![format!(
        "{} about {} with {} in {}: begin with index.html.",
        counted(summary.events, "event"),
        counted(u64::try_from(summary.messages).unwrap_or(u64::MAX), "message"),
        summary.partner,
        folder.display()
    )];
    if summary.left_out.not_sealed > 0 {
        lines.push(format!(
            "{} not sealed yet and left out: that is done within the hour, or when the relay stops.",
            counted(summary.left_out.not_sealed, "event")
        ));
    }
    if !summary.breaks.is_empty() {
        lines.push(
            "The record is broken elsewhere; the events of these days are as they were sealed:".to_owned(),
        );
        lines.extend(broken(&summary.breaks));
    }
    lines.extend(
        summary
            .first_key
            .map(|key| format!("Give the auditor the fingerprint of the first key by another way: {key}")),
    );
    lines.join("\n")
}

fn last_number(folder: &Path) -> Result<Option<u64>, Failure> {
    last_stated(folder)
        .map_err(|fault| Failure::new(EXIT_IO, format!("{}: {fault}", folder.join("evidence").display())))
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// What may be part of a file's name.
fn file_name(name: &str) -> String {
    name.chars()
        .map(|one| if one.is_ascii_alphanumeric() || "-._".contains(one) { one } else { '-' })
        .collect()
}

fn in_order(from: i64, to: i64) -> Result<(), Failure> {
    if from <= to {
        return Ok(());
    }
    let (from, to) = (date_of_day(from), date_of_day(to));
    Err(Failure::new(EXIT_ARGUMENTS, format!("--from {from} is after --to {to}")))
}

/// A date in UTC, as a day since 1970.
fn day(text: &str) -> Result<i64, String> {
    day_of_date(text).ok_or_else(|| "it is no date; write one such as 2026-11-29".to_owned())
}

fn hash(text: &str) -> Result<Hash, String> {
    Hash::from_hex(text).ok_or_else(|| "it is not 64 hexadecimal digits".to_owned())
}

/// Places that are shown; `--json` has all.
const BREAKS_SHOWN: usize = 20;
