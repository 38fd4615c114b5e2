//! Which header fields pass a connector: the header firewall, and cross-premises fields that are promoted. Every other
//! octet stays as it is, and the body is never looked at.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use crate::mail::{Domain, Edit, HeaderField, claims_to_be, header_fields};

/// What a connector does with the header fields that Exchange keeps for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderHandling {
    /// Everything passes octet by octet.
    Preserve,
    /// Fields of Exchange organisations are removed.
    #[default]
    Firewall,
    /// Fields of the organisation become cross-premises fields on the way out, and organisation fields again on the way
    /// in; what else the firewall removes is removed.
    Promote,
}

/// What becomes of a header section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderChange {
    /// The edits, in order, without overlaps.
    pub edits: Vec<Edit>,
    /// The count of what was removed and promoted.
    pub tally: HeaderTally,
}

/// The fields that were removed from a message or promoted, for the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderTally {
    /// Number of fields removed.
    pub stripped: usize,
    /// Number of fields promoted.
    pub promoted: usize,
    /// Names of removed fields, a few of them.
    pub names: Vec<Box<str>>,
}

impl HeaderTally {
    /// Whether nothing was removed or promoted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stripped == 0 && self.promoted == 0
    }

    fn strip(&mut self, field: &HeaderField<'_>) {
        self.stripped = self.stripped.saturating_add(1);
        if self.names.len() < NAMES_MAX && !self.names.iter().any(|name| field.is(name)) {
            let name = String::from_utf8_lossy(field.name);
            self.names.push(name.chars().take(NAME_CHARS_MAX).collect());
        }
    }
}

/// The names, separated by commas.
impl fmt::Display for HeaderTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))
    }
}

/// What becomes of one field.
enum FieldFate {
    Kept,
    Stripped,
    /// This many octets at the start of its name become this prefix.
    Renamed(usize, &'static str),
}

impl HeaderHandling {
    /// The configuration word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Preserve => "preserve",
            Self::Firewall => "firewall",
            Self::Promote => "promote",
        }
    }

    /// What becomes of the header section of a message that comes in. `own`: the server's name. `replaces`: an arrival
    /// field of our own is written, so those that are there already are forged or out of date.
    #[must_use]
    pub fn arriving(self, section: &[u8], own: &Domain, replaces: bool) -> HeaderChange {
        let is_forged = |field: &HeaderField<'_>| {
            (replaces || self != Self::Preserve)
                && field.is(AUTHENTICATION_RESULTS)
                && claims_to_be(field.value, own)
        };
        let fate = |field: &HeaderField<'_>| match self {
            _ if is_forged(field) => FieldFate::Stripped,
            Self::Preserve => FieldFate::Kept,
            Self::Firewall if is_internal(field) || is_cross_premises(field) || is_mark(field) => {
                FieldFate::Stripped
            }
            Self::Promote if is_internal(field) || is_mark(field) => FieldFate::Stripped,
            Self::Promote if is_cross_premises(field) => {
                FieldFate::Renamed(CROSS_PREMISES.len(), ORGANIZATION)
            }
            Self::Firewall | Self::Promote => FieldFate::Kept,
        };
        changed(section, fate, (PROMOTED_MARK, own))
    }

    /// What becomes of the header section of a message that goes out.
    #[must_use]
    pub fn leaving(self, section: &[u8], own: &Domain) -> HeaderChange {
        let organisation: HashSet<Vec<u8>> = match self {
            Self::Promote => header_fields(section)
                .filter_map(|f| Some(of_organisation(&f)?.to_ascii_lowercase()))
                .collect(),
            Self::Preserve | Self::Firewall => HashSet::new(),
        };
        let replaced = |field: &HeaderField<'_>| {
            let rest = field.after_prefix(CROSS_PREMISES);
            rest.is_some_and(|rest| organisation.contains(&rest.to_ascii_lowercase()))
        };
        let fate = |field: &HeaderField<'_>| match self {
            Self::Preserve => FieldFate::Kept,
            Self::Firewall if is_internal(field) || is_cross_premises(field) => FieldFate::Stripped,
            Self::Promote if of_organisation(field).is_some() => {
                FieldFate::Renamed(ORGANIZATION.len(), CROSS_PREMISES)
            }
            Self::Promote if is_internal(field) || replaced(field) => FieldFate::Stripped,
            Self::Promote if !organisation.is_empty() && field.is(PRESERVED_MARK) => FieldFate::Stripped,
            Self::Firewall | Self::Promote => FieldFate::Kept,
        };
        changed(section, fate, (PRESERVED_MARK, own))
    }
}

