//! Connectors to paste for domains that could be forced: made from the connector that serves a domain today, and checked as
//! part of the file before anybody sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::fault::Faults;
use super::keys::{Entry as _, Key, OutboundEntry};
use super::load::{base_of, load_text, text_of};
use super::schema;
use crate::connector::{Arrival, DomainPattern, Generation, Mode, Outbound, Table, choose};
use crate::mail::Domain;
use crate::trace::{ForcibleDemand, ForcibleDomain};

/// A configuration to which connectors could be added.
pub struct AdoptionFile {
    path: PathBuf,
    text: String,
    table: Table,
    /// The keys of each outbound connector that one for one of its domains has too, as they are written.
    copied: BTreeMap<String, Vec<String>>,
    /// Names of connectors, which no other one may have.
    names: BTreeSet<String>,
}

/// What can be done about a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// This connector, in audit, passes the check together with the file and with those for the domains before it.
    Connector(String),
    /// There is none to paste, for this reason.
    Not(String),
}

/// A connector that is to be checked.
struct AdoptionDraft {
    /// Its domain's place.
    place: usize,
    text: String,
}

/// The checks of connectors, each together with the file and those that have passed.
struct AdoptionTrial<'a> {
    path: &'a Path,
    passed: String,
    answers: Vec<Adoption>,
    checks_left: usize,
}

impl AdoptionFile {
    /// Reads a configuration.
    ///
    /// # Errors
    /// As for [`super::load`].
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let text = text_of(path)?;
        let config = load_text(&text, base_of(path), path)?;
        let table = config.table(Generation(1));
        let inbound = table.inbound.iter().map(|one| one.name.to_string());
        let names = inbound.chain(table.outbound.iter().map(|one| one.name.to_string())).collect();
        let copied = schema::parse(&text).map(|file| copied(&file, &text)).unwrap_or_default();
        Ok(Self { path: path.to_owned(), text, table, copied, names })
    }

    /// What can be done about each of these domains.
    #[must_use]
    pub fn adopt(&self, domains: &[ForcibleDomain]) -> Vec<Adoption> {
        let mut names = self.names.clone();
        let mut answers = Vec::with_capacity(domains.len());
        // Connectors that are made from the same one pass together, or have the same fault.
        let mut groups: BTreeMap<(&str, u8), Vec<AdoptionDraft>> = BTreeMap::new();
        for (place, one) in domains.iter().enumerate() {
            match self.serving(&one.domain) {
                Ok(connector) => {
                    let name = free_name(&one.domain, &mut names);
                    let text = self.written(one, connector, &name);
                    let alike = (&*connector.name, kind(&one.demand));
                    groups.entry(alike).or_default().push(AdoptionDraft { place, text });
                    answers.push(Adoption::Not(String::new()));
                }
                Err(why) => answers.push(Adoption::Not(why)),
            }
        }
        let (path, passed) = (self.path.as_path(), self.text.clone());
        let mut trial = AdoptionTrial { path, passed, answers, checks_left: CHECKS_MAX };
        for drafts in groups.into_values() {
            trial.add_alike(&drafts);
        }
        trial.answers
    }

    /// The connector that serves a domain and could give way to one that forces TLS for it; else why there is none.
    fn serving(&self, name: &str) -> Result<&Outbound, String> {
        if name.starts_with('[') {
            return Err("an address literal, which no connector can name".to_owned());
        }
        let domain =
            Domain::parse(name).map_err(|fault| format!("no domain that a connector can name: {fault}"))?;
        let arrivals = self.table.inbound.iter().map(|one| Arrival::By(&one.name)).chain([Arrival::Ours]);
        let choices: Vec<_> =
            arrivals.filter_map(|arrival| choose(&self.table, Some(&domain), arrival)).collect();
        let serving: BTreeSet<&str> = choices.iter().map(|choice| &*choice.connector.name).collect();
        let named = |name: &&str| self.table.outbound.iter().find(|one| *one.name == **name);
        let mut all = serving.iter().filter_map(named);
        let (Some(first), None) = (all.next(), all.next()) else {
            let names: Vec<&str> = serving.into_iter().collect();
            return Err(if names.is_empty() {
                "no connector serves it any more".to_owned()
            } else {
                let names = names.join(", ");
                format!("served by {names}, depending on how its mail arrives: decide for each of them")
            });
        };
        if first.is_enforced() {
            return Err(format!("connector {} forces it by now", first.name));
        }
        if first.forced().is_some() && first.mode == Mode::Audit {
            return Err(format!("connector {} has it in audit: remove mode there to enforce it", first.name));
        }
        let has_it = choices.iter().any(|choice| matches!(choice.pattern, DomainPattern::Exact(_)));
        if has_it {
            return Err(format!("connector {} has it already: write tls = \"forced\" there", first.name));
        }
        Ok(&**first)
    }

    /// The connector for a domain. In audit: nothing is withheld until its owner has seen that it holds.
    fn written(&self, one: &ForcibleDomain, serving: &Outbound, name: &str) -> String {
        let mut lines = vec![
            "[[outbound]]".to_owned(),
            format!("name = \"{name}\""),
            format!("domains = [\"{}\"]", one.domain),
        ];
        lines.extend(self.copied.get(&*serving.name).into_iter().flatten().cloned());
        lines.push("tls = \"forced\"".to_owned());
        match &one.demand {
            ForcibleDemand::Identity(names) => {
                lines.push("require = \"identity\"".to_owned());
                if !names.is_empty() {
                    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                    lines.push(format!("peer_names = [{}]", names.join(", ")));
                }
                lines.push(TRUST.to_owned());
            }
            ForcibleDemand::Chain => lines.extend(["require = \"chain\"".to_owned(), TRUST.to_owned()]),
            ForcibleDemand::Encryption => lines.push("require = \"encryption\"".to_owned()),
        }
        lines.push("mode = \"audit\"".to_owned());
        lines.join("\n")
    }
}

