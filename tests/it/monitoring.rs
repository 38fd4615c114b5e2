//! The alert rules, the dashboard and the page about metrics, held against the metrics that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use sealpost::metrics::{MetricDeclaration, catalogue};
use serde_json::Value;

use crate::config_files::repository;
use crate::peer::{left_out, tools};

const RULES: &str = "deploy/prometheus/sealpost.rules.yml";
const DASHBOARD: &str = "deploy/grafana/sealpost.json";
const PAGE: &str = "docs/metrics.md";

fn text(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// The metrics by the names of their samples.
fn samples() -> BTreeMap<String, MetricDeclaration> {
    let all = catalogue();
    all.iter().flat_map(|one| one.samples().into_iter().map(|name| (name, *one))).collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Each name of a metric in an expression, with the labels that its braces name.
fn selectors(expression: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(['s', 'p']) {
        let before = rest[..at].chars().next_back();
        let word: String = rest[at..].chars().take_while(|c| is_word(*c)).collect();
        let after = &rest[at + word.len()..];
        if !before.is_some_and(is_word) && (word.starts_with("sealpost_") || word.starts_with("process_")) {
            let labels = after.strip_prefix('{').map(labels).unwrap_or_default();
            found.push((word.clone(), labels));
        }
        rest = &rest[at + word.len().max(1)..];
    }
    found
}

/// The labels before the closing brace; values may have braces, commas and signs.
fn labels(inside: &str) -> Vec<String> {
    let (mut found, mut name, mut quoted) = (Vec::new(), String::new(), false);
    for c in inside.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '}' => break,
            '=' | '!' if !name.is_empty() => found.push(std::mem::take(&mut name)),
            c if is_word(c) => name.push(c),
            _ => name.clear(),
        }
    }
    found
}

/// The labels of `by (..)` and `on (..)`.
fn groupings(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    for opening in ["by (", "on (", "by(", "on(", "ignoring (", "without ("] {
        for part in expression.split(opening).skip(1) {
            let inside = part.split(')').next().unwrap();
            found.extend(inside.split(',').map(|one| one.trim().to_owned()));
        }
    }
    found
}

/// What is wrong with the names in an expression.
fn faults(place: &str, expression: &str) -> Vec<String> {
    let samples = samples();
    let mut faults = Vec::new();
    let selected = selectors(expression);
    for (name, labels) in &selected {
        let Some(metric) = samples.get(name) else {
            faults.push(format!("{place}: there is no metric {name}"));
            continue;
        };
        let known = |label: &str| {
            metric.labels.contains(&label)
                || ["instance", "job"].contains(&label)
                || (label == "le" && name.ends_with("_bucket"))
        };
        let foreign = labels.iter().filter(|label| !known(label));
        faults.extend(foreign.map(|label| format!("{place}: {name} has no label {label}")));
    }
    let all: BTreeSet<&str> = selected
        .iter()
        .filter_map(|(name, _)| samples.get(name))
        .flat_map(|metric| metric.labels.iter().copied())
        .chain(["instance", "job", "le"])
        .collect();
    let foreign = groupings(expression).into_iter().filter(|label| !all.contains(label.as_str()));
    faults.extend(foreign.map(|label| format!("{place}: nothing in it has the label {label}")));
    faults
}

/// The alert rules: their name and their lines.
fn rules() -> Vec<(String, String)> {
    let text = text(RULES);
    let parts = text.split("- alert: ").skip(1);
    parts.map(|part| (part.lines().next().unwrap().to_owned(), part.to_owned())).collect()
}

/// The expression of a rule, on one line or in a block.
fn expression(rule: &str) -> String {
    let (_, rest) = rule.split_once("expr: ").unwrap();
    if let Some(block) = rest.strip_prefix("|\n") {
        let inside = block.lines().take_while(|line| line.starts_with("          "));
        return inside.collect::<Vec<_>>().join("\n");
    }
    rest.lines().next().unwrap().to_owned()
}

