//! The differences between two tables: which connectors changed, and who serves a domain now. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::admin::{Change, ChangeKind, Direction};
use crate::config;
use crate::connector::{Arrival, DomainPattern, Mode, Outbound, Revision, Table, choose};
use crate::mail::Domain;

/// The connectors that were added, changed or removed, by name.
pub(super) fn connectors(old: &Table, new: &Table) -> Vec<Change> {
    let inbound = |table: &Table| table.inbound.iter().map(|c| (Arc::clone(&c.name), c.revision)).collect();
    let outbound = |table: &Table| table.outbound.iter().map(|c| (Arc::clone(&c.name), c.revision)).collect();
    let mut changes = compare(Direction::Inbound, &inbound(old), &inbound(new));
    changes.extend(compare(Direction::Outbound, &outbound(old), &outbound(new)));
    changes
}

type Revisions = BTreeMap<Arc<str>, Revision>;

fn compare(direction: Direction, old: &Revisions, new: &Revisions) -> Vec<Change> {
    let change = |name: &Arc<str>, change| Change { direction, connector: Arc::clone(name), change };
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    let mut changes: Vec<Change> = gone.map(|name| change(name, ChangeKind::Removed)).collect();
    for (name, revision) in new {
        match old.get(name) {
            None => changes.push(change(name, ChangeKind::Added)),
            Some(known) if known != revision => changes.push(change(name, ChangeKind::Changed)),
            Some(_) => {}
        }
    }
    changes
}

/// Who now serves the domains of each old connector that served them, one sentence each. `lanes` is the number of
/// lanes that hold or expect mail, by connector name; domains that are `loosened` are told elsewhere.
pub(super) fn handovers(
    old: &Table,
    new: &Table,
    (lanes, loosened): (&BTreeMap<Arc<str>, usize>, &BTreeSet<LoosenedPart>),
) -> Vec<String> {
    let arrivals: BTreeSet<Arrival<'_>> = old.arrivals().chain(new.arrivals()).collect();
    let mut found = Vec::new();
    for connector in old.outbound.iter().filter(|c| c.mode != Mode::Off) {
        // Grouped by the new connector: most connectors have one answer for all their domains.
        let mut heirs: BTreeMap<(Option<Arc<str>>, Arrival<'_>), Heir<'_>> = BTreeMap::new();
        for pattern in &connector.domains {
            let domain = covered(pattern);
            let now = |arrival| choose(new, domain.as_ref(), arrival).map(|choice| choice.connector);
            let name = |now: &Option<Arc<Outbound>>| now.as_ref().map(|now| Arc::clone(&now.name));
            for arrival in &arrivals {
                let arrives_by = arrival.name();
                if loosened.contains(&(pattern.clone(), arrives_by.map(Arc::from))) {
                    continue;
                }
                let was = |arrival| choose(old, domain.as_ref(), arrival).map(|choice| choice.connector);
                let served = |was: Option<Arc<Outbound>>| was.is_some_and(|was| was.name == connector.name);
                let heir = now(*arrival);
                // What is so for mail in general is not said of each arrival.
                let is_general = *arrival != Arrival::Ours
                    && served(was(Arrival::Ours))
                    && name(&now(Arrival::Ours)) == name(&heir);
                if served(was(*arrival)) && !is_general {
                    heirs
                        .entry((name(&heir), *arrival))
                        .or_insert_with(|| Heir { now: heir, patterns: Vec::new() })
                        .patterns
                        .push(pattern);
                }
            }
        }
        for ((_, arrival), heir) in heirs {
            if heir.now.as_ref().is_none_or(|now| now.name != connector.name) {
                let count = lanes.get(&connector.name).copied().unwrap_or_default();
                found.push(handover_words(connector, (&heir, arrival), count));
            }
        }
    }
    found
}

/// A pattern for which less is required than before; of mail in general, or only of what arrives by this connector.
pub(super) type LoosenedPart = (DomainPattern, Option<Arc<str>>);

/// The connector that now serves some of a connector's domains; `None` if none does.
struct Heir<'a> {
    now: Option<Arc<Outbound>>,
    patterns: Vec<&'a DomainPattern>,
}

