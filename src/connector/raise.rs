//! Rules by which one message raises what is required of the way it leaves (`[[raise]]`). They never lower it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::onward::{Onward, OnwardDemand};
use crate::mail::{Edit, HeaderField, decoded, header_fields, unfolded};

/// A rule: a message with this marker must leave as `to` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RaiseRule {
    /// The rule's name in the configuration.
    pub name: Arc<str>,
    /// What a message must have.
    pub marker: MessageMarker,
    /// What is required of the way it leaves.
    pub to: Onward,
    /// Whether the marker is removed.
    pub remove: bool,
}

/// How a message says that it needs more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum MessageMarker {
    /// A header field of this name; with a text, only if that is its value.
    Field {
        /// The name of the field.
        name: Box<str>,
        /// The value, compared in any case.
        value: Option<Box<str>>,
    },
    /// A text in the subject.
    SubjectTag(Box<str>),
    /// A label: the value of `Sensitivity`, or the name or ID of a label in `msip_labels`.
    Label(Box<str>),
}

impl OnwardDemand {
    /// What an inbound connector requires, raised by the rules that a message matches.
    #[must_use]
    pub fn joined(connector: Onward, matched: &[&RaiseRule]) -> Self {
        let level = matched.iter().map(|rule| rule.to).fold(connector, Onward::max);
        let names: Vec<&str> = matched.iter().map(|rule| &*rule.name).collect();
        Self { level, raised_by: (!names.is_empty()).then(|| names.join(", ").into()) }
    }
}

/// The rules that a header section matches, and the edits that remove their markers.
#[must_use]
pub fn matching<'a>(rules: &'a [RaiseRule], section: &[u8]) -> (Vec<&'a RaiseRule>, Vec<Edit>) {
    if rules.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut matched: Vec<&RaiseRule> = Vec::new();
    let mut edits = Vec::new();
    for field in header_fields(section) {
        let here: Vec<&RaiseRule> = rules.iter().filter(|rule| rule.marker.is_in(&field)).collect();
        edits.extend(removal(&field, here.iter().filter(|rule| rule.remove).map(|rule| &rule.marker)));
        for rule in here {
            if !matched.iter().any(|known| std::ptr::eq(*known, rule)) {
                matched.push(rule);
            }
        }
    }
    (matched, edits)
}

/// Removes the markers from a field: tags from its text, or else the field.
fn removal<'a>(field: &HeaderField<'_>, markers: impl Iterator<Item = &'a MessageMarker>) -> Option<Edit> {
    let mut tags = Vec::new();
    for marker in markers {
        match marker {
            MessageMarker::SubjectTag(tag) => tags.push(&**tag),
            MessageMarker::Field { .. } | MessageMarker::Label(_) => {
                return Some(Edit::removal(field.whole_at()));
            }
        }
    }
    (!tags.is_empty()).then(|| Edit { at: field.value_at(), text: untagged(field.value, &tags) })
}

impl MessageMarker {
    fn is_in(&self, field: &HeaderField<'_>) -> bool {
        match self {
            Self::Field { name, value } => {
                let said = || decoded(field.value);
                field.is(name) && value.as_ref().is_none_or(|value| is_same(&said(), value))
            }
            Self::SubjectTag(tag) => {
                !tag.is_empty() && field.is("Subject") && finds(&decoded(field.value), tag)
            }
            Self::Label(label) => {
                field.is("Sensitivity") && is_same(&decoded(field.value), label)
                    || field.is("msip_labels") && has_label(&unfolded(field.value), label)
            }
        }
    }
}

/// Whether two texts are the same in any case.
fn is_same(text: &str, wanted: &str) -> bool {
    text.trim().to_lowercase() == wanted.trim().to_lowercase()
}

fn finds(text: &str, tag: &str) -> bool {
    text.to_lowercase().contains(&tag.to_lowercase())
}

/// Whether a label of this name or ID is enabled. The field is a list of `MSIP_Label_ID_Key=value`, separated by
/// semicolons.
fn has_label(list: &str, label: &str) -> bool {
    let pairs = || {
        list.split(';').filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let (id, key) = key.trim().strip_prefix("MSIP_Label_")?.rsplit_once('_')?;
            Some((id, key, value.trim()))
        })
    };
    let is_off = |id: &str| {
        pairs()
            .any(|(other, key, value)| other == id && key == "Enabled" && value.eq_ignore_ascii_case("false"))
    };
    pairs().any(|(id, key, value)| {
        (id.eq_ignore_ascii_case(label.trim()) || key == "Name" && is_same(value, label)) && !is_off(id)
    })
}

