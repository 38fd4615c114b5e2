//! What changes outside on a known date, and warnings where this configuration, or a certificate at hand, is concerned. The
//! dates and their sources stand in one table; `now` is an argument.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::check::CheckedFile;
use super::fault::Report;
use super::keys::{Entry as _, OutboundEntry};
use super::schema;
use super::units;
use crate::connector::{
    CertificateFacts, DomainPattern, Forced, Inbound, Mechanism, Mode, NextHop, Outbound, PeerName, Purpose,
    Require, SmartHostName, TrustId,
};
use crate::mail::{Domain, UnixMillis};
use crate::tls::{Identity, ReferralKind, TrustSet, referrals};

/// One change, its date (UTC), and who has announced it.
struct DatedChange {
    date: &'static str,
    what: Breakage,
    source: &'static str,
}

/// What changes, and breaks what relied on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breakage {
    /// Certificates that these authorities issue are valid for at most this number of days.
    Lifetime(Issuers, i64),
    /// These authorities issue no certificates for clients.
    NoClients(Issuers),
    /// Let's Encrypt answers no OCSP questions.
    NoOcsp,
    /// Exchange Online tells tenants apart by the certificate that our server shows.
    CertificateOfTenant,
    /// Exchange Online gives domains exchangers below mx.microsoft.
    Exchangers,
    /// Exchange Online refuses passwords at its submission hosts, unless a tenant turns that on again.
    NoPasswords,
}

/// Whose certificates are concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Issuers {
    /// Every authority that the operating system trusts.
    Public,
    /// Let's Encrypt.
    LetsEncrypt,
}

const CHANGES: &[DatedChange] = &[
    DatedChange {
        date: "2025-08-06",
        what: Breakage::NoOcsp,
        source: "letsencrypt.org, Ending OCSP Support in 2025",
    },
    DatedChange {
        date: "2026-02-04",
        what: Breakage::CertificateOfTenant,
        source: "Microsoft 365 message center, MC1226222",
    },
    DatedChange {
        date: "2026-02-11",
        what: Breakage::NoClients(Issuers::LetsEncrypt),
        source: "letsencrypt.org, Ending TLS Client Authentication Certificate Support in 2026",
    },
    DatedChange {
        date: "2026-03-15",
        what: Breakage::Lifetime(Issuers::Public, 200),
        source: "CA/Browser Forum, ballot SC-081v3",
    },
    DatedChange {
        date: "2026-06-15",
        what: Breakage::NoClients(Issuers::Public),
        source: "Chrome Root Program Policy",
    },
    DatedChange {
        date: "2026-07-01",
        what: Breakage::Exchangers,
        source: "Microsoft, accepted domains below mx.microsoft",
    },
    DatedChange {
        date: "2026-12-31",
        what: Breakage::NoPasswords,
        source: "Microsoft 365 message center, MC786329",
    },
    DatedChange {
        date: "2027-02-10",
        what: Breakage::Lifetime(Issuers::LetsEncrypt, 64),
        source: "letsencrypt.org, Decreasing Certificate Lifetimes to 45 Days",
    },
    DatedChange {
        date: "2027-03-15",
        what: Breakage::Lifetime(Issuers::Public, 100),
        source: "CA/Browser Forum, ballot SC-081v3",
    },
    DatedChange {
        date: "2028-02-16",
        what: Breakage::Lifetime(Issuers::LetsEncrypt, 45),
        source: "letsencrypt.org, Decreasing Certificate Lifetimes to 45 Days",
    },
    DatedChange {
        date: "2029-03-15",
        what: Breakage::Lifetime(Issuers::Public, 47),
        source: "CA/Browser Forum, ballot SC-081v3",
    },
];

/// The materials of a configuration that such changes may concern.
pub(super) struct DatedMaterials<'a> {
    pub(super) identities: &'a BTreeMap<String, Arc<Identity>>,
    /// The certificates with a successor at hand.
    pub(super) staged: &'a BTreeMap<String, UnixMillis>,
    pub(super) trust: &'a BTreeMap<TrustId, Arc<TrustSet>>,
    pub(super) now: UnixMillis,
}