fn handover_words(old: &Outbound, (heir, arrival): (&Heir<'_>, Arrival<'_>), lanes: usize) -> String {
    let patterns = &heir.patterns;
    let mut domains: Vec<String> = patterns.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    if patterns.len() > NAMED_MAX {
        domains.push(format!("{} more", patterns.len().saturating_sub(NAMED_MAX)));
    }
    let now = heir.now.as_ref().map_or_else(
        || "no outbound connector serves it now: its mail waits".to_owned(),
        |now| format!("now served by {} ({})", now.name, terms(now)),
    );
    let queued = match lanes {
        0 => String::new(),
        1 => "; 1 lane with queued mail is judged again".to_owned(),
        lanes => format!("; {lanes} lanes with queued mail are judged again"),
    };
    let arriving = arrival.name().map(|name| format!(" arriving by {name}")).unwrap_or_default();
    format!("{}{arriving}: was served by {} ({}), {now}{queued}", domains.join(", "), old.name, terms(old))
}

fn terms(connector: &Outbound) -> String {
    match connector.mode {
        Mode::Enforce => connector.tls_word().to_owned(),
        Mode::Audit | Mode::Off => format!("{}, mode {}", connector.tls_word(), connector.mode.word()),
    }
}

/// A domain that a pattern covers; `None` if it covers every domain, which stands for an address
/// literal.
fn covered(pattern: &DomainPattern) -> Option<Domain> {
    match pattern {
        DomainPattern::Exact(domain) => Some(domain.clone()),
        DomainPattern::Below(parent) => Domain::parse(&format!("any-below.{parent}")).ok(),
        DomainPattern::Any => None,
    }
}

/// The differences from the configuration at start that need a restart, each as an operator finds it in the file. All
/// values in effect are compared, except those declared to be applied by a reload, so no new key can be forgotten here.
pub(super) fn needs_restart(booted: &Value, now: &Value) -> Vec<String> {
    let sections = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (booted, now) = (sections(booted), sections(now));
    let names: BTreeSet<&String> = booted.keys().chain(now.keys()).collect();
    let mut found = Vec::new();
    for section in names {
        match (booted.get(section), now.get(section)) {
            (old, new) if old == new => {}
            (Some(Value::Array(old)), Some(Value::Array(new))) => {
                found.extend(entries_need_restart(section, old, new));
            }
            (old, new) => found.extend(
                changed_keys(section, old, new)
                    .into_iter()
                    .map(|key| format!("[{section}] {key} has changed, which needs a restart")),
            ),
        }
    }
    found
}

/// The same for the entries of a section that can have several; they are told apart by their names.
fn entries_need_restart(section: &str, old: &[Value], new: &[Value]) -> Vec<String> {
    let named = |all: &[Value], name: &str| all.iter().find(|one| entry_name(one) == name).cloned();
    let mut found = Vec::new();
    for entry in new {
        let name = entry_name(entry);
        match named(old, name) {
            Some(open) => found.extend(
                changed_keys(section, Some(&open), Some(entry))
                    .into_iter()
                    .map(|key| format!("{key} of {section} {name} has changed, which needs a restart")),
            ),
            None if config::needs_restart(section, None) => {
                found.push(format!("{section} {name} is new, which needs a restart"));
            }
            None => {}
        }
    }
    for entry in old.iter().filter(|_| config::needs_restart(section, None)) {
        let name = entry_name(entry);
        if named(new, name).is_none() {
            found.push(format!("{section} {name} is gone, which needs a restart; it goes on as it was"));
        }
    }
    found
}

fn entry_name(entry: &Value) -> &str {
    entry.get("name").and_then(Value::as_str).or_else(|| entry.as_str()).unwrap_or_default()
}

