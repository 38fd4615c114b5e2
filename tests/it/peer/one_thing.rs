//! Peers that offer exactly one thing each, for both directions: one version with one suite and one group, or one
//! kind of certificate. What rustls can't be limited to is offered by OpenSSL, through Python at the server's end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair, RsaKeySize};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::mint::{Authority, Pair};
use super::site::PARTNER;
use super::tools;

/// One peer, and what comes of it under each profile: nl-2025, bsi-tr-02102-2-2025, nist-sp-800-52r2, cnsa-1.0.
pub(crate) struct OneThing {
    pub(crate) id: &'static str,
    pub(crate) offer: Offer,
    pub(crate) leaf: Leaf,
    /// `met`, or the token for which mail waits under forced TLS.
    pub(crate) expected: [&'static str; 4],
    /// The same for a client with this certificate; `None`: the same words.
    pub(crate) as_client: Option<[&'static str; 4]>,
    /// Whether TLS that is not forced succeeds, where it is not as `expected` says.
    pub(crate) opportunistic: Option<[bool; 4]>,
}

/// What it agrees on.
#[derive(Clone, Copy)]
pub(crate) enum Offer {
    /// Whatever rustls has.
    Usual,
    /// One suite and one group of rustls.
    Rustls(SupportedCipherSuite, &'static dyn SupportedKxGroup),
    /// OpenSSL: the version as Python and `s_client` name it, cipher, curve, and lines of its configuration file.
    Openssl {
        version: (&'static str, &'static str),
        cipher: &'static str,
        curve: &'static str,
        settings: &'static str,
    },
}

/// What certificate it shows.
#[derive(Clone, Copy)]
pub(crate) enum Leaf {
    /// P-384, signed by P-384 with SHA-384.
    Strong,
    /// RSA of 4096 bits, signed by P-384 with SHA-384.
    StrongRsa,
    /// P-256, signed by P-256 with SHA-256.
    P256,
    /// RSA of 2048 bits, signed with PKCS#1 v1.5 and SHA-256.
    Rsa2048,
    /// RSA of 3072 bits, signed with PKCS#1 v1.5 and SHA-256.
    Rsa3072,
    /// As the strong one, valid for four years.
    Long,
}

/// The certificates, by three authorities.
pub(crate) struct Leaves {
    pub(crate) strong_authority: Authority,
    p256_authority: Authority,
    rsa_authority: Authority,
    strong: Pair,
    strong_rsa: Pair,
    p256: Pair,
    rsa2048: Pair,
    rsa3072: Pair,
    long: Pair,
}

const BROKEN: &str = "handshake-broken";
const MET: &str = "met";

/// Each row of the table.
pub(crate) fn all() -> Vec<OneThing> {
    use aws_lc_rs::cipher_suite as suite;
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    let agreed = |id, suite, group, leaf, expected| OneThing {
        id,
        offer: Offer::Rustls(suite, group),
        leaf,
        expected,
        as_client: None,
        opportunistic: None,
    };
    let shown = |id, leaf, expected| OneThing {
        id,
        offer: Offer::Usual,
        leaf,
        expected,
        as_client: None,
        opportunistic: Some([true; 4]),
    };
    let openssl = |id, version, (cipher, curve, settings), expected| OneThing {
        id,
        offer: Offer::Openssl { version, cipher, curve, settings },
        leaf: Leaf::StrongRsa,
        expected,
        as_client: None,
        opportunistic: None,
    };
    let (strong, rsa) = (Leaf::Strong, Leaf::StrongRsa);
    let v12 = ("TLSv1_2", "-tls1_2");
    let only_nl = [MET, BROKEN, BROKEN, BROKEN];
    vec![
        agreed("aes128-p256", suite::TLS13_AES_128_GCM_SHA256, SECP256R1, strong, [MET, MET, MET, BROKEN]),
        agreed("aes256-p384", suite::TLS13_AES_256_GCM_SHA384, SECP384R1, strong, [MET; 4]),
        agreed("chacha-x25519", suite::TLS13_CHACHA20_POLY1305_SHA256, X25519, strong, only_nl),
        agreed("aes256-x25519", suite::TLS13_AES_256_GCM_SHA384, X25519, strong, only_nl),
        agreed("aes256-hybrid", suite::TLS13_AES_256_GCM_SHA384, X25519MLKEM768, strong, only_nl),
        agreed(
            "tls12-rsa-aes128-p256",
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            SECP256R1,
            rsa,
            [MET, MET, MET, BROKEN],
        ),
        OneThing {
            opportunistic: Some([true, true, true, false]),
            ..openssl(
                "tls12-no-ems",
                v12,
                ("ECDHE-RSA-AES128-GCM-SHA256", "prime256v1", WITHOUT_EMS),
                [BROKEN, MET, BROKEN, BROKEN],
            )
        },
        OneThing {
            opportunistic: Some([true; 4]),
            ..openssl(
                "tls12-no-ems-p384",
                v12,
                ("ECDHE-RSA-AES256-GCM-SHA384", "secp384r1", WITHOUT_EMS),
                [BROKEN, MET, BROKEN, MET],
            )
        },
        openssl("tls12-ems-p384", v12, ("ECDHE-RSA-AES256-GCM-SHA384", "secp384r1", ""), [MET; 4]),
        openssl(
            "tls12-pkcs1-signature",
            v12,
            ("ECDHE-RSA-AES128-GCM-SHA256", "prime256v1", "SignatureAlgorithms = RSA+SHA256"),
            [MET, BROKEN, MET, BROKEN],
        ),
        // It prefers what not all profiles allow, and has what they do.
        openssl(
            "tls12-chacha-first",
            v12,
            ("ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256", "prime256v1", ""),
            [MET, MET, MET, BROKEN],
        ),
        agreed("tls12-chacha", suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, SECP256R1, rsa, only_nl),
        openssl("tls12-cbc", v12, ("ECDHE-RSA-AES128-SHA256", "prime256v1", ""), [BROKEN; 4]),
        shown("leaf-rsa2048", Leaf::Rsa2048, [MET, "profile-key", MET, "profile-key"]),
        shown("leaf-rsa3072", Leaf::Rsa3072, [MET, "profile-signature", MET, "profile-signature"]),
        // The server's key can't sign as the profile asks; a client then shows no certificate.
        OneThing {
            as_client: Some([MET, MET, MET, "no-certificate"]),
            opportunistic: None,
            ..shown("leaf-p256", Leaf::P256, [MET, MET, MET, BROKEN])
        },
        shown("leaf-p384", Leaf::Strong, [MET; 4]),
        shown("leaf-long", Leaf::Long, [MET, MET, "profile-validity", MET]),
        openssl("tls11", ("TLSv1_1", "-tls1_1"), ("ECDHE-RSA-AES128-SHA", "prime256v1", ""), [BROKEN; 4]),
    ]
}

impl OneThing {
    pub(crate) fn by_client(&self) -> [&'static str; 4] {
        self.as_client.unwrap_or(self.expected)
    }

    /// Whether opportunistic TLS with it succeeds under each profile.
    pub(crate) fn by_opportunity(&self) -> [bool; 4] {
        self.opportunistic.unwrap_or_else(|| self.expected.map(|word| word != BROKEN))
    }
}

impl Offer {
    /// What rustls is limited to; `None` where OpenSSL is the peer.
    pub(crate) fn rustls(self) -> Option<(CryptoProvider, Vec<&'static SupportedProtocolVersion>)> {
        let usual = aws_lc_rs::default_provider();
        match self {
            Self::Usual => Some((usual, rustls::ALL_VERSIONS.to_vec())),
            Self::Rustls(suite, group) => {
                let limited = CryptoProvider { cipher_suites: vec![suite], kx_groups: vec![group], ..usual };
                Some((limited, vec![suite.version()]))
            }
            Self::Openssl { .. } => None,
        }
    }
}

impl Leaves {
    pub(crate) fn new() -> Self {
        let p384 = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap();
        let strong_authority = Authority::keyed("strong", p384());
        let p256_authority = Authority::new("p256");
        let rsa_authority = Authority::keyed("rsa", rsa(RsaKeySize::_4096));
        let names = &[PARTNER];
        Self {
            strong: strong_authority.made(names, &p384(), |p| valid_for(p, 365)),
            strong_rsa: strong_authority.made(names, &rsa(RsaKeySize::_4096), |p| valid_for(p, 365)),
            long: strong_authority.made(names, &p384(), |p| valid_for(p, 4 * 365)),
            p256: p256_authority.made(names, &KeyPair::generate().unwrap(), |p| valid_for(p, 365)),
            rsa2048: rsa_authority.made(names, &rsa(RsaKeySize::_2048), |p| valid_for(p, 365)),
            rsa3072: rsa_authority.made(names, &rsa(RsaKeySize::_3072), |p| valid_for(p, 365)),
            strong_authority,
            p256_authority,
            rsa_authority,
        }
    }

    pub(crate) fn shown(&self, leaf: Leaf) -> &Pair {
        match leaf {
            Leaf::Strong => &self.strong,
            Leaf::StrongRsa => &self.strong_rsa,
            Leaf::P256 => &self.p256,
            Leaf::Rsa2048 => &self.rsa2048,
            Leaf::Rsa3072 => &self.rsa3072,
            Leaf::Long => &self.long,
        }
    }

    /// The trust anchors, as PEM.
    pub(crate) fn anchors(&self) -> String {
        [&self.strong_authority, &self.p256_authority, &self.rsa_authority]
            .map(|one| one.pem.as_str())
            .concat()
    }
}

/// From yesterday on.
pub(crate) fn valid_for(params: &mut CertificateParams, days: u64) {
    let day = Duration::from_secs(24 * 60 * 60);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + (now - day);
    params.not_after = params.not_before + day * u32::try_from(days).unwrap();
}

/// Has OpenSSL leave out the extended master secret.
const WITHOUT_EMS: &str = "Options = -ExtendedMasterSecret";

/// The configuration file of OpenSSL, before what it changes.
const SYSTEM_DEFAULT: &str =
    "openssl_conf = all\n[all]\nssl_conf = tls\n[tls]\nsystem_default = usual\n[usual]\n";

/// Listens on as many ports as it is asked to, and takes mail in plaintext and after STARTTLS.
const SERVER: &str = r#"
import socket, ssl, sys, threading
ports, chain, key, version, cipher, curve = sys.argv[1:7]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(chain, key)
context.set_ciphers(cipher + ':@SECLEVEL=0')
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
context.set_ecdh_curve(curve)
def serve(peer):
    try:
        lines, say = peer.makefile('rb'), lambda text: peer.sendall(text.encode() + b'\r\n')
        say('220 one.test ESMTP')
        while line := lines.readline():
            word = line.split()[0].upper() if line.split() else b''
            if word == b'EHLO':
                say('250-one.test')
                say('250 STARTTLS' if not isinstance(peer, ssl.SSLSocket) else '250 8BITMIME')
            elif word == b'STARTTLS':
                say('220 go ahead')
                peer = context.wrap_socket(peer, server_side=True)
                lines, say = peer.makefile('rb'), lambda text: peer.sendall(text.encode() + b'\r\n')
            elif word == b'DATA':
                say('354 go ahead')
                while lines.readline() not in (b'.\r\n', b''):
                    pass
                say('250 2.0.0 taken')
            elif word == b'QUIT':
                say('221 2.0.0 bye')
                return
            else:
                say('250 2.0.0 ok')
    except OSError:
        pass
    finally:
        peer.close()
def accept(listener):
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=serve, args=(peer,), daemon=True).start()
listeners = [socket.create_server(('127.0.0.1', 0)) for _ in range(int(ports))]
for listener in listeners:
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
print(' '.join(str(one.getsockname()[1]) for one in listeners), flush=True)
sys.stdin.read()
"#;

/// A server by OpenSSL; it ends when dropped.
pub(crate) struct OpensslServer {
    child: Child,
    pub(crate) addresses: Vec<SocketAddr>,
}

impl OpensslServer {
    /// Starts one that listens on this many ports. `folder` takes its files.
    pub(crate) fn start(thing: &OneThing, pair: &Pair, ports: usize, folder: &Path) -> Self {
        let Offer::Openssl { version: (version, _), cipher, curve, settings } = thing.offer else {
            panic!("{} is not for OpenSSL", thing.id)
        };
        let (chain, key) = pair.write(folder, thing.id);
        let mut command = Command::new(tools::program("python3").unwrap());
        command.args(["-c", SERVER, &ports.to_string()]).args([chain, key]).args([version, cipher, curve]);
        configured(&mut command, (thing.id, settings), folder);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = |port: &str| SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
        let addresses: Vec<_> = line.split_whitespace().map(port).collect();
        assert_eq!(addresses.len(), ports, "{} did not start", thing.id);
        Self { child, addresses }
    }
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client by OpenSSL that makes one handshake after STARTTLS; it succeeds if the handshake does.
pub(crate) fn openssl_client(thing: &OneThing, to: SocketAddr, folder: &Path) -> Command {
    let Offer::Openssl { version: (_, version), cipher, curve, settings } = thing.offer else {
        panic!("{} is not for OpenSSL", thing.id)
    };
    let mut command = Command::new(tools::program("openssl").unwrap());
    command.args(["s_client", "-starttls", "smtp", "-brief", "-connect", &to.to_string(), version]);
    command.args(["-cipher", &format!("{cipher}:@SECLEVEL=0"), "-groups", curve]).stdin(Stdio::null());
    configured(&mut command, (thing.id, settings), folder);
    command
}

fn configured(command: &mut Command, (id, settings): (&str, &str), folder: &Path) {
    let file = folder.join(format!("{id}.cnf"));
    std::fs::write(&file, format!("{SYSTEM_DEFAULT}{settings}\n")).unwrap();
    command.env("OPENSSL_CONF", file);
}
