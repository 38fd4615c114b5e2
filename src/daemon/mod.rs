//! Builds and connects everything: the only place that knows all modules. It decides nothing.

mod alert_mail;
mod alerting;
mod announce;
mod braking;
mod breakglass;
mod changes;
mod coming;
mod connectors;
mod descriptors;
mod doctor;
mod ending;
mod ends;
mod expiry;
mod fault;
mod fetch;
mod guard;
mod incidents;
mod lookout;
mod loosened;
mod monitor;
mod outlook;
mod overrides;
mod own_mail;
mod paused;
mod pickup;
mod print;
mod process;
mod prove;
mod referrals;
mod reload;
mod reporting;
mod setups;
mod signals;
mod stamping;
mod state_file;
mod telling;
mod validated;
mod validating;
mod verdict;
mod watch;
mod watchdog;
mod webhook;
mod whom;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use connectors::from_file as connectors_from_file;
pub use doctor::{Check, State, examine};
pub use ending::{Cause, Ending};
pub use fault::StartFault;
pub use fetch::fetch_chain;
pub use overrides::{recorded as recorded_overrides, words as override_words};
pub use prove::{TrialGround, Whom, prove, prove_with, within};
pub use reload::Reloader;
pub use setups::client_settings;
pub use signals::Signals;
pub use validated::keep as keep_validation;
pub use verdict::{host_details, verdict};
pub use watchdog::Watchdog;
pub use whom::whom;

use self::alerting::{AlertDesk, AlertStart};
use self::braking::Braking;
use self::lookout::{Lookout, LookoutParts};
use self::monitor::Monitor;
use self::overrides::Overrides;
use self::paused::PauseFile;
use self::pickup::Pickup;
use self::reporting::{ReportDesk, ReportStart};
use self::stamping::StampClerk;
use crate::admin::{
    AdminAddresses, AdminListener, Alarms, Control, ControlSocket, Operator, ReloadAnswer, ReloadFailure,
    TrackedStore,
};
use crate::config::Config;
use crate::connector::{Generation, LiveTable};
use crate::deliver::{Courier, TlsHistory, Verifier};
use crate::listen::{self, ListenerState, RefusalTally, SeenPeers, ServerSetups};
use crate::mail::Clock;
use crate::metrics::Metrics;
use crate::resolver::dns::Dns;
use crate::retrieve::{ListKeeper, Retriever};
use crate::scheduler::Scheduler;
use crate::smtp::receive::{Quotas, Room};
use crate::spool::recover::RecoveryReport;
use crate::spool::sqlite::SqliteSpool;
use crate::spool::{Pending, Spool, SpoolFault, Stats};
use crate::tls::{ListCache, Partners};
use crate::trace::{EventRecorder, TraceStore};
use crate::tracking::{AlarmTopic, Event, Journal, Observer, ProtocolFiles, ProtocolLog, Vitals};

/// The running relay.
pub struct RelayDaemon {
    /// Name and address of each listener, with port 0 resolved.
    pub listening: Vec<(String, SocketAddr)>,
    /// Where the admin listener is reached.
    pub admin: AdminAddresses,
    /// What the spool held at start.
    pub found: Stats,
    /// The messages on disk.
    pub spool: Arc<dyn Spool>,
    /// The table in effect.
    pub live: Arc<LiveTable>,
    /// The scheduler, which owns the lanes.
    pub scheduler: Arc<Scheduler>,
    /// What an operator sees and does.
    pub office: Control,
    courier: Arc<Courier>,
    reloader: Arc<Reloader>,
    intake: CancellationToken,
    sessions: TaskTracker,
    control: JoinHandle<()>,
    monitored: Option<TaskTracker>,
    lanes: JoinHandle<()>,
    /// Ended by `stop`.
    watching: JoinHandle<()>,
    /// Ended last, so that it has what the end of the others tells.
    tracking: Option<TraceStore>,
    stop: CancellationToken,
    vitals: Vitals,
    protocol: ProtocolLog,
}

