//! `[[raise]]`: the keys of a rule by which a message raises what is required of the way it leaves.

use super::RaiseTo;
use super::entry::Entry as _;
use super::forms::{ConnectorNames, Name};
use super::key::Section;
use super::kinds::{Flag, Line, Optional, RequiredKey, Word};
use super::section::section;

section! {
    pub(in crate::config) RaiseEntry, RaiseValues;

    name: RequiredKey<Name> = "secure" => {
        meaning: "Its name in the log, in reports and in `queue show`. Rules have different names.",
    }
    header: Optional<Line> = "X-Seal" => {
        meaning: "A message with a header field of this name matches.",
        explanation: "A rule has one of `header`, `subject_tag` and `label`.",
    }
    value: Optional<Line> = "yes" => {
        meaning: "With `header`: only if this is the field's value, in any case.",
        explanation: "Encoded words are decoded first. Error: without `header`.",
    }
    subject_tag: Optional<Line> = "[secure]" => {
        meaning: "A message with this text in its subject matches, in any case.",
        explanation: "Encoded words are decoded first. Answers to the message usually have the tag too.",
    }
    label: Optional<Line> = "company-confidential" => {
        meaning: "A message with this sensitivity label matches: the value of `Sensitivity`, or the name or ID of a label in `msip_labels`.",
        explanation: "Outlook writes `Sensitivity: Company-Confidential`, `private` or `personal`. Microsoft Purview writes \
            `msip_labels`; its IDs stay the same when a label gets another name.",
    }
    to: Word<RaiseTo> = "sealed" => {
        meaning: "`sealed`: it leaves only under forced TLS that is enforced; `identity`: and only where that proves by name or pin who the host is.",
        explanation: "As `onward` of an inbound connector. The highest of the two, and of all rules that match, is required. Warnings: no outbound \
            connector meets it; a domain in `to_domains` of an inbound connector is served by one that does not.",
    }
    connectors: Optional<ConnectorNames> = ["exchange-in"] => {
        absent: "all",
        meaning: "Names of the inbound connectors whose mail can match.",
        explanation: "Without it, anyone who may send to you can make mail to you wait for forced TLS. Errors: empty; an unknown name. Warning: \
            it has, or without the key all have, a connector that anyone can use.",
    }
    remove: Flag = false => {
        meaning: "Remove the marker: the header field, or the tag from the subject.",
        explanation: "Every other octet stays. If the message has a DKIM signature that covers the field, it is no longer \
            valid, and the subject nearly always is covered (a warning with `subject_tag`): sign after this relay, or leave \
            the tag. Error: for a field that mail can't do without, or the `DKIM-Signature`.",
    }
}

pub(super) const SECTION: Section = Section {
    name: "raise",
    header: "[[raise]]",
    sample_header: "#[[raise]]",
    sample: &[],
    comment: "Which messages ask by a marker for more than their connectors require. Never for less.",
    intro: "A rule by which one message raises what is required of the way it leaves, so that users can ask for forced TLS. What \
        its inbound connector (`onward`) and its outbound connector require still holds: no rule can lower it. The \
        requirement stays with the message until it is delivered; reports about it are not held to it, and repeat nothing of it. Where the connector \
        that serves a recipient does not meet it, the message waits with that reason (4.7.4), as with `onward = \"sealed\"`. \
        A rule is applied when a message arrives; a reload does not change what is queued. See docs/raise.md.",
    reload: true,
    keys: RaiseEntry::KEYS,
};
