//! Asks an OCSP responder about a certificate (RFC 6960): composes the request and verifies the response. It sends
//! nothing, and no verdict on a chain depends on it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};
use x509_parser::prelude::X509Certificate;
use x509_parser::time::ASN1Time;

use super::proof::signed_by;
use crate::mail::{UnixMillis, rfc3339};

/// The media type of a request.
pub(super) const MEDIA_TYPE: &str = "application/ocsp-request";
/// id-sha1 with NULL: responders need not know another algorithm for this (RFC 5019 §2.1.1).
const SHA1: &[u8] = &[0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0];
/// id-pkix-ocsp-basic.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

/// A question about one certificate.
pub(super) struct OcspQuestion {
    name: Vec<u8>,
    key: Vec<u8>,
    serial: Vec<u8>,
}

impl OcspQuestion {
    pub(super) fn of(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Self {
        let hash = |octets: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref().to_vec();
        Self {
            name: hash(certificate.issuer().as_raw()),
            key: hash(&issuer.public_key().subject_public_key.data),
            serial: certificate.raw_serial().to_vec(),
        }
    }

    /// The request in DER: unsigned, without a nonce, so that a responder may answer from a cache.
    pub(super) fn request(&self) -> Vec<u8> {
        let id = [SHA1, &tlv(4, &self.name), &tlv(4, &self.key), &tlv(2, &self.serial)].concat();
        (0..5).fold(id, |inner, _| tlv(0x30, &inner))
    }

    /// What the response says, in a sentence.
    ///
    /// # Errors
    /// Why it says nothing that counts.
    pub(super) fn answer(
        &self,
        octets: &[u8],
        issuer: &X509Certificate<'_>,
        now: UnixMillis,
    ) -> Result<String, String> {
        let (body, _) = part(octets, Tag::Sequence)?;
        let (status, rest) = part(body, Tag::Enumerated)?;
        if status != [0] {
            return Err(format!("the responder refuses: {}", refusal(status)));
        }
        let (tagged, _) = tagged(rest, 0)?;
        let (bytes, _) = part(tagged, Tag::Sequence)?;
        let (kind, rest) = part(bytes, Tag::Oid)?;
        if kind != BASIC {
            return Err("the response is of an unknown kind".to_owned());
        }
        let (basic, _) = part(rest, Tag::OctetString)?;
        let (basic, _) = part(basic, Tag::Sequence)?;
        let (data, after) = part(basic, Tag::Sequence)?;
        let signed = basic.get(..basic.len().saturating_sub(after.len())).unwrap_or_default();
        let (algorithm, rest) = part(after, Tag::Sequence)?;
        let (signature, rest) = part(rest, Tag::BitString)?;
        let signature = signature.get(1..).unwrap_or_default();
        let verified = |spki: &[u8]| signed_by(spki, algorithm, signed, signature);
        if !verified(issuer.public_key().raw) && !delegates(rest, issuer, now).iter().any(|key| verified(key))
        {
            return Err(
                "neither the issuer nor a responder that it has appointed signed the response".to_owned()
            );
        }
        self.find(data, now)
    }

    /// Looks for our certificate among the single responses.
    fn find(&self, data: &[u8], now: UnixMillis) -> Result<String, String> {
        let mut rest = data;
        // Version, responder and time come before the list.
        let mut responses = loop {
            let (after, any) = Any::from_der(rest).map_err(damaged)?;
            if any.class() == Class::Universal && any.tag() == Tag::Sequence {
                break any.data;
            }
            rest = after;
        };
        while !responses.is_empty() {
            let (single, after) = part(responses, Tag::Sequence)?;
            let (id, rest) = part(single, Tag::Sequence)?;
            let (_, values) = part(id, Tag::Sequence)?;
            let (name, values) = part(values, Tag::OctetString)?;
            let (key, values) = part(values, Tag::OctetString)?;
            let (serial, _) = part(values, Tag::Integer)?;
            if (name, key, serial) == (self.name.as_slice(), self.key.as_slice(), self.serial.as_slice()) {
                return status(rest, now);
            }
            responses = after;
        }
        Err("the response is about another certificate".to_owned())
    }
}

fn status(rest: &[u8], now: UnixMillis) -> Result<String, String> {
    let (rest, status) = Any::from_der(rest).map_err(damaged)?;
    let (after, this) = ASN1Time::from_der(rest).map_err(|_| damaged(()))?;
    let next = tagged(after, 0).ok().and_then(|(inner, _)| ASN1Time::from_der(inner).ok());
    let next = next.map(|(_, next)| UnixMillis(next.timestamp().saturating_mul(1_000)));
    if next.is_some_and(|next| next < now) {
        return Err(format!("the response ended on {}", next.map(rfc3339).unwrap_or_default()));
    }
    if now.0 < this.timestamp().saturating_mul(1_000).saturating_sub(SLACK_MILLIS) {
        return Err("the response is of the future; is the clock right?".to_owned());
    }
    match status.tag().0 {
        0 => Ok("the certificate is good".to_owned()),
        1 => Err("the certificate is revoked".to_owned()),
        _ => Err("the responder does not know the certificate".to_owned()),
    }
}

/// The keys of responders that the issuer has appointed, among the certificates of a response (RFC 6960 §4.2.2.2).
fn delegates(rest: &[u8], issuer: &X509Certificate<'_>, now: UnixMillis) -> Vec<Vec<u8>> {
    let Ok((inner, _)) = tagged(rest, 0) else { return Vec::new() };
    let Ok((mut list, _)) = part(inner, Tag::Sequence) else { return Vec::new() };
    let mut keys = Vec::new();
    while let Ok((after, one)) = X509Certificate::from_der(list) {
        let der = list.get(..list.len().saturating_sub(after.len())).unwrap_or_default();
        let appointed = one.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.ocsp_signing);
        let at = ASN1Time::from_timestamp(now.0 / 1_000).ok();
        let valid = at.is_some_and(|at| one.validity().is_valid_at(at));
        if appointed && valid && issued(der, issuer) {
            keys.push(one.public_key().raw.to_vec());
        }
        list = after;
    }
    keys
}

