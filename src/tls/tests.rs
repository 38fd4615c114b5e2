//! Handshakes between our own client and server over an in-memory pipe, and files with errors in
//! them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::AlertDescription;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

mod chooser;
mod issuers;
mod revocation;
mod shelf;

use super::*;
use crate::connector::{ChainVerdict, ClientCertificate, KeyExchange, TrustId};
use crate::mail::{Domain, UnixMillis};

/// 2027-01-15.
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

struct Mint {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Mint {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Test root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { folder: TempDir::new().unwrap(), ca }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Chain and key as PEM.
    fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = params(change);
        (params.signed_by(&key, &self.ca).unwrap().pem(), key.serialize_pem())
    }

    fn identity(&self, change: impl FnOnce(&mut CertificateParams)) -> Arc<Identity> {
        let (chain, key) = self.leaf(change);
        let (chain, key) = (self.file("i.crt", &chain), self.file("i.key", &key));
        Arc::new(Identity::load(&chain, &key).unwrap())
    }

    fn trust(&self) -> Vec<(TrustId, Arc<TrustSet>)> {
        let set = TrustSet::load(&self.file("root.pem", &self.ca.pem())).unwrap();
        assert_eq!(set.count(), 1);
        vec![(TrustId("root".into()), Arc::new(set))]
    }
}

fn params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let names = ["mx.example", "*.mx.example", "192.0.2.7"].map(str::to_owned);
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "cn.example");
    change(&mut params);
    params
}

fn as_is(_: &mut CertificateParams) {}

fn client(judged: bool, trust: Vec<(TrustId, Arc<TrustSet>)>) -> ClientSettings {
    ClientSettings {
        judged,
        min_version: TlsVersion::V12,
        key_exchange: KeyExchange::Any,
        profile: None,
        trust,
        identity: None,
        rehearsed: None,
    }
}

fn plain_server(identity: Arc<Identity>) -> ServerSetup {
    ServerSetup::new(ServerSettings {
        identities: vec![identity],
        profile: None,
        required: false,
        ask_client: false,
        trust: Vec::new(),
    })
    .unwrap()
}

/// The facts or faults of both ends. If both succeed, one octet goes each way.
async fn shake(
    client: &ClientSetup,
    server: &ServerSetup,
    sni: Option<&str>,
) -> (Result<TlsFacts, String>, Result<TlsFacts, String>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let sni = sni.map(|name| Domain::parse(name).unwrap());
    let ours = async {
        let (mut stream, facts) =
            client.connect(near, (sni.as_ref(), KeyShares::Offered), NOW).await.map_err(|f| f.words)?;
        stream.write_all(b"?").await.unwrap();
        stream.read_u8().await.map_err(|e| {
            late_fault(&e, ClientCertificate::NotAskedFor).map_or_else(|| e.to_string(), |f| f.words)
        })?;
        Ok(facts)
    };
    let theirs = async {
        let (mut stream, facts, chain) = server.accept(far, true, NOW).await.map_err(|f| f.words)?;
        stream.write_all(b"!").await.unwrap();
        stream.read_u8().await.map_err(|e| {
            late_fault(&e, ClientCertificate::NotAskedFor).map_or_else(|| e.to_string(), |f| f.words)
        })?;
        Ok(chain.assess(&facts, &[TrustId("root".into())], NOW))
    };
    tokio::join!(ours, theirs)
}

fn describe(peer: &PeerCertificate) -> String {
    let facts = match peer {
        PeerCertificate::NotShown => return "not shown".to_owned(),
        PeerCertificate::Unreadable(why) => return format!("unreadable: {why}"),
        PeerCertificate::Shown(facts) => facts,
    };
    let chain = facts.chain.values().next().map_or("unasked".to_owned(), |verdict| match verdict {
        ChainVerdict::Trusted => "trusted".to_owned(),
        ChainVerdict::Faulty(fault) => fault.token().to_owned(),
    });
    format!("{} {chain}", if facts.proved { "proved" } else { "unproved" })
}

