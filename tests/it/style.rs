//! What the compiler's lints don't see.

use crate::architecture::sources;

#[track_caller]
fn none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n  {}", faults.join("\n  "));
}

#[test]
fn every_file_says_what_it_is() {
    let faults: Vec<String> =
        sources().iter().filter(|s| !s.whole.starts_with("//!")).map(|s| s.path.clone()).collect();
    none("no //! at the top", &faults);
}

#[test]
fn nothing_is_left_to_do() {
    let words = ["todo!", "unimplemented!", "dbg!", "TODO", "FIXME", "XXX", "HACK"];
    let mut faults = Vec::new();
    for source in sources() {
        for word in words.iter().filter(|word| source.whole.contains(**word)) {
            faults.push(format!("src/{}: {word}", source.path));
        }
    }
    none("left to do", &faults);
}

#[test]
fn nothing_changes_behaviour_under_test() {
    // Tests use the shipped program, so it must not know that it is tested.
    let mut faults = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.whole.lines().collect();
        for (at, _) in lines.iter().enumerate().filter(|(_, l)| l.trim() == "#[cfg(test)]") {
            let next = lines.get(at + 1).copied().unwrap_or_default().trim_start();
            // A module of tests, or helpers that only tests can see, changes nothing.
            if !next.contains("mod ") && !next.starts_with("use ") && !next.starts_with("#[") {
                faults.push(format!("src/{}: line {}: {next}", source.path, at + 2));
            }
        }
        for word in ["cfg!(test)", "cfg(not(test))", "static mut", "lazy_static"] {
            if source.whole.contains(word) {
                faults.push(format!("src/{}: {word}", source.path));
            }
        }
    }
    none("behaviour that depends on being tested", &faults);
}

#[test]
fn verbs_read_and_print_types() {
    // An answer has one type, for who gives it and who reads it: a renamed field breaks the build.
    let words =
        ["json::Value", "json::Map", "Value::", "json!", "to_value(", "from_value(", ".pointer(", ".get(\""];
    let verbs: Vec<_> = sources().into_iter().filter(|s| s.path.starts_with("cli/")).collect();
    assert!(verbs.len() > 15, "the verbs were not found");
    let mut faults = Vec::new();
    for source in &verbs {
        for word in words.iter().filter(|word| source.code.contains(**word)) {
            faults.push(format!("src/{}: {word}", source.path));
        }
    }
    none("JSON without a type", &faults);
}

#[test]
fn every_allow_has_its_reason() {
    let mut faults = Vec::new();
    for source in sources() {
        for (at, _) in source.whole.match_indices("[allow(").chain(source.whole.match_indices("[expect(")) {
            let attribute = source.whole[at..].split(")]").next().unwrap();
            if !attribute.contains("reason") {
                let line = source.whole[..at].lines().count();
                faults.push(format!("src/{}: line {line}", source.path));
            }
        }
    }
    none("an allow without a reason", &faults);
}