/// Warns where a change will break, or has broken, what is configured.
pub(super) fn warn(
    file: &schema::File,
    checked: &CheckedFile,
    materials: &DatedMaterials<'_>,
    report: &mut Report<'_>,
) {
    let roots = PublicRoots::new(materials.trust);
    for (id, entry) in &file.certificate {
        let (id, Some(chain)) = (id.get_ref(), &entry.get_ref().chain) else { continue };
        let Some(identity) = materials.identities.get(id) else { continue };
        if !materials.staged.contains_key(id)
            && let Some(words) = shorter(id, identity.facts(), || roots.issued(identity), materials.now)
        {
            report.warn(chain.span(), words);
        }
        if let Some(words) = outdated_ocsp(id, identity) {
            report.warn(chain.span(), words);
        }
    }
    for (entry, connector) in file.inbound.iter().zip(&checked.inbound) {
        if let Some(place) = entry.get_ref().place("accept_purpose")
            && let Some(words) = refuses_servers(connector, materials.now)
        {
            report.warn(place, words);
        }
    }
    for (entry, connector) in file.outbound.iter().zip(&checked.outbound) {
        if connector.mode == Mode::Off {
            continue;
        }
        passwords(entry.get_ref(), connector, materials.now, report);
        let Some(shown) = &entry.get_ref().client_certificate else { continue };
        let Some(identity) = materials.identities.get(shown.get_ref()) else { continue };
        let words = clients_no_more(shown.get_ref(), identity.facts(), || roots.issued(identity));
        if let Some(words) = words {
            report.warn(shown.span(), words);
        }
    }
    shared_by_tenants(file, checked, materials.now, report);
}

/// The authorities that the operating system trusts; read only if a connector did not need them already, and once.
struct PublicRoots<'a> {
    named: Option<&'a TrustSet>,
    read: OnceLock<Option<TrustSet>>,
}

impl<'a> PublicRoots<'a> {
    fn new(trust: &'a BTreeMap<TrustId, Arc<TrustSet>>) -> Self {
        Self { named: trust.get(&TrustId::system()).map(|set| &**set), read: OnceLock::new() }
    }

    fn issued(&self, identity: &Identity) -> bool {
        let read = || self.read.get_or_init(|| TrustSet::system().ok()).as_ref();
        self.named.or_else(read).is_some_and(|set| set.is_root_of(identity.chain()))
    }
}

impl Issuers {
    /// Whether they issued a certificate; `is_public`: its chain ends in a root that the operating system trusts.
    fn issued(self, facts: &CertificateFacts, is_public: impl Fn() -> bool) -> bool {
        let named = match self {
            Self::LetsEncrypt => facts.issuer_names.iter().any(|name| name == "Let's Encrypt"),
            Self::Public => true,
        };
        named && is_public()
    }

    fn words(self) -> &'static str {
        match self {
            Self::Public => "public authorities",
            Self::LetsEncrypt => "Let's Encrypt",
        }
    }
}

impl DatedChange {
    /// When it comes.
    fn at(&self) -> Option<UnixMillis> {
        units::moment(self.date).ok()
    }

    /// Whether it has come by then.
    fn has_come(&self, by: UnixMillis) -> bool {
        self.at().is_some_and(|at| at <= by)
    }

    /// Whether it is past, or less than a year ahead: nobody has to act earlier.
    fn is_near(&self, now: UnixMillis) -> bool {
        self.has_come(UnixMillis(now.0.saturating_add(YEAR_MS)))
    }

    /// From when on it holds, and who says so.
    fn when(&self) -> String {
        format!("as of {} ({})", self.date, self.source)
    }

    fn lifetime(&self) -> Option<(Issuers, i64)> {
        if let Breakage::Lifetime(issuers, days) = self.what { Some((issuers, days)) } else { None }
    }

    fn without_clients(&self) -> Option<Issuers> {
        if let Breakage::NoClients(issuers) = self.what { Some(issuers) } else { None }
    }
}

/// Our certificate whose successor may be valid for a shorter time only: whoever renews by hand, or by a date in a calendar, must
/// know before.
fn shorter(
    id: &str,
    facts: &CertificateFacts,
    is_public: impl Fn() -> bool,
    now: UnixMillis,
) -> Option<String> {
    let days = facts.not_after.0.saturating_sub(facts.not_before.0) / DAY_MS;
    let ahead = CHANGES.iter().filter(|change| change.has_come(facts.not_after) && now <= facts.not_after);
    let shorter = ahead.filter_map(|change| Some((change, change.lifetime()?)));
    let concerned = shorter.filter(|(_, (issuers, most))| days > *most && issuers.issued(facts, &is_public));
    let (change, (issuers, most)) = concerned.min_by_key(|(_, (_, most))| *most)?;
    Some(format!(
        "[certificate.{id}] is valid for {days} days, and its successor can be for {most} at most: {} issue no longer ones {}; \
         renew by a program at two thirds of the lifetime, and tell partners who pin the certificate",
        issuers.words(),
        change.when()
    ))
}

