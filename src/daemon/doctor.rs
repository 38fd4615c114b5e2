//! Checks the environment that a configuration needs. Each finding names its fix; nothing is
//! changed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::coming::coming;
use super::connectors::from_file;
use super::expiry::{self, RequirementTerm};
use super::fetch::fetch_chain;
use super::guard;
use super::overrides::{recorded, words};
use super::referrals::ReferralRound;
use crate::config::{self, Config};
use crate::connector::{
    DomainPattern, Generation, Mode, NextHop, Outbound, Require, SmartHostName, expiry_threshold,
};
use crate::deliver::WaitList;
use crate::mail::{Clock, Domain, UnixMillis, rfc3339};
use crate::resolver::dns::Dns;
use crate::resolver::route::DnsFault;
use crate::retrieve::Retriever;
use crate::retrieve::settings::Settings;
use crate::spool::Extent;
use crate::spool::mark::Mark;
use crate::spool::sqlite::extent_of;
use crate::tls::Certificate;
use crate::trace::{AsideFile, set_aside_in};

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub what: String,
    /// Whether it is in order.
    pub state: State,
    /// The finding in one sentence, with the fix if there is something to fix.
    pub words: String,
}

impl Check {
    /// A finding about something.
    #[must_use]
    pub fn new(what: impl Into<String>, state: State, words: impl Into<String>) -> Self {
        Self { what: what.into(), state, words: words.into() }
    }
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In order.
    Ok,
    /// It works, but not for long or not well.
    Warn,
    /// Mail will not flow as configured.
    Fail,
}

/// A slower flush delays each message.
const FLUSH_SLOW: Duration = Duration::from_millis(50);
/// File times this far in the future are still accepted: clocks of file servers differ a little.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// Looks at everything; `limit` is how long one look at the network may take. `waits` has what it is looking at.
pub async fn examine(config: &Config, limit: Duration, waits: &WaitList) -> Vec<Check> {
    let now = Clock::wall();
    let mut checks: Vec<Check> = config
        .warnings
        .iter()
        .map(|warning| Check::new("configuration", State::Warn, warning.to_string()))
        .collect();
    certificates(config, now, &mut checks);
    trust(config, now, &mut checks);
    requirements(config, now, &mut checks);
    partners(config, &mut checks);
    overrides(config, &mut checks);
    for (end, what) in coming(config, now) {
        checks.push(Check::new("within 60 days", State::Ok, format!("{} {what}", rfc3339(end))));
    }
    checks.push(clock(config));
    let flushing = waits.begin(format!("a flush of the disk of {}", config.data_dir.display()));
    checks.push(flush(config));
    drop(flushing);
    checks.extend(database(config));
    checks.extend(aside(config));
    checks.extend(room(config));
    let dns = match Dns::new(&config.resolver) {
        Ok(dns) => dns,
        Err(fault) => {
            checks.push(Check::new("resolver", State::Fail, fault.to_string()));
            return checks;
        }
    };
    let asking = waits.begin(format!("DNS: {}", config.listen.name));
    checks.push(resolver(&dns, &config.listen.name).await);
    drop(asking);
    let mut round = ReferralRound::default();
    round.add_own(config);
    for connector in config.outbound.iter().filter(|connector| connector.mode != Mode::Off) {
        let _looking = waits.begin(format!("the hosts of connector {}", connector.name));
        let chain = way_out(connector, &dns, limit, &mut checks).await;
        round.add_partner(config, connector, &chain);
    }
    let _asking = waits.begin("revocation lists, OCSP responders and issuers");
    let settings = Settings { timeout: limit, ..config.retrieve.clone() };
    let told = round.run(config, &Retriever::new(dns, settings)).await;
    checks.extend(told.into_iter().map(|(what, outcome)| match outcome {
        Ok(words) => Check::new(what, State::Ok, format!("OK: {words}")),
        Err(words) => Check::new(what, State::Warn, words),
    }));
    checks
}

/// Requirements that are overridden, and overrides that can't be read.
fn overrides(config: &Config, checks: &mut Vec<Check>) {
    match recorded(&config.data_dir) {
        Ok(list) => checks.extend(
            list.iter().map(|one| Check::new(format!("override {}", one.connector), State::Warn, words(one))),
        ),
        Err(fault) => checks.push(Check::new("overrides", State::Warn, format!("can't be read: {fault}"))),
    }
}