/// Whether an issuer signed a certificate.
pub(super) fn issued(der: &[u8], issuer: &X509Certificate<'_>) -> bool {
    let parts = || {
        let (whole, _) = part(der, Tag::Sequence)?;
        let (_, after) = part(whole, Tag::Sequence)?;
        let signed = whole.get(..whole.len().saturating_sub(after.len())).unwrap_or_default();
        let (algorithm, rest) = part(after, Tag::Sequence)?;
        let (signature, _) = part(rest, Tag::BitString)?;
        Ok::<_, String>((signed, algorithm, signature.get(1..).unwrap_or_default()))
    };
    parts().is_ok_and(|(signed, algorithm, signature)| {
        signed_by(issuer.public_key().raw, algorithm, signed, signature)
    })
}

fn refusal(status: &[u8]) -> &'static str {
    match status {
        [1] => "malformed request",
        [2] => "internal error",
        [3] => "try later",
        [5] => "a signed request is required",
        [6] => "unauthorised (it does not know this certificate)",
        _ => "unknown status",
    }
}

/// The content of the next value, which must have this tag, and what follows it.
fn part(octets: &[u8], tag: Tag) -> Result<(&[u8], &[u8]), String> {
    match Any::from_der(octets) {
        Ok((rest, any)) if any.class() == Class::Universal && any.tag() == tag => Ok((any.data, rest)),
        Ok(_) | Err(_) => Err(damaged(())),
    }
}

fn tagged(octets: &[u8], number: u32) -> Result<(&[u8], &[u8]), String> {
    match Any::from_der(octets) {
        Ok((rest, any)) if any.class() == Class::ContextSpecific && any.tag() == Tag(number) => {
            Ok((any.data, rest))
        }
        Ok(_) | Err(_) => Err(damaged(())),
    }
}

fn damaged<T>(_: T) -> String {
    "it is not an OCSP response, or it is damaged".to_owned()
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut octets = vec![tag];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 0x80 => octets.push(short),
        (Ok(short), _) => octets.extend([0x81, short]),
        (Err(_), Ok(long)) => {
            octets.push(0x82);
            octets.extend(long.to_be_bytes());
        }
        // No name or number in a certificate is that long.
        (Err(_), Err(_)) => {}
    }
    octets.extend_from_slice(content);
    octets
}

/// Clocks differ a little.
const SLACK_MILLIS: i64 = 5 * 60 * 1_000;