/// The edits that fates come to. Before the first field that is renamed comes the mark of this server.
fn changed(
    section: &[u8],
    fate: impl Fn(&HeaderField<'_>) -> FieldFate,
    (mark, own): (&str, &Domain),
) -> HeaderChange {
    let mut change = HeaderChange::default();
    for field in header_fields(section) {
        match fate(&field) {
            FieldFate::Kept => {}
            FieldFate::Stripped => {
                change.tally.strip(&field);
                change.edits.push(Edit::removal(field.whole_at()));
            }
            FieldFate::Renamed(octets, prefix) => {
                let is_first = change.tally.promoted == 0;
                let text = if is_first { format!("{mark}: {own}\r\n{prefix}") } else { prefix.to_owned() };
                change.tally.promoted = change.tally.promoted.saturating_add(1);
                change.edits.push(Edit { at: field.name_start_at(octets), text: text.into_bytes() });
            }
        }
    }
    change
}

/// Whether only servers of one Exchange organisation or forest may write it.
fn is_internal(field: &HeaderField<'_>) -> bool {
    field.after_prefix(ORGANIZATION).is_some() || field.after_prefix(FOREST).is_some()
}

/// What follows the prefix of a field of the organisation that can be promoted: the mark itself says how it came here.
fn of_organisation<'a>(field: &HeaderField<'a>) -> Option<&'a [u8]> {
    let name: &'a [u8] = field.name;
    field.after_prefix(ORGANIZATION)?;
    name.get(ORGANIZATION.len()..).filter(|_| !field.is(PROMOTED_MARK))
}

fn is_cross_premises(field: &HeaderField<'_>) -> bool {
    field.after_prefix(CROSS_PREMISES).is_some()
}

/// Whether it tells what a server did with cross-premises fields.
fn is_mark(field: &HeaderField<'_>) -> bool {
    field.is(PRESERVED_MARK) || field.after_prefix(FILTERED_MARKS).is_some()
}