/// A certificate for clients of a public authority, presented to partners: its successor will be for servers only.
fn clients_no_more(id: &str, facts: &CertificateFacts, is_public: impl Fn() -> bool) -> Option<String> {
    if !(facts.for_clients && facts.for_servers) {
        return None;
    }
    let ahead = CHANGES.iter().filter(|change| change.has_come(facts.not_after));
    let (change, issuers) = ahead
        .filter_map(|change| Some((change, change.without_clients()?)))
        .find(|(_, issuers)| issuers.issued(facts, &is_public))?;
    Some(format!(
        "[certificate.{id}] is for clients too (clientAuth), and its successor will not be: {} issue for servers only {}; ask \
         the partner to accept a server certificate, or present one of an authority of your own",
        issuers.words(),
        change.when()
    ))
}

/// A connector that accepts only certificates for clients, of public authorities: they issue none.
fn refuses_servers(connector: &Inbound, now: UnixMillis) -> Option<String> {
    let forced = connector.forced().filter(|_| connector.mode != Mode::Off)?;
    let system = TrustId::system();
    let named = forced.purpose == Purpose::Client && forced.trust().contains(&system);
    let change = CHANGES.iter().find(|change| change.what == Breakage::NoClients(Issuers::Public))?;
    (named && change.is_near(now)).then(|| {
        format!(
            "accept_purpose = \"client\" refuses certificates of {}, which issue for servers only {}; write \"either\", or name \
             an authority of the partner's own in trust",
            Issuers::Public.words(),
            change.when()
        )
    })
}

/// A certificate that names an OCSP responder that is switched off: clients that ask it wait, or refuse us.
fn outdated_ocsp(id: &str, identity: &Identity) -> Option<String> {
    let all = referrals(identity.chain(), std::iter::empty());
    let url =
        all.into_iter().find(|one| one.kind == ReferralKind::Ocsp && ended_ocsp(&one.url).is_some())?.url;
    let why = ended_ocsp(&url)?;
    Some(format!(
        "[certificate.{id}] names the OCSP responder {url}, but {why}; renew the chain, and write its new file"
    ))
}

/// Why an OCSP responder does not answer any more, if that is known.
pub fn ended_ocsp(url: &str) -> Option<String> {
    let host = url.split("://").nth(1)?.split(['/', ':']).next()?;
    let host = Domain::parse(host).ok()?;
    let of_lets_encrypt = ["lencr.org", "letsencrypt.org"]
        .iter()
        .any(|own| Domain::parse(own).is_ok_and(|own| host == own || host.is_below(&own)));
    let change = CHANGES.iter().find(|change| change.what == Breakage::NoOcsp)?;
    of_lets_encrypt.then(|| {
        format!("Let's Encrypt has answered no OCSP questions since {} ({})", change.date, change.source)
    })
}

/// One certificate of ours for several tenants of Exchange Online, which attributes mail by it.
fn shared_by_tenants(file: &schema::File, checked: &CheckedFile, now: UnixMillis, report: &mut Report<'_>) {
    let Some(change) = CHANGES.iter().find(|change| change.what == Breakage::CertificateOfTenant) else {
        return;
    };
    let mut first: BTreeMap<&str, (&Outbound, String)> = BTreeMap::new();
    for (entry, connector) in file.outbound.iter().zip(&checked.outbound) {
        let Some(shown) = entry.get_ref().client_certificate.as_ref().map(|id| (id.get_ref(), id.span()))
        else {
            continue;
        };
        let Some(tenant) = tenant(connector).filter(|_| connector.mode != Mode::Off && change.is_near(now))
        else {
            continue;
        };
        let (id, place): (&String, Range<usize>) = shown;
        match first.get(id.as_str()) {
            Some((other, known)) if *known != tenant => {
                let words = format!(
                    "[certificate.{id}] is shown to two tenants of Exchange Online, {known} (by {}) and {tenant}: it attributes \
                     mail to one of them by the certificate {}; present one certificate for each tenant, with a name in one of \
                     its accepted domains",
                    other.name,
                    change.when()
                );
                report.warn(place, words);
            }
            Some(_) => {}
            None => {
                first.insert(id, (connector, tenant));
            }
        }
    }
}

