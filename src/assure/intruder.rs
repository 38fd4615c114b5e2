//! Who tries to send in a partner's name, which domains are bound, and what a listener must answer. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use super::evidence::EvidenceVerdict;
use super::mint::NOBODY;
use crate::connector::{
    ClientKind, DomainPattern, Forced, Inbound, InboundTls, Mode, Require, Specificity, Table,
};
use crate::mail::Domain;

/// Who tries to send in a partner's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intruder {
    /// Somebody without TLS.
    Plaintext,
    /// Somebody with TLS, and without a certificate.
    NoCertificate,
    /// Somebody with a self-signed certificate that looks right.
    SelfSigned,
    /// Somebody with a certificate of an unknown authority that looks right.
    Stranger,
    /// The same, of an authority that calls itself as a trusted one does.
    Namesake,
    /// We, with a certificate of ours that a trusted authority has signed, for our own name.
    Ourselves,
}

/// A forced inbound connector and the domains in whose name it is tested.
#[derive(Debug, Clone)]
pub(super) struct BoundDomains {
    pub(super) connector: Arc<Inbound>,
    /// What it binds; an invented domain where it takes mail of any.
    pub(super) domains: Vec<Domain>,
}

impl Intruder {
    /// All of them, in the order of a document.
    pub(super) const ALL: [Self; 6] = [
        Self::Plaintext,
        Self::NoCertificate,
        Self::SelfSigned,
        Self::Stranger,
        Self::Namesake,
        Self::Ourselves,
    ];

    /// What it does.
    pub(super) fn does(self) -> &'static str {
        match self {
            Self::Plaintext => "MAIL FROM in plaintext",
            Self::NoCertificate => "MAIL FROM over TLS without a client certificate",
            Self::SelfSigned => "MAIL FROM over TLS with a self-signed certificate with the right name",
            Self::Stranger => {
                "MAIL FROM over TLS with a certificate of an unknown authority with the right name"
            }
            Self::Namesake => {
                "MAIL FROM over TLS with a certificate whose authority has the name of a trusted one, and another key"
            }
            Self::Ourselves => {
                "MAIL FROM over TLS with our own certificate, which a trusted authority has signed for another name"
            }
        }
    }

    /// Whether what it shows would meet this requirement, so that nothing is wrong with letting it in.
    fn meets(self, forced: &Forced) -> bool {
        let any_certificate = forced.require == Require::Encryption && forced.pins.is_empty();
        match self {
            Self::Plaintext => false,
            Self::NoCertificate => any_certificate && forced.subject.is_empty() && forced.profile.is_none(),
            Self::SelfSigned | Self::Stranger | Self::Namesake | Self::Ourselves => any_certificate,
        }
    }
}

/// In whose name enforced forced connectors are tested: the domains that they bind, and one below each of their patterns with
/// a star. Those that take mail of any domain (`*`, and those of our own systems) bind none: an invented one stands for it.
pub(super) fn bound_domains(table: &Table) -> Vec<BoundDomains> {
    let enforced = table.inbound.iter().filter(|one| one.is_enforced());
    let bound = enforced.map(|connector| {
        let one = |pattern: &DomainPattern| match pattern {
            DomainPattern::Exact(domain) => Some(domain.clone()),
            DomainPattern::Below(domain) => Domain::parse(&format!("sealpost-assure.{domain}")).ok(),
            DomainPattern::Any => Domain::parse(NOBODY).ok(),
        };
        let covered = |domain: &Domain| connector.covers(Some(domain)).is_some();
        let domains = match connector.kind {
            ClientKind::Own => Domain::parse(NOBODY).into_iter().collect(),
            ClientKind::Partner => connector.from_domains.iter().filter_map(one).filter(covered).collect(),
        };
        BoundDomains { connector: Arc::clone(connector), domains }
    });
    bound.filter(|bound| !bound.domains.is_empty()).collect()
}

/// Whether a domain stands for any.
pub(super) fn is_invented(domain: &Domain) -> bool {
    domain.as_str() == NOBODY
}

