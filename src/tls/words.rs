//! Puts errors of the TLS libraries in words: their own are names of Rust, with all that these hold.

use rustls::{AlertDescription, CertificateError, Error};

use super::strength::signature_named;

/// Why a chain was not accepted.
pub(super) fn chain_words(error: &webpki::Error) -> String {
    use webpki::Error as E;
    if let E::UnsupportedSignatureAlgorithmContext(context) = error {
        let name = signature_named(&context.signature_algorithm_id);
        return format!("a certificate in it is signed with {name}, which is not accepted");
    }
    if let E::UnsupportedSignatureAlgorithmForPublicKeyContext(context) = error {
        let name = signature_named(&context.signature_algorithm_id);
        return format!(
            "a certificate in it is signed with {name}, which does not fit the key of its issuer"
        );
    }
    let known =
        CHAINS.iter().find(|(errors, _)| errors.contains(error)).map(|(_, words)| (*words).to_owned());
    known.unwrap_or_else(|| format!("it has this fault: {}", apart(&format!("{error:?}"), ' ')))
}

/// What of an error needs no more than words.
const CHAINS: &[(&[webpki::Error], &str)] = {
    use webpki::Error as E;
    &[
        (
            &[
                E::BadDer,
                E::BadDerTime,
                E::MalformedExtensions,
                E::ExtensionValueInvalid,
                E::MalformedDnsIdentifier,
                E::MalformedNameConstraint,
                E::InvalidNetworkMaskConstraint,
                E::InvalidSerialNumber,
            ],
            "a certificate in it is malformed",
        ),
        (&[E::InvalidCertValidity], "a certificate in it ends before it begins"),
        (&[E::EndEntityUsedAsCa], "a certificate in it was issued by one that is no authority's"),
        (&[E::PathLenConstraintViolated], "it is longer than an authority in it allows (path length)"),
        (
            &[E::NameConstraintViolation],
            "the certificate has a name that an authority in it may not certify (name constraints)",
        ),
        (
            &[
                E::MaximumPathDepthExceeded,
                E::MaximumPathBuildCallsExceeded,
                E::MaximumSignatureChecksExceeded,
                E::MaximumNameConstraintComparisonsExceeded,
            ],
            "it has too many certificates or names to be checked",
        ),
        (
            &[E::UnsupportedCriticalExtension],
            "a certificate in it has a critical extension that is not known here",
        ),
        (
            &[E::SignatureAlgorithmMismatch],
            "a certificate in it names two signature algorithms for one signature",
        ),
    ]
};

/// The name of an alert in the registry of TLS alerts.
pub(super) fn alert_name(alert: AlertDescription) -> String {
    if alert == AlertDescription::UnrecognisedName {
        return "unrecognized_name".to_owned();
    }
    alert.as_str().map_or_else(|| format!("number {}", u8::from(alert)), |name| apart(name, '_'))
}

/// What else is wrong in a handshake.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's words do for all others, and for those to come"
)]
pub(super) fn handshake_words(error: &Error) -> String {
    let name = |what: &dyn std::fmt::Debug| apart(&format!("{what:?}"), ' ');
    match error {
        Error::PeerMisbehaved(what) => format!("the peer does not keep to the TLS protocol: {}", name(what)),
        Error::PeerIncompatible(what) => format!("the peer is incompatible: {}", name(what)),
        Error::InvalidMessage(what) => format!("the peer sent a damaged TLS message: {}", name(what)),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "the peer sent a TLS message that is not expected there".to_owned()
        }
        Error::PeerSentOversizedRecord => "the peer sent a TLS record that is too large".to_owned(),
        other => other.to_string(),
    }
}

/// Why a certificate can't be used for the signature of the handshake.
pub(super) fn certificate_words(error: &CertificateError) -> String {
    if *error == CertificateError::BadEncoding {
        return "it is malformed".to_owned();
    }
    apart(&format!("{error:?}"), ' ')
}

/// The words of a name in camel case, without what follows it.
fn apart(name: &str, between: char) -> String {
    let letters: Vec<char> = name.chars().take_while(char::is_ascii_alphanumeric).collect();
    let mut words = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(at.saturating_add(1));
        let begins = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                !before.is_ascii_uppercase() || after.is_some_and(char::is_ascii_lowercase)
            });
        if begins {
            words.push(between);
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use rustls::{InvalidMessage, PeerIncompatible, PeerMisbehaved};

    use super::*;

    #[test]
    fn alerts_have_their_registered_names() {
        for (alert, expected) in [
            (AlertDescription::HandshakeFailure, "handshake_failure"),
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::UnrecognisedName, "unrecognized_name"),
            (AlertDescription::UnknownPSKIdentity, "unknown_psk_identity"),
            (AlertDescription::BadRecordMac, "bad_record_mac"),
            (AlertDescription::Unknown(200), "number 200"),
        ] {
            assert_eq!(alert_name(alert), expected);
        }
    }

    #[test]
    fn nothing_of_rust_is_left() {
        let check = |words: String, expected: &str| assert_eq!(words, expected);
        check(
            chain_words(&webpki::Error::PathLenConstraintViolated),
            "it is longer than an authority in it allows (path length)",
        );
        check(chain_words(&webpki::Error::UnsupportedNameType), "it has this fault: unsupported name type");
        check(
            handshake_words(&Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedKxGroup)),
            "the peer does not keep to the TLS protocol: selected unoffered kx group",
        );
        check(
            handshake_words(&Error::PeerIncompatible(PeerIncompatible::KeyShareExtensionRequired)),
            "the peer is incompatible: key share extension required",
        );
        check(
            handshake_words(&Error::InvalidMessage(InvalidMessage::TrailingData("Finished"))),
            "the peer sent a damaged TLS message: trailing data",
        );
        check(certificate_words(&CertificateError::BadEncoding), "it is malformed");
    }
}
