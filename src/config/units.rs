//! Parses durations, sizes, addresses and words as written in the file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::{IpNet, Ipv4Net};

use crate::connector::{Pin, SmartHost, SmartHostName};
use crate::mail::{Domain, DomainFault, UnixMillis};

/// Why a value is not valid; the text says what to write.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnitFault {
    #[error(
        "\"{0}\" is not a valid duration; write a number and a unit, as \"90s\", \"15m\", \"1h 30m\" or \"2d\""
    )]
    Duration(String),
    #[error("a duration of zero is not possible here; write one such as \"1s\"")]
    ZeroDuration,
    #[error("\"{0}\" is not a valid wait; write a duration, or a duration and how often, as \"1m x4\"")]
    Wait(String),
    #[error("\"{0}\" is not a valid size; write a number and a unit, as \"64KiB\" or \"150MiB\"")]
    Size(String),
    #[error("a size of zero would let nothing pass; write one such as \"64KiB\"")]
    ZeroSize,
    #[error("\"{0}\" is not an address with a port; write \"192.0.2.1:{1}\" or \"[2001:db8::1]:{1}\"")]
    Socket(String, u16),
    #[error("\"{0}\" is not a valid network; write \"192.0.2.0/24\", \"2001:db8::/32\" or one address")]
    Network(String),
    #[error("\"{0}\" has bits set behind its prefix; write \"{1}\" for the network, or only the address")]
    NetworkBits(String, IpNet),
    #[error(
        "\"{text}\" can be read in two ways: write \"[{host}]:{port}\" for port {port} of {host}, or \"[{text}]:{usual}\" for \
         port {usual} of {text}"
    )]
    Ambiguous { text: String, host: Ipv6Addr, port: u16, usual: u16 },
    #[error("\"{0}\" is IPv4 written as IPv6, which no connection shows; write \"{1}\"")]
    Mapped(String, String),
    #[error("no client connects from \"{0}\"; write the clients' networks, as \"192.0.2.0/24\"")]
    NoClient(String),
    #[error("\"{0}\" is not the address of one host; write one, as \"192.0.2.1\"")]
    NoHost(String),
    #[error("\"{0}\" is a link-local address, which is not complete without its interface; {1}")]
    NoScope(String, &'static str),
    #[error("\"{0}\" has no usable port; write a number from 1 to 65535 after the colon")]
    Port(String),
    #[error(
        "\"{0}\" is not a valid smart host ({1}); write \"smtp.partner.example:25\", \"[192.0.2.7]:25\" or \
         \"[2001:db8::7]:25\""
    )]
    Host(String, DomainFault),
}

const PORT_SMTP: u16 = 25;
const PORT_DNS: u16 = 53;
const MAPPED_BITS: u8 = 96;
const WAITS_MAX: usize = 1000;
const DAY_BYTES: usize = 10;

/// A duration greater than zero.
pub(super) fn duration(text: &str) -> Result<Duration, UnitFault> {
    let duration = humantime::parse_duration(text).map_err(|_| UnitFault::Duration(text.to_owned()))?;
    if duration.is_zero() { Err(UnitFault::ZeroDuration) } else { Ok(duration) }
}

