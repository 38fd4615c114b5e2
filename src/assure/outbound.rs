//! Points the site's own sender at hostile servers, once for each requirement of a forced outbound connector and each
//! behaviour that it must not send to.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::evidence::{Evidence, EvidenceArea, EvidenceVerdict};
use super::manner::HostManner;
use super::mint::{CertificateLook, MintFault, TestMint};
use super::sender::{NOWHERE, TestSender, TrialDestination};
use super::server::{HostScript, HostileServer};
use crate::config::Config;
use crate::connector::{
    Arrival, DomainPattern, Forced, Generation, Mode, NextHop, OnFailure, Outbound, Table, TrustId, choose,
};
use crate::daemon::client_settings;
use crate::mail::{Domain, PathFault};
use crate::resolver::dns::{Dns, ResolverFault};
use crate::tls::{ClientSettings, ClientSetup, TlsFault, TrustSet};

/// What a sender must require, and the sender as it is.
pub(super) struct SenderTrial {
    /// What the configuration requires.
    pub(super) required: Forced,
    /// The connector in effect, which an override may have lowered.
    pub(super) destination: TrialDestination,
    /// Its TLS.
    pub(super) tls: ClientSettings,
}

/// Why a sender could not be tested.
#[derive(Debug, thiserror::Error)]
pub(super) enum SenderTrialFault {
    #[error(transparent)]
    Mint(#[from] MintFault),
    #[error("its TLS can't be set up: {0}")]
    Tls(#[from] TlsFault),
    #[error("the hostile server can't be set up: {0}")]
    Server(#[from] rustls::Error),
    #[error("the hostile server can't be started: {0}")]
    Socket(#[from] std::io::Error),
    #[error("its recipient domain makes no address: {0}")]
    Path(#[from] PathFault),
    #[error("the test authority can't be trusted")]
    Anchor,
    #[error("the resolver can't be set up: {0}")]
    Dns(#[from] ResolverFault),
}

/// Every forced outbound connector of a configuration against every behaviour.
pub(super) async fn outbound(written: &Config, in_effect: &Config) -> Vec<Evidence> {
    let (trials, mut evidence) = plan(written, in_effect);
    let seats = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (number, trial) in trials.into_iter().enumerate() {
        let (seats, settings) = (Arc::clone(&seats), in_effect.deliver.clone());
        running.spawn(async move { (number, trial.run(settings, seats).await) });
    }
    let mut all = running.join_all().await;
    all.sort_by_key(|(number, _)| *number);
    evidence.extend(all.into_iter().flat_map(|(_, found)| found));
    evidence
}

/// The senders to test, and what to say of connectors that have none.
fn plan(written: &Config, in_effect: &Config) -> (Vec<SenderTrial>, Vec<Evidence>) {
    let table = in_effect.table(Generation(1));
    let (mut trials, mut evidence) = (Vec::new(), Vec::new());
    for connector in in_effect.outbound.iter().filter(|one| one.mode == Mode::Enforce) {
        let strict = written.outbound.iter().find(|one| one.name == connector.name);
        let Some(strict) = strict.filter(|one| one.is_enforced()) else { continue };
        // What is handed on by another connector is for a domain of that one.
        let hands_on = |one: &&Outbound| one.on_failure == OnFailure::Reroute(Arc::clone(&connector.name));
        let others = in_effect.outbound.iter().filter(hands_on);
        let domain = std::iter::once(connector).chain(others).find_map(|one| served(&table, one));
        let Some(domain) = domain else {
            evidence.push(Evidence {
                area: EvidenceArea::Outbound,
                subject: connector.name.to_string(),
                required: "mail for its domains leaves by it".to_owned(),
                done: "asked the connector table for each of its domains".to_owned(),
                seen: "no mail leaves by it: other connectors serve all its domains, so it was not tested"
                    .to_owned(),
                verdict: EvidenceVerdict::Untested,
            });
            continue;
        };
        let mut seen: Vec<Forced> = Vec::new();
        for smart in hosts(connector) {
            let of = |connector: &Outbound| TrialDestination {
                connector: connector.clone(),
                domain: domain.clone(),
                smart: smart.clone(),
            };
            let Some(required) = of(strict).requirement().judged().cloned() else { continue };
            if !seen.contains(&required) {
                seen.push(required.clone());
                let tls = client_settings(in_effect, connector);
                trials.push(SenderTrial { required, destination: of(connector), tls });
            }
        }
    }
    (trials, evidence)
}

/// Its smart hosts; `None` stands for mail exchangers.
fn hosts(connector: &Outbound) -> Vec<Option<crate::connector::SmartHostName>> {
    match &connector.next_hop {
        NextHop::Mx { .. } => vec![None],
        NextHop::SmartHosts(hosts) => hosts.iter().map(|host| Some(host.name.clone())).collect(),
    }
}

/// A recipient domain that the table gives to this connector.
fn served(table: &Table, connector: &Outbound) -> Option<Domain> {
    let arrival = Arrival::of(connector.from_connectors.first());
    let one = |pattern: &DomainPattern| match pattern {
        DomainPattern::Exact(domain) => Some(domain.clone()),
        DomainPattern::Below(domain) => Domain::parse(&format!("sealpost-assure.{domain}")).ok(),
        DomainPattern::Any => Domain::parse(super::mint::NOBODY).ok(),
    };
    connector.domains.iter().filter_map(one).find(|domain| {
        choose(table, Some(domain), arrival).is_some_and(|choice| choice.connector.name == connector.name)
    })
}

impl SenderTrial {
    /// Tests the sender against each behaviour.
    pub(super) async fn run(
        self,
        settings: crate::deliver::settings::Settings,
        seats: Arc<Semaphore>,
    ) -> Vec<Evidence> {
        let handshake = self.destination.connector.handshake;
        let manners = HostManner::tested(&self.required, handshake);
        let (required, name) = (self.required.to_string(), Arc::clone(&self.destination.connector.name));
        let stated = |manner: HostManner, (verdict, seen)| Evidence {
            area: EvidenceArea::Outbound,
            subject: name.to_string(),
            required: required.clone(),
            done: manner.does(handshake).to_owned(),
            seen,
            verdict,
        };
        let untested =
            |manner, fault: SenderTrialFault| stated(manner, (EvidenceVerdict::Untested, fault.to_string()));
        let bench = match self.bench(settings) {
            Ok(bench) => Arc::new(bench),
            Err(fault) => return vec![untested(HostManner::Right, fault)],
        };
        let mut running = JoinSet::new();
        for (number, manner) in manners.into_iter().enumerate() {
            let (bench, seats) = (Arc::clone(&bench), Arc::clone(&seats));
            running.spawn(async move {
                let _seat = seats.acquire_owned().await;
                (number, manner, bench.try_one(manner).await)
            });
        }
        let mut all = running.join_all().await;
        all.sort_by_key(|(number, ..)| *number);
        all.into_iter()
            .map(|(_, manner, tried)| match tried {
                Ok(found) => stated(manner, found),
                Err(fault) => untested(manner, fault),
            })
            .collect()
    }

    /// The sender with our authority beside those it trusts, so that a server of ours can be right.
    fn bench(self, settings: crate::deliver::settings::Settings) -> Result<TestBench, SenderTrialFault> {
        let mint = TestMint::new(CertificateLook::meeting(&self.required))?;
        let (anchor, list) = (mint.anchor(), mint.list()?);
        let extended = |(id, set): (TrustId, Arc<TrustSet>)| {
            let set = set.with_anchor(&anchor, Arc::clone(&list)).ok_or(SenderTrialFault::Anchor)?;
            Ok((id, Arc::new(set)))
        };
        let trust =
            self.tls.trust.clone().into_iter().map(extended).collect::<Result<_, SenderTrialFault>>()?;
        let tls = Arc::new(ClientSetup::new(ClientSettings { trust, ..self.tls })?);
        let asking = crate::resolver::settings::Settings {
            servers: vec![NOWHERE],
            timeout: std::time::Duration::from_secs(1),
            attempts: 1,
        };
        let sender = TestSender { destination: self.destination, tls, settings, dns: Dns::new(&asking)? };
        Ok(TestBench { sender, mint })
    }
}

/// A sender and the certificates it is tested with.
struct TestBench {
    sender: TestSender,
    mint: TestMint,
}

impl TestBench {
    async fn try_one(&self, manner: HostManner) -> Result<(EvidenceVerdict, String), SenderTrialFault> {
        let handshake = self.sender.destination.connector.handshake;
        let tls = server_tls(manner, self.certificate(manner)?)?;
        let server = HostileServer::start(HostScript { manner, handshake, tls }).await?;
        let report = self.sender.send(server.address, &self.mint.pin()).await;
        let transcript = server.transcript().await;
        Ok(transcript.verdict(manner, &report?))
    }

    fn certificate(&self, manner: HostManner) -> Result<Arc<CertifiedKey>, MintFault> {
        match manner {
            HostManner::Shows(flaw) => self.mint.flawed(flaw),
            HostManner::Right
            | HostManner::NoTls
            | HostManner::Refuses454
            | HostManner::Refuses502
            | HostManner::RefusesAndCloses
            | HostManner::NoEhlo
            | HostManner::Injects
            | HostManner::NotTls
            | HostManner::CutsHandshake
            | HostManner::Alerts
            | HostManner::OldTls
            | HostManner::Tls12Only
            | HostManner::ClassicOnly
            | HostManner::OutsideProfile
            | HostManner::CutsSession => self.mint.right(),
        }
    }
}

/// The server's end of TLS. It asks for a certificate, and takes any.
fn server_tls(manner: HostManner, shown: Arc<CertifiedKey>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut provider = aws_lc_rs::default_provider();
    if manner == HostManner::ClassicOnly {
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP384R1];
    } else if manner == HostManner::OutsideProfile {
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    }
    let versions: &[&SupportedProtocolVersion] =
        if manner == HostManner::Tls12Only { &[&rustls::version::TLS12] } else { rustls::ALL_VERSIONS };
    let verifier =
        Arc::new(AnyTestClient { schemes: provider.signature_verification_algorithms.supported_schemes() });
    let shown = SingleCertAndKey::from(CertifiedKey::clone(&shown));
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(shown));
    Ok(Arc::new(config))
}

/// Takes any client certificate, and none.
#[derive(Debug)]
struct AnyTestClient {
    schemes: Vec<SignatureScheme>,
}

impl ClientCertVerifier for AnyTestClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// Sessions at a time.
const AT_ONCE: usize = 16;