/// Fits the number of sessions to the limit of open files, and logs any number it lowers.
fn fit_sessions<R>((mut config, refused): (Config, R)) -> (Config, R) {
    let files = descriptors::raise();
    if descriptors::fit(&mut config.scheduler, files) {
        let (sessions, openings) = (config.scheduler.sessions_max, config.scheduler.openings_max);
        tracing::warn!(
            files,
            sessions,
            openings,
            "the limit of open files is low: outbound_connections and outbound_openings are lowered; raise it (LimitNOFILE, ulimit -n)"
        );
    }
    (config, refused)
}

/// What a relay stands on: its data on disk, and its sockets.
struct Ground {
    spool: Arc<dyn Spool>,
    tracking: Option<TraceStore>,
    metrics: Option<Arc<Metrics>>,
    journal: Arc<Journal>,
    bound: Vec<listen::BoundListener>,
    listening: Vec<(String, SocketAddr)>,
    socket: ControlSocket,
    desk: Option<AdminListener>,
    pickup: Pickup,
}

impl Ground {
    fn lay(
        config: &Config,
        live: &Arc<LiveTable>,
        faults: u32,
        alerts: Arc<dyn Observer>,
    ) -> Result<Self, StartFault> {
        // The spool first: its lock ensures that no other daemon uses this data_dir, control socket
        // included.
        let (spool, recovered) = SqliteSpool::open(config.spool(faults))?;
        let tracking = tracking_store(config);
        let metrics = monitor::metrics_of(config, live);
        let journal = journal(tracking.as_ref(), metrics.as_ref(), alerts);
        tell_recovered(&recovered, &journal);
        let bound = listen::bind(&config.listen)?;
        let listening: Vec<_> = bound.iter().map(|one| (one.name.clone(), one.address)).collect();
        let socket = ControlSocket::open(&config.control)?;
        let desk = monitor::bind(config)?;
        let pickup = Pickup::new(config.drop_dir(), &config.listen, &listening, &journal);
        Ok(Self { spool, tracking, metrics, journal, bound, listening, socket, desk, pickup })
    }
}

/// Next hops that have used TLS. Without the file the relay still runs, and remembers from now on.
fn tls_seen(data_dir: &std::path::Path) -> TlsHistory {
    TlsHistory::load(data_dir).unwrap_or_else(|fault| {
        tracing::error!(%fault, "tls-seen can't be read: what had TLS before is forgotten");
        TlsHistory::default()
    })
}

/// What partners presented. Without the file the relay still runs, and remembers from now on.
fn seen_peers(data_dir: &std::path::Path) -> SeenPeers {
    let partners = Partners::load(data_dir).unwrap_or_else(|fault| {
        tracing::error!(%fault, "partners-seen can't be read: what partners showed before is forgotten");
        Partners::default()
    });
    SeenPeers { partners: Arc::new(partners), refusals: Arc::new(RefusalTally::new(Clock::wall())) }
}

/// Starts everything. When this returns, the listeners accept and queued mail is being delivered.
///
/// # Errors
/// [`StartFault`]; nothing is left running.
pub async fn start(config: Config) -> Result<RelayDaemon, StartFault> {
    let vitals = Vitals::new(|loss| tracing::error!(%loss, "the relay can't go on"));
    start_after(config, 0, &vitals).await
}

