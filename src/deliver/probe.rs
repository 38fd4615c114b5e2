//! Tests hosts without delivering: each host of a way up to the judgement, and one recipient up to
//! the reply to RCPT. `validate`, `probe`, `[watch]` and `verify_recipients` use it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::courier::Courier;
use super::need::Need;
use super::open::{Miss, OpenRequest};
use super::route::Candidates;
use super::session::{Candidate, OpenSession};
use super::waits::WaitList;
use crate::connector::{
    Decision, NextHop, NotCovered, OnHandshakeFailure, Outbound, SecuringFault, SmartHostName,
};
use crate::mail::{BodyType, Domain, Mailbox, MessageDsn, RecipientDsn, Reply, ReversePath};
use crate::outcome::{Cause, Hint, LinkFault, Outcome, Trouble, hint_on_decision, hint_on_reply};
use crate::scheduler::Way;
use crate::smtp::{Demand, MailFrom, NotBegun, OpenEvent, TransactionResult};

/// The result for one address of a way.
#[derive(Debug, Clone)]
pub struct HostReport {
    /// The host's name, if it has one.
    pub name: Option<Domain>,
    /// Name, address and port.
    pub host: String,
    /// Whether mail may be sent there and the requirement is met, even if it is not enforced.
    pub ok: bool,
    /// The reason, in one sentence.
    pub reason: String,
    /// The connector's decision, if it was reached.
    pub decision: Option<Arc<Decision>>,
    /// The host's reply about the recipient in [`Trial::envelope`].
    pub recipient: Option<RecipientReply>,
    /// The host's greeting.
    pub banner: Option<String>,
    /// What to do about its reply, or about how the handshake failed, if that is known.
    pub hint: Option<&'static Hint>,
}

/// A host's answer about a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientReply {
    /// It accepts mail for the recipient.
    Taken,
    /// It does not, not now, or not from this reverse-path: its reply.
    Refused(Reply),
}

impl std::fmt::Display for RecipientReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Taken => f.write_str("taken"),
            Self::Refused(reply) => reply.fmt(f),
        }
    }
}

/// What to test.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The connector and the recipient domain.
    pub way: Way,
    /// Reverse-path and recipient of an envelope that is started and never followed by content.
    pub envelope: Option<(ReversePath, Mailbox)>,
    /// Time limit for one address in all.
    pub limit: Duration,
    /// Where to say what is waited for.
    pub waits: WaitList,
}

/// Maximum number of addresses tested at the same time.
const AT_ONCE: usize = 8;

/// An address of a way, to be tried.
#[derive(Debug, Clone)]
pub struct TrialHost(Candidate);

/// What there is to try of a way.
#[derive(Debug)]
pub struct TrialHosts {
    /// The addresses.
    pub list: Vec<TrialHost>,
    /// Smart hosts without an address.
    pub missing: Vec<HostReport>,
    /// How many hosts or addresses are left out.
    pub left: usize,
}

impl TrialHost {
    /// The host's name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&Domain> {
        self.0.name.as_ref()
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
}

impl Courier {
    /// The addresses of a way.
    ///
    /// # Errors
    /// Why there is no address to try.
    pub async fn trial_hosts(&self, trial: &Trial) -> Result<TrialHosts, Trouble> {
        let looking = trial.waits.begin(match (&trial.way.connector.next_hop, &trial.way.domain) {
            (NextHop::Mx { .. }, Some(domain)) => format!("DNS: the mail exchangers of {domain}"),
            (NextHop::Mx { .. } | NextHop::SmartHosts(_), _) => "DNS: the addresses of the hosts".to_owned(),
        });
        let Candidates { list: candidates, left, unknown, .. } = match self.candidates(&trial.way).await {
            Ok(candidates) => candidates,
            Err(Outcome::Deferred(trouble) | Outcome::Failed(trouble)) => {
                looking.end(&trouble.reason);
                return Err(trouble);
            }
            // Unreachable: a look-up of hosts never delivers.
            Err(Outcome::Delivered(_)) => {
                return Ok(TrialHosts { list: Vec::new(), missing: Vec::new(), left: 0 });
            }
        };
        let found = candidates.len();
        looking.end(&if found == 1 { "1 address".to_owned() } else { format!("{found} addresses") });
        // If addresses are cut off, it is unknown which hosts have none.
        let is_cut = left > unknown;
        let missing = if is_cut { Vec::new() } else { without_address(&trial.way, &candidates) };
        // Smart hosts without an answer are named.
        let left = left.saturating_sub(missing.len());
        Ok(TrialHosts { list: candidates.into_iter().map(TrialHost).collect(), missing, left })
    }

    /// Tries one address, in plaintext too if its handshake fails and the connector then allows that.
    pub async fn try_host(&self, trial: &Trial, TrialHost(candidate): &TrialHost) -> HostReport {
        let (seen, broken) = self.try_one(trial, candidate, None).await;
        match broken.filter(|_| goes_clear(&trial.way.connector)) {
            Some(fault) => self.try_one(trial, candidate, Some(fault)).await.0,
            None => seen,
        }
    }