#[track_caller]
fn check_chain(usage: Usage, change: impl FnOnce(&mut CertificateParams), expected: &str) {
    let mint = Mint::new();
    let (chain, _) = mint.leaf(change);
    let chain = pem::certificates(&mint.file("c.pem", &chain)).unwrap();
    assert_eq!(describe(&assess(&chain, true, &mint.trust(), usage, NOW)), expected);
}

/// SHA-1 can't be signed with here any more: the name of the algorithm is changed, which is all that is looked at.
#[test]
fn a_chain_signed_with_sha_1_is_told_in_words() {
    let mut mint = Mint::new();
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    mint.ca = CertifiedIssuer::self_signed(params, key).unwrap();
    let (chain, _) = mint.leaf(as_is);
    let mut der = pem::certificates(&mint.file("c.pem", &chain)).unwrap().remove(0).to_vec();
    let sha_256 = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b];
    let found: Vec<_> =
        (0..der.len()).filter(|at| der.get(*at..).is_some_and(|rest| rest.starts_with(&sha_256))).collect();
    assert_eq!(found.len(), 2);
    found.iter().for_each(|at| der[at + 8] = 5);
    let PeerCertificate::Shown(facts) =
        assess(&[CertificateDer::from(der)], true, &mint.trust(), Usage::Server, NOW)
    else {
        panic!("not read")
    };
    let words = match facts.chain.values().next() {
        Some(ChainVerdict::Faulty(fault)) => fault.in_words(&facts),
        other => format!("{other:?}"),
    };
    assert_eq!(
        words,
        "the chain was not accepted: a certificate in it is signed with RSA PKCS#1 v1.5 with SHA-1, which is not accepted"
    );
}

#[test]
fn a_chain_is_assessed_for_each_set() {
    use ExtendedKeyUsagePurpose::{ClientAuth, EmailProtection, ServerAuth};
    let purpose = |purpose| move |p: &mut CertificateParams| p.extended_key_usages = vec![purpose];
    check_chain(Usage::Server, as_is, "proved trusted");
    check_chain(Usage::Server, |p| p.not_after = date_time_ymd(2026, 1, 1), "proved certificate-expired");
    check_chain(
        Usage::Server,
        |p| p.not_before = date_time_ymd(2028, 1, 1),
        "proved certificate-not-yet-valid",
    );
    let ca = |p: &mut CertificateParams| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    check_chain(Usage::Server, ca, "proved ca-as-end-entity");
    check_chain(Usage::Server, purpose(ServerAuth), "proved trusted");
    check_chain(Usage::Server, purpose(ClientAuth), "proved wrong-purpose");
    check_chain(Usage::ClientOrServer, purpose(ClientAuth), "proved trusted");
    check_chain(Usage::ClientOrServer, purpose(ServerAuth), "proved trusted");
    check_chain(Usage::ClientOrServer, purpose(EmailProtection), "proved wrong-purpose");
    let expired_client = |p: &mut CertificateParams| {
        p.extended_key_usages = vec![ServerAuth];
        p.not_after = date_time_ymd(2026, 1, 1);
    };
    check_chain(Usage::ClientOrServer, expired_client, "proved certificate-expired");
}