fn certificates(config: &Config, now: UnixMillis, checks: &mut Vec<Check>) {
    for (id, identity) in &config.identities {
        let end = identity.facts().not_after;
        let in_time = config.staged.get(id).is_some_and(|from| now < *from && *from <= end);
        let date = rfc3339(end);
        let (state, words) = match expiry_threshold(end, now).filter(|_| !in_time) {
            None => (State::Ok, format!("valid until {date}")),
            Some(0) => (State::Fail, format!("expired on {date}; renew it")),
            Some(_) => (State::Warn, format!("valid until {date}; renew it")),
        };
        checks.push(Check::new(format!("certificate {id}"), state, words));
    }
}

fn trust(config: &Config, now: UnixMillis, checks: &mut Vec<Check>) {
    for (id, set) in &config.trust {
        let what = format!("trust {id}");
        checks.push(Check::new(&what, State::Ok, format!("{} anchors", set.count())));
        let ending = expiry::ending_anchors(id, set, now);
        checks.extend(ending.into_iter().map(|words| Check::new(&what, State::Warn, words)));
    }
}

/// Whether the requirements of the connectors can be met, now and for the next month.
fn requirements(config: &Config, now: UnixMillis, checks: &mut Vec<Check>) {
    let table = config.table(Generation::default());
    for (name, term) in expiry::requirement_terms(&table, &config.trust, now) {
        let (state, words) = match term {
            RequirementTerm::Unmet(obstacle) => (State::Fail, obstacle.to_string()),
            RequirementTerm::Ending(words) => (State::Warn, words),
        };
        checks.push(Check::new(format!("connector {name}"), state, words));
    }
}

/// Each partner as one unit: both directions, and what it lacks.
fn partners(config: &Config, checks: &mut Vec<Check>) {
    for partner in from_file(config).partners {
        let what = match &partner.contact {
            Some(contact) => format!("partner {} ({contact})", partner.name),
            None => format!("partner {}", partner.name),
        };
        let state = if partner.lacks.is_empty() { State::Ok } else { State::Warn };
        let ways: Vec<_> =
            partner.ways().map(|(direction, way)| format!("{}: {way}", direction.word())).collect();
        let lacks = partner.lacks.iter().map(|lack| format!("; {lack}")).collect::<String>();
        checks.push(Check::new(what, state, ways.join("; ") + &lacks));
    }
}

/// Whether one of our files is from the future: then the clock is behind.
fn clock(config: &Config) -> Check {
    let limit = SystemTime::now().checked_add(CLOCK_SLACK);
    let late = config.files.iter().find(|file| {
        let written = fs::metadata(file).and_then(|data| data.modified()).ok();
        written.is_some_and(|written| limit.is_some_and(|limit| written > limit))
    });
    match late {
        None => Check::new("clock", State::Ok, format!("it is {}", rfc3339(Clock::wall()))),
        Some(file) => Check::new(
            "clock",
            State::Fail,
            format!(
                "{} was written after now, {}; set the clock, by which certificates are judged",
                file.display(),
                rfc3339(Clock::wall())
            ),
        ),
    }
}

/// How long the disk takes for the flush before each 250.
fn flush(config: &Config) -> Check {
    let folder = &config.data_dir;
    if !folder.is_dir() {
        let words = format!("there is no {} yet; the daemon creates it, if it may", folder.display());
        return Check::new("disk", State::Warn, words);
    }
    match flushed(&folder.join(format!(".doctor-{}", std::process::id()))) {
        Ok(took) if took > FLUSH_SLOW => Check::new(
            "disk",
            State::Warn,
            format!("a flush took {} ms: each message waits for one; use a faster disk", took.as_millis()),
        ),
        Ok(took) => Check::new("disk", State::Ok, format!("a flush took {} ms", took.as_millis())),
        Err(fault) => Check::new(
            "disk",
            State::Fail,
            format!("{} can't be written: {fault}; run this as the daemon's user", folder.display()),
        ),
    }
}

