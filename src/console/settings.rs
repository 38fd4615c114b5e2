//! The settings in effect, and where each is written. It changes nothing.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::page::{failed, number, page, table_below};
use super::sessions::Visitor;
use super::site::Console;
use crate::admin::{SettingSource, SettingView, SettingsQuery};
use crate::trace::clean;

/// What is looked for; an empty field asks for nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct SettingsForm {
    section: String,
    q: String,
    /// Also what is not written in the file.
    all: bool,
}

impl SettingsForm {
    /// Whoever looks for something finds it whether it is written or not.
    fn shows_defaults(&self) -> bool {
        self.all || !self.section.is_empty() || !self.q.trim().is_empty()
    }

    fn query(&self) -> SettingsQuery {
        let said = |value: &str| (!value.trim().is_empty()).then(|| value.trim().to_owned());
        SettingsQuery {
            section: said(&self.section),
            text: said(&self.q),
            written: !self.shows_defaults(),
            limit: ROWS_MAX,
        }
    }
}

/// What is in effect.
pub(super) async fn settings(
    State(console): State<Console>,
    visitor: Visitor,
    Query(form): Query<SettingsForm>,
) -> Response {
    let (outlook, query) = (Arc::clone(&console.outlook), form.query());
    let list = match console.judging(move || Ok(outlook.settings(&query))).await {
        Ok(list) => list,
        Err(why) => return failed(&visitor, StatusCode::SERVICE_UNAVAILABLE, &why),
    };
    let body = html! {
        p { "What is in effect, and where it is written in " code { (clean(&list.file)) } ". Keys that do not apply, and those without a value, are left out." }
        @if !list.overrides.is_empty() {
            div.episode.mild {
                h2 { "Overridden for now" }
                p { "The requirements below are those of the override, not what the file says at their lines:" }
                ul.lines { @for one in &list.overrides { li { (clean(one)) } } }
            }
        }
        @if !list.needs_restart.is_empty() {
            div.episode.mild {
                h2 { "The file says otherwise" }
                p { "These take effect at the next start; what is shown here is what the file says:" }
                ul.lines { @for one in &list.needs_restart { li { (clean(one)) } } }
            }
        }
        (filter(&form, &list.sections))
        @if list.rows.is_empty() { p.empty { "No setting matches." } }
        @if !form.shows_defaults() { p.hint { "Only what is written in the file is shown. Choose a section, search, or show all." } }
        @for rows in list.rows.chunk_by(|one, next| (one.section, &one.entry) == (next.section, &next.entry)) { (group(rows)) }
        @if list.more > 0 { p.hint { "And " (number(u64::try_from(list.more).unwrap_or(u64::MAX))) " more: narrow the search." } }
    };
    page(&visitor, "/settings", "Settings in effect", &body)
}

fn filter(form: &SettingsForm, sections: &[&str]) -> Markup {
    html! {
        form.filter method="get" action="/settings" role="search" {
            label.main { "Key, value, or what it is about" input type="search" name="q" value=(form.q) placeholder="timeout"; }
            label { "Section" select name="section" {
                option value="" { "all" }
                @for section in sections { option value=(section) selected[*section == form.section] { (section) } }
            } }
            label.check { input type="checkbox" name="all" value="true" checked[form.all]; "Show all" }
            button { "Show" }
        }
    }
}

/// The keys of one section, or of one of its entries.
fn group(rows: &[SettingView]) -> Markup {
    let Some(first) = rows.first() else { return html! {} };
    let title = match &first.entry {
        Some(entry) => format!("{}: {}", first.section, clean(entry)),
        None => first.section.to_owned(),
    };
    html! {
        section {
            h2 { (title) }
            (table_below(&title, &["Key", "Value", "From"], &html! {
                @for row in rows {
                    tr class=[matches!(row.source, SettingSource::Line(_)).then_some("written")] {
                        th.key-cell scope="row" { code { (row.key) } @if !row.meaning.is_empty() { p.hint { (in_plain(row.meaning)) } } }
                        td.why { (clean(&row.value)) }
                        td { (source(row.source)) }
                    }
                }
            }))
        }
    }
}

fn source(source: SettingSource) -> String {
    match source {
        SettingSource::Line(line) => format!("line {line}"),
        SettingSource::Section(section) => section.to_owned(),
        SettingSource::Derived => "follows from others".to_owned(),
        SettingSource::Default => "default".to_owned(),
    }
}

/// Meanings are written for the reference, in Markdown.
fn in_plain(meaning: &str) -> Markup {
    let parts = meaning.split('`').enumerate();
    html! {
        @for (place, part) in parts {
            @if place % 2 == 1 { code { (part) } } @else { (without_links(part)) }
        }
    }
}

/// `[words](place)` as words.
fn without_links(text: &str) -> String {
    let mut parts = text.split("](");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some(at) = plain.rfind('[') {
            plain.remove(at);
        }
        plain.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
    }
    plain
}

const ROWS_MAX: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meanings_are_read_without_marks() {
        let plain = |meaning| in_plain(meaning).into_string();
        assert_eq!(plain("See [alerts](alerts.md#kinds)."), "See alerts.");
        assert_eq!(
            plain("Lines of `[trust.ID]`, [a](b) and [c](d)"),
            "Lines of <code>[trust.ID]</code>, a and c"
        );
        assert_eq!(plain("<b>"), "&lt;b&gt;");
    }
}
