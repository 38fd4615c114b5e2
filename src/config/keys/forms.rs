//! The value kinds for hosts, domains, certificates and logs: how each is written and parsed. Simple kinds
//! are in `kinds`.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use ipnet::IpNet;
use serde_json::{Value, json};
use toml::Spanned;
use tracing_subscriber::EnvFilter;

use super::key::{List, Text};
use super::kinds::{Kind, OneOrMany};
use crate::config::fault::Report;
use crate::config::units;
use crate::connector::{DomainPattern, NextHop, OnFailure, PeerName, Pin, SmartHost, Sni};
use crate::mail::{Domain, Extension, Mailbox, UnixMillis, rfc3339};

pub(crate) struct Name;

impl Kind for Name {
    type Written = String;
    type Value = Text;
    const NAME: &'static str = "text";

    fn read(written: &Text, _: &str, report: &mut Report<'_>) -> Option<Text> {
        report.name(written);
        Some(written.clone())
    }

    fn show(value: &Text) -> Value {
        json!(value.get_ref())
    }
}

pub(crate) struct HostName;

impl Kind for HostName {
    type Written = String;
    type Value = Domain;
    const NAME: &'static str = "host name";

    fn read(written: &Text, _: &str, report: &mut Report<'_>) -> Option<Domain> {
        report.domain(written)
    }

    fn show(value: &Domain) -> Value {
        json!(value.as_str())
    }
}

pub(crate) struct Folder;

impl Kind for Folder {
    type Written = String;
    type Value = String;
    const NAME: &'static str = "path";

    fn read(written: &Text, key: &str, report: &mut Report<'_>) -> Option<String> {
        if written.get_ref().is_empty() {
            let message = format!("{key} is empty; write a folder, as \"/var/lib/sealpost\"");
            report.fault(written.span(), message);
        }
        Some(written.get_ref().clone())
    }

    fn show(value: &String) -> Value {
        json!(value)
    }
}

/// A mailbox; it must have a domain.
pub(crate) struct MailboxText;

impl Kind for MailboxText {
    type Written = String;
    type Value = Mailbox;
    const NAME: &'static str = "mailbox";

    fn read(written: &Text, _: &str, report: &mut Report<'_>) -> Option<Mailbox> {
        report.mailbox(written)
    }

    fn show(value: &Mailbox) -> Value {
        json!(value.as_str())
    }
}

/// A date (midnight UTC), or a date and time.
pub(crate) struct Moment;

impl Kind for Moment {
    type Written = String;
    type Value = UnixMillis;
    const NAME: &'static str = "date";

    fn read(written: &Text, _: &str, report: &mut Report<'_>) -> Option<UnixMillis> {
        match units::moment(written.get_ref()) {
            Ok(moment) => Some(moment),
            Err(fault) => {
                report.fault(written.span(), fault);
                None
            }
        }
    }

    fn show(value: &UnixMillis) -> Value {
        json!(rfc3339(*value))
    }
}

/// A text for people, in one line.
pub(crate) struct Remark;

impl Kind for Remark {
    type Written = String;
    type Value = String;
    const NAME: &'static str = "text";

    fn read(written: &Text, key: &str, report: &mut Report<'_>) -> Option<String> {
        let text = written.get_ref().trim();
        if text.is_empty() || text.chars().count() > REMARK_CHARS_MAX || text.contains(char::is_control) {
            let words = format!(
                "{key} must be one line of 1 to {REMARK_CHARS_MAX} characters; write one, or remove it"
            );
            report.fault(written.span(), words);
            return None;
        }
        Some(text.to_owned())
    }

    fn show(value: &String) -> Value {
        json!(value)
    }
}

/// Texts as written, in JSON.
pub(super) fn shown_texts(written: &[Text]) -> Value {
    written.iter().map(|text| json!(text.get_ref())).collect()
}

/// Names of listeners.
pub(crate) struct ListenerNames;

impl Kind for ListenerNames {
    type Written = Vec<Text>;
    type Value = Vec<Text>;
    const NAME: &'static str = "names";

    fn read(written: &List, key: &str, report: &mut Report<'_>) -> Option<Vec<Text>> {
        report.not_empty(written, key, "write the name of a [[listener]], or remove the key to mean all");
        Some(written.get_ref().clone())
    }

    fn show(value: &Vec<Text>) -> Value {
        shown_texts(value)
    }
}

/// Names of inbound connectors.
pub(crate) struct ConnectorNames;

impl Kind for ConnectorNames {
    type Written = Vec<Text>;
    type Value = Vec<Text>;
    const NAME: &'static str = "names";

