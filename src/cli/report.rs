//! `report`: what the tracking store says about TLS over some days; the daemon need not run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::args::ConfigArg;
use super::exit::{EXIT_IO, EXIT_OS, Failure};
use super::listing::PagerArgs;
use super::print::{say, say_json, titled};
use crate::config;
use crate::console::{PaperTitle, report_document};
use crate::mail::Clock;
use crate::reports::report_in_words;
use crate::trace::{StoredWord, Sum, SumKey, TlsReport};

mod adoption;
mod mail;
mod sums;

/// What `report` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    #[command(subcommand)]
    about: ReportAbout,
}

#[derive(Debug, clap::Subcommand)]
enum ReportAbout {
    /// How much mail went and came over TLS, with whom, who fails and why, and what was refused.
    Tls(TlsArgs),
    /// Which domains that no connector forces could be forced today, with the connector to paste.
    Adoption(PeriodArgs),
    /// Show the reports that `[reports]` mails, of the last whole period; or mail them now.
    Mail(mail::MailArgs),
}

#[derive(Debug, clap::Args)]
struct TlsArgs {
    #[command(flatten)]
    period: PeriodArgs,
    /// Write the report to this file, as a document to print, or to save as PDF in a browser.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "csv"])]
    html: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct PeriodArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The folder of the tracking store, instead of the configuration's data_dir.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How many days, today included. Days are those of UTC.
    #[arg(long, value_name = "NUMBER", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// Only this partner, or this connector of none.
    #[arg(long, value_name = "NAME")]
    partner: Option<String>,
    /// At most this many rows of each list.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: usize,
    /// Print CSV: one row for each sum of a day.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pager: PagerArgs,
}

impl ReportArgs {
    pub(super) fn is_json(&self) -> bool {
        match &self.about {
            ReportAbout::Tls(TlsArgs { period, .. }) | ReportAbout::Adoption(period) => period.json,
            ReportAbout::Mail(mail) => mail.daemon.json,
        }
    }
}

/// Reads the sums and shows what they say.
pub(super) fn report(args: &ReportArgs) -> Result<ExitCode, Failure> {
    match &args.about {
        ReportAbout::Tls(args) => tls(args),
        ReportAbout::Mail(args) => mail::mail(args),
        ReportAbout::Adoption(period) => {
            let (sums, days) = sums_of(period)?;
            if period.csv {
                return as_csv(&sums);
            }
            let report = TlsReport::of(&sums, days);
            let rows = adoption::adoption(&report, &period.config.config)?;
            if period.json {
                say_json(&rows);
            } else {
                period.pager.show(&adoption::in_words(&report, &rows, period.limit));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn tls(TlsArgs { period, html }: &TlsArgs) -> Result<ExitCode, Failure> {
    let (sums, days) = sums_of(period)?;
    if period.csv {
        return as_csv(&sums);
    }
    let report = TlsReport::of(&sums, days);
    if let Some(file) = html {
        let server = config::local_listener(&period.config.config).ok();
        let site = server.as_ref().map_or("without a configuration", |server| server.name.as_str());
        let title = PaperTitle { site, partner: period.partner.as_deref(), made: Clock::wall() };
        let broken = |fault| Failure::new(EXIT_IO, format!("{} can't be written: {fault}", file.display()));
        std::fs::write(file, report_document(&sums, days, &title)).map_err(broken)?;
    } else if period.json {
        say_json(&report);
    } else {
        period.pager.show(&in_words(&report, period.limit));
    }
    Ok(ExitCode::SUCCESS)
}

/// Sums, and the first and the last of their days.
type SumsOfDays = (Vec<(SumKey, Sum)>, (i64, i64));

fn sums_of(period: &PeriodArgs) -> Result<SumsOfDays, Failure> {
    let folder = match &period.data_dir {
        Some(folder) => folder.clone(),
        None => config::data_dir_of(&period.config.config)?,
    };
    let now = Clock::wall();
    let back = Duration::from_secs(u64::from(period.days.saturating_sub(1)).saturating_mul(24 * 3_600));
    let days = (now.before(back).day(), now.day());
    let mut sums = sums::between(&folder, days)?;
    if let Some(name) = &period.partner {
        sums.retain(|(key, _)| key.is_of(name));
    }
    Ok((sums, days))
}

fn in_words(report: &TlsReport, limit: usize) -> String {
    let text = report_in_words(report, |title, headings, rows| titled(title, headings, rows, limit));
    let more = match report.could_be_forced.len() {
        0 => "Every domain that always had TLS in these days is forced.".to_owned(),
        count => format!(
            "{count} domains always had TLS and were not forced: `sealpost report adoption` says which could be."
        ),
    };
    format!("{text}\n\n{more}")
}

fn as_csv(sums: &[(SumKey, Sum)]) -> Result<ExitCode, Failure> {
    let broken = |fault: csv::Error| Failure::new(EXIT_OS, fault);
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record([
        "day",
        "direction",
        "connector",
        "partner",
        "domain",
        "event",
        "reason",
        "requirement",
        "tls_version",
        "quality",
        "messages",
        "connections",
        "octets",
        "hosts",
    ])
    .map_err(broken)?;
    for (key, sum) in sums {
        out.write_record([
            crate::trace::date_of_day(key.day).as_str(),
            if key.inbound { "inbound" } else { "outbound" },
            &key.connector,
            &key.partner,
            &key.domain,
            key.kind.word(),
            &key.reason,
            key.requirement.word(),
            &key.version,
            key.quality.word(),
            &sum.messages.to_string(),
            &sum.sessions.to_string(),
            &sum.octets.to_string(),
            &sum.hosts.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
        ])
        .map_err(broken)?;
    }
    let octets = out.into_inner().map_err(|fault| Failure::new(EXIT_OS, fault))?;
    say(String::from_utf8_lossy(&octets).trim_end());
    Ok(ExitCode::SUCCESS)
}
