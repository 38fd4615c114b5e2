//! A certificate revocation list, read strictly (RFC 5280 §5), and what lists say of one certificate.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};
use x509_parser::extensions::{DistributionPointName, IssuingDistributionPoint, ParsedExtension};
use x509_parser::prelude::{GeneralName, X509Certificate, X509Extension, X509Name};
use x509_parser::time::ASN1Time;

use super::certificate::printable;
use super::proof;
use crate::connector::RevocationStatus;
use crate::mail::UnixMillis;

/// Issuers' keys for which it is remembered whether they signed a list.
const KEYS_MAX: usize = 8;
/// From then on somebody should see to the next list.
const SOON: Duration = Duration::from_secs(3 * 24 * 60 * 60);
const DELTA: &str = "2.5.29.27";
const SCOPE: &str = "2.5.29.28";
const ENTRY_ISSUER: &str = "2.5.29.29";
/// What says nothing that matters here: the number of a list, the key it was signed with, where its delta is, the
/// reason and the date of an entry.
const HARMLESS: &[&str] = &["2.5.29.20", "2.5.29.35", "2.5.29.46", "2.5.29.21", "2.5.29.24"];

/// One list.
pub struct RevocationList {
    issuer: Vec<u8>,
    issuer_text: String,
    serials: HashSet<Vec<u8>>,
    scope: ListScope,
    this_update: UnixMillis,
    next_update: Option<UnixMillis>,
    octets: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
    /// Hash of a key, and whether it made the signature.
    keys: Mutex<Vec<([u8; 32], bool)>>,
}

/// Which of its issuer's certificates a list covers (RFC 5280 §5.2.5).
#[derive(Debug, Default, PartialEq, Eq)]
struct ListScope {
    /// Only those that name one of these distribution points.
    points: Option<Vec<String>>,
    hosts_only: bool,
    authorities_only: bool,
}

/// Whether a list is near its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListEnd {
    /// The next one is due soon.
    Soon,
    /// It was due.
    Over,
}

/// Why a list can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListFault {
    /// It is something else, or damaged.
    #[error("it is not a certificate revocation list: {0}; write a PEM or DER file of one")]
    NotOne(String),
    /// It says only what changed.
    #[error(
        "it is a delta list, which has only the changes since another one (RFC 5280 section 5.2.4) and is not supported; write the complete list (base CRL)"
    )]
    Delta,
    /// It covers certificates of others.
    #[error(
        "it is an indirect list, which also covers certificates of other authorities and is not supported; write the list that the authority itself signs"
    )]
    Indirect,
    /// It covers some reasons.
    #[error(
        "it covers only some reasons for revocation, which is not supported; write the list that covers all of them"
    )]
    SomeReasons,
    /// It covers attribute certificates.
    #[error(
        "it covers only attribute certificates, which TLS does not use; write the list for public-key certificates"
    )]
    Attributes,
    /// It has an extension that must be understood.
    #[error("it has the critical extension {0}, which is not supported, and must not be used without it")]
    Critical(String),
}

/// A certificate of a path, as lists speak of it.
pub(super) struct ListedCertificate<'a> {
    parsed: X509Certificate<'a>,
    points: Option<Vec<&'a str>>,
}

/// Who issued it.
pub(super) struct IssuerKey {
    spki: Vec<u8>,
    /// Its key usage allows signing lists, or it has none.
    signs_lists: bool,
}

impl RevocationList {
    /// Reads a list in DER: version 2, or version 1, which has no extensions.
    ///
    /// # Errors
    /// [`ListFault`]: it is no list, or says what is not understood.
    pub fn parse(der: &[u8]) -> Result<Self, ListFault> {
        let (whole, rest) = sequence(der).map_err(|_| not_one("it is neither PEM nor DER"))?;
        if !rest.is_empty() {
            return Err(not_one("octets follow its end"));
        }
        let (body, after) = sequence(whole)?;
        let octets = before(whole, after);
        let (algorithm, after) = sequence(after)?;
        let (after, signature) = Any::from_der(after).map_err(|_| not_one("it has no signature"))?;
        // A BIT STRING begins with the number of unused bits.
        let signature = match signature.data.split_first() {
            Some((0, bits)) if after.is_empty() && signature.tag() == Tag::BitString => bits,
            _ => return Err(not_one("its signature is damaged")),
        };
        let mut list = Self::body(body)?;
        list.octets = octets.to_vec();
        list.algorithm = algorithm.to_vec();
        list.signature = signature.to_vec();
        Ok(list)
    }

