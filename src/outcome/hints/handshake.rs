//! What to do about a handshake that failed, by its cause, and about a refused STARTTLS.

use super::known::Actor::{Either, They, We};
use super::known::Hint;
use crate::connector::HandshakeCause;

/// The hint about a handshake that failed for this cause; `None` if nothing is known about it.
pub(super) fn hint_of(cause: HandshakeCause) -> Option<&'static Hint> {
    let token = match cause {
        HandshakeCause::Other => return None,
        HandshakeCause::NothingInCommon => NOTHING_IN_COMMON,
        HandshakeCause::OutsideProfile => OUTSIDE_PROFILE,
        HandshakeCause::NoMasterSecret => NO_MASTER_SECRET,
        HandshakeCause::Version => VERSION,
        HandshakeCause::Cut => CUT,
        HandshakeCause::NotTls => NOT_TLS,
        HandshakeCause::NameUnknown => NAME_UNKNOWN,
        HandshakeCause::Unproved => UNPROVED,
        HandshakeCause::OursMissing => OURS_MISSING,
        HandshakeCause::OursUnsuited => OURS_UNSUITED,
        HandshakeCause::OursUnknown => OURS_UNKNOWN,
        HandshakeCause::OursExpired => OURS_EXPIRED,
        HandshakeCause::OursRefused => OURS_REFUSED,
    };
    named(token)
}

/// The hint about a handshake without a common version, where the connector demands TLS 1.3.
pub(super) fn hint_of_version_13() -> Option<&'static Hint> {
    named(VERSION_13)
}

/// The hint about a STARTTLS that was refused with a reply that says nothing known.
pub(super) fn hint_of_refused() -> Option<&'static Hint> {
    named(REFUSED)
}

fn named(token: &str) -> Option<&'static Hint> {
    HANDSHAKES.iter().map(|(_, hint)| hint).find(|hint| hint.token == token)
}

const NOTHING_IN_COMMON: &str = "tls-nothing-in-common";
const OUTSIDE_PROFILE: &str = "tls-outside-profile";
const NO_MASTER_SECRET: &str = "tls-no-master-secret";
const VERSION: &str = "tls-version";
const VERSION_13: &str = "tls-version-13";
const CUT: &str = "tls-cut";
const NOT_TLS: &str = "tls-not-tls";
const NAME_UNKNOWN: &str = "tls-name-unknown";
const UNPROVED: &str = "tls-unproved";
const OURS_MISSING: &str = "tls-ours-missing";
const OURS_UNSUITED: &str = "tls-ours-unsuited";
const OURS_UNKNOWN: &str = "tls-ours-unknown";
const OURS_EXPIRED: &str = "tls-ours-expired";
const OURS_REFUSED: &str = "tls-ours-refused";
const REFUSED: &str = "starttls-refused";

