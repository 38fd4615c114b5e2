//! Builds and joins everything: the one place that knows all modules. It decides nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{Control, ControlFault, ControlSocket};
use crate::config::Config;
use crate::connector::{
    Generation, Inbound, InboundTls, LiveTable, Outbound, Revision, Table, TlsVersion, TrustId,
};
use crate::deliver::{ClientSetups, Courier};
use crate::listen::{self, BindFault, Shared, settings::ListenerTls};
use crate::mail::Clock;
use crate::resolver::dns::{Dns, ResolverFault};
use crate::scheduler::{Carrier, Scheduler};
use crate::spool::sqlite::{OpenFault, SqliteSpool};
use crate::spool::{self, Pending, Spool, SpoolFault, Stats};
use crate::tls::{ClientSettings, ClientSetup, ServerSettings, ServerSetup, TlsFault, TrustSet};
use crate::tracking::{Event, Journal};

/// The running relay.
pub struct Running {
    /// Name and address of each listener, port 0 resolved.
    pub listening: Vec<(String, SocketAddr)>,
    /// What the spool held at the start.
    pub found: Stats,
    /// The messages on disk.
    pub spool: Arc<dyn Spool>,
    /// The table in force; replacing it binds what is sent from then on.
    pub live: Arc<LiveTable>,
    /// The lanes.
    pub scheduler: Arc<Scheduler>,
    courier: Arc<Courier>,
    client_setups: Arc<ClientSetups>,
    replacing: tokio::sync::Mutex<()>,
    intake: CancellationToken,
    sessions: TaskTracker,
    control: JoinHandle<()>,
    lanes: JoinHandle<()>,
    stop: CancellationToken,
}

