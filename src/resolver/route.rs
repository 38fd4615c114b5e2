//! Orders the addresses to try from DNS answers. Pure: the answers and the random seed are arguments.

use std::net::{IpAddr, SocketAddr};

use crate::mail::Domain;

/// One MX record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mx {
    /// MX preference; lower is preferred.
    pub preference: u16,
    /// The host; `None` is the root domain, a null MX (RFC 7505).
    pub host: Option<Domain>,
}

/// Why DNS returned no records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsFault {
    /// NXDOMAIN.
    #[error("the name does not exist")]
    NoDomain,
    /// The name exists, but has no record of this type.
    #[error("the name has no record of this type")]
    NoRecords,
    /// No usable answer: timeout, SERVFAIL or REFUSED. Nothing can be concluded from it.
    #[error("{0}")]
    Unanswered(String),
}

/// Why a domain resolves to no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteFault {
    /// It does not exist, or has neither a mail exchanger nor an address.
    #[error("the domain has no mail exchanger and no address")]
    NoDomain,
    /// It accepts no mail: null MX (RFC 7505).
    #[error("the domain accepts no mail (null MX)")]
    NullMx,
    /// It has mail exchangers, but none has an address.
    #[error("none of the domain's mail exchangers has an address")]
    NoAddress,
    /// All addresses of its mail exchangers are of a kind that is not connected to; one of them.
    #[error("the domain's mail exchangers have only addresses that are not connected to: {0}")]
    NotDialled(IpAddr),
    /// Its most preferred mail exchanger is this host.
    #[error("the domain's mail exchanger is this host")]
    Ourselves,
    /// DNS gave no usable answer; retry later.
    #[error("the look-up failed: {0}")]
    Unanswered(String),
}

/// A host that accepts mail for a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailHost {
    /// The host name.
    pub name: Domain,
    /// MX preference; lower is preferred.
    pub preference: u16,
    /// Implicit MX: the domain has no MX records (RFC 5321 §5.1).
    pub implicit: bool,
}

/// A mail host with the result of its address lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedHost {
    /// The mail host that was looked up.
    pub host: MailHost,
    /// Its addresses in the order to try them, or why there are none.
    pub addresses: Result<Vec<IpAddr>, DnsFault>,
}

/// The mail hosts of a domain by preference, shuffled among equals (RFC 5321 §5.1). `seed` is the random
/// number.
///
/// # Errors
/// A [`RouteFault`].
pub fn mail_hosts(
    domain: &Domain,
    answer: Result<Vec<Mx>, DnsFault>,
    seed: u64,
) -> Result<Vec<MailHost>, RouteFault> {
    let implicit = || vec![MailHost { name: domain.clone(), preference: 0, implicit: true }];
    let records = match answer {
        Ok(records) if records.is_empty() => return Ok(implicit()),
        Ok(records) => records,
        Err(DnsFault::NoRecords) => return Ok(implicit()),
        Err(DnsFault::NoDomain) => return Err(RouteFault::NoDomain),
        // RFC 5321 §5.1: a missing answer does not mean that there is no MX.
        Err(DnsFault::Unanswered(why)) => return Err(RouteFault::Unanswered(why)),
    };
    let mut random = seed;
    let mut hosts: Vec<(u16, u64, MailHost)> = Vec::with_capacity(records.len());
    for Mx { preference, host } in records {
        let Some(name) = host else { continue };
        random = shuffle(random);
        hosts.push((preference, random, MailHost { name, preference, implicit: false }));
    }
    if hosts.is_empty() {
        return Err(RouteFault::NullMx);
    }
    hosts.sort_by_key(|(preference, random, _)| (*preference, *random));
    let mut hosts: Vec<MailHost> = hosts.into_iter().map(|(_, _, host)| host).collect();
    hosts.dedup_by(|a, b| a.name == b.name);
    Ok(hosts)
}

/// The hosts that are preferred over this one, where it is among them by one of the names that are its own (RFC 5321 §5.1).
/// For the whole list, of which an attempt may try only a part: where this host is in another part, mail would go to hosts
/// that send it back.
///
/// # Errors
/// [`RouteFault::Ourselves`] if none is.
pub fn preferred_over_us(
    mut hosts: Vec<MailHost>,
    is_our_name: impl Fn(&Domain) -> bool,
) -> Result<Vec<MailHost>, RouteFault> {
    let own = hosts.iter().filter(|host| is_our_name(&host.name)).map(|host| host.preference).min();
    hosts.retain(|host| own.is_none_or(|own| host.preference < own));
    if hosts.is_empty() { Err(RouteFault::Ourselves) } else { Ok(hosts) }
}