#[test]
fn alert_rules_name_metrics_and_labels_that_there_are() {
    let rules = rules();
    assert!(rules.len() >= 20, "{}", rules.len());
    let mut wrong = Vec::new();
    for (name, rule) in &rules {
        wrong.extend(faults(name, &expression(rule)));
        for part in ["severity: ", "summary: ", "description: ", "runbook_url: "] {
            if !rule.contains(part) {
                wrong.push(format!("{name} has no {part}"));
            }
        }
        let link =
            rule.split("runbook_url: \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let file = link.split('#').next().unwrap_or_default();
        if !repository().join(file).is_file() {
            wrong.push(format!("{name}: {link} leads nowhere"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                match (key.as_str(), inner) {
                    ("expr" | "query" | "definition", Value::String(text)) => found.push(text.clone()),
                    _ => expressions(inner, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_names_metrics_and_labels_that_there_are() {
    let dashboard: Value = serde_json::from_str(&text(DASHBOARD)).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    assert!(found.len() >= 20, "{found:?}");
    let wrong: Vec<String> = found.iter().flat_map(|one| faults(one, one)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: BTreeSet<&str> = variables.iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(variables.is_superset(&["connector", "partner", "instance"].into()), "{variables:?}");
    let panels = dashboard["panels"].as_array().unwrap();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = &panel["title"];
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        assert!(panel["description"].is_string(), "{title} has no description");
    }
}

/// The rows of the page's table, as they have to be.
fn table() -> String {
    let cell =
        |labels: &[&str]| labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
    let rows = catalogue().into_iter().map(|one| {
        let name = if one.samples().len() == 1 { one.samples().remove(0) } else { one.name.to_owned() };
        format!("| `{name}` | {} | {} | {} |\n", one.kind.word(), cell(one.labels), one.help)
    });
    format!("| metric | kind | labels | meaning |\n|---|---|---|---|\n{}", rows.collect::<String>())
}

#[test]
fn the_page_has_every_metric_as_it_is_declared() {
    let page = text(PAGE);
    let (before, rest) = page.split_once("## All metrics\n\n").unwrap();
    let (old, after) = rest.split_once("\n\n").map_or((rest, ""), |(old, after)| (old, after));
    let table = table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let after = if after.is_empty() { String::new() } else { format!("\n{after}") };
        let whole = format!("{before}## All metrics\n\n{table}{after}");
        std::fs::write(repository().join(PAGE), whole).unwrap();
        return;
    }
    assert_eq!(old.trim_end(), table.trim_end(), "UPDATE_GOLDEN=1 cargo test --test it monitoring writes it");
    // What the rest of the page names exists too.
    let samples = samples();
    for (name, _) in selectors(before).into_iter().chain(selectors(after)) {
        assert!(samples.contains_key(&name), "{PAGE} names {name}");
    }
}

#[test]
fn promtool_accepts_the_rules() {
    let Some(promtool) = tools::program("promtool") else {
        return left_out(
            "monitoring::promtool_accepts_the_rules",
            "promtool is neither installed nor unpacked",
        );
    };
    let output =
        Command::new(promtool).args(["check", "rules"]).arg(repository().join(RULES)).output().unwrap();
    assert!(output.status.success(), "{}", tools::said(&output));
}

/// Lints a page of metrics as Prometheus reads it.
pub(crate) fn lint(page: &str, test: &str) {
    let Some(promtool) = tools::program("promtool") else {
        return left_out(test, "promtool is neither installed nor unpacked");
    };
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", tools::said(&output));
}

/// The checks themselves find what is wrong.
#[test]
fn wrong_names_and_labels_are_found() {
    for (expression, expected) in [
        ("sealpost_queue_messages > 1", 0),
        (
            "sum by (connector) (rate(sealpost_deliveries_total{version!=\"none\", connector=~\"a}b\"}[5m]))",
            0,
        ),
        ("histogram_quantile(0.9, sum by (le) (rate(sealpost_accept_seconds_bucket[5m])))", 0),
        ("sealpost_deliveries", 1),
        ("sealpost_queue_messages{connector=\"a\"}", 1),
        ("sum by (host) (sealpost_lanes)", 1),
    ] {
        assert_eq!(faults("it", expression).len(), expected, "{expression}: {:?}", faults("it", expression));
    }
}
