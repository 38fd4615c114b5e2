//! TLS profiles: what a published guideline allows of a session and of a certificate, as dated tables, and what of a
//! session or certificate does not conform. An edition never changes: another edition is another profile. Sources
//! and decisions are in docs/profiles.md.

use std::fmt;

use serde::{Serialize, Serializer};

use super::facts::{CertificateFacts, TlsFacts};
use super::strength::{
    CertificateStrength, HashFunction, IssuerStrength, PublicKeyKind, SignatureFamily, SignatureKind,
};

/// A published guideline in one edition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// The IT Security Guidelines for TLS of NCSC-NL, 2025-05, as internet.nl 1.11 tests mail servers.
    Nl2025,
    /// BSI TR-02102-2, 2025-01.
    BsiTr021022Of2025,
    /// NIST SP 800-52 revision 2.
    NistSp80052r2,
    /// CNSA 1.0 (RFC 9151).
    Cnsa1,
}

/// What is offered and accepted in handshakes. Names are those of the IANA registries, in our order of preference.
#[derive(Debug, PartialEq, Eq)]
pub struct HandshakeOffer {
    /// Cipher suites.
    pub suites: &'static [&'static str],
    /// Key exchange groups.
    pub groups: &'static [&'static str],
    /// Signature schemes of the handshake itself.
    pub schemes: &'static [&'static str],
}

/// What a profile demands.
#[derive(Debug)]
pub struct ProfileTable {
    /// The configuration word.
    pub name: &'static str,
    /// Who published it.
    pub source: &'static str,
    /// What is offered and accepted in handshakes, of TLS 1.2 and 1.3.
    pub offer: HandshakeOffer,
    /// Whether a TLS 1.2 session must have the extended master secret (RFC 7627).
    pub demands_master_secret: bool,
    /// The smallest RSA key.
    pub rsa_bits_min: u32,
    /// RSA keys below this are to be phased out.
    pub rsa_bits_lasting: u32,
    /// The elliptic curves of keys.
    pub curves: &'static [&'static str],
    /// How certificates may be signed.
    pub families: &'static [SignatureFamily],
    /// The hash functions of these signatures.
    pub hashes: &'static [HashFunction],
    /// Whether Ed25519 signatures are allowed.
    pub edwards: bool,
    /// The longest validity of the peer's own certificate, in days.
    pub term_days_max: Option<u64>,
    /// What of the guideline this program can't show or can't do.
    pub unclaimed: &'static [&'static str],
}

/// What a profile does not allow, or wants to see phased out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileGap {
    /// The cipher suite.
    Suite(String),
    /// The key exchange group.
    Group(String),
    /// The key of a certificate.
    Key(CertificateRole, PublicKeyKind),
    /// The signature on a certificate.
    Signature(CertificateRole, SignatureKind),
    /// The certificate is valid for so many days, and this is the limit.
    Term(u64, u64),
}

/// Which certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateRole {
    /// The peer's or our own.
    Own,
    /// An issuer's, of this subject.
    Issuer(String),
}

