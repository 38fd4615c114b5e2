//! Reloads the configuration: either all changes take effect or none do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::task::{JoinError, JoinHandle};

use super::announce::{alarms_of, announce_reload, notify, tell_reloaded};
use super::braking::Braking;
use super::connectors::{Sighting, Words, views};
use super::overrides::{OverrideEnd, Overrides};
use super::paused::PauseFile;
use super::print::{Print, print};
use super::setups::{self, ListenerOffers};
use super::{StartFault, changes, expiry, loosened, validated};
use crate::admin::{
    AlarmKind, Alarms, Connectors, DrainReport, KeepAnswer, Operator, OverrideAnswer, OverrideRequest,
    PartnerView, PauseAnswer, ReleaseAnswer, ReloadAnswer, ReloadFailure, Tokens, Validation,
    WaitingByConnector,
};
use crate::alert::AlertSettings;
use crate::config::{self, Config, Faults};
use crate::connector::{DrainTally, Generation, LiveTable, Override, Table};
use crate::deliver::ClientSetups;
use crate::listen::settings::ListenerTls;
use crate::listen::{SeenPeers, ServerSetups};
use crate::mail::{Clock, UnixMillis, rfc3339};
use crate::retrieve::TrustById;
use crate::scheduler::{LaneView, Scheduler};
use crate::tls::Identity;
use crate::tracking::{Event, Journal};

/// Reloads connectors, certificates and trust anchors from the files.
pub struct Reloader {
    first: First,
    pub(super) in_use: ArcSwap<InUse>,
    pub(super) live: Arc<LiveTable>,
    scheduler: Arc<Scheduler>,
    pub(super) journal: Arc<Journal>,
    paused: PauseFile,
    seen: SeenPeers,
    pub(super) braking: Arc<Braking>,
    pub(super) alarms: Arc<Alarms>,
    overrides: Overrides,
    /// One reload at a time: each table has its own generation, and its TLS setups belong to it.
    pub(super) alone: tokio::sync::Mutex<()>,
    known: Mutex<FileStamps>,
}

/// What the first configuration provides before anything is started.
pub(super) struct First {
    pub(super) client_setups: Arc<ClientSetups>,
    pub(super) server_setups: Arc<ServerSetups>,
    /// The trust sets in effect, for whoever fetches their revocation lists.
    pub(super) sets: Arc<ArcSwap<TrustById>>,
    /// The tokens of the admin listener.
    tokens: Arc<ArcSwap<Tokens>>,
    /// The alarms, and who hears of them.
    pub(super) alarms: Arc<Alarms>,
    pub(super) alerts: Arc<ArcSwap<AlertSettings>>,
    /// The listeners and their TLS modes, which do not change.
    open: Vec<(String, ListenerTls)>,
    /// The whole configuration, as `check` prints it.
    booted: Value,
    in_use: InUse,
}

impl First {
    pub(super) fn of(config: &Config, base: Arc<Config>) -> Result<Self, StartFault> {
        let open: Vec<_> = config.listen.listeners.iter().map(|one| (one.name.clone(), one.tls)).collect();
        let shown = setups::shown(config, &open, &ListenerOffers::new());
        let servers = BTreeMap::from([(Generation(1), Arc::new(setups::servers(config, &shown)?))]);
        Ok(Self {
            client_setups: Arc::new(ArcSwap::from_pointee(setups::clients(config)?)),
            server_setups: Arc::new(ServerSetups::from_pointee(servers)),
            sets: Arc::new(ArcSwap::from_pointee(config.trust.clone())),
            tokens: Arc::new(ArcSwap::from_pointee(tokens_of(config))),
            alarms: Arc::default(),
            alerts: Arc::new(ArcSwap::from_pointee(config.alerts.clone())),
            open,
            booted: config.in_force(),
            in_use: InUse::of(config, base, shown),
        })
    }
}

/// The parts of a configuration that are needed after it took effect.
#[derive(Clone)]
pub(super) struct InUse {
    /// The configuration without overrides.
    base: Arc<Config>,
    file: PathBuf,
    files: Vec<PathBuf>,
    data_dir: PathBuf,
    pub(super) identities: BTreeMap<String, Arc<Identity>>,
    /// When the successor of a certificate takes over.
    pub(super) staged: BTreeMap<String, UnixMillis>,
    pub(super) trust: TrustById,
    shown: ListenerOffers,
    words: Arc<Words>,
}