/// Size and free part of the database, and whether it failed.
fn database(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Ok(Some(mark)) = Mark::read(&config.data_dir, "") {
        let why = mark.faults.last().map_or("", String::as_str).to_owned();
        let words = format!(
            "the spool failed ({why}): nothing is delivered until it has passed its check; see the log, and \
             `sealpost spool check` once sealpost is stopped"
        );
        checks.push(Check::new("spool", State::Fail, words));
    }
    if let Some(Extent { file, free }) = extent_of(&config.data_dir.join("spool.sqlite")) {
        let percent = free.saturating_mul(100).checked_div(file).unwrap_or_default();
        let words = format!(
            "the database has {} KiB, {percent} % of it free, which new mail uses first",
            file / 1024
        );
        checks.push(Check::new("spool", State::Ok, words));
    }
    checks
}

/// Databases that could not be used and were set aside.
fn aside(config: &Config) -> Vec<Check> {
    let found = set_aside_in(&config.data_dir);
    let one = |aside: AsideFile| {
        let words = format!(
            "{} could not be used and was set aside on {}: what it holds is missing in reports; remove it if nobody needs it",
            aside.path.display(),
            rfc3339(aside.at)
        );
        Check::new("database", State::Warn, words)
    };
    found.into_iter().map(one).collect()
}

/// Whether the disk has enough room for mail to be accepted.
fn room(config: &Config) -> Option<Check> {
    let (octets, _) = guard::disk(&config.data_dir).ok()?;
    let free = extent_of(&config.data_dir.join("spool.sqlite")).map_or(0, |extent| extent.free);
    let (mib, least) = (octets / (1 << 20), config.listen.reserve.free_disk);
    Some(if octets >= least {
        Check::new("room", State::Ok, format!("{mib} MiB are left on the disk of data_dir"))
    } else if octets.saturating_add(free) >= least {
        let words = format!(
            "{mib} MiB are left on the disk, less than free_disk: only small mail is taken, into free pages of the \
             database; free some"
        );
        Check::new("room", State::Warn, words)
    } else {
        let words = format!(
            "{mib} MiB are left on the disk, less than free_disk: new mail is refused with 452; free some"
        );
        Check::new("room", State::Fail, words)
    })
}

fn flushed(file: &std::path::Path) -> io::Result<Duration> {
    // Never through a link that someone left there.
    let mut out = fs::OpenOptions::new().write(true).create_new(true).open(file)?;
    let begun = Instant::now();
    let done = out.write_all(&[0; 4096]).and_then(|()| out.sync_all());
    let took = begun.elapsed();
    fs::remove_file(file)?;
    done.map(|()| took)
}

async fn resolver(dns: &Dns, name: &Domain) -> Check {
    match dns.addresses(name).await {
        Ok(found) => {
            Check::new("resolver", State::Ok, format!("it answers; {name} has {} addresses", found.len()))
        }
        Err(DnsFault::NoDomain | DnsFault::NoRecords) => Check::new(
            "resolver",
            State::Warn,
            format!("it answers; our name {name} has no address, for which some hosts refuse mail"),
        ),
        Err(DnsFault::Unanswered(why)) => {
            Check::new("resolver", State::Fail, format!("{why}; name servers that answer in [dns] servers"))
        }
    }
}

/// Whether the hosts of a connector can be reached, and which names its exchangers have. Returns the chain of the first
/// host, where TLS is forced.
async fn way_out(
    connector: &Outbound,
    dns: &Dns,
    limit: Duration,
    checks: &mut Vec<Check>,
) -> Vec<Certificate> {
    let what = format!("connector {}", connector.name);
    let hosts = match hosts(connector, dns).await {
        Ok(hosts) if hosts.is_empty() => {
            checks.push(Check::new(what, State::Ok, "it has no domain or host of its own to try"));
            return Vec::new();
        }
        Ok(hosts) => hosts,
        Err(words) => {
            checks.push(Check::new(what, State::Fail, words));
            return Vec::new();
        }
    };
    hosted_elsewhere(connector, &hosts, checks);
    let exchangers: Vec<&str> = hosts.iter().map(|(name, ..)| name.as_str()).collect();
    let forced = connector.forced().filter(|_| matches!(connector.next_hop, NextHop::Mx { .. }));
    let moved = forced.and_then(|forced| config::moved_exchanger(forced, &exchangers, Clock::wall()));
    checks.extend(moved.map(|words| Check::new(&what, State::Warn, words)));
    let mut last = String::new();
    for (name, ip, port) in &hosts {
        match timeout(limit, TcpStream::connect(SocketAddr::new(*ip, *port))).await {
            Ok(Ok(_)) => {
                checks.push(Check::new(&what, State::Ok, format!("{name}[{ip}]:{port} takes connections")));
                if connector.forced().is_none() {
                    return Vec::new();
                }
                let target = SocketAddr::new(*ip, *port).to_string();
                let implicit = connector.handshake == crate::connector::Handshake::Implicit;
                return fetch_chain(&target, implicit, limit).await.unwrap_or_default();
            }
            Ok(Err(fault)) => last = format!("{name}[{ip}]:{port}: {fault}"),
            Err(_) => last = format!("{name}[{ip}]:{port} did not answer in {} s", limit.as_secs()),
        }
    }
    let words = format!(
        "none of its hosts takes a connection ({last}); look at routes and firewalls, port 25 out first"
    );
    checks.push(Check::new(what, State::Fail, words));
    Vec::new()
}