/// What is offered where no profile is configured.
pub const USUAL_OFFER: HandshakeOffer = HandshakeOffer {
    suites: &[
        "TLS_AES_256_GCM_SHA384",
        "TLS_AES_128_GCM_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ],
    groups: &["X25519MLKEM768", "X25519", "secp256r1", "secp384r1"],
    schemes: &[
        "ecdsa_secp384r1_sha384",
        "ecdsa_secp256r1_sha256",
        "ecdsa_secp521r1_sha512",
        "ed25519",
        "rsa_pss_rsae_sha512",
        "rsa_pss_rsae_sha384",
        "rsa_pss_rsae_sha256",
        "rsa_pkcs1_sha512",
        "rsa_pkcs1_sha384",
        "rsa_pkcs1_sha256",
        "mldsa44",
        "mldsa65",
        "mldsa87",
    ],
};

/// The signatures that publicly issued certificates and their keys make.
const USUAL_SIGNATURES: &[&str] = &[
    "ecdsa_secp384r1_sha384",
    "ecdsa_secp256r1_sha256",
    "ecdsa_secp521r1_sha512",
    "ed25519",
    "rsa_pss_rsae_sha512",
    "rsa_pss_rsae_sha384",
    "rsa_pss_rsae_sha256",
    "rsa_pkcs1_sha512",
    "rsa_pkcs1_sha384",
    "rsa_pkcs1_sha256",
];

/// AES-GCM in both versions, without ChaCha20.
const AES_GCM: &[&str] = &[
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
];
const NIST_CURVES: &[&str] = &["P-256", "P-384", "P-521"];
const SHA_2: &[HashFunction] = &[HashFunction::Sha256, HashFunction::Sha384, HashFunction::Sha512];

/// internet.nl 1.11, `checks/tasks/tls/tls_constants.py`: what is good or sufficient, the good first.
static NL_2025: ProfileTable = ProfileTable {
    name: "nl-2025",
    source: "NCSC-NL, IT Security Guidelines for TLS, 2025-05, as internet.nl 1.11 tests mail servers",
    offer: HandshakeOffer {
        suites: &[
            "TLS_AES_256_GCM_SHA384",
            "TLS_CHACHA20_POLY1305_SHA256",
            "TLS_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        ],
        groups: &["X25519MLKEM768", "secp256r1MLKEM768", "X25519", "secp256r1", "secp384r1"],
        schemes: USUAL_SIGNATURES,
    },
    demands_master_secret: true,
    rsa_bits_min: 2048,
    rsa_bits_lasting: 3072,
    curves: &["P-256", "P-384", "P-521", "Ed25519", "Ed448"],
    families: &[SignatureFamily::RsaPkcs1, SignatureFamily::RsaPss, SignatureFamily::Ecdsa],
    hashes: SHA_2,
    edwards: true,
    term_days_max: None,
    unclaimed: &[
        "DANE, DNSSEC and CAA are records of your DNS: internet.nl tests them, this program does not publish them",
        "STARTTLS on every mail exchanger, each with IPv4 and IPv6, depends on all hosts that your MX records name",
        "SecP384r1MLKEM1024, a good group of the guideline, is not available in the TLS library",
    ],
};

/// BSI TR-02102-2 2025-01. No hybrid group until the text that lists one has been read.
static BSI_TR_02102_2_2025: ProfileTable = ProfileTable {
    name: "bsi-tr-02102-2-2025",
    source: "BSI, TR-02102-2, 2025-01",
    offer: HandshakeOffer {
        suites: AES_GCM,
        groups: &["secp256r1", "secp384r1"],
        schemes: &[
            "ecdsa_secp384r1_sha384",
            "ecdsa_secp256r1_sha256",
            "ecdsa_secp521r1_sha512",
            "rsa_pss_rsae_sha512",
            "rsa_pss_rsae_sha384",
            "rsa_pss_rsae_sha256",
        ],
    },
    demands_master_secret: false,
    rsa_bits_min: 3000,
    rsa_bits_lasting: 3000,
    curves: NIST_CURVES,
    families: &[SignatureFamily::RsaPss, SignatureFamily::Ecdsa],
    hashes: SHA_2,
    edwards: false,
    term_days_max: None,
    unclaimed: &[
        "BSI TR-03108 (secure mail transport) can't be claimed: it demands brainpoolP256r1 and, until 2026, \
         AES_128_CBC_SHA256, which the TLS library does not have, and DNSSEC with DANE",
        "encrypt-then-MAC, which is recommended, concerns CBC suites only, and none is offered",
        "the claim is that nothing outside TR-02102-2 is negotiated",
    ],
};

/// NIST SP 800-52r2 §3 and §4.
static NIST_SP_800_52R2: ProfileTable = ProfileTable {
    name: "nist-sp-800-52r2",
    source: "NIST, SP 800-52 revision 2, August 2019",
    offer: HandshakeOffer {
        suites: AES_GCM,
        groups: &["secp256r1", "secp384r1"],
        schemes: &[
            "ecdsa_secp384r1_sha384",
            "ecdsa_secp256r1_sha256",
            "ecdsa_secp521r1_sha512",
            "rsa_pss_rsae_sha512",
            "rsa_pss_rsae_sha384",
            "rsa_pss_rsae_sha256",
            "rsa_pkcs1_sha512",
            "rsa_pkcs1_sha384",
            "rsa_pkcs1_sha256",
        ],
    },
    demands_master_secret: true,
    rsa_bits_min: 2048,
    rsa_bits_lasting: 2048,
    curves: NIST_CURVES,
    families: &[SignatureFamily::RsaPkcs1, SignatureFamily::RsaPss, SignatureFamily::Ecdsa],
    hashes: &[HashFunction::Sha224, HashFunction::Sha256, HashFunction::Sha384, HashFunction::Sha512],
    edwards: false,
    term_days_max: Some(3 * 365 + 1),
    unclaimed: &[
        "FIPS 140 validation: a claim needs a validated cryptographic module, and this program is built with one that is \
         not",
        "the certificate status request extension (OCSP stapling) is not offered; many authorities have ended OCSP",
    ],
};

/// RFC 9151.
static CNSA_1: ProfileTable = ProfileTable {
    name: "cnsa-1.0",
    source: "NSA, CNSA Suite 1.0, RFC 9151",
    offer: HandshakeOffer {
        suites: &[
            "TLS_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        ],
        groups: &["secp384r1"],
        schemes: &["ecdsa_secp384r1_sha384", "rsa_pss_rsae_sha384", "rsa_pkcs1_sha384"],
    },
    demands_master_secret: false,
    rsa_bits_min: 3072,
    rsa_bits_lasting: 3072,
    curves: &["P-384"],
    families: &[SignatureFamily::RsaPkcs1, SignatureFamily::RsaPss, SignatureFamily::Ecdsa],
    hashes: &[HashFunction::Sha384],
    edwards: false,
    term_days_max: None,
    unclaimed: &[
        "validation of the cryptographic module (FIPS 140, NIAP), which national security systems need, is not claimed",
        "CNSA 2.0 (ML-KEM-1024, ML-DSA) is another suite, and no part of this profile",
    ],
};

impl Profile {
    /// Every profile, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Nl2025, Self::BsiTr021022Of2025, Self::NistSp80052r2, Self::Cnsa1];

    /// The profile of this configuration word.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.table().name == name)
    }

    /// What it demands.
    #[must_use]
    pub fn table(self) -> &'static ProfileTable {
        match self {
            Self::Nl2025 => &NL_2025,
            Self::BsiTr021022Of2025 => &BSI_TR_02102_2_2025,
            Self::NistSp80052r2 => &NIST_SP_800_52R2,
            Self::Cnsa1 => &CNSA_1,
        }
    }

    /// What was negotiated outside the profile, if anything was.
    #[must_use]
    pub fn session_gap(self, facts: &TlsFacts) -> Option<ProfileGap> {
        let offer = &self.table().offer;
        if !offer.suites.contains(&facts.suite.as_str()) {
            return Some(ProfileGap::Suite(facts.suite.clone()));
        }
        (!offer.groups.contains(&facts.group.as_str())).then(|| ProfileGap::Group(facts.group.clone()))
    }

    /// Why the peer's own key, which signed the handshake, does not conform. Where no chain is checked, this is all that
    /// the certificate is looked at for.
    #[must_use]
    pub fn key_gap(self, certificate: &CertificateFacts) -> Option<ProfileGap> {
        let key = &certificate.strength.key;
        (!self.table().allows_key(key)).then(|| ProfileGap::Key(CertificateRole::Own, key.clone()))
    }

    /// What of a certificate and its issuers up to the trust anchor does not conform; the anchor is not among them.
    #[must_use]
    pub fn chain_gaps(self, certificate: &CertificateFacts, issuers: &[IssuerStrength]) -> Vec<ProfileGap> {
        let table = self.table();
        let of = |role: CertificateRole, strength: &CertificateStrength| {
            let key = (!table.allows_key(&strength.key))
                .then(|| ProfileGap::Key(role.clone(), strength.key.clone()));
            let signature = (!table.allows_signature(&strength.signature))
                .then(|| ProfileGap::Signature(role, strength.signature.clone()));
            [key, signature]
        };
        let own = of(CertificateRole::Own, &certificate.strength);
        let others = issuers
            .iter()
            .flat_map(|issuer| of(CertificateRole::Issuer(issuer.subject.clone()), &issuer.strength));
        own.into_iter().chain(others).flatten().chain(self.term_gap(certificate)).collect()
    }

    /// Whether the certificate is valid for too long.
    #[must_use]
    pub fn term_gap(self, certificate: &CertificateFacts) -> Option<ProfileGap> {
        let max = self.table().term_days_max?;
        // RFC 5280 §4.1.2.5: both ends are included.
        let days = certificate.not_after.since(certificate.not_before).as_secs() / DAY_SECONDS;
        (days > max).then_some(ProfileGap::Term(days, max))
    }

    /// What is allowed and to be phased out.
    #[must_use]
    pub fn phased_out(self, certificate: &CertificateFacts) -> Option<ProfileGap> {
        let key = &certificate.strength.key;
        match key {
            PublicKeyKind::Rsa(bits)
                if *bits < self.table().rsa_bits_lasting && self.table().allows_key(key) =>
            {
                Some(ProfileGap::Key(CertificateRole::Own, key.clone()))
            }
            PublicKeyKind::Rsa(_) | PublicKeyKind::Curve(_) | PublicKeyKind::Other(_) => None,
        }
    }

    /// Whether everything that `other` allows is allowed here.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        let (wide, narrow) = (self.table(), other.table());
        let terms = match (wide.term_days_max, narrow.term_days_max) {
            (None, _) => true,
            (Some(wide), Some(narrow)) => narrow <= wide,
            (Some(_), None) => false,
        };
        wide.offer.includes(&narrow.offer)
            && (narrow.demands_master_secret || !wide.demands_master_secret)
            && wide.rsa_bits_min <= narrow.rsa_bits_min
            && narrow.curves.iter().all(|curve| wide.curves.contains(curve))
            && narrow.families.iter().all(|family| wide.families.contains(family))
            && narrow.hashes.iter().all(|hash| wide.hashes.contains(hash))
            && (wide.edwards || !narrow.edwards)
            && terms
    }

    /// Whether handshakes can be signed with a key of this kind.
    #[must_use]
    pub fn signs_with(self, key: &PublicKeyKind) -> bool {
        let has = |name: &str| self.table().offer.schemes.contains(&name);
        match key {
            PublicKeyKind::Rsa(_) => {
                self.table().offer.schemes.iter().any(|scheme| scheme.starts_with("rsa_"))
            }
            PublicKeyKind::Curve(name) => match name.as_str() {
                "P-256" => has("ecdsa_secp256r1_sha256"),
                "P-384" => has("ecdsa_secp384r1_sha384"),
                "P-521" => has("ecdsa_secp521r1_sha512"),
                "Ed25519" => has("ed25519"),
                _ => false,
            },
            PublicKeyKind::Other(_) => false,
        }
    }

    /// The keys to have certificates issued for.
    #[must_use]
    pub fn keys_in_words(self) -> String {
        let table = self.table();
        let curves = table.curves.iter().filter(|curve| curve.starts_with("P-")).copied();
        format!("{} or RSA of {} bits", curves.collect::<Vec<_>>().join(", "), table.rsa_bits_lasting)
    }

    /// The certificates to have issued.
    #[must_use]
    pub fn certificates_in_words(self) -> String {
        let table = self.table();
        let families: Vec<_> = table.families.iter().map(ToString::to_string).collect();
        let hashes: Vec<_> = table.hashes.iter().map(ToString::to_string).collect();
        let term =
            table.term_days_max.map_or_else(String::new, |days| format!(", valid for at most {days} days"));
        let signatures = format!("{} with {}", families.join(" or "), hashes.join(", "));
        format!("{}; signed with {signatures}{term}", self.keys_in_words())
    }

    /// Whether a hybrid, post-quantum group is offered.
    #[must_use]
    pub fn has_hybrid(self) -> bool {
        self.table().offer.groups.iter().any(|group| group.contains("MLKEM"))
    }

    /// Whether sessions are excluded that are possible without a profile, so that peers may find nothing in common.
    #[must_use]
    pub fn excludes_usual_peers(self) -> bool {
        !self.table().offer.includes_sessions_of(&USUAL_OFFER)
    }
}