/// The keys of a section whose values differ, and that a reload does not apply.
fn changed_keys(section: &str, old: Option<&Value>, new: Option<&Value>) -> Vec<String> {
    let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let (old, new) = (object(old), object(new));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    changed.filter(|key| config::needs_restart(section, Some(key))).cloned().collect()
}

/// Maximum number of domains named in one sentence.
const NAMED_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::connectors::Words;
    use super::super::loosened::loosened;
    use super::*;
    use crate::config::Config;
    use crate::connector::Generation;

    /// A configuration with these outbound connectors: each a name, its domains, and its `tls`.
    fn config(outbound: &[(&str, &str, &str)]) -> Config {
        let mut text = "[server]\nname = \"gw.a.test\"\ndata_dir = \"d\"\npostmaster = \"p@a.test\"\n\
                        [[listener]]\nname = \"in\"\naddress = \"127.0.0.1:25\"\ntls = \"off\"\n\
                        [[inbound]]\nname = \"any\"\nfrom_domains = [\"*\"]\n\
                        from_networks = [\"127.0.0.1\"]\ntls = \"opportunistic\"\nto_domains = [\"*\"]\n"
            .to_owned();
        for (name, domains, tls) in outbound {
            let require = if *tls == "forced" { "require = \"encryption\"\n" } else { "" };
            text += &format!(
                "[[outbound]]\nname = \"{name}\"\ndomains = [{domains}]\nnext_hop = \"mx\"\ntls = \"{tls}\"\n{require}"
            );
        }
        config::load_text(&text, Path::new("."), Path::new("f.toml")).expect("a configuration")
    }

    fn table(config: &Config) -> Table {
        Table::new(Generation(1), config.inbound.clone(), config.outbound.clone())
    }

    #[track_caller]
    fn check(old: &Config, new: &Config, expected: &[&str]) {
        let lanes = BTreeMap::from([("bank".into(), 2_usize)]);
        let (old, new) = ((table(old), Words::of(&old.in_force())), (table(new), Words::of(&new.in_force())));
        let loosened = loosened((&old.0, &old.1), (&new.0, &new.1), &[]);
        let mut lines: Vec<_> = loosened.list.iter().map(|one| format!("LOOSER {}", one.what)).collect();
        lines.extend(handovers(&old.0, &new.0, (&lanes, &loosened.recipients)));
        assert_eq!(lines, expected);
    }

    /// What a reload applies outside of the connectors.
    const APPLIED: &[(&str, &str)] = &[
        ("listener", "certificate"),
        ("listener", "profile"),
        ("queue", "retry"),
        ("queue", "expire"),
        ("queue", "delay_dsn"),
        ("queue", "forced_expire"),
        ("queue", "forced_delay_dsn"),
        ("timeouts", "drain"),
        ("admin", "token_file"),
    ];

    const REST: (&str, &str, &str) = ("rest", "\"*\"", "opportunistic");

    #[test]
    fn who_serves_a_domain_now_is_said() {
        let bank = ("bank", "\"b.test\", \"*.b.test\"", "forced");
        let old = config(&[bank, REST]);
        check(&old, &config(&[bank, REST]), &[]);
        let looser = "LOOSER b.test, *.b.test: outbound mail required TLSv1.2 or later, any certificate by connector bank, \
                      and now TLS if offered by connector rest; weaker: level";
        check(&old, &config(&[REST]), &[looser]);
        check(
            &old,
            &config(&[("bank", "\"b.test\"", "forced"), ("other", "\"*.b.test\"", "forced"), REST]),
            &[
                "*.b.test: was served by bank (forced), now served by other (forced); 2 lanes with queued mail are \
               judged again",
            ],
        );
        check(&config(&[REST]), &old, &[]);
        let gone = config(&[bank, ("to-us", "\"a.test\"", "opportunistic")]);
        check(
            &old,
            &gone,
            &["*: was served by rest (opportunistic), no outbound connector serves it now: its mail waits"],
        );
        let mut audit = config(&[bank, REST]);
        audit.outbound[0].mode = Mode::Audit;
        check(
            &old,
            &audit,
            &[
                "LOOSER b.test, *.b.test: outbound mail required TLSv1.2 or later, any certificate by connector bank, and \
               now in audit: TLSv1.2 or later, any certificate by connector bank; weaker: level",
            ],
        );
        let mut off = config(&[bank, REST]);
        off.outbound[0].mode = Mode::Off;
        check(&old, &off, &[looser]);
    }

    #[test]
    fn what_is_told_is_bounded() {
        let domains: Vec<String> = (0..30).map(|number| format!("\"d{number}.test\"")).collect();
        let old = config(&[("bank", &domains.join(", "), "forced"), REST]);
        let new = config(&[REST]);
        let (was, now) = (Words::of(&old.in_force()), Words::of(&new.in_force()));
        let found = loosened((&table(&old), &was), (&table(&new), &now), &[]);
        let one = found.list.first().expect("one group");
        assert_eq!((found.list.len(), one.domains.len(), one.more), (1, 10, 20));
        assert!(one.what.contains("d17.test and 20 more: outbound mail required TLS"), "{}", one.what);
    }

    #[test]
    fn connectors_are_compared_by_name_and_revision() {
        let old = config(&[("a", "\"a.test\"", "forced"), ("b", "\"b.test\"", "forced")]);
        let new = config(&[("a", "\"a.test\"", "opportunistic"), ("c", "\"b.test\"", "forced")]);
        let found = connectors(&table(&old), &table(&new));
        let lines: Vec<_> = found.iter().map(|one| format!("{} {:?}", one.connector, one.change)).collect();
        assert_eq!(lines, ["b Removed", "a Changed", "c Added"]);
    }

    #[test]
    fn what_cannot_change_at_run_time_is_named() {
        let old = config(&[REST]).in_force();
        let mut new = old.clone();
        assert_eq!(needs_restart(&old, &new), Vec::<String>::new());
        new["server"]["name"] = "other.test".into();
        new["listener"][0]["tls"] = "starttls".into();
        new["listener"][0]["certificate"] = "other".into();
        new["log"]["level"] = "debug".into();
        new["queue"]["expire"] = "1h".into();
        new["outbound"][0]["tls"] = "forced".into();
        new["trust"] = serde_json::json!(["another"]);
        let expected = [
            "tls of listener in has changed, which needs a restart",
            "[log] level has changed, which needs a restart",
            "[server] name has changed, which needs a restart",
        ];
        assert_eq!(needs_restart(&old, &new), expected);
        new["listener"][0]["name"] = "out".into();
        let found = needs_restart(&old, &new);
        for line in [
            "listener out is new, which needs a restart",
            "listener in is gone, which needs a restart; it goes on as it was",
        ] {
            assert!(found.iter().any(|found| found == line), "{found:?}");
        }
    }

    #[test]
    fn every_value_in_effect_is_applied_or_needs_a_restart() {
        let old = config(&[REST]).in_force();
        let mut told = 0;
        for (section, value) in old.as_object().expect("sections") {
            let keys = value.as_array().map_or(value, |entries| entries.first().unwrap_or(value)).as_object();
            for key in keys.into_iter().flat_map(serde_json::Map::keys).filter(|key| *key != "name") {
                let mut new = old.clone();
                let place = &mut new[section];
                let place = if place.is_array() { &mut place[0][key] } else { &mut place[key] };
                *place = "changed".into();
                let found = needs_restart(&old, &new);
                let applied = ["inbound", "outbound", "echo", "watch", "alerts", "reports"]
                    .contains(&section.as_str())
                    || APPLIED.contains(&(section.as_str(), key.as_str()));
                assert_eq!(found.is_empty(), applied, "{section} {key}: {found:?}");
                told += found.len();
            }
        }
        assert!(told > 50, "{told} keys");
    }
}
