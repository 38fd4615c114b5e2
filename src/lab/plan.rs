//! What the lab tries, and the outcome that the policy requires. Pure: names, numbers and
//! expectations.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// The outcome of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseOutcome {
    /// It arrived over TLS.
    DeliveredTls,
    /// It arrived in plaintext.
    DeliveredClear,
    /// It waits, because the session did not meet the requirement.
    Withheld,
    /// It waits for another reason.
    Deferred,
    /// It was permanently rejected.
    Refused,
}

/// The certificate that a partner presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownIdentities {
    /// Valid for its domain and its host.
    Fits,
    /// For another name.
    WrongName,
    /// Expired.
    Expired,
    /// Issued by the partner's own authority.
    PrivateCa,
}

/// A message to a partner that serves only this message: any plaintext the partner received comes
/// from it.
#[derive(Debug, Clone, Copy)]
pub struct OutboundCase {
    /// The recipient domain; its mail exchanger is `mx.` followed by it.
    pub domain: &'static str,
    /// The last octet of the partner's address.
    pub octet: u8,
    /// How the partner behaves.
    pub behaviour: Behaviour,
    /// The certificate it presents.
    pub shown: ShownIdentities,
    /// The outcomes that the policy allows.
    pub expected: &'static [CaseOutcome],
    /// The token of the decision that defers it, if there is only one.
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
    /// What the client does about TLS.
    pub tls: ClientDoes,
    /// The outcome that the policy requires.
    pub expected: CaseOutcome,
    /// The start of the rejecting reply; empty if the message is accepted.
    pub reply: &'static str,
}

/// What a client does about TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientDoes {
    /// Stays in plaintext.
    Clear,
    /// STARTTLS without a certificate.
    NoCertificate,
    /// STARTTLS with the partner's certificate.
    OwnCertificate,
    /// STARTTLS with another partner's certificate.
    WrongName,
}

/// How a partner behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Offers STARTTLS and completes it. Its certificate may still be invalid.
    Good,
    /// Does not offer STARTTLS.
    NoStartTls,
    /// Offers STARTTLS, replies 220, and then sends something that is not TLS.
    BreaksHandshake,
    /// Fails the handshake unless the client presents a certificate of the lab's authority.
    DemandsClientCertificate,
    /// Rejects every recipient.
    RefusesRecipients,
    /// Does not listen.
    Down,
}

impl CaseOutcome {
    /// The word used in the table and in JSON.
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
    /// The only recipient address.
    #[must_use]
    pub fn to(&self) -> String {
        format!("bob@{}", self.domain)
    }

    /// The host name of the partner.
    #[must_use]
    pub fn exchanger(&self) -> String {
        format!("mx.{}", self.domain)
    }

    /// The loopback address of the partner.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        address(self.octet)
    }
}

/// An address of the lab, by its last octet.
#[must_use]
pub const fn address(octet: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 30, octet)
}

/// The zone of the whole lab (RFC 6761 §6.2 reserves `test`).
pub const ORIGIN: &str = "lab.test";
/// The domain behind the gateway.
pub const OWN_DOMAIN: &str = "contoso.lab.test";
/// The reverse-path of outbound mail.
pub const OWN_SENDER: &str = "ann@contoso.lab.test";
/// The gateway's name and the last octet of its address.
pub const GATEWAY: (&str, u8) = ("gw.contoso.lab.test", 100);
/// Name of the mail server behind the gateway, and the last octet of its address.
pub const ON_PREMISES: (&str, u8) = ("mail.contoso.lab.test", 101);
/// The last octet of the DNS server's address.
pub const DNS_OCTET: u8 = 53;
/// The partner that sends to us: its domain, its host, and the last octet of its address.
pub const PARTNER: (&str, &str, u8) = ("fabrikam.lab.test", "mail.fabrikam.lab.test", 110);
/// The last octet of a client that no connector knows.
pub const STRANGER_OCTET: u8 = 120;
/// The last octet of the only client that may send outbound mail.
pub const OWN_OCTET: u8 = 102;

/// Domains that no other connector serves use `internet`. Below `sealed.lab.test` and in the two
/// domains with a connector of their own, TLS is forced.
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
    // In TLS 1.3 the peer's refusal arrives after our side of the handshake is complete: the
    // session ends with an alert before the envelope, which is not a shortfall of the handshake.
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

/// Inbound mail: from the partner, from strangers, and from clients that pretend to be someone
/// else.
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