/// As [`start`], after the given number of spool faults in a row. `vitals` watches the tasks that
/// must keep running.
///
/// # Errors
/// As [`start`].
pub async fn start_after(config: Config, faults: u32, vitals: &Vitals) -> Result<RelayDaemon, StartFault> {
    let (overrides, base) = (Overrides::load(&config.data_dir), Arc::new(config));
    let (config, refused) = fit_sessions(base.overridden(&overrides.list()));
    let (live, clock) = (Arc::new(LiveTable::new(config.table(Generation(1)))), Clock::start());
    let first = reload::First::of(&config, base)?;
    let dns = Dns::new(&config.resolver)?;
    let (lists, alerts) = (list_keeper(&config, &first, &dns), AlertStart::of(&config.data_dir));
    let stamped_by = config.seal.as_ref().and_then(|seal| seal.timestamp_url.clone()).zip(Some(dns.clone()));
    let Ground { spool, tracking, metrics, journal, bound, listening, socket, desk, pickup } =
        Ground::lay(&config, &live, faults, alerts.observer())?;
    let admin = desk.as_ref().map(|desk| desk.listening.clone()).unwrap_or_default();

    let (seen, protocol) = (seen_peers(&config.data_dir), protocol_log(&config, vitals));
    let courier = courier(&config, &live, (dns.clone(), &first, &seen), &listening, (&journal, &protocol));
    let (table, stored, told) = (Arc::clone(&live), Arc::clone(&spool), Arc::clone(&journal));
    let scheduler = Scheduler::new(config.scheduler, table, stored, courier.clone(), told, clock);
    let paused = stand_still(&config.data_dir, &scheduler).await?;
    let reports = ReportStart::of(&config.data_dir, &spool).await;
    let (stop, intake, names) = (CancellationToken::new(), CancellationToken::new(), dns.clone());
    let alerts = alerts.open((faults, dns), (&first.alerts, &journal), (&live, &spool, &scheduler));
    let lanes = vitals.watch("the scheduler", Arc::clone(&scheduler).run(stop.clone()));
    let guard = guard((&config.data_dir, &config.listen), &spool, (&journal, &first.alarms));
    let room = look_after(guard, vitals, &stop).await;
    let braking = Braking::load(&config.data_dir, config.listen.brake);
    let shared = listener_state(
        config.listen,
        (&live, &spool, (&journal, &protocol)),
        (room, &braking),
        (&first.server_setups, &seen),
        (&courier, &scheduler),
    );
    let kept = (paused, Arc::clone(&braking), overrides);
    let reloader = Arc::new(Reloader::new(first, live.clone(), scheduler.clone(), (journal, seen), kept));
    reloader.resume_overrides(&refused);
    let sessions = serve(bound, Arc::clone(&shared), &intake, vitals)?;
    let watchman = look_out((&reloader, &live, &scheduler), names, &listening, (vitals, &stop));
    let reports = mail_reports(reports, (&reloader, &live), (&spool, &scheduler), (vitals, &stop));
    let control = control(&spool, &scheduler, &listening, (&reloader, &alerts.desk, watchman, reports));
    let (asked, office) = (control.clone(), control.clone());
    let control = vitals.watch("the control socket", socket.serve(control, stop.clone()));
    alerts.keep(vitals, &stop);
    let recorder = tracking.as_ref().map(TraceStore::recorder);
    stamp(tracking.as_ref(), stamped_by, (vitals, &stop));
    let monitored = metrics.zip(desk).map(|(metrics, desk)| {
        Monitor::new(metrics, shared, &scheduler, &reloader, (vitals, recorder.clone()))
            .serve(desk, asked, &stop)
    });
    let watching = watch((pickup, braking, lists, recorder), &reloader, vitals, &stop);
    Ok(RelayDaemon {
        listening,
        admin,
        found: spool.stats().await.unwrap_or_default(),
        spool,
        live,
        scheduler,
        office,
        courier,
        reloader,
        intake,
        sessions,
        control,
        monitored,
        lanes,
        watching,
        tracking,
        stop,
        vitals: vitals.clone(),
        protocol,
    })
}

/// Has the record's statements stamped, if an authority is named.
fn stamp(
    tracking: Option<&TraceStore>,
    by: Option<(Arc<str>, Dns)>,
    (vitals, stop): (&Vitals, &CancellationToken),
) {
    if let (Some(store), Some((url, dns))) = (tracking, by) {
        let clerk = StampClerk::new(url, store.stamps(), dns);
        let _watched = vitals.watch("the time stamps", clerk.keep(stop.clone()));
    }
}

fn courier(
    config: &Config,
    live: &Arc<LiveTable>,
    (dns, first, seen): (Dns, &reload::First, &SeenPeers),
    listening: &[(String, SocketAddr)],
    (journal, protocol): (&Arc<Journal>, &ProtocolLog),
) -> Arc<Courier> {
    let tls = (Arc::clone(&first.client_setups), tls_seen(&config.data_dir), Arc::clone(&seen.partners));
    let told = (Arc::clone(journal), protocol.clone());
    Courier::new(config.deliver.clone(), Arc::clone(live), dns, tls, ours(listening), told)
}