/// The state of the files before the last attempt, and whether it failed.
struct FileStamps {
    print: Print,
    failed: bool,
}

/// Transactions that are no longer allowed, on their way to an end.
pub(super) type Draining = JoinHandle<Option<DrainReport>>;

/// The reason for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// An operator asked for it: errors are reported at once.
    Asked,
    /// The files have changed: errors are reported only if they stay.
    Change,
    /// The errors stayed: reported once.
    StillBroken,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadFault {
    /// The configuration, or a file it names, has errors.
    #[error(transparent)]
    Config(#[from] Faults),
    /// The TLS library rejects the settings.
    #[error(transparent)]
    Setup(#[from] StartFault),
    /// The task that reads the files failed.
    #[error("reading the files was interrupted: {0}")]
    Read(#[from] JoinError),
}

impl ReloadFault {
    /// The errors, each with its position.
    fn list(&self) -> Vec<String> {
        match self {
            Self::Config(faults) => faults.list().iter().map(ToString::to_string).collect(),
            Self::Setup(_) | Self::Read(_) => vec![self.to_string()],
        }
    }
}

impl InUse {
    pub(super) fn of(config: &Config, base: Arc<Config>, shown: ListenerOffers) -> Self {
        Self {
            base,
            file: config.file.clone(),
            files: config.files.clone(),
            data_dir: config.data_dir.clone(),
            identities: config.identities.clone(),
            staged: config.staged.clone(),
            trust: config.trust.clone(),
            shown,
            words: Arc::new(Words::of(&config.in_force())),
        }
    }
}

impl Reloader {
    pub(super) fn new(
        first: First,
        live: Arc<LiveTable>,
        scheduler: Arc<Scheduler>,
        (journal, seen): (Arc<Journal>, SeenPeers),
        (paused, braking, overrides): (PauseFile, Arc<Braking>, Overrides),
    ) -> Self {
        let known = FileStamps { print: print(&first.in_use.files), failed: false };
        Self {
            in_use: ArcSwap::from_pointee(first.in_use.clone()),
            alarms: Arc::clone(&first.alarms),
            first,
            live,
            scheduler,
            journal,
            paused,
            seen,
            braking,
            overrides,
            alone: tokio::sync::Mutex::new(()),
            known: Mutex::new(known),
        }
    }

    pub(super) fn alarms(&self) -> Arc<Alarms> {
        Arc::clone(&self.alarms)
    }

    pub(super) fn tokens(&self) -> Arc<ArcSwap<Tokens>> {
        Arc::clone(&self.first.tokens)
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.in_use.load().data_dir.clone()
    }

    /// The overrides in effect.
    pub(super) fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// The configuration in effect, without overrides.
    pub(super) fn base(&self) -> Arc<Config> {
        Arc::clone(&self.in_use.load().base)
    }

    /// What the files have, and a restart is needed for.
    pub(super) fn needs_restart(&self) -> Vec<String> {
        changes::needs_restart(&self.first.booted, &self.base().in_force())
    }

    pub(super) fn braking(&self) -> Arc<Braking> {
        Arc::clone(&self.braking)
    }

    /// The state of the files before the last attempt, and whether it failed.
    pub(super) fn known(&self) -> (Print, bool) {
        let known = self.lock();
        (known.print.clone(), known.failed)
    }

    /// When the next successor of a certificate takes over, if there is one.
    pub(super) fn next_handover(&self) -> Option<UnixMillis> {
        self.in_use.load().staged.values().min().copied()
    }

    /// Returns once the files are in effect; the transactions that they do not allow end meanwhile. Continues even if
    /// the caller gives up: half a reload would match neither table.
    pub(super) async fn reload_by(
        self: Arc<Self>,
        trigger: Trigger,
    ) -> Result<(ReloadAnswer, Draining), ReloadFailure> {
        let me = Arc::clone(&self);
        let done = tokio::spawn(async move {
            let (answer, limit) = me.attempt(trigger).await?;
            // Outside of the lock: the next reload is not held up by peers of this one.
            Ok((answer, tokio::spawn(me.drain(limit))))
        });
        done.await.unwrap_or_else(|broken| Err(self.refused(&ReloadFault::Read(broken))))
    }

    /// Waits, for a limited time, until no transaction goes on that the table in effect does not allow.
    pub(super) async fn drain(self: Arc<Self>, limit: Duration) -> Option<DrainReport> {
        let live = Arc::clone(&self.live);
        // Each of them is admitted or judged again, which may take a while where there are many.
        let outdated = tokio::task::spawn_blocking(move || live.outdated()).await.ok()?;
        let transactions = outdated.count();
        if transactions == 0 {
            return None;
        }
        let connectors = outdated.connectors();
        tracing::info!(transactions, ?connectors, "waiting for transactions that are no longer allowed");
        let DrainTally { ended, cut, answering } = outdated.drain(&self.live, limit).await;
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let report = DrainReport { transactions, ended, cut, answering, limit_ms, connectors };
        if cut > 0 || answering > 0 {
            tracing::warn!("{report}");
        } else {
            tracing::info!("{report}");
        }
        Some(report)
    }

    async fn attempt(&self, trigger: Trigger) -> Result<(ReloadAnswer, Duration), ReloadFailure> {
        let _alone = self.alone.lock().await;
        if trigger != Trigger::StillBroken {
            announce_reload();
        }
        let done = self.exchange().await;
        if trigger != Trigger::StillBroken {
            notify(&[sd_notify::NotifyState::Ready]);
        }
        match done {
            Ok((reloaded, limit)) => {
                let gone = self.alarms.replace(AlarmKind::Reload, Clock::wall(), Vec::new());
                self.tell_changes(&gone);
                self.tell(&alarms_of(&reloaded));
                self.tell_expiry();
                tell_reloaded(&reloaded, &self.journal);
                Ok((reloaded, limit))
            }
            Err(fault) => {
                self.lock().failed = true;
                let refused = self.refused(&fault);
                self.tell_refused(trigger, &refused);
                Err(refused)
            }
        }
    }

    async fn exchange(&self) -> Result<(ReloadAnswer, Duration), ReloadFault> {
        let in_use = self.in_use.load_full();
        let file = in_use.file.clone();
        let files = in_use.files.clone();
        // Recorded before the files are read, so that a change meanwhile is noticed.
        let (before, loaded) =
            tokio::task::spawn_blocking(move || (print(&files), config::load(&file))).await?;
        self.lock().print.clone_from(&before);
        let base = Arc::new(loaded?);
        let mut seen = print(&base.files);
        seen.extend(before.into_iter().filter(|(file, _)| base.files.contains(file)));
        self.put(base, &self.overrides.list(), Some(seen)).await
    }

    /// Puts a configuration in effect under these overrides; `seen` are its files, if they were read just now. The
    /// caller holds `alone`.
    pub(super) async fn put(
        &self,
        base: Arc<Config>,
        overrides: &[Override],
        seen: Option<Print>,
    ) -> Result<(ReloadAnswer, Duration), ReloadFault> {
        let in_use = self.in_use.load_full();
        let (config, refused) = base.overridden(overrides);
        let last = self.live.table();
        let Generation(number) = last.generation;
        let next = Generation(number.saturating_add(1));
        let table = Arc::new(config.table(next));
        refuse_unmet(&config, &last, &table)?;

        let inherit = || {
            for (id, set) in &config.trust {
                in_use.trust.get(id).into_iter().for_each(|last| set.shelf().inherit(last.shelf()));
            }
        };
        inherit();
        let first = &self.first;
        let clients = setups::clients(&config)?;
        let shown = setups::shown(&config, &first.open, &in_use.shown);
        let servers = Arc::new(setups::servers(&config, &shown)?);
        // From here on nothing fails.
        let mut reloaded = ReloadAnswer {
            loosened_listeners: loosened::listeners(&in_use.shown, &shown),
            ..self.compare(&config, &last, &table).await?
        };

        // Whoever has just read the old table still looks for its setups, so these are removed only after it is
        // replaced.
        let mut both = BTreeMap::clone(&first.client_setups.load());
        both.extend(clients.iter().map(|(revision, setup)| (*revision, Arc::clone(setup))));
        first.client_setups.store(Arc::new(both));
        let mut both = BTreeMap::clone(&first.server_setups.load());
        both.insert(next, Arc::clone(&servers));
        first.server_setups.store(Arc::new(both));
        // The spool stays where it was opened.
        let now = InUse { data_dir: in_use.data_dir.clone(), ..InUse::of(&config, base, shown) };
        self.in_use.store(Arc::new(now));
        first.sets.store(Arc::new(config.trust.clone()));
        first.tokens.store(Arc::new(tokens_of(&config)));
        first.alerts.store(Arc::new(config.alerts.clone()));
        // What was fetched meanwhile is on the last shelf.
        inherit();
        self.live.replace(table);
        first.client_setups.store(Arc::new(clients));
        first.server_setups.store(Arc::new(BTreeMap::from([(next, servers)])));
        self.scheduler.table_replaced().await;
        if let Some(print) = seen {
            *self.lock() = FileStamps { print, failed: false };
        }
        reloaded.warnings.extend(self.drop_overrides(&refused));
        Ok((reloaded, config.drain))
    }

    async fn compare(
        &self,
        config: &Config,
        last: &Arc<Table>,
        table: &Arc<Table>,
    ) -> Result<ReloadAnswer, ReloadFault> {
        let in_use = self.in_use.load_full();
        let (mut lanes, mut queued) = (BTreeMap::new(), Vec::new());
        for lane in self.scheduler.snapshot().await.lanes {
            queued.extend(lane.domain);
            if let Some(name) = lane.connector {
                let count: &mut usize = lanes.entry(name).or_default();
                *count = count.saturating_add(1);
            }
        }
        let (old, new) = (Arc::clone(last), Arc::clone(table));
        let words = (Arc::clone(&in_use.words), Words::of(&config.in_force()));
        // Domains and networks may come from files of any length.
        let (served, loosened) = tokio::task::spawn_blocking(move || {
            let loosened = loosened::loosened((&old, &words.0), (&new, &words.1), &queued);
            (changes::handovers(&old, &new, (&lanes, &loosened.recipients)), loosened)
        })
        .await?;
        Ok(ReloadAnswer {
            generation: table.generation,
            changes: changes::connectors(last, table),
            certificates: expiry::renewed(&in_use.identities, &config.identities),
            served,
            drained: None,
            loosened: loosened.list,
            loosened_more: loosened.more,
            loosened_listeners: Vec::new(),
            needs_restart: changes::needs_restart(&self.first.booted, &config.in_force()),
            warnings: config.warnings.iter().map(ToString::to_string).collect(),
        })
    }

    fn refused(&self, fault: &ReloadFault) -> ReloadFailure {
        ReloadFailure { generation: self.live.generation(), faults: fault.list() }
    }

    fn lock(&self) -> MutexGuard<'_, FileStamps> {
        // Both values are complete even if a holder of the lock panicked.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Operator for Reloader {
    fn reload(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Result<ReloadAnswer, ReloadFailure>> + Send>> {
        Box::pin(async move {
            let (answer, draining) = self.reload_by(Trigger::Asked).await?;
            Ok(ReloadAnswer { drained: draining.await.unwrap_or_default(), ..answer })
        })
    }

    fn connectors(
        self: Arc<Self>,
        waiting: WaitingByConnector,
    ) -> Pin<Box<dyn Future<Output = Connectors> + Send>> {
        Box::pin(async move {
            let lanes = self.scheduler.snapshot().await.lanes;
            self.connectors_with(&lanes, &waiting)
        })
    }

    fn pause(self: Arc<Self>, name: String, paused: bool, by: String) -> PauseAnswer {
        Box::pin(async move { self.set_paused(&name, paused, &by).await })
    }

    fn release(self: Arc<Self>, name: String, accept: bool, by: String) -> ReleaseAnswer {
        Box::pin(async move { self.released(&name, accept, &by).await })
    }

    fn begin_override(self: Arc<Self>, name: String, request: OverrideRequest, by: String) -> OverrideAnswer {
        Box::pin(self.begin_override(name, request, by))
    }

    fn end_override(self: Arc<Self>, name: String, by: String) -> KeepAnswer {
        Box::pin(self.end_override(name, OverrideEnd::By(by)))
    }

    fn overrides(&self) -> Vec<Override> {
        self.overrides.list()
    }

    fn keep_validation(self: Arc<Self>, name: String, found: Validation) -> KeepAnswer {
        Box::pin(async move {
            let (table, data_dir) = (self.live.table(), self.in_use.load().data_dir.clone());
            let connector = table.outbound.iter().find(|one| *one.name == *name);
            let partner =
                connector.and_then(|one| one.partner.as_ref().map(|partner| partner.name.to_string()));
            let (holds, words, of) = (found.ok, found.verdict.clone(), name.clone());
            let kept = move || validated::keep_of(&table, &data_dir, &name, found);
            tokio::task::spawn_blocking(kept).await.unwrap_or_else(|fault| Err(fault.to_string()))?;
            let (connector, partner, words) = (&*of, partner.as_deref(), &*words);
            self.journal.record(&Event::Validated { connector, partner, holds, words });
            Ok(())
        })
    }
}

impl Reloader {
    fn connectors_with(&self, lanes: &[LaneView], waiting: &WaitingByConnector) -> Connectors {
        let (table, in_use) = (self.live.table(), self.in_use.load());
        let alarms = self.alarms.list();
        let known = Sighting {
            words: &in_use.words,
            data_dir: &in_use.data_dir,
            queue: Some((lanes, waiting)),
            alarms: &alarms,
            paused: &self.paused.names(),
            partners: &self.seen.partners,
            refused: &self.seen.refusals.list(),
            braked: &self.braking.brakes.braked(&table),
            overrides: &self.overrides.list(),
        };
        let connectors = views(&table, &known);
        let refused_by_none = known.refused_by(None);
        Connectors {
            generation: Some(table.generation),
            partners: PartnerView::all(&table, &connectors, Clock::wall()),
            connectors,
            refused_since: Some(rfc3339(self.seen.refusals.since())),
            refused_by_none,
            alarms,
        }
    }

    async fn set_paused(&self, name: &str, paused: bool, by: &str) -> Result<Vec<Arc<str>>, String> {
        let table = self.live.table();
        let known: Vec<&str> = table.outbound.iter().map(|connector| &*connector.name).collect();
        // One that was paused and then removed can still be resumed.
        if !known.contains(&name) && (paused || !self.paused.names().contains(name)) {
            return Err(config::unknown_name("outbound connector", name, &known));
        }
        let names = self.paused.set(name, paused);
        let names =
            names.map_err(|fault| format!("it can't be written down, and nothing has changed: {fault}"))?;
        self.scheduler.pause(name, paused).await;
        tracing::warn!(connector = name, paused, by, "an operator has paused or resumed a connector");
        Ok(names.into_iter().map(Arc::from).collect())
    }
}

impl Reloader {
    async fn released(self: Arc<Self>, name: &str, accept: bool, by: &str) -> Result<(), String> {
        let (braking, of) = (Arc::clone(&self.braking), name.to_owned());
        let release = move || braking.release(&of, accept);
        let done = tokio::task::spawn_blocking(release).await.map_err(|fault| fault.to_string())?;
        self.tell_brakes();
        match done {
            Ok(true) => {
                tracing::warn!(
                    connector = name,
                    accept,
                    by,
                    "an operator has released a connector from its brake"
                );
                Ok(())
            }
            Ok(false) => {
                let table = self.live.table();
                let known: Vec<&str> = table.inbound.iter().map(|connector| &*connector.name).collect();
                if known.contains(&name) {
                    return Err(format!("inbound connector {name} is not braked"));
                }
                Err(config::unknown_name("inbound connector", name, &known))
            }
            Err(fault) => Err(format!("{name} is released, but a restart may brake it again: {fault}")),
        }
    }
}

fn tokens_of(config: &Config) -> Tokens {
    config.admin.as_ref().map_or_else(Tokens::default, |admin| admin.tokens.clone())
}

/// Refuses a change after which nobody could meet a connector's requirement. One that nobody met before is left to the alarms:
/// it must not keep a renewed certificate from taking effect.
fn refuse_unmet(config: &Config, last: &Table, next: &Table) -> Result<(), Faults> {
    let newly = expiry::newly_unmet(last, next, Clock::wall());
    let ours = config.unmet.iter().filter(|one| newly.iter().any(|name| **name == *one.connector));
    Faults::of(ours.map(|one| one.fault.clone()).collect()).map_or(Ok(()), Err)
}
