//! The way of a connector tried without a message: each of its hosts, up to the judgement.

use std::sync::Arc;

use super::Courier;
use super::link::{Miss, Wanted};
use crate::connector::Decision;
use crate::mail::Domain;
use crate::outcome::{Outcome, Trouble};
use crate::scheduler::Way;

/// What one address of a way came to.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The host's name, if it has one.
    pub name: Option<Domain>,
    /// Name, address and port.
    pub host: String,
    /// Whether mail may be sent there.
    pub ok: bool,
    /// One sentence.
    pub reason: String,
    /// The decision of the connector, where it came to one.
    pub decision: Option<Arc<Decision>>,
}

impl Courier {
    /// Opens a session with every address of a way, has it judged as a delivery would, and says QUIT.
    /// No envelope is written.
    ///
    /// # Errors
    /// Why there is no address to try.
    pub async fn validate(&self, way: &Way) -> Result<Vec<Seen>, Trouble> {
        let candidates = match self.candidates(way).await {
            Ok(candidates) => candidates,
            Err(Outcome::Deferred(trouble) | Outcome::Failed(trouble)) => return Err(trouble),
            // Looking for hosts delivers nothing.
            Err(Outcome::Delivered(_)) => return Ok(Vec::new()),
        };
        let mut all = Vec::with_capacity(candidates.len());
        for candidate in &candidates {
            let wanted = Wanted { way, candidate, recipients: &[], after: None };
            let (ok, reason, decision) = match self.open(wanted).await {
                Ok(link) => {
                    let decision = Arc::clone(&link.decision);
                    link.line.quit().await;
                    (true, decision.reason.clone(), Some(decision))
                }
                Err(Miss::Broken(_, outcome) | Miss::Other(outcome)) => match outcome {
                    Outcome::Deferred(trouble) | Outcome::Failed(trouble) => {
                        (false, trouble.reason, trouble.decision)
                    }
                    Outcome::Delivered(delivered) => (true, String::new(), Some(delivered.decision)),
                },
            };
            all.push(Seen { name: candidate.name.clone(), host: candidate.host(), ok, reason, decision });
        }
        Ok(all)
    }
}
