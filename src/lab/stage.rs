//! Sets up the lab: folder, certificates, ports, DNS, partners. It does not start the gateway.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use super::capture::Capture;
use super::client::ClientTls;
use super::fault::LabFault;
use super::folder::{Folder, LabOptions};
use super::mint::{Authority, Leaf, Mint, Validity};
use super::partner::{LabPartner, server_tls};
use super::plan::{
    Behaviour, ClientDoes, DNS_OCTET, GATEWAY, ON_PREMISES, ORIGIN, OUTBOUND, OWN_DOMAIN, OutboundCase,
    PARTNER, ShownIdentities, address,
};
use super::ports::Ports;
use super::settings;
use super::zone::{Entries, Zone};

/// The lab around the gateway; dropping it ends it.
pub struct Stage {
    folder: Folder,
    /// The port of the gateway and of every partner.
    pub port: u16,
    /// The address of the lab's DNS server.
    pub dns: SocketAddr,
    /// What the mail server behind the gateway saw.
    pub on_premises: Arc<Capture>,
    /// What the partner of each outbound case saw, in the order of the cases.
    pub partners: Vec<Arc<Capture>>,
    mint: Mint,
    gateway_port: Option<TcpSocket>,
    down: Vec<TcpSocket>,
    _zone: Zone,
    servers: JoinSet<()>,
}

impl Stage {
    /// Sets up everything except the gateway.
    ///
    /// # Errors
    /// A [`LabFault`] that names the part that failed.
    pub async fn set(options: &LabOptions) -> Result<Self, LabFault> {
        let folder = Folder::make(options)?;
        let mint = Mint::new()?;
        let zone = Zone::serve(address(DNS_OCTET), ORIGIN, &entries()).await?;
        let octets = OUTBOUND.iter().map(|case| case.octet);
        let addresses: Vec<_> = [GATEWAY.1, ON_PREMISES.1].into_iter().chain(octets).map(address).collect();
        let mut ports = Ports::find(&addresses, bound).map_err(LabFault::Port)?;
        write_files(folder.path(), &mint, ports.number, zone.address())?;
        let gateway_port = ports.take(address(GATEWAY.1)).ok();
        let mut stage = Self {
            folder,
            port: ports.number,
            dns: zone.address(),
            on_premises: Arc::default(),
            partners: Vec::new(),
            mint,
            gateway_port,
            down: Vec::new(),
            _zone: zone,
            servers: JoinSet::new(),
        };
        stage.open_partners(&mut ports)?;
        Ok(stage)
    }

    /// Path of the gateway's configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join(CONFIG_FILE)
    }

    /// The folder with everything on disk.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address the gateway listens on.
    #[must_use]
    pub fn gateway(&self) -> SocketAddr {
        (address(GATEWAY.1), self.port).into()
    }

    /// Releases the gateway's port, which was reserved until now.
    pub fn free_gateway_port(&mut self) {
        self.gateway_port = None;
    }

    /// A client's end of TLS; `None`: the client stays in plaintext.
    ///
    /// # Errors
    /// A certificate that could not be made.
    pub fn client_tls(&self, does: ClientDoes) -> Result<Option<ClientTls>, LabFault> {
        let name = match does {
            ClientDoes::Clear => return Ok(None),
            ClientDoes::NoCertificate => None,
            ClientDoes::OwnCertificate => Some(PARTNER.1),
            ClientDoes::WrongName => Some(ELSEWHERE),
        };
        let shown = match name {
            None => None,
            Some(name) => Some((name, self.mint.leaf(Authority::Lab, &[name], Validity::Current)?)),
        };
        ClientTls::new(self.mint.root(Authority::Lab), GATEWAY.0, shown).map(Some)
    }

    fn open_partners(&mut self, ports: &mut Ports) -> Result<(), LabFault> {
        let (name, octet) = ON_PREMISES;
        let leaf = self.mint.leaf(Authority::Lab, &[name], Validity::Current)?;
        let capture = Arc::clone(&self.on_premises);
        let tls = Some(server_tls(leaf, None)?);
        let partner = LabPartner { name: name.to_owned(), behaviour: Behaviour::Good, tls, capture };
        self.open(partner, ports.take(address(octet)))?;
        for case in OUTBOUND {
            let capture = Arc::new(Capture::default());
            self.partners.push(Arc::clone(&capture));
            let clients_by = (case.behaviour == Behaviour::DemandsClientCertificate)
                .then(|| self.mint.root(Authority::Lab));
            let tls = Some(server_tls(shown(&self.mint, case)?, clients_by)?);
            let partner = LabPartner { name: case.exchanger(), behaviour: case.behaviour, tls, capture };
            self.open(partner, ports.take(case.address()))?;
        }
        Ok(())
    }

    fn open(&mut self, partner: LabPartner, socket: io::Result<TcpSocket>) -> Result<(), LabFault> {
        let socket = socket.map_err(LabFault::Port)?;
        if partner.behaviour == Behaviour::Down {
            // Bound but not listening: connections are refused, and no other process can take the
            // port.
            self.down.push(socket);
            return Ok(());
        }
        let listener: TcpListener = socket.listen(BACKLOG).map_err(LabFault::Port)?;
        self.servers.spawn(partner.serve(listener));
        Ok(())
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(address)?;
    Ok(socket)
}

