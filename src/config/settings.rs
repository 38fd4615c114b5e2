//! The settings in effect, key by key, each with the line that it is written in.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::keys::{Key, SECTIONS, Section};
use super::view;
use crate::admin::{SettingSource, SettingView, SettingsList, SettingsQuery};

impl Config {
    /// The settings that are asked for, in the order of the reference.
    #[must_use]
    pub fn settings(&self, query: &SettingsQuery) -> SettingsList {
        let wanted = query.text.as_ref().map(|text| text.to_lowercase());
        let written = WrittenKeys::of(&self.text);
        let mut list = SettingsList {
            file: self.file.display().to_string(),
            sections: SECTIONS.iter().map(|section| section.name).collect(),
            ..SettingsList::default()
        };
        let named = |section: &&&Section| query.section.as_deref().is_none_or(|name| name == section.name);
        for section in SECTIONS.iter().filter(named) {
            for entry in entries(section, self.in_force.get(section.name), &written) {
                for row in entry.rows(section, &written) {
                    let is_written = matches!(row.source, SettingSource::Line(_));
                    let has = wanted.as_ref().is_none_or(|text| has(&row, text));
                    if !has || (query.written && !is_written) {
                        continue;
                    }
                    if list.rows.len() < query.limit {
                        list.rows.push(row);
                    } else {
                        list.more = list.more.saturating_add(1);
                    }
                }
            }
        }
        list
    }
}

fn has(row: &SettingView, text: &str) -> bool {
    let fields = [&row.key, &row.value, row.entry.as_ref().unwrap_or(&row.key)];
    fields.iter().any(|field| field.to_lowercase().contains(text))
        || row.meaning.to_lowercase().contains(text)
        || row.section.contains(text)
}

/// A section, or one of its entries.
struct ShownEntry<'c> {
    name: Option<String>,
    place: EntryPlace<'c>,
    /// Its values; none if only the file has them.
    values: Option<&'c serde_json::Map<String, Value>>,
}

/// Where an entry is in the file.
#[derive(Clone, Copy)]
enum EntryPlace<'c> {
    /// It is the section.
    Section,
    /// It has this number.
    Number(usize),
    /// It has this ID.
    Id(&'c str),
}

fn entries<'c>(
    section: &Section,
    value: Option<&'c Value>,
    written: &WrittenKeys<'_>,
) -> Vec<ShownEntry<'c>> {
    match value {
        Some(Value::Object(values)) => {
            vec![ShownEntry { name: None, place: EntryPlace::Section, values: Some(values) }]
        }
        Some(Value::Array(all)) => {
            let one = |(number, value): (usize, &'c Value)| match value {
                Value::String(id) => {
                    Some(ShownEntry { name: Some(id.clone()), place: EntryPlace::Id(id), values: None })
                }
                Value::Object(values) => {
                    let name = values.get("name").and_then(Value::as_str);
                    let name = name.map_or_else(|| number.saturating_add(1).to_string(), str::to_owned);
                    let place = EntryPlace::Number(number);
                    Some(ShownEntry { name: Some(name), place, values: Some(values) })
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
            };
            let mut all: Vec<_> = all.iter().enumerate().filter_map(one).collect();
            // A set that is built in is in no file.
            all.retain(|entry| entry.values.is_some() || written.entry(section.name, entry.place).is_some());
            all
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => Vec::new(),
    }
}

impl ShownEntry<'_> {
    fn rows(&self, section: &Section, written: &WrittenKeys<'_>) -> Vec<SettingView> {
        let row = |key: &str, declared: Option<&Key>| {
            let line = written.line(section.name, self.place, key);
            let value = match self.values {
                Some(values) => shown(key, values.get(key)?)?,
                None => written.raw(section.name, self.place, key)?,
            };
            Some(SettingView {
                section: section.name,
                entry: self.name.clone(),
                key: key.to_owned(),
                value,
                source: match (line, declared) {
                    (Some(line), _) => SettingSource::Line(line),
                    (None, None) => SettingSource::Derived,
                    (None, Some(_)) => view::inherited_from(section.name, key)
                        .map_or(SettingSource::Default, SettingSource::Section),
                },
                meaning: declared.map_or("", |key| key.meaning),
            })
        };
        let declared = section.keys.iter().filter_map(|key| row(key.name, Some(key)));
        let known = |key: &&String| section.keys.iter().any(|one| one.name == key.as_str());
        let derived = self.values.iter().flat_map(|values| values.keys()).filter(|key| !known(key));
        declared.chain(derived.filter_map(|key| row(key, None))).collect()
    }
}

/// Keys whose value is a URL that only its owner may know whole.
const URL_KEYS: &[&str] = &["webhook", "timestamp_url"];

/// A value in a line; `None` where a key does not apply or has no value.
fn shown(key: &str, value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        // A URL may have a secret in it, and whoever knows it may use it.
        Value::String(url) if URL_KEYS.contains(&key) => host_of(url),
        Value::String(text) => shortened(text),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(all) if all.is_empty() => "none".to_owned(),
        Value::Array(all) => {
            let items = all.iter().take(ITEMS_MAX).map(|one| shown("", one).unwrap_or_default());
            let mut text = items.collect::<Vec<_>>().join(", ");
            if let more @ 1.. = all.len().saturating_sub(ITEMS_MAX) {
                text.push_str(&format!(" and {more} more"));
            }
            text
        }
        Value::Object(fields) => {
            let fields = fields.iter().take(ITEMS_MAX);
            let fields = fields.filter_map(|(key, value)| Some(format!("{key} {}", shown(key, value)?)));
            fields.collect::<Vec<_>>().join(", ")
        }
    })
}