/// SplitMix64: derives the next random number from the last.
fn shuffle(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The address to connect to: an IPv4-mapped IPv6 address becomes IPv4. `None` for what is not a host
/// address: unspecified (some systems connect it to themselves, a mail loop), multicast, broadcast.
#[must_use]
pub fn connectable(ip: IpAddr) -> Option<IpAddr> {
    let ip = ip.to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    (!ip.is_unspecified() && !ip.is_multicast() && !broadcast).then_some(ip)
}

/// What is tried in one attempt of a list that may be longer than the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptShare<T> {
    /// Those to try, in their order.
    pub tried: Vec<T>,
    /// How many are left for other attempts.
    pub left: usize,
    /// After so many attempts each has been tried.
    pub attempts: usize,
}

/// The share of attempt number `turn`, at most `max`. The best are in every share, up to half of it; the others take turns, so
/// that a limit never keeps one from being tried at all.
#[must_use]
pub fn share_of<T>(list: Vec<T>, max: usize, turn: usize) -> AttemptShare<T> {
    let (length, max) = (list.len(), max.max(1));
    if length <= max {
        return AttemptShare { tried: list, left: 0, attempts: 1 };
    }
    let always = max.checked_div(2).unwrap_or_default();
    let (places, others) = (max.saturating_sub(always), length.saturating_sub(always));
    let start = turn.wrapping_mul(places).checked_rem(others).unwrap_or_default();
    let in_turn = |place: usize| {
        let behind = place.saturating_sub(always).saturating_add(others).saturating_sub(start);
        place < always || behind.checked_rem(others).is_some_and(|behind| behind < places)
    };
    let tried = list.into_iter().enumerate().filter(|(place, _)| in_turn(*place)).map(|(_, one)| one);
    AttemptShare {
        tried: tried.collect(),
        left: length.saturating_sub(max),
        attempts: others.div_ceil(places),
    }
}

/// Where a domain's mail may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destinations {
    /// The addresses in order, with the host of each.
    pub addresses: Vec<(Domain, SocketAddr)>,
    /// Hosts whose addresses are not known: DNS gave no answer, or they were left for another attempt.
    pub unknown: usize,
}