    fn body(body: &[u8]) -> Result<Self, ListFault> {
        let damaged = |_| not_one("it is damaged");
        let (mut rest, first) = Any::from_der(body).map_err(damaged)?;
        if first.tag() == Tag::Integer {
            if first.data != [1] {
                return Err(not_one("its version is neither 1 nor 2"));
            }
        } else {
            rest = body;
        }
        let (_algorithm, rest) = sequence(rest)?;
        let (_name, after) = sequence(rest)?;
        let issuer = before(rest, after);
        let (_, name) = X509Name::from_der(issuer).map_err(|_| not_one("its issuer's name is damaged"))?;
        let (this_update, mut rest) = time(after)?;
        let mut next_update = None;
        if is_time(rest) {
            let (next, after) = time(rest)?;
            (next_update, rest) = (Some(next), after);
        }
        let mut list = Self {
            issuer: issuer.to_vec(),
            issuer_text: printable(&name.to_string()),
            serials: HashSet::new(),
            scope: ListScope::default(),
            this_update,
            next_update,
            octets: Vec::new(),
            algorithm: Vec::new(),
            signature: Vec::new(),
            keys: Mutex::default(),
        };
        while !rest.is_empty() {
            let (after, part) = Any::from_der(rest).map_err(damaged)?;
            match (part.class(), part.tag()) {
                (Class::Universal, Tag::Sequence) => list.entries(part.data)?,
                (Class::ContextSpecific, Tag(0)) => list.extensions(part.data)?,
                _ => return Err(not_one("it has a part that no list has")),
            }
            rest = after;
        }
        Ok(list)
    }

    fn entries(&mut self, mut rest: &[u8]) -> Result<(), ListFault> {
        while !rest.is_empty() {
            let (entry, after) = sequence(rest)?;
            let (more, serial) = Any::from_der(entry).map_err(|_| not_one("an entry is damaged"))?;
            if serial.tag() != Tag::Integer {
                return Err(not_one("an entry has no serial number"));
            }
            self.serials.insert(shortest(serial.data).to_vec());
            let (_date, more) = time(more)?;
            if !more.is_empty() {
                let (extensions, _) = sequence(more)?;
                each_extension(extensions, |extension| {
                    let oid = extension.oid.to_id_string();
                    if oid == ENTRY_ISSUER { Err(ListFault::Indirect) } else { harmless(extension, oid) }
                })?;
            }
            rest = after;
        }
        Ok(())
    }

    fn extensions(&mut self, tagged: &[u8]) -> Result<(), ListFault> {
        let (extensions, _) = sequence(tagged)?;
        let scope = &mut self.scope;
        each_extension(extensions, |extension| {
            let oid = extension.oid.to_id_string();
            match (oid.as_str(), extension.parsed_extension()) {
                (DELTA, _) => Err(ListFault::Delta),
                (SCOPE, ParsedExtension::IssuingDistributionPoint(point)) => {
                    *scope = ListScope::of(point)?;
                    Ok(())
                }
                (SCOPE, _) => Err(not_one("its issuing distribution point is damaged")),
                _ => harmless(extension, oid),
            }
        })
    }

