//! Tries to send in the name of each bound domain, at each address of each listener, as somebody who may not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::doors::doors;
use super::evidence::{Evidence, EvidenceArea, EvidenceVerdict};
use super::intruder::{
    BoundDomains, Intruder, admitted_by_design, bound_domains, is_invented, serves_listener, verdict_on_mail,
};
use super::listener::{at_listener, subject};
use super::manner::CertificateFlaw;
use super::mint::{CertificateLook, MintFault, TestMint};
use super::visit::{ProbeAnnouncer, VisitRecord, VisitedDoor};
use crate::config::Config;
use crate::connector::{
    ChainVerdict, ClientKind, Forced, Generation, Inbound, PeerCertificate, Require, Table, first_match,
};
use crate::listen::settings::ListenerTls;
use crate::mail::{Clock, Domain};
use crate::tls::{Identity, Usage, assess};

/// One session to make.
struct Visit {
    door: Arc<VisitedDoor>,
    intruder: Intruder,
    certificate: Option<Arc<CertifiedKey>>,
    /// The domains, each with its connector's place.
    claims: Vec<(usize, Domain)>,
}

/// What came of claiming one domain.
struct ClaimResult {
    connector: usize,
    door: Arc<VisitedDoor>,
    intruder: Intruder,
    domain: Domain,
    verdict: EvidenceVerdict,
    seen: String,
}

/// Every listener address, and every domain in whose name a forced inbound connector is tested, by the requirements as they are written:
/// an override may have lowered what is in effect.
pub(super) async fn inbound(
    config: &Config,
    listening: &[(String, SocketAddr)],
    announcer: &ProbeAnnouncer,
) -> Vec<Evidence> {
    let table = config.table(Generation(1));
    let bound = bound_domains(&table);
    let mut evidence = Vec::new();
    let mut open = Vec::new();
    for door in doors(config, listening, announcer, (&table, &bound)) {
        let (is_open, found) = at_listener(&door, config).await;
        evidence.extend(found);
        open.extend(is_open.then(|| Arc::new(door)));
    }
    let shown: Vec<_> = bound.iter().map(|one| certificates(config, one)).collect();
    let mut plan = VisitPlan::new(config, &table, &bound);
    open.iter().for_each(|door| plan.add_door(door, &shown));
    let VisitPlan { visits, mut results, .. } = plan;
    let seats = Arc::new(Semaphore::new(at_once(config)));
    let mut running = JoinSet::new();
    for visit in visits {
        let seats = Arc::clone(&seats);
        running.spawn(async move {
            let _seat = seats.acquire_owned().await;
            visit.make().await
        });
    }
    results.extend(running.join_all().await.into_iter().flatten());
    if !listening.is_empty() {
        evidence.extend(unvisited(&bound, &results));
    }
    evidence.extend(together(&bound, results));
    evidence
}

/// As few sessions as are quick: they count with everybody's.
fn at_once(config: &Config) -> usize {
    let limits = &config.listen.limits;
    AT_ONCE.min(limits.connections_per_address_max).min(limits.handshakes_per_address_max).max(1)
}

/// The sessions to make, and the results of what needs none.
struct VisitPlan<'a> {
    table: &'a Table,
    bound: &'a [BoundDomains],
    /// A listener ends a session after some refusals.
    claims_max: usize,
    visits: Vec<Visit>,
    results: Vec<ClaimResult>,
}

/// Whom a session claims to be, one after the other: the place of a connector, and a domain of it.
type SessionClaims = Vec<(usize, Domain)>;

impl<'a> VisitPlan<'a> {
    fn new(config: &Config, table: &'a Table, bound: &'a [BoundDomains]) -> Self {
        let errors_max = usize::try_from(config.listen.limits.errors_max).unwrap_or(1);
        let claims_max = errors_max.saturating_sub(2).clamp(1, CLAIMS_MAX);
        Self { table, bound, claims_max, visits: Vec::new(), results: Vec::new() }
    }

