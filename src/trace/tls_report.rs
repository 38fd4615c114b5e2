//! What the sums of some days say about TLS: shares, who fails and why, who could be forced. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::code::StoredWord;
use super::record::EventKind;
use super::sums::{MORE_HOSTS, RequiredQuality, Sum, SumKey, TlsQuality};
use crate::connector::Attribution;
use crate::mail::{Domain, UnixMillis, rfc3339};

/// The report of some days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TlsReport {
    /// The version of this record.
    pub version: u32,
    /// The first day, as a date.
    pub from: String,
    /// The last day.
    pub to: String,
    /// The share of TLS in what came in.
    pub inbound: TlsShare,
    /// The share of TLS in what went out.
    pub outbound: TlsShare,
    /// What went out, by what secured it.
    pub by_security: Vec<SecurityCount>,
    /// Partners, or connectors that belong to none, both directions.
    pub partners: Vec<PartnerShare>,
    /// Recipient domains whose mail always went over TLS.
    pub succeeding: Vec<DomainCount>,
    /// Recipient domains with attempts that failed over TLS, with the reason.
    pub failing: Vec<TroubleCount>,
    /// Those of them that fail over a certificate.
    pub certificates: Vec<TroubleCount>,
    /// Clients' mail that a connector refused, with the reason.
    pub refused: Vec<TroubleCount>,
    /// Recipient domains that offer no TLS, and got mail in plaintext.
    pub without_tls: Vec<TroubleCount>,
    /// Domains that no connector forced, and whose mail always went over TLS.
    pub could_be_forced: Vec<ForcibleDomain>,
}

/// How much of what was transferred was over TLS. Messages and connections are counted apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TlsShare {
    /// Messages that came in, or deliveries to a recipient.
    pub messages: u64,
    /// Those over TLS.
    pub over_tls: u64,
    /// Connections that carried them.
    pub connections: u64,
    /// Those over TLS.
    pub connections_over_tls: u64,
    /// Messages by TLS version; `plaintext` is one of them.
    pub by_version: BTreeMap<String, u64>,
}

/// Deliveries that were secured alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SecurityCount {
    /// What secured them: `forced`, `audit`, `opportunistic`, or `plaintext`.
    pub security: &'static str,
    /// Deliveries.
    pub messages: u64,
}

/// A partner's mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PartnerShare {
    /// The partner, or the connector.
    pub name: String,
    /// What came in.
    pub inbound: TlsShare,
    /// What went out.
    pub outbound: TlsShare,
    /// Attempts that failed, and clients' mail that was refused.
    pub failed: u64,
}

/// A domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DomainCount {
    /// The domain.
    pub domain: String,
    /// Deliveries.
    pub messages: u64,
    /// How well the worst of them was protected.
    pub quality: &'static str,
}

/// What failed for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TroubleCount {
    /// The domain; empty where it is not counted by domain.
    pub domain: String,
    /// The connector; empty if there was none.
    pub connector: String,
    /// The token of the reason.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// A domain that could be forced, by what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ForcibleDomain {
    /// The domain.
    pub domain: String,
    /// Deliveries in these days, all over TLS.
    pub messages: u64,
    /// Connections.
    pub connections: u64,
    /// How well the worst of them was protected.
    pub quality: &'static str,
    /// The hosts that were seen.
    pub hosts: Vec<String>,
    /// What could be required of all of them.
    #[serde(skip)]
    pub demand: ForcibleDemand,
}

/// What could be required of a domain's hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForcibleDemand {
    /// A trusted certificate with one of these names; without any, with that of the domain.
    Identity(Vec<String>),
    /// A trusted certificate.
    Chain,
    /// TLS.
    Encryption,
}

