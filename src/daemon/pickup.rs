//! Picks up what programs left in the drop directory, and submits it to our own listener, where it passes as any other
//! mail of this machine does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::listen::settings::{Listener, ListenerTls, Settings};
use crate::mail::{Clock, Domain, UnixMillis};
use crate::submit::{Client, DropDir, LocalMessage, PublishedListener, SubmitFault, refusal_report};
use crate::tracking::{Event, Journal};

/// What is needed to pick up mail.
pub(super) struct Pickup {
    folder: PathBuf,
    /// The configuration names the folder: it is missed if it is not there.
    named: bool,
    name: Domain,
    listener: Option<SocketAddr>,
    octets_max: u64,
    journal: Arc<Journal>,
}

/// What a look at the directory came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Nothing is left to pick up.
    Done,
    /// Something was not accepted for now.
    Waits,
}

impl Pickup {
    /// For the folder of a configuration, and the listeners that are open.
    pub(super) fn new(
        (folder, named): (PathBuf, bool),
        settings: &Settings,
        listening: &[(String, SocketAddr)],
        journal: &Arc<Journal>,
    ) -> Self {
        let (name, listener) = (settings.name.clone(), local(&settings.listeners, listening));
        let octets_max = settings.limits.message_bytes_max.saturating_add(ENVELOPE_BYTES_MAX);
        Self { folder, named, name, listener, octets_max, journal: Arc::clone(journal) }
    }

    /// Publishes the listener, and picks up what comes, until `stop`.
    pub(super) async fn keep(self, stop: CancellationToken) {
        let this = Arc::new(self);
        let mut wait = Duration::ZERO;
        let mut trouble: Option<String> = None;
        let mut published = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            let (looking, ending) = (Arc::clone(&this), stop.clone());
            let round = tokio::task::spawn_blocking(move || looking.round(published, &ending));
            // Whoever waits for the listener's answer gets it: the listener ends its sessions too.
            let Ok(round) = round.await else { continue };
            published = round.is_ok();
            wait = match &round {
                Ok(Round::Done) => EVERY,
                Ok(Round::Waits) | Err(_) => EVERY_IN_TROUBLE,
            };
            let now = round.err().map(|fault| fault.to_string());
            if let Some(fault) = now.as_ref().filter(|_| this.named && now != trouble) {
                let what = format!("the drop directory {} can't be used: {fault}", this.folder.display());
                this.journal.record(&Event::Alarm { what: &what });
            }
            trouble = now;
        }
    }

    fn round(&self, published: bool, stop: &CancellationToken) -> io::Result<Round> {
        let drop = DropDir::open_own(&self.folder)?;
        if !published {
            let listener = PublishedListener { name: self.name.to_string(), listener: self.listener };
            drop.publish(&listener)?;
        }
        let now = Clock::wall();
        let mut round = Round::Done;
        for name in drop.names(now.0 / 1000)? {
            if stop.is_cancelled() {
                break;
            }
            let (submission, uid) = match drop.read(&name, self.octets_max) {
                Ok(read) => read,
                Err(damage) => {
                    self.set_aside(&drop, &name, &damage.to_string());
                    continue;
                }
            };
            match self.submit(&submission, now) {
                Ok(None) => {
                    tracing::info!(file = %name, uid, "picked up a message from the drop directory");
                    drop.remove(&name)?;
                }
                Ok(Some(why)) => self.set_aside(&drop, &name, &why),
                Err(fault) => {
                    tracing::warn!(file = %name, %fault, "a message stays in the drop directory");
                    round = Round::Waits;
                }
            }
        }
        Ok(round)
    }

    /// Submits a message. Its sender gets a report about recipients that are refused. The answer is why it must be set
    /// aside, if it must: nobody has it, and nobody can be notified.
    fn submit(&self, submission: &LocalMessage, now: UnixMillis) -> Result<Option<String>, SubmitFault> {
        let missing =
            || io::Error::new(io::ErrorKind::AddrNotAvailable, "there is no local listener in plaintext");
        let listener = self.listener.ok_or_else(|| SubmitFault::Lost(missing()))?;
        let recipients = &submission.envelope.recipients;
        let refused = match Client::connect(listener, &self.name)?.submit_to_some(submission) {
            Ok(refused) if refused.is_empty() => return Ok(None),
            Ok(refused) => refused,
            Err(fault) if fault.is_permanent() => {
                let words = fault.to_string();
                recipients.iter().map(|to| (to.clone(), words.clone())).collect()
            }
            Err(fault) => return Err(fault),
        };
        let nobody_has_it = refused.len() == recipients.len();
        let report = refusal_report(submission, &refused, &self.name, now);
        match report.map(|report| Client::connect(listener, &self.name)?.submit(&report)) {
            Some(Ok(_)) => return Ok(None),
            Some(Err(fault)) if nobody_has_it && !fault.is_permanent() => return Err(fault),
            Some(Err(_)) | None => {}
        }
        let words: Vec<String> = refused.iter().map(|(to, reply)| format!("{to}: {reply}")).collect();
        let why = format!("refused, and no sender can be notified: {}", words.join("; "));
        if nobody_has_it {
            return Ok(Some(why));
        }
        // The others have it, so it must not be submitted again.
        let what = format!("a message from the drop directory was {why}");
        self.journal.record(&Event::Alarm { what: &what });
        Ok(None)
    }

    fn set_aside(&self, drop: &DropDir, name: &str, why: &str) {
        let folder = self.folder.display();
        let what = match drop.set_aside(name) {
            Ok(aside) => format!("{folder}/{name} can't be submitted and is kept as {aside}: {why}"),
            Err(fault) => format!("{folder}/{name} can't be submitted ({why}), nor set aside: {fault}"),
        };
        self.journal.record(&Event::Alarm { what: &what });
    }
}

/// The listener for mail of this machine: one without a need for TLS, on loopback if there is one.
fn local(listeners: &[Listener], listening: &[(String, SocketAddr)]) -> Option<SocketAddr> {
    let in_clear = |name: &str| {
        listeners
            .iter()
            .any(|one| one.name == name && matches!(one.tls, ListenerTls::Off | ListenerTls::StartTls))
    };
    let open = listening.iter().filter(|(name, _)| in_clear(name)).map(|(_, address)| match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => *address,
    });
    open.min_by_key(|address: &SocketAddr| !address.ip().is_loopback())
}

/// How often the directory is looked at: it is one system call, and mail there has waited for a start before.
const EVERY: Duration = Duration::from_secs(1);
const EVERY_IN_TROUBLE: Duration = Duration::from_secs(10);
/// Octets of a file's first line.
const ENVELOPE_BYTES_MAX: u64 = 1 << 20;