/// A subject without its tags. Octets that are not part of a tag stay; only where a tag is written in encoded words, or
/// over a line end, the text is encoded again.
fn untagged(value: &[u8], tags: &[&str]) -> Vec<u8> {
    let mut raw = value.to_vec();
    for tag in tags {
        while let Some(at) = found_at(&raw, tag.as_bytes()) {
            raw = cut(&raw, at, tag.len());
        }
    }
    let text = decoded(&raw);
    if !tags.iter().any(|tag| finds(&text, tag)) {
        return raw;
    }
    let mut text = text;
    for tag in tags {
        while let Some(at) =
            text.char_indices().map(|(at, _)| at).find(|at| starts_with(text.get(*at..), tag))
        {
            let rest: String = text.get(at..).unwrap_or_default().chars().skip(tag.chars().count()).collect();
            let start = text.get(..at).unwrap_or_default().trim_end();
            text = [start, rest.trim_start()].join(if start.is_empty() { "" } else { " " });
        }
    }
    encoded(text.trim())
}

fn starts_with(text: Option<&str>, tag: &str) -> bool {
    let start: String = text.unwrap_or_default().chars().take(tag.chars().count()).collect();
    start.to_lowercase() == tag.to_lowercase()
}

fn found_at(value: &[u8], tag: &[u8]) -> Option<usize> {
    value.windows(tag.len().max(1)).position(|window| window.eq_ignore_ascii_case(tag))
}

/// Cuts a tag, and one blank beside it, so that none is left over. A line must not be left with blanks only (RFC 5322
/// §3.2.2).
fn cut(value: &[u8], at: usize, length: usize) -> Vec<u8> {
    let is_blank = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    let (before, after) =
        (value.get(..at).unwrap_or_default(), value.get(at.saturating_add(length)..).unwrap_or_default());
    let (before, after) = match (is_blank(before.last()), is_blank(after.first())) {
        (true, true) => (before, after.get(1..).unwrap_or_default()),
        (true, false) if after.is_empty() || after.starts_with(b"\r\n") => {
            (before.get(..before.len().saturating_sub(1)).unwrap_or_default(), after)
        }
        (true | false, _) => (before, after),
    };
    let joined = [before, after].concat();
    let mut lines = joined.split_inclusive(|octet| *octet == b'\n');
    let mut kept = lines.next().unwrap_or_default().to_vec();
    for line in lines.filter(|line| !line.trim_ascii().is_empty()) {
        kept.extend_from_slice(line);
    }
    // The last line went, and with it the reason for the line end before.
    kept.strip_suffix(b"\r\n").map(<[u8]>::to_vec).unwrap_or(kept)
}

