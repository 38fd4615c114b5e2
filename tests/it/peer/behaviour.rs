//! What partners are like: each kind of certificate, handshake and conversation, and what each
//! requirement is to make of it. The matrix is driven by this list, and its page is printed from it.

use rcgen::{
    BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose as Eku, GeneralSubtree, IsCa, KeyPair,
    NameConstraints, RsaKeySize, date_time_ymd,
};
use rustls::crypto::aws_lc_rs::kx_group;

use super::mint::{Authority, Kind, Pair, named};
use super::sink::{Manner, SinkTls};
use super::site::PARTNER;
use super::workshop::Workshop;

/// One kind of partner.
pub(crate) struct Behaviour {
    pub(crate) id: &'static str,
    /// What it is, for the page.
    pub(crate) words: &'static str,
    pub(crate) make: Make,
    /// What comes of it: a word for all requirements, then others for some of them, the last that
    /// fits; `clear; @forced: handshake-broken`.
    pub(crate) outbound: &'static str,
    /// The same for a client with this certificate; without it what `outbound` says, with
    /// `admitted` for `sealed`.
    inbound: Option<&'static str>,
}

/// How it is made.
pub(crate) enum Make {
    /// All is in order but, perhaps, the certificate.
    Certificate(fn(&Workshop<'_>) -> Pair),
    /// The same, where openssl has to make it.
    ByOpenssl(fn(&Workshop<'_>) -> Pair),
    /// The certificate is in order, and something else may not be.
    Manner(fn(&Workshop<'_>) -> Manner),
    /// A client that shows none.
    NoCertificate,
    /// A client that does not use TLS.
    InClear,
}

/// What a connector can demand, in one direction.
pub(crate) struct Requirement {
    pub(crate) id: &'static str,
    pub(crate) words: &'static str,
    /// The groups by which expectations name it.
    pub(crate) groups: &'static [&'static str],
    /// The keys of the connector.
    pub(crate) keys: &'static str,
}

impl Behaviour {
    /// The server of it.
    pub(crate) fn manner(&self, workshop: &Workshop<'_>) -> Manner {
        match &self.make {
            Make::Certificate(make) | Make::ByOpenssl(make) => Manner::sealed(make(workshop).server()),
            Make::Manner(make) => make(workshop),
            Make::NoCertificate | Make::InClear => panic!("{} is a client", self.id),
        }
    }

    /// The certificate that a client of this kind shows.
    pub(crate) fn pair(&self, workshop: &Workshop<'_>) -> Option<Pair> {
        match &self.make {
            Make::Certificate(make) | Make::ByOpenssl(make) => Some(make(workshop)),
            Make::Manner(_) | Make::NoCertificate | Make::InClear => None,
        }
    }

    pub(crate) fn expected_outbound(&self, requirement: &Requirement) -> &'static str {
        word(self.outbound, requirement)
    }

    pub(crate) fn expected_inbound(&self, requirement: &Requirement) -> &'static str {
        match word(self.inbound.unwrap_or(self.outbound), requirement) {
            "sealed" => "admitted",
            word => word,
        }
    }

    fn inbound(self, expected: &'static str) -> Self {
        Self { inbound: Some(expected), ..self }
    }
}

fn word(expected: &'static str, requirement: &Requirement) -> &'static str {
    let fits = |part: &&str| {
        let Some((whom, _)) = part.split_once(": ") else { return true };
        whom.split(' ').any(|one| {
            one == requirement.id || one.strip_prefix('@').is_some_and(|g| requirement.groups.contains(&g))
        })
    };
    let last = expected.split("; ").filter(fits).last().unwrap();
    last.split_once(": ").map_or(last, |(_, word)| word)
}

/// Every kind of client: those without a certificate, and each certificate.
pub(crate) fn clients() -> Vec<Behaviour> {
    let client = |id, words, make, outbound| Behaviour { id, words, make, outbound, inbound: None };
    let without = [
        client("in-clear", "no TLS", Make::InClear, "admitted; @forced: tls-required"),
        client(
            "no-certificate",
            "TLS without a certificate",
            Make::NoCertificate,
            "admitted; @chain: no-certificate",
        ),
    ];
    let shown = all().into_iter().filter(|b| matches!(b.make, Make::Certificate(_) | Make::ByOpenssl(_)));
    without.into_iter().chain(shown).collect()
}

/// Every kind of partner.
pub(crate) fn all() -> Vec<Behaviour> {
    [names(), times_and_chains(), purposes(), keys(), handshakes(), conversations()]
        .into_iter()
        .flatten()
        .collect()
}

fn shows(
    id: &'static str,
    words: &'static str,
    make: fn(&Workshop<'_>) -> Pair,
    outbound: &'static str,
) -> Behaviour {
    Behaviour { id, words, make: Make::Certificate(make), outbound, inbound: None }
}

fn weak(
    id: &'static str,
    words: &'static str,
    make: fn(&Workshop<'_>) -> Pair,
    outbound: &'static str,
) -> Behaviour {
    Behaviour { id, words, make: Make::ByOpenssl(make), outbound, inbound: None }
}

fn acts(
    id: &'static str,
    words: &'static str,
    make: fn(&Workshop<'_>) -> Manner,
    outbound: &'static str,
) -> Behaviour {
    Behaviour { id, words, make: Make::Manner(make), outbound, inbound: None }
}

const WRONG_NAME: &str = "sealed; @name: name-mismatch";
const UNKNOWN: &str = "sealed; @chain: unknown-issuer";
const INVALID: &str = "sealed; @chain: chain-invalid";
/// Forced TLS breaks the handshake off; other TLS only doesn't know with whom it is.
const UNPROVED: &str = "sealed; @forced: handshake-broken";
const BROKEN: &str = "clear; @forced: handshake-broken";

fn names() -> Vec<Behaviour> {
    vec![
        shows("good", "a certificate with everything in order", |w| w.good(), "sealed"),
        shows("wildcard", "a wildcard one label above the name", |w| w.named(&["*.partner.test"]), "sealed"),
        shows(
            "wildcard-below",
            "a wildcard that stands for a label below the name",
            |w| w.named(&["*.mail.partner.test"]),
            WRONG_NAME,
        ),
        shows("wildcard-above", "a wildcard two labels above the name", |w| w.named(&["*.test"]), WRONG_NAME),
        shows(
            "wildcard-partial",
            "a wildcard that stands for a part of the label",
            |w| w.named(&["ma*.partner.test"]),
            WRONG_NAME,
        ),
        shows("wrong-name", "a certificate for another host", |w| w.named(&["mx.other.test"]), WRONG_NAME),
        shows(
            "second-name",
            "the name is the second of three",
            |w| w.named(&["mx.other.test", PARTNER, "www.other.test"]),
            "sealed",
        ),
        shows("address", "only an address in the certificate", |w| w.named(&["127.0.0.1"]), WRONG_NAME),
        shows(
            "common-name",
            "the name only in the subject (CN)",
            |w| w.changed(|p| p.subject_alt_names.clear()),
            "sealed; @name: name-mismatch; allow-cn: sealed",
        ),
        shows(
            "common-name-beside",
            "the name in the subject (CN), another one in the subjectAltName",
            |w| {
                w.partners.made(&["mx.other.test"], &KeyPair::generate().unwrap(), |p| {
                    p.distinguished_name = named(PARTNER);
                })
            },
            WRONG_NAME,
        ),
        shows(
            "empty-names",
            "a subjectAltName without any name",
            |w| {
                w.changed(|p| {
                    p.subject_alt_names.clear();
                    let empty = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0]);
                    p.custom_extensions.push(empty);
                })
            },
            WRONG_NAME,
        ),
        shows("upper-case", "the name in upper case", |w| w.named(&["MAIL.PARTNER.TEST"]), "sealed"),
        shows("final-dot", "the name with a dot at its end", |w| w.named(&["mail.partner.test."]), "sealed"),
        shows(
            "a-label",
            "an internationalised name (A-label) before the name",
            |w| w.named(&["xn--mller-kva.test", PARTNER]),
            "sealed",
        ),
    ]
}

fn times_and_chains() -> Vec<Behaviour> {
    vec![
        shows(
            "expired",
            "a certificate whose time is over",
            |w| w.partners.pair(&[PARTNER], Kind::Expired),
            "sealed; @chain: certificate-expired",
        ),
        shows(
            "not-yet",
            "a certificate whose time has not begun",
            |w| w.partners.pair(&[PARTNER], Kind::NotYet),
            "sealed; @chain: certificate-not-yet-valid",
        ),
        shows("intermediate", "issued by an intermediate that is shown", |w| w.through(|_| ()), "sealed"),
        shows(
            "intermediate-expired",
            "issued by an intermediate whose time is over",
            |w| w.through(|p| p.not_after = date_time_ymd(2021, 1, 1)),
            "sealed; @chain: certificate-expired",
        ),
        shows(
            "intermediate-missing",
            "issued by an intermediate that is not shown",
            |w| w.partners.below("between", |_| ()).pair(&[PARTNER], Kind::Good),
            UNKNOWN,
        ),
        shows(
            "disordered",
            "two intermediates, shown in the wrong order",
            |w| two_between(w, true),
            "sealed",
        ),
        shows("two-intermediates", "two intermediates, in order", |w| two_between(w, false), "sealed"),
        shows(
            "unrelated",
            "a certificate in the chain that has nothing to do with it",
            |w| w.good().followed_by(&[&w.stranger]),
            "sealed",
        ),
        shows("root-shown", "the root is shown too", |w| w.good().followed_by(&[w.partners]), "sealed"),
        shows(
            "self-signed",
            "a certificate of the host's own making",
            |_| Pair::self_signed(&[PARTNER]),
            UNKNOWN,
        ),
        shows(
            "self-signed-authority",
            "the same, marked as an authority (CA:TRUE)",
            |_| Authority::new(PARTNER).as_leaf(),
            "sealed; @chain: ca-as-end-entity",
        ),
        shows(
            "authority",
            "the trusted authority's own certificate",
            |w| w.partners.as_leaf(),
            "sealed; @chain: ca-as-end-entity",
        ),
        shows(
            "unknown-authority",
            "issued by an authority that is not trusted",
            |w| w.stranger.pair(&[PARTNER], Kind::Good),
            UNKNOWN,
        ),
        shows(
            "same-name-authority",
            "issued by an authority that has the trusted one's name and another key",
            |_| Authority::new("partners").pair(&[PARTNER], Kind::Good),
            "sealed; @chain: chain-bad-signature",
        ),
        shows(
            "name-constraints",
            "issued by an intermediate that may only issue for another domain",
            |w| {
                w.through(|p| {
                    let permitted_subtrees = vec![GeneralSubtree::DnsName("other.test".to_owned())];
                    p.name_constraints =
                        Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
                })
            },
            INVALID,
        ),
        shows(
            "path-length",
            "more intermediates than the upper one allows",
            |w| {
                let short = |p: &mut rcgen::CertificateParams| {
                    p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
                };
                let upper = w.partners.below("upper", short);
                let lower = upper.below("lower", |_| ());
                lower.pair(&[PARTNER], Kind::Good).followed_by(&[&lower, &upper])
            },
            INVALID,
        ),
        shows(
            "issuer-no-authority",
            "issued by a host's certificate, which may not issue any",
            |w| w.through(|p| p.is_ca = IsCa::ExplicitNoCa),
            INVALID,
        ),
        shows(
            "critical-extension",
            "a critical extension that nobody knows",
            |w| {
                w.changed(|p| {
                    let mut odd =
                        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
                    odd.set_criticality(true);
                    p.custom_extensions.push(odd);
                })
            },
            UNPROVED,
        )
        .inbound("handshake-broken"),
    ]
}

fn two_between(w: &Workshop<'_>, disordered: bool) -> Pair {
    let upper = w.partners.below("upper", |_| ());
    let lower = upper.below("lower", |_| ());
    let leaf = lower.pair(&[PARTNER], Kind::Good);
    if disordered { leaf.followed_by(&[&upper, &lower]) } else { leaf.followed_by(&[&lower, &upper]) }
}

fn purposes() -> Vec<Behaviour> {
    const WRONG: &str = "sealed; @chain: wrong-purpose";
    vec![
        shows(
            "for-servers",
            "for servers alone",
            |w| w.partners.pair(&[PARTNER], Kind::ServerOnly),
            "sealed",
        ),
        shows("for-clients", "for clients alone", |w| w.partners.pair(&[PARTNER], Kind::ClientOnly), WRONG)
            .inbound("sealed"),
        shows(
            "no-purpose",
            "without extended key usage",
            |w| w.changed(|p| p.extended_key_usages.clear()),
            "sealed",
        ),
        shows(
            "any-purpose",
            "for any purpose (anyExtendedKeyUsage)",
            |w| w.changed(|p| p.extended_key_usages = vec![Eku::Any]),
            WRONG,
        ),
        shows(
            "for-mail",
            "for signing mail (emailProtection) alone",
            |w| w.changed(|p| p.extended_key_usages = vec![Eku::EmailProtection]),
            WRONG,
        ),
    ]
}

fn keys() -> Vec<Behaviour> {
    vec![
        shows("rsa-2048", "an RSA key of 2048 bits", |w| w.rsa(RsaKeySize::_2048), "sealed"),
        shows("rsa-4096", "an RSA key of 4096 bits", |w| w.rsa(RsaKeySize::_4096), "sealed"),
        shows("p-384", "an ECDSA key on P-384", |w| w.keyed(&rcgen::PKCS_ECDSA_P384_SHA384), "sealed"),
        shows("ed25519", "an Ed25519 key", |w| w.keyed(&rcgen::PKCS_ED25519), "sealed"),
        shows(
            "wrong-key",
            "a good certificate and the key of another",
            |w| Pair { key: w.good().key, ..w.good() },
            UNPROVED,
        )
        .inbound("handshake-broken"),
        weak(
            "rsa-1024",
            "an RSA key of 1024 bits",
            |w| w.by_openssl(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], &["-sha256"], true),
            UNPROVED,
        )
        .inbound("handshake-broken"),
        weak(
            "sha-1",
            "signed by its issuer with SHA-1",
            |w| w.by_openssl(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], &["-sha1"], true),
            INVALID,
        ),
        weak(
            "version-1",
            "an X.509 version 1 certificate",
            |w| {
                w.by_openssl(
                    &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                    &["-sha256"],
                    false,
                )
            },
            UNPROVED,
        )
        .inbound("handshake-broken"),
    ]
}

fn handshakes() -> Vec<Behaviour> {
    vec![
        acts(
            "tls-1.2",
            "speaks TLS 1.2 alone",
            |w| Manner::sealed(w.good().server_speaking(&[&rustls::version::TLS12])),
            "sealed; identity-1.3: handshake-broken",
        ),
        acts(
            "tls-1.3",
            "speaks TLS 1.3 alone",
            |w| Manner::sealed(w.good().server_speaking(&[&rustls::version::TLS13])),
            "sealed",
        ),
        acts("tls-1.1", "chooses TLS 1.1", |_| Manner::new(SinkTls::Answers(SERVER_HELLO_1_1)), BROKEN),
        acts(
            "alert-version",
            "answers with the alert protocol_version",
            |_| Manner::new(SinkTls::Answers(&[0x15, 3, 1, 0, 2, 2, 70])),
            BROKEN,
        ),
        acts(
            "alert-failure",
            "answers with the alert handshake_failure",
            |_| Manner::new(SinkTls::Answers(&[0x15, 3, 3, 0, 2, 2, 40])),
            BROKEN,
        ),
        acts(
            "alert-name",
            "answers with the alert unrecognized_name",
            |_| Manner::new(SinkTls::Answers(&[0x15, 3, 3, 0, 2, 2, 112])),
            BROKEN,
        ),
        acts(
            "x25519",
            "agrees on keys by X25519 alone",
            |w| Manner::sealed(w.good().server_agreeing(&[kx_group::X25519])),
            "sealed; post-quantum: handshake-broken",
        ),
        acts(
            "p-256",
            "agrees on keys by P-256 alone",
            |w| Manner::sealed(w.good().server_agreeing(&[kx_group::SECP256R1])),
            "sealed; post-quantum: handshake-broken",
        ),
        acts(
            "ml-kem",
            "agrees on keys by X25519MLKEM768 alone",
            |w| Manner::sealed(w.good().server_agreeing(&[kx_group::X25519MLKEM768])),
            "sealed",
        ),
        acts(
            "demands",
            "demands a client certificate, and we have none",
            |w| Manner::sealed(w.partners.demanding_server(&w.good())),
            // Refused over a certificate, even opportunistic TLS does not go on in clear.
            "handshake-broken",
        ),
        acts("garbage", "220, then octets that are no TLS", |_| Manner::new(SinkTls::Garbage), BROKEN),
        acts(
            "goes-on-in-clear",
            "220, then a second SMTP greeting in clear",
            |_| Manner::new(SinkTls::Answers(b"220 sink.test ESMTP ready\r\n")),
            BROKEN,
        ),
        acts("closes", "220, then the end of the connection", |_| Manner::new(SinkTls::Closes), BROKEN),
        acts(
            "closes-later",
            "the end of the connection in answer to the ClientHello",
            |_| Manner::new(SinkTls::Answers(b"")),
            BROKEN,
        ),
        acts(
            "half-a-record",
            "half a TLS record, then the end of the connection",
            |_| Manner::new(SinkTls::Answers(&[0x16, 3, 3, 0, 122, 2, 0, 0, 118])),
            BROKEN,
        ),
        acts("resets", "a reset in answer to the ClientHello", |_| Manner::new(SinkTls::Resets), BROKEN),
        acts("stalls", "220, then nothing at all", |_| Manner::new(SinkTls::Stalls), BROKEN),
        acts(
            "injects",
            "a reply in clear right behind the 220, then TLS",
            |w| Manner::new(SinkTls::Injects(w.good().server())),
            BROKEN,
        ),
    ]
}

fn conversations() -> Vec<Behaviour> {
    const NOT_OFFERED: &str = "clear; @forced: starttls-not-offered";
    const REFUSED: &str = "clear; @forced: starttls-refused";
    vec![
        acts("no-starttls", "does not offer STARTTLS", |_| Manner::clear(), NOT_OFFERED),
        acts(
            "no-ehlo",
            "knows HELO alone",
            |_| Manner::clear().replying("ehlo", "502 5.5.1 what?"),
            NOT_OFFERED,
        ),
        acts(
            "starttls-454",
            "offers STARTTLS and answers 454",
            |_| Manner::new(SinkTls::Refuses("454 4.7.0 not now")),
            REFUSED,
        ),
        acts(
            "starttls-502",
            "offers STARTTLS and answers 502",
            |_| Manner::new(SinkTls::Refuses("502 5.5.1 what?")),
            REFUSED,
        ),
        acts(
            "starttls-250",
            "offers STARTTLS and answers 250",
            |_| Manner::new(SinkTls::Refuses("250 2.0.0 fine")),
            REFUSED,
        ),
        acts(
            "starttls-twice",
            "offers STARTTLS inside TLS again",
            |w| {
                let offer = "250-sink.test\r\n250-STARTTLS\r\n250 8BITMIME";
                Manner::sealed(w.good().server()).replying("tls:ehlo", offer)
            },
            "sealed",
        ),
        acts(
            "ehlo-421-sealed",
            "answers EHLO inside TLS with 421",
            |w| Manner::sealed(w.good().server()).replying("tls:ehlo", "421 4.3.2 going down"),
            "4.3.2",
        ),
        acts(
            "ehlo-502-sealed",
            "refuses EHLO inside TLS with 502",
            |w| Manner::sealed(w.good().server()).replying("tls:ehlo", "502 5.5.1 what?"),
            "4.5.1",
        ),
        acts(
            "closes-sealed",
            "closes after the handshake",
            |w| Manner::sealed(w.good().server()).replying("tls:ehlo", "close"),
            "4.4.2",
        ),
        acts(
            "mail-530",
            "refuses MAIL in clear with 530, and offers no STARTTLS",
            |_| Manner::clear().replying("mail", "530 5.7.0 Must issue a STARTTLS command first"),
            "5.7.0; @forced: starttls-not-offered",
        ),
        acts(
            "greeting-554",
            "greets with 554",
            |_| Manner::clear().greeting("554 5.3.2 no mail here"),
            "5.3.2",
        ),
        acts("greeting-421", "greets with 421", |_| Manner::clear().greeting("421 4.3.2 too busy"), "4.3.2"),
    ]
}

/// A ServerHello of TLS 1.1 (RFC 4346 §7.4.1.3) with TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA.
const SERVER_HELLO_1_1: &[u8] = &[
    0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2, // record, handshake, version
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, // random
    0, 0xc0, 0x13, 0, // no session, suite, no compression
];
