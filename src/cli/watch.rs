//! `watch`: what `[watch]` saw of partners' hosts and what has changed there, from the database in `data_dir`; or has the
//! running daemon look now.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Serialize;

use super::args::{ConfigArg, DaemonArgs, socket, time_argument};
use super::control::post_quietly;
use super::exit::{EXIT_ARGUMENTS, EXIT_OS, Failure};
use super::listing::PagerArgs;
use super::print::{say, say_json, show, table};
use super::wait::Wait;
use crate::admin::{LookReport, LookRequest};
use crate::config;
use crate::connector::TlsVersion;
use crate::lookout::{HostRecord, KeptChange, KeptTarget, LookHost, SessionSight, Sight, changes, latest};
use crate::mail::{Clock, UnixMillis, rfc3339};

/// What `watch` takes.
#[derive(Debug, clap::Args)]
pub(super) struct WatchArgs {
    #[command(subcommand)]
    action: WatchAction,
}

#[derive(Debug, clap::Subcommand)]
enum WatchAction {
    /// Show the last look at each host, and what has changed. The relay may be stopped.
    Report(WatchReportArgs),
    /// Have the running relay look now, and wait until it has.
    Now {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The outbound connector; without it, all that are watched.
        connector: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct WatchReportArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Only this partner, or outbound connector.
    #[arg(long, value_name = "NAME")]
    partner: Option<String>,
    /// Changes since then: a duration such as 7d, or a time such as 2026-11-29T06:00:00Z.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = time_argument)]
    since: UnixMillis,
    /// Only what has changed.
    #[arg(long)]
    changes: bool,
    /// Print CSV: a line for each host, or with --changes for each change.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pager: PagerArgs,
}

impl WatchArgs {
    pub(super) fn is_json(&self) -> bool {
        match &self.action {
            WatchAction::Report(args) => args.json,
            WatchAction::Now { daemon, .. } => daemon.json,
        }
    }
}

/// Shows what was seen, or has the daemon look.
pub(super) fn watch(args: &WatchArgs) -> Result<ExitCode, Failure> {
    match &args.action {
        WatchAction::Report(args) => report(args),
        WatchAction::Now { daemon, connector } => {
            let shown = Wait::on("the daemon to look at the hosts");
            let request = LookRequest { connector: connector.clone() };
            let done: LookReport = post_quietly(&socket(daemon)?, "/watch/now", &request)?;
            drop(shown);
            show(daemon.json, &done, |done| {
                format!(
                    "{} targets were looked at; `sealpost watch report` shows what was seen",
                    done.targets
                )
            })
        }
    }
}

fn report(args: &WatchReportArgs) -> Result<ExitCode, Failure> {
    let data_dir = config::data_dir_of(&args.config.config)?;
    let now = Clock::wall();
    let from = args.since;
    let failed = |fault| Failure::new(EXIT_OS, fault);
    let mut targets = latest(&data_dir).map_err(failed)?;
    let mut changed = changes(&data_dir, from).map_err(failed)?;
    if let Some(name) = &args.partner {
        let is_it = |partner: &Option<String>, connector: &str| {
            partner.as_ref() == Some(name) || connector == name.as_str()
        };
        targets.retain(|one| is_it(&one.partner, &one.connector));
        changed.retain(|one| is_it(&one.partner, &one.connector));
        if targets.is_empty() && changed.is_empty() {
            let words = format!("nothing was seen of a partner or outbound connector \"{name}\"");
            return Err(Failure::new(EXIT_ARGUMENTS, words));
        }
    }
    let hosts: Vec<HostLine> = targets.iter().flat_map(|one| host_lines(one, now)).collect();
    let changed: Vec<ChangeLine> = changed.iter().map(ChangeLine::of).collect();
    if args.json {
        let hosts = (!args.changes).then_some(&hosts);
        say_json(&WatchAnswer { at: rfc3339(now), since: rfc3339(from), hosts, changes: &changed });
    } else if args.csv {
        let text = if args.changes { csv_text(&changed) } else { csv_text(&hosts) };
        say(text.map_err(|fault| Failure::new(EXIT_OS, fault))?.trim_end());
    } else {
        args.pager.show(&in_words((&hosts, &changed), rfc3339(from), args.changes));
    }
    Ok(ExitCode::SUCCESS)
}

/// What `watch report --json` prints.
#[derive(Serialize)]
struct WatchAnswer<'a> {
    at: String,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<&'a Vec<HostLine>>,
    changes: &'a [ChangeLine],
}

