//! Whether Exchange treats a message as mail of its own organisation, and if not, why. Pure: it plays
//! what Microsoft's documents say of cross-premises headers and `TlsDomainCapabilities`.

use std::fmt;

use super::dress::{CROSS_PREMISES, FILTERED, ORGANIZATION};
use super::fields::{RawField, SplitMessage};
use super::hosts::{CLOUD_DOMAIN, GATEWAY_NAME, OWN_DOMAIN, ROUTING_DOMAIN};
use super::outside::OutsideCause;

/// What an Exchange system made of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Treatment {
    /// `None`: as mail of its own organisation.
    pub outside: Option<OutsideCause>,
    /// What is known of it in detail: the name that was presented, or the value that was found.
    pub detail: String,
    /// The message as the system keeps it.
    pub message: SplitMessage,
}

/// What the client of a session showed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenClient {
    /// TLS version and suite; `None` in plaintext.
    pub channel: Option<String>,
    /// The names in its certificate, or why it is not valid; `None` if it presented none.
    pub certificate: Option<Result<Vec<String>, String>>,
}

impl SeenClient {
    /// Whether it presented the certificate that may send cross-premises headers
    /// (`TlsDomainCapabilities` of Exchange Server, `TlsSenderCertificateName` of Exchange Online).
    ///
    /// # Errors
    /// Why not, with what was presented.
    pub fn trusted(&self) -> Result<(), (OutsideCause, String)> {
        match (&self.channel, &self.certificate) {
            (None, _) => Err((OutsideCause::Plaintext, String::new())),
            (Some(_), None) => Err((OutsideCause::NoCertificate, String::new())),
            (Some(_), Some(Err(fault))) => Err((OutsideCause::InvalidCertificate, fault.clone())),
            (Some(_), Some(Ok(names))) if names.iter().any(|name| name == GATEWAY_NAME) => Ok(()),
            (Some(_), Some(Ok(names))) => Err((OutsideCause::OtherCertificate, names.join(", "))),
        }
    }
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outside {
            None => f.write_str(&self.detail),
            Some(cause) if self.detail.is_empty() => f.write_str(cause.sentence()),
            Some(cause) => write!(f, "{}: {}", cause.sentence(), self.detail),
        }
    }
}

/// What the Exchange system `host` makes of a message that arrived on a session of this client, with
/// this XOORG parameter.
#[must_use]
pub fn treat(message: SplitMessage, client: &SeenClient, xoorg: Option<&str>, host: &str) -> Treatment {
    match inside(&message, client, xoorg) {
        Ok(organisation) => {
            let detail = format!("mail of {organisation}, by the client certificate and its headers");
            Treatment { outside: None, detail, message: promoted(message, host) }
        }
        // The headers of a trusted client are promoted too if they say that the author is not ours.
        Err((OutsideCause::AuthorNotOurs, detail)) => {
            let message = promoted(message, host);
            Treatment { outside: Some(OutsideCause::AuthorNotOurs), detail, message }
        }
        Err((cause, detail)) => Treatment { outside: Some(cause), detail, message: anonymous(message, host) },
    }
}

/// The organisation, or why the message is none of it.
fn inside(
    message: &SplitMessage,
    client: &SeenClient,
    xoorg: Option<&str>,
) -> Result<String, (OutsideCause, String)> {
    client.trusted()?;
    if !message.has(CROSS_PREMISES) {
        let (cause, mark) = match (message.only(FILTERED), message.only(PRESERVED)) {
            (Some(by), _) => (OutsideCause::FilteredBySendConnector, by),
            (None, Some(at)) => (OutsideCause::HeadersStripped, format!("{PRESERVED} is there, of {at}")),
            (None, None) => (OutsideCause::NoCrossPremisesHeaders, String::new()),
        };
        return Err((cause, mark));
    }
    let organisation = xoorg.map(str::to_owned).or_else(|| message.only("X-OriginatorOrg"));
    let organisation = organisation.ok_or((OutsideCause::NoOrganisation, String::new()))?;
    if !is_our_domain(&organisation) {
        return Err((OutsideCause::OtherOrganisation, organisation));
    }
    match message.only("X-MS-Exchange-CrossPremises-AuthAs") {
        Some(author) if author.eq_ignore_ascii_case("Internal") => Ok(organisation),
        Some(author) => Err((OutsideCause::AuthorNotOurs, author)),
        None => Err((OutsideCause::AuthorNotOurs, "none, or several".to_owned())),
    }
}

/// Whether mail of this organisation is ours: an accepted domain, or a remote one that is trusted.
#[must_use]
pub fn is_our_domain(organisation: &str) -> bool {
    OUR_DOMAINS.iter().any(|domain| domain.eq_ignore_ascii_case(organisation))
}

