//! Which of a listener's certificates a client is given.

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};
use rustls::SignatureScheme;

use super::*;

fn identity(mint: &Mint, file: &str, names: &[&str], kind: &'static SignatureAlgorithm) -> Arc<Identity> {
    let key = KeyPair::generate_for(kind).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let chain = CertificateParams::new(names).unwrap().signed_by(&key, &mint.ca).unwrap().pem();
    let (chain, key) =
        (mint.file(&format!("{file}.crt"), &chain), mint.file(&format!("{file}.key"), &key.serialize_pem()));
    Arc::new(Identity::load(&chain, &key).unwrap())
}

#[tokio::test]
async fn by_name_and_by_the_signatures_the_client_knows() {
    let mint = Mint::new();
    let setup = ServerSetup::new(ServerSettings {
        identities: vec![
            identity(&mint, "ec", &["gw.example"], &PKCS_ECDSA_P256_SHA256),
            identity(&mint, "rsa", &["gw.example"], &PKCS_RSA_SHA256),
            identity(&mint, "star", &["*.wild.example"], &PKCS_ECDSA_P256_SHA256),
            identity(&mint, "own", &["a.wild.example"], &PKCS_ECDSA_P256_SHA256),
        ],
        profile: None,
        required: false,
        ask_client: false,
        trust: Vec::new(),
    })
    .unwrap();
    let (rsa, ec) = (SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256);
    for (name, schemes, expected) in [
        ("gw.example", vec![rsa, ec], "gw.example EC"),
        ("gw.example", vec![rsa], "gw.example RSA"),
        ("GW.example", vec![ec], "gw.example EC"),
        ("a.wild.example", vec![ec], "a.wild.example EC"),
        ("b.wild.example", vec![ec], "*.wild.example EC"),
        ("other.example", vec![rsa, ec], "gw.example EC"),
        ("a.wild.example", vec![rsa], "gw.example RSA"),
    ] {
        let roots = Arc::new(rustls::RootCertStore::empty());
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.dangerous().set_certificate_verifier(Arc::new(Any(schemes.clone())));
        let (near, far) = tokio::io::duplex(1 << 16);
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let server_name = ServerName::try_from(name).unwrap();
        let (shown, _) = tokio::join!(connector.connect(server_name, near), setup.accept(far, false, NOW));
        let shown = shown.unwrap();
        let der = &shown.get_ref().1.peer_certificates().unwrap()[0];
        let facts = certificate::read(der).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(der).unwrap();
        let kind = if parsed.public_key().algorithm.algorithm.to_string().starts_with("1.2.840.113549") {
            "RSA"
        } else {
            "EC"
        };
        assert_eq!(format!("{} {kind}", facts.names_text()), expected, "{name} {schemes:?}");
    }
}

/// RFC 8422 §5.1: in TLS 1.2 a client names the curves of keys by its groups, in TLS 1.3 by its signature schemes.
#[tokio::test]
async fn by_the_curves_the_client_knows() {
    use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519};
    let mint = Mint::new();
    let identities = vec![
        identity(&mint, "p256", &["p256.example"], &PKCS_ECDSA_P256_SHA256),
        identity(&mint, "p384", &["p384.example"], &rcgen::PKCS_ECDSA_P384_SHA384),
        identity(&mint, "rsa", &["rsa.example"], &PKCS_RSA_SHA256),
    ];
    let setup = ServerSetup::new(ServerSettings {
        identities,
        profile: None,
        required: false,
        ask_client: false,
        trust: Vec::new(),
    })
    .unwrap();
    let (v12, v13) = (&rustls::version::TLS12, &rustls::version::TLS13);
    for (name, version, groups, expected) in [
        ("p256.example", v12, vec![SECP384R1], "p384.example"),
        ("p384.example", v12, vec![SECP256R1], "p256.example"),
        ("p384.example", v12, vec![SECP256R1, SECP384R1], "p384.example"),
        ("other.example", v12, vec![SECP384R1], "p384.example"),
        ("p256.example", v12, vec![X25519], "rsa.example"),
        ("p256.example", v13, vec![SECP384R1], "p256.example"),
        ("p256.example", v13, vec![X25519], "p256.example"),
    ] {
        // Unlike this library, others name no suites of TLS 1.3 where they do not speak it.
        let mut ours = rustls::crypto::CryptoProvider { kx_groups: groups.clone(), ..(*provider()).clone() };
        ours.cipher_suites.retain(|suite| suite.version() == version);
        let schemes = provider().signature_verification_algorithms.supported_schemes();
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(ours))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Any(schemes)))
            .with_no_client_auth();
        let (near, far) = tokio::io::duplex(1 << 16);
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let server_name = ServerName::try_from(name).unwrap();
        let (shown, _) = tokio::join!(connector.connect(server_name, near), setup.accept(far, false, NOW));
        let shown = shown.unwrap();
        let facts = certificate::read(&shown.get_ref().1.peer_certificates().unwrap()[0]).unwrap();
        assert_eq!(facts.names_text(), expected, "{name} {version:?} {groups:?}");
    }
}

/// Accepts any certificate, and supports only these signature algorithms.
#[derive(Debug)]
struct Any(Vec<SignatureScheme>);

impl rustls::client::danger::ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

/// RFC 7301 §3.2: a client that wants another protocol is refused.
#[tokio::test]
async fn foreign_protocol_names_are_refused() {
    let mint = Mint::new();
    let identities = vec![identity(&mint, "ec", &["gw.example"], &PKCS_ECDSA_P256_SHA256)];
    let setup = ServerSetup::new(ServerSettings {
        identities,
        profile: None,
        required: false,
        ask_client: false,
        trust: Vec::new(),
    })
    .unwrap();
    for (names, taken) in
        [(&[][..], true), (&["smtp"], true), (&["http/1.1", "esmtp"], true), (&["h2"], false)]
    {
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(Arc::new(rustls::RootCertStore::empty()))
            .with_no_client_auth();
        let any = Any(vec![SignatureScheme::ECDSA_NISTP256_SHA256]);
        config.dangerous().set_certificate_verifier(Arc::new(any));
        config.alpn_protocols = names.iter().map(|name: &&str| name.as_bytes().to_vec()).collect();
        let (near, far) = tokio::io::duplex(1 << 16);
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("gw.example").unwrap();
        let (_, accepted) = tokio::join!(connector.connect(name, near), setup.accept(far, false, NOW));
        assert_eq!(accepted.is_ok(), taken, "{names:?}");
    }
}