/// A partner's own certificate that an operator has put among the anchors, as relays on OpenSSL trust it.
#[test]
fn a_certificate_that_is_an_anchor_itself_is_trusted() {
    let check = |change: fn(&mut CertificateParams), usage, expected: &str| {
        let mint = Mint::new();
        let own = params(|p| {
            p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            change(p);
        });
        let own = own.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let set = TrustSet::load(&mint.file("own.pem", &own.pem())).unwrap();
        let sets = [(TrustId("own".into()), Arc::new(set))];
        let peer = assess(&[own.der().clone()], true, &sets, usage, NOW);
        assert_eq!(describe(&peer), expected);
        // Not by its name: another certificate of the same name has another key.
        let other = params(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
        let other = other.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let peer = assess(&[other.der().clone()], true, &sets, usage, NOW);
        assert_eq!(describe(&peer), "proved ca-as-end-entity");
    };
    use ExtendedKeyUsagePurpose::{ClientAuth, EmailProtection};
    check(as_is, Usage::Server, "proved trusted");
    check(as_is, Usage::ClientOrServer, "proved trusted");
    check(|p| p.not_after = date_time_ymd(2026, 1, 1), Usage::Server, "proved certificate-expired");
    check(|p| p.not_before = date_time_ymd(2028, 1, 1), Usage::Server, "proved certificate-not-yet-valid");
    check(|p| p.extended_key_usages = vec![ClientAuth], Usage::Server, "proved wrong-purpose");
    check(|p| p.extended_key_usages = vec![ClientAuth], Usage::ClientOrServer, "proved trusted");
    check(|p| p.extended_key_usages = vec![EmailProtection], Usage::Server, "proved wrong-purpose");
}

#[test]
fn foreign_self_signed_forged_and_unreadable_chains_are_told_apart() {
    let (mint, other) = (Mint::new(), Mint::new());
    let told =
        |chain: &[CertificateDer<'_>]| describe(&assess(chain, true, &mint.trust(), Usage::Server, NOW));
    let der = |pem: &str| pem::certificates(&mint.file("c.pem", pem)).unwrap();

    let own = params(as_is).self_signed(&KeyPair::generate().unwrap()).unwrap();
    assert_eq!(told(&[own.der().clone()]), "proved unknown-issuer");
    // The other root has the same name and a different key.
    assert_eq!(told(&der(&other.leaf(as_is).0)), "proved chain-bad-signature");
    assert_eq!(told(&[]), "not shown");
    assert!(told(&[CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])]).starts_with("unreadable: "));
    let no_sets = assess(&der(&mint.leaf(as_is).0), false, &[], Usage::Server, NOW);
    assert_eq!(describe(&no_sets), "unproved unasked");
}

#[test]
fn names_come_from_the_subject_alternative_name_alone() {
    let mint = Mint::new();
    let facts = mint.identity(as_is).facts().clone();
    assert_eq!(facts.names_text(), "mx.example, *.mx.example, 192.0.2.7");
    assert!(facts.subject.contains("cn.example") && facts.issuer.contains("Test root"), "{facts:?}");
    assert_eq!(facts.sha256.len(), 64);
    let bare = mint.identity(|p| p.subject_alt_names.clear());
    assert_eq!(bare.facts().names_text(), "no subjectAltName");
    let odd = mint.identity(|p| {
        p.distinguished_name.push(DnType::OrganizationName, "two\r\nlines");
    });
    assert!(!odd.facts().subject.contains(['\r', '\n']), "{:?}", odd.facts().subject);
}

#[tokio::test]
async fn a_good_handshake_shows_version_suite_group_name_and_peer() {
    let mint = Mint::new();
    let server = plain_server(mint.identity(as_is));
    let setup = ClientSetup::new(client(true, mint.trust())).unwrap();
    let (ours, theirs) = shake(&setup, &server, Some("mx.example")).await;
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    assert_eq!(describe(&ours.peer), "proved trusted");
    assert_eq!(ours.channel_text(), "version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 group=X25519MLKEM768");
    assert_eq!(ours.client_certificate, Some(crate::connector::ClientCertificate::NotAskedFor));
    assert_eq!((ours.sni.as_deref(), theirs.sni.as_deref()), (Some("mx.example"), Some("mx.example")));
    assert_eq!(theirs.peer, PeerCertificate::NotShown);
    assert_eq!(theirs.channel_text(), ours.channel_text());

    let (ours, theirs) = shake(&setup, &server, None).await;
    assert_eq!((ours.unwrap().sni, theirs.unwrap().sni), (None, None));
}

#[tokio::test]
async fn a_faulty_chain_never_breaks_the_handshake() {
    let mint = Mint::new();
    let server = plain_server(mint.identity(|p| p.not_after = date_time_ymd(2026, 1, 1)));
    for judged in [true, false] {
        let setup = ClientSetup::new(client(judged, mint.trust())).unwrap();
        let facts = shake(&setup, &server, None).await.0.unwrap();
        assert_eq!(describe(&facts.peer), "proved certificate-expired");
    }
}