/// Cross-premises headers become the organisation's own, in the place of any that are there.
fn promoted(mut message: SplitMessage, host: &str) -> SplitMessage {
    message.fields.retain(|field| !field.is_of(ORGANIZATION));
    for field in &mut message.fields {
        if field.is_of(CROSS_PREMISES) {
            let name = field.name();
            let rest = name.get(CROSS_PREMISES.len()..).unwrap_or_default();
            *field = RawField::new(&format!("{ORGANIZATION}{rest}"), &field.value());
        }
    }
    message.fields.insert(0, RawField::new(PROMOTED, host));
    message
}

/// What anybody wrote is removed, and the author is anonymous.
fn anonymous(mut message: SplitMessage, host: &str) -> SplitMessage {
    message.fields.retain(|field| !field.is_of(ORGANIZATION) && !field.is_of(CROSS_PREMISES));
    message.fields.insert(0, RawField::new(&format!("{ORGANIZATION}AuthSource"), host));
    message.fields.insert(0, RawField::new(&format!("{ORGANIZATION}AuthAs"), "Anonymous"));
    message
}

const OUR_DOMAINS: &[&str] = &[OWN_DOMAIN, ROUTING_DOMAIN, CLOUD_DOMAIN];
const PRESERVED: &str = "X-OrganizationHeadersPreserved";
const PROMOTED: &str = "X-MS-Exchange-Organization-Cross-Premises-Headers-Promoted";

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> SeenClient {
        SeenClient {
            channel: Some("TLSv1.3".to_owned()),
            certificate: Some(Ok(vec![GATEWAY_NAME.to_owned()])),
        }
    }

    #[track_caller]
    fn check(client: &SeenClient, xoorg: Option<&str>, header: &str, expected: &str) {
        let message =
            SplitMessage::parse(format!("{}\r\n\r\nbody\r\n", header.replace('|', "\r\n")).as_bytes());
        let treatment = treat(message, client, xoorg, "mail.contoso.lab.test");
        assert_eq!(treatment.outside.map_or("internal", OutsideCause::word), expected, "{treatment}");
        let author = treatment.message.only("X-MS-Exchange-Organization-AuthAs");
        let is_internal = author.is_some_and(|author| author.eq_ignore_ascii_case("Internal"));
        assert_eq!(is_internal, expected == "internal");
        assert!(!treatment.message.has(CROSS_PREMISES), "what arrived is not kept as it was");
    }

    const OURS: &str = "X-MS-Exchange-CrossPremises-AuthAs: Internal|X-OriginatorOrg: contoso.lab.test";

    #[test]
    fn it_takes_certificate_headers_organisation_and_author() {
        check(&gateway(), None, OURS, "internal");
        check(
            &gateway(),
            Some("Contoso.lab.test"),
            "X-MS-Exchange-CrossPremises-AuthAs: internal",
            "internal",
        );
        check(&gateway(), Some("adatum.lab.test"), OURS, "other-originator-organisation");
        check(&gateway(), None, "X-MS-Exchange-CrossPremises-AuthAs: Internal", "no-originator-organisation");
        let partner = "X-MS-Exchange-CrossPremises-AuthAs: Partner|X-OriginatorOrg: contoso.lab.test";
        check(&gateway(), None, partner, "author-not-internal");
        let two = format!("{OURS}|X-MS-Exchange-CrossPremises-AuthAs: Anonymous");
        check(&gateway(), None, &two, "author-not-internal");
    }

    #[test]
    fn a_forged_header_is_not_believed() {
        check(&gateway(), None, "X-MS-Exchange-Organization-AuthAs: Internal", "no-cross-premises-headers");
        check(&SeenClient::default(), None, OURS, "plaintext");
        let tls = SeenClient { certificate: None, ..gateway() };
        check(&tls, None, OURS, "no-client-certificate");
        let other = SeenClient { certificate: Some(Ok(vec!["a.test".to_owned()])), ..gateway() };
        check(&other, None, OURS, "other-client-certificate");
        let expired = SeenClient { certificate: Some(Err("expired".to_owned())), ..gateway() };
        check(&expired, None, OURS, "invalid-client-certificate");
    }

    #[test]
    fn what_removed_the_headers_is_named() {
        check(&gateway(), None, "Subject: x", "no-cross-premises-headers");
        check(&gateway(), None, "X-OrganizationHeadersPreserved: a", "headers-stripped");
        let both = "X-CrossPremisesHeadersFilteredBySendConnector: a|X-OrganizationHeadersPreserved: a";
        check(&gateway(), None, both, "filtered-by-send-connector");
    }
}