impl TlsReport {
    /// The report of these sums.
    #[must_use]
    pub fn of(sums: &[(SumKey, Sum)], (from, to): (i64, i64)) -> Self {
        let domains = domains(sums);
        Self {
            version: 1,
            from: date_of_day(from),
            to: date_of_day(to),
            inbound: TlsShare::of(sums.iter().filter(|(key, _)| key.inbound)),
            outbound: TlsShare::of(sums.iter().filter(|(key, _)| !key.inbound)),
            by_security: by_security(sums),
            partners: partners(sums),
            succeeding: succeeding(&domains),
            failing: troubles(sums, is_tls_failure),
            certificates: troubles(sums, |key| is_tls_failure(key) && is_over_certificate(&key.reason)),
            refused: troubles(sums, is_refusal),
            without_tls: troubles(sums, |key| {
                key.kind == EventKind::Delivered
                    && key.quality == TlsQuality::Plaintext
                    && key.reason != "clear-off"
            }),
            could_be_forced: candidates(&domains),
        }
    }
}

impl TlsShare {
    fn of<'a>(sums: impl Iterator<Item = &'a (SumKey, Sum)>) -> Self {
        let mut share = Self::default();
        for (key, sum) in sums.filter(|(key, _)| is_transfer(key)) {
            share.messages = share.messages.saturating_add(sum.messages);
            share.connections = share.connections.saturating_add(sum.sessions);
            let version = if key.version.is_empty() { "plaintext" } else { key.version.as_str() };
            if !key.version.is_empty() {
                share.over_tls = share.over_tls.saturating_add(sum.messages);
                share.connections_over_tls = share.connections_over_tls.saturating_add(sum.sessions);
            }
            let count = share.by_version.entry(version.to_owned()).or_default();
            *count = count.saturating_add(sum.messages);
        }
        share
    }

    /// The share of TLS in percent, rounded down: 100 means all.
    #[must_use]
    pub fn percent(&self) -> Option<u64> {
        self.over_tls.saturating_mul(100).checked_div(self.messages)
    }
}

fn is_transfer(key: &SumKey) -> bool {
    matches!(key.kind, EventKind::Accepted | EventKind::Delivered)
}

fn is_trouble(key: &SumKey) -> bool {
    matches!(key.kind, EventKind::Deferred | EventKind::Failed | EventKind::Rerouted)
}

/// Whether an attempt failed for a reason of a connector, not for a reply or the network.
fn is_tls_failure(key: &SumKey) -> bool {
    is_trouble(key) && !is_status(&key.reason) && !lets_pass(&key.reason)
}

/// Whether a connector refused a client's mail. Other mail is refused after a connector has taken it, for what it is.
fn is_refusal(key: &SumKey) -> bool {
    key.kind == EventKind::Refused && !is_status(&key.reason) && !lets_pass(&key.reason)
}

/// Whether a token is that of a decision by which mail goes on: what failed then had another reason.
fn lets_pass(token: &str) -> bool {
    let attributed = [Attribution::Certificate, Attribution::User, Attribution::Network, Attribution::Domain];
    matches!(token, "met" | "sealed")
        || token.starts_with("clear-")
        || token.starts_with("audit-")
        || attributed.iter().any(|by| by.token() == token)
}

/// Whether a reason is a code instead of a token.
fn is_status(reason: &str) -> bool {
    reason.is_empty() || reason.starts_with(|c: char| c.is_ascii_digit())
}

fn is_over_certificate(reason: &str) -> bool {
    [
        "certificate",
        "issuer",
        "name-mismatch",
        "pin-",
        "subject-mismatch",
        "revo",
        "chain",
        "purpose",
        "ca-as",
        "key-not",
    ]
    .iter()
    .any(|part| reason.contains(part))
}

fn by_security(sums: &[(SumKey, Sum)]) -> Vec<SecurityCount> {
    let mut counts = [("forced", 0_u64), ("audit", 0), ("opportunistic", 0), ("plaintext", 0)];
    for (key, sum) in sums.iter().filter(|(key, _)| key.kind == EventKind::Delivered) {
        let security = match (key.requirement, key.quality) {
            (_, TlsQuality::Plaintext | TlsQuality::NoSession) => "plaintext",
            (RequiredQuality::Forced, _) => "forced",
            (RequiredQuality::Audit, _) => "audit",
            (RequiredQuality::Nothing, _) => "opportunistic",
        };
        for (name, count) in &mut counts {
            if *name == security {
                *count = count.saturating_add(sum.messages);
            }
        }
    }
    counts.into_iter().map(|(security, messages)| SecurityCount { security, messages }).collect()
}