impl AdoptionTrial<'_> {
    /// Adds connectors that are made alike. If neither the first nor the last one passes, and for the same reason, none does.
    fn add_alike(&mut self, drafts: &[AdoptionDraft]) {
        let [first, between @ .., last] = drafts else { return self.add(drafts) };
        let Some(fault) = self.fault_of(drafts) else { return };
        let (of_first, of_last) =
            (self.fault_of(std::slice::from_ref(first)), self.fault_of(std::slice::from_ref(last)));
        for (draft, fault) in [(first, &of_first), (last, &of_last)] {
            if let Some(fault) = fault {
                self.answer(draft, not_passed(fault));
            }
        }
        if of_first.is_some() && of_first == of_last {
            between.iter().for_each(|draft| self.answer(draft, not_passed(&fault)));
        } else {
            self.add(between);
        }
    }

    /// Adds those that pass, and says of the others why they don't.
    fn add(&mut self, drafts: &[AdoptionDraft]) {
        let Some(fault) = self.fault_of(drafts) else { return };
        match drafts {
            [] => {}
            [draft] => self.answer(draft, not_passed(&fault)),
            _ => {
                let (left, right) = drafts.split_at(drafts.len() / 2);
                self.add(left);
                self.add(right);
            }
        }
    }

    /// Adds all of these, or says what is wrong with some of them.
    fn fault_of(&mut self, drafts: &[AdoptionDraft]) -> Option<String> {
        if self.checks_left == 0 {
            return Some("too many did not pass to check all".to_owned());
        }
        self.checks_left = self.checks_left.saturating_sub(1);
        let mut together = self.passed.clone();
        for draft in drafts {
            together.push_str("\n\n");
            together.push_str(&draft.text);
        }
        together.push('\n');
        if let Err(faults) = load_text(&together, base_of(self.path), self.path) {
            return Some(faults.list().first().map_or_else(String::new, |fault| fault.message.clone()));
        }
        self.passed = together;
        drafts.iter().for_each(|draft| self.answer(draft, Adoption::Connector(draft.text.clone())));
        None
    }

    fn answer(&mut self, draft: &AdoptionDraft, what: Adoption) {
        if let Some(place) = self.answers.get_mut(draft.place) {
            *place = what;
        }
    }
}