/// Whether mail that comes in by a listener may be this connector's.
pub(super) fn serves_listener(connector: &Inbound, listener: &str) -> bool {
    connector.listeners.is_empty() || connector.listeners.iter().any(|name| **name == *listener)
}

/// The connector by which a listener admits this intruder in the name of a domain as the configuration says, if there is
/// one: a system of ours at this address, or a connector that demands no more than what he has. Then a listener that
/// admits him says nothing.
pub(super) fn admitted_by_design<'t>(
    table: &'t Table,
    (listener, source): (&str, IpAddr),
    intruder: Intruder,
    domain: &Domain,
) -> Option<&'t Inbound> {
    let level = table.inbound.iter().filter_map(|one| one.covers(Some(domain))).max();
    let is_bound = level.is_some_and(|level| level != Specificity::Any);
    let here = |one: &&Arc<Inbound>| {
        one.mode != Mode::Off
            && serves_listener(one, listener)
            && one.users.is_none()
            && one.from_networks.admit(source)
    };
    let admits = |one: &&Arc<Inbound>| {
        let is_asked = match one.kind {
            ClientKind::Own => true,
            ClientKind::Partner => {
                one.covers(Some(domain)) == level && level.is_some() && (one.is_enforced() || !is_bound)
            }
        };
        // Where nobody binds the domain, a connector that demands nothing takes what another one refuses.
        let is_free = one.kind == ClientKind::Own || !is_bound;
        let by_tls = match &one.tls {
            InboundTls::Off | InboundTls::Opportunistic => is_free,
            InboundTls::Forced(forced) => intruder.meets(forced),
        };
        let waived = one.mode == Mode::Audit && is_free && one.from_networks.restrict();
        is_asked && (by_tls || waived)
    };
    table.inbound.iter().filter(here).find(admits).map(|one| &**one)
}