fn partners(sums: &[(SumKey, Sum)]) -> Vec<PartnerShare> {
    let name =
        |key: &SumKey| if key.partner.is_empty() { key.connector.clone() } else { key.partner.clone() };
    let mut by_name: BTreeMap<String, Vec<&(SumKey, Sum)>> = BTreeMap::new();
    for one in sums.iter().filter(|(key, _)| !key.partner.is_empty() || !key.connector.is_empty()) {
        by_name.entry(name(&one.0)).or_default().push(one);
    }
    let share = |rows: &[&(SumKey, Sum)], inbound: bool| {
        TlsShare::of(rows.iter().copied().filter(|(key, _)| key.inbound == inbound))
    };
    let all = by_name.into_iter().map(|(name, rows)| PartnerShare {
        inbound: share(&rows, true),
        outbound: share(&rows, false),
        failed: rows
            .iter()
            .filter(|(key, _)| is_trouble(key) || key.kind == EventKind::Refused)
            .fold(0, |all, (_, sum)| all.saturating_add(sum.messages)),
        name,
    });
    all.collect()
}

/// What is known of a recipient domain.
#[derive(Default)]
struct DomainRow {
    messages: u64,
    connections: u64,
    worst: Option<TlsQuality>,
    hosts: BTreeSet<String>,
    /// Some of them showed the name of the domain.
    has_own_name: bool,
    is_forced: bool,
    /// Something went in plaintext, or failed over TLS.
    lacked: bool,
}

fn domains(sums: &[(SumKey, Sum)]) -> BTreeMap<&str, DomainRow> {
    let mut rows: BTreeMap<&str, DomainRow> = BTreeMap::new();
    for (key, sum) in sums.iter().filter(|(key, _)| !key.inbound && !key.domain.is_empty()) {
        let row = rows.entry(&key.domain).or_default();
        row.is_forced |= key.requirement == RequiredQuality::Forced;
        row.lacked |= is_tls_failure(key);
        if key.kind != EventKind::Delivered {
            continue;
        }
        row.messages = row.messages.saturating_add(sum.messages);
        row.connections = row.connections.saturating_add(sum.sessions);
        row.worst = Some(row.worst.map_or(key.quality, |worst| worst.min(key.quality)));
        row.hosts.extend(sum.hosts.iter().cloned());
        row.has_own_name |= key.quality == TlsQuality::DomainNamed;
    }
    rows.retain(|_, row| row.messages > 0 || row.lacked);
    rows
}

impl DomainRow {
    /// Everything went over TLS, and nothing failed there.
    fn is_good(&self) -> bool {
        !self.lacked && self.worst.is_some_and(|worst| worst >= TlsQuality::Encrypted)
    }

    fn demand(&self, domain: &str) -> ForcibleDemand {
        match self.worst.unwrap_or_default() {
            TlsQuality::DomainNamed => ForcibleDemand::Identity(Vec::new()),
            TlsQuality::Named => {
                let own = self.has_own_name.then(|| domain.to_owned());
                let names: Vec<String> = self.hosts.iter().cloned().chain(own).collect();
                // Hosts without a name, and more of them than are known: nobody can say which names would be right.
                let is_clear = !self.hosts.is_empty()
                    && names.len() <= NAMES_MAX
                    && names.iter().all(|name| Domain::parse(name).is_ok());
                if is_clear { ForcibleDemand::Identity(names) } else { ForcibleDemand::Chain }
            }
            TlsQuality::Trusted => ForcibleDemand::Chain,
            TlsQuality::Encrypted | TlsQuality::Plaintext | TlsQuality::NoSession => {
                ForcibleDemand::Encryption
            }
        }
    }
}

