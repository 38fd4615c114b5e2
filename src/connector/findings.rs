//! What an inbound connector makes of a message's header section: edits, and what is required of the way the message
//! leaves.

use std::cmp::Reverse;

use super::headers::{HeaderHandling, HeaderTally};
use super::onward::OnwardDemand;
use super::pattern::DomainPattern;
use super::raise::matching;
use super::table::Inbound;
use crate::mail::{Domain, Edit};

/// What follows from a message's header section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderFindings {
    /// The edits, in order, without overlaps.
    pub edits: Vec<Edit>,
    /// What was removed and promoted.
    pub tally: HeaderTally,
    /// What is required of the way out.
    pub demand: OnwardDemand,
}

impl Inbound {
    /// Whether a message's header section must be complete before any of it is stored.
    #[must_use]
    pub fn reads_header(&self) -> bool {
        self.headers != HeaderHandling::Preserve || self.arrival_header || !self.raise.is_empty()
    }

    /// What happens to the header fields of a message that comes from this organisation, as far as the client says so.
    #[must_use]
    pub fn handling(&self, originator: Option<&Domain>) -> HeaderHandling {
        let named =
            || originator.is_some() && DomainPattern::closest(&self.originators, originator).is_some();
        match self.headers {
            HeaderHandling::Promote if !self.originators.is_empty() && !named() => HeaderHandling::Firewall,
            handling @ (HeaderHandling::Preserve | HeaderHandling::Firewall | HeaderHandling::Promote) => {
                handling
            }
        }
    }

    /// What follows from a header section, handled like this; for one that is not read, an empty one. `own`: the server's
    /// name.
    #[must_use]
    pub fn find(&self, section: &[u8], own: &Domain, handling: HeaderHandling) -> HeaderFindings {
        let change = handling.arriving(section, own, self.arrival_header);
        let (matched, removed) = matching(&self.raise, section);
        let demand = OnwardDemand::joined(self.onward, &matched);
        HeaderFindings { edits: merged(change.edits, removed), tally: change.tally, demand }
    }
}

/// The edits of both lists, in order. Where two overlap, the larger one includes the other.
fn merged(mut edits: Vec<Edit>, more: Vec<Edit>) -> Vec<Edit> {
    if more.is_empty() {
        return edits;
    }
    edits.extend(more);
    // What is only inserted comes before what replaces the octets there.
    edits.sort_by_key(|edit| (edit.at.start, !edit.at.is_empty(), Reverse(edit.at.end)));
    let mut kept_to = 0;
    edits.retain(|edit| {
        let apart = edit.at.start >= kept_to;
        kept_to = kept_to.max(edit.at.end);
        apart
    });
    edits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{MessageMarker, Onward, RaiseRule};
    use crate::mail::edited;

    #[track_caller]
    fn check(headers: HeaderHandling, section: &str, expected: &str) {
        let marker = |name: &str| MessageMarker::Field { name: name.into(), value: None };
        let rule = |name: &str| RaiseRule {
            name: name.into(),
            marker: marker(name),
            to: Onward::Sealed,
            remove: true,
        };
        let raise =
            ["X-Seal", "X-MS-Exchange-Organization-Seal", "X-MS-Exchange-CrossPremises-Seal"].map(rule);
        let connector = Inbound { raise: raise.into(), headers, ..Inbound::new("in", Vec::new()) };
        let section = section.replace('|', "\r\n");
        let own = Domain::parse("gw.test").expect("a domain");
        let found = connector.find(section.as_bytes(), &own, headers);
        let text = String::from_utf8(edited(section.as_bytes(), &found.edits)).expect("text");
        assert_eq!(text.replace("\r\n", "|"), expected, "{section:?}");
        assert_eq!(found.demand.level, Onward::Sealed);
    }

    #[test]
    fn a_field_may_be_a_marker_and_be_stripped_or_promoted() {
        let section =
            "A: b|X-Seal: 1|X-MS-Exchange-Organization-Seal: 2|X-MS-Exchange-CrossPremises-Seal: 3|C: d||";
        check(HeaderHandling::Preserve, section, "A: b|C: d||");
        check(HeaderHandling::Firewall, section, "A: b|C: d||");
        check(HeaderHandling::Promote, section, "A: b|C: d||");
    }

    #[test]
    fn only_the_organisations_that_are_named_are_promoted() {
        let domain = |name: &str| Domain::parse(name).expect("a domain");
        let pattern = DomainPattern::parse("contoso.test").expect("a pattern");
        let any = Inbound { headers: HeaderHandling::Promote, ..Inbound::new("in", Vec::new()) };
        let named = Inbound { originators: vec![pattern], ..any.clone() };
        assert_eq!(any.handling(None), HeaderHandling::Promote);
        assert_eq!(named.handling(Some(&domain("contoso.test"))), HeaderHandling::Promote);
        assert_eq!(named.handling(Some(&domain("evil.test"))), HeaderHandling::Firewall);
        assert_eq!(named.handling(None), HeaderHandling::Firewall);
    }
}