    /// Who issued it, for people.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer_text
    }

    /// From when on it holds.
    #[must_use]
    pub fn this_update(&self) -> UnixMillis {
        self.this_update
    }

    /// When the next one is due; a list may leave it open.
    #[must_use]
    pub fn next_update(&self) -> Option<UnixMillis> {
        self.next_update
    }

    /// How many certificates it names.
    #[must_use]
    pub fn count(&self) -> usize {
        self.serials.len()
    }

    /// Whether it may vouch for a certificate: it has begun, and says that it has not ended.
    #[must_use]
    pub fn is_current(&self, now: UnixMillis) -> bool {
        self.this_update <= now && self.next_update.is_some_and(|next| now < next)
    }

    /// Whether it is near its end: three days before, or the last quarter of its time where that is shorter, since some
    /// authorities issue a list each day.
    #[must_use]
    pub fn end(&self, now: UnixMillis) -> Option<ListEnd> {
        let next = self.next_update?;
        if next <= now {
            return Some(ListEnd::Over);
        }
        let quarter = next.since(self.this_update) / 4;
        (next.since(now) < quarter.min(SOON)).then_some(ListEnd::Soon)
    }

    /// The name of its issuer, in DER.
    pub(super) fn issuer_name(&self) -> &[u8] {
        &self.issuer
    }

    /// Whether the owner of a name issued it, as far as it says itself; the name is in DER.
    pub(super) fn names_issuer(&self, name: &[u8]) -> bool {
        self.issuer == name
    }

    /// Whether it names a certificate, in DER.
    pub(super) fn names(&self, certificate: &[u8]) -> bool {
        X509Certificate::from_der(certificate)
            .is_ok_and(|(_, parsed)| self.serials.contains(shortest(parsed.raw_serial())))
    }

    /// Whether it is this very list.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.octets == other.octets && self.signature == other.signature
    }

    /// Whether it is meant for the same certificates, as far as it says itself.
    pub(super) fn is_for_the_same(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.scope == other.scope
    }

    /// Whether this key (a SubjectPublicKeyInfo) signed it.
    pub(super) fn signed_by(&self, spki: &[u8]) -> bool {
        let hash: [u8; 32] = Sha256::digest(spki).into();
        // Each entry is whole whatever a panicking holder did.
        let known = || self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, signed)) = known().iter().find(|(key, _)| *key == hash) {
            return *signed;
        }
        let signed = proof::signed_by(spki, &self.algorithm, &self.octets, &self.signature);
        let mut known = known();
        if known.len() >= KEYS_MAX {
            known.remove(0);
        }
        known.push((hash, signed));
        signed
    }

    fn covers(&self, certificate: &ListedCertificate<'_>) -> bool {
        let scope = &self.scope;
        if if certificate.parsed.is_ca() { scope.hosts_only } else { scope.authorities_only } {
            return false;
        }
        match (&scope.points, &certificate.points) {
            (None, _) | (Some(_), None) => true,
            (Some(ours), Some(named)) => named.iter().any(|point| ours.iter().any(|one| one == point)),
        }
    }
}

impl ListScope {
    fn of(point: &IssuingDistributionPoint<'_>) -> Result<Self, ListFault> {
        if point.indirect_crl {
            return Err(ListFault::Indirect);
        }
        if point.only_some_reasons.is_some() {
            return Err(ListFault::SomeReasons);
        }
        if point.only_contains_attribute_certs {
            return Err(ListFault::Attributes);
        }
        let points = point.distribution_point.as_ref().map(|name| match name {
            DistributionPointName::FullName(names) => uris(names).map(str::to_owned).collect(),
            DistributionPointName::NameRelativeToCRLIssuer(_) => Vec::new(),
        });
        Ok(Self {
            points,
            hosts_only: point.only_contains_user_certs,
            authorities_only: point.only_contains_ca_certs,
        })
    }
}