/// The tenant of Exchange Online that a connector sends to, if its domains or hosts say so: the name before
/// `onmicrosoft.com` belongs to one tenant. A name such as `contoso-com` does not, since a tenant may have several domains.
fn tenant(connector: &Outbound) -> Option<String> {
    let of_domain = |domain: &Domain| {
        let rest = domain.as_str().strip_suffix(".onmicrosoft.com")?;
        Some(rest.strip_suffix(".mail").unwrap_or(rest).to_owned()).filter(|name| !name.contains('.'))
    };
    let of_host = |host: &Domain| {
        let label = host.as_str().strip_suffix(".mail.protection.outlook.com")?;
        let rest = label.strip_suffix("-onmicrosoft-com")?;
        Some(rest.strip_suffix("-mail").unwrap_or(rest).to_owned()).filter(|name| !name.contains('.'))
    };
    let by_host = match &connector.next_hop {
        NextHop::SmartHosts(hosts) => hosts.iter().find_map(|host| match &host.name {
            SmartHostName::Name(name) => of_host(name),
            SmartHostName::Ip(_) => None,
        }),
        NextHop::Mx { .. } => None,
    };
    by_host.or_else(|| {
        connector.domains.iter().find_map(|pattern| match pattern {
            DomainPattern::Exact(domain) | DomainPattern::Below(domain) => of_domain(domain),
            DomainPattern::Any => None,
        })
    })
}

/// A password at a submission host of Exchange Online.
fn passwords(entry: &OutboundEntry, connector: &Outbound, now: UnixMillis, report: &mut Report<'_>) {
    let (Some(auth), NextHop::SmartHosts(hosts)) = (&connector.sending.auth, &connector.next_hop) else {
        return;
    };
    let by_password = match auth.mechanism {
        Mechanism::Plain | Mechanism::Login => true,
        Mechanism::XOAuth2 => false,
    };
    let host = hosts.iter().find_map(|host| match &host.name {
        SmartHostName::Name(name) => SUBMISSION_HOSTS.contains(&name.as_str()).then_some(name),
        SmartHostName::Ip(_) => None,
    });
    let change = CHANGES.iter().find(|change| change.what == Breakage::NoPasswords && change.is_near(now));
    let place = entry.place("auth_mechanism").or_else(|| entry.place("auth_user"));
    if let (true, Some(host), Some(change), Some(place)) = (by_password, host, change, place) {
        let words = format!(
            "{host} refuses passwords {}, unless the tenant turns them on again; write auth_mechanism = \"xoauth2\" with a \
             token, or send by a connector of Exchange Online that knows our certificate",
            change.when()
        );
        report.warn(place, words);
    }
}

/// What to do about a partner whose exchangers have moved below mx.microsoft, where none of the names that its certificate must
/// present is; for `doctor`, which knows the exchangers.
#[must_use]
pub fn moved_exchanger(forced: &Forced, exchangers: &[&str], now: UnixMillis) -> Option<String> {
    let Require::Identity { names, .. } = &forced.require else { return None };
    let new = Domain::parse("mx.microsoft").ok()?;
    let is_new = |name: &Domain| *name == new || name.is_below(&new);
    let moved = exchangers.iter().find(|name| Domain::parse(name).is_ok_and(|name| is_new(&name)))?;
    let is_named = names.iter().any(|name| match name {
        PeerName::Exact(name) | PeerName::OneBelow(name) => is_new(name),
        PeerName::Ip(_) => false,
    });
    let change = CHANGES.iter().find(|change| change.what == Breakage::Exchangers && change.is_near(now))?;
    (!names.is_empty() && !is_named).then(|| {
        format!(
            "its exchanger is {moved}, and no name of peer_names is below mx.microsoft, where Exchange Online has new domains {}; \
             look at what it presents with `sealpost probe`, agree on it with the partner, and add it to peer_names",
            change.when()
        )
    })
}

