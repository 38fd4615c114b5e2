//! `alert`: shows what is wrong and who hears of it, and tests the ways.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::args::{DaemonArgs, socket};
use super::control::{get, post};
use super::exit::{EXIT_NO, Failure};
use super::listing::ListingArgs;
use super::print::show;
use crate::alert::{AlertTestReport, AlertsView, EpisodeView};

/// What `alert` takes.
#[derive(Debug, clap::Args)]
pub(super) struct AlertArgs {
    #[command(subcommand)]
    action: AlertAction,
}

#[derive(Debug, clap::Subcommand)]
enum AlertAction {
    /// Show what goes on, and what has ended lately.
    List {
        #[command(flatten)]
        daemon: DaemonArgs,
        #[command(flatten)]
        listing: ListingArgs,
    },
    /// Send a test to every address and to the webhook, and say what happened to it.
    Test(DaemonArgs),
}

impl AlertArgs {
    pub(super) fn is_json(&self) -> bool {
        match &self.action {
            AlertAction::List { daemon, .. } | AlertAction::Test(daemon) => daemon.json,
        }
    }
}

/// Shows or tests alerts.
pub(super) fn alert(args: &AlertArgs) -> Result<ExitCode, Failure> {
    match &args.action {
        AlertAction::List { daemon, listing } => {
            let socket = socket(daemon)?;
            listing.show(daemon.json, || get(&socket, "/alerts"), in_words)
        }
        AlertAction::Test(daemon) => {
            let report: AlertTestReport = post(&socket(daemon)?, "/alerts/test", &())?;
            show(daemon.json, &report, tested)?;
            let arrived = !report.ways.is_empty() && report.ways.iter().all(|way| way.ok);
            Ok(if arrived { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
        }
    }
}

fn in_words(found: &AlertsView) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing to a String never fails.
        let _infallible = writeln!(text, "{words}");
    };
    if found.open.is_empty() {
        line("nothing is wrong".to_owned());
    }
    for one in &found.open {
        let reported = one
            .reported
            .as_deref()
            .map_or_else(|| "not reported yet".to_owned(), |at| format!("reported {at}"));
        line(format!(
            "ALERT  {} since {}, seen {} times, {reported}: {}",
            about(one),
            one.since,
            one.failures,
            one.what
        ));
    }
    for one in &found.ended {
        line(format!(
            "over   {} from {} to {}: {}",
            about(one),
            one.since,
            one.ended.as_deref().unwrap_or("now"),
            one.what
        ));
    }
    match found.to.as_slice() {
        [] => line("nobody gets alerts by mail: [alerts] has no `to`".to_owned()),
        to => line(format!("alerts go to {}", to.join(", "))),
    }
    if found.mails_waiting > 0 {
        line(format!("{} mails can't be queued yet; the log says why", found.mails_waiting));
    }
    if let Some(webhook) = &found.webhook {
        let trouble =
            webhook.trouble.as_ref().map_or_else(String::new, |why| format!("; the last failed: {why}"));
        line(format!(
            "notices go to {}: {} waiting, {} dropped{trouble}",
            webhook.url, webhook.waiting, webhook.dropped
        ));
    }
    if found.dropped > 0 {
        line(format!("{} episodes or mails were dropped: there were too many", found.dropped));
    }
    text.truncate(text.trim_end().len());
    text
}

fn about(one: &EpisodeView) -> String {
    let of = |what: &str, name: &Option<String>| {
        name.as_ref().map_or_else(String::new, |name| format!(" {what} {name}"))
    };
    format!("{}{}{}", one.kind, of("partner", &one.partner), of("connector", &one.connector))
}

fn tested(report: &AlertTestReport) -> String {
    if report.ways.is_empty() {
        return "nobody hears of alerts: [alerts] has neither `to` nor `webhook`".to_owned();
    }
    let line = |way: &crate::alert::AlertTestResult| {
        let word = if way.ok { "ok    " } else { "FAILED" };
        let by = way.connector.as_ref().map_or_else(String::new, |name| format!(" by connector {name}"));
        let id = way.id.as_ref().map_or_else(String::new, |id| format!(" as {id}"));
        format!("{word}  {}{by}{id}: {}", way.to, way.words)
    };
    report.ways.iter().map(line).collect::<Vec<_>>().join("\n")
}
