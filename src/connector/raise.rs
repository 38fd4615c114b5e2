//! Rules by which one message raises what is required of the way it leaves (`[[raise]]`). They never lower it.

use std::collections::HashSet;
use std::ops::Range;
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
        let raised_by = (!names.is_empty()).then(|| names.join(", ").into());
        Self { level, raised_by, own: connector }
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
    let tags = (!tags.is_empty()).then_some(tags)?;
    untagged(field.value, &tags).map(|text| Edit { at: field.value_at(), text })
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
    lowered(text).contains(&lowered(tag))
}

/// A text in lower case, character by character: what follows one does not matter.
fn lowered(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
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
    let is_off = |(id, key, value): (_, &str, &str)| {
        (key == "Enabled" && value.eq_ignore_ascii_case("false")).then_some(id)
    };
    let off: HashSet<&str> = pairs().filter_map(is_off).collect();
    pairs().any(|(id, key, value)| {
        (id.eq_ignore_ascii_case(label.trim()) || key == "Name" && is_same(value, label)) && !off.contains(id)
    })
}

/// A subject without its tags. Octets that are not part of a tag stay; only where a reader would not see the same text then,
/// because a tag is written in encoded words, over a line end or between two words, the text is encoded again. `None`: it
/// has more tags, or is longer, than any that is written by hand, or has octets that are not text.
fn untagged(value: &[u8], tags: &[&str]) -> Option<Vec<u8>> {
    if value.len() > TAGGED_BYTES_MAX {
        return None;
    }
    let text = decoded(value);
    let wanted = without(text.as_bytes(), &tags_in(&text, tags)?);
    let wanted = String::from_utf8(wanted).ok()?;
    let lower = value.to_ascii_lowercase();
    let written = tags.iter().flat_map(|tag| found(&lower, tag.to_ascii_lowercase().as_bytes())).collect();
    let raw = without_blank_lines(&without(value, &apart(written)?));
    if decoded(&raw).split_whitespace().eq(wanted.split_whitespace()) {
        return Some(raw);
    }
    let is_text = std::str::from_utf8(value).is_ok() && !text.contains(char::REPLACEMENT_CHARACTER);
    is_text.then(|| encoded(wanted.trim_matches([' ', '\t'])))
}

/// Where tags are in a text, in any case.
fn tags_in(text: &str, tags: &[&str]) -> Option<Vec<Range<usize>>> {
    let (mut lower, mut origins) = (String::new(), Vec::new());
    for (at, c) in text.char_indices() {
        lower.extend(c.to_lowercase());
        // Only the first octet of what a character becomes is a place to cut.
        origins.push(Some(at));
        origins.resize(lower.len(), None);
    }
    origins.push(Some(text.len()));
    let origin = |at: usize| origins.get(at).copied().flatten();
    let lower_tags: Vec<String> = tags.iter().map(|tag| lowered(tag)).collect();
    let places = lower_tags.iter().flat_map(|tag| found(lower.as_bytes(), tag.as_bytes()));
    apart(places.filter_map(|at| Some(origin(at.start)?..origin(at.end)?)).collect())
}

fn found(text: &[u8], tag: &[u8]) -> Vec<Range<usize>> {
    let places = memchr::memmem::find_iter(text, tag).take(TAGS_MAX.saturating_add(1));
    places.map(|at| at..at.saturating_add(tag.len())).collect()
}

/// The ranges in order, those that overlap as one; `None`: too many.
fn apart(mut places: Vec<Range<usize>>) -> Option<Vec<Range<usize>>> {
    places.sort_by_key(|at| at.start);
    let mut kept: Vec<Range<usize>> = Vec::new();
    for at in places {
        match kept.last_mut() {
            Some(last) if at.start < last.end => last.end = last.end.max(at.end),
            Some(_) | None => kept.push(at),
        }
    }
    (kept.len() <= TAGS_MAX).then_some(kept)
}

/// Cuts tags, and one blank beside each, so that none is left over.
fn without(value: &[u8], tags: &[Range<usize>]) -> Vec<u8> {
    let is_blank = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    let mut out = Vec::with_capacity(value.len());
    let mut from = 0;
    for tag in tags {
        out.extend_from_slice(value.get(from..tag.start).unwrap_or_default());
        let after = value.get(tag.end..).unwrap_or_default();
        from = tag.end;
        if is_blank(out.last()) {
            if is_blank(after.first()) {
                from = from.saturating_add(1);
            } else if after.is_empty() || after.starts_with(b"\r\n") {
                out.pop();
            }
        }
    }
    out.extend_from_slice(value.get(from..).unwrap_or_default());
    out
}

