//! The way of a connector tried without a message: each of its hosts, up to the judgement, and if
//! asked for up to the answer to RCPT.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Courier;
use super::link::{Link, Miss, Wanted};
use super::seek::Candidate;
use crate::connector::{Decision, HandshakeFault, NextHop, OnHandshakeFailure, SmartHostName};
use crate::mail::{BodyType, Domain, Mailbox, MessageDsn, RecipientDsn, Reply, ReversePath};
use crate::outcome::{Outcome, Trouble};
use crate::scheduler::Way;
use crate::smtp::{Demand, MailFrom, SendEvent};

/// What one address of a way came to.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The host's name, if it has one.
    pub name: Option<Domain>,
    /// Name, address and port.
    pub host: String,
    /// Whether mail may be sent there, and the requirement is met, be it enforced or not.
    pub ok: bool,
    /// One sentence.
    pub reason: String,
    /// The decision of the connector, where it came to one.
    pub decision: Option<Arc<Decision>>,
    /// What was said to the recipient that was asked about.
    pub recipient: Option<Asked>,
    /// What it greeted with.
    pub banner: Option<String>,
}

/// What a host says to a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It takes mail for it.
    Taken,
    /// It does not, or not now, or not from the sender: its reply.
    Refused(Reply),
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Taken => f.write_str("taken"),
            Self::Refused(reply) => reply.fmt(f),
        }
    }
}

/// What is tried.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The connector and the recipient domain.
    pub way: Way,
    /// Sender and recipient of an envelope that is begun, and never followed by content.
    pub envelope: Option<(ReversePath, Mailbox)>,
    /// How long one address may take in all.
    pub limit: Duration,
}

/// Addresses tried side by side.
const AT_ONCE: usize = 8;

impl Courier {
    /// Opens a session with every address of a way, has it judged as a delivery would, and says QUIT.
    /// No content is sent. Where handshakes broke and the connector then sends in clear, that is
    /// tried too.
    ///
    /// # Errors
    /// Why there is no address to try.
    pub async fn validate(self: Arc<Self>, trial: Trial) -> Result<Vec<Seen>, Trouble> {
        let candidates = match self.candidates(&trial.way).await {
            Ok(candidates) => candidates,
            Err(Outcome::Deferred(trouble) | Outcome::Failed(trouble)) => return Err(trouble),
            // Looking for hosts delivers nothing.
            Err(Outcome::Delivered(_)) => return Ok(Vec::new()),
        };
        let cut = candidates.len() >= self.settings.addresses_max;
        // Of a list that was cut it is not known who has none.
        let missing = if cut { Vec::new() } else { without_address(&trial.way, &candidates) };
        let trial = Arc::new(trial);
        let mut running = JoinSet::new();
        let seats = Arc::new(Semaphore::new(AT_ONCE));
        for (number, candidate) in candidates.into_iter().enumerate() {
            let (courier, trial, seats) = (Arc::clone(&self), Arc::clone(&trial), Arc::clone(&seats));
            running.spawn(async move {
                let _seat = seats.acquire_owned().await;
                let (seen, broken) = courier.try_one(&trial, &candidate, None).await;
                (number, candidate, seen, broken)
            });
        }
        let mut all = running.join_all().await;
        all.sort_by_key(|(number, ..)| *number);
        let connector = &trial.way.connector;
        let clear = !connector.is_enforced() && connector.on_handshake_failure != OnHandshakeFailure::Defer;
        if clear && !all.iter().any(|(_, _, seen, _)| seen.ok) {
            for (_, candidate, seen, broken) in &mut all {
                let Some(fault) = broken.take() else { continue };
                *seen = self.try_one(&trial, candidate, Some(fault)).await.0;
            }
        }
        let mut seen: Vec<Seen> = all.into_iter().map(|(_, _, seen, _)| seen).collect();
        seen.extend(missing);
        if cut {
            // A note, no fault: a delivery does the same.
            let words =
                format!("there may be more: only {} addresses are tried", self.settings.addresses_max);
            seen.push(Seen { ok: true, ..untried("-", words) });
        }
        Ok(seen)
    }