    fn read(written: &List, key: &str, report: &mut Report<'_>) -> Option<Vec<Text>> {
        report.not_empty(
            written,
            key,
            "write the name of an [[inbound]] connector, or remove the key to mean all mail",
        );
        Some(names_once(written, report))
    }

    fn show(value: &Vec<Text>) -> Value {
        shown_texts(value)
    }
}

/// Names, of which none is listed twice.
pub(super) fn names_once(written: &List, report: &mut Report<'_>) -> Vec<Text> {
    let mut known = BTreeSet::new();
    for name in written.get_ref() {
        if !known.insert(name.get_ref()) {
            report.fault(name.span(), format!("\"{}\" is listed twice; remove one", name.get_ref()));
        }
    }
    written.get_ref().clone()
}

/// What to do if no host meets a forced requirement.
pub(crate) struct FailureRule;

impl Kind for FailureRule {
    type Written = String;
    type Value = OnFailure;
    const NAME: &'static str = "`defer`, `bounce`, `reroute:NAME`";

    fn read(written: &Text, key: &str, report: &mut Report<'_>) -> Option<OnFailure> {
        let text = written.get_ref().as_str();
        if let Some(name) = text.strip_prefix(REROUTE).filter(|name| !name.is_empty()) {
            return Some(OnFailure::Reroute(name.into()));
        }
        let words = [("defer", OnFailure::Defer), ("bounce", OnFailure::Bounce)];
        if text == REROUTE {
            report.fault(written.span(), format!("{key} names no connector; write \"{REROUTE}NAME\""));
            return None;
        }
        let places: Vec<(&str, usize)> =
            words.iter().zip(0..).map(|((word, _), place)| (*word, place)).collect();
        let place = report.word(written, key, &places)?;
        words.into_iter().nth(place).map(|(_, rule)| rule)
    }

    fn show(value: &OnFailure) -> Value {
        match value {
            OnFailure::Defer => json!("defer"),
            OnFailure::Bounce => json!("bounce"),
            OnFailure::Reroute(name) => json!(format!("{REROUTE}{name}")),
        }
    }
}

/// What stands before the connector's name.
const REROUTE: &str = "reroute:";

/// Domain patterns, with their positions.
pub(crate) struct Patterns;

impl Kind for Patterns {
    type Written = Vec<Text>;
    type Value = Vec<(DomainPattern, Range<usize>)>;
    const NAME: &'static str = "domain patterns";

    fn read(written: &List, _: &str, report: &mut Report<'_>) -> Option<Self::Value> {
        Some(report.patterns(written))
    }

    fn show(value: &Self::Value) -> Value {
        value.iter().map(|(pattern, _)| json!(pattern.to_string())).collect()
    }
}

pub(crate) struct Networks;

impl Kind for Networks {
    type Written = Vec<Text>;
    type Value = Vec<IpNet>;
    const NAME: &'static str = "networks";

    fn read(written: &List, key: &str, report: &mut Report<'_>) -> Option<Vec<IpNet>> {
        report.not_empty(written, key, "write a network, or remove the key to mean anywhere");
        let networks = report.items(written.get_ref(), units::network);
        for (network, place) in &networks {
            let wider = networks.iter().find(|(other, _)| other != network && other.contains(network));
            if let Some((wider, _)) = wider {
                report.fault(place.clone(), format!("{network} is within {wider}; remove one"));
            }
        }
        Some(report.distinct(networks))
    }

    fn show(value: &Vec<IpNet>) -> Value {
        texts(value)
    }
}

/// Names of which the certificate must present one.
pub(crate) struct PeerNames;

impl Kind for PeerNames {
    type Written = Vec<Text>;
    type Value = Vec<PeerName>;
    const NAME: &'static str = "peer names";

    fn read(written: &List, key: &str, report: &mut Report<'_>) -> Option<Vec<PeerName>> {
        report.not_empty(written, key, "write the names its certificate presents, or remove the key");
        let read = |text: &str| {
            let name =
                PeerName::parse(text).map_err(|f| format!("\"{text}\" is not a valid peer name: {f}"))?;
            match name {
                PeerName::Ip(ip) => units::one_host(text, ip, None).map_err(|fault| fault.to_string())?,
                PeerName::Exact(_) | PeerName::OneBelow(_) => {}
            }
            Ok::<_, String>(name)
        };
        let names = report.items(written.get_ref(), read);
        Some(report.distinct(names))
    }

    fn show(value: &Vec<PeerName>) -> Value {
        texts(value)
    }
}

/// Pinned keys, each with optional dates.
pub(crate) struct Pins;

