//! Which events an auditor is shown: those of one partner, and nothing that names others. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::event::RecordedEvent;
use super::scope::ExportScope;
use crate::connector::DecisionRecord;
use crate::seal::Hash;
use crate::trace::RecordedLine;

/// What is looked for, and what was found in a first pass over the events.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    partner: &'a str,
    names: &'a BTreeSet<String>,
    messages: MessageShares,
    /// The same of events that no decision is about, by connector.
    undecided: HashMap<String, MessageShares>,
    /// Connectors of these names that others had: whose an event without a decision is can't be said.
    contested: BTreeSet<String>,
    decisions: BTreeMap<Hash, KnownDecision>,
    gaps: SelectionGaps,
}

/// Messages of the partner, each with its recipients there.
type MessageShares = HashMap<String, HashSet<String>>;

/// What is left out, since it names others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SelectionGaps {
    /// Arrivals of messages that went to others as well.
    pub(super) arrivals: u64,
    /// What happened to messages of the partner at connectors of others.
    pub(super) of_others: u64,
}

/// A decision that was read before.
#[derive(Debug)]
struct KnownDecision {
    record: Option<DecisionRecord>,
    owner: Owner,
}

/// Whose something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The partner's.
    Partner,
    /// The partner's, and it names others.
    Shared,
    /// That of another partner.
    Another,
    /// Nobody's.
    Nobody,
}

impl<'a> Selection<'a> {
    pub(super) fn new(scope: &'a ExportScope) -> Self {
        Self {
            partner: &scope.partner,
            names: &scope.names,
            messages: MessageShares::new(),
            undecided: HashMap::new(),
            contested: BTreeSet::new(),
            decisions: BTreeMap::new(),
            gaps: SelectionGaps::default(),
        }
    }

    /// Looks at an event for the first time.
    pub(super) fn learn(&mut self, line: &RecordedLine<'_>) {
        let Some(event) = read(line) else { return };
        let names = self.names;
        if let Some(KnownDecision { record: Some(record), owner: Owner::Another }) = self.known(line)
            && let Some(name) = record.connector.as_ref().filter(|name| names.contains(*name))
        {
            let name = name.clone();
            self.contested.insert(name);
        }
        if self.owner(&event, line) != Owner::Partner {
            return;
        }
        let Some(id) = event.id else { return };
        let messages = match (event.decision, event.facts.connector) {
            (None, Some(connector)) => self.undecided.entry(connector).or_default(),
            (Some(_), _) | (None, None) => &mut self.messages,
        };
        messages.entry(id).or_default().extend(event.facts.forward_path.map(|path| path.to_lowercase()));
    }

    /// Every event was looked at.
    pub(super) fn learned(&mut self) {
        for (connector, messages) in std::mem::take(&mut self.undecided) {
            if !self.contested.contains(&connector) {
                for (id, recipients) in messages {
                    self.messages.entry(id).or_default().extend(recipients);
                }
            }
        }
    }

    /// The event with its decision, if it is shown. Every event was looked at before.
    pub(super) fn pick(
        &mut self,
        line: &RecordedLine<'_>,
    ) -> Option<(RecordedEvent, Option<DecisionRecord>)> {
        let event = read(line)?;
        if is_of_the_site(&event.event) {
            return Some((event, None));
        }
        let is_shown = match self.owner(&event, line) {
            Owner::Partner => true,
            Owner::Shared => {
                self.gaps.of_others = self.gaps.of_others.saturating_add(1);
                false
            }
            owner @ (Owner::Another | Owner::Nobody) => self.goes_along(&event, owner),
        };
        is_shown.then(|| (event, self.known(line).and_then(|known| known.record.clone())))
    }

    /// How many messages there are.
    pub(super) fn messages(&self) -> usize {
        self.messages.len()
    }

    /// What was left out so far.
    pub(super) fn gaps(&self) -> SelectionGaps {
        self.gaps
    }

    fn owner(&mut self, event: &RecordedEvent, line: &RecordedLine<'_>) -> Owner {
        let (facts, names) = (&event.facts, self.names);
        let is_ours = |name: &Option<String>| name.as_ref().is_some_and(|name| names.contains(name));
        let decided = match event.decision {
            Some(_) => self.known(line).map_or(Owner::Nobody, |known| known.owner),
            None if self.is_undecided_of_partner(event) => Owner::Partner,
            None => Owner::Nobody,
        };
        let is_elsewhere = |name: &Option<String>| name.is_some() && !is_ours(name);
        match decided {
            Owner::Partner if is_elsewhere(&facts.rerouted_from) || is_elsewhere(&facts.rerouted_to) => {
                Owner::Shared
            }
            Owner::Partner => Owner::Partner,
            Owner::Shared | Owner::Another | Owner::Nobody
                if event.event != ACCEPTED && (is_ours(&facts.came_by) || is_ours(&facts.rerouted_from)) =>
            {
                Owner::Shared
            }
            other @ (Owner::Shared | Owner::Another | Owner::Nobody) => other,
        }
    }

