//! Sets up the tour: folder, certificates, ports, DNS, mail servers. It does not start the gateway.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::client::ClientTls;
use super::super::fault::LabFault;
use super::super::folder::{Folder, LabOptions, write_files};
use super::super::hybrid::bound;
use super::super::hybrid::faults::HostTrouble;
use super::super::mint::{Authority, Leaf, Mint, Validity};
use super::super::partner::server_tls;
use super::super::ports::Ports;
use super::super::zone::{Entries, Zone};
use super::host::{HostCertificates, TourHost, TroubleSwitch};
use super::script::{
    GATEWAY, MAIL_SERVER, NAME_SERVER, OWN_DOMAIN, PARTNERS, TourPartner, TourTurn, address,
};
use super::settings::{self, TourFacts};
use crate::admin::random_hex;
use crate::mail::Clock;

/// What is around the gateway; dropping it ends it, and removes its folder.
pub(super) struct TourStage {
    folder: Folder,
    port: u16,
    /// The token of an operator.
    pub(super) token: String,
    /// What each partner presents as a client; `None`: it has no TLS.
    pub(super) clients: Vec<Option<HostCertificates<ClientTls>>>,
    /// Our own mail server's end of TLS.
    pub(super) staff: ClientTls,
    switches: Vec<TroubleSwitch>,
    gateway_port: Option<TcpSocket>,
    _zone: Zone,
    _servers: JoinSet<()>,
}

impl TourStage {
    /// Sets up everything except the gateway.
    ///
    /// # Errors
    /// A [`LabFault`] that names the part that failed.
    pub(super) async fn set(state: Option<PathBuf>, pace: u32) -> Result<Self, LabFault> {
        let folder = Folder::make(&LabOptions { state, ..LabOptions::default() })?;
        let mint = Mint::new()?;
        let zone = Zone::serve(address(NAME_SERVER), "example", &entries()).await?;
        let octets = [address(GATEWAY.1), address(MAIL_SERVER.1)];
        let addresses: Vec<_> = octets.into_iter().chain(PARTNERS.iter().map(TourPartner::address)).collect();
        let mut ports = Ports::find(&addresses, bound).map_err(LabFault::Port)?;
        let token = random_hex::<16>().ok_or(LabFault::Token)?;
        // At any pace mail is tried again while a partner is broken, and soon after it has recovered.
        let retry = |seconds: u32| seconds.checked_div(pace).unwrap_or(seconds).max(1);
        let facts = TourFacts {
            port: ports.number,
            dns: zone.address(),
            retry: (retry(5), retry(10)),
            review: Clock::wall().plus(REVIEW_AFTER),
        };
        write(folder.path(), &mint, (&settings::text(&facts), &token))?;
        let mut servers = JoinSet::new();
        let mut open = |host: TourHost, socket: TcpSocket| {
            let (switch, switched) = watch::channel(None);
            servers.spawn(async move {
                let name = host.name.clone();
                if let Err(fault) = host.serve(socket, switched).await {
                    eprintln!("lab: {name} has ended: {fault}");
                }
            });
            switch
        };
        let mail_server = leaves(&mint, Authority::Lab, &[MAIL_SERVER.0])?;
        let tls = Some(served(&mail_server)?);
        let socket = ports.take(address(MAIL_SERVER.1)).map_err(LabFault::Port)?;
        let mut switches = vec![open(TourHost { name: MAIL_SERVER.0.to_owned(), tls }, socket)];
        let mut clients = Vec::new();
        for partner in PARTNERS {
            let shown = partner.knows_tls.then(|| certificates(&mint, partner)).transpose()?;
            let tls = shown.as_ref().map(served).transpose()?;
            let socket = ports.take(partner.address()).map_err(LabFault::Port)?;
            switches.push(open(TourHost { name: partner.host(), tls }, socket));
            clients.push(shown.map(|shown| presented(&mint, shown)).transpose()?);
        }
        Ok(Self {
            folder,
            port: ports.number,
            token,
            clients,
            staff: ClientTls::new(mint.root(Authority::Lab), GATEWAY.0, None)?,
            switches,
            gateway_port: ports.take(address(GATEWAY.1)).ok(),
            _zone: zone,
            _servers: servers,
        })
    }