fn protocol_log(config: &Config, vitals: &Vitals) -> ProtocolLog {
    let files = ProtocolFiles {
        folder: config.data_dir.join("protocol"),
        octets_max: config.log.protocol_bytes_max,
        // What mail may need as well is left to it.
        free_min: config.listen.reserve.free_disk.saturating_mul(2),
    };
    ProtocolLog::new(files, vitals)
}

/// Where a session tells what happens, and where what was said.
type Accounts<'a> = (&'a Arc<Journal>, &'a ProtocolLog);

/// What the sessions of all listeners share.
fn listener_state(
    settings: listen::Settings,
    (live, spool, (journal, protocol)): (&Arc<LiveTable>, &Arc<dyn Spool>, Accounts<'_>),
    (room, braking): (Arc<Room>, &Braking),
    (tls, seen): (&Arc<ServerSetups>, &SeenPeers),
    (courier, scheduler): (&Arc<Courier>, &Arc<Scheduler>),
) -> Arc<ListenerState> {
    let offered = Arc::clone(scheduler);
    Arc::new(ListenerState {
        open: Arc::new(listen::OpenSessions::of(&settings)),
        guesses: listen::Guesses::new(settings.limits.failed_logins_max),
        unknown_recipients: listen::Guesses::new(settings.limits.unknown_recipients_max),
        settings,
        live: Arc::clone(live),
        room,
        quotas: Quotas::new(Clock::wall),
        brakes: Arc::clone(&braking.brakes),
        spool: Arc::clone(spool),
        tls: Arc::clone(tls),
        seen: seen.clone(),
        verifier: Verifier::new(Arc::clone(courier), Arc::clone(scheduler)),
        accepted: Arc::new(move |leased| offered.offer(leased)),
        journal: Arc::clone(journal),
        echo: std::sync::Mutex::default(),
        protocol: protocol.clone(),
    })
}

fn list_keeper(config: &Config, first: &reload::First, dns: &Dns) -> ListKeeper {
    let retriever = Retriever::new(dns.clone(), config.retrieve.clone());
    ListKeeper::new(retriever, Arc::clone(&first.sets), ListCache::of(&config.data_dir))
}

/// Fetches revocation lists in the background, and reports those that can't be.
fn keep_lists(lists: ListKeeper, reloader: &Arc<Reloader>, vitals: &Vitals, stop: &CancellationToken) {
    let reporter = Arc::clone(reloader);
    let keeping = lists.keep(move |troubles| reporter.tell_lists(troubles), stop.clone());
    drop(vitals.watch("the keeper of revocation lists", keeping));
}

/// Watches the drop directory, floods of mail, revocation lists, and the files of the configuration.
fn watch(
    (pickup, braking, lists, recorder): (Pickup, Arc<Braking>, ListKeeper, Option<EventRecorder>),
    reloader: &Arc<Reloader>,
    vitals: &Vitals,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    drop(vitals.watch("the drop directory", pickup.keep(stop.clone())));
    let teller = Arc::clone(reloader);
    let braking = braking.keep(move || teller.tell_brakes(), stop.clone());
    drop(vitals.watch("the keeper of brakes", braking));
    keep_lists(lists, reloader, vitals, stop);
    let ending = breakglass::keep(Arc::clone(reloader), stop.clone());
    drop(vitals.watch("the timer of overrides", ending));
    let watching = watch::keep(Arc::clone(reloader), (vitals.clone(), recorder), stop.clone());
    vitals.watch("the watcher of files", watching)
}

/// The addresses we listen on.
fn ours(listening: &[(String, SocketAddr)]) -> Vec<SocketAddr> {
    listening.iter().map(|(_, address)| *address).collect()
}

/// Looks at partners, as far as the configuration in effect wants that.
fn look_out(
    (reloader, live, scheduler): (&Arc<Reloader>, &Arc<LiveTable>, &Arc<Scheduler>),
    dns: Dns,
    listening: &[(String, SocketAddr)],
    (vitals, stop): (&Vitals, &CancellationToken),
) -> Arc<Lookout> {
    let (lookout, looking) = Lookout::new(LookoutParts {
        reloader: Arc::clone(reloader),
        live: Arc::clone(live),
        scheduler: Arc::clone(scheduler),
        journal: reloader.journal(),
        dns,
        ourselves: ours(listening),
    });
    drop(vitals.watch("the watch over partners", looking.keep(stop.clone())));
    lookout
}

/// Mails reports, as far as the configuration in effect wants that.
fn mail_reports(
    start: ReportStart,
    ways: (&Arc<Reloader>, &Arc<LiveTable>),
    stores: (&Arc<dyn Spool>, &Arc<Scheduler>),
    (vitals, stop): (&Vitals, &CancellationToken),
) -> Arc<ReportDesk> {
    let (desk, mailing) = start.open(ways, stores);
    drop(vitals.watch("the desk of reports", mailing.keep(stop.clone())));
    desk
}

fn control(
    spool: &Arc<dyn Spool>,
    scheduler: &Arc<Scheduler>,
    listening: &[(String, SocketAddr)],
    (reloader, desk, watchman, report_office): (
        &Arc<Reloader>,
        &Arc<AlertDesk>,
        Arc<Lookout>,
        Arc<ReportDesk>,
    ),
) -> Control {
    Control {
        spool: Arc::clone(spool),
        scheduler: Arc::clone(scheduler),
        listening: listening.into(),
        alarms: reloader.alarms(),
        journal: reloader.journal(),
        alert_office: Arc::<AlertDesk>::clone(desk),
        operator: Arc::<Reloader>::clone(reloader),
        report_office,
        watchman,
        tracked: TrackedStore::new(&reloader.data_dir()),
    }
}

fn serve(
    bound: Vec<listen::BoundListener>,
    shared: Arc<ListenerState>,
    intake: &CancellationToken,
    vitals: &Vitals,
) -> Result<TaskTracker, StartFault> {
    shared.journal.record(&Event::Started { version: env!("CARGO_PKG_VERSION") });
    let listen::ServingListeners { sessions, loops } = listen::serve(bound, shared, intake)?;
    loops.into_iter().for_each(|one| vitals.adopt("an accept loop", one));
    Ok(sessions)
}

/// The guard of disk space and queue size.
fn guard(
    (data_dir, settings): (&std::path::Path, &listen::Settings),
    spool: &Arc<dyn Spool>,
    (journal, alarms): (&Arc<Journal>, &Arc<Alarms>),
) -> guard::Guard {
    guard::Guard {
        data_dir: data_dir.to_owned(),
        small_bytes_max: settings.limits.held_bytes_max,
        reserve: settings.reserve,
        room: Arc::default(),
        spool: Arc::clone(spool),
        journal: Arc::clone(journal),
        alarms: Arc::clone(alarms),
    }
}

/// Checks disk and queue once, then keeps checking.
async fn look_after(guard: guard::Guard, vitals: &Vitals, stop: &CancellationToken) -> Arc<Room> {
    let room = Arc::clone(&guard.room);
    guard.begin().await;
    drop(vitals.watch("the guard of disk and queue", guard.keep(stop.clone())));
    room
}

/// Keeps paused the connectors that an operator paused before. Mail must not start to flow because
/// a file can't be read, so that is a fault.
async fn stand_still(data_dir: &std::path::Path, scheduler: &Scheduler) -> Result<PauseFile, StartFault> {
    let paused =
        PauseFile::load(data_dir).map_err(|fault| StartFault::Paused(data_dir.join("paused"), fault))?;
    for name in paused.names() {
        tracing::warn!(connector = %name, "paused by an operator; `sealpost queue resume` resumes it");
        scheduler.pause(&name, true).await;
    }
    Ok(paused)
}

impl RelayDaemon {
    /// Resolves once the spool has failed: the process must end and start over.
    #[must_use]
    pub fn broken(&self) -> Pending<SpoolFault> {
        self.spool.broken()
    }

    /// Reloads the files. When this returns, no transaction goes on that the new connectors do not
    /// allow, and queued mail is judged by them. Inbound sessions are admitted by them at their next
    /// MAIL FROM.
    ///
    /// # Errors
    /// The errors in the files; nothing has changed.
    pub async fn reload(&self) -> Result<ReloadAnswer, ReloadFailure> {
        Arc::clone(&self.reloader).reload().await
    }

    /// The reloader, for a caller that does not wait for the reload.
    #[must_use]
    pub fn reloader(&self) -> Arc<Reloader> {
        Arc::clone(&self.reloader)
    }

    /// Stops within five seconds: no new mail is accepted, sessions in progress finish or get 421,
    /// deliveries finish or stay in the queue. Returns the spool for what it still has to report. The record says that it
    /// was stopped in order if that is so, and no fault was the cause.
    pub async fn stop(self, is_fault: bool) -> Arc<dyn Spool> {
        self.vitals.stopping();
        self.intake.cancel();
        self.stop.cancel();
        let graceful = async {
            self.sessions.wait().await;
            let braking = self.reloader.braking();
            let _saved = tokio::task::spawn_blocking(move || braking.save_or_warn()).await;
            let _ended = self.lanes.await;
            // If the scheduler loop ended by itself, the carriers still get their time.
            self.scheduler.wind_up().await;
            self.courier.close().await;
            let _ended = self.control.await;
            if let Some(monitored) = self.monitored {
                monitored.wait().await;
            }
            let _ended = self.watching.await;
            let _written = tokio::task::spawn_blocking(move || self.protocol.flush(PROTOCOL_PATIENCE)).await;
        };
        let is_in_time = tokio::time::timeout(GRACE, graceful).await.is_ok();
        if !is_in_time {
            tracing::warn!(
                "some sessions did not end in time; what they had not been acknowledged stays with their clients"
            );
        }
        if is_in_time && !is_fault {
            self.reloader.journal().record(&Event::Stopped);
        }
        if let Some(tracking) = self.tracking {
            let stopping = tokio::task::spawn_blocking(move || tracking.stop(TRACKING_GRACE));
            if stopping.await.is_err() {
                tracing::warn!("the tracking store has not ended well");
            }
        }
        self.spool
    }
}

/// Reports what a crash left.
fn tell_recovered(recovered: &RecoveryReport, journal: &Journal) {
    for (id, reason) in &recovered.held {
        journal.record(&Event::Held { id: *id, reason });
    }
    if let Some(folder) = &recovered.left {
        let what = format!(
            "the spool is new, and {} has contents of messages it does not know; was the database lost? \
             They are removed at the next start",
            folder.display()
        );
        journal.record(&Event::Alarm { topic: AlarmTopic::Other, what: &what });
    }
}

/// How long a stop waits for the protocol log.
const PROTOCOL_PATIENCE: Duration = Duration::from_millis(500);
/// The store of events. Without it mail goes on as ever.
fn tracking_store(config: &Config) -> Option<TraceStore> {
    if !config.tracking.enabled {
        return None;
    }
    let (seal, free_disk) = (config.seal.clone(), config.listen.reserve.free_disk);
    let started = TraceStore::start(&config.data_dir, config.tracking, seal, free_disk);
    started.inspect_err(|fault| tracing::error!(%fault, "the tracking store can't be started")).ok()
}

/// Where events are told, with everything that is told of them.
fn journal(
    tracking: Option<&TraceStore>,
    metrics: Option<&Arc<Metrics>>,
    alerts: Arc<dyn Observer>,
) -> Arc<Journal> {
    let mut observers = vec![alerts];
    if let Some(store) = tracking {
        observers.push(Arc::new(store.recorder()));
    }
    if let Some(metrics) = metrics {
        observers.push(Arc::<Metrics>::clone(metrics));
    }
    Arc::new(Journal::with(observers))
}

const GRACE: Duration = Duration::from_millis(4_000);
/// How long the tracking store may take to write what waits.
const TRACKING_GRACE: Duration = Duration::from_millis(500);