    /// Whether it is about a connector of the partner, and says nothing but of that.
    fn is_undecided_of_partner(&self, event: &RecordedEvent) -> bool {
        let connector = event.facts.connector.as_ref();
        UNDECIDED.contains(&event.event.as_str())
            && connector.is_some_and(|name| self.names.contains(name) && !self.contested.contains(name))
    }

    /// Whether an event of a message of the partner says nothing of others.
    fn goes_along(&mut self, event: &RecordedEvent, owner: Owner) -> bool {
        let Some(here) = event.id.as_ref().and_then(|id| self.messages.get(id)) else { return false };
        match event.event.as_str() {
            ACCEPTED => {
                let facts = &event.facts;
                let all = facts.recipient_count.unwrap_or(usize::MAX);
                let is_ours = owner != Owner::Another
                    && facts.recipients.len() == all
                    && facts.recipients.iter().all(|path| here.contains(&path.to_lowercase()));
                if !is_ours {
                    self.gaps.arrivals = self.gaps.arrivals.saturating_add(1);
                }
                is_ours
            }
            "held" | "handled" => true,
            _ => false,
        }
    }

    fn known(&mut self, line: &RecordedLine<'_>) -> Option<&KnownDecision> {
        let (hash, text) = line.decision?;
        let hash = Hash::from_hex(hash)?;
        if self.decisions.len() >= DECISIONS_MAX && !self.decisions.contains_key(&hash) {
            self.decisions.clear();
        }
        let (partner, names) = (self.partner, self.names);
        Some(self.decisions.entry(hash).or_insert_with(|| KnownDecision::of(text, partner, names)))
    }
}

impl KnownDecision {
    fn of(text: &str, partner: &str, names: &BTreeSet<String>) -> Self {
        let record: Option<DecisionRecord> = serde_json::from_str(text).ok();
        let owner = match record.as_ref().map(|record| (&record.partner, &record.connector)) {
            Some((Some(name), _)) if name == partner => Owner::Partner,
            Some((Some(_), _)) => Owner::Another,
            Some((None, Some(connector))) if names.contains(connector) => Owner::Partner,
            Some((None, _)) | None => Owner::Nobody,
        };
        Self { record, owner }
    }
}

/// Whether an event is one of the relay itself, which names nobody.
pub(super) fn is_of_the_site(event: &str) -> bool {
    ["started", "stopped"].contains(&event)
}

fn read(line: &RecordedLine<'_>) -> Option<RecordedEvent> {
    serde_json::from_str(line.line).ok()
}

