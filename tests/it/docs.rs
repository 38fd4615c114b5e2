//! The book in `docs/` against itself and against the program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::architecture::sources;
use crate::peer::daemon::PROGRAM;
use crate::style_english::said_by_the_program;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Path and text of every page for readers.
pub(crate) fn pages() -> Vec<(String, String)> {
    let mut paths = vec!["README.md".to_owned(), "deploy/README.md".to_owned()];
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            paths.push(format!("docs/{name}"));
        }
    }
    paths.sort();
    let read = |path: String| {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

pub(crate) fn page(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// A page without its code.
pub(crate) fn prose(text: &str) -> String {
    let mut in_block = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

pub(crate) fn in_backticks(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The anchors of a page, as GitHub and mdbook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut in_block = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        in_block ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if in_block || title == line || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().to_lowercase();
        let slug: String = kept
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let again = seen.entry(slug.clone()).or_default();
        found.insert(if *again == 0 { slug } else { format!("{slug}-{again}") });
        *again += 1;
    }
    found
}

/// What the links of a page name: `[words](this)`.
fn links(text: &str) -> Vec<String> {
    let mut in_block = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        !in_block && !fence
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let ends = text.split("](").skip(1);
    ends.filter_map(|rest| rest.split_once(')')).map(|(link, _)| link.to_owned()).collect()
}

fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    let mut faults = Vec::new();
    for (path, text) in pages() {
        let folder = root().join(&path).parent().unwrap().to_owned();
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            checked += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { root().join(&path) } else { without_dots(&folder.join(file)) };
            if !file.exists() {
                faults.push(format!("{path}: {link}: there is no such file"));
            } else if !anchor.is_empty() {
                let there = std::fs::read_to_string(&file).unwrap();
                if !anchors(&there).contains(anchor) {
                    faults.push(format!("{path}: {link}: there is no such heading"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "links that lead nowhere:\n  {}", faults.join("\n  "));
    assert!(checked > 60, "only {checked} links were found");
}

#[test]
fn the_summary_has_every_chapter_once() {
    let listed = links(&page("docs/SUMMARY.md"));
    let mut sorted = listed.clone();
    sorted.sort();
    let chapters: Vec<String> = pages()
        .into_iter()
        .filter_map(|(path, _)| path.strip_prefix("docs/").map(str::to_owned))
        .filter(|name| name != "SUMMARY.md")
        .collect();
    assert_eq!(sorted, chapters);
    assert_eq!(listed.first().map(String::as_str), Some("introduction.md"));
}

/// The first cells of a table's rows, below a heading.
fn first_cells(text: &str, heading: &str) -> String {
    let (_, below) = text.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let section = below.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|row| row.split(" | ").next()).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_event_is_in_the_page_of_the_log() {
    let sources = sources();
    let journal = sources.iter().find(|source| source.path == "tracking/journal.rs").unwrap();
    let calls = journal.code.split("tell!(").skip(1);
    let events: BTreeSet<&str> = calls.filter_map(|call| call.split('"').nth(1)).collect();
    let table = first_cells(&page("docs/log.md"), "The log");
    assert_eq!(in_backticks(&table).into_iter().collect::<BTreeSet<_>>(), events);
}

#[test]
fn every_kind_of_alert_is_in_the_page_of_alerts() {
    let page = page("docs/alerts.md");
    let kinds: BTreeSet<&str> = sealpost::alert::AlertKind::ALL.iter().map(|kind| kind.word()).collect();
    assert_eq!(in_backticks(&first_cells(&page, "Kinds")).into_iter().collect::<BTreeSet<_>>(), kinds);
    let settings = sealpost::alert::AlertMail::test(sealpost::mail::UnixMillis(0));
    let notice = sealpost::alert::AlertNotice::of(&settings.items[0], "gw1", sealpost::mail::UnixMillis(0));
    let notice = serde_json::to_value(notice).unwrap();
    let fields: BTreeSet<&str> = notice.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(in_backticks(&first_cells(&page, "The webhook")).into_iter().collect::<BTreeSet<_>>(), fields);
}

#[test]
fn every_reason_is_in_the_page_of_the_log() {
    let sources = sources();
    let mut tokens = BTreeSet::new();
    for path in ["shortfall", "profile", "render", "judge", "facts"] {
        let source = sources.iter().find(|s| s.path == format!("connector/{path}.rs")).unwrap();
        for (at, _) in source.code.match_indices("fn token(") {
            let body = source.code[at..].split("\n    }\n").next().unwrap();
            tokens.extend(body.lines().filter(|l| l.contains("=>")).filter_map(|l| l.split('"').nth(1)));
        }
    }
    assert!(tokens.len() > 30, "{tokens:?}");
    let page = page("docs/log.md");
    let table = first_cells(&page, "Reasons");
    let listed: BTreeSet<&str> =
        in_backticks(&table).into_iter().filter(|token| *token != "audit-").collect();
    assert_eq!(listed, tokens);
}

#[test]
fn troubleshooting_quotes_what_the_program_says() {
    let page = page("docs/troubleshooting.md");
    let said = said_by_the_program();
    let titles = page.lines().filter_map(|line| line.strip_prefix("### "));
    let cells = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut quoted: Vec<&str> = titles.flat_map(in_backticks).collect();
    quoted.extend(cells);
    assert!(quoted.len() > 40, "{quoted:?}");
    let mut faults = Vec::new();
    // A reply's code and status are numbers in the code.
    for symptom in quoted.iter().filter(|symptom| !symptom.starts_with(|c: char| c.is_ascii_digit())) {
        for part in symptom.split('…').map(|part| part.trim_matches([' ', ',', ';'])) {
            // `answered MAIL with`, and the like.
            if !said.contains(part) {
                faults.push(format!("`{symptom}`: nothing says \"{part}\""));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_refusal_is_in_the_page_of_the_log() {
    let page = page("docs/log.md");
    let table = first_cells(&page, "Replies");
    let mut seen = BTreeSet::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        if !["smtp/", "listen/", "connector/"].iter().any(|folder| source.path.starts_with(folder)) {
            continue;
        }
        // `550, Enhanced(5, 7, 1)`, however it is wrapped.
        let code = source.code.split_whitespace().collect::<Vec<_>>().join(" ");
        for (at, _) in code.match_indices(", Enhanced(") {
            let reply: String = code[..at].chars().rev().take(3).collect();
            let reply: String = reply.chars().rev().collect();
            let digits = code[at + ", Enhanced(".len()..].split(')').next().unwrap().replace(", ", ".");
            if reply.starts_with(['4', '5']) && reply.parse::<u16>().is_ok() {
                seen.insert(format!("{reply} {digits}"));
            }
        }
    }
    assert!(seen.len() > 25, "{seen:?}");
    let listed: BTreeSet<&str> = in_backticks(&table).into_iter().collect();
    let missing: Vec<&String> = seen.iter().filter(|reply| !listed.contains(reply.as_str())).collect();
    assert!(missing.is_empty(), "not in docs/log.md: {missing:?}");
}

#[test]
fn every_verb_is_in_the_book() {
    let output = std::process::Command::new(PROGRAM).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let verbs = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let verbs: Vec<&str> = verbs.filter(|verb| !verb.is_empty() && *verb != "help").collect();
    assert!(verbs.len() > 12, "{verbs:?}");
    let pages = pages();
    let book: Vec<&String> =
        pages.iter().filter(|(path, _)| path.starts_with("docs/")).map(|(_, text)| text).collect();
    for verb in verbs {
        let named = format!("sealpost {verb}");
        assert!(book.iter().any(|text| text.contains(&named)), "no page says `{named}`");
    }
}