/// The last look at one address, or why a target has none.
#[derive(Debug, Clone, Serialize)]
struct HostLine {
    partner: Option<String>,
    connector: String,
    domain: Option<String>,
    host: Option<String>,
    address: Option<String>,
    /// When it was looked at.
    at: String,
    /// Whether mail may be sent there.
    ok: bool,
    reason: String,
    token: Option<String>,
    /// Since when that has been so.
    since: Option<String>,
    tls_version: Option<TlsVersion>,
    tls_suite: Option<String>,
    tls_group: Option<String>,
    /// Only the first of them.
    certificate_names: Option<String>,
    certificate_issuer: Option<String>,
    certificate_root: Option<String>,
    certificate_not_after: Option<String>,
    certificate_days_left: Option<i64>,
    certificate_sha256: Option<String>,
    /// `taken`, or the reply that refused the check recipient.
    recipient: Option<String>,
}

/// One change.
#[derive(Debug, Clone, Serialize)]
struct ChangeLine {
    at: String,
    partner: Option<String>,
    connector: String,
    domain: Option<String>,
    host: String,
    change: &'static str,
    worse: bool,
    words: String,
}

fn host_lines(target: &KeptTarget, now: UnixMillis) -> Vec<HostLine> {
    let record = &target.record;
    let lost = record.lost.iter().map(|reason| {
        let nothing = LookHost::all();
        HostLine::new(target, &nothing, &Sight::failed(record.at, reason), (None, now))
    });
    let seen = record.present().map(|(key, host): (&LookHost, &HostRecord)| {
        HostLine::new(target, key, &host.last, (Some(host.since), now))
    });
    lost.chain(seen).collect()
}

impl HostLine {
    fn new(
        target: &KeptTarget,
        key: &LookHost,
        sight: &Sight,
        (since, now): (Option<UnixMillis>, UnixMillis),
    ) -> Self {
        let named = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let (tls, certificate) = (sight.tls(), sight.certificate());
        let refused = sight.recipient.as_ref().filter(|one| !one.taken);
        Self {
            partner: target.partner.clone(),
            connector: target.connector.clone(),
            domain: target.domain.clone(),
            host: named(&key.name),
            address: named(&key.address),
            at: rfc3339(sight.at),
            ok: sight.ok && refused.is_none(),
            reason: sight.reason.clone(),
            token: sight.token.clone(),
            since: since.map(rfc3339),
            tls_version: tls.map(|tls| tls.version),
            tls_suite: tls.map(|tls| tls.suite.clone()),
            tls_group: tls.map(|tls| tls.group.clone()),
            certificate_names: certificate.map(|one| one.names_text()),
            certificate_issuer: certificate.map(|one| one.issuer.clone()),
            certificate_root: certificate.and_then(|one| one.root.clone()),
            certificate_not_after: certificate.map(|one| rfc3339(one.not_after)),
            certificate_days_left: certificate.map(|one| one.days_left(now)),
            certificate_sha256: certificate.map(|one| one.sha256.clone()),
            recipient: sight
                .recipient
                .as_ref()
                .map(|one| one.reply.clone().unwrap_or_else(|| "taken".to_owned())),
        }
        .in_plaintext(sight)
    }

