//! Why certificates, keys and trust anchors can't be used, and how a handshake failed, in words.

use std::io;
use std::path::PathBuf;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use super::crl::ListFault;
use super::form::ForeignFile;
use super::words::{alert_name, certificate_words, handshake_words};
use crate::connector::{ClientCertificate, HandshakeCause, HandshakeFault};

/// Why certificates, keys or trust anchors can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// The file does not exist.
    #[error("{}: there is no such file; write the path as seen from the configuration file", .0.display())]
    Missing(PathBuf),
    /// No permission to read the file.
    #[error("{}: no permission to read it; let the user that runs sealpost read it", .0.display())]
    NoPermission(PathBuf),
    /// The file can't be read for another reason.
    #[error("{}: it can't be read: {source}", file.display())]
    Unread {
        /// Path of the file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A PEM section is cut off or holds other characters than base64.
    #[error("{}: it is damaged ({reason}); copy it again, from BEGIN line to END line", file.display())]
    Damaged {
        /// Path of the file.
        file: PathBuf,
        /// The PEM parser's reason.
        reason: String,
    },
    /// The file has no certificate section.
    #[error("{}: no certificate in it; it must hold PEM (-----BEGIN CERTIFICATE-----)", .0.display())]
    NoCertificate(PathBuf),
    /// Another form than PEM, and how to convert it.
    #[error("{0}")]
    Foreign(ForeignFile),
    /// Chain and key are each in the other's place.
    #[error("chain and key are swapped: {} has a private key, and {} has certificates; write chain = \"{}\" and key = \"{}\"", chain.display(), key.display(), key.display(), chain.display())]
    Swapped {
        /// The chain's file.
        chain: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A certificate section that can't be parsed.
    #[error("{}: certificate number {number} can't be read: {reason}", file.display())]
    Unreadable {
        /// Path of the file.
        file: PathBuf,
        /// Position of that certificate in the file, counted from 1.
        number: usize,
        /// The parser's reason.
        reason: String,
    },
    /// The file has no private key section.
    #[error("{}: no private key in it; it must hold PEM (-----BEGIN PRIVATE KEY-----)", .0.display())]
    NoKey(PathBuf),
    /// The file has more than one private key.
    #[error("{}: {count} private keys in it; leave only the one that belongs to the certificate", file.display())]
    SeveralKeys {
        /// Path of the file.
        file: PathBuf,
        /// Number of private keys found.
        count: usize,
    },
    /// The key is encrypted with a passphrase.
    #[error("{}: the private key is encrypted; take the passphrase off (openssl pkey -in OLD -out NEW)", .0.display())]
    EncryptedKey(PathBuf),
    /// The key is of a type that can't sign handshakes.
    #[error("{}: the private key can't be used: {reason}; RSA (2048 bits or more), ECDSA and Ed25519 can", file.display())]
    UnusableKey {
        /// Path of the file.
        file: PathBuf,
        /// The TLS library's reason.
        reason: String,
    },
    /// The key matches no certificate of the chain.
    #[error("{}: the private key does not belong to the first certificate of {}; a renewal may have replaced only one of them", key.display(), chain.display())]
    KeyMismatch {
        /// Path of the chain file.
        chain: PathBuf,
        /// Path of the key file.
        key: PathBuf,
    },
    /// The key matches a certificate that is not the first.
    #[error("{}: the private key belongs to certificate number {number}; put that one first, then its issuer, and so on", chain.display())]
    ChainOrder {
        /// Path of the chain file.
        chain: PathBuf,
        /// Position of the matching certificate in the file, counted from 1.
        number: usize,
    },
    /// A certificate that can't be a trust anchor.
    #[error("{}: certificate number {number} can't be a trust anchor: {reason}; take it out", file.display())]
    Anchor {
        /// Path of the file.
        file: PathBuf,
        /// Position of that certificate in the file, counted from 1.
        number: usize,
        /// The path check's reason.
        reason: String,
    },
    /// The file holds no revocation list, or one that can't be used.
    #[error("{}: {fault}", file.display())]
    RevocationList {
        /// Path of the file.
        file: PathBuf,
        /// Why it can't be used.
        fault: ListFault,
    },
    /// The operating system has no usable trust anchor.
    #[error(
        "the operating system has no trust anchors ({0}); install its package (ca-certificates), or name a file of your own in [trust]"
    )]
    NoSystemAnchors(String),
    /// The TLS library refuses the settings.
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] Error),
}

impl TlsFault {
    /// Classifies an error from reading a file.
    pub(super) fn unread(file: &std::path::Path, source: io::Error) -> Self {
        let file = file.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            return Self::Missing(file);
        }
        if source.kind() == io::ErrorKind::PermissionDenied {
            return Self::NoPermission(file);
        }
        Self::Unread { file, source }
    }
}