const SUBMISSION_HOSTS: &[&str] = &["smtp.office365.com", "smtp-legacy.office365.com"];
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const YEAR_MS: i64 = 365 * DAY_MS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::ChainVerdict;
    use crate::connector::samples::{certificate, identity};

    fn day(text: &str) -> UnixMillis {
        units::moment(text).expect("a date")
    }

    fn facts(from: &str, until: &str, issuer: &str) -> CertificateFacts {
        CertificateFacts {
            not_before: day(from),
            not_after: day(until),
            issuer_names: vec![issuer.to_owned()],
            ..certificate(&["gw.contoso.example"], ChainVerdict::Trusted)
        }
    }

    #[test]
    fn every_change_has_a_date_and_the_table_is_in_order() {
        let dates: Vec<UnixMillis> = CHANGES.iter().map(|change| change.at().expect("a date")).collect();
        assert!(dates.is_sorted());
        assert!(CHANGES.iter().all(|change| change.source.len() > 10));
    }

    #[track_caller]
    fn check_lifetime(one: &CertificateFacts, is_public: bool, now: &str, expected: Option<&str>) {
        let words = shorter("gw", one, || is_public, day(now));
        let start = words.as_deref().map(|words| words.split(';').next().unwrap_or_default());
        assert_eq!(start, expected, "{words:?}");
    }

    #[test]
    fn a_successor_that_is_valid_for_a_shorter_time_is_announced_in_the_last_term() {
        let commercial = |from, until| facts(from, until, "DigiCert Inc");
        let source =
            "public authorities issue no longer ones as of 2027-03-15 (CA/Browser Forum, ballot SC-081v3)";
        let words = |days| {
            format!(
                "[certificate.gw] is valid for {days} days, and its successor can be for 100 at most: {source}"
            )
        };
        check_lifetime(&commercial("2026-11-01", "2027-05-15"), true, "2026-12-01", Some(&words(195)));
        check_lifetime(&commercial("2026-11-01", "2027-05-15"), false, "2026-12-01", None);
        check_lifetime(&commercial("2026-11-01", "2027-05-15"), true, "2027-05-16", None);
        // Its successor comes before the date, or it is short enough.
        check_lifetime(&commercial("2026-08-01", "2027-02-15"), true, "2026-12-01", None);
        check_lifetime(&commercial("2027-03-16", "2027-06-24"), true, "2027-04-01", None);
        let own = facts("2026-11-20", "2027-02-18", "Let's Encrypt");
        let words = "[certificate.gw] is valid for 90 days, and its successor can be for 64 at most: Let's Encrypt issue no longer \
            ones as of 2027-02-10 (letsencrypt.org, Decreasing Certificate Lifetimes to 45 Days)";
        check_lifetime(&own, true, "2026-12-01", Some(words));
        check_lifetime(&facts("2026-10-01", "2026-12-30", "Let's Encrypt"), true, "2026-12-01", None);
    }

    #[test]
    fn a_certificate_for_clients_has_no_successor_at_public_authorities() {
        let words = |one: &CertificateFacts, is_public: bool| clients_no_more("gw", one, || is_public);
        let commercial = facts("2026-03-01", "2026-09-01", "DigiCert Inc");
        assert!(
            words(&commercial, true)
                .is_some_and(|words| words.contains("as of 2026-06-15 (Chrome Root Program"))
        );
        assert_eq!(words(&commercial, false), None);
        assert_eq!(words(&CertificateFacts { for_clients: false, ..commercial }, true), None);
        assert_eq!(words(&facts("2026-01-01", "2026-05-01", "DigiCert Inc"), true), None);
        let own = facts("2026-01-01", "2026-04-01", "Let's Encrypt");
        assert!(words(&own, true).is_some_and(|words| words.contains("as of 2026-02-11 (letsencrypt.org")));
    }

    #[test]
    fn exchangers_that_have_moved_need_their_names() {
        let now = day("2026-12-01");
        let (old, new) = ("contoso-com.mail.protection.outlook.com", "contoso-com.e-v1.mx.microsoft");
        let forced = identity(&["*.mail.protection.outlook.com"]);
        assert!(moved_exchanger(&forced, &[old, new], now).is_some_and(|words| words.contains(new)));
        assert_eq!(moved_exchanger(&forced, &[old], now), None);
        assert_eq!(moved_exchanger(&forced, &[new], day("2025-06-01")), None);
        assert_eq!(moved_exchanger(&identity(&[new]), &[new], now), None);
        assert_eq!(moved_exchanger(&identity(&["*.e-v1.mx.microsoft"]), &[new], now), None);
        assert_eq!(moved_exchanger(&identity(&[]), &[new], now), None);
    }

    #[test]
    fn an_ocsp_responder_that_is_switched_off_is_known() {
        let check = |url: &str, ended: bool| assert_eq!(ended_ocsp(url).is_some(), ended, "{url}");
        check("http://r3.o.lencr.org", true);
        check("http://ocsp.int-x3.letsencrypt.org/", true);
        check("http://ocsp.digicert.com", false);
        check("http://notlencr.org", false);
        check("lencr.org", false);
    }
}
