//! Mail to the partners: submitted to the gateway and followed until it arrives or waits with a
//! reason.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::capture::AcceptedMessage;
use super::client::{Submission, SubmissionResult};
use super::fault::LabFault;
use super::message;
use super::plan::{CaseOutcome, ClientDoes, OUTBOUND, OWN_OCTET, OWN_SENDER, OutboundCase, address};
use super::result::{Direction, Row};
use super::stage::Stage;
use crate::connector::{Arrival, NextHop, Table, choose};
use crate::mail::Domain;
use crate::spool::{Filter, LastTrouble, QueuedMessage, Spool};

/// The findings about one message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostFindings {
    outcome: CaseOutcome,
    /// From the decision, if the gateway kept one.
    connector: Option<String>,
    wanted: Option<String>,
    wanted_summary: Option<String>,
    token: Option<String>,
    got: String,
    reason: String,
    /// A violation that no policy allows.
    wrong: Option<&'static str>,
}

/// Sends every outbound case at once and reports the outcome of each.
///
/// # Errors
/// The spool can't be queried, or a client can't be set up.
pub(super) async fn play(stage: &Stage, table: &Table, spool: &Arc<dyn Spool>) -> Result<Vec<Row>, LabFault> {
    let mut found = hand_over(stage).await?;
    let deadline = Instant::now() + WAIT;
    loop {
        let queued = spool.list(Filter::default(), None, QUEUE_LIMIT).await?.messages;
        let late = Instant::now() >= deadline;
        for ((slot, case), number) in found.iter_mut().zip(OUTBOUND).zip(0_usize..) {
            if slot.is_none() {
                *slot = look(stage, number, case, &queued).filter(|f| late || settles(case, f.outcome));
            }
        }
        if late || found.iter().all(Option::is_some) {
            break;
        }
        sleep(POLL).await;
    }
    let rows = found.into_iter().zip(OUTBOUND).zip(0_usize..);
    Ok(rows.map(|((found, case), number)| row(stage, table, case, number, found)).collect())
}

/// Submits everything to the gateway; what it refuses is settled already.
async fn hand_over(stage: &Stage) -> Result<Vec<Option<HostFindings>>, LabFault> {
    let tls = stage.client_tls(ClientDoes::NoCertificate)?;
    let mut sessions = JoinSet::new();
    for (number, case) in OUTBOUND.iter().enumerate() {
        let submission = Submission {
            source: address(OWN_OCTET),
            gateway: stage.gateway(),
            helo: "client.contoso.lab.test".to_owned(),
            // Both ways in are used: mail that comes in plaintext may leave over TLS, and the
            // reverse.
            tls: tls.clone().filter(|_| number % 2 == 0),
            from: OWN_SENDER.to_owned(),
            to: case.to(),
            content: original(case),
            originator: None,
        };
        sessions.spawn(async move { (number, submission.send().await) });
    }
    let mut found: Vec<Option<HostFindings>> = vec![None; OUTBOUND.len()];
    while let Some(session) = sessions.join_next().await {
        let Ok((number, handed)) = session else { continue };
        let refusal = match handed {
            Ok(handed) if handed.is_accepted() => continue,
            Ok(handed) => not_accepted(&handed),
            Err(fault) => HostFindings::refused(format!("the gateway did not take it: {fault}")),
        };
        if let Some(slot) = found.get_mut(number) {
            *slot = Some(refusal);
        }
    }
    Ok(found)
}

fn not_accepted(handed: &SubmissionResult) -> HostFindings {
    HostFindings::refused(format!("the gateway did not take it: {}", handed.reply()))
}

impl HostFindings {
    fn refused(reason: String) -> Self {
        Self {
            outcome: CaseOutcome::Refused,
            connector: None,
            wanted: None,
            wanted_summary: None,
            token: None,
            got: "no session".to_owned(),
            reason,
            wrong: Some("the gateway refused it"),
        }
    }
}

