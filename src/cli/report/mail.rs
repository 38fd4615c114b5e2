//! `report mail`: what is mailed, or has the running relay mail it now.

use std::process::ExitCode;

use super::super::args::{DaemonArgs, socket};
use super::super::control::post;
use super::super::exit::{EXIT_CONFIG, EXIT_NO, Failure};
use super::super::print::{say, say_json, show};
use super::sums;
use crate::admin::{MailedReport, MailedReports};
use crate::config;
use crate::mail::Clock;
use crate::reports::{ReportFrame, ReportMail};

/// What `report mail` takes.
#[derive(Debug, clap::Args)]
pub(super) struct MailArgs {
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
    /// Have the running relay mail them now, to everybody who gets one.
    #[arg(long)]
    now: bool,
}

/// Shows or mails the reports of the last whole period.
pub(super) fn mail(args: &MailArgs) -> Result<ExitCode, Failure> {
    if args.now {
        let mailed: MailedReports = post(&socket(&args.daemon)?, "/reports/mail", &())?;
        show(args.daemon.json, &mailed, in_words)?;
        let all = mailed.reports.iter().all(|one| one.id.is_some());
        return Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) });
    }
    let config = config::load(&args.daemon.config.config)?;
    let nobody = || {
        Failure::new(
            EXIT_CONFIG,
            "nobody gets reports: write to in [reports], or report_to of a [[partner]]; see docs/reports.md",
        )
    };
    let settings = config.reports.as_ref().ok_or_else(nobody)?;
    let now = Clock::wall();
    let round = settings.schedule.last_round(now).ok_or_else(nobody)?;
    let days = (round.first, round.last);
    let sums = sums::between(&config.data_dir, days)?;
    let shown: Vec<ShownReport> = settings
        .addressees
        .iter()
        .map(|addressee| {
            let partner = addressee.partner.as_ref();
            let mail = ReportMail::of(&sums, &ReportFrame { name: &settings.name, days, now, partner });
            ShownReport { to: addressee.to.as_str().to_owned(), subject: mail.subject, text: mail.text }
        })
        .collect();
    if args.daemon.json {
        say_json(&shown);
    } else {
        for one in &shown {
            say(&format!("To: {}\nSubject: {}\n\n{}", one.to, one.subject, one.text));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A report as it would be mailed, without its document.
#[derive(serde::Serialize)]
struct ShownReport {
    to: String,
    subject: String,
    text: String,
}

fn in_words(mailed: &MailedReports) -> String {
    mailed.reports.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn line(one: &MailedReport) -> String {
    let about = one.partner.as_deref().unwrap_or("all partners");
    match (&one.id, &one.connector) {
        (Some(id), Some(connector)) => {
            format!("{about}: queued for {} by connector {connector}, {id}", one.to)
        }
        _ => format!("{about}: not queued for {}: {}", one.to, one.why.as_deref().unwrap_or("unknown")),
    }
}