impl Kind for Pins {
    type Written = Vec<Text>;
    type Value = Vec<Pin>;
    const NAME: &'static str = "pins";

    fn read(written: &List, key: &str, report: &mut Report<'_>) -> Option<Vec<Pin>> {
        report.not_empty(written, key, "write what `sealpost cert show` prints, or remove the key");
        let pins = report.items(written.get_ref(), units::pin);
        Some(report.distinct(pins))
    }

    fn show(value: &Vec<Pin>) -> Value {
        let date = |word: &str, at: Option<UnixMillis>| {
            at.map_or_else(String::new, |at| format!(" {word} {}", rfc3339(at)))
        };
        let one = |pin: &Pin| json!(format!("{pin}{}{}", date("from", pin.from), date("until", pin.until)));
        value.iter().map(one).collect()
    }
}

/// Texts of which one must match.
pub(crate) struct Lines;

impl Kind for Lines {
    type Written = Vec<Text>;
    type Value = Vec<String>;
    const NAME: &'static str = "texts";

    fn read(written: &List, key: &str, report: &mut Report<'_>) -> Option<Vec<String>> {
        report.not_empty(written, key, "write the texts of which one must be there, or remove the key");
        let read = |text: &str| {
            let words = "an empty text is in no certificate; write what is there, or remove it";
            if text.trim().is_empty() { Err(words) } else { Ok(text.to_owned()) }
        };
        let texts = report.items(written.get_ref(), read);
        Some(report.distinct(texts))
    }

    fn show(value: &Vec<String>) -> Value {
        texts(value)
    }
}

pub(crate) struct Ids;

impl Kind for Ids {
    type Written = Vec<Text>;
    type Value = Vec<Text>;
    const NAME: &'static str = "IDs";

    fn read(written: &List, key: &str, report: &mut Report<'_>) -> Option<Vec<Text>> {
        report.not_empty(written, key, "write \"system\" or the ID of a [trust.ID]");
        Some(written.get_ref().clone())
    }

    fn show(value: &Vec<Text>) -> Value {
        shown_texts(value)
    }
}

/// One certificate ID, or a list of them.
pub(crate) struct IdOrIds;

impl Kind for IdOrIds {
    type Written = OneOrMany;
    type Value = Vec<Text>;
    const NAME: &'static str = "ID, or IDs";

    fn read(written: &Spanned<OneOrMany>, key: &str, report: &mut Report<'_>) -> Option<Vec<Text>> {
        let items = OneOrMany::items(written);
        if items.is_empty() {
            report
                .fault_of_key(written.span(), format!("{key} is empty; write the ID of a [certificate.ID]"));
        }
        Some(items)
    }

    fn show(value: &Vec<Text>) -> Value {
        shown_texts(value)
    }
}

/// SMTP extensions, by EHLO keyword.
pub(crate) struct Keywords;

impl Kind for Keywords {
    type Written = Vec<Text>;
    type Value = Vec<Extension>;
    const NAME: &'static str = "keywords";

    fn read(written: &List, key: &str, report: &mut Report<'_>) -> Option<Vec<Extension>> {
        let words = written.get_ref().iter();
        let mut found: Vec<_> = words.filter_map(|text| report.word(text, key, Extension::ALL)).collect();
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    fn show(value: &Vec<Extension>) -> Value {
        json!(value)
    }
}

/// The addresses a listener binds.
pub(crate) struct Addresses;

impl Kind for Addresses {
    type Written = OneOrMany;
    type Value = Vec<(SocketAddr, Range<usize>)>;
    const NAME: &'static str = "`\"IP:PORT\"`, or a list";

    fn read(written: &Spanned<OneOrMany>, key: &str, report: &mut Report<'_>) -> Option<Self::Value> {
        let items = OneOrMany::items(written);
        if items.is_empty() {
            report.fault_of_key(written.span(), format!("{key} is empty; write one, as \"0.0.0.0:25\""));
        }
        Some(report.items(&items, units::listen_address))
    }

    fn show(value: &Self::Value) -> Value {
        value.iter().map(|(address, _)| json!(address.to_string())).collect()
    }
}

/// A source address, or one per address family.
pub(crate) struct SourceAddresses;

impl Kind for SourceAddresses {
    type Written = OneOrMany;
    type Value = Vec<IpAddr>;
    const NAME: &'static str = "address, or one of each family";

    fn read(written: &Spanned<OneOrMany>, _: &str, report: &mut Report<'_>) -> Option<Vec<IpAddr>> {
        let mut found: Vec<IpAddr> = Vec::new();
        for (address, place) in report.items(&OneOrMany::items(written), units::source_address) {
            if found.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
                let message =
                    "source_address has two addresses of one family; leave one IPv4 and one IPv6 at most";
                report.fault(place, message);
                continue;
            }
            found.push(address);
        }
        Some(found)
    }

