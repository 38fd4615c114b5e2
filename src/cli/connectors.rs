//! `connectors`: shows the connectors of the running daemon, or those of the file if it is not
//! running, and releases inbound ones from their brake.

use std::process::ExitCode;

use super::args::{DaemonArgs, socket};
use super::control::{get, named, post};
use super::exit::{EXIT_UNAVAILABLE, Failure};
use super::listing::ListingArgs;
use super::print::{complain, show, table};
use crate::admin::{AlarmKind, ConnectorView, Connectors, PartnerView, ReleaseRequest, refusals_in_words};
use crate::connector::Generation;
use crate::{config, daemon};

/// What `connectors` takes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ConnectorsArgs {
    #[command(subcommand)]
    action: Option<ConnectorAction>,
    #[command(flatten)]
    daemon: DaemonArgs,
    #[command(flatten)]
    listing: ListingArgs,
}

#[derive(Debug, clap::Subcommand)]
enum ConnectorAction {
    /// Release an inbound connector from its brake: it takes new mail again.
    Release {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The inbound connector.
        connector: String,
        /// What came is usual: as much of it is no flood for the next weeks.
        #[arg(long)]
        usual: bool,
    },
}

impl ConnectorsArgs {
    pub(super) fn is_json(&self) -> bool {
        match &self.action {
            Some(ConnectorAction::Release { daemon, .. }) => daemon.json,
            None => self.daemon.json,
        }
    }
}

/// Shows connectors, or releases one.
pub(super) fn connectors(args: &ConnectorsArgs) -> Result<ExitCode, Failure> {
    match &args.action {
        None => shown(&args.daemon, &args.listing),
        Some(ConnectorAction::Release { daemon, connector, usual }) => release(daemon, connector, *usual),
    }
}

fn release(daemon: &DaemonArgs, connector: &str, usual: bool) -> Result<ExitCode, Failure> {
    let path = format!("/connectors/{}/release", named(connector)?);
    let done: ReleaseRequest = post(&socket(daemon)?, &path, &ReleaseRequest { accept: usual })?;
    show(daemon.json, &done, |done| done.done(connector))
}

/// Shows the connectors in effect, or those of the file if no daemon answers.
fn shown(args: &DaemonArgs, listing: &ListingArgs) -> Result<ExitCode, Failure> {
    let socket = socket(args)?;
    // If a socket was given, or changes are awaited, the daemon is meant, not the file.
    let takes_file = args.socket.is_none() && !listing.is_watch();
    let ask = || match get(&socket, "/connectors") {
        Err(failure) if failure.exit == EXIT_UNAVAILABLE && takes_file => {
            complain(&format!("{}; this is what the file says", failure.message));
            of_file(args)
        }
        answer => answer,
    };
    listing.show(args.json, ask, in_words)
}

fn of_file(args: &DaemonArgs) -> Result<Connectors, Failure> {
    let config = config::load(&args.config.config)?;
    Ok(daemon::connectors_from_file(&config))
}

fn in_words(answer: &Connectors) -> String {
    let rows: Vec<Vec<String>> = answer.connectors.iter().map(row).collect();
    let headings = ["direction", "connector", "mode", "tls", "demands", "revision", "queue", "validated"];
    let mut lines = vec![table(&headings, &rows)];
    if let Some(Generation(generation)) = answer.generation {
        lines.insert(0, format!("generation {generation}"));
    }
    for one in &answer.connectors {
        lines.extend(one.validated_to.iter().map(|last| {
            let to = last.to.as_deref().unwrap_or_default();
            format!("{} validated for {to} {}: {}", one.name, last.at, last.verdict)
        }));
    }
    lines.extend(answer.partners.iter().flat_map(partner_lines));
    lines.extend(refusal_lines(answer));
    let overridden = answer.connectors.iter().filter_map(|one| one.overridden.as_ref());
    lines.extend(overridden.map(|one| format!("OVERRIDE  {}", daemon::override_words(one))));
    for alarm in answer.alarms.iter().filter(|alarm| alarm.kind != AlarmKind::Override) {
        lines.push(format!("ALARM since {}: {}", alarm.since, alarm.what));
    }
    lines.join("\n")
}

