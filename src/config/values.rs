//! Parses single values. Each fault is reported at its position, and parsing continues with a harmless value,
//! so that one pass finds every error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::fault::Report;
use super::keys::{List, Text};
use super::units::{self, UnitFault};
use crate::connector::DomainPattern;
use crate::mail::{Domain, Mailbox};

impl Report<'_> {
    /// One of a fixed set of words; `None` after a fault.
    pub(super) fn word<T: Copy>(&mut self, value: &Text, key: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| word == value.get_ref());
        if found.is_none() {
            let known = words.iter().map(|(word, _)| *word);
            let choices = choices(value.get_ref(), known, "values");
            let message = format!("{key} can't be \"{}\"{choices}", value.get_ref());
            self.fault(value.span(), message);
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A size in octets.
    pub(super) fn size<T: TryFrom<u64>>(&mut self, value: &Text) -> Option<T> {
        let size = T::try_from(self.unit(value, units::size)?).ok();
        if size.is_none() {
            let message = format!("\"{}\" is more than this machine can count", value.get_ref());
            self.fault(value.span(), message);
        }
        size
    }

    /// A value with a unit.
    pub(super) fn unit<T>(&mut self, value: &Text, read: fn(&str) -> Result<T, UnitFault>) -> Option<T> {
        match read(value.get_ref()) {
            Ok(unit) => Some(unit),
            Err(fault) => {
                self.fault(value.span(), fault.to_string());
                None
            }
        }
    }

    /// A number, at least 1.
    pub(super) fn count<T: TryFrom<i64>>(&mut self, value: &Spanned<i64>, key: &str) -> Option<T> {
        let number = *value.get_ref();
        let count = T::try_from(number).ok().filter(|_| number > 0);
        if count.is_none() {
            let what = if number < 1 { "would let nothing pass; write 1 or more" } else { "is too large" };
            self.fault(value.span(), format!("{key} = {number} {what}"));
        }
        count
    }

    /// Waits after the first, second, … deferral.
    pub(super) fn waits(&mut self, list: &List) -> Vec<Duration> {
        if list.get_ref().is_empty() {
            self.fault_of_key(
                list.span(),
                "retry is empty, so mail would never be tried again; write at least one wait, as [\"15m\"]",
            );
        }
        let mut waits = Vec::new();
        for entry in list.get_ref() {
            match units::waits(entry.get_ref()) {
                Ok(more) => waits.extend(more),
                Err(fault) => self.fault(entry.span(), fault.to_string()),
            }
        }
        waits
    }

    /// The items that can be parsed; each fault is reported at its own item.
    pub(super) fn items<T, E: Display>(
        &mut self,
        items: &[Text],
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<(T, Range<usize>)> {
        let mut good = Vec::new();
        for item in items {
            match read(item.get_ref()) {
                Ok(value) => good.push((value, item.span())),
                Err(fault) => self.fault(item.span(), fault.to_string()),
            }
        }
        good
    }

    /// The items of a list without their positions; each that is there already is reported.
    pub(super) fn distinct<T: Ord + Clone + Display>(&mut self, items: Vec<(T, Range<usize>)>) -> Vec<T> {
        let mut seen = BTreeSet::new();
        for (item, place) in &items {
            if !seen.insert(item.clone()) {
                self.fault(place.clone(), format!("{item} is listed twice; remove one"));
            }
        }
        items.into_iter().map(|(item, _)| item).collect()
    }

    /// Domain patterns, without duplicates.
    pub(super) fn patterns(&mut self, list: &List) -> Vec<(DomainPattern, Range<usize>)> {
        let read = |text: &str| {
            DomainPattern::parse(text)
                .map_err(|fault| format!("\"{text}\" is not a valid domain pattern: {fault}"))
        };
        let mut seen = BTreeSet::new();
        let mut patterns = self.items(list.get_ref(), read);
        patterns.retain(|(pattern, place)| {
            let new = seen.insert(pattern.clone());
            if !new {
                self.fault(place.clone(), format!("{pattern} is listed twice; remove one"));
            }
            new
        });
        patterns
    }

    /// Reports an empty list.
    pub(super) fn not_empty(&mut self, list: &List, key: &str, instead: &str) {
        if list.get_ref().is_empty() {
            self.fault_of_key(list.span(), format!("{key} is empty; {instead}"));
        }
    }

    pub(super) fn domain(&mut self, value: &Text) -> Option<Domain> {
        match Domain::parse(value.get_ref()) {
            Ok(domain) => Some(domain),
            Err(fault) => {
                let message = format!("\"{}\" is not a valid host name: {fault}", value.get_ref());
                self.fault(value.span(), message);
                None
            }
        }
    }

    /// A mailbox; it must have a domain.
    pub(super) fn mailbox(&mut self, value: &Text) -> Option<Mailbox> {
        match Mailbox::parse(value.get_ref()) {
            Ok(mailbox) if mailbox.is_ascii() => Some(mailbox),
            Ok(_) => {
                self.fault(value.span(), "this mailbox must do without SMTPUTF8: write one in ASCII");
                None
            }
            Err(fault) => {
                let message = format!(
                    "\"{}\" is not a valid mailbox: {fault}; write one such as \"postmaster@contoso.example\"",
                    value.get_ref()
                );
                self.fault(value.span(), message);
                None
            }
        }
    }

    /// Reports a name that another listener, connector or partner (`what`) already has.
    pub(super) fn unique(&mut self, name: &Text, what: &str, names: &mut BTreeMap<String, Range<usize>>) {
        let Some(first) = names.get(name.get_ref()) else {
            names.insert(name.get_ref().clone(), name.span());
            return;
        };
        let line = self.line(first);
        let message = format!(
            "the name \"{}\" is taken by the {what} in line {line}; give each its own",
            name.get_ref()
        );
        self.fault(name.span(), message);
    }

    /// Checks the name of a connector or listener, which is used in logs and on command lines.
    pub(super) fn name(&mut self, value: &Text) {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let name = value.get_ref();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) {
            self.fault(
                value.span(),
                format!(
                    "name = \"{name}\" is not possible; write 1 to {NAME_BYTES_MAX} letters, digits, \".\", \
                     \"-\" or \"_\""
                ),
            );
        }
    }
}

/// What can be written instead of an unknown word, the nearest first.
pub(super) fn choices<'w>(word: &str, known: impl Iterator<Item = &'w str> + Clone, what: &str) -> String {
    let listed = quoted(known.clone());
    match units::nearest(word, known) {
        Some(close) => format!("; did you mean \"{close}\"? Valid {what} are {listed}"),
        None => format!("; valid {what} are {listed}"),
    }
}

/// The words quoted for a message: `"a", "b"`.
pub(super) fn quoted<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    words.into_iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

const NAME_BYTES_MAX: usize = 64;