/// A subject in encoded words (RFC 2047 §2), unless it needs none.
fn encoded(text: &str) -> Vec<u8> {
    let plain = text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if plain && text.len() <= PLAIN_BYTES_MAX && !text.contains("=?") {
        return format!(" {text}").into_bytes();
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if word.len().saturating_add(c.len_utf8()) > WORD_BYTES_MAX {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<String> =
        words.iter().map(|word| format!(" =?utf-8?B?{}?=", STANDARD.encode(word))).collect();
    words.join("\r\n").into_bytes()
}

/// Octets of a subject that stays on one line.
const PLAIN_BYTES_MAX: usize = 900;
/// Octets in an encoded word, which has 75 characters at most.
const WORD_BYTES_MAX: usize = 45;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::edited;

    fn field(name: &str, value: Option<&str>) -> MessageMarker {
        MessageMarker::Field { name: name.into(), value: value.map(Into::into) }
    }

    fn rule(name: &str, marker: MessageMarker, to: Onward, remove: bool) -> RaiseRule {
        RaiseRule { name: name.into(), marker, to, remove }
    }

    /// `|` stands for CRLF.
    #[track_caller]
    fn check(marker: MessageMarker, section: &str, expected: Option<&str>) {
        let section = section.replace('|', "\r\n");
        let rules = [rule("r", marker, Onward::Sealed, true)];
        let (matched, edits) = matching(&rules, section.as_bytes());
        let text = String::from_utf8_lossy(&edited(section.as_bytes(), &edits)).replace("\r\n", "|");
        let found = matched.first().map(|_| text.as_str());
        assert_eq!(found, expected, "{section:?}");
    }

    fn tag() -> MessageMarker {
        MessageMarker::SubjectTag("[secure]".into())
    }

    #[test]
    fn a_field_raises_and_is_removed_whole() {
        check(field("X-Seal", None), "A: b|x-seal:| any|C: d||", Some("A: b|C: d||"));
        check(field("X-Seal", Some("yes")), "X-Seal: YES |C: d||", Some("C: d||"));
        check(field("X-Seal", Some("yes")), "X-Seal: =?utf-8?Q?yes?=|C: d||", Some("C: d||"));
        check(field("X-Seal", Some("yes")), "X-Seal: yes, please|C: d||", None);
        check(field("X-Seal", None), "A: X-Seal: yes||X-Seal: body", None);
    }

    #[test]
    fn a_tag_is_found_in_the_subject_and_cut_from_it() {
        check(tag(), "Subject: [Secure] offer|A: b||", Some("Subject: offer|A: b||"));
        check(tag(), "Subject: offer [secure]|A: b||", Some("Subject: offer|A: b||"));
        check(tag(), "Subject:[secure]offer||", Some("Subject:offer||"));
        check(
            tag(),
            "Subject: Re: [secure] [SECURE] =?utf-8?Q?=C3=BC?=||",
            Some("Subject: Re: =?utf-8?Q?=C3=BC?=||"),
        );
        check(tag(), "Subject:| [secure]| offer||", Some("Subject:| offer||"));
        check(tag(), "Subject: offer| [secure]|A: b||", Some("Subject: offer|A: b||"));
        check(tag(), "Subject: [secure]||", Some("Subject:||"));
        check(tag(), "Subject: secure|X: [secure]||", None);
        check(
            tag(),
            "Subject: =?utf-8?B?W3NlY3VyZV0gR3LDvMOfZQ==?=|A: b||",
            Some("Subject: =?utf-8?B?R3LDvMOfZQ==?=|A: b||"),
        );
        check(tag(), "Subject: =?utf-8?Q?[sec?=| =?utf-8?Q?ure]?= x||", Some("Subject: x||"));
        let long =
            format!("Subject: =?utf-8?B?{}?=||", STANDARD.encode("[secure] ".to_owned() + &"ü".repeat(40)));
        let words = [STANDARD.encode("ü".repeat(22)), STANDARD.encode("ü".repeat(18))];
        check(tag(), &long, Some(&format!("Subject: =?utf-8?B?{}?=| =?utf-8?B?{}?=||", words[0], words[1])));
    }

    #[test]
    fn a_label_is_a_sensitivity_or_a_label_that_is_enabled() {
        let label = || MessageMarker::Label("Company-Confidential".into());
        check(label(), "Sensitivity: company-confidential|A: b||", Some("A: b||"));
        check(label(), "Sensitivity: private||", None);
        let of = |enabled: &str| {
            format!(
                "msip_labels: MSIP_Label_12-ab_Enabled={enabled};| MSIP_Label_12-ab_Name=company-confidential;MSIP_Label_9_Name=x|A: b||"
            )
        };
        check(label(), &of("true"), Some("A: b||"));
        check(label(), &of("false"), None);
        check(MessageMarker::Label("12-AB".into()), &of("True"), Some("A: b||"));
        check(MessageMarker::Label("7".into()), &of("true"), None);
    }

    #[test]
    fn the_names_of_all_rules_that_match_are_kept() {
        let rules = [
            rule("one", field("A", None), Onward::Sealed, false),
            rule("two", field("B", None), Onward::Identity, false),
            rule("three", field("C", None), Onward::Sealed, false),
        ];
        let (matched, edits) = matching(&rules, b"B: x\r\nA: x\r\nA: y\r\n\r\n");
        assert!(edits.is_empty());
        let demand = OnwardDemand::joined(Onward::Any, &matched);
        assert_eq!((demand.level, demand.raised_by.as_deref()), (Onward::Identity, Some("two, one")));
        assert_eq!(
            OnwardDemand::joined(Onward::Sealed, &[]),
            OnwardDemand { level: Onward::Sealed, raised_by: None }
        );
    }

    fn a_level() -> impl Strategy<Value = Onward> {
        prop::sample::select(vec![Onward::Any, Onward::Sealed, Onward::Identity])
    }

    fn a_rule() -> impl Strategy<Value = RaiseRule> {
        let marker = prop_oneof![
            prop::sample::select(vec!["A", "B", "Subject"]).prop_map(|name| field(name, None)),
            Just(tag()),
            Just(MessageMarker::Label("c".into())),
        ];
        (marker, a_level(), any::<bool>(), "[a-c]")
            .prop_map(|(marker, to, remove, name)| rule(&name, marker, to, remove))
    }

    proptest! {
        #[test]
        fn no_set_of_rules_asks_for_less(
            connector in a_level(),
            rules in prop::collection::vec(a_rule(), 0..5),
            more in a_rule(),
            section in "((A|B|Subject|Sensitivity|x): ?(c|\\[secure\\]|=\\?utf-8\\?Q\\?\\[secure\\]\\?=| |é){0,3}\r\n){0,5}\r\n",
        ) {
            let demand = |rules: &[RaiseRule]| OnwardDemand::joined(connector, &matching(rules, section.as_bytes()).0);
            let with = demand(&rules);
            prop_assert!(with.level >= connector);
            let all: Vec<RaiseRule> = rules.iter().cloned().chain([more]).collect();
            prop_assert!(demand(&all).level >= with.level);
            // What is removed is only what was matched, and the order of rules changes nothing.
            let reversed: Vec<RaiseRule> = all.iter().rev().cloned().collect();
            prop_assert_eq!(demand(&reversed).level, demand(&all).level);
            let edits = matching(&all, section.as_bytes()).1;
            prop_assert!(edits.is_sorted_by(|a, b| a.at.end <= b.at.start));
            let after = edited(section.as_bytes(), &edits);
            prop_assert!(after.ends_with(b"\r\n") && crate::mail::header_end(&after) == Some(after.len()));
        }
    }
}
