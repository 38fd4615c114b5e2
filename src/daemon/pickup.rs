//! Picks up what programs left in the drop directory, and submits it to our own listener, where it passes as any other
//! mail of this machine does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::listen::settings::{Listener, ListenerTls, Settings};
use crate::mail::{Clock, Domain, UnixMillis};
use crate::submit::{
    Client, DropDir, DropFault, DropFile, FileEnd, LocalMessage, PublishedListener, Rotation,
    SubmittedEnvelope, is_expired, refusal_report, submit_in_parts,
};
use crate::tracking::{AlarmTopic, Event, Journal};

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

/// What is remembered between rounds.
#[derive(Default)]
struct PickupMemory {
    rotation: Rotation,
    /// The listener is published until the directory fails.
    published: bool,
    /// When to publish again after a fault.
    publish_at: Option<Instant>,
    /// The fault of the last attempt to publish, which had its alarm.
    unpublished: Option<String>,
}

/// Whether a sender got a report.
enum RefusalReport {
    /// It was accepted, or none is needed.
    Accepted,
    /// It was not accepted for now.
    Deferred(String),
    /// There is nobody to notify; this was refused.
    Impossible(String),
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
        let mut memory = PickupMemory::default();
        let mut wait = Duration::ZERO;
        let mut trouble: Option<String> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            let (looking, ending, mut remembered) = (Arc::clone(&this), stop.clone(), memory);
            let round = tokio::task::spawn_blocking(move || {
                let round = looking.round(&mut remembered, &ending);
                (round, remembered)
            });
            // Whoever waits for the listener's answer gets it: the listener ends its sessions too.
            let Ok((round, remembered)) = round.await else {
                (memory, wait) = (PickupMemory::default(), EVERY_IN_TROUBLE);
                continue;
            };
            memory = remembered;
            wait = round.as_ref().map_or(EVERY_IN_TROUBLE, |wait| *wait);
            let now = round.err();
            if let Some(fault) = now.as_ref().filter(|_| now != trouble) {
                this.alarm(&format!("the drop directory {} can't be used: {fault}", this.folder.display()));
            }
            trouble = now;
        }
    }

    /// One look at the directory. Answers how long to wait for the next.
    fn round(&self, memory: &mut PickupMemory, stop: &CancellationToken) -> Result<Duration, String> {
        let began = Instant::now();
        let drop = match DropDir::open_own(&self.folder) {
            Ok(drop) => drop,
            Err(fault) => {
                memory.published = false;
                return if self.named { Err(fault.to_string()) } else { Ok(EVERY_IN_TROUBLE) };
            }
        };
        self.publish(&drop, memory, began);
        let mut look = memory.rotation.look(began);
        drop.look(&mut look, Clock::wall().0 / 1000).map_err(|fault| fault.to_string())?;
        let (files, mut more) = look.in_turn();
        let (looked, started) = (began.elapsed(), Instant::now());
        let Some(listener) = self.listener else {
            return if files.is_empty() { Ok(EVERY) } else { Err(NO_LISTENER.to_owned()) };
        };
        for file in files {
            if stop.is_cancelled() || started.elapsed() > ROUND_MAX {
                more = true;
                break;
            }
            memory.rotation.begin(&file);
            self.pick_up(&drop, &file, listener, &mut memory.rotation);
        }
        for (uid, count, why) in memory.rotation.late(Instant::now()) {
            let folder = self.folder.display();
            self.alarm(&format!(
                "files of the user {uid} in {folder} can't be submitted: {count}; the first: {why}"
            ));
        }
        // A directory full of files must not keep a processor busy.
        Ok(if more { looked } else { EVERY.max(looked.saturating_mul(10)) })
    }

    /// A fault only leaves programs without the listener's address: mail is picked up all the same.
    fn publish(&self, drop: &DropDir, memory: &mut PickupMemory, now: Instant) {
        if memory.published || memory.publish_at.is_some_and(|at| at > now) {
            return;
        }
        let listener = PublishedListener { name: self.name.to_string(), listener: self.listener };
        let fault = drop.publish(&listener).err().map(|fault| fault.to_string());
        memory.published = fault.is_none();
        memory.publish_at = now.checked_add(EVERY_IN_TROUBLE);
        if let Some(fault) = fault.as_ref().filter(|fault| Some(*fault) != memory.unpublished.as_ref()) {
            let folder = self.folder.display();
            self.alarm(&format!("the file listener can't be written in {folder}: {fault}"));
        }
        memory.unpublished = fault;
    }

    /// Submits a file. Whatever is wrong with it concerns no other.
    fn pick_up(&self, drop: &DropDir, file: &DropFile, listener: SocketAddr, rotation: &mut Rotation) {
        match rotation.end(&file.name) {
            Some(FileEnd::Removal) => return self.remove(drop, file, rotation),
            Some(FileEnd::Aside) => return self.set_aside(drop, file, "as reported before", rotation),
            None => {}
        }
        let message = match drop.read(&file.name, self.octets_max) {
            Ok(message) => message,
            Err(DropFault::Gone) => return rotation.forget(&file.name),
            Err(DropFault::Damage(damage)) => {
                return self.set_aside(drop, file, &damage.to_string(), rotation);
            }
            Err(fault @ DropFault::System(_)) => return defer(file, fault.to_string(), rotation),
        };
        let now = Clock::wall();
        let mut parts = submit_in_parts(listener, &self.name, &message);
        if is_expired(file, rotation.failures(&file.name), now.0 / 1000) {
            let expired = parts
                .deferred
                .drain(..)
                .map(|(to, why)| (to, format!("not accepted in 5 days; last: {why}")));
            parts.refused.extend(expired);
        }
        let mut why = parts.deferred.first().map(|(to, why)| format!("{to}: {why}"));
        let mut rest = parts.unasked;
        rest.extend(parts.deferred.into_iter().map(|(to, _)| to));
        match self.report(listener, &message, &parts.refused, now) {
            RefusalReport::Accepted => {}
            RefusalReport::Deferred(fault) => {
                rest.extend(parts.refused.into_iter().map(|(to, _)| to));
                why = Some(fault);
            }
            RefusalReport::Impossible(refused) if parts.taken == 0 && rest.is_empty() => {
                return self.set_aside(drop, file, &refused, rotation);
            }
            // The others have it, or will.
            RefusalReport::Impossible(refused) => {
                self.alarm(&format!("a message from the drop directory was {refused}"));
            }
        }
        if rest.is_empty() {
            tracing::info!(file = %file.name, uid = file.uid, "picked up a message from the drop directory");
            return self.remove(drop, file, rotation);
        }
        if rest.len() < message.envelope.recipients.len()
            && !self.keep_rest(drop, file, message, rest, rotation)
        {
            return;
        }
        match why {
            Some(why) => defer(file, why, rotation),
            // It only has more recipients than one turn takes.
            None => rotation.forget(&file.name),
        }
    }

    /// Leaves in a file the recipients who have not got it. If it can't be written, the file is set aside: those who have
    /// it would get it again.
    fn keep_rest(
        &self,
        drop: &DropDir,
        file: &DropFile,
        message: LocalMessage,
        rest: Vec<String>,
        rotation: &mut Rotation,
    ) -> bool {
        let words = rest.join(", ");
        let envelope = SubmittedEnvelope { recipients: rest, ..message.envelope };
        let written = drop.replace(file, &LocalMessage { envelope, content: message.content });
        if let Err(fault) = &written {
            let why = format!("others have it, these have not: {words}; and that can't be written: {fault}");
            self.set_aside(drop, file, &why, rotation);
        }
        written.is_ok()
    }

    /// Notifies the sender of recipients that are refused.
    fn report(
        &self,
        listener: SocketAddr,
        message: &LocalMessage,
        refused: &[(String, String)],
        now: UnixMillis,
    ) -> RefusalReport {
        if refused.is_empty() {
            return RefusalReport::Accepted;
        }
        if !message.envelope.notify_of_failures() {
            let said: Vec<String> = refused.iter().map(|(to, reply)| format!("{to}: {reply}")).collect();
            tracing::warn!(refused = %said.join("; "), "refused, and the sender wants no report of failures");
            return RefusalReport::Accepted;
        }
        let report = refusal_report(message, refused, &self.name, now);
        match report.map(|report| Client::connect(listener, &self.name)?.submit(&report)) {
            Some(Ok(_)) => return RefusalReport::Accepted,
            Some(Err(fault)) if !fault.is_permanent() => return RefusalReport::Deferred(fault.to_string()),
            Some(Err(_)) | None => {}
        }
        let words: Vec<String> = refused.iter().map(|(to, reply)| format!("{to}: {reply}")).collect();
        RefusalReport::Impossible(format!("refused, and no sender can be notified: {}", words.join("; ")))
    }

    fn remove(&self, drop: &DropDir, file: &DropFile, rotation: &mut Rotation) {
        let Err(fault) = drop.remove(&file.name) else { return rotation.forget(&file.name) };
        let what =
            format!("{}/{} is submitted and can't be removed: {fault}", self.folder.display(), file.name);
        let again = rotation.end(&file.name).is_some();
        rotation.defer_end(file, FileEnd::Removal, fault.to_string(), Instant::now());
        if !again {
            self.alarm(&what);
        }
    }

    fn set_aside(&self, drop: &DropDir, file: &DropFile, why: &str, rotation: &mut Rotation) {
        let (folder, name) = (self.folder.display(), &file.name);
        match drop.set_aside(name) {
            Ok(aside) => {
                self.alarm(&format!("{folder}/{name} can't be submitted and is kept as {aside}: {why}"));
                rotation.forget(name);
            }
            // Its owner has removed it.
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => rotation.forget(name),
            Err(fault) => {
                let again = rotation.end(name).is_some();
                rotation.defer_end(file, FileEnd::Aside, fault.to_string(), Instant::now());
                if !again {
                    self.alarm(&format!(
                        "{folder}/{name} can't be submitted ({why}), nor set aside: {fault}"
                    ));
                }
            }
        }
    }

    fn alarm(&self, what: &str) {
        self.journal.record(&Event::Alarm { topic: AlarmTopic::Other, what });
    }
}

fn defer(file: &DropFile, why: String, rotation: &mut Rotation) {
    tracing::warn!(file = %file.name, uid = file.uid, fault = %why, "a message stays in the drop directory");
    rotation.defer(file, why, Instant::now());
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
/// Of one round, without the look; then the directory is looked at again, for those whose turn it is.
const ROUND_MAX: Duration = Duration::from_secs(10);
const NO_LISTENER: &str = "no listener accepts mail from this machine in plaintext";
/// Octets of a file's first line.
const ENVELOPE_BYTES_MAX: u64 = 1 << 20;