/// Why the relay can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The spool can't be opened.
    #[error(transparent)]
    Spool(#[from] OpenFault),
    /// An address can't be bound.
    #[error(transparent)]
    Listen(#[from] BindFault),
    /// The control socket can't be opened.
    #[error(transparent)]
    Control(#[from] ControlFault),
    /// The resolver can't be set up.
    #[error(transparent)]
    Dns(#[from] ResolverFault),
    /// A certificate or a trust anchor set does not do.
    #[error("{what}: {fault}")]
    Tls {
        /// The connector or listener it is for.
        what: String,
        /// What is wrong.
        fault: TlsFault,
    },
}

/// Starts everything. When this returns, the listeners accept and queued mail is on its way.
///
/// # Errors
/// [`StartFault`]; nothing is left running then.
pub async fn start(config: Config) -> Result<Running, StartFault> {
    let journal = Arc::new(Journal);
    let clock = Clock::start();
    let server_setups = server_setups(&config)?;
    let client_setups = Arc::new(ArcSwap::from_pointee(client_setups(&config)?));
    let dns = Dns::new(&config.resolver)?;
    // The spool first: its lock says that no other daemon has this data_dir, control socket included.
    let spool = open_spool(&config, &journal)?;
    let bound = listen::bind(&config.listen)?;
    let listening: Vec<(String, SocketAddr)> = bound.iter().map(|b| (b.name.clone(), b.address)).collect();
    let socket = ControlSocket::open(&config.control)?;

    let live = Arc::new(LiveTable::new(Table::new(Generation(1), config.inbound, config.outbound)));
    let ourselves = listening.iter().map(|(_, address)| *address).collect();
    let courier = Courier::new(
        config.deliver,
        Arc::clone(&live),
        dns,
        Arc::clone(&client_setups),
        ourselves,
        Arc::clone(&journal),
    );
    let carrier: Arc<dyn Carrier> = courier.clone();
    let scheduler = Scheduler::new(
        config.scheduler,
        Arc::clone(&live),
        Arc::clone(&spool),
        carrier,
        Arc::clone(&journal),
        clock,
    );
    let stop = CancellationToken::new();
    let intake = CancellationToken::new();
    let lanes = tokio::spawn(Arc::clone(&scheduler).run(stop.clone()));
    let offered = Arc::clone(&scheduler);
    let shared = Arc::new(Shared {
        settings: config.listen,
        live: Arc::clone(&live),
        spool: Arc::clone(&spool),
        tls: server_setups,
        accepted: Arc::new(move |leased| offered.offer(leased)),
        journal,
        clock,
    });
    let sessions = listen::serve(bound, shared, &intake)?;
    let found = spool.stats().await.unwrap_or_default();
    let control = Control {
        spool: Arc::clone(&spool),
        scheduler: Arc::clone(&scheduler),
        listening: listening.clone().into(),
    };
    let control = tokio::spawn(socket.serve(control, stop.clone()));
    Ok(Running {
        listening,
        found,
        spool,
        live,
        scheduler,
        courier,
        client_setups,
        replacing: tokio::sync::Mutex::new(()),
        intake,
        sessions,
        control,
        lanes,
        stop,
    })
}

impl Running {
    /// Answers once the spool can't go on: the process must end and start over.
    #[must_use]
    pub fn broken(&self) -> Pending<SpoolFault> {
        self.spool.broken()
    }

    /// Puts the connectors of another configuration in force. When this returns, no transaction in
    /// clear that began under the last ones is short of its final reply; queued mail is judged by
    /// the new ones. Inbound sessions end under the rules they began with. What the listeners show and
    /// the anchors that client certificates are judged by stay as they were at the start.
    ///
    /// # Errors
    /// A [`StartFault`] about a connector's certificate or trust anchors; nothing has changed then.
    pub async fn replace_connectors(&self, config: &Config) -> Result<(), StartFault> {
        // One at a time: each table has a generation of its own, and its set-ups stay with it.
        let _alone = self.replacing.lock().await;
        let fresh = client_setups(config)?;
        // Sessions under way still ask for the old ones, so those go only after the table.
        let mut both = BTreeMap::clone(&self.client_setups.load());
        both.extend(fresh.iter().map(|(revision, setup)| (*revision, Arc::clone(setup))));
        self.client_setups.store(Arc::new(both));
        let Generation(last) = self.live.generation();
        let next = Generation(last.saturating_add(1));
        self.live.replace(Table::new(next, config.inbound.clone(), config.outbound.clone())).await;
        self.client_setups.store(Arc::new(fresh));
        Ok(())
    }

    /// Stops within five seconds: no new mail, sessions in progress finish or get 421, deliveries
    /// finish or stay in the queue.
    pub async fn stop(self) {
        self.intake.cancel();
        self.stop.cancel();
        let graceful = async {
            self.sessions.wait().await;
            let _ended = self.lanes.await;
            self.courier.close().await;
            let _ended = self.control.await;
        };
        if tokio::time::timeout(GRACE, graceful).await.is_err() {
            tracing::warn!(
                "some sessions did not end in time; what they had not been acknowledged stays with their clients"
            );
        }
    }
}

/// Opens the spool, and tells what a crash left.
fn open_spool(config: &Config, journal: &Journal) -> Result<Arc<dyn Spool>, OpenFault> {
    let (spool, recovered) = SqliteSpool::open(spool::Settings { data_dir: config.data_dir.clone() })?;
    for (id, reason) in &recovered.held {
        journal.record(&Event::Held { id: *id, reason });
    }
    if let Some(folder) = &recovered.left {
        let what = format!(
            "the spool is new, and {} has contents of messages it does not know; was the database lost? \
             They are removed at the next start",
            folder.display()
        );
        journal.record(&Event::Alarm { what: &what });
    }
    Ok(spool)
}

fn server_setups(config: &Config) -> Result<BTreeMap<String, Arc<ServerSetup>>, StartFault> {
    // A certificate is asked for only where some connector wants one: asking makes old clients stumble.
    let ask_client = config.inbound.iter().any(wants_certificate);
    let trust = all_trust(config);
    let mut setups = BTreeMap::new();
    for listener in &config.listen.listeners {
        let Some(id) = &listener.certificate else { continue };
        let Some(identity) = config.identities.get(id) else { continue };
        if listener.tls == ListenerTls::Off {
            continue;
        }
        let settings = ServerSettings { identity: Arc::clone(identity), ask_client, trust: trust.clone() };
        let setup = ServerSetup::new(settings)
            .map_err(|fault| StartFault::Tls { what: format!("listener {}", listener.name), fault })?;
        setups.insert(listener.name.clone(), Arc::new(setup));
    }
    Ok(setups)
}

fn wants_certificate(connector: &Inbound) -> bool {
    match &connector.tls {
        InboundTls::Off | InboundTls::Opportunistic => false,
        InboundTls::Forced(forced) => forced.needs_certificate(),
    }
}

fn client_setups(config: &Config) -> Result<BTreeMap<Revision, Arc<ClientSetup>>, StartFault> {
    let system = [TrustId::system()];
    config
        .outbound
        .iter()
        .map(|connector| {
            let trust = connector.forced().map_or(&system[..], |forced| forced.trust());
            let settings = client_settings(config, connector, trust);
            ClientSetup::new(settings).map(|setup| (connector.revision, Arc::new(setup))).map_err(|fault| {
                StartFault::Tls { what: format!("outbound connector {}", connector.name), fault }
            })
        })
        .collect()
}

fn client_settings(config: &Config, connector: &Outbound, trust: &[TrustId]) -> ClientSettings {
    let sets: Vec<(TrustId, Arc<TrustSet>)> =
        trust.iter().filter_map(|id| config.trust.get(id).map(|set| (id.clone(), Arc::clone(set)))).collect();
    let identity = connector.client_certificate.as_deref().and_then(|id| config.identities.get(id)).cloned();
    ClientSettings {
        judged: connector.is_enforced(),
        min_version: connector
            .forced()
            .filter(|_| connector.is_enforced())
            .map_or(TlsVersion::V12, |f| f.min_version),
        trust: sets,
        identity,
    }
}

fn all_trust(config: &Config) -> Vec<(TrustId, Arc<TrustSet>)> {
    config.trust.iter().map(|(id, set)| (id.clone(), Arc::clone(set))).collect()
}

const GRACE: Duration = Duration::from_millis(4_500);