fn host_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/…")
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(VALUE_CHARS_MAX).chain(['…']).collect()
}

/// The keys of a file and their lines.
struct WrittenKeys<'t> {
    text: &'t str,
    root: Option<Spanned<DeTable<'t>>>,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'t> WrittenKeys<'t> {
    fn of(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at.saturating_add(1));
        Self { text, root: DeTable::parse(text).ok(), lines: std::iter::once(0).chain(ends).collect() }
    }

    fn entry(&self, section: &str, place: EntryPlace<'_>) -> Option<&DeTable<'t>> {
        let section = self.root.as_ref()?.get_ref().get(section)?.get_ref();
        match place {
            EntryPlace::Section => section.as_table(),
            EntryPlace::Number(number) => section.as_array()?.get(number)?.get_ref().as_table(),
            EntryPlace::Id(id) => section.as_table()?.get(id)?.get_ref().as_table(),
        }
    }

    fn key(&self, section: &str, place: EntryPlace<'_>, key: &str) -> Option<(usize, &Spanned<DeValue<'t>>)> {
        let (name, value) = self.entry(section, place)?.get_key_value(key)?;
        Some((name.span().start, value))
    }

    /// The line of a key.
    fn line(&self, section: &str, place: EntryPlace<'_>, key: &str) -> Option<usize> {
        let (at, _) = self.key(section, place, key)?;
        Some(self.lines.partition_point(|start| *start <= at))
    }

    /// The value of a key as it is written, without its quotation marks.
    fn raw(&self, section: &str, place: EntryPlace<'_>, key: &str) -> Option<String> {
        let (_, value) = self.key(section, place, key)?;
        Some(match value.get_ref().as_str() {
            Some(text) => shortened(text),
            None => shortened(self.text.get(value.span())?),
        })
    }
}

/// Items of a list that are shown.
const ITEMS_MAX: usize = 20;
const VALUE_CHARS_MAX: usize = 400;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::load::load_text;
    use super::*;

    const TEXT: &str = "[server]\nname = \"gw.a.test\"\ndata_dir = \"d\"\npostmaster = \"p@a.test\"\n\n\
        [alerts]\nto = [\"ops@a.test\"]\nwebhook = \"http://127.0.0.1:9/secret/path?token=1\"\n\n\
        [[listener]]\nname = \"in\"\naddress = \"127.0.0.1:25\"\ntls = \"off\"\n\n\
        [[outbound]]\nname = \"rest\"\ndomains = [\"*\"]\nnext_hop = \"mx\"\ntls = \"opportunistic\"\nconnections = 3\n";

    fn settings(query: &SettingsQuery) -> (Vec<String>, usize) {
        let config = load_text(TEXT, Path::new("/"), Path::new("sealpost.toml"))
            .unwrap_or_else(|faults| panic!("{faults}"));
        let list = config.settings(query);
        let one = |row: &SettingView| {
            let source = match row.source {
                SettingSource::Line(line) => format!("line {line}"),
                SettingSource::Section(section) => section.to_owned(),
                SettingSource::Derived => "derived".to_owned(),
                SettingSource::Default => "default".to_owned(),
            };
            let entry = row.entry.as_deref().map(|entry| format!(" {entry}")).unwrap_or_default();
            format!("{}{entry} {} = {} ({source})", row.section, row.key, row.value)
        };
        (list.rows.iter().map(one).collect(), list.more)
    }

    #[test]
    fn each_setting_has_its_value_and_its_source() {
        let all = settings(&SettingsQuery { limit: 1_000, ..SettingsQuery::default() }).0;
        for expected in [
            "server name = gw.a.test (line 2)",
            "listener in tls = off (line 13)",
            "outbound rest connections = 3 (line 20)",
            "outbound rest cost = 10 (default)",
            "outbound rest ehlo_name = gw.a.test ([server])",
            "outbound rest messages_per_connection = 1000 ([limits])",
            "limits hops = 100 (default)",
        ] {
            assert!(all.iter().any(|row| row == expected), "{expected}: {all:#?}");
        }
        assert!(all.iter().any(|row| row.contains("rest requirement =") && row.ends_with("(derived)")));
        // What gives access is not shown.
        let hook: Vec<_> = all.iter().filter(|row| row.contains("webhook")).collect();
        assert_eq!(hook[0], "alerts webhook = http://127.0.0.1:9/… (line 8)");
        assert!(!all.iter().any(|row| row.contains("secret/path")), "{all:#?}");
        assert!(!all.iter().any(|row| row.contains("null")), "{all:#?}");
    }

    #[test]
    fn settings_are_narrowed_and_bounded() {
        let query = |section: Option<&str>, text: Option<&str>, written, limit| SettingsQuery {
            section: section.map(str::to_owned),
            text: text.map(str::to_owned),
            written,
            limit,
        };
        assert_eq!(
            settings(&query(Some("server"), None, true, 9)).0,
            [
                "server name = gw.a.test (line 2)",
                "server data_dir = /d (line 3)",
                "server postmaster = p@a.test (line 4)"
            ]
        );
        let (rows, more) = settings(&query(Some("limits"), None, false, 2));
        assert!(rows.len() == 2 && more > 10, "{rows:?} {more}");
        assert_eq!(settings(&query(None, Some("NOTHING has this"), false, 9)), (Vec::new(), 0));
        let rows = settings(&query(None, Some("OPS@a"), false, 9)).0;
        assert_eq!(rows, ["alerts to = ops@a.test (line 7)"]);
    }
}
