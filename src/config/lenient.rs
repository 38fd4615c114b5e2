//! What can be read of a file with errors: where a running daemon answers, and where a key was written first. Nothing
//! of it takes effect.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// `data_dir` of `[server]`, whatever is wrong with the rest of the text.
pub(super) fn data_dir(text: &str) -> Option<String> {
    let (root, _) = DeTable::parse_recoverable(text);
    let server = root.get_ref().get("server").and_then(|value| value.get_ref().as_table());
    let written = server.and_then(data_dir_of);
    // An unclosed bracket or quotation mark can swallow the lines behind it.
    written.or_else(|| text.lines().find_map(data_dir_of_line))
}

fn data_dir_of(table: &DeTable<'_>) -> Option<String> {
    let written = table.get("data_dir").and_then(|value| value.get_ref().as_str());
    written.filter(|folder| !folder.is_empty()).map(str::to_owned)
}

/// No other section has a key of this name.
fn data_dir_of_line(line: &str) -> Option<String> {
    let line = line.trim_start();
    let line = line.strip_prefix("server.").unwrap_or(line);
    DeTable::parse(line).ok().and_then(|root| data_dir_of(root.get_ref()))
}

/// Where a key that is written twice was written first; `second` is the other place.
pub(super) fn first_place(text: &str, second: &Range<usize>) -> Option<Range<usize>> {
    let name = text.get(second.clone())?.trim_matches(['"', '\'']);
    let mut places = Vec::new();
    let line_start = text.get(..second.start)?.rfind('\n').map_or(0, |at| at.saturating_add(1));
    let line = text.get(line_start..)?.lines().next().unwrap_or_default().trim();
    match line.strip_prefix('[') {
        // Of a table that begins again, only the last header is kept.
        Some(header) => {
            let (before, _) = DeTable::parse_recoverable(text.get(..line_start)?);
            header_places(before.get_ref(), header, name, &mut places);
        }
        None => {
            let (root, _) = DeTable::parse_recoverable(text);
            key_places(root.get_ref(), name, &mut places);
        }
    }
    // The keys of a table stand together, so that the last one before it is the one of the same table.
    places.into_iter().filter(|place| place.end <= second.start).max_by_key(|place| place.start)
}

/// The key of a header such as `[trust.fabrikam]`, reached by the names before it.
fn header_places(root: &DeTable<'_>, header: &str, name: &str, places: &mut Vec<Range<usize>>) {
    let path = header.split(']').next().unwrap_or_default();
    let mut table = root;
    for part in path.split('.').map(|part| part.trim().trim_matches(['"', '\'', '['])) {
        let Some((key, value)) = table.get_key_value(part) else { return };
        if part == name {
            places.push(key.span());
        }
        let Some(inner) = value.get_ref().as_table() else { return };
        table = inner;
    }
}

/// Each key of this name, at any depth.
fn key_places(table: &DeTable<'_>, name: &str, places: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        if key.get_ref().as_ref() == name {
            places.push(key.span());
        }
        value_places(value, name, places);
    }
}

fn value_places(value: &Spanned<DeValue<'_>>, name: &str, places: &mut Vec<Range<usize>>) {
    if let Some(table) = value.get_ref().as_table() {
        key_places(table, name, places);
    }
    for item in value.get_ref().as_array().into_iter().flatten() {
        value_places(item, name, places);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(data_dir(text).as_deref(), expected, "{text}");
    }

    #[test]
    fn the_folder_is_found_whatever_else_is_wrong() {
        check("[server]\ndata_dir = \"/a\"\n", Some("/a"));
        check("server = { data_dir = '/a' }\n", Some("/a"));
        check("server.data_dir = \"/a\"\n[[outbound\n", Some("/a"));
        check("[server\ndata_dir = \"/a\" # ours\n", Some("/a"));
        check("[server]\nname = \"gw\ndata_dir = \"/a\"\n", Some("/a"));
        check("[server]\nname = \"\"\"gw\ndata_dir = \"/a\"\n", Some("/a"));
        check("x = [1, 2\n[server]\n  data_dir = \"/a\"\n", Some("/a"));
        check("[server]\n#data_dir = \"/old\"\ndata_dir = \"/a\"\ndata_dir = \"/b\"\n", Some("/a"));
        check("[server]\ndata_dir = \"/a\"\nname = \n[[listener]]\nport 25\n", Some("/a"));
        check("[server]\ndata_dir = 7\n", None);
        check("[server]\ndata_dir = \"\"\n", None);
        check("", None);
    }

    #[track_caller]
    fn check_first(text: &str, expected: Option<usize>) {
        let fault = toml::from_str::<toml::Table>(text).expect_err("a duplicate");
        let first = first_place(text, &fault.span().expect("a place"));
        let line = first.map(|place| text.get(..place.start).unwrap_or_default().matches('\n').count() + 1);
        assert_eq!(line, expected, "{text}");
    }

    #[test]
    fn a_key_that_is_written_twice_has_a_first_place() {
        let two = "[a]\nx = 1\n[b]\ny = 1\nx = 2\nx = 3\n";
        check_first(two, Some(5));
        check_first("[[o]]\ntls = 1\n[[o]]\ntls = 1\nname = 2\ntls = 3\n", Some(4));
        check_first("[server]\nx = 1\n[trust.server]\ny = 1\n[server]\nz = 1\n", Some(1));
        check_first("[trust.a]\nx = 1\n[trust.b]\n[trust.a]\n", Some(1));
        check_first("[dns]\nx = { y = 1, y = 2 }\n", Some(2));
        check_first("[a]\n\"x\" = 1\nx = 2\n", Some(2));
    }
}
