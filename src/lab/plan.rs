//! What the lab tries, and what the policy says of it. Pure: names, numbers and expectations.

use std::net::Ipv4Addr;

use serde::Serialize;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseOutcome {
    /// It arrived, over TLS.
    DeliveredTls,
    /// It arrived, in clear.
    DeliveredClear,
    /// It waits, since nothing may be sent on such terms.
    Withheld,
    /// It waits, for another reason.
    Deferred,
    /// It was refused for good.
    Refused,
}

/// The certificate that a partner shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownIdentities {
    /// For its domain and its host, in order.
    Fits,
    /// For somebody else.
    WrongName,
    /// Its time is over.
    Expired,
    /// From an authority of its own.
    PrivateCa,
}

/// A message to a partner, who is there for it alone: what came to that partner in clear is this
/// message's doing.
#[derive(Debug, Clone, Copy)]
pub struct OutboundCase {
    /// The recipient domain; its mail exchanger is `mx.` and this.
    pub domain: &'static str,
    /// The last octet of the partner's address.
    pub octet: u8,
    /// How the partner behaves.
    pub behaviour: Behaviour,
    /// What it shows.
    pub shown: ShownIdentities,
    /// What the policy allows to become of it.
    pub expected: &'static [CaseOutcome],
    /// The machine word of the decision that keeps it back, where there is just one.
    pub token: Option<&'static str>,
}

/// A message to the gateway.
#[derive(Debug, Clone, Copy)]
pub struct InboundCase {
    /// The reverse-path.
    pub from: &'static str,
    /// The forward-path.
    pub to: &'static str,
    /// The last octet of the client's address.
    pub octet: u8,
    /// What the client does of TLS.
    pub tls: ClientDoes,
    /// What the policy says must become of it.
    pub expected: CaseOutcome,
    /// How the refusing reply begins; empty where it is taken.
    pub reply: &'static str,
}

/// What a client does of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientDoes {
    /// Stays in clear.
    Clear,
    /// STARTTLS without a certificate.
    NoCertificate,
    /// STARTTLS with the partner's certificate.
    OwnCertificate,
    /// STARTTLS with somebody else's certificate.
    WrongName,
}

/// How a partner behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Offers STARTTLS and keeps its word. Whether its certificate is in order is another matter.
    Good,
    /// Does not offer STARTTLS.
    NoStartTls,
    /// Offers STARTTLS, says 220, and then talks nonsense.
    BreaksHandshake,
    /// Ends the handshake unless the client shows a certificate of the lab's authority.
    DemandsClientCertificate,
    /// Refuses every recipient.
    RefusesRecipients,
    /// Does not listen.
    Down,
}

impl CaseOutcome {
    /// The word of the table and of JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::DeliveredTls => "delivered_tls",
            Self::DeliveredClear => "delivered_clear",
            Self::Withheld => "withheld",
            Self::Deferred => "deferred",
            Self::Refused => "refused",
        }
    }
}

impl OutboundCase {
    /// The recipient.
    #[must_use]
    pub fn to(&self) -> String {
        format!("bob@{}", self.domain)
    }

    /// The partner's host.
    #[must_use]
    pub fn exchanger(&self) -> String {
        format!("mx.{}", self.domain)
    }

    /// The partner's address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        address(self.octet)
    }
}

/// An address of the lab.
#[must_use]
pub const fn address(octet: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 30, octet)
}

/// The zone of the whole lab (RFC 6761 §6.2: `test` belongs to nobody).
pub const ORIGIN: &str = "lab.test";
/// Our own domain, and who sends from it.
pub const OWN_DOMAIN: &str = "contoso.lab.test";
/// The sender of outbound mail.
pub const OWN_SENDER: &str = "ann@contoso.lab.test";
/// The gateway's name and the last octet of its address.
pub const GATEWAY: (&str, u8) = ("gw.contoso.lab.test", 100);
/// The mail server behind the gateway.
pub const ON_PREMISES: (&str, u8) = ("mail.contoso.lab.test", 101);
/// The last octet of the DNS server's address.
pub const DNS_OCTET: u8 = 53;
/// The partner that sends to us: its domain, its host, and the last octet of its address.
pub const PARTNER: (&str, &str, u8) = ("fabrikam.lab.test", "mail.fabrikam.lab.test", 110);
/// Somebody whom no connector knows.
pub const STRANGER_OCTET: u8 = 120;
/// The one network of ours that may send outward.
pub const OWN_OCTET: u8 = 102;

