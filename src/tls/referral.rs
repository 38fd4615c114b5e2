//! What the certificates of a chain refer to: revocation lists, OCSP responders, their issuers' certificates. It says
//! what to retrieve and verifies what came back; the retrieval is somebody else's.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::crl::RevocationList;
use super::ocsp::{self, OcspQuestion};
use super::trust::TrustSet;
use super::{certificate, describe, pem};
use crate::mail::{UnixMillis, rfc3339};

/// One URL in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Referral {
    /// What is there.
    pub kind: ReferralKind,
    /// Where.
    pub url: String,
    certificate: Vec<u8>,
    issuer: Option<Vec<u8>>,
}

/// What a URL leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReferralKind {
    /// The issuer's certificate.
    Issuer,
    /// A revocation list.
    List,
    /// An OCSP responder.
    Ocsp,
}

/// Everything that a chain refers to. The issuer of its last certificate is looked for among the anchors of these sets.
#[must_use]
pub fn referrals<'a>(
    chain: &[CertificateDer<'_>],
    sets: impl Iterator<Item = &'a TrustSet> + Clone,
) -> Vec<Referral> {
    let mut found = Vec::new();
    for (at, der) in chain.iter().enumerate() {
        let Ok((_, parsed)) = X509Certificate::from_der(der) else { continue };
        let fits = |one: &CertificateDer<'_>| {
            let subject = certificate::names_and_key(one).map(|(subject, _)| subject);
            subject.as_deref() == Some(parsed.issuer().as_raw())
                && X509Certificate::from_der(one).is_ok_and(|(_, issuer)| ocsp::issued(der, &issuer))
        };
        let shown = chain.get(at.saturating_add(1)..).unwrap_or_default().iter().find(|one| fits(one));
        let issuer = shown.map(|one| one.to_vec()).or_else(|| {
            sets.clone().flat_map(TrustSet::certificates).find(|one| fits(one)).map(|one| one.to_vec())
        });
        let of = |kind, urls: Vec<String>| {
            let issuer = issuer.clone();
            urls.into_iter().map(move |url| Referral {
                kind,
                url,
                certificate: der.to_vec(),
                issuer: issuer.clone(),
            })
        };
        found.extend(of(ReferralKind::List, describe::lists(&parsed)));
        found.extend(of(ReferralKind::Ocsp, describe::responders(&parsed)));
        found.extend(of(ReferralKind::Issuer, issuers(&parsed)));
    }
    found
}

impl Referral {
    /// What to send by POST, with its media type: OCSP is asked a question, the others are fetched.
    ///
    /// # Errors
    /// The issuer is not known, without whom there is no question.
    pub fn payload(&self) -> Result<Option<(&'static str, Vec<u8>)>, String> {
        match self.kind {
            ReferralKind::Issuer | ReferralKind::List => Ok(None),
            ReferralKind::Ocsp => self.with_issuer(|certificate, issuer| {
                Ok(Some((ocsp::MEDIA_TYPE, OcspQuestion::of(certificate, issuer).request())))
            }),
        }
    }

    /// Verifies what came back, and says what it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, octets: Vec<u8>, now: UnixMillis) -> Result<String, String> {
        match self.kind {
            ReferralKind::Issuer => self.verify_issuer(&octets),
            ReferralKind::Ocsp => self.with_issuer(|certificate, issuer| {
                OcspQuestion::of(certificate, issuer).answer(&octets, issuer, now)
            }),
            ReferralKind::List => self.verify_list(octets, now),
        }
    }

    fn verify_list(&self, octets: Vec<u8>, now: UnixMillis) -> Result<String, String> {
        let lists =
            pem::lists_of(std::path::Path::new(&self.url), octets).map_err(|fault| fault.to_string())?;
        let [der] = lists.as_slice() else { return Err(format!("it has {} lists", lists.len())) };
        let list = RevocationList::parse(der).map_err(|fault| fault.to_string())?;
        let signed = self.with_issuer(|_, issuer| Ok(list.signed_by(issuer.public_key().raw)));
        if signed == Ok(false) {
            return Err(format!("the list of {} is not signed by the certificate's issuer", list.issuer()));
        }
        let end = list.next_update().map_or("an unknown date".to_owned(), rfc3339);
        if !list.is_current(now) {
            return Err(format!(
                "the list of {} is not current: the next one was due on {end}",
                list.issuer()
            ));
        }
        if list.names(&self.certificate) {
            return Err(format!("the list of {} names the certificate: it is revoked", list.issuer()));
        }
        let proof = if signed.is_ok() { "signed by the issuer" } else { "its issuer is not known" };
        Ok(format!("a list of {} certificates, {proof}, the next one due on {end}", list.count()))
    }

    fn verify_issuer(&self, octets: &[u8]) -> Result<String, String> {
        let der = pem::certificate_of(octets);
        let der = der.ok_or("it is not a certificate in DER or PEM (PKCS #7 is not read)")?;
        let (_, issuer) =
            X509Certificate::from_der(&der).map_err(|_| "it is not a certificate".to_owned())?;
        let subject = certificate::printable(&issuer.subject().to_string());
        if ocsp::issued(&self.certificate, &issuer) {
            Ok(format!("the certificate of {subject}, which signed this one"))
        } else {
            Err(format!("the certificate of {subject}, which did not sign this one"))
        }
    }

    fn with_issuer<T>(
        &self,
        act: impl FnOnce(&X509Certificate<'_>, &X509Certificate<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let issuer = self.issuer.as_deref().ok_or("its issuer is neither in the chain nor an anchor")?;
        let parse = |der| X509Certificate::from_der(der).map_err(|error| error.to_string());
        let ((_, certificate), (_, issuer)) = (parse(&self.certificate)?, parse(issuer)?);
        act(&certificate, &issuer)
    }
}

fn issuers(parsed: &X509Certificate<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for extension in parsed.extensions() {
        if let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() {
            let named =
                access.iter().filter(|one| one.access_method.to_id_string() == certificate::CA_ISSUERS);
            found.extend(named.filter_map(|one| describe::address(&one.access_location)));
        }
    }
    found
}