/// Describes how a handshake failed. `asked`: whether the peer had asked for our certificate by then. After that request
/// version, suite and group are agreed on: if the peer ends the handshake, it is because of the certificate.
#[must_use]
pub fn handshake_fault(error: &io::Error, asked: ClientCertificate) -> HandshakeFault {
    if let Some(fault) = late_fault(error, asked) {
        return fault;
    }
    let text = if error.kind() == io::ErrorKind::UnexpectedEof {
        "the connection ended during the handshake".to_owned()
    } else if error.kind() == io::ErrorKind::ConnectionReset || error.kind() == io::ErrorKind::BrokenPipe {
        "the peer closed the connection during the handshake".to_owned()
    } else {
        return HandshakeFault::new(format!("the connection failed during the handshake: {error}"));
    };
    // Some servers send no alert.
    match over_request(asked) {
        None => HandshakeFault::of(HandshakeCause::Cut, text),
        Some((cause, refused)) => HandshakeFault { words: text + refused, over_certificate: true, cause },
    }
}

/// Why a handshake with this client must fail, if the first octets that it sent say that it knows nothing newer than
/// TLS 1.1. The TLS library stumbles over what such a hello lacks, and reports that instead.
#[must_use]
pub fn outdated_hello(first: &[u8]) -> Option<HandshakeFault> {
    let version = match first {
        // RFC 5246 §6.2.1, §7.4.1.2: a handshake record with a ClientHello, and its client_version.
        [22, 3, _, _, _, 1, _, _, _, major, minor, ..] => [*major, *minor],
        // RFC 5246 appendix E.2: the hello of SSL 2.0, which later versions could be offered by.
        [head, _, 1, major, minor, ..] if head & 0x80 != 0 => [*major, *minor],
        _ => return None,
    };
    let name = match version {
        [0, 2] | [2, 0] => "SSL 2.0",
        [3, 0] => "SSL 3.0",
        [3, 1] => "TLS 1.0",
        [3, 2] => "TLS 1.1",
        _ => return None,
    };
    let words =
        format!("the client is too old: it speaks {name}, and the oldest version accepted is TLS 1.2");
    Some(HandshakeFault::of(HandshakeCause::Version, words))
}

/// As [`handshake_fault`], for an error of a later read: a TLS 1.3 client learns only then that the
/// server refused its certificate (RFC 8446 §4.4.2.4). `None` if TLS had no part in it.
#[must_use]
pub fn late_fault(error: &io::Error, asked: ClientCertificate) -> Option<HandshakeFault> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let Error::AlertReceived(alert) = error else {
        let (cause, words) = in_words(error);
        return Some(HandshakeFault::of(cause, words));
    };
    let over_certificate = over_certificate(*alert, asked);
    // These alerts say why it refused ours.
    let is_said = asked == ClientCertificate::Sent
        && [AlertDescription::UnknownCA, AlertDescription::CertificateExpired].contains(alert);
    let refused = over_request(asked).filter(|_| over_certificate && !is_said);
    let (cause, meaning) = refused.unwrap_or_else(|| meaning(*alert));
    Some(HandshakeFault {
        words: format!("the peer sent the alert {}{meaning}", alert_name(*alert)),
        over_certificate,
        cause,
    })
}

/// The meaning of a failure because of the certificate that the peer asked for.
fn over_request(asked: ClientCertificate) -> Option<(HandshakeCause, &'static str)> {
    match asked {
        ClientCertificate::NotAskedFor => None,
        ClientCertificate::Sent => Some((HandshakeCause::OursRefused, "; it refused our client certificate")),
        ClientCertificate::NoneToSend => Some((
            HandshakeCause::OursMissing,
            "; it wants a client certificate, and none is configured (client_certificate)",
        )),
        ClientCertificate::NotSuited => Some((
            HandshakeCause::OursUnsuited,
            "; it wants a client certificate, and ours does not fit the signature schemes it asked for",
        )),
    }
}

/// The alerts by which a peer refuses our certificate, or the lack of one (RFC 8446 §6.2). In TLS 1.2 these include
/// handshake_failure (RFC 5246 §7.4.6), which before the request means that nothing could be agreed on.
fn over_certificate(alert: AlertDescription, asked: ClientCertificate) -> bool {
    let refused = alert == AlertDescription::HandshakeFailure && asked != ClientCertificate::NotAskedFor;
    refused
        || [
            AlertDescription::NoCertificate,
            AlertDescription::BadCertificate,
            AlertDescription::UnsupportedCertificate,
            AlertDescription::CertificateRevoked,
            AlertDescription::CertificateExpired,
            AlertDescription::CertificateUnknown,
            AlertDescription::UnknownCA,
            AlertDescription::AccessDenied,
            AlertDescription::CertificateRequired,
        ]
        .contains(&alert)
}