fn shown(mint: &Mint, case: &OutboundCase) -> Result<Leaf, LabFault> {
    let host = case.exchanger();
    let own = [case.domain, host.as_str()];
    let (by, names, validity) = match case.shown {
        ShownIdentities::Fits => (Authority::Lab, own.as_slice(), Validity::Current),
        ShownIdentities::WrongName => (Authority::Lab, [ELSEWHERE].as_slice(), Validity::Current),
        ShownIdentities::Expired => (Authority::Lab, own.as_slice(), Validity::Over),
        ShownIdentities::PrivateCa => (Authority::Private, own.as_slice(), Validity::Current),
    };
    Ok(mint.leaf(by, names, validity)?)
}

fn entries() -> Entries {
    let (on_premises, octet) = ON_PREMISES;
    let mut entries = Entries {
        exchangers: vec![(OWN_DOMAIN.to_owned(), GATEWAY.0.to_owned())],
        hosts: vec![(on_premises.to_owned(), address(octet)), (GATEWAY.0.to_owned(), address(GATEWAY.1))],
    };
    for case in OUTBOUND {
        entries.exchangers.push((case.domain.to_owned(), case.exchanger()));
        entries.hosts.push((case.exchanger(), case.address()));
    }
    entries
}

fn write_files(folder: &Path, mint: &Mint, port: u16, dns: SocketAddr) -> Result<(), LabFault> {
    let gateway = mint.leaf(Authority::Lab, &[GATEWAY.0], Validity::Current)?;
    let partner = mint.leaf(Authority::Lab, &[PARTNER.1], Validity::Current)?;
    let files = [
        ("tls/lab-root.pem", mint.root_pem(Authority::Lab)),
        ("tls/private-root.pem", mint.root_pem(Authority::Private)),
        ("tls/gw.crt", gateway.chain_pem),
        ("tls/gw.key", gateway.key_pem),
        ("tls/fabrikam.crt", partner.chain_pem),
        ("tls/fabrikam.key", partner.key_pem),
        (CONFIG_FILE, settings::text(port, dns)),
    ];
    super::folder::write_files(folder, &files)
}

const CONFIG_FILE: &str = "sealpost.toml";
const ELSEWHERE: &str = "mx.elsewhere.lab.test";
const BACKLOG: u32 = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    #[tokio::test]
    async fn everything_is_up_but_the_gateway_and_who_isdown() {
        let stage = Stage::set(&LabOptions::default()).await.expect("a stage");
        assert!(stage.port >= 1025 && stage.config_file().is_file());
        for case in OUTBOUND {
            let reached = tokio::net::TcpStream::connect((case.address(), stage.port)).await;
            assert_eq!(reached.is_ok(), case.behaviour != Behaviour::Down, "{}", case.domain);
        }
        let folder = stage.folder().to_owned();
        drop(stage);
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_folder_with_something_in_it_is_not_touched() {
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("x"), "y").expect("a file");
        let options = LabOptions { state: Some(folder.path().to_owned()), ..LabOptions::default() };
        let fault = Stage::set(&options).await.err().expect("a fault");
        assert!(matches!(fault, LabFault::NotEmpty(_)), "{fault}");
    }
}