fn succeeding(domains: &BTreeMap<&str, DomainRow>) -> Vec<DomainCount> {
    let good = domains.iter().filter(|(_, row)| row.is_good());
    let mut all: Vec<DomainCount> = good
        .map(|(domain, row)| DomainCount {
            domain: (*domain).to_owned(),
            messages: row.messages,
            quality: row.worst.unwrap_or_default().word(),
        })
        .collect();
    all.sort_by(|a, b| b.messages.cmp(&a.messages).then_with(|| a.domain.cmp(&b.domain)));
    all
}

fn candidates(domains: &BTreeMap<&str, DomainRow>) -> Vec<ForcibleDomain> {
    let could = domains.iter().filter(|(_, row)| !row.is_forced && row.is_good());
    let mut all: Vec<ForcibleDomain> = could
        .map(|(domain, row)| ForcibleDomain {
            domain: (*domain).to_owned(),
            messages: row.messages,
            connections: row.connections,
            quality: row.worst.unwrap_or_default().word(),
            hosts: row.hosts.iter().filter(|host| *host != MORE_HOSTS).cloned().collect(),
            demand: row.demand(domain),
        })
        .collect();
    all.sort_by(|a, b| b.messages.cmp(&a.messages).then_with(|| a.domain.cmp(&b.domain)));
    all
}

fn troubles(sums: &[(SumKey, Sum)], of: impl Fn(&SumKey) -> bool) -> Vec<TroubleCount> {
    let mut counts: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for (key, sum) in sums.iter().filter(|(key, _)| of(key)) {
        let count = counts.entry((&key.domain, &key.connector, &key.reason)).or_default();
        *count = count.saturating_add(sum.messages);
    }
    let mut all: Vec<TroubleCount> = counts
        .into_iter()
        .map(|((domain, connector, reason), count)| TroubleCount {
            domain: domain.to_owned(),
            connector: connector.to_owned(),
            reason: reason.to_owned(),
            count,
        })
        .collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.count));
    all
}

/// Names that a connector to paste may have; a domain with more hosts is one of a large provider.
const NAMES_MAX: usize = 8;

