//! `report`: what the tracking store says about TLS over some days; the daemon need not run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::args::ConfigArg;
use super::exit::{EXIT_IO, EXIT_OS, Failure};
use super::listing::PagerArgs;
use super::print::{say, say_json, titled};
use crate::config;
use crate::mail::Clock;
use crate::trace::{PartnerShare, StoredWord, TlsReport, TlsShare, TraceReader, TroubleCount};

mod adoption;

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
    #[command(flatten)]
    pager: PagerArgs,
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
    let (ReportAbout::Tls(period) | ReportAbout::Adoption(period)) = &args.about;
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
        sums.retain(|(key, _)| key.is_of(name));
    }
    if period.csv {
        return as_csv(&sums);
    }
    let report = TlsReport::of(&sums, (from, to));
    match &args.about {
        ReportAbout::Tls(_) if period.json => say_json(&report),
        ReportAbout::Tls(_) => period.pager.show(&in_words(&report, period.limit)),
        ReportAbout::Adoption(_) => {
            let rows = adoption::adoption(&report, &period.config.config)?;
            if period.json {
                say_json(&rows);
            } else {
                period.pager.show(&adoption::in_words(&report, &rows, period.limit));
            }
        }
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
        0 => "Every domain that always had TLS in these days is forced.".to_owned(),
        count => format!(
            "{count} domains always had TLS and were not forced: `sealpost report adoption` says which could be."
        ),
    });
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
