//! Readers of single values: each says what is wrong at its place, and goes on with something
//! harmless, so that one reading finds every mistake.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::fault::Report;
use super::schema::{List, Number, Text};
use super::units::{self, UnitFault};
use crate::connector::DomainPattern;
use crate::mail::{Domain, Mailbox};

impl Report<'_> {
    /// A key without a default.
    pub(super) fn required<'v, T>(
        &mut self,
        value: &'v Option<T>,
        key: &str,
        table: &Range<usize>,
        example: &str,
    ) -> Option<&'v T> {
        if value.is_none() {
            self.fault(table.clone(), format!("{key} is missing; write {key} = {example}"));
        }
        value.as_ref()
    }

    /// One of a few words; `None` after a fault.
    pub(super) fn word<T: Copy>(&mut self, value: &Text, key: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| word == value.get_ref());
        if found.is_none() {
            let close = units::nearest(value.get_ref(), words.iter().map(|(word, _)| *word));
            let hint = close.map_or_else(String::new, |close| format!("; did you mean \"{close}\"?"));
            let known = quoted(words.iter().map(|(word, _)| *word));
            let message = format!("{key} can't be \"{}\", only one of {known}{hint}", value.get_ref());
            self.fault(value.span(), message);
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A duration over zero, or the default.
    pub(super) fn duration(&mut self, value: &Option<Text>, default: Duration) -> Duration {
        self.unit(value, units::duration).unwrap_or(default)
    }

    /// A duration, or `never`; `None` if the key is absent.
    pub(super) fn duration_or_never(&mut self, value: &Option<Text>) -> Option<Option<Duration>> {
        match value {
            None => None,
            Some(text) if text.get_ref() == "never" => Some(None),
            Some(_) => self.unit(value, units::duration).map(Some),
        }
    }

    /// A size in octets, or the default.
    pub(super) fn size<T: TryFrom<u64>>(&mut self, value: &Option<Text>, default: T) -> T {
        let Some(size) = self.unit(value, units::size) else { return default };
        let Ok(size) = T::try_from(size) else {
            if let Some(text) = value {
                self.fault(
                    text.span(),
                    format!("\"{}\" is more than this machine can count", text.get_ref()),
                );
            }
            return default;
        };
        size
    }

    fn unit<T>(&mut self, value: &Option<Text>, read: fn(&str) -> Result<T, UnitFault>) -> Option<T> {
        let text = value.as_ref()?;
        match read(text.get_ref()) {
            Ok(unit) => Some(unit),
            Err(fault) => {
                self.fault(text.span(), fault.to_string());
                None
            }
        }
    }

    /// A number from 1 on, or the default.
    pub(super) fn count<T: TryFrom<i64>>(&mut self, value: &Option<Number>, key: &str, default: T) -> T {
        let Some(number) = value else { return default };
        match T::try_from(*number.get_ref()) {
            Ok(count) if *number.get_ref() > 0 => count,
            Ok(_) | Err(_) => {
                let got = number.get_ref();
                let what = if *got < 1 { "would let nothing pass; write 1 or more" } else { "is too large" };
                self.fault(number.span(), format!("{key} = {got} {what}"));
                default
            }
        }
    }

    /// Waits after the first, second, … failure; `None` if the key is absent.
    pub(super) fn waits(&mut self, value: &Option<List>) -> Option<Vec<Duration>> {
        let list = value.as_ref()?;
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
        Some(waits)
    }

    /// The items that can be read; each fault at its own item.
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

    /// Domain patterns, none of them twice.
    pub(super) fn patterns(&mut self, list: &List) -> Vec<(DomainPattern, Range<usize>)> {
        let read = |text: &str| {
            DomainPattern::parse(text).map_err(|fault| format!("\"{text}\" is no domain pattern: {fault}"))
        };
        let mut seen = BTreeSet::new();
        let mut patterns = self.items(list.get_ref(), read);
        patterns.retain(|(pattern, place)| {
            let new = seen.insert(pattern.clone());
            if !new {
                self.fault(place.clone(), format!("{pattern} stands here twice; remove one"));
            }
            new
        });
        patterns
    }

    /// A list that must have something in it.
    pub(super) fn not_empty(&mut self, list: &List, key: &str, instead: &str) {
        if list.get_ref().is_empty() {
            self.fault_of_key(list.span(), format!("{key} is empty; {instead}"));
        }
    }

    /// A domain.
    pub(super) fn domain(&mut self, value: &Text) -> Option<Domain> {
        match Domain::parse(value.get_ref()) {
            Ok(domain) => Some(domain),
            Err(fault) => {
                let message = format!("\"{}\" is no host name: {fault}", value.get_ref());
                self.fault(value.span(), message);
                None
            }
        }
    }

    /// A mailbox with a domain.
    pub(super) fn mailbox(&mut self, value: &Text) -> Option<Mailbox> {
        match Mailbox::parse(value.get_ref()) {
            Ok(mailbox) if mailbox.is_ascii() => Some(mailbox),
            Ok(_) => {
                self.fault(value.span(), "this mailbox must do without SMTPUTF8: write one in ASCII");
                None
            }
            Err(fault) => {
                let message = format!(
                    "\"{}\" is no mailbox: {fault}; write one such as \"postmaster@contoso.example\"",
                    value.get_ref()
                );
                self.fault(value.span(), message);
                None
            }
        }
    }

    /// The name of a connector or listener: it stands in logs and on command lines.
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

    /// A key that has no effect because of another one. A fault, since whoever wrote it believes
    /// that it has.
    pub(super) fn ignored<T>(&mut self, value: &Option<Spanned<T>>, key: &str, why: &str) {
        if let Some(value) = value {
            self.fault_of_key(value.span(), format!("{key} would be ignored: {why}"));
        }
    }
}

/// Words for a message: `"a", "b"`.
pub(super) fn quoted<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    words.into_iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

const NAME_BYTES_MAX: usize = 64;