/// What happened, in a few words, and the hint.
// Schannel of Windows Server 2012 R2 has AES-GCM with ECDHE only for ECDSA certificates; with RSA ones it has CBC suites,
// and GCM only with DHE or RSA key exchange: Microsoft, "TLS Cipher Suites in Windows 8.1" (learn.microsoft.com/windows/win32
// /secauthn/tls-cipher-suites-in-windows-8-1). Without a suite in common it often closes the connection without an alert.
pub(super) const HANDSHAKES: &[(&str, Hint)] = &[
    (
        "no cipher suite, group or signature scheme in common (alerts handshake_failure, insufficient_security)",
        Hint {
            token: NOTHING_IN_COMMON,
            actor: They,
            advice: "Their server must offer ECDHE with AES-GCM or ChaCha20 in TLS 1.2, or TLS 1.3: an Exchange Server on Windows \
                     Server 2012 R2 has that only with an ECDSA certificate, which is the way out there; newer Windows has it with \
                     RSA too.",
        },
    ),
    (
        "the same, where our profile limits what is offered",
        Hint {
            token: OUTSIDE_PROFILE,
            actor: Either,
            advice: "Our profile may be why, since it allows less than usual: their server must offer what is in its table (TLS \
                     profiles), or we change the profile on the connector or remove it; sealpost probe shows what their server has \
                     with --profile and without.",
        },
    ),
    (
        "TLS 1.2 without the extended master secret (RFC 7627), which our profile demands",
        Hint {
            token: NO_MASTER_SECRET,
            actor: Either,
            advice: "Their server must enable the extended master secret, by an update of its system, or TLS 1.3; or we choose a \
                     profile that does not demand it, or none.",
        },
    ),
    (
        "no TLS version in common (alert protocol_version, or an old hello)",
        Hint {
            token: VERSION,
            actor: They,
            advice: "Their system must enable TLS 1.2 or later, on Windows in the registry and in .NET.",
        },
    ),
    (
        "the same, where the connector demands TLS 1.3 (min_version)",
        Hint {
            token: VERSION_13,
            actor: Either,
            advice: "Their system has no TLS 1.3, which our connector demands: they must enable it, or we lower min_version to 1.2.",
        },
    ),
    (
        "the connection ended during the handshake, without an alert",
        Hint {
            token: CUT,
            actor: Either,
            advice: "Their administrators should look at their log: Windows closes like this when no cipher suite is in common (an \
                     Exchange Server on Windows Server 2012 R2 needs an ECDSA certificate then), and firewalls do so too.",
        },
    ),
    (
        "something that is not TLS came back",
        Hint {
            token: NOT_TLS,
            actor: Either,
            advice: "We should look at the port and at firewalls on the way: something other than TLS answered after STARTTLS, or tls = \
                     \"implicit\" goes to a port that begins in plaintext.",
        },
    ),
    (
        "the peer does not know the name asked for (alert unrecognized_name)",
        Hint {
            token: NAME_UNKNOWN,
            actor: Either,
            advice: "Their server has no certificate for the name that we ask for: its administrators must add one, or we change sni on \
                     the connector.",
        },
    ),
    (
        "the peer's signature is wrong, or its certificate can't be used",
        Hint {
            token: UNPROVED,
            actor: They,
            advice: "Their administrators must install certificate and key as a pair, with an RSA key of 2048 bits or more, or ECDSA.",
        },
    ),
    (
        "the peer wants a client certificate, and none is configured (alert certificate_required and others)",
        Hint {
            token: OURS_MISSING,
            actor: We,
            advice: "We must name a certificate that the partner accepts in client_certificate of the connector.",
        },
    ),
    (
        "our client certificate does not fit the signature schemes that the peer asked for",
        Hint {
            token: OURS_UNSUITED,
            actor: We,
            advice: "We must use a certificate with another kind of key for this partner, usually RSA with 2048 bits in place of ECDSA or \
                     Ed25519 (client_certificate).",
        },
    ),
    (
        "the peer does not know the issuer of our certificate (alert unknown_ca)",
        Hint {
            token: OURS_UNKNOWN,
            actor: Either,
            advice: "We must send our certificate with all its intermediates (chain); if we do, the partner must trust its root.",
        },
    ),
    (
        "the peer says that our certificate has expired (alert certificate_expired)",
        Hint {
            token: OURS_EXPIRED,
            actor: We,
            advice: "We must renew our certificate; if it is valid, the partner's clock or a pinned copy of the old one is wrong.",
        },
    ),
    (
        "the peer refused our certificate for another reason",
        Hint {
            token: OURS_REFUSED,
            actor: Either,
            advice: "The partner must say what it expects: a certain name, issuer or serial number, or the purpose of TLS clients \
                     (clientAuth), which public certificates no longer have.",
        },
    ),
    (
        "STARTTLS was refused",
        Hint {
            token: REFUSED,
            actor: They,
            advice: "Their server offers STARTTLS and then refuses it: its administrators should look at its certificate and key.",
        },
    ),
];
