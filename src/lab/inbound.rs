//! Mail to the gateway: from the partner, valid or not, and from strangers.

use std::net::IpAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::client::{Submission, SubmissionResult};
use super::fault::LabFault;
use super::message;
use super::plan::{CaseOutcome, ClientDoes, INBOUND, InboundCase, address};
use super::result::{Direction, Row};
use super::stage::Stage;
use crate::connector::{Admission, Channel, Table, admit};
use crate::mail::ReversePath;

/// Sends every inbound case at once and reports the outcome of each.
///
/// # Errors
/// A client can't be set up.
pub(super) async fn play(stage: &Stage, table: &Table) -> Result<Vec<Row>, LabFault> {
    let mut sessions = JoinSet::new();
    for (number, case) in INBOUND.iter().enumerate() {
        let submission = Submission {
            source: address(case.octet),
            gateway: stage.gateway(),
            helo: "client.lab.test".to_owned(),
            tls: stage.client_tls(case.tls)?,
            from: case.from.to_owned(),
            to: case.to.to_owned(),
            content: original(number, case),
            originator: None,
        };
        sessions.spawn(async move { (number, submission.send().await) });
    }
    let mut handed: Vec<Option<std::io::Result<SubmissionResult>>> = INBOUND.iter().map(|_| None).collect();
    while let Some(session) = sessions.join_next().await {
        if let Ok((number, result)) = session
            && let Some(slot) = handed.get_mut(number)
        {
            *slot = Some(result);
        }
    }
    let deadline = Instant::now() + WAIT;
    let mut rows = Vec::new();
    for ((result, case), number) in handed.into_iter().zip(INBOUND).zip(0_usize..) {
        let result = result.unwrap_or_else(|| Err(std::io::Error::other("the client ended early")));
        rows.push(row(stage, table, (number, case), result, deadline).await);
    }
    Ok(rows)
}

async fn row(
    stage: &Stage,
    table: &Table,
    (number, case): (usize, &InboundCase),
    result: std::io::Result<SubmissionResult>,
    deadline: Instant,
) -> Row {
    let (connector, wanted, wanted_summary) = policy(table, case);
    let (outcome, got, reason, wrong) = match result {
        Err(fault) => {
            (CaseOutcome::Refused, "no session".to_owned(), fault.to_string(), Some("the session failed"))
        }
        Ok(handed) if handed.is_accepted() => {
            let wrong = arrival(stage, number, case, deadline).await.err();
            let outcome = if case.tls == ClientDoes::Clear {
                CaseOutcome::DeliveredClear
            } else {
                CaseOutcome::DeliveredTls
            };
            let reason = format!("{}; arrived byte for byte at the mail server behind", handed.reply());
            (outcome, handed.channel, wrong.map_or(reason, str::to_owned), wrong)
        }
        Ok(handed) => {
            let wrong = arrived(stage, number, case).map(|_| "it was refused, and arrived all the same");
            let wrong = wrong.or_else(|| (!is_reply(&handed, case)).then_some("the wrong reply"));
            (CaseOutcome::Refused, handed.channel.clone(), handed.reply(), wrong)
        }
    };
    let as_expected = wrong.is_none() && outcome == case.expected;
    let reason = match wrong {
        Some(wrong) if wrong != reason => format!("{wrong}; {reason}"),
        Some(_) => reason,
        None if as_expected => reason,
        None => format!("{reason} (expected: {})", case.expected.word()),
    };
    Row {
        from: case.from.to_owned(),
        to: case.to.to_owned(),
        direction: Direction::Inbound,
        connector,
        wanted,
        wanted_summary: wanted_summary.to_owned(),
        got,
        outcome,
        reason,
        as_expected,
    }
}

fn is_reply(handed: &SubmissionResult, case: &InboundCase) -> bool {
    handed.reply().strip_prefix(case.reply).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

async fn arrival(
    stage: &Stage,
    number: usize,
    case: &InboundCase,
    deadline: Instant,
) -> Result<(), &'static str> {
    loop {
        if let Some(content) = arrived(stage, number, case) {
            return message::compare(&original(number, case), &content);
        }
        if Instant::now() >= deadline {
            return Err("it was accepted, and did not arrive in time");
        }
        sleep(POLL).await;
    }
}

fn arrived(stage: &Stage, number: usize, case: &InboundCase) -> Option<Vec<u8>> {
    let marker = marker(number);
    let wanted = |recipients: &[String]| recipients.iter().any(|to| to == case.to);
    stage
        .on_premises
        .find(|m| {
            wanted(&m.recipients) && !m.reverse_path.is_empty() && message::contains(&m.content, &marker)
        })
        .map(|taken| taken.content)
}

/// Which connector the reverse-path and the address select, whatever the TLS outcome, and what it
/// requires.
fn policy(table: &Table, case: &InboundCase) -> (String, String, &'static str) {
    let Ok(reverse_path) = ReversePath::parse(case.from) else {
        return ("none".to_owned(), String::new(), "");
    };
    let channel = Channel::new(IpAddr::V4(address(case.octet)));
    let decision = match admit(table, &channel, &reverse_path) {
        Admission::Admitted(admitted) => admitted.decision,
        Admission::Refused(refused) => refused.decision,
    };
    let connector = decision.connector.as_deref().unwrap_or("none").to_owned();
    (connector, decision.required.to_string(), decision.required.summary())
}

fn marker(number: usize) -> String {
    format!("inbound-{number}-of-the-lab")
}

fn original(number: usize, case: &InboundCase) -> Vec<u8> {
    message::write(case.from, case.to, &marker(number))
}

const WAIT: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(20);
