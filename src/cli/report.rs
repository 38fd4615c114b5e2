//! `report`: what the tracking store says about TLS over some days; the daemon need not run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::args::ConfigArg;
use super::exit::{EXIT_IO, EXIT_OS, Failure};
use super::print::{say, say_json, table};
use crate::config;
use crate::mail::Clock;
use crate::trace::{
    ForcibleDomain, PartnerShare, StoredWord, TlsReport, TlsShare, TraceReader, TroubleCount,
};

/// What `report` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    #[command(subcommand)]
    about: ReportAbout,
}

#[derive(Debug, clap::Subcommand)]
enum ReportAbout {
    /// How much mail went and came over TLS, with whom, who fails and why, and what was refused.
    Tls(PeriodArgs),
    /// Which domains that no connector forces could be forced today, with the connector to paste.
    Adoption(PeriodArgs),
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
}

impl ReportArgs {
    pub(super) fn is_json(&self) -> bool {
        match &self.about {
            ReportAbout::Tls(period) | ReportAbout::Adoption(period) => period.json,
        }
    }
}

/// Reads the sums and shows what they say.
pub(super) fn report(args: &ReportArgs) -> Result<ExitCode, Failure> {
    let (period, words): (&PeriodArgs, fn(&TlsReport, usize) -> String) = match &args.about {
        ReportAbout::Tls(period) => (period, in_words),
        ReportAbout::Adoption(period) => (period, adoption),
    };
    let folder = match &period.data_dir {
        Some(folder) => folder.clone(),
        None => config::data_dir_of(&period.config.config)?,
    };
    let now = Clock::wall();
    let back = Duration::from_secs(u64::from(period.days.saturating_sub(1)).saturating_mul(24 * 3_600));
    let (from, to) = (now.before(back).day(), now.day());
    let mut sums = TraceReader::open(&folder)?
        .sums(from, to)
        .map_err(|fault| Failure::new(EXIT_IO, format!("the tracking store can't be read: {fault}")))?;
    if let Some(name) = &period.partner {
        sums.retain(|(key, _)| key.partner == *name || (key.partner.is_empty() && key.connector == *name));
    }
    if period.csv {
        return as_csv(&sums);
    }
    let report = TlsReport::of(&sums, (from, to));
    if period.json {
        match &args.about {
            ReportAbout::Tls(_) => say_json(&report),
            ReportAbout::Adoption(_) => say_json(&report.could_be_forced),
        }
    } else {
        say(&words(&report, period.limit));
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(report: &TlsReport, limit: usize) -> String {
    let mut parts = vec![
        format!("TLS from {} to {} (days of UTC)", report.from, report.to),
        format!("{}\n{}", share("Came in", &report.inbound), share("Went out", &report.outbound)),
    ];
    let security =
        report.by_security.iter().map(|one| vec![one.security.to_owned(), one.messages.to_string()]);
    parts.push(titled(
        "Went out, by what secured it",
        &["SECURED BY", "DELIVERIES"],
        security.collect(),
        limit,
    ));
    let partners = report.partners.iter().map(partner_row).collect();
    parts.push(titled(
        "Partners",
        &["PARTNER", "CAME IN", "TLS", "WENT OUT", "TLS", "FAILED"],
        partners,
        limit,
    ));
    let good = report.succeeding.iter();
    let good =
        good.map(|one| vec![one.domain.clone(), one.messages.to_string(), one.quality.to_owned()]).collect();
    parts.push(titled("Domains that always had TLS", &["DOMAIN", "DELIVERIES", "CERTIFICATE"], good, limit));
    let headings = ["DOMAIN", "CONNECTOR", "REASON", "TIMES"];
    for (title, list) in [
        ("Attempts that failed over TLS", &report.failing),
        ("Of these, over a certificate", &report.certificates),
        ("Clients' mail that was refused by a connector", &report.refused),
        ("Sent in plaintext, because there was no TLS", &report.without_tls),
    ] {
        parts.push(titled(title, &headings, list.iter().map(trouble_row).collect(), limit));
    }
    parts.push(match report.could_be_forced.len() {
        0 => "No further domain could be forced by what these days show.".to_owned(),
        count => format!("{count} domains could be forced: `sealpost report adoption` lists them."),
    });
    parts.join("\n\n")
}

fn adoption(report: &TlsReport, limit: usize) -> String {
    if report.could_be_forced.is_empty() {
        return format!(
            "From {} to {} no domain without a forced connector always had TLS.",
            report.from, report.to
        );
    }
    let row = |one: &ForcibleDomain| {
        let (messages, connections) = (one.messages.to_string(), one.connections.to_string());
        vec![one.domain.clone(), messages, connections, one.quality.to_owned(), one.host.clone()]
    };
    let rows = report.could_be_forced.iter().map(row).collect();
    let headings = ["DOMAIN", "DELIVERIES", "CONNECTIONS", "CERTIFICATE", "HOST"];
    let title = format!("Could be forced, by what went out from {} to {}", report.from, report.to);
    let mut parts = vec![titled(&title, &headings, rows, limit)];
    parts.push(
        "Connectors to paste, with the next_hop of the connector that serves the domain today. They begin in audit: `sealpost validate NAME` tests them, and without `mode` they are enforced."
            .to_owned(),
    );
    parts.extend(report.could_be_forced.iter().take(limit).map(|one| one.connector.clone()));
    parts.join("\n\n")
}

fn share(what: &str, share: &TlsShare) -> String {
    let Some(percent) = share.percent() else { return format!("{what:<9} nothing") };
    let versions: Vec<String> =
        share.by_version.iter().map(|(version, count)| format!("{version} {count}")).collect();
    format!(
        "{what:<9} {} messages, {percent} % over TLS ({}); {} connections, {} over TLS",
        share.messages,
        versions.join(", "),
        share.connections,
        share.connections_over_tls
    )
}

fn partner_row(one: &PartnerShare) -> Vec<String> {
    let percent =
        |share: &TlsShare| share.percent().map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"));
    vec![
        one.name.clone(),
        one.inbound.messages.to_string(),
        percent(&one.inbound),
        one.outbound.messages.to_string(),
        percent(&one.outbound),
        one.failed.to_string(),
    ]
}

fn trouble_row(one: &TroubleCount) -> Vec<String> {
    let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    vec![dash(&one.domain), dash(&one.connector), one.reason.clone(), one.count.to_string()]
}

fn titled(title: &str, headings: &[&str], mut rows: Vec<Vec<String>>, limit: usize) -> String {
    if rows.is_empty() {
        return format!("{title}: none");
    }
    let more = rows.len().saturating_sub(limit);
    rows.truncate(limit);
    let rest = if more > 0 { format!("\nand {more} more; see --limit") } else { String::new() };
    format!("{title}\n{}{rest}", table(headings, &rows))
}

fn as_csv(sums: &[(crate::trace::SumKey, crate::trace::Sum)]) -> Result<ExitCode, Failure> {
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
        "host",
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
            &sum.host,
        ])
        .map_err(broken)?;
    }
    let octets = out.into_inner().map_err(|fault| Failure::new(EXIT_OS, fault))?;
    say(String::from_utf8_lossy(&octets).trim_end());
    Ok(ExitCode::SUCCESS)
}