/// A chain with someone else's key, which [`Identity`] would reject.
fn stolen(mint: &Mint) -> SingleCertAndKey {
    let chain = pem::certificates(&mint.file("s.crt", &mint.leaf(as_is).0)).unwrap();
    let key = PrivateKeyDer::try_from(KeyPair::generate().unwrap().serialize_der()).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();
    CertifiedKey::new(chain, key).into()
}

#[tokio::test]
async fn an_unproved_server_key_breaks_a_judged_handshake_and_is_recorded_otherwise() {
    let mint = Mint::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(stolen(&mint)));
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        for (judged, expected) in [
            (true, "the peer did not prove that it holds the certificate's key: its signature is wrong"),
            (false, "unproved trusted"),
        ] {
            let setup = ClientSetup::new(client(judged, mint.trust())).unwrap();
            let (near, far) = tokio::io::duplex(1 << 16);
            let (ours, _) =
                tokio::join!(setup.connect(near, (None, KeyShares::Offered), NOW), acceptor.accept(far));
            let told = ours.map_or_else(|fault| fault.words, |(_, facts)| describe(&facts.peer));
            assert_eq!(told, expected, "{version:?}");
        }
    }
}

#[tokio::test]
async fn an_unproved_client_key_breaks_the_handshake() {
    let mint = Mint::new();
    let settings = ServerSettings {
        identities: vec![mint.identity(as_is)],
        profile: None,
        required: false,
        ask_client: true,
        trust: mint.trust(),
    };
    let server = ServerSetup::new(settings).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(mint.ca.der().clone()).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_client_cert_resolver(Arc::new(stolen(&mint)));
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let (near, far) = tokio::io::duplex(1 << 16);
        let name = ServerName::try_from("mx.example").unwrap();
        let (_, theirs) = tokio::join!(connector.connect(name, near), server.accept(far, true, NOW));
        let fault = theirs.expect_err("the key is not proved").words;
        assert!(fault.starts_with("the peer did not prove"), "{version:?}: {fault}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_when_asked_for_and_assessed() {
    let mint = Mint::new();
    let ours = mint.identity(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let asking = ServerSettings {
        identities: vec![mint.identity(as_is)],
        profile: None,
        required: false,
        ask_client: true,
        trust: mint.trust(),
    };
    let asking = ServerSetup::new(asking).unwrap();
    let quiet = plain_server(mint.identity(as_is));
    for min_version in [TlsVersion::V12, TlsVersion::V13] {
        let with = ClientSettings { identity: Some(ours.clone()), min_version, ..client(true, mint.trust()) };
        let with = ClientSetup::new(with).unwrap();
        let without = ClientSetup::new(ClientSettings { min_version, ..client(true, mint.trust()) }).unwrap();
        for (client, server, note, peer) in [
            (&with, &asking, "sent", "proved trusted"),
            (&without, &asking, "asked for, none configured", "not shown"),
            (&with, &quiet, "not asked for", "not shown"),
        ] {
            let (near, far) = shake(client, server, Some("mx.example")).await;
            assert_eq!(near.unwrap().client_certificate.map(|c| c.to_string()).as_deref(), Some(note));
            assert_eq!(describe(&far.unwrap().peer), peer);
        }
    }
}

/// An alert that a server sends in the handshake, or after it, to a client that it asked for a certificate or not.
#[track_caller]
fn check_alert(alert: AlertDescription, asked: ClientCertificate, over_certificate: bool, expected: &str) {
    let error = std::io::Error::other(rustls::Error::AlertReceived(alert));
    for fault in [late_fault(&error, asked).unwrap(), handshake_fault(&error, asked)] {
        let words = format!("the peer sent the alert {}{expected}", super::words::alert_name(alert));
        assert_eq!((fault.words, fault.over_certificate), (words, over_certificate), "{asked:?}");
    }
}

#[test]
fn whoever_asked_for_a_certificate_and_breaks_off_does_so_over_it() {
    use ClientCertificate::{NoneToSend, NotAskedFor, NotSuited, Sent};
    let wanted = "; it wants a client certificate, and none is configured (client_certificate)";
    // TLS 1.2 (RFC 5246 §7.4.6) and TLS 1.3 (RFC 8446 §4.4.2.4).
    check_alert(AlertDescription::HandshakeFailure, NoneToSend, true, wanted);
    check_alert(AlertDescription::CertificateRequired, NoneToSend, true, wanted);
    check_alert(AlertDescription::BadCertificate, NoneToSend, true, wanted);
    let unsuited =
        "; it wants a client certificate, and ours does not fit the signature schemes it asked for";
    check_alert(AlertDescription::HandshakeFailure, NotSuited, true, unsuited);
    check_alert(AlertDescription::HandshakeFailure, Sent, true, "; it refused our client certificate");
    let unknown = "; it does not know the issuer of our certificate";
    check_alert(AlertDescription::UnknownCA, Sent, true, unknown);
    check_alert(AlertDescription::InternalError, NoneToSend, false, "");
    let nothing = "; usually no cipher suite or key exchange in common";
    check_alert(AlertDescription::HandshakeFailure, NotAskedFor, false, nothing);
    let closed = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let fault = handshake_fault(&closed, NoneToSend);
    assert_eq!(fault.words, format!("the connection ended during the handshake{wanted}"));
    assert!(fault.over_certificate && !handshake_fault(&closed, NotAskedFor).over_certificate);
}

#[tokio::test]
async fn a_certificate_that_is_demanded_and_not_there_is_the_reason_in_both_versions() {
    let mint = Mint::new();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(mint.ca.der().clone()).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(roots.clone().into(), provider());
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(mint.identity(as_is).certified().clone())));
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let setup = ClientSetup::new(client(true, mint.trust())).unwrap();
        let (near, far) = tokio::io::duplex(1 << 16);
        let ours = async {
            let (mut stream, facts) = setup.connect(near, (None, KeyShares::Offered), NOW).await?;
            let asked = facts.client_certificate.unwrap();
            let error = stream.read_u8().await.expect_err("the server does not go on");
            Err::<(), _>(late_fault(&error, asked).unwrap())
        };
        let (ours, _) = tokio::join!(ours, acceptor.accept(far));
        let fault = ours.unwrap_err();
        let wanted = "it wants a client certificate, and none is configured";
        assert!(fault.over_certificate && fault.words.contains(wanted), "{version:?}: {}", fault.words);
    }
}