    /// One address; the fault if its handshake broke in a way after which mail may go in clear.
    async fn try_one(
        &self,
        trial: &Trial,
        candidate: &Candidate,
        after: Option<HandshakeFault>,
    ) -> (Seen, Option<HandshakeFault>) {
        let host = candidate.host();
        let made = |ok, reason: String, decision, recipient| Seen {
            name: candidate.name.clone(),
            host: host.clone(),
            ok,
            reason,
            decision,
            recipient,
            banner: None,
        };
        let banner = Mutex::new(None);
        let wanted = Wanted {
            way: &trial.way,
            candidate,
            recipients: &[],
            after,
            banner: Some(&banner),
            progress: None,
        };
        let one = async {
            match self.open(wanted).await {
                Ok(mut link) => {
                    let decision = Arc::clone(&link.decision);
                    let recipient = match &trial.envelope {
                        None => None,
                        Some((from, to)) => Some(self.ask(&mut link, &trial.way, from, to).await),
                    };
                    link.line.quit().await;
                    let rehearsed = decision.rehearsed();
                    let (ok, reason) = match &recipient {
                        Some(Err(why)) => (false, why.clone()),
                        Some(Ok(Asked::Refused(reply))) => {
                            (false, format!("the recipient is not taken: {reply}"))
                        }
                        Some(Ok(Asked::Taken)) | None => match rehearsed {
                            Some(shortfall) => (false, shortfall.to_owned()),
                            None => (true, decision.reason.clone()),
                        },
                    };
                    (made(ok, reason, Some(decision), recipient.and_then(Result::ok)), None)
                }
                Err(Miss::Broken(fault, outcome)) => (refused(made, outcome), Some(fault)),
                Err(Miss::Other(outcome)) => (refused(made, outcome), None),
            }
        };
        let done = timeout(trial.limit, one).await;
        let (mut seen, broken) = done.unwrap_or_else(|_| {
            (made(false, format!("not done in {} s", trial.limit.as_secs()), None, None), None)
        });
        seen.banner = banner.into_inner().unwrap_or_else(PoisonError::into_inner);
        (seen, broken)
    }

    /// What the host says to a recipient: MAIL and RCPT under the session's permit, and no DATA.
    async fn ask(
        &self,
        link: &mut Link,
        way: &Way,
        from: &ReversePath,
        to: &Mailbox,
    ) -> Result<Asked, String> {
        let utf8 = !from.is_ascii() || !to.is_ascii();
        let dsn = RecipientDsn::default();
        let mail = MailFrom {
            reverse_path: from,
            body: BodyType::SevenBit,
            size: 0,
            utf8,
            dsn: &MessageDsn::default(),
        };
        let demand = Demand {
            requirement: &link.requirement,
            revision: way.connector.revision,
            generation: self.live.generation(),
            onward_sealed: false,
        };
        let begun = link.line.session.ask(&mail, std::iter::once((to, &dsn)), &demand, &mut link.line.out);
        begun.map_err(|fault| fault.to_string())?;
        match link.line.event(&self.settings.timeouts).await {
            Ok(SendEvent::Done(finished)) => {
                let refused = finished.recipients.into_iter().next().flatten();
                Ok(finished.mail.or(refused).map_or(Asked::Taken, Asked::Refused))
            }
            Ok(SendEvent::Closing(reply)) => Ok(Asked::Refused(reply)),
            Ok(_) | Err(_) => Err("the session ended before RCPT was answered".to_owned()),
        }
    }
}

fn refused(
    made: impl Fn(bool, String, Option<Arc<Decision>>, Option<Asked>) -> Seen,
    outcome: Outcome,
) -> Seen {
    match outcome {
        Outcome::Deferred(trouble) | Outcome::Failed(trouble) => {
            made(false, trouble.reason, trouble.decision, None)
        }
        Outcome::Delivered(delivered) => made(true, String::new(), Some(delivered.decision), None),
    }
}

/// Smart hosts that no address was found for, while others have one.
fn without_address(way: &Way, candidates: &[Candidate]) -> Vec<Seen> {
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

fn untried(host: &str, reason: String) -> Seen {
    Seen {
        name: None,
        host: host.to_owned(),
        ok: false,
        reason,
        decision: None,
        recipient: None,
        banner: None,
    }
}