fn not_passed(fault: &str) -> Adoption {
    Adoption::Not(format!("a connector for it does not pass the check: {fault}"))
}

/// A number for each kind of demand.
fn kind(demand: &ForcibleDemand) -> u8 {
    match demand {
        ForcibleDemand::Identity(_) => 0,
        ForcibleDemand::Chain => 1,
        ForcibleDemand::Encryption => 2,
    }
}

/// What each outbound connector says beside its domains and TLS, where it can be said of one that forces TLS.
fn copied(file: &schema::File, text: &str) -> BTreeMap<String, Vec<String>> {
    let fits = |key: &Key| {
        let applies = || key.applies.iter().all(|one| one.key != "tls" || one.words.contains(&"forced"));
        !OWN_KEYS.contains(&key.name) && applies()
    };
    let one = |entry: &toml::Spanned<OutboundEntry>| {
        let entry = entry.get_ref();
        let written = OutboundEntry::KEYS.iter().zip(entry.places()).filter(|(key, _)| fits(key));
        let lines =
            written.filter_map(|(key, place)| Some(format!("{} = {}", key.name, text.get(place?.span)?)));
        Some((entry.name.as_ref()?.get_ref().clone(), lines.collect()))
    };
    file.outbound.iter().filter_map(one).collect()
}

/// A name that no connector has. Names of domains are names of connectors too, if they are short enough.
fn free_name(domain: &str, names: &mut BTreeSet<String>) -> String {
    let base: String = domain
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '-' })
        .take(BASE_NAME_MAX)
        .collect();
    let numbered = (2_usize..).map(|number| format!("{base}-{number}"));
    let name = std::iter::once(base.clone()).chain(numbered).find(|name| !names.contains(name));
    let name = name.unwrap_or(base);
    names.insert(name.clone());
    name
}

/// Keys that a connector for one domain has of its own.
const OWN_KEYS: [&str; 9] =
    ["name", "partner", "domains", "cost", "tls", "require", "peer_names", "trust", "mode"];
