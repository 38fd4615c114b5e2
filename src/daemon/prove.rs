//! Tests a connector with the code that delivers. No daemon is started and no message is sent.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::{StartFault, setups};
use crate::config::Config;
use crate::connector::{Generation, LiveTable, Mode, Outbound, Table, displaced};
use crate::deliver::settings::{Settings, Timeouts};
use crate::deliver::{Courier, HostReport, TlsHistory, Trial, WaitList};
use crate::mail::{Domain, Mailbox, ReversePath};
use crate::outcome::Trouble;
use crate::resolver::dns::Dns;
use crate::resolver::settings::Settings as Asking;
use crate::scheduler::Way;
use crate::tls::{ClientSettings, ClientSetup};
use crate::tracking::{Journal, ProtocolLog};

/// Who a connector is tested for.
#[derive(Debug, Clone, Default)]
pub struct Whom {
    /// The recipient domain, for connectors that use MX.
    pub domain: Option<Domain>,
    /// The recipient's address literal.
    pub literal: Option<IpAddr>,
    /// Reverse-path and recipient to ask the hosts about; no content is sent.
    pub envelope: Option<(ReversePath, Mailbox)>,
}

/// What a connector is proved in.
pub struct TrialGround {
    /// The table that decides whether the connector serves whom it is proved with.
    pub table: Table,
    /// Its TLS.
    pub tls: ClientSettings,
    /// How sessions go.
    pub deliver: Settings,
    /// How names are looked up.
    pub asking: Asking,
    /// Our own listeners, which are never tried.
    pub ourselves: Vec<SocketAddr>,
    /// Where to say what is waited for.
    pub waits: WaitList,
}

/// Tests every host of a connector as if the connector were enforced, even if it is in audit mode
/// or off. `limit` is the time for one address.
///
/// # Errors
/// [`StartFault`] if TLS or the resolver can't be set up.
pub async fn prove(
    config: &Config,
    connector: &Outbound,
    whom: Whom,
    (ourselves, waits): (Vec<SocketAddr>, WaitList),
    limit: Duration,
) -> Result<Result<Vec<HostReport>, Trouble>, StartFault> {
    let enforced = enforced(connector);
    let mut table = config.table(Generation(1));
    let served = |table: &Table| {
        whom.envelope.as_ref().is_none_or(|(_, to)| displaced(table, connector, to.domain_name()).is_none())
    };
    // What another one serves now stays with it, also where this one is off and would serve it if it were on.
    if served(&table) {
        let outbound = config.outbound.iter().filter(|one| one.name != enforced.name).cloned();
        let outbound = outbound.chain([enforced.clone()]).collect();
        table = Table::new(Generation(1), config.inbound.clone(), outbound);
    }
    let ground = TrialGround {
        table,
        tls: setups::client_settings(config, &enforced),
        deliver: Settings { timeouts: within(limit), ..config.deliver.clone() },
        asking: config.resolver.clone(),
        ourselves,
        waits,
    };
    prove_with(enforced, whom, ground).await
}

/// As [`prove`], for a connector that is in no configuration.
///
/// # Errors
/// As [`prove`].
pub async fn prove_with(
    connector: Outbound,
    whom: Whom,
    ground: TrialGround,
) -> Result<Result<Vec<HostReport>, Trouble>, StartFault> {
    let live = Arc::new(LiveTable::new(ground.table));
    // A step that takes all of it is told as that step; the whole ends a little later.
    let limit = ground.deliver.timeouts.connect.saturating_add(BEHIND);
    let ways = TrialWays { live, dns: Dns::new(&ground.asking)?, ourselves: ground.ourselves };
    let courier = trial_courier(&connector, ground.tls, ground.deliver, &ways)?;
    let Whom { domain, literal, envelope } = whom;
    let way = Way { connector: Arc::new(connector), domain, literal };
    Ok(courier.validate(Trial { way, envelope, limit, waits: ground.waits }).await)
}

/// What the trials of several connectors share.
pub(super) struct TrialWays {
    /// The table that decides whether a connector serves a recipient.
    pub(super) live: Arc<LiveTable>,
    /// What is asked for names.
    pub(super) dns: Dns,
    /// Our own listeners, which are never tried.
    pub(super) ourselves: Vec<SocketAddr>,
}

/// A courier for the trial of one connector. It remembers nothing of deliveries, so a trial sees what there is.
///
/// # Errors
/// [`StartFault`] if TLS can't be set up.
pub(super) fn trial_courier(
    connector: &Outbound,
    tls: ClientSettings,
    deliver: Settings,
    ways: &TrialWays,
) -> Result<Arc<Courier>, StartFault> {
    let what = format!("outbound connector {}", connector.name);
    let setup = ClientSetup::new(tls).map_err(|fault| StartFault::Tls { what, fault })?;
    let setups = BTreeMap::from([(connector.revision, Arc::new(setup))]);
    let tls = (Arc::new(ArcSwap::from_pointee(setups)), TlsHistory::default(), Arc::default());
    let (live, dns, ourselves) = (Arc::clone(&ways.live), ways.dns.clone(), ways.ourselves.clone());
    let told = (Arc::new(Journal::default()), ProtocolLog::default());
    Ok(Courier::new(deliver, live, dns, tls, ourselves, told))
}

/// The connector as it is tried: as if it were enforced.
pub(super) fn enforced(connector: &Outbound) -> Outbound {
    Outbound { mode: Mode::Enforce, ..connector.clone() }
}

/// Timeouts that let every step of an outbound session take `limit`.
#[must_use]
pub fn within(limit: Duration) -> Timeouts {
    Timeouts {
        connect: limit,
        command: limit,
        handshake: limit,
        data_start: limit,
        data_block: limit,
        data_end: limit,
    }
}

/// How much later than its slowest step a trial ends.
pub(super) const BEHIND: Duration = Duration::from_millis(500);