    /// Path of the gateway's configuration file.
    pub(super) fn config_file(&self) -> PathBuf {
        self.folder.path().join("sealpost.toml")
    }

    /// The address the gateway listens on.
    pub(super) fn gateway(&self) -> SocketAddr {
        (address(GATEWAY.1), self.port).into()
    }

    /// Releases the gateway's port, which was reserved until now.
    pub(super) fn free_gateway_port(&mut self) {
        self.gateway_port = None;
    }

    /// A partner breaks or recovers.
    pub(super) fn turn(&self, turn: &TourTurn) {
        if let Some(switch) = self.switch(turn.scene.partner) {
            switch.send_replace(turn.breaks.then_some(turn.scene.trouble));
        }
    }

    /// What is wrong with a partner.
    pub(super) fn trouble(&self, partner: usize) -> Option<HostTrouble> {
        self.switch(partner).and_then(|switch| *switch.borrow())
    }

    /// The first one is our own mail server's.
    fn switch(&self, partner: usize) -> Option<&TroubleSwitch> {
        self.switches.get(partner.saturating_add(1))
    }
}

fn entries() -> Entries {
    let mut entries = Entries {
        exchangers: vec![(OWN_DOMAIN.to_owned(), GATEWAY.0.to_owned())],
        hosts: [GATEWAY, MAIL_SERVER].map(|(name, octet)| (name.to_owned(), address(octet))).to_vec(),
    };
    for partner in PARTNERS {
        entries.exchangers.push((partner.domain.to_owned(), partner.host()));
        entries.hosts.push((partner.host(), partner.address()));
    }
    entries
}

fn write(folder: &Path, mint: &Mint, (config, token): (&str, &str)) -> Result<(), LabFault> {
    let gateway = mint.leaf(Authority::Lab, &[GATEWAY.0], Validity::Days(GATEWAY_DAYS))?;
    let files = [
        ("tls/partners.pem", mint.root_pem(Authority::Lab)),
        ("tls/court.pem", mint.root_pem(Authority::Private)),
        ("tls/gw.crt", gateway.chain_pem),
        ("tls/gw.key", gateway.key_pem),
        ("tokens", format!("operator you {token}\n")),
        ("sealpost.toml", config.to_owned()),
    ];
    write_files(folder, &files)
}

fn certificates(mint: &Mint, partner: &TourPartner) -> Result<HostCertificates<Leaf>, LabFault> {
    let by = if partner.has_own_authority { Authority::Private } else { Authority::Lab };
    leaves(mint, by, &[&partner.host(), partner.domain])
}

fn leaves(mint: &Mint, by: Authority, names: &[&str]) -> Result<HostCertificates<Leaf>, LabFault> {
    Ok(HostCertificates {
        good: mint.leaf(by, names, Validity::Current)?,
        expired: mint.leaf(by, names, Validity::Over)?,
        misnamed: mint.leaf(by, &["www.elsewhere.example"], Validity::Current)?,
    })
}

fn served(shown: &HostCertificates<Leaf>) -> Result<HostCertificates<ServerTls>, LabFault> {
    let tls = |leaf: &Leaf| server_tls(leaf.copied(), None);
    Ok(HostCertificates {
        good: tls(&shown.good)?,
        expired: tls(&shown.expired)?,
        misnamed: tls(&shown.misnamed)?,
    })
}

fn presented(mint: &Mint, shown: HostCertificates<Leaf>) -> Result<HostCertificates<ClientTls>, LabFault> {
    let tls = |leaf| ClientTls::new(mint.root(Authority::Lab), GATEWAY.0, Some(("of its own", leaf)));
    Ok(HostCertificates {
        good: tls(shown.good)?,
        expired: tls(shown.expired)?,
        misnamed: tls(shown.misnamed)?,
    })
}

type ServerTls = std::sync::Arc<rustls::ServerConfig>;

/// How long the gateway's certificate is valid: it is among what ends soon.
const GATEWAY_DAYS: u16 = 45;
const REVIEW_AFTER: Duration = Duration::from_secs(52 * 24 * 3_600);