const ORGANIZATION: &str = "X-MS-Exchange-Organization-";
const FOREST: &str = "X-MS-Exchange-Forest-";
const CROSS_PREMISES: &str = "X-MS-Exchange-CrossPremises-";
/// Set by the server that made organisation fields of cross-premises fields.
const PROMOTED_MARK: &str = "X-MS-Exchange-Organization-Cross-Premises-Headers-Promoted";
/// Set by the server that made cross-premises fields of organisation fields.
const PRESERVED_MARK: &str = "X-OrganizationHeadersPreserved";
/// `X-CrossPremisesHeadersFilteredBySendConnector` and others of its kind.
const FILTERED_MARKS: &str = "X-CrossPremisesHeaders";
const AUTHENTICATION_RESULTS: &str = "Authentication-Results";
/// Different names of removed fields that are logged.
const NAMES_MAX: usize = 8;
/// Characters of each.
const NAME_CHARS_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::edited;

    fn own() -> Domain {
        Domain::parse("gw1.contoso.test").expect("a domain")
    }

    /// `|` stands for CRLF.
    #[track_caller]
    fn check(change: impl Fn(&[u8]) -> HeaderChange, section: &str, expected: &str, tally: &str) {
        let section = section.replace('|', "\r\n");
        let found = change(section.as_bytes());
        let text = String::from_utf8(edited(section.as_bytes(), &found.edits)).expect("text");
        assert_eq!(text.replace("\r\n", "|"), expected, "{section:?}");
        let HeaderTally { stripped, promoted, .. } = &found.tally;
        assert_eq!(format!("{stripped} {promoted} {}", found.tally).trim_end(), tally, "{section:?}");
    }

    const FULL: &str = "Received: x|x-ms-exchange-organization-AuthAs: Internal|Subject: a| b|X-MS-Exchange-Forest-A:| b|\
                        X-MS-Exchange-CrossPremises-SCL : -1|X-OrganizationHeadersPreserved: ex|X-Other: y||body";

    #[test]
    fn the_firewall_removes_whole_fields_and_nothing_else() {
        let inbound = |section: &[u8]| HeaderHandling::Firewall.arriving(section, &own(), false);
        let outbound = |section: &[u8]| HeaderHandling::Firewall.leaving(section, &own());
        check(
            inbound,
            FULL,
            "Received: x|Subject: a| b|X-Other: y||body",
            "4 0 x-ms-exchange-organization-AuthAs, X-MS-Exchange-Forest-A, X-MS-Exchange-CrossPremises-SCL, \
             X-OrganizationHeadersPreserved",
        );
        check(
            outbound,
            FULL,
            "Received: x|Subject: a| b|X-OrganizationHeadersPreserved: ex|X-Other: y||body",
            "3 0 x-ms-exchange-organization-AuthAs, X-MS-Exchange-Forest-A, X-MS-Exchange-CrossPremises-SCL",
        );
        let plain =
            "Received: x|X-MS-Exchange-SenderADCheck: 1|X-MS-Has-Attach:||X-MS-Exchange-Organization-A: b|";
        check(inbound, plain, plain, "0 0");
        // However a name is written, some receiver may read it.
        check(
            inbound,
            "X-MS-Exchange-Organization-A| : b|X-MS-Exchange-Forest-B\t:c|X-MS-Exchange-Forest-C|D: e||",
            "D: e||",
            "3 0 X-MS-Exchange-Organization-A, X-MS-Exchange-Forest-B, X-MS-Exchange-Forest-C",
        );
        // The same field twice, one that is only a prefix, and a section without an end.
        check(
            inbound,
            "X-MS-Exchange-Organization-A: 1|X-MS-EXCHANGE-ORGANIZATION-A: 2|X-MS-Exchange-Organization: 3|A: b",
            "X-MS-Exchange-Organization: 3|A: b",
            "2 0 X-MS-Exchange-Organization-A",
        );
    }

    #[test]
    fn a_dot_before_a_name_does_not_hide_it() {
        let section = ".X-MS-Exchange-Organization-A: b|. c|..X-MS-Exchange-Forest-B: c|D: e|.X-MS-Exchange-CrossPremises-A: f||";
        let stripped = "..X-MS-Exchange-Forest-B: c|D: e||";
        let names = "X-MS-Exchange-Organization-A, X-MS-Exchange-CrossPremises-A";
        let arriving = |section: &[u8]| HeaderHandling::Firewall.arriving(section, &own(), false);
        check(arriving, section, stripped, &format!("2 0 {names}"));
        check(
            |section| HeaderHandling::Firewall.leaving(section, &own()),
            section,
            stripped,
            &format!("2 0 {names}"),
        );
        check(
            |section| HeaderHandling::Promote.leaving(section, &own()),
            section,
            "X-OrganizationHeadersPreserved: gw1.contoso.test|X-MS-Exchange-CrossPremises-A: b|. c|\
             ..X-MS-Exchange-Forest-B: c|D: e||",
            "1 1 X-MS-Exchange-CrossPremises-A",
        );
        check(
            arriving,
            ".Authentication-Results: gw1.contoso.test; x-tls=pass|D: e||",
            "D: e||",
            "1 0 Authentication-Results",
        );
    }

    #[test]
    fn preserved_is_octet_by_octet() {
        check(|section| HeaderHandling::Preserve.arriving(section, &own(), false), FULL, FULL, "0 0");
        check(|section| HeaderHandling::Preserve.leaving(section, &own()), FULL, FULL, "0 0");
    }

    #[test]
    fn promotion_turns_fields_into_their_counterparts() {
        check(
            |section| HeaderHandling::Promote.leaving(section, &own()),
            "A: b|X-MS-Exchange-CrossPremises-AuthAs: old|X-MS-Exchange-CrossPremises-B: kept|\
             X-MS-Exchange-Organization-AuthAs:| Internal|X-MS-Exchange-Organization-SCL: -1|X-MS-Exchange-Forest-A: b|\
             X-MS-Exchange-Organization-Cross-Premises-Headers-Promoted: ex|X-OrganizationHeadersPreserved: ex||",
            "A: b|X-MS-Exchange-CrossPremises-B: kept|X-OrganizationHeadersPreserved: gw1.contoso.test|\
             X-MS-Exchange-CrossPremises-AuthAs:| Internal|X-MS-Exchange-CrossPremises-SCL: -1||",
            "4 2 X-MS-Exchange-CrossPremises-AuthAs, X-MS-Exchange-Forest-A, \
             X-MS-Exchange-Organization-Cross-Premises-Headers-Promoted, X-OrganizationHeadersPreserved",
        );
        check(
            |section| HeaderHandling::Promote.arriving(section, &own(), false),
            "X-MS-Exchange-Organization-AuthAs: forged|A: b|X-MS-Exchange-CrossPremises-AuthAs: Internal|\
             X-OrganizationHeadersPreserved: ex||",
            "A: b|X-MS-Exchange-Organization-Cross-Premises-Headers-Promoted: gw1.contoso.test|\
             X-MS-Exchange-Organization-AuthAs: Internal||",
            "2 1 X-MS-Exchange-Organization-AuthAs, X-OrganizationHeadersPreserved",
        );
        let untouched = "A: b|X-OrganizationHeadersPreserved: ex||";
        check(|section| HeaderHandling::Promote.leaving(section, &own()), untouched, untouched, "0 0");
    }

    #[test]
    fn what_goes_out_and_comes_back_is_what_was_there() {
        let section = "A: b|X-MS-Exchange-Organization-AuthAs:| Internal|C: d||".replace('|', "\r\n");
        let out = HeaderHandling::Promote.leaving(section.as_bytes(), &own());
        let sent = edited(section.as_bytes(), &out.edits);
        let back = HeaderHandling::Promote.arriving(&sent, &own(), false);
        let text = String::from_utf8(edited(&sent, &back.edits)).expect("text");
        let mark = "X-MS-Exchange-Organization-Cross-Premises-Headers-Promoted: gw1.contoso.test\r\n";
        assert_eq!(text.replace(mark, ""), section);
    }

    #[test]
    fn forged_arrival_fields_are_removed() {
        let forged = "Authentication-Results: GW1.contoso.test; x-tls=pass|Authentication-Results: other.test; spf=pass||";
        let kept = "Authentication-Results: other.test; spf=pass||";
        for (handling, replaces) in [(HeaderHandling::Firewall, false), (HeaderHandling::Preserve, true)] {
            let change = |section: &[u8]| handling.arriving(section, &own(), replaces);
            check(change, forged, kept, "1 0 Authentication-Results");
        }
        check(|section| HeaderHandling::Preserve.arriving(section, &own(), false), forged, forged, "0 0");
    }

    #[test]
    fn names_in_the_log_are_few_and_short() {
        let fields: String =
            (0..50).map(|n| format!("X-MS-Exchange-Forest-{n}{}: x\r\n", "y".repeat(200))).collect();
        let change = HeaderHandling::Firewall.arriving(fields.as_bytes(), &own(), false);
        assert_eq!((change.tally.stripped, change.tally.names.len()), (50, NAMES_MAX));
        assert!(change.tally.to_string().len() < 600);
    }

    const PIECES: &[&str] = &[
        "X-MS-Exchange-Organization-A",
        "x-ms-exchange-FOREST-b",
        "X-MS-Exchange-CrossPremises-A",
        "Subject",
        "Received",
        "X-MS-Exchange-Organization",
        ":",
        " :",
        " ",
        "\t",
        "\r\n",
        "\r\n",
        "\r\n ",
        "value",
        "\u{e9}",
        ".",
        "..",
        "\r\n.",
    ];

    proptest! {
        #[test]
        fn nothing_that_is_forbidden_is_left_however_it_is_written(
            pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40),
            body in "(X-MS-Exchange-Organization-A: b\r\n){0,2}",
        ) {
            let text = pieces.concat();
            // A line with one dot would be the end of the message.
            let lines: Vec<&str> = text.split("\r\n").filter(|line| !matches!(*line, "" | ".")).collect();
            let section = format!("{}\r\n\r\n", lines.join("\r\n"));
            let message = format!("{section}{body}");
            let found = HeaderHandling::Firewall.arriving(message.as_bytes(), &own(), false);
            let after = String::from_utf8(edited(message.as_bytes(), &found.edits)).expect("text");
            let left = after.strip_suffix(&format!("\r\n{body}"));
            prop_assert!(left.is_some() || section == "\r\n\r\n", "the body is as it was: {:?}", after);
            for line in left.unwrap_or_default().split("\r\n") {
                let line = line.strip_prefix('.').unwrap_or(line).to_ascii_lowercase();
                let forbidden = [ORGANIZATION, FOREST, CROSS_PREMISES].map(str::to_ascii_lowercase);
                prop_assert!(!forbidden.iter().any(|prefix| line.starts_with(prefix)), "{:?}", after);
            }
            let again = HeaderHandling::Firewall.arriving(after.as_bytes(), &own(), false);
            prop_assert!(again.edits.is_empty());
            // What is kept is kept in its order, octet by octet.
            let mut rest = message.chars();
            prop_assert!(after.chars().all(|c| rest.any(|other| other == c)));
        }
    }
}