/// The [`connectable`] addresses, host by host, as `arrange` leaves and orders those of each. Excludes hosts with an address of ours and every host that is not
/// preferred over them (RFC 5321 §5.1); names are judged by [`preferred_over_us`]. `hosts` are in the order of [`mail_hosts`]; `left` is the number of hosts that were not looked up this time.
///
/// # Errors
/// A [`RouteFault`] if there is no address.
pub fn destinations(
    mut hosts: Vec<ResolvedHost>,
    left: usize,
    port: u16,
    is_ours: impl Fn(SocketAddr) -> bool,
    arrange: impl Fn(Vec<IpAddr>) -> Vec<IpAddr>,
) -> Result<Destinations, RouteFault> {
    for addresses in hosts.iter_mut().filter_map(|host| host.addresses.as_mut().ok()) {
        *addresses = addresses.iter().copied().filter_map(connectable).collect();
    }
    let ours = |resolved: &ResolvedHost| {
        let addresses = resolved.addresses.as_deref().unwrap_or_default();
        addresses.iter().any(|ip| is_ours(SocketAddr::new(*ip, port)))
    };
    let own = hosts.iter().filter(|host| ours(host)).map(|host| host.host.preference).min();
    let implicit = hosts.iter().all(|host| host.host.implicit);
    let looked_up = hosts.len();
    let mut found = Vec::new();
    let (mut unanswered, mut unknown, mut barred) = (None, left, None);
    let mut better = false;
    for ResolvedHost { host, addresses } in hosts {
        if own.is_some_and(|own| host.preference >= own) {
            continue;
        }
        better = true;
        match addresses {
            Ok(addresses) => {
                let first = addresses.first().copied();
                let arranged = arrange(addresses);
                barred = barred.or(first.filter(|_| arranged.is_empty()));
                found.extend(arranged.into_iter().map(|ip| (host.name.clone(), SocketAddr::new(ip, port))));
            }
            Err(DnsFault::Unanswered(why)) => {
                unanswered = Some(format!("{}: {why}", host.name));
                unknown = unknown.saturating_add(1);
            }
            Err(DnsFault::NoDomain | DnsFault::NoRecords) => {}
        }
    }
    match (found.is_empty(), unanswered) {
        (true, None)
            if left == 0
                && let Some(ip) = barred =>
        {
            Err(RouteFault::NotDialled(ip))
        }
        (false, _) => Ok(Destinations { addresses: found, unknown }),
        (true, Some(why)) => Err(RouteFault::Unanswered(why)),
        (true, None) if left > 0 => Err(RouteFault::Unanswered(format!(
            "none of the {looked_up} mail exchangers looked up in this attempt has a usable address; {left} more are \
             left for other attempts"
        ))),
        (true, None) if own.is_some() && !better => Err(RouteFault::Ourselves),
        (true, None) if implicit => Err(RouteFault::NoDomain),
        (true, None) => Err(RouteFault::NoAddress),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).expect("a domain")
    }

    fn mx(text: &str) -> Vec<Mx> {
        let record = |part: &str| {
            let (preference, host) = part.split_once(' ').expect("two words");
            Mx { preference: preference.parse().expect("a number"), host: Domain::parse(host).ok() }
        };
        text.split(", ").map(record).collect()
    }

    #[track_caller]
    fn check_hosts(answer: Result<Vec<Mx>, DnsFault>, expected: &str) {
        let got = match mail_hosts(&domain("b.example"), answer, 7) {
            Ok(hosts) => hosts.iter().map(|h| h.name.to_string()).collect::<Vec<_>>().join(" "),
            Err(fault) => format!("fault: {fault}"),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn hosts_are_tried_by_preference() {
        check_hosts(Ok(mx("20 c.example, 10 a.example, 30 d.example")), "a.example c.example d.example");
        check_hosts(Err(DnsFault::NoRecords), "b.example");
        check_hosts(Ok(vec![]), "b.example");
    }

    #[test]
    fn what_dns_says_of_the_domain_decides() {
        check_hosts(Ok(mx("0 .")), "fault: the domain accepts no mail (null MX)");
        // RFC 7505 §3: a null MX beside other MX records is not a null MX.
        check_hosts(Ok(mx("0 ., 10 a.example")), "a.example");
        check_hosts(Err(DnsFault::NoDomain), "fault: the domain has no mail exchanger and no address");
        check_hosts(Err(DnsFault::Unanswered("SERVFAIL".into())), "fault: the look-up failed: SERVFAIL");
    }

    #[test]
    fn equals_take_turns() {
        let records = mx("10 a.example, 10 c.example, 5 z.example");
        let first = |seed| {
            let hosts = mail_hosts(&domain("b.example"), Ok(records.clone()), seed).expect("hosts");
            assert_eq!(hosts[0].name, domain("z.example"));
            hosts[1].name.to_string()
        };
        let firsts: std::collections::BTreeSet<String> = (0..32).map(first).collect();
        assert_eq!(firsts.len(), 2);
    }

    fn resolved(text: &str) -> Vec<ResolvedHost> {
        let host = |part: &str| {
            let mut words = part.split(' ');
            let preference = words.next().expect("a preference").parse().expect("a number");
            let name = domain(words.next().expect("a name"));
            let addresses = match words.next() {
                Some("servfail") => Err(DnsFault::Unanswered("SERVFAIL".into())),
                Some("none") | None => Err(DnsFault::NoRecords),
                Some(list) => Ok(list.split('+').map(|ip| ip.parse().expect("an address")).collect()),
            };
            ResolvedHost { host: MailHost { name, preference, implicit: preference == 0 }, addresses }
        };
        text.split(", ").map(host).collect()
    }

    #[track_caller]
    fn check(hosts: &str, expected: &str) {
        check_left(hosts, 0, expected);
    }

    #[track_caller]
    fn check_left(hosts: &str, left: usize, expected: &str) {
        let ours: SocketAddr = "192.0.2.9:25".parse().expect("an address");
        let arrange = |ips: Vec<IpAddr>| ips.into_iter().filter(|ip| !ip.is_loopback()).collect();
        let mut all = resolved(hosts);
        let list = all.iter().map(|resolved| resolved.host.clone()).collect();
        let found = preferred_over_us(list, |name| *name == domain("us.example")).and_then(|preferred| {
            all.retain(|resolved| preferred.contains(&resolved.host));
            destinations(all, left, 25, |a| a == ours, arrange)
        });
        let got = match found {
            Ok(found) => {
                let shown = found.addresses.iter().map(|(h, a)| format!("{h}={}", a.ip()));
                let unknown = (found.unknown > 0).then(|| format!("{} unknown", found.unknown));
                shown.chain(unknown).collect::<Vec<_>>().join(" ")
            }
            Err(fault) => format!("fault: {fault}"),
        };
        assert_eq!(got, expected, "{hosts}");
    }

    #[test]
    fn addresses_follow_their_hosts() {
        check("10 a 192.0.2.1+192.0.2.2, 20 b 192.0.2.3", "a=192.0.2.1 a=192.0.2.2 b=192.0.2.3");
        check("10 a none, 20 b 192.0.2.3", "b=192.0.2.3");
        check("10 a servfail, 20 b 192.0.2.3", "b=192.0.2.3 1 unknown");
    }

    #[test]
    fn addresses_that_are_not_dialled_are_no_verdict() {
        let barred =
            "fault: the domain's mail exchangers have only addresses that are not connected to: 127.0.0.1";
        check("10 a 127.0.0.1", barred);
        check("10 a 127.0.0.1, 20 b none", barred);
        check("10 a 127.0.0.1+192.0.2.1, 20 b ::1", "a=192.0.2.1");
        check("10 a 127.0.0.1, 20 b servfail", "fault: the look-up failed: b: SERVFAIL");
    }

    #[test]
    fn hosts_that_were_not_looked_up_prevent_a_verdict() {
        let none = "fault: the look-up failed: none of the 1 mail exchangers looked up in this attempt has a usable \
            address; 9 more are left for other attempts";
        check_left("10 a none", 9, none);
        check_left("10 a 192.0.2.9", 9, none);
        check_left("10 a 192.0.2.1", 9, "a=192.0.2.1 9 unknown");
    }

    #[test]
    fn whatever_is_cut_off_has_its_turn() {
        let share = |length: usize, max, turn| share_of((0..length).collect(), max, turn);
        assert_eq!(share(3, 3, 7), AttemptShare { tried: vec![0, 1, 2], left: 0, attempts: 1 });
        assert_eq!(share(7, 4, 0), AttemptShare { tried: vec![0, 1, 2, 3], left: 3, attempts: 3 });
        assert_eq!(share(7, 4, 1).tried, [0, 1, 4, 5]);
        assert_eq!(share(7, 4, 2).tried, [0, 1, 2, 6]);
        for (length, max) in [(7, 4), (100, 1), (33, 32), (2, 1), (1000, 5), (9, 0)] {
            for first in [0, 5, usize::MAX] {
                let attempts = share(length, max, 0).attempts;
                let mut seen: Vec<usize> =
                    (0..attempts).flat_map(|n| share(length, max, first.wrapping_add(n)).tried).collect();
                seen.sort_unstable();
                seen.dedup();
                // Where the count of attempts itself wraps, once in an age, some wait for the next round.
                assert!(seen.len() == length || first == usize::MAX, "{length} {max} {first}: {seen:?}");
            }
        }
    }

    #[test]
    fn ourselves_and_worse_are_dropped() {
        check("10 a 192.0.2.1, 20 b 192.0.2.9, 30 c 192.0.2.3", "a=192.0.2.1");
        check("10 a 192.0.2.1, 20 us.example 192.0.2.7, 20 c 192.0.2.3", "a=192.0.2.1");
        check("10 a 192.0.2.9, 20 b 192.0.2.2", "fault: the domain's mail exchanger is this host");
        check("10 a none, 20 b 192.0.2.9", "fault: none of the domain's mail exchangers has an address");
    }

    #[test]
    fn ourselves_are_found_wherever_in_a_long_list() {
        let host = |number: u16| {
            let name = if number == 40 { "us.example".to_owned() } else { format!("h{number}.example") };
            MailHost { name: domain(&name), preference: number, implicit: false }
        };
        let preferred = |list: std::ops::Range<u16>| {
            preferred_over_us(list.map(host).collect(), |name| *name == domain("us.example"))
        };
        let hosts = preferred(0..60).expect("hosts");
        assert_eq!(hosts, (0..40).map(host).collect::<Vec<_>>());
        for turn in 0..9 {
            assert!(
                share_of(hosts.clone(), 32, turn).tried.iter().all(|host| host.preference < 40),
                "{turn}"
            );
        }
        assert_eq!(preferred(40..60), Err(RouteFault::Ourselves));
        assert_eq!(preferred(41..60).map(|hosts| hosts.len()), Ok(19));
    }

    #[test]
    fn what_is_no_hosts_address_is_dropped() {
        check("10 a 0.0.0.0+::+192.0.2.1, 20 b 224.0.0.1+255.255.255.255+ff02::1", "a=192.0.2.1");
        check("10 a ::ffff:192.0.2.1", "a=192.0.2.1");
        check("10 a ::ffff:0.0.0.0", "fault: none of the domain's mail exchangers has an address");
        check("10 a ::ffff:192.0.2.9", "fault: the domain's mail exchanger is this host");
    }

    #[test]
    fn no_address_is_final_only_when_dns_said_so() {
        check("10 a none, 20 b none", "fault: none of the domain's mail exchangers has an address");
        check("10 a none, 20 b servfail", "fault: the look-up failed: b: SERVFAIL");
        check("0 a none", "fault: the domain has no mail exchanger and no address");
    }
}