    /// Adds the sessions of all intruders at one address.
    fn add_door(&mut self, door: &Arc<VisitedDoor>, shown: &[Result<Vec<Forgery>, MintFault>]) {
        let all: Vec<usize> = (0..self.bound.len()).collect();
        self.add(door, (Intruder::Plaintext, None), &all);
        if door.tls == ListenerTls::Off {
            return;
        }
        self.add(door, (Intruder::NoCertificate, None), &all);
        for (place, shown) in shown.iter().enumerate() {
            match shown {
                Ok(forgeries) => {
                    for (intruder, certificate) in forgeries {
                        self.add(door, (*intruder, Some(certificate)), &[place]);
                    }
                }
                Err(fault) => {
                    let domain = self.bound.get(place).and_then(|one| one.domains.first()).cloned();
                    if let Some(domain) = domain {
                        self.skip(door, Intruder::Stranger, (place, &domain), &fault.to_string());
                    }
                }
            }
        }
    }

    /// Adds the sessions of one intruder in the names of these connectors' domains.
    fn add(
        &mut self,
        door: &Arc<VisitedDoor>,
        (intruder, certificate): (Intruder, Option<&Arc<CertifiedKey>>),
        places: &[usize],
    ) {
        // Sessions from one address, each with its claims.
        let mut sessions: BTreeMap<SocketAddr, (Arc<VisitedDoor>, SessionClaims)> = BTreeMap::new();
        for (place, one) in places.iter().filter_map(|place| Some((*place, self.bound.get(*place)?))) {
            // Which connector binds a domain is tested for each; what a certificate is worth, once for the connector.
            let domains_max = if certificate.is_some() { CLAIMS_MAX } else { usize::MAX };
            let mut claimed: usize = 0;
            for domain in &one.domains {
                if claimed >= domains_max {
                    break;
                }
                let door = match door_for(door, &one.connector, domain) {
                    DoorChoice::Through(door) => door,
                    DoorChoice::NotHere => continue,
                    DoorChoice::Untestable(why) => {
                        self.skip(door, intruder, (place, domain), &why);
                        continue;
                    }
                };
                let at = (door.listener.as_str(), door.source.ip());
                match admitted_by_design(self.table, at, intruder, domain) {
                    None => {
                        let claims = &mut sessions.entry(door.source).or_insert((door, Vec::new())).1;
                        claims.push((place, domain.clone()));
                        claimed = claimed.saturating_add(1);
                    }
                    Some(by) => {
                        if let Some(why) = why_untested((one, domain), by, door.source) {
                            self.skip(&door, intruder, (place, domain), &why);
                        }
                    }
                }
            }
        }
        for (door, claims) in sessions.into_values() {
            self.visits.extend(claims.chunks(self.claims_max).map(|claims| Visit {
                door: Arc::clone(&door),
                intruder,
                certificate: certificate.cloned(),
                claims: claims.to_vec(),
            }));
        }
    }

    /// Says once for each address why a connector's domain is not tested.
    fn skip(
        &mut self,
        door: &Arc<VisitedDoor>,
        intruder: Intruder,
        (connector, domain): (usize, &Domain),
        why: &str,
    ) {
        let is_said = |said: &ClaimResult| {
            said.verdict == EvidenceVerdict::Untested
                && said.connector == connector
                && said.door.address == door.address
                && said.seen == why
        };
        if self.results.iter().any(is_said) {
            return;
        }
        self.results.push(ClaimResult {
            connector,
            door: Arc::clone(door),
            intruder,
            domain: domain.clone(),
            verdict: EvidenceVerdict::Untested,
            seen: why.to_owned(),
        });
    }
}

/// Whether, and from which address, a listener is tried in a connector's name.
enum DoorChoice {
    Through(Arc<VisitedDoor>),
    /// Nothing that comes in there is the connector's.
    NotHere,
    /// For this reason.
    Untestable(String),
}