fn in_words(error: &Error) -> (HandshakeCause, String) {
    use HandshakeCause as C;
    if let Error::PeerIncompatible(what) = error {
        return incompatible_in_words(what);
    }
    if let Error::InvalidCertificate(what) = error {
        // Chains are judged after the handshake. What fails here is the signature that proves the
        // key, or a certificate without a usable key.
        let words = if *what == CertificateError::BadSignature {
            "the peer did not prove that it holds the certificate's key: its signature is wrong".to_owned()
        } else {
            format!("the peer's certificate can't be used: {}", certificate_words(what))
        };
        return (C::Unproved, words);
    }
    if let Error::InvalidMessage(
        InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
    ) = error
    {
        return (C::NotTls, "the peer sent something that is not TLS".to_owned());
    }
    if matches!(error, Error::NoCertificatesPresented) {
        return (C::Other, "the peer showed no certificate".to_owned());
    }
    if matches!(error, Error::DecryptError) {
        let words = "a record can't be decrypted; something on the way may have changed it";
        return (C::Other, words.to_owned());
    }
    (C::Other, handshake_words(error))
}

fn meaning(alert: AlertDescription) -> (HandshakeCause, &'static str) {
    use HandshakeCause as C;
    if alert == AlertDescription::HandshakeFailure {
        (C::NothingInCommon, "; usually no cipher suite or key exchange in common")
    } else if alert == AlertDescription::InsufficientSecurity {
        (C::NothingInCommon, "; it demands stronger cipher suites or keys than were offered")
    } else if alert == AlertDescription::ProtocolVersion {
        (C::Version, "; it does not speak the TLS versions offered")
    } else if alert == AlertDescription::CertificateRequired {
        (C::OursMissing, "; it wants a client certificate")
    } else if alert == AlertDescription::UnknownCA {
        (C::OursUnknown, "; it does not know the issuer of our certificate")
    } else if alert == AlertDescription::CertificateExpired {
        (C::OursExpired, "; it says that our certificate has expired")
    } else if alert == AlertDescription::UnrecognisedName {
        (C::NameUnknown, "; it does not know the name asked for")
    } else {
        (C::Other, "")
    }
}

fn incompatible_in_words(what: &PeerIncompatible) -> (HandshakeCause, String) {
    use HandshakeCause as C;
    use PeerIncompatible as P;
    let (cause, words) = if matches!(
        what,
        P::ServerDoesNotSupportTls12Or13
            | P::Tls12NotOffered
            | P::Tls12NotOfferedOrEnabled
            | P::SupportedVersionsExtensionRequired
    ) {
        (C::Version, "the peer speaks no TLS 1.2 or later")
    } else if *what == P::ServerTlsVersionIsDisabledByOurConfig {
        (C::Version, "the peer speaks only a TLS version that the connector does not allow")
    } else if *what == P::NoCipherSuitesInCommon {
        (C::NothingInCommon, "no cipher suite in common")
    } else if matches!(
        what,
        P::NoKxGroupsInCommon | P::NamedGroupsExtensionRequired | P::NoEcPointFormatsInCommon
    ) {
        (C::NothingInCommon, "no key exchange group in common")
    } else if matches!(
        what,
        P::NoSignatureSchemesInCommon
            | P::NoCertificateRequestSignatureSchemesInCommon
            | P::SignatureAlgorithmsExtensionRequired
    ) {
        (C::NothingInCommon, "no signature scheme in common")
    } else if *what == P::ExtendedMasterSecretExtensionRequired {
        (C::NoMasterSecret, "the peer has no extended master secret (RFC 7627)")
    } else {
        return (C::Other, handshake_words(&Error::PeerIncompatible(what.clone())));
    };
    (cause, words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_hello_is_known_by_its_version() {
        let check = |first: &[u8], expected: Option<&str>| {
            let fault = outdated_hello(first).map(|fault| fault.words);
            assert_eq!(fault.is_some(), expected.is_some(), "{first:?}");
            assert!(fault.unwrap_or_default().contains(expected.unwrap_or_default()), "{first:?}");
        };
        let hello = |major, minor| [22, 3, 1, 0, 45, 1, 0, 0, 41, major, minor, 0];
        check(&hello(3, 0), Some("too old: it speaks SSL 3.0"));
        check(&hello(3, 1), Some("too old: it speaks TLS 1.0"));
        check(&hello(3, 2), Some("too old: it speaks TLS 1.1"));
        // TLS 1.3 says 1.2 here.
        check(&hello(3, 3), None);
        check(&[0x80, 46, 1, 3, 1, 0, 21], Some("TLS 1.0"));
        check(&[0x80, 46, 1, 3, 3, 0, 21], None);
        check(b"EHLO client.example\r\n", None);
        check(&hello(3, 1)[..10], None);
        check(&[], None);
    }
}