/// A duration as it could be written, so that what is shown is what the file may say: `90d`, `1h 30m`.
pub(super) fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / DAY_SECONDS, "d"),
        (seconds % DAY_SECONDS / HOUR_SECONDS, "h"),
        (seconds % HOUR_SECONDS / MINUTE_SECONDS, "m"),
        (seconds % MINUTE_SECONDS, "s"),
        (u64::from(duration.subsec_millis()), "ms"),
        (u64::from(duration.subsec_micros() % 1_000), "us"),
        (u64::from(duration.subsec_nanos() % 1_000), "ns"),
    ];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let text: Vec<String> = parts.map(|(number, unit)| format!("{number}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text.join(" ") }
}

const DAY_SECONDS: u64 = 24 * HOUR_SECONDS;
const HOUR_SECONDS: u64 = 60 * MINUTE_SECONDS;
const MINUTE_SECONDS: u64 = 60;

/// One entry of a retry list: `15m`, or `1m x4` for four waits of a minute.
pub(super) fn waits(text: &str) -> Result<Vec<Duration>, UnitFault> {
    let (wait, times) = text.rsplit_once('x').map_or((text, "1"), |(wait, times)| (wait.trim_end(), times));
    let fault = || UnitFault::Wait(text.to_owned());
    let times: usize = times.trim().parse().map_err(|_| fault())?;
    if !(1..=WAITS_MAX).contains(&times) {
        return Err(fault());
    }
    let wait = humantime::parse_duration(wait.trim()).map_err(|_| fault())?;
    if wait.is_zero() { Err(UnitFault::ZeroDuration) } else { Ok(vec![wait; times]) }
}

/// A date, meaning midnight UTC, or a date and time in RFC 3339 format.
pub(super) fn moment(text: &str) -> Result<UnixMillis, String> {
    let midnight = format!("{text}T00:00:00Z");
    let whole = if text.len() == DAY_BYTES { midnight.as_str() } else { text };
    whole
        .parse::<jiff::Timestamp>()
        .ok()
        .map(|stamp| UnixMillis(stamp.as_millisecond()))
        .ok_or_else(|| format!("\"{text}\" is not a valid date; write 2027-01-31 or 2027-01-31T12:00:00Z"))
}

/// `sha256/…`, optionally with `from DATE`, `until DATE` or both.
pub(super) fn pin(text: &str) -> Result<Pin, String> {
    let mut words = text.split_ascii_whitespace();
    let key = words.next().unwrap_or_default();
    let mut pin = Pin::parse(key).map_err(|fault| format!("\"{text}\" is not a valid pin: {fault}"))?;
    while let Some(word) = words.next() {
        let date = words.next().unwrap_or_default();
        let moment = moment(date).map_err(|fault| format!("\"{text}\" is not a valid pin: {fault}"))?;
        match word {
            "from" if pin.from.is_none() => pin.from = Some(moment),
            "until" if pin.until.is_none() => pin.until = Some(moment),
            _ => {
                return Err(format!(
                    "\"{text}\" is not a valid pin: only \"from DATE\" and \"until DATE\" can follow the key, once each"
                ));
            }
        }
    }
    let never = |(from, until): (UnixMillis, UnixMillis)| until <= from;
    if pin.from.zip(pin.until).is_some_and(never) {
        return Err(format!("\"{text}\" is never valid: it ends before it begins"));
    }
    Ok(pin)
}

/// A size in octets, greater than zero.
pub(super) fn size(text: &str) -> Result<u64, UnitFault> {
    let size: ByteSize = text.parse().map_err(|_| UnitFault::Size(text.to_owned()))?;
    if size.as_u64() == 0 { Err(UnitFault::ZeroSize) } else { Ok(size.as_u64()) }
}

/// The address and port of a listener.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, UnitFault> {
    let address: SocketAddr = text.parse().map_err(|_| UnitFault::Socket(text.to_owned(), PORT_SMTP))?;
    with_interface(text, address, "add its number, as \"[fe80::1%2]:25\" (`ip link` shows it)")?;
    Ok(address)
}

/// A source address of connections.
pub(super) fn source_address(text: &str) -> Result<IpAddr, String> {
    let words = "write one of this host's, as \"192.0.2.1\", without port";
    let ip = text.parse().map_err(|_| format!("\"{text}\" is not a valid address; {words}"))?;
    one_host(text, ip, None).map_err(|fault| fault.to_string())?;
    if ip.is_unspecified() {
        return Err(format!(
            "\"{text}\" leaves the choice to the system, as without source_address; remove it, or {words}"
        ));
    }
    without_interface(text, ip).map_err(|fault| fault.to_string())?;
    Ok(ip)
}

