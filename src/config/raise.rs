//! Checks the `[[raise]]` rules and gives each inbound connector those that apply to it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::fault::Report;
use super::keys::{Entry as _, RaiseEntry, RaiseTo, RaiseValues, Text, shown};
use super::schema;
use crate::connector::{MessageMarker, Onward, RaiseRule};

/// The rules of a file.
#[derive(Default)]
pub(super) struct RaiseRules {
    rules: Vec<(RaiseRule, Option<Vec<Text>>)>,
    /// As `check --json` shows them.
    pub(super) shown: Vec<Value>,
}

impl RaiseRules {
    pub(super) fn of(file: &schema::File, report: &mut Report<'_>) -> Self {
        let mut names = BTreeMap::new();
        let mut found = Self::default();
        for entry in &file.raise {
            let (place, entry) = (entry.span(), entry.get_ref());
            let values = entry.read(&place, report);
            if let Some(name) = &values.name {
                report.unique(name, "rule", &mut names);
            }
            let Some(rule) = rule(&place, entry, &values, report) else { continue };
            found.shown.push(Value::Object(shown(entry, &values)));
            found.rules.push((rule, values.connectors));
        }
        found
    }

    /// The rules that apply to the mail of an inbound connector.
    pub(super) fn for_connector(&self, name: &str) -> Vec<RaiseRule> {
        let applies = |connectors: &Option<Vec<Text>>| {
            connectors.as_ref().is_none_or(|names| names.iter().any(|one| one.get_ref() == name))
        };
        self.rules
            .iter()
            .filter(|(_, connectors)| applies(connectors))
            .map(|(rule, _)| rule.clone())
            .collect()
    }
}

fn rule(
    place: &Range<usize>,
    entry: &RaiseEntry,
    values: &RaiseValues,
    report: &mut Report<'_>,
) -> Option<RaiseRule> {
    let markers =
        [&values.header, &values.subject_tag, &values.label].into_iter().flatten().collect::<Vec<_>>();
    if let Some(second) = markers.get(1) {
        report.fault_of_key(
            second.span(),
            "a rule has one of header, subject_tag and label; write a rule of its own for each",
        );
        return None;
    }
    let Some(written) = markers.first() else {
        report.fault(
            place.clone(),
            "nothing says which messages match; write header = \"X-Seal\", subject_tag = \"[secure]\" or label = \"company-confidential\"",
        );
        return None;
    };
    for text in markers.iter().copied().chain(&values.value) {
        let plain = |c: char| c.is_control();
        if text.get_ref().trim().is_empty()
            || text.get_ref().trim() != text.get_ref()
            || text.get_ref().contains(plain)
        {
            report.fault(text.span(), "write a text without blanks around it and without control characters");
            return None;
        }
    }
    if let (None, Some(value)) = (&values.header, &values.value) {
        report.fault_of_key(
            value.span(),
            "value would be ignored: it is the value of header; write header, or remove it",
        );
    }
    let text = |written: &Text| -> Box<str> { written.get_ref().as_str().into() };
    let marker = match (&values.header, &values.subject_tag) {
        (Some(name), _) => {
            field_name(name, report)?;
            if values.remove && KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(name.get_ref())) {
                let words = format!("{} can't be removed: mail needs it; remove this key", name.get_ref());
                report.fault_of_key(entry.place("remove").unwrap_or_else(|| name.span()), words);
            }
            MessageMarker::Field { name: text(name), value: values.value.as_ref().map(text) }
        }
        (None, Some(tag)) => {
            if values.remove {
                report.warn(
                    entry.place("remove").unwrap_or_else(|| tag.span()),
                    "removing a tag from the subject breaks a DKIM signature that covers it, as nearly all do; sign after this \
                     relay, or leave the tag",
                );
            }
            MessageMarker::SubjectTag(text(tag))
        }
        (None, None) => MessageMarker::Label(text(written)),
    };
    let to = match values.to {
        RaiseTo::Sealed => Onward::Sealed,
        RaiseTo::Identity => Onward::Identity,
    };
    let name = values.name.as_ref()?.get_ref().as_str().into();
    Some(RaiseRule { name, marker, to, remove: values.remove })
}

/// RFC 5322 §3.6.8: a field's name has printable ASCII characters but the colon.
fn field_name(name: &Text, report: &mut Report<'_>) -> Option<()> {
    let is_name = name.get_ref().bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if !is_name {
        let words = format!(
            "\"{}\" is not the name of a header field; write it without colon, as \"X-Seal\"",
            name.get_ref()
        );
        report.fault(name.span(), words);
    }
    is_name.then_some(())
}

/// Fields without which mail is not delivered, not shown as it was meant, or loops.
const KEPT: &[&str] = &[
    "Received",
    "Return-Path",
    "From",
    "Date",
    "To",
    "Cc",
    "Subject",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Disposition",
    "DKIM-Signature",
];