/// The date of a day, counted since 1970.
#[must_use]
pub fn date_of_day(day: i64) -> String {
    let at = UnixMillis::of_day(day);
    rfc3339(at).chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(domain: &str, kind: EventKind, reason: &str, quality: TlsQuality) -> (SumKey, Sum) {
        let version = if quality > TlsQuality::Plaintext { "TLSv1.3" } else { "" };
        let key = SumKey {
            day: 20_000,
            inbound: matches!(kind, EventKind::Accepted | EventKind::Refused),
            connector: "internet".to_owned(),
            partner: String::new(),
            domain: domain.to_owned(),
            kind,
            reason: reason.to_owned(),
            requirement: RequiredQuality::Nothing,
            version: version.to_owned(),
            quality,
        };
        (key, Sum { messages: 3, sessions: 1, octets: 10, hosts: [format!("mx.{domain}")].into() })
    }

    #[test]
    fn each_question_is_answered() {
        let mut forced = sum("bank.example", EventKind::Delivered, "met", TlsQuality::Named);
        forced.0.requirement = RequiredQuality::Forced;
        let mut broken = sum("clinic.example", EventKind::Deferred, "name-mismatch", TlsQuality::Trusted);
        broken.0.requirement = RequiredQuality::Forced;
        let sums = [
            forced,
            broken,
            sum("a.example", EventKind::Delivered, "sealed", TlsQuality::Named),
            sum("b.example", EventKind::Delivered, "sealed", TlsQuality::Encrypted),
            sum("c.example", EventKind::Delivered, "clear-not-offered", TlsQuality::Plaintext),
            sum("d.example", EventKind::Delivered, "sealed", TlsQuality::Trusted),
            sum("d.example", EventKind::Delivered, "clear-refused", TlsQuality::Plaintext),
            sum("e.example", EventKind::Deferred, "4.4.1", TlsQuality::NoSession),
            sum("s.example", EventKind::Accepted, "by-domain", TlsQuality::Encrypted),
            sum("", EventKind::Refused, "tls-required", TlsQuality::Plaintext),
            sum("", EventKind::Refused, "550", TlsQuality::Plaintext),
            // The host was busy; what is in audit withholds nothing.
            sum("busy.example", EventKind::Deferred, "audit-name-mismatch", TlsQuality::Trusted),
            sum("busy.example", EventKind::Failed, "met", TlsQuality::Named),
            // Refused for what it was, after a connector had taken it.
            sum("", EventKind::Refused, "by-network", TlsQuality::Encrypted),
            sum("", EventKind::Refused, "by-certificate", TlsQuality::Encrypted),
            sum("", EventKind::Refused, "audit-tls-required", TlsQuality::Plaintext),
        ];
        let report = TlsReport::of(&sums, (20_000, 20_000));
        assert_eq!(
            (report.outbound.messages, report.outbound.over_tls, report.outbound.percent()),
            (18, 12, Some(66))
        );
        assert_eq!((report.inbound.messages, report.inbound.percent()), (3, Some(100)));
        let security: Vec<_> = report.by_security.iter().map(|one| (one.security, one.messages)).collect();
        assert_eq!(security, [("forced", 3), ("audit", 0), ("opportunistic", 9), ("plaintext", 6)]);
        let names = |list: &[TroubleCount]| list.iter().map(|one| one.domain.clone()).collect::<Vec<_>>();
        assert_eq!(names(&report.failing), ["clinic.example"]);
        assert_eq!(names(&report.certificates), ["clinic.example"]);
        assert_eq!(names(&report.without_tls), ["c.example", "d.example"]);
        assert_eq!(
            report.refused.iter().map(|one| one.reason.as_str()).collect::<Vec<_>>(),
            ["tls-required"]
        );
        let could: Vec<_> =
            report.could_be_forced.iter().map(|one| (one.domain.as_str(), one.quality)).collect();
        assert_eq!(could, [("a.example", "named"), ("b.example", "encrypted")]);
        let good: Vec<_> = report.succeeding.iter().map(|one| one.domain.as_str()).collect();
        assert_eq!(good, ["a.example", "b.example", "bank.example"]);
    }

    /// What could be required of the hosts that were seen, each with what it showed.
    #[track_caller]
    fn check_demand(seen: &[(&str, TlsQuality)], expected: ForcibleDemand) {
        let sums: Vec<(SumKey, Sum)> = seen
            .iter()
            .map(|(host, quality)| {
                let (key, sum) = sum("a.example", EventKind::Delivered, "sealed", *quality);
                (key, Sum { hosts: host.split_whitespace().map(str::to_owned).collect(), ..sum })
            })
            .collect();
        let report = TlsReport::of(&sums, (20_000, 20_000));
        assert_eq!(report.could_be_forced.into_iter().map(|one| one.demand).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn a_demand_is_one_that_every_host_that_was_seen_would_meet() {
        use TlsQuality::{DomainNamed, Encrypted, Named, Trusted};
        let identity =
            |names: &[&str]| ForcibleDemand::Identity(names.iter().map(|name| (*name).to_owned()).collect());
        check_demand(&[("mx", DomainNamed)], identity(&[]));
        check_demand(
            &[("mx2.a.example mx1.a.example", Named)],
            identity(&["mx1.a.example", "mx2.a.example"]),
        );
        check_demand(
            &[("mx1.a.example", Named), ("mx2.a.example", DomainNamed)],
            identity(&["mx1.a.example", "mx2.a.example", "a.example"]),
        );
        check_demand(&[("mx1.a.example *", Named)], ForcibleDemand::Chain);
        check_demand(&[("", Named)], ForcibleDemand::Chain);
        check_demand(&[("[192.0.2.7]", Named)], ForcibleDemand::Chain);
        check_demand(&[("mx1.a.example", Named), ("mx2.a.example", Trusted)], ForcibleDemand::Chain);
        check_demand(&[("mx1.a.example", Named), ("mx2.a.example", Encrypted)], ForcibleDemand::Encryption);
    }
}