/// The verdict on an answer to MAIL FROM. Only a refusal by policy says that the requirement is enforced.
pub(super) fn verdict_on_mail(code: u16, text: &str) -> (EvidenceVerdict, String) {
    let seen = format!("{code} {text}");
    let by_policy = matches!(code, 530 | 550) && text.starts_with("5.7.");
    if (200..400).contains(&code) {
        return (EvidenceVerdict::Finding, format!("accepted: {seen}"));
    }
    if by_policy {
        return (EvidenceVerdict::Held, format!("refused: {seen}"));
    }
    (EvidenceVerdict::Untested, format!("refused, and not for lack of TLS or a certificate: {seen}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{Generation, PeerName, TrustId};

    fn identity() -> InboundTls {
        let names = vec![PeerName::parse("mail.bank.example").expect("a name")];
        InboundTls::Forced(Forced::new(Require::Identity { trust: vec![TrustId("ca".into())], names }))
    }

    fn bank(tls: InboundTls) -> Inbound {
        let domains = ["bank.example", "*.bank.example", "*"];
        let domains = domains.iter().map(|one| DomainPattern::parse(one).expect("a pattern")).collect();
        Inbound { tls, ..Inbound::new("bank", domains) }
    }

    fn own(network: &str) -> Inbound {
        let from_networks = [network.parse().expect("a network")].into_iter().collect();
        Inbound { kind: ClientKind::Own, from_networks, ..Inbound::new("own", Vec::new()) }
    }

    #[track_caller]
    fn check(inbound: Vec<Inbound>, intruder: Intruder, expected: Option<&str>) {
        check_as("bank.example", inbound, intruder, expected);
    }

    #[track_caller]
    fn check_as(name: &str, inbound: Vec<Inbound>, intruder: Intruder, expected: Option<&str>) {
        let table = Table::new(Generation(1), inbound, Vec::new());
        let domain = Domain::parse(name).expect("a domain");
        let found = admitted_by_design(&table, ("in", [127, 0, 0, 1].into()), intruder, &domain);
        assert_eq!(found.map(|one| &*one.name), expected, "{intruder:?}");
    }

    #[test]
    fn who_is_admitted_by_the_configuration_is_no_finding() {
        use Intruder::{NoCertificate, Plaintext, SelfSigned};
        let encryption = || InboundTls::Forced(Forced::encryption());
        check(vec![bank(identity())], Plaintext, None);
        check(vec![bank(identity())], SelfSigned, None);
        check(vec![bank(encryption())], Plaintext, None);
        check(vec![bank(encryption())], NoCertificate, Some("bank"));
        check(vec![bank(identity()), own("127.0.0.0/8")], Plaintext, Some("own"));
        check(vec![bank(identity()), own("192.0.2.0/24")], Plaintext, None);
        check(vec![bank(identity()), Inbound { mode: Mode::Off, ..own("127.0.0.0/8") }], Plaintext, None);
        check(vec![bank(identity()), Inbound { tls: identity(), ..own("127.0.0.0/8") }], Plaintext, None);
        let looser = Inbound { name: "looser".into(), ..bank(InboundTls::Opportunistic) };
        check(vec![bank(identity()), looser], Plaintext, None);
    }

    /// At `*` the first connector that is satisfied takes the mail.
    #[test]
    fn where_nobody_binds_a_domain_whoever_demands_nothing_admits() {
        use Intruder::{NoCertificate, Plaintext};
        let any = |name: &str, tls| Inbound { tls, ..Inbound::new(name, vec![DomainPattern::Any]) };
        let cloud = || any("cloud", identity());
        let internet = || any("internet", InboundTls::Opportunistic);
        let check = |inbound, intruder, expected| check_as(NOBODY, inbound, intruder, expected);
        check(vec![cloud()], Plaintext, None);
        check(vec![cloud(), internet()], Plaintext, Some("internet"));
        check(vec![cloud(), any("sealed", InboundTls::Forced(Forced::encryption()))], Plaintext, None);
        check(
            vec![cloud(), any("sealed", InboundTls::Forced(Forced::encryption()))],
            NoCertificate,
            Some("sealed"),
        );
        check(vec![cloud(), Inbound { listeners: ["other".into()].into(), ..internet() }], Plaintext, None);
        let audit = |inbound| Inbound { mode: Mode::Audit, ..inbound };
        check(vec![cloud(), audit(any("audit", identity()))], Plaintext, None);
        let here = || ["127.0.0.0/8".parse().expect("a network")].into_iter().collect();
        let networked = Inbound { from_networks: here(), ..audit(any("audit", identity())) };
        check(vec![cloud(), networked], Plaintext, Some("audit"));
        check(
            vec![Inbound { tls: identity(), ..own("127.0.0.0/8") }, internet()],
            Plaintext,
            Some("internet"),
        );
        check(vec![Inbound { tls: identity(), ..own("127.0.0.0/8") }], Plaintext, None);
    }

    #[test]
    fn a_domain_below_stands_for_its_pattern_and_an_invented_one_for_any() {
        let table = |one| Table::new(Generation(1), vec![one], Vec::new());
        let domains = |one| -> Vec<String> {
            let bound = bound_domains(&table(one));
            bound.iter().flat_map(|one| &one.domains).map(ToString::to_string).collect()
        };
        assert_eq!(domains(bank(identity())), ["bank.example", "sealpost-assure.bank.example", NOBODY]);
        assert_eq!(domains(Inbound { tls: identity(), ..own("127.0.0.0/8") }), [NOBODY]);
        let none = [
            bank(InboundTls::Opportunistic),
            Inbound { mode: Mode::Audit, ..bank(identity()) },
            own("127.0.0.0/8"),
        ];
        for one in none {
            assert_eq!(domains(one), Vec::<String>::new());
        }
    }

    #[test]
    fn only_a_refusal_by_policy_proves_something() {
        let check =
            |code, text: &str, expected| assert_eq!(verdict_on_mail(code, text).0, expected, "{code}");
        check(250, "2.1.0 ok", EvidenceVerdict::Finding);
        check(530, "5.7.0 Must issue a STARTTLS command first", EvidenceVerdict::Held);
        check(550, "5.7.1 no", EvidenceVerdict::Held);
        check(421, "4.7.0 too many connections", EvidenceVerdict::Untested);
        check(454, "4.7.0 TLS is unavailable", EvidenceVerdict::Untested);
        check(550, "5.1.7 bad address", EvidenceVerdict::Untested);
    }
}