    /// A session in plaintext is worth a word where TLS stands otherwise.
    fn in_plaintext(mut self, sight: &Sight) -> Self {
        if sight.session == SessionSight::Plaintext && self.tls_suite.is_none() {
            self.tls_suite = Some("plaintext".to_owned());
        }
        self
    }

    /// Whose it is: the partner, or the connector of none.
    fn whose(&self) -> String {
        match &self.partner {
            Some(partner) => format!("partner {partner}"),
            None => format!("connector {}", self.connector),
        }
    }

    fn row(&self) -> Vec<String> {
        let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let version = self.tls_version.map(|version| version.to_string());
        let tls = [&version, &self.tls_suite, &self.tls_group].into_iter().flatten().cloned();
        let tls: Vec<String> = tls.collect();
        vec![
            dash(&self.host),
            dash(&self.address),
            if self.ok { "ok".to_owned() } else { "NO".to_owned() },
            if tls.is_empty() { "-".to_owned() } else { tls.join(" ") },
            dash(&self.certificate_names),
            self.certificate_days_left.map_or_else(|| "-".to_owned(), |days| days.to_string()),
            dash(&self.certificate_issuer),
            self.at.clone(),
            match &self.recipient {
                Some(reply) if reply != "taken" => format!("the check recipient is refused: {reply}"),
                Some(_) | None => self.reason.clone(),
            },
        ]
    }
}

impl ChangeLine {
    fn of(one: &KeptChange) -> Self {
        Self {
            at: rfc3339(one.at),
            partner: one.partner.clone(),
            connector: one.connector.clone(),
            domain: one.domain.clone(),
            host: one.what.host.to_string(),
            change: one.what.change.word(),
            worse: one.what.change.is_worse(),
            words: one.what.change.to_string(),
        }
    }

    fn words(&self) -> String {
        let whose = match &self.partner {
            Some(partner) => format!("{partner} ({})", self.connector),
            None => self.connector.clone(),
        };
        let mark = if self.worse { "!" } else { " " };
        format!("{} {mark} {whose}: {}: {}", self.at, self.host, self.words)
    }
}

fn in_words((hosts, changed): (&[HostLine], &[ChangeLine]), since: String, only_changes: bool) -> String {
    let mut parts = Vec::new();
    if !only_changes {
        if hosts.is_empty() {
            return "nothing was watched yet; write mode = \"on\" in [watch], and `sealpost watch now` looks at once"
                .to_owned();
        }
        let mut by_partner: BTreeMap<String, Vec<&HostLine>> = BTreeMap::new();
        for host in hosts {
            by_partner.entry(host.whose()).or_default().push(host);
        }
        for (whose, hosts) in by_partner {
            parts.push(format!("{whose}\n{}", of_partner(&hosts)));
        }
        let good = hosts.iter().filter(|host| host.ok).count();
        parts.push(format!("mail may be sent to {good} of {} addresses", hosts.len()));
    }
    if changed.is_empty() {
        parts.push(format!("nothing has changed since {since}"));
    } else {
        let lines: Vec<String> = changed.iter().map(ChangeLine::words).collect();
        parts.push(format!("changed since {since}:\n{}", lines.join("\n")));
    }
    parts.join("\n\n")
}

fn of_partner(hosts: &[&HostLine]) -> String {
    let headings =
        ["for", "host", "address", "answer", "TLS", "presents", "days left", "issuer", "seen", "reason"];
    let rows: Vec<Vec<String>> = hosts
        .iter()
        .map(|host| {
            let of = host
                .domain
                .as_ref()
                .map_or_else(|| host.connector.clone(), |domain| format!("{} {domain}", host.connector));
            std::iter::once(of).chain(host.row()).collect()
        })
        .collect();
    table(&headings, &rows)
}

/// Lines with a heading, as RFC 4180 has them.
fn csv_text<T: Serialize>(lines: &[T]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.serialize(line)?;
    }
    let octets = writer.into_inner().map_err(|fault| csv::Error::from(fault.into_error()))?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}
