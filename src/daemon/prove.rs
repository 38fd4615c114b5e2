//! A connector proved live, by the very code that delivers: nothing is started, no message is sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::{StartFault, setups};
use crate::config::Config;
use crate::connector::{Generation, LiveTable, Mode, Outbound, Table};
use crate::deliver::settings::{Settings, Timeouts};
use crate::deliver::{Courier, Seen, TlsSeen};
use crate::mail::Domain;
use crate::outcome::Trouble;
use crate::resolver::dns::Dns;
use crate::resolver::settings::Settings as Asking;
use crate::scheduler::Way;
use crate::tls::{ClientSettings, ClientSetup};
use crate::tracking::Journal;

/// Tries every host of a connector of a configuration, for a recipient domain. What is proved is
/// the connector as it would be enforced, be it in audit or off.
///
/// # Errors
/// [`StartFault`] if TLS or the resolver can't be set up.
pub async fn prove(
    config: &Config,
    connector: &Outbound,
    domain: Option<&Domain>,
    limit: Duration,
) -> Result<Result<Vec<Seen>, Trouble>, StartFault> {
    let connector = Outbound { mode: Mode::Enforce, ..connector.clone() };
    let settings = setups::client(config, &connector);
    let deliver = Settings { timeouts: within(limit), ..config.deliver.clone() };
    prove_with(connector, settings, deliver, &config.resolver, domain).await
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
    domain: Option<&Domain>,
) -> Result<Result<Vec<Seen>, Trouble>, StartFault> {
    let what = format!("outbound connector {}", connector.name);
    let setup = ClientSetup::new(tls).map_err(|fault| StartFault::Tls { what, fault })?;
    let setups = BTreeMap::from([(connector.revision, Arc::new(setup))]);
    let table = Table::new(Generation(1), Vec::new(), vec![connector.clone()]);
    let courier = Courier::new(
        deliver,
        Arc::new(LiveTable::new(table)),
        Dns::new(asking)?,
        (Arc::new(ArcSwap::from_pointee(setups)), TlsSeen::default()),
        Vec::new(),
        Arc::new(Journal),
    );
    let way = Way { connector: Arc::new(connector), domain: domain.cloned(), literal: None };
    Ok(courier.validate(&way).await)
}

/// Nobody waits minutes before a prompt.
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