/// A domain is bound wherever the session comes from. Where the invented one is claimed, only a client at one of the
/// connector's listeners and networks is refused for what he lacks.
fn door_for(door: &Arc<VisitedDoor>, connector: &Inbound, domain: &Domain) -> DoorChoice {
    if !is_invented(domain) {
        return DoorChoice::Through(Arc::clone(door));
    }
    if !serves_listener(connector, &door.listener) {
        return DoorChoice::NotHere;
    }
    let admitted = |source: &&SocketAddr| connector.from_networks.admit(source.ip());
    match [door.source].iter().chain(&door.others).find(admitted) {
        Some(source) if *source == door.source => DoorChoice::Through(Arc::clone(door)),
        Some(source) => DoorChoice::Through(Arc::new(VisitedDoor { source: *source, ..(**door).clone() })),
        None => DoorChoice::Untestable(
            "its from_networks has no address of this host, so no session from here could be its client's; try it from there"
                .to_owned(),
        ),
    }
}

/// What a session proves nothing for that another connector admits. `None`: nothing needs to be said, since the connector
/// itself, or another one of the partner, asks for no more than that.
fn why_untested(
    (bound, domain): (&BoundDomains, &Domain),
    by: &Inbound,
    source: SocketAddr,
) -> Option<String> {
    if by.name == bound.connector.name {
        return None;
    }
    if by.kind == ClientKind::Own {
        return Some(format!(
            "connector {} takes mail of any name from {}, so a session from this host proves nothing; narrow its \
             from_networks",
            by.name,
            source.ip()
        ));
    }
    is_invented(domain).then(|| {
        format!(
            "it binds no domain, and connector {} takes mail of any domain and demands less, so who does not meet this one is \
             admitted by that one; to bind clients, give this one a listener of its own, or domains",
            by.name
        )
    })
}

/// What there was no session for at all.
fn unvisited(bound: &[BoundDomains], results: &[ClaimResult]) -> Vec<Evidence> {
    let is_tried = |place: usize| results.iter().any(|one| one.connector == place);
    let left = bound.iter().enumerate().filter(|(place, _)| !is_tried(*place));
    left.map(|(_, one)| Evidence {
        area: EvidenceArea::Inbound,
        subject: one.connector.name.to_string(),
        required: one.connector.forced().map(ToString::to_string).unwrap_or_default(),
        done: "looked for a listener where a session could be this connector's".to_owned(),
        seen: "there is none that is open, or none where it would refuse anything".to_owned(),
        verdict: EvidenceVerdict::Untested,
    })
    .collect()
}

/// What an intruder presents.
type Forgery = (Intruder, Arc<CertifiedKey>);

/// What intruders present who pretend to be a connector's partner.
fn certificates(config: &Config, bound: &BoundDomains) -> Result<Vec<Forgery>, MintFault> {
    let Some(forced) = bound.connector.forced() else { return Ok(Vec::new()) };
    let mint = TestMint::new(CertificateLook::meeting(forced))?;
    let made = |intruder| {
        Ok(match intruder {
            Intruder::SelfSigned => Some(mint.flawed(CertificateFlaw::SelfSigned)?),
            Intruder::Stranger => Some(mint.flawed(CertificateFlaw::Stranger)?),
            Intruder::Namesake => namesake(config, forced, &mint),
            Intruder::Ourselves => ourselves(config, forced),
            Intruder::Plaintext | Intruder::NoCertificate => None,
        }
        .map(|certificate| (intruder, certificate)))
    };
    Intruder::ALL.into_iter().filter_map(|intruder| made(intruder).transpose()).collect()
}

/// A certificate of an authority that calls itself as one of the trusted ones does.
fn namesake(config: &Config, forced: &Forced, mint: &TestMint) -> Option<Arc<CertifiedKey>> {
    let sets = forced.trust().iter().filter_map(|id| config.trust.get(id));
    // Some authorities have names that can't be written again.
    sets.flat_map(|set| set.certificates()).find_map(|anchor| mint.by_namesake(anchor).ok())
}

