//! What partners are like: each kind of certificate, handshake and conversation, and what each
//! requirement is to make of it. The matrix is driven by this list, and its page is printed from it.

mod certificates;
mod handshakes;

use rustls::pki_types::CertificateDer;

use super::mint::Pair;
use super::sink::Manner;
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
    /// The server of it, and what it shows.
    pub(crate) fn made(&self, workshop: &Workshop<'_>) -> (Manner, Vec<CertificateDer<'static>>) {
        match &self.make {
            Make::Certificate(make) | Make::ByOpenssl(make) => {
                let pair = make(workshop);
                (Manner::sealed(pair.server()), pair.chain_der())
            }
            Make::Manner(make) => (make(workshop), workshop.good().chain_der()),
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
        let (word, by_name) = word(self.outbound, requirement);
        let other = self.is_another_certificate();
        match (requirement.id, word) {
            _ if by_name => word,
            ("off", _) => "clear",
            ("pin", "sealed") if other => "pin-mismatch",
            ("subject", "sealed") if other => "subject-mismatch",
            ("implicit", "tls-session-lost") => word,
            ("implicit", _) if self.outbound.starts_with("clear") => "handshake-broken",
            _ => word,
        }
    }

    pub(crate) fn expected_inbound(&self, requirement: &Requirement) -> &'static str {
        let (word, by_name) = word(self.inbound.unwrap_or(self.outbound), requirement);
        let word = if word == "sealed" { "admitted" } else { word };
        match (requirement.id, word) {
            ("pin", "admitted") if self.is_another_certificate() && !by_name => "pin-mismatch",
            ("subject", "admitted") if self.is_another_certificate() && !by_name => "subject-mismatch",
            _ => word,
        }
    }

    /// Every certificate but the good one has a key of its own and says nothing of an organisation.
    fn is_another_certificate(&self) -> bool {
        self.id != "good" && matches!(self.make, Make::Certificate(_) | Make::ByOpenssl(_))
    }

    fn inbound(self, expected: &'static str) -> Self {
        Self { inbound: Some(expected), ..self }
    }
}

/// The word for a requirement, and whether it stands there for this one by its name.
fn word(expected: &'static str, requirement: &Requirement) -> (&'static str, bool) {
    let mut found = ("", false);
    for part in expected.split("; ") {
        let Some((whom, word)) = part.split_once(": ") else {
            found = (part, false);
            continue;
        };
        let by_name = whom.split(' ').any(|one| one == requirement.id);
        let groups = requirement.groups;
        if by_name || whom.split(' ').filter_map(|one| one.strip_prefix('@')).any(|g| groups.contains(&g)) {
            found = (word, by_name);
        }
    }
    found
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
            "admitted; @chain pin: no-certificate",
        ),
    ];
    let shown = all().into_iter().filter(|b| matches!(b.make, Make::Certificate(_) | Make::ByOpenssl(_)));
    without.into_iter().chain(shown).collect()
}

/// Every kind of partner.
pub(crate) fn all() -> Vec<Behaviour> {
    [
        certificates::names(),
        certificates::times_and_chains(),
        certificates::revocation(),
        certificates::purposes(),
        certificates::keys(),
        handshakes::handshakes(),
        handshakes::conversations(),
    ]
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