/// Whether to stop following the message. A deferral that the case does not expect may be followed
/// by a delivery; all else is final.
fn settles(case: &OutboundCase, outcome: CaseOutcome) -> bool {
    match outcome {
        CaseOutcome::DeliveredTls | CaseOutcome::DeliveredClear | CaseOutcome::Refused => true,
        CaseOutcome::Withheld | CaseOutcome::Deferred => case.expected.contains(&outcome),
    }
}

fn look(stage: &Stage, number: usize, case: &OutboundCase, queued: &[QueuedMessage]) -> Option<HostFindings> {
    let capture = stage.partners.get(number)?;
    let to = case.to();
    if let Some(taken) = capture.find(|m| m.recipients.contains(&to)) {
        return Some(delivered(case, &taken, capture.came_in_clear("STARTTLS\r\n")));
    }
    if capture.has_refused(&to) {
        // Final only when the sender was notified.
        let named = format!("Final-Recipient: rfc822; {to}\r\n");
        let report =
            stage.on_premises.find(|m| m.reverse_path.is_empty() && message::contains(&m.content, &named))?;
        return Some(reported(&report));
    }
    let rows = queued.iter().flat_map(|message| &message.recipients);
    let trouble = rows.filter(|row| row.forward_path.as_str() == to).find_map(|row| row.last.as_ref())?;
    Some(waiting(trouble))
}

fn delivered(case: &OutboundCase, taken: &AcceptedMessage, tried_tls: bool) -> HostFindings {
    let (outcome, got, how) = match (&taken.tls, tried_tls) {
        (Some(tls), _) => (CaseOutcome::DeliveredTls, tls.clone(), "arrived over TLS, byte for byte"),
        (None, false) => (
            CaseOutcome::DeliveredClear,
            "plaintext".to_owned(),
            "STARTTLS is not offered; arrived in plaintext, byte for byte",
        ),
        (None, true) => (
            CaseOutcome::DeliveredClear,
            "plaintext".to_owned(),
            "STARTTLS was tried first; arrived in plaintext, byte for byte",
        ),
    };
    let wrong = message::compare(&original(case), &taken.content).err();
    HostFindings {
        outcome,
        connector: None,
        wanted: None,
        wanted_summary: None,
        token: None,
        got,
        reason: wrong.unwrap_or(how).to_owned(),
        wrong,
    }
}

/// Parses the failure report (RFC 3464) that the sender received.
fn reported(report: &AcceptedMessage) -> HostFindings {
    let text = message::unfolded(&report.content);
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
    };
    let said = field("Diagnostic-Code").unwrap_or_default();
    let said = said.strip_prefix("smtp; ").unwrap_or(&said);
    let is_theirs = said.starts_with("550 5.1.1 ");
    HostFindings {
        outcome: CaseOutcome::Refused,
        connector: field("X-Sealpost-Connector"),
        wanted: field("X-Sealpost-Required"),
        wanted_summary: None,
        token: field("X-Sealpost-Decision"),
        got: field("X-Sealpost-Attained").unwrap_or_else(|| "a refusal".to_owned()),
        reason: format!("the partner said {said}; the sender was notified"),
        wrong: (!is_theirs).then_some("the report does not say what the partner said"),
    }
}

fn waiting(trouble: &LastTrouble) -> HostFindings {
    let decision = trouble.decision.as_ref();
    let is_withheld = decision.is_some_and(|decision| decision.withheld == Some(true));
    HostFindings {
        outcome: if is_withheld { CaseOutcome::Withheld } else { CaseOutcome::Deferred },
        connector: decision.and_then(|decision| decision.connector.clone()),
        wanted: decision.map(|decision| decision.required.clone()),
        wanted_summary: decision.map(|decision| decision.required_summary.clone()),
        token: decision.map(|decision| decision.token.clone()),
        got: decision.map_or_else(|| "no session".to_owned(), |decision| decision.attained.clone()),
        reason: trouble.reason.clone(),
        wrong: None,
    }
}