    fn show(value: &Vec<IpAddr>) -> Value {
        texts(value)
    }
}

/// `mx` or smart hosts. Default ports are those of SMTP; the connector may change them later.
pub(crate) struct Hosts;

impl Kind for Hosts {
    type Written = OneOrMany;
    type Value = NextHop;
    const NAME: &'static str = "`\"mx\"`, or hosts in order";

    fn read(written: &Spanned<OneOrMany>, key: &str, report: &mut Report<'_>) -> Option<NextHop> {
        if let OneOrMany::One(word) = written.get_ref()
            && word.eq_ignore_ascii_case("mx")
        {
            if word != "mx" {
                report.fault(written.span(), format!("{key} can't be \"{word}\"; did you mean \"mx\"?"));
            }
            return Some(NextHop::Mx { port: PORT_SMTP });
        }
        let items = OneOrMany::items(written);
        if items.is_empty() {
            report.fault_of_key(written.span(), format!("{key} is empty; write \"mx\", or hosts in order"));
            return None;
        }
        if let Some(mx) = items.iter().find(|item| item.get_ref().eq_ignore_ascii_case("mx")) {
            report.fault(mx.span(), "\"mx\" can't be in a list; write next_hop = \"mx\"");
            return None;
        }
        let found = report.items(&items, |text| units::next_hop(text, PORT_SMTP));
        let mut hosts: Vec<SmartHost> = Vec::new();
        for (host, place) in found {
            if hosts.contains(&host) {
                report.fault(place, format!("{host} is listed twice; remove one"));
            }
            hosts.push(host);
        }
        (hosts.len() == items.len()).then_some(NextHop::SmartHosts(hosts))
    }

    fn show(value: &NextHop) -> Value {
        match value {
            NextHop::Mx { .. } => json!("mx"),
            NextHop::SmartHosts(hosts) => texts(hosts),
        }
    }
}

/// The SNI name sent in a handshake.
pub(crate) struct SniName;

impl Kind for SniName {
    type Written = String;
    type Value = Sni;
    const NAME: &'static str = "host name, `\"none\"`";

    fn read(written: &Text, _: &str, report: &mut Report<'_>) -> Option<Sni> {
        if written.get_ref() == "none" { Some(Sni::Nothing) } else { report.domain(written).map(Sni::Name) }
    }

    fn show(value: &Sni) -> Value {
        match value {
            Sni::Host => json!("host"),
            Sni::Name(name) => json!(name.as_str()),
            Sni::Nothing => json!("none"),
        }
    }
}

pub(crate) struct Servers;

impl Kind for Servers {
    type Written = Vec<Text>;
    type Value = Vec<SocketAddr>;
    const NAME: &'static str = "addresses";

    fn read(written: &List, key: &str, report: &mut Report<'_>) -> Option<Vec<SocketAddr>> {
        let instead = "write one, as \"127.0.0.1:53\", or remove the key to ask the system's";
        report.not_empty(written, key, instead);
        let servers = report.items(written.get_ref(), units::dns_server);
        Some(report.distinct(servers))
    }

    fn show(value: &Vec<SocketAddr>) -> Value {
        texts(value)
    }
}

/// A log level, or a filter as `tracing_subscriber::EnvFilter` parses it.
pub(crate) struct Filter;

impl Kind for Filter {
    type Written = String;
    type Value = String;
    const NAME: &'static str = "word or filter";

    fn read(written: &Text, key: &str, report: &mut Report<'_>) -> Option<String> {
        let text = written.get_ref();
        if text.chars().all(|c| c.is_ascii_alphanumeric()) {
            report.word(written, key, LOG_LEVELS)?;
        } else if let Err(fault) = EnvFilter::builder().parse(text) {
            report.fault(
                written.span(),
                format!(
                    "{key} = \"{text}\" is not a valid filter ({fault}); write \"info\" or \
                     \"info,sealpost::listen=debug\""
                ),
            );
            return None;
        }
        Some(text.clone())
    }

    fn show(value: &String) -> Value {
        json!(value)
    }
}

fn texts<T: ToString>(items: &[T]) -> Value {
    items.iter().map(|item| json!(item.to_string())).collect()
}

const LOG_LEVELS: &[(&str, ())] = &[("error", ()), ("warn", ()), ("info", ()), ("debug", ())];
/// Enough for a name, an address and a telephone number.
const REMARK_CHARS_MAX: usize = 200;
const PORT_SMTP: u16 = 25;