#[tokio::test]
async fn nothing_older_than_allowed_is_spoken() {
    let mint = Mint::new();
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(mint.identity(as_is).certified().clone())));
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    for (min_version, expected) in [
        (TlsVersion::V12, "TLSv1.2"),
        (
            TlsVersion::V13,
            "the peer sent the alert protocol_version; it does not speak the TLS versions offered",
        ),
    ] {
        let setup = ClientSetup::new(ClientSettings { min_version, ..client(true, mint.trust()) }).unwrap();
        let (near, far) = tokio::io::duplex(1 << 16);
        let (ours, _) =
            tokio::join!(setup.connect(near, (None, KeyShares::Offered), NOW), acceptor.accept(far));
        assert_eq!(ours.map_or_else(|fault| fault.words, |(_, facts)| facts.version.to_string()), expected);
    }
}

#[tokio::test]
async fn what_is_no_tls_is_named() {
    let mint = Mint::new();
    let setup = ClientSetup::new(client(false, Vec::new())).unwrap();
    let server = plain_server(mint.identity(as_is));
    for (answer, expected) in [
        ("220 mx.example ESMTP\r\n", "the peer sent something that is not TLS"),
        ("", "the connection ended during the handshake"),
    ] {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let talk = async move {
            let mut hello = [0; 5];
            far.read_exact(&mut hello).await.unwrap();
            far.write_all(answer.as_bytes()).await.unwrap();
            far.shutdown().await.unwrap();
            far.read_to_end(&mut Vec::new()).await.unwrap();
        };
        let (ours, ()) =
            tokio::join!(async { setup.connect(near, (None, KeyShares::Offered), NOW).await.err() }, talk);
        assert_eq!(ours.unwrap().words, expected);
    }
    let (mut near, far) = tokio::io::duplex(1 << 16);
    near.write_all(b"EHLO mx.example\r\n").await.unwrap();
    let fault = server.accept(far, true, NOW).await.expect_err("no handshake").words;
    assert_eq!(fault, "the peer sent something that is not TLS");
}
