//! Sets up the hybrid lab: folder, certificates, ports, DNS, stand-ins. It does not start the gateway.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpSocket;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::hosts::{
    CLOUD_DOMAIN, GATEWAY_NAME, INSIDE, LabHost, NAME_SERVER, OTHER_TENANT, OUTSIDE, OWN_DOMAIN,
};
use super::identities::HostTls;
use super::ledger::Ledger;
use super::pki::{HostKey, HybridPki};
use super::sender::HostClients;
use super::serve::{HostServer, bound};
use super::settings;
use super::switches::Switchboard;
use crate::lab::fault::LabFault;
use crate::lab::folder::{Folder, LabOptions, write_files};
use crate::lab::plan::ORIGIN;
use crate::lab::ports::Ports;
use crate::lab::zone::{Entries, Zone};

/// Everything around the gateway; dropping it ends it.
pub(super) struct HybridStage {
    pub(super) folder: Folder,
    pub(super) port: u16,
    pub(super) dns: SocketAddr,
    pub(super) ledger: Arc<Ledger>,
    pub(super) board: Arc<Switchboard>,
    pub(super) clients: Arc<HostClients>,
    gateway: Vec<TcpSocket>,
    _zone: Zone,
    _servers: JoinSet<()>,
}

impl HybridStage {
    /// Sets up everything except the gateway.
    pub(super) async fn set(options: &LabOptions) -> Result<Self, LabFault> {
        let folder = Folder::make(options)?;
        let pki = HybridPki::new()?;
        let zone = Zone::serve(NAME_SERVER, ORIGIN, &entries()).await?;
        let hosts = LabHost::ALL.iter().map(|host| host.address());
        let addresses: Vec<_> = [OUTSIDE, INSIDE].into_iter().chain(hosts).collect();
        let mut ports = Ports::find(&addresses, bound).map_err(LabFault::Port)?;
        let keys = keys()?;
        let pin = |host: LabHost| keys.get(&host).map(HostKey::pin).unwrap_or_default();
        let pins = [pin(LabHost::RenewalOld), pin(LabHost::RenewalNew)];
        let gateway = pki.gateway(GATEWAY_NAME)?;
        let files = [
            ("tls/lab-root.pem", pki.root_pem()),
            ("tls/lab.crl", pki.revocation_list()?),
            ("tls/gw.crt", gateway.chain_pem),
            ("tls/gw.key", gateway.key_pem),
            (CONFIG_FILE, settings::text(ports.number, zone.address(), &pins)),
        ];
        write_files(folder.path(), &files)?;
        let mut tls = BTreeMap::new();
        for (host, key) in &keys {
            tls.insert(*host, Arc::new(HostTls::new(&pki, key, *host)?));
        }
        let clients = HostClients { port: ports.number, tls, places: Semaphore::new(CLIENTS_MAX) };
        let (clients, ledger) = (Arc::new(clients), Arc::new(Ledger::default()));
        let (mut board, mut servers) = (Switchboard::default(), JoinSet::new());
        let (relay, messages) = mpsc::channel(RELAYED_MAX);
        for (host, tls) in &clients.tls {
            let (host, tls, ledger, relay) = (*host, Arc::clone(tls), Arc::clone(&ledger), relay.clone());
            let socket = ports.take(host.address()).map_err(LabFault::Port)?;
            let follower = board.follow(host);
            servers.spawn(async move {
                if let Err(fault) = (HostServer { host, tls, ledger, relay }).serve(socket, follower).await {
                    eprintln!("lab: {} has ended: {fault}", host.word());
                }
            });
        }
        let board = Arc::new(board);
        let relayed = (Arc::clone(&board), Arc::clone(&ledger));
        let relaying = Arc::clone(&clients).relay(messages, relayed);
        servers.spawn(relaying);
        let gateway = [OUTSIDE, INSIDE].into_iter().map(|address| ports.take(address));
        let gateway = gateway.collect::<io::Result<_>>().map_err(LabFault::Port)?;
        let (port, dns) = (ports.number, zone.address());
        Ok(Self { folder, port, dns, ledger, board, clients, gateway, _zone: zone, _servers: servers })
    }

    /// Path of the gateway's configuration file.
    pub(super) fn config_file(&self) -> PathBuf {
        self.folder.path().join(CONFIG_FILE)
    }

    /// Releases the gateway's ports, which were reserved until now.
    pub(super) fn free_gateway_ports(&mut self) {
        self.gateway.clear();
    }
}

fn keys() -> Result<BTreeMap<LabHost, HostKey>, LabFault> {
    let key = |host: &LabHost| Ok((*host, HostKey::new(*host)?));
    LabHost::ALL.iter().map(key).collect()
}

fn entries() -> Entries {
    let exchangers =
        [(OWN_DOMAIN, GATEWAY_NAME), (CLOUD_DOMAIN, GATEWAY_NAME), (OTHER_TENANT, LabHost::Cloud.name())];
    let mut entries = Entries {
        exchangers: exchangers.map(|(domain, host)| (domain.to_owned(), host.to_owned())).to_vec(),
        hosts: vec![(GATEWAY_NAME.to_owned(), OUTSIDE)],
    };
    for host in LabHost::ALL {
        entries.hosts.push((host.name().to_owned(), host.address()));
        if !host.is_exchange() {
            let served = host.domains().iter();
            entries.exchangers.extend(served.map(|domain| ((*domain).to_owned(), host.name().to_owned())));
        }
    }
    entries
}

const CONFIG_FILE: &str = "sealpost.toml";
const CLIENTS_MAX: usize = 32;
const RELAYED_MAX: usize = 64;