/// The domains that no other connector serves go by `internet`; below `sealed.lab.test` and in
/// the two domains that have a connector of their own, TLS is forced.
pub const OUTBOUND: &[OutboundCase] = &[
    case("good.lab.test", 1, Behaviour::Good, ShownIdentities::Fits, TLS, None),
    case("clear.lab.test", 2, Behaviour::NoStartTls, ShownIdentities::Fits, CLEAR, None),
    case("wrongname.lab.test", 3, Behaviour::Good, ShownIdentities::WrongName, TLS, None),
    case("expired.lab.test", 4, Behaviour::Good, ShownIdentities::Expired, TLS, None),
    case("broken.lab.test", 5, Behaviour::BreaksHandshake, ShownIdentities::Fits, CLEAR, None),
    case("down.lab.test", 6, Behaviour::Down, ShownIdentities::Fits, DEFERRED, None),
    case("nobody.lab.test", 7, Behaviour::RefusesRecipients, ShownIdentities::Fits, REFUSED, None),
    case("good.sealed.lab.test", 11, Behaviour::Good, ShownIdentities::Fits, TLS, None),
    case(
        "clear.sealed.lab.test",
        12,
        Behaviour::NoStartTls,
        ShownIdentities::Fits,
        WITHHELD,
        Some("starttls-not-offered"),
    ),
    case(
        "wrongname.sealed.lab.test",
        13,
        Behaviour::Good,
        ShownIdentities::WrongName,
        WITHHELD,
        Some("name-mismatch"),
    ),
    case(
        "expired.sealed.lab.test",
        14,
        Behaviour::Good,
        ShownIdentities::Expired,
        WITHHELD,
        Some("certificate-expired"),
    ),
    case(
        "private.sealed.lab.test",
        15,
        Behaviour::Good,
        ShownIdentities::PrivateCa,
        WITHHELD,
        Some("unknown-issuer"),
    ),
    case(
        "broken.sealed.lab.test",
        16,
        Behaviour::BreaksHandshake,
        ShownIdentities::Fits,
        WITHHELD,
        Some("handshake-broken"),
    ),
    case("down.sealed.lab.test", 17, Behaviour::Down, ShownIdentities::Fits, DEFERRED, None),
    // In TLS 1.3 the peer's refusal comes after our side of the handshake is complete: the
    // session ends in alert before the envelope, which is no shortfall of the handshake.
    case(
        "mutual.sealed.lab.test",
        18,
        Behaviour::DemandsClientCertificate,
        ShownIdentities::Fits,
        KEPT,
        None,
    ),
    case("mutual.lab.test", 21, Behaviour::DemandsClientCertificate, ShownIdentities::Fits, TLS, None),
    case("private.lab.test", 22, Behaviour::Good, ShownIdentities::PrivateCa, TLS, None),
];

/// Mail that comes in, from the partner, from strangers, and from those who claim to be somebody.
pub const INBOUND: &[InboundCase] = &[
    inbound("eve@fabrikam.lab.test", "ann@contoso.lab.test", ClientDoes::OwnCertificate, ""),
    inbound("eve@fabrikam.lab.test", "ann@contoso.lab.test", ClientDoes::Clear, "550 5.7.10"),
    inbound("eve@fabrikam.lab.test", "ann@contoso.lab.test", ClientDoes::NoCertificate, "550 5.7.1"),
    inbound("eve@fabrikam.lab.test", "ann@contoso.lab.test", ClientDoes::WrongName, "550 5.7.1"),
    inbound("eve@fabrikam.lab.test", "bob@good.lab.test", ClientDoes::OwnCertificate, "550 5.7.1"),
    stranger("joe@stranger.lab.test", "ann@contoso.lab.test"),
    stranger("ann@contoso.lab.test", "bob@good.lab.test"),
];

const TLS: &[CaseOutcome] = &[CaseOutcome::DeliveredTls];
const CLEAR: &[CaseOutcome] = &[CaseOutcome::DeliveredClear];
const WITHHELD: &[CaseOutcome] = &[CaseOutcome::Withheld];
const DEFERRED: &[CaseOutcome] = &[CaseOutcome::Deferred];
const REFUSED: &[CaseOutcome] = &[CaseOutcome::Refused];
const KEPT: &[CaseOutcome] = &[CaseOutcome::Withheld, CaseOutcome::Deferred];

const fn case(
    domain: &'static str,
    octet: u8,
    behaviour: Behaviour,
    shown: ShownIdentities,
    expected: &'static [CaseOutcome],
    token: Option<&'static str>,
) -> OutboundCase {
    OutboundCase { domain, octet, behaviour, shown, expected, token }
}

const fn inbound(from: &'static str, to: &'static str, tls: ClientDoes, reply: &'static str) -> InboundCase {
    let expected = if reply.is_empty() { CaseOutcome::DeliveredTls } else { CaseOutcome::Refused };
    InboundCase { from, to, octet: PARTNER.2, tls, expected, reply }
}

const fn stranger(from: &'static str, to: &'static str) -> InboundCase {
    InboundCase {
        from,
        to,
        octet: STRANGER_OCTET,
        tls: ClientDoes::NoCertificate,
        expected: CaseOutcome::Refused,
        reply: "550 5.7.1",
    }
}