/// By which certificates are judged where none is required.
const TRUST: &str = "trust = [\"system\"]";
/// How often the file is checked for one answer.
const CHECKS_MAX: usize = 400;
/// Room for a number is left.
const BASE_NAME_MAX: usize = 56;

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[server]\nname = \"gw.test\"\npostmaster = \"postmaster@a.test\"\ndata_dir = \"data\"\n\n\
        [[listener]]\nname = \"in\"\naddress = [\"127.0.0.1:0\"]\ntls = \"off\"\n\n\
        [[inbound]]\nname = \"apps\"\nfrom_domains = [\"*\"]\nfrom_networks = [\"127.0.0.1/32\"]\ntls = \"opportunistic\"\n\
        to_domains = [\"*\"]\n\n";
    const REST: &str = "[[outbound]]\nname = \"rest\"\ndomains = [\"*\"]\ncost = 50\nnext_hop = [\n  \"mx1.provider.test:25\",\n]\n\
        tls = \"opportunistic\"\nremember_tls = true\nconnections = 7\n\n";

    fn seen(domain: &str) -> ForcibleDomain {
        ForcibleDomain {
            domain: domain.to_owned(),
            messages: 1,
            connections: 1,
            quality: "named",
            hosts: Vec::new(),
            demand: ForcibleDemand::Chain,
        }
    }

    fn answers(rest: &str, domains: &[&str]) -> Vec<Adoption> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sealpost.toml");
        std::fs::write(&path, format!("{HEAD}{rest}")).expect("a file");
        let file = AdoptionFile::read(&path).unwrap_or_else(|faults| panic!("{faults}"));
        let domains: Vec<ForcibleDomain> = domains.iter().map(|domain| seen(domain)).collect();
        file.adopt(&domains)
    }

    #[track_caller]
    fn check_not(rest: &str, domain: &str, why: &str) {
        match answers(&format!("{REST}{rest}"), &[domain]).as_slice() {
            [Adoption::Not(words)] => assert!(words.contains(why), "{words}"),
            other => panic!("{other:?}"),
        }
    }

    fn outbound(name: &str, more: &str) -> String {
        format!("[[outbound]]\nname = \"{name}\"\nnext_hop = \"mx\"\n{more}\n\n")
    }

    #[test]
    fn what_can_not_be_adopted_says_why() {
        check_not("", "[192.0.2.7]", "an address literal");
        check_not("", "no domain", "no domain that a connector can name");
        let bank =
            |tls: &str| outbound("bank", &format!("domains = [\"bank.test\", \"*.bank.test\"]\n{tls}"));
        check_not(&bank("tls = \"opportunistic\""), "bank.test", "connector bank has it already");
        check_not(&bank("tls = \"forced\"\nmode = \"audit\""), "bank.test", "connector bank has it in audit");
        check_not(
            &bank("tls = \"forced\"\nmode = \"audit\""),
            "x.bank.test",
            "connector bank has it in audit",
        );
        check_not(&bank("tls = \"forced\""), "x.bank.test", "connector bank forces it by now");
        let by_arrival = "domains = [\"*\"]\ntls = \"opportunistic\"\nfrom_connectors = [\"apps\"]";
        check_not(&outbound("central", by_arrival), "a.test", "served by central, rest, depending on how");
        let log_in = "domains = [\"*.auth.test\"]\ntls = \"opportunistic\"\nfrom_connectors = [\"apps\"]";
        check_not(&outbound("central", log_in), "a.auth.test", "served by central, rest");
    }

    #[test]
    fn the_serving_connectors_keys_are_copied_and_names_are_numbered() {
        let taken = outbound("a.b.test", "domains = [\"other.test\"]\ntls = \"opportunistic\"");
        let long = format!("{0}.{0}.test", "a".repeat(60));
        let all = answers(&format!("{REST}{taken}"), &["a.b.test", "a-b.test", &long, "b.test"]);
        let texts: Vec<&str> = all
            .iter()
            .map(|one| match one {
                Adoption::Connector(text) => text.as_str(),
                Adoption::Not(why) => panic!("{why}"),
            })
            .collect();
        let name = |text: &&str| text.lines().nth(1).expect("a name").to_owned();
        assert_eq!(name(&texts[0]), "name = \"a.b.test-2\"");
        assert_eq!(name(&texts[1]), "name = \"a-b.test\"");
        assert_eq!(
            texts[3],
            "[[outbound]]\nname = \"b.test\"\ndomains = [\"b.test\"]\nnext_hop = [\n  \"mx1.provider.test:25\",\n]\n\
             connections = 7\ntls = \"forced\"\nrequire = \"chain\"\ntrust = [\"system\"]\nmode = \"audit\""
        );
    }

    /// One that can't be added stops none of the others, and all have the reason.
    #[test]
    fn what_does_not_pass_the_check_is_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sealpost.toml");
        std::fs::write(&path, format!("{HEAD}{REST}")).expect("a file");
        let file = AdoptionFile::read(&path).unwrap_or_else(|faults| panic!("{faults}"));
        let named = |domain: &str, name: &str| ForcibleDomain {
            demand: ForcibleDemand::Identity(vec![name.to_owned()]),
            ..seen(domain)
        };
        let domains = [
            named("a.test", "mx.a.test"),
            named("b.test", "not a name"),
            named("c.test", "mx.c.test"),
            named("d.test", "nor this"),
        ];
        let passes: Vec<bool> =
            file.adopt(&domains).iter().map(|one| matches!(one, Adoption::Connector(_))).collect();
        assert_eq!(passes, [true, false, true, false]);
        let all_wrong: Vec<ForcibleDomain> =
            (0..300).map(|number| named(&format!("d{number}.test"), "not a name")).collect();
        for one in file.adopt(&all_wrong) {
            assert!(matches!(&one, Adoption::Not(why) if why.contains("does not pass the check")), "{one:?}");
        }
    }
}