fn row(stage: &Stage, table: &Table, case: &OutboundCase, number: usize, found: Option<HostFindings>) -> Row {
    let policy = Policy::of(table, case);
    let mut found = found.unwrap_or_else(|| HostFindings {
        outcome: CaseOutcome::Deferred,
        connector: None,
        wanted: None,
        wanted_summary: None,
        token: None,
        got: "nothing".to_owned(),
        reason: "nothing was heard of it in time".to_owned(),
        wrong: Some("nothing was heard of it in time"),
    });
    if policy.is_forced && leaked(stage, number, case) {
        found.wrong = Some("an envelope or content came in plaintext under forced TLS");
    }
    let is_allowed = case.expected.contains(&found.outcome);
    let is_reason = case.token.is_none() || case.token == found.token.as_deref();
    let reason = match (found.wrong, is_allowed, is_reason) {
        (Some(wrong), _, _) => format!("{wrong}; {}", found.reason),
        (None, true, true) => found.reason,
        (None, false, _) => {
            let expected: Vec<&str> = case.expected.iter().map(|outcome| outcome.word()).collect();
            format!("{} (expected: {})", found.reason, expected.join(" or "))
        }
        (None, true, false) => {
            let got = found.token.as_deref().unwrap_or("none");
            format!("{} (decision {got}; expected {})", found.reason, case.token.unwrap_or_default())
        }
    };
    Row {
        from: OWN_SENDER.to_owned(),
        to: case.to(),
        direction: Direction::Outbound,
        connector: found.connector.unwrap_or(policy.connector),
        wanted: found.wanted.unwrap_or(policy.wanted),
        wanted_summary: found.wanted_summary.unwrap_or_else(|| policy.wanted_summary.to_owned()),
        got: found.got,
        outcome: found.outcome,
        reason,
        as_expected: found.wrong.is_none() && is_allowed && is_reason,
    }
}

/// Whether any part of the message reached the partner in plaintext. Each partner serves only one
/// message.
fn leaked(stage: &Stage, number: usize, case: &OutboundCase) -> bool {
    let told = ["MAIL FROM", "RCPT TO", "DATA\r\n", OWN_SENDER];
    let marker = marker(case);
    stage.partners.get(number).is_some_and(|capture| {
        told.iter().any(|octets| capture.came_in_clear(octets)) || capture.came_in_clear(&marker)
    })
}

/// The requirement that the table has for a recipient domain.
struct Policy {
    connector: String,
    wanted: String,
    wanted_summary: &'static str,
    is_forced: bool,
}

impl Policy {
    fn of(table: &Table, case: &OutboundCase) -> Self {
        let domain = Domain::parse(case.domain).ok();
        let Some(choice) = choose(table, domain.as_ref(), Arrival::Ours) else {
            let connector = "none".to_owned();
            return Self { connector, wanted: String::new(), wanted_summary: "", is_forced: false };
        };
        let smart_host = match &choice.connector.next_hop {
            NextHop::Mx { .. } => None,
            NextHop::SmartHosts(hosts) => hosts.first().map(|host| &host.name),
        };
        let requirement = choice.connector.requirement(domain.as_ref(), smart_host);
        Self {
            connector: choice.connector.name.to_string(),
            wanted: requirement.to_string(),
            wanted_summary: requirement.summary(),
            is_forced: requirement.is_forced(),
        }
    }
}

fn marker(case: &OutboundCase) -> String {
    format!("outbound-{}-for-{}", case.octet, case.domain)
}

fn original(case: &OutboundCase) -> Vec<u8> {
    message::write(OWN_SENDER, &case.to(), &marker(case))
}

const WAIT: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(20);
const QUEUE_LIMIT: usize = 1000;

#[cfg(test)]
mod tests;
