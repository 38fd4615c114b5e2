//! A connector proved live, by the very code that delivers: nothing is started, no message is sent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::{StartFault, setups};
use crate::config::Config;
use crate::connector::{Generation, LiveTable, Mode, Outbound, Table};
use crate::deliver::settings::{Settings, Timeouts};
use crate::deliver::{Courier, HostReport, TlsHistory, Trial};
use crate::mail::{Domain, Mailbox, ReversePath};
use crate::outcome::Trouble;
use crate::resolver::dns::Dns;
use crate::resolver::settings::Settings as Asking;
use crate::scheduler::Way;
use crate::tls::{ClientSettings, ClientSetup};
use crate::tracking::Journal;

/// What a connector is proved with.
#[derive(Debug, Clone, Default)]
pub struct Whom {
    /// The recipient domain.
    pub domain: Option<Domain>,
    /// The recipient's address literal.
    pub literal: Option<IpAddr>,
    /// Sender and recipient to ask the hosts about; no content is sent.
    pub envelope: Option<(ReversePath, Mailbox)>,
}

/// Tries every host of a connector of a configuration. What is proved is the connector as it would
/// be enforced, be it in audit or off. `limit` is how long one address may take.
///
/// # Errors
/// [`StartFault`] if TLS or the resolver can't be set up.
pub async fn prove(
    config: &Config,
    connector: &Outbound,
    whom: Whom,
    limit: Duration,
) -> Result<Result<Vec<HostReport>, Trouble>, StartFault> {
    let connector = Outbound { mode: Mode::Enforce, ..connector.clone() };
    let settings = setups::client(config, &connector);
    let deliver = Settings { timeouts: within(limit), ..config.deliver.clone() };
    prove_with(connector, settings, deliver, &config.resolver, whom).await
}

/// The same for a connector that stands in no configuration.
///
/// # Errors
/// Like [`prove`].
pub async fn prove_with(
    connector: Outbound,
    tls: ClientSettings,
    deliver: Settings,
    asking: &Asking,
    whom: Whom,
) -> Result<Result<Vec<HostReport>, Trouble>, StartFault> {
    let what = format!("outbound connector {}", connector.name);
    let setup = ClientSetup::new(tls).map_err(|fault| StartFault::Tls { what, fault })?;
    let setups = BTreeMap::from([(connector.revision, Arc::new(setup))]);
    let table = Table::new(Generation(1), Vec::new(), vec![connector.clone()]);
    let live = Arc::new(LiveTable::new(table));
    let dns = Dns::new(asking)?;
    let tls = (Arc::new(ArcSwap::from_pointee(setups)), TlsHistory::default(), Arc::default());
    // A step that takes all of it is told as that step; the whole ends a little later.
    let limit = deliver.timeouts.connect.saturating_add(BEHIND);
    let courier = Courier::new(deliver, live, dns, tls, Vec::new(), Arc::new(Journal));
    let Whom { domain, literal, envelope } = whom;
    let way = Way { connector: Arc::new(connector), domain, literal };
    Ok(courier.validate(Trial { way, envelope, limit }).await)
}

/// Every step of an outbound session within a limit.
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

const BEHIND: Duration = Duration::from_millis(500);