/// A smart host that a connection can be made to.
pub(super) fn next_hop(text: &str, usual: u16) -> Result<SmartHost, UnitFault> {
    let host = smart_host(text, usual)?;
    if let SmartHostName::Ip(ip) = host.name {
        one_host(text, ip, Some(host.port))?;
        if ip.is_unspecified() {
            return Err(UnitFault::NoHost(text.to_owned()));
        }
        without_interface(text, ip)?;
    }
    Ok(host)
}

/// Refuses what is not one host's address on one side of a connection. `port` is what the text has beside it.
pub(super) fn one_host(text: &str, ip: IpAddr, port: Option<u16>) -> Result<(), UnitFault> {
    let mapped = match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => ip.to_ipv4_mapped(),
    };
    if let Some(v4) = mapped {
        let instead = port.map_or_else(|| v4.to_string(), |port| format!("{v4}:{port}"));
        return Err(UnitFault::Mapped(text.to_owned(), instead));
    }
    if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(UnitFault::NoHost(text.to_owned()));
    }
    Ok(())
}

/// A link-local address is complete only with an interface (RFC 4007 §6), which this key can't have.
fn without_interface(text: &str, ip: IpAddr) -> Result<(), UnitFault> {
    match ip {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            Err(UnitFault::NoScope(text.to_owned(), "write another address of the host"))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(()),
    }
}

/// The same for a key that can have one.
fn with_interface(text: &str, address: SocketAddr, fix: &'static str) -> Result<(), UnitFault> {
    one_host(text, address.ip(), Some(address.port()))?;
    match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => {
            Err(UnitFault::NoScope(text.to_owned(), fix))
        }
        SocketAddr::V4(_) | SocketAddr::V6(_) => Ok(()),
    }
}

/// A DNS server's address; port 53 by default.
pub(super) fn dns_server(text: &str) -> Result<SocketAddr, UnitFault> {
    certain(text, PORT_DNS)?;
    let address = match text.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, PORT_DNS),
        Err(_) => text.parse().map_err(|_| UnitFault::Socket(text.to_owned(), PORT_DNS))?,
    };
    if address.port() == 0 {
        return Err(UnitFault::Port(text.to_owned()));
    }
    with_interface(text, address, "add its number, as \"[fe80::1%2]:53\" (`ip link` shows it)")?;
    Ok(address)
}

/// An IPv6 address without brackets may end with a port, or with a group of its own.
fn certain(text: &str, usual: u16) -> Result<(), UnitFault> {
    let parts = text.rsplit_once(':').filter(|_| text.parse::<Ipv6Addr>().is_ok());
    let both = parts.and_then(|(host, port)| Some((host.parse().ok()?, port.parse().ok()?)));
    match both {
        Some((host, port)) if port > 0 => {
            Err(UnitFault::Ambiguous { text: text.to_owned(), host, port, usual })
        }
        Some(_) | None => Ok(()),
    }
}

/// A network in prefix notation, or a single address.
pub(super) fn network(text: &str) -> Result<IpNet, UnitFault> {
    let network: IpNet = match text.parse::<IpAddr>() {
        Ok(ip) => IpNet::from(ip),
        Err(_) => text.parse().map_err(|_| UnitFault::Network(text.to_owned()))?,
    };
    if network != network.trunc() {
        return Err(UnitFault::NetworkBits(text.to_owned(), network.trunc()));
    }
    if let Some(v4) = mapped_network(&network) {
        return Err(UnitFault::Mapped(text.to_owned(), v4.to_string()));
    }
    if has_no_client(&network) {
        return Err(UnitFault::NoClient(text.to_owned()));
    }
    Ok(network)
}

/// The IPv4 network that is written as one of IPv6 (RFC 4291 §2.5.5.2); clients are compared by their IPv4 address.
fn mapped_network(network: &IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(v6) = network else { return None };
    let bits = v6.prefix_len().checked_sub(MAPPED_BITS)?;
    Ipv4Net::new(v6.network().to_ipv4_mapped()?, bits).ok()
}