    /// Opens a session with every address of a way, has it judged as a delivery would, and sends
    /// QUIT. No content is sent. If handshakes fail and the connector then allows plaintext, that
    /// is tested too.
    ///
    /// # Errors
    /// Why there is no address to test.
    pub async fn validate(self: Arc<Self>, trial: Trial) -> Result<Vec<HostReport>, Trouble> {
        let TrialHosts { list, missing, left } = self.trial_hosts(&trial).await?;
        let trial = Arc::new(trial);
        let mut running = JoinSet::new();
        let seats = Arc::new(Semaphore::new(AT_ONCE));
        for (number, TrialHost(candidate)) in list.into_iter().enumerate() {
            let (courier, trial, seats) = (Arc::clone(&self), Arc::clone(&trial), Arc::clone(&seats));
            running.spawn(async move {
                let _seat = seats.acquire_owned().await;
                let (seen, broken) = courier.try_one(&trial, &candidate, None).await;
                (number, candidate, seen, broken)
            });
        }
        let mut all = running.join_all().await;
        all.sort_by_key(|(number, ..)| *number);
        if goes_clear(&trial.way.connector) && !all.iter().any(|(_, _, seen, _)| seen.ok) {
            for (_, candidate, seen, broken) in &mut all {
                let Some(fault) = broken.take() else { continue };
                *seen = self.try_one(&trial, candidate, Some(fault)).await.0;
            }
        }
        let mut seen: Vec<HostReport> = all.into_iter().map(|(_, _, seen, _)| seen).collect();
        seen.extend(missing);
        if left > 0 {
            // A note, not a fault: a delivery is limited in the same way, and tries the others in later attempts.
            let words = format!("{left} more hosts or addresses were not tried");
            seen.push(HostReport { ok: true, ..untried("-", words) });
        }
        Ok(seen)
    }

    /// Tests one address. Also returns the fault if its handshake failed in a way that allows
    /// plaintext.
    async fn try_one(
        &self,
        trial: &Trial,
        candidate: &Candidate,
        after: Option<SecuringFault>,
    ) -> (HostReport, Option<SecuringFault>) {
        let host = candidate.host();
        let under_way = trial.waits.begin(&host);
        let made = |ok, reason: String, decision, recipient| HostReport {
            name: candidate.name.clone(),
            host: host.clone(),
            ok,
            reason,
            decision,
            recipient,
            banner: None,
            hint: None,
        };
        let banner = Mutex::new(None);
        let (way, place) = (&trial.way, Some(&banner));
        let need = Need::Trial(trial.envelope.as_ref().map(|(_, to)| to));
        let request =
            OpenRequest { way, candidate, need, dialled: None, after, banner: place, progress: None };
        let one = async {
            match self.open(request).await {
                Ok(mut session) => {
                    let decision = Arc::clone(&session.decision);
                    let recipient = match &trial.envelope {
                        None => None,
                        Some((from, to)) => {
                            Some(reply_to(session.ask(self, &trial.way.connector, (from, to), need).await))
                        }
                    };
                    session.connection.quit().await;
                    let rehearsed = decision.waived();
                    let (ok, reason) = match &recipient {
                        Some(Err(why)) => (false, why.clone()),
                        Some(Ok(RecipientReply::Refused(reply))) => {
                            (false, format!("the recipient is not taken: {reply}"))
                        }
                        Some(Ok(RecipientReply::Taken)) | None => match rehearsed {
                            Some(shortfall) => (false, shortfall.to_string()),
                            None => (true, decision.reason()),
                        },
                    };
                    let recipient = recipient.and_then(Result::ok);
                    let hint = match &recipient {
                        Some(RecipientReply::Refused(reply)) => hint_on_reply(reply),
                        Some(RecipientReply::Taken) | None => hint_on_decision(&decision),
                    };
                    (HostReport { hint, ..made(ok, reason, Some(decision), recipient) }, None)
                }
                Err(Miss::Broken(fault, outcome)) => (refused(made, outcome), Some(fault)),
                Err(Miss::Other(outcome)) => (refused(made, outcome), None),
            }
        };
        let done = timeout(trial.limit, one).await;
        let (mut seen, broken) = done.unwrap_or_else(|_| {
            (made(false, format!("not done in {} s", trial.limit.as_secs()), None, None), None)
        });
        under_way.end(&format!("{}{}", if seen.ok { "" } else { "NO: " }, seen.reason));
        seen.banner = banner.into_inner().unwrap_or_else(PoisonError::into_inner);
        (seen, broken)
    }
}

