//! The page of rules names tests that are there, for each rule at least one.

use std::collections::BTreeSet;
use std::path::Path;

fn functions() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("tests/it")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
                let name = line.trim_start_matches("async ").strip_prefix("fn ");
                if let Some((name, _)) = name.and_then(|rest| rest.split_once('('))
                    && std::mem::take(&mut is_test)
                {
                    found.insert(name.to_owned());
                }
            }
        }
    }
    found
}

#[test]
fn each_rule_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/conformance.md")).unwrap();
    let tests = functions();
    let mut rules = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")) {
        rules += 1;
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells[0], rules.to_string(), "{row}");
        let named: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row}");
        for name in named {
            let there = match name.ends_with(".txt") {
                true => root.join("tests/data/dialogues").join(name).exists(),
                false => tests.contains(name),
            };
            assert!(there, "rule {rules}: there is no test {name}");
        }
    }
    assert_eq!(rules, 58);
}
