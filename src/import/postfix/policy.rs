//! TLS policy tables of the SMTP client: which policy holds for a domain, or for each host of a next hop.

use super::super::fault::ImportFault;
use super::super::remark::Leftover;
use super::super::sketch::{Proof, TlsSketch};
use super::level::{Anchors, LevelMeaning, TlsPolicy};
use super::main_cf::ParameterScope;
use super::precedence::{FirstQuestion, by_domain, closest};
use super::table::{Files, KeyKind, TableReading};
use crate::connector::DomainPattern;

/// The policies of one service.
#[derive(Debug)]
pub(super) struct PolicyBook {
    by_domain: Vec<(DomainPattern, TlsPolicy)>,
    /// By next hop, in the order of the tables; none is a policy for every one.
    by_hop: Vec<(Option<String>, TlsPolicy)>,
    pub(super) anchors: Anchors,
}

/// One host of a next hop.
#[derive(Debug)]
pub(super) struct PolicyHost {
    /// As the tables are asked for it.
    pub(super) written: String,
    pub(super) name: String,
}

impl PolicyBook {
    /// `smtp_tls_policy_maps`, or else `smtp_tls_per_site`, which it replaces.
    pub(super) fn read(
        scope: &ParameterScope<'_>,
        files: &Files<'_>,
        remarks: &mut Vec<Leftover>,
    ) -> Result<Self, ImportFault> {
        let maps = scope.list("smtp_tls_policy_maps")?;
        let (setting, maps) = match maps.is_empty() {
            false => ("smtp_tls_policy_maps", maps),
            true => ("smtp_tls_per_site", scope.list("smtp_tls_per_site")?),
        };
        let TableReading { entries, unread } = files.entries(&maps)?;
        for table in &unread {
            // Such a server answers for domains that publish a policy of MTA-STS; whatever else binds is the administrator's.
            let publishes = table.name.starts_with("socketmap:");
            if table.comes_first || !publishes {
                return Err(ImportFault::looser("main.cf", table.remark(setting)));
            }
            remarks.push(Leftover::new(
                setting,
                &table.name,
                "what this server answers (as a rule, MTA-STS of the recipient's domain) is not looked up here, and domains that \
                 only it knows get the usual level",
                "write a connector with tls = \"forced\" and peer_names for each domain that must be held to it",
            ));
        }
        let parse = |key: &str, value: &str| match setting {
            "smtp_tls_per_site" => TlsPolicy::per_site(setting, key, value),
            _ => TlsPolicy::parse(setting, key, value),
        };
        // `*` is no key of a policy table.
        let (stars, entries): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.kind == KeyKind::Text && entry.key == "*");
        for star in stars {
            let why = "a policy table is not asked for \"*\", so it means nothing";
            remarks.push(Leftover::new(setting, format!("* {}", star.value), why, "nothing"));
        }
        let (domains, others) = by_domain(&entries, FirstQuestion::Name);
        if let Some(entry) = others.iter().find(|entry| entry.kind != KeyKind::Text) {
            let remark = Leftover::new(
                setting,
                format!("{} {}", entry.key, entry.value),
                "this key stands for domains that can't be listed",
                "write the domains it is meant for one by one, in a copy of the folder",
            );
            return Err(ImportFault::looser("main.cf", remark));
        }
        let mut book = Self { by_domain: Vec::new(), by_hop: Vec::new(), anchors: Anchors::default() };
        for (pattern, value) in domains {
            let policy = parse(&pattern.to_string(), &value)?;
            book.by_domain.push((pattern, policy));
        }
        for entry in &entries {
            let is_every = entry.kind != KeyKind::Text
                && super::precedence::patterns(entry).is_some_and(|all| all.contains(&DomainPattern::Any));
            if entry.kind == KeyKind::Text || is_every {
                let key = Some(entry.key.clone()).filter(|_| !is_every);
                book.by_hop.push((key, parse(&entry.key, &entry.value)?));
            }
        }
        Ok(book)
    }

    /// The domains that it knows.
    pub(super) fn patterns(&self) -> impl Iterator<Item = &DomainPattern> {
        self.by_domain.iter().map(|(pattern, _)| pattern)
    }

    /// The files of trust anchors that policies name.
    pub(super) fn anchor_files(&self) -> Vec<String> {
        let all = self.by_domain.iter().map(|(_, one)| one).chain(self.by_hop.iter().map(|(_, one)| one));
        let mut named: Vec<String> = Vec::new();
        for path in all.filter_map(TlsPolicy::anchors) {
            if !named.contains(path) {
                named.push(path.clone());
            }
        }
        named
    }

    /// What a connector asks, for the mail exchangers of a pattern or for smart hosts.
    pub(super) fn outcome(
        &self,
        scope: &ParameterScope<'_>,
        pattern: &DomainPattern,
        hops: &[PolicyHost],
    ) -> Result<LevelMeaning, ImportFault> {
        let Some((first, others)) = hops.split_first() else {
            let policy = closest(&self.by_domain, pattern).cloned();
            let policy = policy.map_or_else(|| TlsPolicy::usual(scope), Ok)?;
            return policy.outcome(scope, pattern, None, &self.anchors);
        };
        let of = |hop: &PolicyHost| {
            let policy = self.of_hop(&hop.written).cloned().map_or_else(|| TlsPolicy::usual(scope), Ok)?;
            policy.outcome(scope, pattern, Some(&hop.name), &self.anchors)
        };
        let mut meaning = of(first)?;
        for hop in others {
            let other = of(hop)?;
            if (&other.tls, other.remember, &other.sni) == (&meaning.tls, meaning.remember, &meaning.sni) {
                continue;
            }
            let own = own_name(&meaning.tls, &first.name).filter(|own| {
                own_name(&other.tls, &hop.name).as_ref() == Some(own) && other.sni == meaning.sni
            });
            meaning.tls = own.ok_or_else(|| {
                let all: Vec<&str> = hops.iter().map(|hop| hop.written.as_str()).collect();
                let remark = Leftover::new(
                    "next hop",
                    all.join(", "),
                    "its hosts have different TLS policies, and a connector has one",
                    "give them the same policy, or one next hop, in a copy of the folder",
                );
                ImportFault::looser("main.cf", remark)
            })?;
        }
        Ok(meaning)
    }

    /// The policy of a next hop as it is written: only a plain name has parents.
    fn of_hop(&self, written: &str) -> Option<&TlsPolicy> {
        let as_domain = DomainPattern::parse(written).ok().filter(|_| !written.contains(['[', ':', '*']));
        match as_domain {
            Some(domain) => closest(&self.by_domain, &domain),
            None => {
                let mut all = self.by_hop.iter();
                all.find(|(key, _)| key.as_deref().is_none_or(|key| key == written)).map(|(_, policy)| policy)
            }
        }
    }
}

/// The same demand where each smart host has to present its own name, if that is one of the names it asks for.
fn own_name(tls: &TlsSketch, host: &str) -> Option<TlsSketch> {
    let TlsSketch::Forced(demand) = tls else { return None };
    let Proof::Identity(names) = &demand.require else { return None };
    let has_own = names.is_empty() || names.iter().any(|name| name == host);
    let mut demand = demand.clone();
    demand.require = Proof::Identity(Vec::new());
    has_own.then_some(TlsSketch::Forced(demand))
}