impl OpenSession {
    /// Asks about one recipient: MAIL and RCPT under the session's permit, without DATA.
    ///
    /// # Errors
    /// [`ProbeFailure`]: why the host gave no reply to RCPT.
    pub(super) async fn ask(
        &mut self,
        courier: &Courier,
        connector: &Outbound,
        (reverse_path, to): (&ReversePath, &Mailbox),
        need: Need<'_>,
    ) -> Result<TransactionResult, ProbeFailure> {
        // Held until the last reply, and before the table is read: a stricter one either waits for it or is seen by it.
        let _guard =
            self.enter(&courier.live, connector, std::iter::once((to, None)), need.arrived_by(connector));
        let (utf8, dsn) = (!reverse_path.is_ascii() || !to.is_ascii(), MessageDsn::default());
        let mail =
            MailFrom { reverse_path, body: BodyType::SevenBit, size: 0, utf8, originator: None, dsn: &dsn };
        let table = courier.live.table();
        if !need.is_served(&table, connector) {
            return Err(ProbeFailure::Elsewhere);
        }
        let (generation, asked) = (table.generation, RecipientDsn::default());
        let onward = need.onward().level;
        let begin = |session: &mut Self| {
            let (requirement, revision) = (&session.requirement, connector.revision);
            let demand = Demand { requirement, revision, generation, onward };
            let recipients = std::iter::once((to, &asked));
            session.smtp.ask(&mail, recipients, &demand, &mut session.connection.out)
        };
        let mut begun = begin(self);
        if matches!(begun, Err(NotBegun::NotCovered(NotCovered::Stale)))
            && self.rejudge(connector, self.requirement.clone(), generation)
        {
            begun = begin(self);
        }
        begun.map_err(ProbeFailure::NotBegun)?;
        self.used = self.used.saturating_add(1);
        match self.connection.event(&mut self.smtp, &courier.settings.timeouts).await {
            Ok(OpenEvent::Done(finished)) => Ok(finished),
            Ok(OpenEvent::Closing(reply)) => Err(ProbeFailure::Closing(reply)),
            Ok(OpenEvent::SendContent) => {
                let fault = LinkFault::Garbled("content was asked for that was not announced".to_owned());
                Err(ProbeFailure::Lost(fault))
            }
            Err(interruption) => Err(ProbeFailure::Lost(interruption.into_link())),
        }
    }
}

/// Why a host gave no answer about a recipient.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeFailure {
    /// The connector no longer serves the recipient.
    #[error("the connector table has changed")]
    Elsewhere,
    /// The transaction could not be started.
    #[error(transparent)]
    NotBegun(NotBegun),
    /// The host closed the session.
    #[error("the host closed the session: {0}")]
    Closing(Reply),
    /// The session ended before RCPT was answered.
    #[error("the session ended before RCPT was answered")]
    Lost(LinkFault),
}

/// Whether a connector sends in plaintext what it can't send over TLS.
fn goes_clear(connector: &Outbound) -> bool {
    !connector.is_enforced() && connector.on_handshake_failure != OnHandshakeFailure::Defer
}

fn reply_to(asked: Result<TransactionResult, ProbeFailure>) -> Result<RecipientReply, String> {
    match asked {
        Ok(finished) => {
            let refused = finished.recipients.into_iter().next().flatten();
            Ok(finished.mail.or(refused).map_or(RecipientReply::Taken, RecipientReply::Refused))
        }
        Err(ProbeFailure::Closing(reply)) => Ok(RecipientReply::Refused(reply)),
        Err(fault @ (ProbeFailure::Elsewhere | ProbeFailure::NotBegun(_) | ProbeFailure::Lost(_))) => {
            Err(fault.to_string())
        }
    }
}

fn refused(
    made: impl Fn(bool, String, Option<Arc<Decision>>, Option<RecipientReply>) -> HostReport,
    outcome: Outcome,
) -> HostReport {
    match outcome {
        Outcome::Deferred(trouble) | Outcome::Failed(trouble) => {
            let unmet = trouble.decision.as_deref().filter(|_| trouble.cause == Cause::Requirement);
            let shortfall = unmet.and_then(Decision::shortfall).map(ToString::to_string);
            let hint = trouble.hint();
            HostReport { hint, ..made(false, shortfall.unwrap_or(trouble.reason), trouble.decision, None) }
        }
        Outcome::Delivered(delivered) => made(true, String::new(), Some(delivered.decision), None),
    }
}

/// Smart hosts without an address, when others have one.
fn without_address(way: &Way, candidates: &[Candidate]) -> Vec<HostReport> {
    let NextHop::SmartHosts(hosts) = &way.connector.next_hop else { return Vec::new() };
    hosts
        .iter()
        .filter(|host| !candidates.iter().any(|c| c.smart.as_ref() == Some(&host.name)))
        .map(|host| match &host.name {
            SmartHostName::Name(name) => {
                untried(name.as_str(), "it has no address, or is this host".to_owned())
            }
            SmartHostName::Ip(ip) => {
                untried(&ip.to_string(), "it is this host, or no host's address".to_owned())
            }
        })
        .collect()
}

fn untried(host: &str, reason: String) -> HostReport {
    HostReport {
        name: None,
        host: host.to_owned(),
        ok: false,
        reason,
        decision: None,
        recipient: None,
        banner: None,
        hint: None,
    }
}
