//! Which entry of a list of tables Postfix takes for a domain: it asks every table for the whole name before it asks any for
//! a parent, and an expression answers for the whole name.

use super::table::{KeyKind, MapEntry, domains_of_expression};
use crate::connector::DomainPattern;

/// A table whose keys are domains; of several patterns that cover a domain, the most specific is meant.
pub(super) type DomainTable = Vec<(DomainPattern, String)>;

/// What the keys of a list of tables are asked with first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstQuestion {
    /// The next hop or domain.
    Name,
    /// The recipient's address, which the expressions see before any table is asked for the domain.
    Address,
}

/// The entries for domains that can be reached, and the keys that are no domains.
pub(super) fn by_domain(entries: &[MapEntry], first: FirstQuestion) -> (DomainTable, Vec<MapEntry>) {
    let (mut read, mut others) = (Vec::new(), Vec::new());
    for entry in entries {
        match patterns(entry) {
            Some(patterns) => read.extend(patterns.into_iter().map(|pattern| (pattern, entry))),
            None => others.push(entry.clone()),
        }
    }
    let mut domains = DomainTable::new();
    for (at, (pattern, entry)) in read.iter().enumerate() {
        // What is asked only when no table has answered for the whole name.
        let is_late = entry.kind == KeyKind::Text
            && (first == FirstQuestion::Address || !matches!(pattern, DomainPattern::Exact(_)));
        let is_hidden = read.iter().enumerate().any(|(other_at, (other, by))| {
            let is_whole = by.kind != KeyKind::Text
                && (first == FirstQuestion::Name || !matches!(other, DomainPattern::Exact(_)));
            let covers = other == pattern || other.includes(pattern);
            let comes_first = other_at < at || (is_late && is_whole);
            covers && by.kind != KeyKind::Text && comes_first
        });
        if !is_hidden && !domains.iter().any(|(known, _)| known == pattern) {
            domains.push((pattern.clone(), entry.value.clone()));
        }
    }
    (domains, others)
}

/// What a key stands for, if it is domains.
pub(super) fn patterns(entry: &MapEntry) -> Option<Vec<DomainPattern>> {
    match entry.kind {
        KeyKind::Every => Some(vec![DomainPattern::Any]),
        KeyKind::Expression => domains_of_expression(&entry.key),
        KeyKind::Network => None,
        KeyKind::Text if entry.key.contains(['@', '[', ':']) => None,
        KeyKind::Text => domain_key(&entry.key).map(|pattern| vec![pattern]),
    }
}

fn domain_key(key: &str) -> Option<DomainPattern> {
    let text = key.strip_prefix('.').map_or_else(|| key.to_owned(), |rest| format!("*.{rest}"));
    DomainPattern::parse(&text).ok()
}

/// The entry that covers all of a pattern, most specific first.
pub(super) fn closest<'t, T>(table: &'t [(DomainPattern, T)], pattern: &DomainPattern) -> Option<&'t T> {
    let covering = table.iter().filter(|(known, _)| known == pattern || known.includes(pattern));
    covering.max_by_key(|(known, _)| known.specificity()).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(entries: &[(KeyKind, &str, &str)], expected: &str) {
        let entries: Vec<MapEntry> = entries
            .iter()
            .map(|(kind, key, value)| MapEntry {
                key: (*key).to_owned(),
                value: (*value).to_owned(),
                kind: *kind,
            })
            .collect();
        let (domains, _) = by_domain(&entries, FirstQuestion::Name);
        let shown: Vec<String> =
            domains.iter().map(|(pattern, value)| format!("{pattern} {value}")).collect();
        assert_eq!(shown.join(", "), expected);
    }

    #[test]
    fn the_first_entry_that_matches_the_whole_name_wins() {
        use KeyKind::{Every, Expression, Text};
        check(&[(Expression, "/./", "encrypt"), (Expression, "/^a\\.example$/", "may")], "* encrypt");
        check(
            &[(Expression, "/^a\\.example$/", "may"), (Expression, "/./", "encrypt")],
            "a.example may, * encrypt",
        );
        check(&[(Every, "*", "encrypt"), (Text, "a.example", "none")], "* encrypt");
        check(&[(Text, "a.example", "none"), (Every, "*", "encrypt")], "a.example none, * encrypt");
        // A parent is asked for after every table had the whole name.
        check(&[(Text, ".a.example", "none"), (Every, "*", "encrypt")], "* encrypt");
        check(&[(Text, "a.example", "may"), (Text, "a.example", "none")], "a.example may");
    }
}
