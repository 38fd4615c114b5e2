//! Builds the TLS setups of listeners and connectors from the certificates and trust anchors of a
//! configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::StartFault;
use crate::config::Config;
use crate::connector::{Inbound, KeyExchange, Mode, Outbound, Profile, Revision, TlsVersion, TrustId};
use crate::listen::settings::ListenerTls;
use crate::tls::{ClientSettings, ClientSetup, Identity, ServerSettings, ServerSetup, TrustSet};

/// What each TLS listener presents and offers, by listener name.
pub(super) type ListenerOffers = BTreeMap<String, ListenerOffer>;

/// What a listener presents and offers.
#[derive(Clone)]
pub(super) struct ListenerOffer {
    identities: Vec<Arc<Identity>>,
    pub(super) profile: Option<Profile>,
    /// Whether every client must use TLS.
    required: bool,
}

/// What the open listeners present under this configuration. A listener that it does not mention
/// keeps what it has.
pub(super) fn shown(
    config: &Config,
    open: &[(String, ListenerTls)],
    last: &ListenerOffers,
) -> ListenerOffers {
    let mut shown = ListenerOffers::new();
    for (name, tls) in open {
        if *tls == ListenerTls::Off {
            continue;
        }
        let listener = config.listen.listeners.iter().find(|listener| listener.name == *name);
        let ids = listener.map_or(&[][..], |listener| &listener.certificates);
        let identities: Vec<_> = ids.iter().filter_map(|id| config.identities.get(id)).cloned().collect();
        let required = matches!(tls, ListenerTls::Required | ListenerTls::Implicit);
        let profile = listener.and_then(|listener| listener.profile);
        let fresh = ListenerOffer { identities, profile, required };
        let presented = if fresh.identities.is_empty() { last.get(name).cloned() } else { Some(fresh) };
        if let Some(presented) = presented {
            shown.insert(name.clone(), presented);
        }
    }
    shown
}

pub(super) fn servers(
    config: &Config,
    shown: &ListenerOffers,
) -> Result<BTreeMap<String, Arc<ServerSetup>>, StartFault> {
    // A client certificate is requested only if some connector wants one: the request confuses old
    // clients.
    let ask_client = config.inbound.iter().any(Inbound::wants_certificate);
    let trust = inbound_trust(config);
    let mut setups = BTreeMap::new();
    for (name, presented) in shown {
        let settings = ServerSettings {
            identities: presented.identities.clone(),
            profile: presented.profile,
            required: presented.required,
            ask_client,
            trust: trust.clone(),
        };
        let setup = ServerSetup::new(settings)
            .map_err(|fault| StartFault::Tls { what: format!("listener {name}"), fault })?;
        setups.insert(name.clone(), Arc::new(setup));
    }
    Ok(setups)
}

pub(super) fn clients(config: &Config) -> Result<BTreeMap<Revision, Arc<ClientSetup>>, StartFault> {
    config
        .outbound
        .iter()
        .map(|connector| {
            let settings = client_settings(config, connector);
            ClientSetup::new(settings).map(|setup| (connector.revision, Arc::new(setup))).map_err(|fault| {
                StartFault::Tls { what: format!("outbound connector {}", connector.name), fault }
            })
        })
        .collect()
}

/// How the handshakes of an outbound connector are made.
#[must_use]
pub fn client_settings(config: &Config, connector: &Outbound) -> ClientSettings {
    let system = [TrustId::system()];
    let trust = connector.forced().map_or(&system[..], |forced| forced.trust());
    let sets: Vec<(TrustId, Arc<TrustSet>)> =
        trust.iter().filter_map(|id| config.trust.get(id).map(|set| (id.clone(), Arc::clone(set)))).collect();
    // In audit mode sessions that opportunistic TLS would have must not break: what enforcing would offer is tried, and
    // then what opportunistic TLS would. A profile limits what a peer may choose, and leaves nothing to see afterwards of
    // what it would have chosen.
    let rehearsed = connector.forced().filter(|forced| !connector.is_enforced() && forced.profile.is_some());
    let rehearsed = rehearsed
        .map(|_| Box::new(client_settings(config, &Outbound { mode: Mode::Enforce, ..connector.clone() })));
    let enforced = connector.forced().filter(|_| connector.is_enforced());
    let identity = connector.client_certificate.as_deref().and_then(|id| config.identities.get(id)).cloned();
    ClientSettings {
        judged: connector.is_enforced(),
        min_version: enforced.map_or(TlsVersion::V12, |forced| forced.min_version),
        key_exchange: enforced.map_or(KeyExchange::Any, |forced| forced.key_exchange),
        profile: connector.profile(),
        trust: sets,
        identity,
        rehearsed,
    }
}

/// The trust anchor sets that inbound connectors name.
fn inbound_trust(config: &Config) -> Vec<(TrustId, Arc<TrustSet>)> {
    let named = |id: &TrustId| config.inbound.iter().any(|connector| connector.trust().contains(id));
    config.trust.iter().filter(|(id, _)| named(id)).map(|(id, set)| (id.clone(), Arc::clone(set))).collect()
}