/// Whether no address of a network can be a client's: multicast, broadcast, unspecified.
fn has_no_client(network: &IpNet) -> bool {
    match network {
        IpNet::V4(v4) => {
            let all = |test: fn(&Ipv4Addr) -> bool| test(&v4.network()) && test(&v4.broadcast());
            all(Ipv4Addr::is_multicast)
                || all(Ipv4Addr::is_broadcast)
                || all(|ip| ip.octets().starts_with(&[0]))
        }
        IpNet::V6(v6) => {
            let all = |test: fn(&Ipv6Addr) -> bool| test(&v6.network()) && test(&v6.broadcast());
            all(Ipv6Addr::is_multicast) || all(Ipv6Addr::is_unspecified)
        }
    }
}

/// A smart host: a name or an address, IPv6 in brackets, with an optional port.
pub(super) fn smart_host(text: &str, usual: u16) -> Result<SmartHost, UnitFault> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    certain(text, usual)?;
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(SmartHost { name: SmartHostName::Ip(ip), port: usual });
    }
    let (host, port) = match text.rsplit_once(':') {
        None => (text, usual),
        Some((host, port)) => {
            let port = port.parse().ok().filter(|port| *port > 0);
            (host, port.ok_or_else(|| UnitFault::Port(text.to_owned()))?)
        }
    };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(SmartHost { name: SmartHostName::Ip(ip), port });
    }
    let domain = Domain::parse(host).map_err(|fault| UnitFault::Host(text.to_owned(), fault))?;
    Ok(SmartHost { name: SmartHostName::Name(domain), port })
}