impl HandshakeOffer {
    /// Whether everything that `other` offers is offered here.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.includes_sessions_of(other) && other.schemes.iter().all(|scheme| self.schemes.contains(scheme))
    }

    /// Whether every suite and group that `other` offers is offered here: what can be seen of a session afterwards.
    #[must_use]
    pub fn includes_sessions_of(&self, other: &Self) -> bool {
        [(self.suites, other.suites), (self.groups, other.groups)]
            .into_iter()
            .all(|(wide, narrow)| narrow.iter().all(|one| wide.contains(one)))
    }
}

impl ProfileTable {
    fn allows_key(&self, key: &PublicKeyKind) -> bool {
        match key {
            PublicKeyKind::Rsa(bits) => *bits >= self.rsa_bits_min,
            PublicKeyKind::Curve(name) => self.curves.contains(&name.as_str()),
            PublicKeyKind::Other(_) => false,
        }
    }

    fn allows_signature(&self, signature: &SignatureKind) -> bool {
        match signature {
            SignatureKind::Known(family, hash) => {
                self.families.contains(family) && self.hashes.contains(hash)
            }
            SignatureKind::Edwards(_) => self.edwards,
            SignatureKind::Other(_) => false,
        }
    }
}

const DAY_SECONDS: u64 = 24 * 60 * 60;

impl ProfileGap {
    /// A stable word for machines.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Self::Suite(_) => "profile-suite",
            Self::Group(_) => "profile-group",
            Self::Key(..) => "profile-key",
            Self::Signature(..) => "profile-signature",
            Self::Term(..) => "profile-validity",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table().name)
    }
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.table().name)
    }
}

impl fmt::Display for ProfileGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suite(name) => write!(f, "the cipher suite is {name}"),
            Self::Group(name) => write!(f, "the key exchange group is {name}"),
            Self::Key(role, key) => write!(f, "the key of {role} is {key}"),
            Self::Signature(role, signature) => write!(f, "{role} is signed with {signature}"),
            Self::Term(days, max) => {
                write!(f, "the certificate is valid for {days} days, and {max} is the limit")
            }
        }
    }
}

impl fmt::Display for CertificateRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("the certificate"),
            Self::Issuer(subject) => write!(f, "the issuer's certificate ({subject})"),
        }
    }
}