/// A certificate of ours whose chain would do, and whose names would not. No other certificate of a trusted authority is at hand.
fn ourselves(config: &Config, forced: &Forced) -> Option<Arc<CertifiedKey>> {
    let Require::Identity { trust, names } = &forced.require else { return None };
    let sets = trust.iter().filter_map(|id| Some((id.clone(), Arc::clone(config.trust.get(id)?))));
    let sets: Vec<_> = sets.collect();
    let would_do = |identity: &&Arc<Identity>| {
        let PeerCertificate::Shown(facts) =
            assess(identity.chain(), true, &sets, Usage::ClientOrServer, Clock::wall())
        else {
            return false;
        };
        let is_named = first_match(names, &facts.names_or_common_name(forced.allow_cn)).is_some();
        facts.chain_to(trust) == ChainVerdict::Trusted && !is_named
    };
    config.identities.values().find(would_do).map(|identity| Arc::clone(identity.certified()))
}

impl Visit {
    async fn make(self) -> Vec<ClaimResult> {
        let domains: Vec<Domain> = self.claims.iter().map(|(_, domain)| domain.clone()).collect();
        let record = match self.intruder {
            Intruder::Plaintext => self.door.visit_in_plaintext(&domains, false).await,
            Intruder::NoCertificate
            | Intruder::SelfSigned
            | Intruder::Stranger
            | Intruder::Namesake
            | Intruder::Ourselves => self.door.visit_over_tls(self.certificate.as_deref(), &domains).await,
        };
        let of_claim = |(number, (connector, domain)): (usize, &(usize, Domain))| {
            let (verdict, seen) = self.verdict(&record, number);
            let (door, intruder) = (Arc::clone(&self.door), self.intruder);
            ClaimResult { connector: *connector, door, intruder, domain: domain.clone(), verdict, seen }
        };
        self.claims.iter().enumerate().map(of_claim).collect()
    }

    fn verdict(&self, record: &VisitRecord, number: usize) -> (EvidenceVerdict, String) {
        if let Some(answer) = record.answers.get(number) {
            let (verdict, seen) = verdict_on_mail(answer.code, &answer.text);
            let channel = record.channel.as_ref().map(|channel| format!(" [{channel}]")).unwrap_or_default();
            return (verdict, format!("{seen}{channel}"));
        }
        let ended = record.ended.as_deref().unwrap_or("the session ended before the answer");
        let in_plaintext = self.intruder == Intruder::Plaintext;
        if in_plaintext && self.door.tls == ListenerTls::Implicit && record.hello.is_none() {
            return (EvidenceVerdict::Held, format!("no SMTP without TLS: {ended}"));
        }
        (EvidenceVerdict::Untested, format!("no answer to MAIL FROM: {ended}"))
    }
}

/// One piece of evidence for each connector, address, intruder and verdict.
fn together(bound: &[BoundDomains], results: Vec<ClaimResult>) -> Vec<Evidence> {
    let mut groups: BTreeMap<(usize, String, usize, EvidenceVerdict), Vec<ClaimResult>> = BTreeMap::new();
    for one in results {
        let order = Intruder::ALL.iter().position(|intruder| *intruder == one.intruder).unwrap_or_default();
        let key = (one.connector, subject(&one.door), order, one.verdict);
        groups.entry(key).or_default().push(one);
    }
    let one = |((place, door, _, verdict), results): (
        (usize, String, usize, EvidenceVerdict),
        Vec<ClaimResult>,
    )| {
        let (connector, first) = (&bound.get(place)?.connector, results.first()?);
        let names: Vec<String> =
            results.iter().take(NAMED_MAX).map(|result| result.domain.to_string()).collect();
        let more = results.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(Evidence {
            area: EvidenceArea::Inbound,
            subject: connector.name.to_string(),
            required: connector.forced().map(ToString::to_string).unwrap_or_default(),
            done: format!("{} as {}{more}, at listener {door}", first.intruder.does(), names.join(", ")),
            seen: first.seen.clone(),
            verdict,
        })
    };
    groups.into_iter().filter_map(one).collect()
}

/// Sessions at a time.
const AT_ONCE: usize = 8;
/// Refusals in one session, however many a listener allows.
const CLAIMS_MAX: usize = 16;
/// Domains that a line names.
const NAMED_MAX: usize = 5;
