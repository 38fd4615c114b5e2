//! Lookup tables of Postfix as text: which entries a table has, in whatever type it is kept.

use super::super::fault::ImportFault;
use super::super::remark::Leftover;
use super::super::sketch::Disk;
use super::super::text::decode;
use super::main_cf::{CONFIG_DIRECTORY, logical_lines, split_list};
use crate::connector::DomainPattern;

/// One entry: what is looked up, and the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MapEntry {
    pub(super) key: String,
    pub(super) value: String,
    /// The key is a regular expression or a network, not a text.
    pub(super) kind: KeyKind,
}

/// How a key is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Text,
    Network,
    Expression,
    /// Every key (`static:`).
    Every,
}

/// The files of one configuration.
pub(super) struct Files<'a> {
    pub(super) folder: String,
    pub(super) disk: &'a dyn Disk,
}

/// The entries of a list of tables, and the tables of the list that can't be read as text.
#[derive(Debug, Default)]
pub(super) struct TableReading {
    /// In the order in which they are asked.
    pub(super) entries: Vec<MapEntry>,
    pub(super) unread: Vec<UnreadTable>,
}

/// A table that only Postfix can read.
#[derive(Debug)]
pub(super) struct UnreadTable {
    pub(super) name: String,
    /// A table that can be read is asked after it, so its own answers come first.
    pub(super) comes_first: bool,
}

impl UnreadTable {
    /// What was not imported, and how it can be.
    pub(super) fn remark(&self, setting: &str) -> Leftover {
        unread(setting, &self.name)
    }
}

/// What is said of a table that only Postfix can read.
pub(super) fn unread(setting: &str, table: &str) -> Leftover {
    Leftover::new(
        setting,
        table,
        "a table of this type can't be read as text",
        "write its entries to a file with the tools of that database, name the file with texthash: in a copy of the folder, \
         and import that",
    )
}

/// A table that can't be read as text.
struct Opaque(String);

impl Files<'_> {
    /// Where a file is: paths below `/etc/postfix` are in the folder that is imported.
    pub(super) fn path(&self, path: &str) -> String {
        let folder = self.folder.trim_end_matches('/');
        match path.strip_prefix(CONFIG_DIRECTORY) {
            Some(rest) if rest.starts_with('/') => {
                let here = format!("{folder}{rest}");
                if self.disk.is_file(&here) || !self.disk.is_file(path) { here } else { path.to_owned() }
            }
            _ if path.starts_with('/') => path.to_owned(),
            _ => format!("{folder}/{path}"),
        }
    }

    pub(super) fn text(&self, path: &str) -> Result<String, ImportFault> {
        let place = self.path(path);
        let octets = self.disk.read(&place);
        let octets = octets.map_err(|words| ImportFault::Unreadable { file: place.clone(), words })?;
        decode(&place, &octets)
    }

    /// All entries of a list of tables, in the order in which they are asked.
    pub(super) fn entries(&self, list: &[String]) -> Result<TableReading, ImportFault> {
        let mut reading = TableReading::default();
        for table in list {
            match self.table(table)? {
                Ok(entries) => {
                    reading.unread.iter_mut().for_each(|one| one.comes_first = true);
                    reading.entries.extend(entries);
                }
                Err(Opaque(name)) => reading.unread.push(UnreadTable { name, comes_first: false }),
            }
        }
        Ok(reading)
    }

    fn table(&self, table: &str) -> Result<Result<Vec<MapEntry>, Opaque>, ImportFault> {
        let plain = table.trim_start_matches("proxy:");
        let Some((kind, rest)) = plain.split_once(':') else {
            return self.lines(plain, KeyKind::Text).map(Ok);
        };
        match kind {
            "hash" | "btree" | "lmdb" | "dbm" | "cdb" | "texthash" => self.lines(rest, KeyKind::Text).map(Ok),
            "cidr" => self.lines(rest, KeyKind::Network).map(Ok),
            "regexp" | "pcre" => self.lines(rest, KeyKind::Expression).map(Ok),
            "static" => Ok(Ok(vec![MapEntry {
                key: "*".to_owned(),
                value: rest.trim_matches(['{', '}']).trim().to_owned(),
                kind: KeyKind::Every,
            }])),
            "inline" => {
                let inside = rest.trim().trim_start_matches('{').trim_end_matches('}');
                let pairs = split_list(inside).into_iter().map(|pair| {
                    let pair = pair.trim_matches(['{', '}']).trim().to_owned();
                    let (key, value) = pair.split_once('=').unwrap_or((&pair, ""));
                    MapEntry {
                        key: key.trim().to_owned(),
                        value: value.trim().to_owned(),
                        kind: KeyKind::Text,
                    }
                });
                Ok(Ok(pairs.collect()))
            }
            _ => Ok(Err(Opaque(table.to_owned()))),
        }
    }

    fn lines(&self, path: &str, kind: KeyKind) -> Result<Vec<MapEntry>, ImportFault> {
        let lines = logical_lines(&self.path(path), &self.text(path)?)?;
        let entries = lines.into_iter().map(|line| {
            let (key, value) = match kind {
                KeyKind::Expression => expression(&line.text),
                KeyKind::Text | KeyKind::Network | KeyKind::Every => {
                    line.text.split_once(char::is_whitespace).unwrap_or((&line.text, ""))
                }
            };
            MapEntry { key: key.to_ascii_lowercase(), value: value.trim().to_owned(), kind }
        });
        Ok(entries.collect())
    }

    /// A list of domains or networks, which may have files and tables in it. What an exclamation mark leaves out keeps it.
    pub(super) fn items(&self, setting: &str, list: &[String]) -> Result<ItemReading, ImportFault> {
        let mut reading = ItemReading::default();
        for item in list {
            let plain = item.trim_start_matches('!');
            let is_hole = (item.len() - plain.len()) % 2 == 1;
            let found = if plain.starts_with('/') {
                let lines = logical_lines(&self.path(plain), &self.text(plain)?)?;
                lines.iter().flat_map(|line| split_list(&line.text)).collect()
            } else if is_table(plain) {
                match self.table(plain)? {
                    Ok(entries) => entries.into_iter().map(|entry| entry.key).collect(),
                    Err(Opaque(name)) if is_hole => {
                        return Err(ImportFault::looser("main.cf", unread(setting, &format!("!{name}"))));
                    }
                    Err(Opaque(name)) => {
                        reading.unread.push(UnreadTable { name, comes_first: false });
                        Vec::new()
                    }
                }
            } else {
                vec![plain.to_owned()]
            };
            reading.items.extend(found.into_iter().map(|text| match text.strip_prefix('!') {
                Some(rest) => ListItem { text: rest.to_owned(), is_hole: !is_hole },
                None => ListItem { text, is_hole },
            }));
        }
        Ok(reading)
    }
}

