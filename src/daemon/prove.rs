//! Tests a connector with the code that delivers. No daemon is started and no message is sent.

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

/// Tests every host of a connector as if the connector were enforced, even if it is in audit mode
/// or off. `limit` is the time for one address.
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

/// As [`prove`], for a connector that is in no configuration.
///
/// # Errors
/// As [`prove`].
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
    // A step that uses up the limit is reported as that step; the whole test ends a little later.
    let limit = deliver.timeouts.connect.saturating_add(BEHIND);
    let courier = Courier::new(deliver, live, dns, tls, Vec::new(), Arc::new(Journal));
    let Whom { domain, literal, envelope } = whom;
    let way = Way { connector: Arc::new(connector), domain, literal };
    Ok(courier.validate(Trial { way, envelope, limit }).await)
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

const BEHIND: Duration = Duration::from_millis(500);