const ACCEPTED: &str = "accepted";
/// Events about a connector that need no decision. The words of others are for the site itself.
const UNDECIDED: [&str; 5] = ["override", "validated", "partner-changed", "deferred", "failed"];
/// Decisions that are kept in memory, a few KiB each.
const DECISIONS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::UnixMillis;

    /// A connector that decided, and its partner.
    type Decider<'a> = Option<(&'a str, Option<&'a str>)>;
    /// The kind of an event, its facts, and who decided.
    type SampleEvent<'a> = (&'a str, &'a str, Decider<'a>);
    /// Its number and line, and its decision with the hash of that.
    type SampleLine = (u64, String, Option<(String, String)>);

    /// What is shown of these events to the bank, which has the connectors `bank-in` and `bank-out`.
    fn shown(events: &[SampleEvent<'_>]) -> (Vec<u64>, SelectionGaps) {
        let scope = ExportScope {
            partner: "bank".to_owned(),
            connectors: Vec::new(),
            names: ["bank", "bank-in", "bank-out"].map(str::to_owned).into(),
            from: 0,
            to: 0,
            made_at: UnixMillis(0),
        };
        let mut selection = Selection::new(&scope);
        let lines: Vec<SampleLine> = (1..)
            .zip(events)
            .map(|(seq, (event, facts, decided))| {
                let decision = decided.map(|(connector, partner)| {
                    let text = serde_json::json!({ "connector": connector, "partner": partner }).to_string();
                    (Hash::of(text.as_bytes()).to_string(), text)
                });
                let named = decision.as_ref().map(|(hash, _)| format!(r#","decision":"{hash}""#));
                let named = named.unwrap_or_default();
                let line =
                    format!(r#"{{"seq":{seq},"at":0,"event":"{event}","id":"m"{named},"facts":{facts}}}"#);
                (seq, line, decision)
            })
            .collect();
        let mut picked = Vec::new();
        for is_first in [true, false] {
            for (seq, line, decision) in &lines {
                let decision = decision.as_ref().map(|(hash, text)| (hash.as_str(), text.as_str()));
                let line = RecordedLine { seq: *seq, at: 0, line, leaf: None, decision };
                if is_first {
                    selection.learn(&line);
                } else if selection.pick(&line).is_some() {
                    picked.push(*seq);
                }
            }
            selection.learned();
        }
        (picked, selection.gaps())
    }

    #[track_caller]
    fn check(events: &[SampleEvent<'_>], expected: &[u64], (arrivals, of_others): (u64, u64)) {
        assert_eq!(shown(events), (expected.to_vec(), SelectionGaps { arrivals, of_others }), "{events:?}");
    }

    const BANK: Decider<'static> = Some(("bank-out", Some("bank")));
    const SHOP: Decider<'static> = Some(("shop-out", Some("shop")));
    const OWN: Decider<'static> = Some(("anyone", None));

    #[test]
    fn what_another_partner_decided_is_not_shown() {
        let to_bank = r#"{"forward_path":"bob@bank.test"}"#;
        check(&[("delivered", to_bank, BANK), ("delivered", "{}", SHOP)], &[1], (0, 0));
        // Whatever the connector was called.
        check(&[("delivered", to_bank, Some(("bank-out", Some("shop"))))], &[], (0, 0));
        check(&[("delivered", to_bank, Some(("bank-out", None)))], &[1], (0, 0));
        check(&[("delivered", to_bank, Some(("bank", None)))], &[1], (0, 0));
        check(&[("delivered", to_bank, Some(("gone", Some("bank"))))], &[1], (0, 0));
    }

    #[test]
    fn how_mail_of_the_partner_went_on_is_counted() {
        let came = r#"{"came_by":"bank-in"}"#;
        check(
            &[
                ("accepted", "{}", Some(("bank-in", Some("bank")))),
                ("delivered", came, SHOP),
                ("failed", came, OWN),
            ],
            &[1],
            (0, 2),
        );
    }

    #[test]
    fn mail_that_was_rerouted_is_counted() {
        check(
            &[
                ("rerouted", r#"{"rerouted_to":"shop-out"}"#, BANK),
                ("delivered", r#"{"rerouted_from":"bank-out"}"#, SHOP),
                ("delivered", r#"{"rerouted_from":"shop-out"}"#, BANK),
                ("delivered", r#"{"rerouted_from":"bank"}"#, BANK),
                ("rerouted", r#"{"rerouted_to":"bank"}"#, BANK),
            ],
            &[4, 5],
            (0, 3),
        );
    }

    #[test]
    fn events_without_a_decision_are_shown_of_connectors_that_only_the_partner_had() {
        let of = r#"{"connector":"bank-out","forward_path":"bob@bank.test"}"#;
        let undecided = ["override", "validated", "partner-changed", "deferred", "failed"];
        for event in undecided {
            check(&[(event, of, None)], &[1], (0, 0));
            check(&[(event, r#"{"connector":"shop-out"}"#, None)], &[], (0, 0));
        }
        for event in ["alarm", "alarm-cleared", "reloaded", "reported", "session-ended"] {
            check(&[(event, of, None)], &[], (0, 0));
        }
        let others = ("delivered", "{}", Some(("bank-out", Some("shop"))));
        check(&[("deferred", of, None), ("held", "{}", None), others], &[], (0, 0));
        check(&[("deferred", of, None), ("held", "{}", None)], &[1, 2], (0, 0));
    }

    #[test]
    fn when_the_relay_ran_is_shown_to_everybody() {
        let started = r#"{"words":["Sealpost 0.1.0"]}"#;
        let others = ("delivered", "{}", SHOP);
        check(&[("started", started, None), others, ("stopped", "{}", None)], &[1, 3], (0, 0));
    }

    #[test]
    fn an_arrival_goes_along_if_it_names_nobody_else() {
        let delivered = ("delivered", r#"{"forward_path":"bob@bank.test"}"#, BANK);
        let to = |recipients: &str, count: usize| {
            format!(r#"{{"recipients":[{recipients}],"recipient_count":{count}}}"#)
        };
        let (one, both) = (to(r#""Bob@bank.test""#, 1), to(r#""bob@bank.test","eve@shop.test""#, 2));
        check(&[("accepted", &one, OWN), delivered], &[1, 2], (0, 0));
        check(&[("accepted", &both, OWN), delivered], &[2], (1, 0));
        check(&[("accepted", &to(r#""bob@bank.test""#, 2), OWN), delivered], &[2], (1, 0));
        check(&[("accepted", &one, Some(("shop-in", Some("shop")))), delivered], &[2], (1, 0));
    }
}