/// The known word that is closest to what was written, if one is close.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Between numbers, closeness says nothing of what was meant.
    if !word.chars().any(char::is_alphabetic) {
        return None;
    }
    let far = word.chars().count().div_ceil(3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of characters to insert, delete or replace (Levenshtein distance).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, x) in a.chars().enumerate() {
        let mut last = index.saturating_add(1);
        let mut next = vec![last];
        for (y, (above_left, above)) in b.iter().zip(row.iter().zip(row.iter().skip(1))) {
            let change = above_left.saturating_add(usize::from(x != *y));
            last = change.min(above.saturating_add(1)).min(last.saturating_add(1));
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_host(text: &str, expected: &str) {
        let got = smart_host(text, 25).map_or_else(|fault| fault.to_string(), |host| host.to_string());
        assert_eq!(got, expected);
    }

    #[test]
    fn smart_hosts() {
        check_host("Smtp.Partner.Example", "smtp.partner.example:25");
        check_host("smtp.partner.example:2525", "smtp.partner.example:2525");
        check_host("192.0.2.7", "[192.0.2.7]:25");
        check_host("192.0.2.7:26", "[192.0.2.7]:26");
        check_host("[192.0.2.7]:26", "[192.0.2.7]:26");
        check_host("2001:db8::1", "[2001:db8::1]:25");
        check_host("[2001:db8::1]:587", "[2001:db8::1]:587");
        check_host("1:2:3:4:5:6:7:8:25", "[1:2:3:4:5:6:7:8]:25");
        check_host("::ffff:192.0.2.1", "[::ffff:192.0.2.1]:25");
        check_host("2001:db8::abcd", "[2001:db8::abcd]:25");
        check_host("[2001:db8::7:25]", "[2001:db8::7:25]:25");
        for text in ["2001:db8::7:25", "2001:db8::1:2:3"] {
            let (host, port) = text.rsplit_once(':').expect("a colon");
            check_host(
                text,
                &format!(
                    "\"{text}\" can be read in two ways: write \"[{host}]:{port}\" for port {port} of {host}, or \
                     \"[{text}]:25\" for port 25 of {text}"
                ),
            );
        }
        check_host(
            "a.example:0",
            "\"a.example:0\" has no usable port; write a number from 1 to 65535 after the colon",
        );
    }

    #[test]
    fn a_duration_is_shown_as_it_could_be_written() {
        for text in ["90d", "1d 12h", "1h 30m", "14d 23h 59m 59s", "500ms", "1s 1ms 20us 3ns", "730d"] {
            let read = duration(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
            assert_eq!(duration_text(read), text);
        }
        assert_eq!(duration_text(Duration::from_secs(7_776_000)), "90d");
        assert_eq!(duration_text(Duration::ZERO), "0s");
        let longest = duration_text(Duration::MAX);
        assert!(longest.starts_with("213503982334601d 7h "), "{longest}");
    }

    #[track_caller]
    fn check_waits(text: &str, expected: Option<&[u64]>) {
        let got = waits(text).ok().map(|w| w.iter().map(Duration::as_secs).collect::<Vec<_>>());
        assert_eq!(got.as_deref(), expected, "{text}");
    }

    #[test]
    fn retry_entries() {
        check_waits("15m", Some(&[900]));
        check_waits("1m x3", Some(&[60, 60, 60]));
        check_waits("1m 30s x2", Some(&[90, 90]));
        check_waits("1mx2", Some(&[60, 60]));
        for bad in ["", "x4", "1m x", "1m x0", "0s", "4", "1m x1001", "1m x-1", "soon"] {
            check_waits(bad, None);
        }
    }

    #[test]
    fn the_nearest_word() {
        assert_eq!(nearest("peer_name", ["peer_names", "name", "port"]), Some("peer_names"));
        assert_eq!(nearest("nmae", ["peer_names", "name", "port"]), Some("name"));
        assert_eq!(nearest("starttls", ["required", "off"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn addresses_that_no_connection_has() {
        let check = |got: Result<String, String>, expected: &str| {
            assert!(got.as_ref().is_err_and(|fault| fault.contains(expected)), "{got:?}: {expected}");
        };
        let network =
            |text: &str| network(text).map(|one| one.to_string()).map_err(|fault| fault.to_string());
        check(network("::ffff:192.0.2.0/120"), "write \"192.0.2.0/24\"");
        check(network("::ffff:192.0.2.1"), "write \"192.0.2.1/32\"");
        for text in ["224.0.0.0/4", "239.1.2.3", "255.255.255.255", "0.0.0.0", "0.0.0.0/8", "::", "ff00::/8"]
        {
            check(network(text), "no client connects from");
        }
        for text in ["0.0.0.0/0", "::/0", "::1", "::/95", "169.254.0.0/16", "fe80::/10", "224.0.0.0/3"] {
            assert!(network(text).is_ok(), "{text}");
        }
        let listen =
            |text: &str| listen_address(text).map(|one| one.to_string()).map_err(|fault| fault.to_string());
        check(listen("[::ffff:127.0.0.1]:25"), "write \"127.0.0.1:25\"");
        check(listen("[fe80::1]:25"), "link-local");
        check(listen("224.0.0.1:25"), "not the address of one host");
        assert_eq!(listen("[fe80::1%2]:25").as_deref(), Ok("[fe80::1%2]:25"));
        assert!(listen("[::]:25").is_ok() && listen("0.0.0.0:25").is_ok());
        let source = |text: &str| source_address(text).map(|one| one.to_string());
        check(source("::ffff:192.0.2.1"), "write \"192.0.2.1\"");
        check(source("0.0.0.0"), "leaves the choice to the system");
        check(source("fe80::1"), "write another address");
        let hop =
            |text: &str| next_hop(text, 25).map(|one| one.to_string()).map_err(|fault| fault.to_string());
        check(hop("[::ffff:192.0.2.1]:26"), "write \"192.0.2.1:26\"");
        check(hop("0.0.0.0"), "not the address of one host");
        check(hop("[fe80::1]:25"), "write another address");
        let dns = |text: &str| dns_server(text).map(|one| one.to_string()).map_err(|fault| fault.to_string());
        check(dns("fe80::1"), "[fe80::1%2]:53");
        check(dns("192.0.2.1:0"), "no usable port");
    }

    #[test]
    fn networks() {
        assert!(network("192.0.2.0/24").is_ok() && network("2001:db8::1").is_ok());
        assert!(network("192.0.2.1/24").is_err() && network("192.0.2.0/33").is_err());
    }
}