/// A list of domains or networks, and the tables of it that can't be read.
#[derive(Debug, Default)]
pub(super) struct ItemReading {
    pub(super) items: Vec<ListItem>,
    pub(super) unread: Vec<UnreadTable>,
}

/// An item of such a list; the first that matches decides.
#[derive(Debug)]
pub(super) struct ListItem {
    pub(super) text: String,
    /// It leaves out what the items behind it would take in.
    pub(super) is_hole: bool,
}

impl ListItem {
    /// The fault of a hole that can't be cut.
    pub(super) fn fault(&self, setting: &str, why: &str, instead: &str) -> ImportFault {
        ImportFault::looser("main.cf", Leftover::new(setting, format!("!{}", self.text), why, instead))
    }
}

/// `hash:/path`, and not an IPv6 address.
fn is_table(item: &str) -> bool {
    item.split_once(':').is_some_and(|(kind, rest)| {
        kind.len() > 2
            && kind.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            && (rest.starts_with(['/', '{', '$']) || rest.contains(':'))
    })
}

/// `/pattern/flags value`.
fn expression(line: &str) -> (&str, &str) {
    let delimiter = line.chars().next().unwrap_or('/');
    let mut ends = line.char_indices().skip(1).filter(|(_, c)| *c == delimiter).map(|(at, _)| at);
    let end = ends.find(|at| !line.get(..*at).is_some_and(|before| before.ends_with('\\')));
    let behind = end.and_then(|at| line.get(at..)).and_then(|rest| rest.find(char::is_whitespace));
    let cut = end.zip(behind).and_then(|(at, blank)| line.split_at_checked(at + blank));
    cut.unwrap_or((line, ""))
}

/// Domains that an expression stands for, if it is one of the usual ways to write them.
pub(super) fn domains_of_expression(text: &str) -> Option<Vec<DomainPattern>> {
    let inside = text.strip_prefix('/')?.rsplit_once('/')?.0;
    if matches!(inside, "." | ".*" | "^.*$" | "^" | "") {
        return Some(vec![DomainPattern::Any]);
    }
    let body = inside.strip_suffix('$')?;
    let whole = body.strip_prefix("^(.*\\.)?").or_else(|| body.strip_prefix("^(.+\\.)?"));
    let whole = whole.or_else(|| body.strip_prefix("(^|\\.)"));
    let below = body
        .strip_prefix("\\.")
        .or_else(|| body.strip_prefix("^.*\\."))
        .or_else(|| body.strip_prefix("^.+\\."));
    let plain = |text: &str| {
        let name = text.replace("\\.", ".");
        let clean = !text.replace("\\.", "").contains(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        clean.then_some(name)
    };
    let pattern = |text: String| DomainPattern::parse(&text).ok();
    if let Some(name) = whole.and_then(plain) {
        return Some(vec![pattern(name.clone())?, pattern(format!("*.{name}"))?]);
    }
    if let Some(name) = below.and_then(plain) {
        return Some(vec![pattern(format!("*.{name}"))?]);
    }
    let name = body.strip_prefix('^').and_then(plain)?;
    Some(vec![pattern(name)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let read = domains_of_expression(text);
        let read = read.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(read.unwrap_or_else(|| "none".to_owned()), expected, "{text}");
    }

    #[test]
    fn usual_expressions_are_domains_and_others_are_not() {
        check("/^a\\.example$/", "a.example");
        check("/\\.a\\.example$/i", "*.a.example");
        check("/^(.*\\.)?a\\.example$/", "a.example *.a.example");
        check("/./", "*");
        check("/a\\.example/", "none");
        check("/^mail[0-9]+\\.a\\.example$/", "none");
        check("/^a.example$/", "none");
        assert_eq!(expression("/^a\\/b .*$/i OK now"), ("/^a\\/b .*$/i", " OK now"));
    }
}