/// A partner as one unit: who it is, both directions, and what it lacks.
fn partner_lines(partner: &PartnerView) -> Vec<String> {
    let contact = partner.contact.as_deref().map(|contact| format!(" ({contact})")).unwrap_or_default();
    let review = partner.review.as_deref().map(|at| format!(", review {at}")).unwrap_or_default();
    let note = partner.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
    let mut lines = vec![format!("partner {}{contact}{review}{note}", partner.name)];
    lines.extend(partner.ways().map(|(direction, way)| format!("  {:<8}  {way}", direction.word())));
    lines.extend(partner.lacks.iter().map(|lack| format!("  lacks     {lack}")));
    lines
}

/// What clients were refused for, by connector; those of a partner's connectors are shown with the partner.
fn refusal_lines(answer: &Connectors) -> Vec<String> {
    let Some(since) = &answer.refused_since else { return Vec::new() };
    let others = answer.connectors.iter().filter(|one| one.partner.is_none());
    let by_connector = others.map(|one| (&*one.name, &one.refused));
    let all = by_connector.chain([("no connector", &answer.refused_by_none)]);
    let refusing = all.filter(|(_, refused)| !refused.is_empty());
    refusing
        .map(|(name, refused)| format!("{name} refused since {since}: {}", refusals_in_words(refused)))
        .collect()
}

fn row(one: &ConnectorView) -> Vec<String> {
    let dash = || "-".to_owned();
    let is_braked = one.braked.as_ref().is_some_and(|braked| braked.refuses);
    let paused = match (one.paused, is_braked) {
        (true, _) => ", paused",
        (false, true) => ", braked",
        (false, false) => "",
    };
    vec![
        one.direction.word().to_owned(),
        one.name.to_string(),
        format!("{}{paused}{}", one.mode.word(), if one.overridden.is_some() { ", overridden" } else { "" }),
        one.tls.to_string(),
        one.requirement.clone(),
        one.revision.clone(),
        one.lanes.map_or_else(dash, |all| format!("{} lanes, {} blocked", all.lanes, all.blocked)),
        one.validated.as_ref().map_or_else(dash, |last| format!("{}: {}", last.at, last.verdict)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connector_is_a_row_and_each_alarm_a_line() {
        let answer = serde_json::from_str(
            r#"{
                "generation": 2,
                "connectors": [{
                    "direction": "outbound", "name": "bank", "domains": [], "mode": "enforce", "tls": "forced",
                    "requirement": "TLSv1.2 or later", "revision": "00", "paused": true, "validated": null,
                    "lanes": { "lanes": 2, "blocked": 1, "messages": 5 }, "alarms": []
                }],
                "partners": [{
                    "name": "bank", "domains": [], "contact": "ann", "note": "contract 12", "review": "2027",
                    "lacks": ["this"], "inbound": [], "outbound": [{
                        "connector": "bank-out", "tls": "forced", "mode": "enforce", "requirement": "TLSv1.2 or later",
                        "paused": true, "waiting": 2, "refused": {}, "validated": null, "seen": [{
                            "host": "mx", "issuer": "CN=A", "root": null, "not_after": "2028", "since": "2026", "sha256": "0"
                        }]
                    }]
                }],
                "refused_since": "then", "refused_by_none": { "no-connector": 3, "command-500": 1 },
                "alarms": [{ "kind": "expiry", "since": "then", "what": "this", "connectors": [] }]
            }"#,
        );
        let expected = "generation 2\n\
            direction  connector  mode             tls     demands           revision  queue               validated\n\
            outbound   bank       enforce, paused  forced  TLSv1.2 or later  00        2 lanes, 1 blocked  -\n\
            partner bank (ann), review 2027: contract 12\n  \
              outbound  bank-out (tls forced, mode enforce, paused): TLSv1.2 or later; mx showed one of CN=A until 2028; \
            2 recipients wait\n  \
              lacks     this\n\
            no connector refused since then: 1 command-500, 3 no-connector\n\
            ALARM since then: this";
        assert_eq!(in_words(&answer.expect("an answer")), expected);
    }
}