/// A line must not be left with blanks only (RFC 5322 §3.2.2).
fn without_blank_lines(value: &[u8]) -> Vec<u8> {
    let mut lines = value.split_inclusive(|octet| *octet == b'\n');
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

/// Octets of a subject from which tags are removed.
const TAGGED_BYTES_MAX: usize = 8192;
/// Tags that are removed from one subject.
const TAGS_MAX: usize = 64;
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
    fn what_a_reader_sees_is_the_subject_without_its_tags() {
        let words = "Subject: =?utf-8?Q?a?= [secure] =?utf-8?Q?b?=||";
        check(tag(), words, Some("Subject: a b||"));
        check(tag(), "Subject: [sec[secure]ure] a||", Some("Subject: [secure] a||"));
        check(
            tag(),
            "Subject: =?utf-8?Q?=C4=B0_=5BSECURE=5D_=C4=B0?=||",
            Some("Subject: =?utf-8?B?xLAgxLA=?=||"),
        );
        check(MessageMarker::SubjectTag("[İ]".into()), "Subject: [İ] a||", Some("Subject: a||"));
        check(
            MessageMarker::SubjectTag("ü!".into()),
            "Subject: =?utf-8?Q?a_=C3=9C!?=||",
            Some("Subject: a||"),
        );
        let removed = |subject: &[u8]| {
            let rules = [rule("r", tag(), Onward::Sealed, true)];
            let (matched, edits) = matching(&rules, subject);
            assert_eq!(matched.len(), 1, "{subject:?}");
            edited(subject, &edits)
        };
        // Octets that are no text stay, or nothing is removed.
        assert_eq!(removed(b"Subject: \xfc [secure] \xe4\r\n\r\n"), b"Subject: \xfc \xe4\r\n\r\n");
        let kept = b"Subject: =?utf-8?Q?=5Bsecure=5D?= \xfc\r\n\r\n";
        assert_eq!(removed(kept), kept);
        let kept = b"Subject: =?utf-8?Q?=5Bsecure=5D_=FC?=\r\n\r\n";
        assert_eq!(removed(kept), kept);
    }

    #[test]
    fn past_a_limit_tags_raise_and_stay() {
        let of = |count: usize| format!("Subject: {}x||", "[secure] ".repeat(count));
        check(tag(), &of(TAGS_MAX), Some("Subject: x||"));
        check(tag(), &of(TAGS_MAX + 1), Some(&of(TAGS_MAX + 1)));
        let encoded = format!("Subject: =?utf-8?Q?{}?=||", "=5Bsecure=5D".repeat(TAGS_MAX + 1));
        check(tag(), &encoded, Some(&encoded));
        let long = |octets: usize| format!("Subject: [secure] {}||", "x".repeat(octets - 10));
        check(tag(), &long(TAGGED_BYTES_MAX), Some(&long(TAGGED_BYTES_MAX).replace("[secure] ", "")));
        check(tag(), &long(TAGGED_BYTES_MAX + 1), Some(&long(TAGGED_BYTES_MAX + 1)));
    }

    /// It was hours, when each tag that was found had all of the text copied, or read for each octet.
    #[test]
    fn a_large_header_is_read_in_one_go() {
        let text = |count: usize| format!("{}{}", "x".repeat(200_000), "[secure]".repeat(count));
        let words = format!("Subject: =?utf-8?Q?{}?=|", text(100_000));
        let labels =
            format!("msip_labels: {}|", "MSIP_Label_1_Name=x;MSIP_Label_1_Enabled=false;".repeat(20_000));
        for section in [
            words,
            format!("Subject: {}|", text(100_000)),
            format!("Subject: {}|", "[secure]|\t".repeat(50_000)),
            labels,
        ] {
            let section = format!("{section}|").replace('|', "\r\n");
            let rules = [tag(), MessageMarker::Label("x".into())]
                .map(|marker| rule("r", marker, Onward::Sealed, true));
            let (matched, edits) = matching(&rules, section.as_bytes());
            assert_eq!((matched.len(), edits.len()), (usize::from(section.starts_with('S')), 0));
        }
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
        assert_eq!(OnwardDemand::joined(Onward::Sealed, &[]), OnwardDemand::of_connector(Onward::Sealed));
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
            prop_assert_eq!(with.for_reports().level, connector);
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