impl<'a> ListedCertificate<'a> {
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let points = distribution_points(&parsed);
        Some(Self { parsed, points })
    }

    /// The URIs of its distribution points.
    pub(super) fn points(&self) -> &[&'a str] {
        self.points.as_deref().unwrap_or_default()
    }

    /// The name of its issuer, in DER.
    pub(super) fn issuer(&self) -> &[u8] {
        self.parsed.issuer().as_raw()
    }

    /// It as the issuer of another.
    pub(super) fn as_issuer(&self) -> IssuerKey {
        let usage = self.parsed.key_usage().ok().flatten();
        IssuerKey {
            spki: self.parsed.public_key().raw.to_vec(),
            signs_lists: usage.is_none_or(|usage| usage.value.crl_sign()),
        }
    }

    /// What lists say of it. RFC 5280 §6.3.3: a list counts if the key that issued the certificate signed it. Any such
    /// list that names it is enough, be it out of date or meant for others; a current one that covers it and does not
    /// name it vouches for it.
    pub(super) fn status<'l>(
        &self,
        lists: impl Iterator<Item = &'l RevocationList>,
        issuer: &IssuerKey,
        now: UnixMillis,
    ) -> RevocationStatus {
        let name = self.parsed.issuer().as_raw();
        let serial = shortest(self.parsed.raw_serial());
        let mut status = RevocationStatus::Unknown;
        for list in lists.filter(|list| list.issuer == name) {
            if !issuer.signs_lists || !list.signed_by(&issuer.spki) {
                continue;
            }
            if list.serials.contains(serial) {
                return RevocationStatus::Revoked;
            }
            if !list.covers(self) {
                continue;
            }
            if list.is_current(now) {
                status = RevocationStatus::Good;
            } else if status == RevocationStatus::Unknown {
                status = RevocationStatus::Stale;
            }
        }
        status
    }
}

impl IssuerKey {
    /// The key itself, a SubjectPublicKeyInfo.
    pub(super) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// A trust anchor: a name and a key, and nothing else of it counts.
    pub(super) fn anchor(spki: &[u8]) -> Self {
        Self { spki: spki.to_vec(), signs_lists: true }
    }
}

/// `None` if it names none at all.
fn distribution_points<'a>(parsed: &X509Certificate<'a>) -> Option<Vec<&'a str>> {
    let mut found = None;
    for extension in parsed.extensions() {
        if let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() {
            let all = found.get_or_insert_with(Vec::new);
            for point in points.iter() {
                if let Some(DistributionPointName::FullName(names)) = &point.distribution_point {
                    all.extend(uris(names));
                }
            }
        }
    }
    found
}

fn uris<'a, 'n>(names: &'n [GeneralName<'a>]) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
    names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
}

fn each_extension(
    mut rest: &[u8],
    mut read: impl FnMut(&X509Extension<'_>) -> Result<(), ListFault>,
) -> Result<(), ListFault> {
    while !rest.is_empty() {
        let (after, extension) =
            X509Extension::from_der(rest).map_err(|_| not_one("an extension is damaged"))?;
        read(&extension)?;
        rest = after;
    }
    Ok(())
}

fn harmless(extension: &X509Extension<'_>, oid: String) -> Result<(), ListFault> {
    // RFC 5280 §5.2: a critical extension that is not understood forbids the use of the list.
    if extension.critical && !HARMLESS.contains(&oid.as_str()) {
        return Err(ListFault::Critical(oid));
    }
    Ok(())
}

fn not_one(why: &str) -> ListFault {
    ListFault::NotOne(why.to_owned())
}

/// The content of a SEQUENCE, and what follows it.
fn sequence(octets: &[u8]) -> Result<(&[u8], &[u8]), ListFault> {
    match Any::from_der(octets) {
        Ok((rest, any)) if any.class() == Class::Universal && any.tag() == Tag::Sequence => {
            Ok((any.data, rest))
        }
        Ok(_) | Err(_) => Err(not_one("it is damaged, or something else")),
    }
}

/// The octets of `all` that stand before its end `rest`.
fn before<'a>(all: &'a [u8], rest: &[u8]) -> &'a [u8] {
    all.get(..all.len().saturating_sub(rest.len())).unwrap_or_default()
}

fn is_time(octets: &[u8]) -> bool {
    Any::from_der(octets).is_ok_and(|(_, any)| {
        any.class() == Class::Universal && [Tag::UtcTime, Tag::GeneralizedTime].contains(&any.tag())
    })
}

fn time(octets: &[u8]) -> Result<(UnixMillis, &[u8]), ListFault> {
    let (rest, time) = ASN1Time::from_der(octets).map_err(|_| not_one("a date is damaged"))?;
    Ok((UnixMillis(time.timestamp().saturating_mul(1_000)), rest))
}

/// A serial number without zeros before it.
fn shortest(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|octet| **octet == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

impl std::fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RevocationList({}, {} entries)", self.issuer_text, self.serials.len())
    }
}