/// Hosts as name, address and port: smart hosts, or the exchangers of the first exact domain.
async fn hosts(connector: &Outbound, dns: &Dns) -> Result<Vec<(String, IpAddr, u16)>, String> {
    let mut found = Vec::new();
    let mut last = None;
    let mut names = Vec::new();
    match &connector.next_hop {
        NextHop::SmartHosts(hosts) => {
            for host in hosts {
                match &host.name {
                    SmartHostName::Ip(ip) => found.push((String::new(), *ip, host.port)),
                    SmartHostName::Name(name) => names.push((name.clone(), host.port)),
                }
            }
        }
        NextHop::Mx { port } => {
            let Some(domain) = own_domain(connector) else { return Ok(Vec::new()) };
            match dns.mx(domain).await {
                Ok(records) => {
                    let some = !records.is_empty();
                    let exchangers = records.into_iter().filter_map(|mx| mx.host);
                    names.extend(exchangers.map(|host| (host, *port)));
                    if names.is_empty() && some {
                        return Err(format!("{domain} takes no mail (null MX)"));
                    }
                    if names.is_empty() {
                        names.push((domain.clone(), *port));
                    }
                }
                Err(DnsFault::NoRecords) => names.push((domain.clone(), *port)),
                Err(fault) => return Err(format!("the exchangers of {domain} can't be found: {fault}")),
            }
        }
    }
    for (name, port) in names {
        match dns.addresses(&name).await {
            Ok(all) => found.extend(all.into_iter().map(|ip| (name.to_string(), ip, port))),
            Err(fault) => last = Some(format!("{name}: {fault}; correct next_hop, or DNS")),
        }
    }
    match (found.is_empty(), last) {
        (true, Some(words)) => Err(words),
        _ => Ok(found),
    }
}

fn own_domain(connector: &Outbound) -> Option<&Domain> {
    connector.domains.iter().find_map(|pattern| match pattern {
        DomainPattern::Exact(domain) => Some(domain),
        DomainPattern::Below(_) | DomainPattern::Any => None,
    })
}

/// Without `peer_names` the certificate must present the recipient domain, which the exchangers of
/// a hosting company don't.
fn hosted_elsewhere(connector: &Outbound, hosts: &[(String, IpAddr, u16)], checks: &mut Vec<Check>) {
    let nameless = connector
        .forced()
        .is_some_and(|forced| matches!(&forced.require, Require::Identity { names, .. } if names.is_empty()));
    let (NextHop::Mx { .. }, Some(domain), true) = (&connector.next_hop, own_domain(connector), nameless)
    else {
        return;
    };
    let below = format!(".{domain}");
    let elsewhere: BTreeSet<&str> = hosts
        .iter()
        .map(|(name, ..)| name.as_str())
        .filter(|name| *name != domain.as_str() && !name.ends_with(&below))
        .collect();
    if elsewhere.is_empty() {
        return;
    }
    let names = elsewhere.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let words = format!(
        "{domain} is hosted elsewhere, and without peer_names its certificate must present {domain}; once agreed \
         with the partner, write peer_names = [{names}]"
    );
    checks.push(Check::new(format!("connector {}", connector.name), State::Warn, words));
}
