//! Holds the table of who may use whom against the code, and keeps sockets, files, clock and
//! runtime in the files that are meant to touch them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Modules in the order of dependency, and what each may use.
const TABLE: &[(&str, &[&str])] = &[
    ("mail", &[]),
    ("connector", &["mail"]),
    ("resolver", &["mail"]),
    ("outcome", &["mail", "connector"]),
    ("smtp", &["mail", "connector"]),
    ("tls", &["mail", "connector"]),
    ("spool", &["mail", "connector", "outcome"]),
    ("tracking", &["mail", "connector", "outcome"]),
    ("scheduler", &["mail", "connector", "outcome", "spool", "tracking"]),
    (
        "deliver",
        &["mail", "smtp", "connector", "outcome", "tls", "resolver", "scheduler", "tracking", "spool"],
    ),
    ("listen", &["mail", "smtp", "connector", "tls", "spool", "tracking"]),
    ("admin", &["mail", "connector", "outcome", "spool", "scheduler", "tracking"]),
    ("config", BELOW_CONFIG),
    ("cli", ALL),
    ("daemon", ALL),
    ("lab", ALL),
];

const BELOW_CONFIG: &[&str] = &[
    "mail",
    "connector",
    "resolver",
    "outcome",
    "smtp",
    "tls",
    "spool",
    "tracking",
    "scheduler",
    "deliver",
    "listen",
    "admin",
];

/// The edge: these join everything, each other included.
const ALL: &[&str] = &[
    "mail",
    "connector",
    "resolver",
    "outcome",
    "smtp",
    "tls",
    "spool",
    "tracking",
    "scheduler",
    "deliver",
    "listen",
    "admin",
    "config",
    "cli",
    "daemon",
    "lab",
];
const EDGE: &[&str] = &["cli", "daemon", "lab"];

/// Of these modules `deliver` sees values alone, so that it can't settle anything itself.
const SPOOL_VALUES_FOR_DELIVER: &[&str] = &["StoredMessage", "QueuedRecipient", "LaneKey", "Leased"];

/// Files that may touch sockets, files, the clock or the runtime; a folder stands for all in it.
const SHELL: &[&str] = &[
    "mail/clock.rs",
    "mail/content.rs",
    "connector/live.rs",
    "resolver/dns.rs",
    "tls/partners.rs",
    "tls/pem.rs",
    "tls/trust.rs",
    "tls/client.rs",
    "tls/server.rs",
    "tls/handshake.rs",
    "spool/sqlite/",
    "spool/body.rs",
    "spool/recover.rs",
    "spool/mark.rs",
    "spool/reserve.rs",
    "tracking/journal.rs",
    "tracking/log.rs",
    "tracking/vitals.rs",
    "scheduler/run.rs",
    "scheduler/archive.rs",
    "scheduler/progress.rs",
    "scheduler/tell.rs",
    "deliver/",
    "listen/",
    "admin/serve.rs",
    "admin/api.rs",
    "admin/client.rs",
    "config/load.rs",
    "daemon.rs",
    "daemon/",
    "cli/",
    "lab/",
    "main.rs",
];

/// Within the folders above: pure all the same.
const PURE: &[&str] = &["listen/settings.rs", "deliver/settings.rs"];

const SHELL_WORDS: &[&str] = &[
    "tokio::",
    "std::fs",
    "File::open",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// One source file: its path below `src`, and its text without the tests in it.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) whole: String,
    pub(crate) code: String,
}

impl Source {
    /// The top-level module it belongs to.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap();
        name == "tests.rs" || name.ends_with("_tests.rs") || self.path.contains("/tests/")
    }
}

pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let whole = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                let code = without_tests(&whole);
                sources.push(Source { path, whole, code });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// The code up to its tests, which stand last, without comments.
fn without_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().map(|line| line.find("//").map_or(line, |at| &line[..at]));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every `crate::a::B` in a text as (a, B), groups in braces opened.
fn uses(code: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let whole_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if whole_word {
            paths(&code[at + 7..], "", &mut found);
        }
    }
    found
}

/// Reads one path, or a group of paths in braces, and gives back how far it went.
fn paths(text: &str, before: &str, found: &mut Vec<(String, String)>) -> usize {
    let trimmed = text.trim_start();
    let mut at = text.len() - trimmed.len();
    if trimmed.starts_with('{') {
        at += 1;
        loop {
            at += paths(&text[at..], before, found);
            let rest = &text[at..];
            let skipped = rest.len() - rest.trim_start().len();
            match rest.trim_start().chars().next() {
                Some(',') => at += skipped + 1,
                Some('}') => return at + skipped + 1,
                _ => return text.len(),
            }
        }
    }
    let word: String = trimmed.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    at += word.len();
    let next = text[at..].strip_prefix("::");
    match (before, next) {
        ("", Some(rest)) if !word.is_empty() => at + 2 + paths(rest, &word, found),
        ("", _) => {
            if !word.is_empty() {
                found.push((word, String::new()));
            }
            at
        }
        (module, deeper) => {
            if !word.is_empty() {
                found.push((module.to_owned(), word));
            }
            // What is below the second word is of no interest, but a group there must be passed.
            deeper.map_or(at, |rest| at + 2 + paths(rest, module, &mut Vec::new()))
        }
    }
}

#[track_caller]
fn none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n  {}", faults.join("\n  "));
}

#[test]
fn every_row_names_earlier_rows_alone() {
    for (place, (module, row)) in TABLE.iter().enumerate() {
        for used in row.iter().filter(|used| !(EDGE.contains(module) && EDGE.contains(used))) {
            let at = TABLE.iter().position(|(name, _)| name == used);
            assert!(at.is_some_and(|at| at < place), "{module} may not use {used}: it comes later");
        }
    }
}

#[test]
fn every_module_has_a_row() {
    let modules: BTreeSet<String> = sources().iter().map(|s| s.module().to_owned()).collect();
    let faults: Vec<String> = modules
        .into_iter()
        .filter(|m| m != "lib" && m != "main" && !TABLE.iter().any(|(n, _)| n == m))
        .collect();
    none("modules without a row", &faults);
}

#[test]
fn modules_use_what_their_row_allows() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some((module, row)) = TABLE.iter().find(|(name, _)| *name == source.module()) else { continue };
        if source.is_test() {
            continue;
        }
        for (used, item) in uses(&source.code) {
            if used == *module || !TABLE.iter().any(|(name, _)| *name == used) {
                continue;
            }
            let values = *module == "deliver" && used == "spool";
            let allowed = row.contains(&used.as_str());
            if !allowed || values && !SPOOL_VALUES_FOR_DELIVER.contains(&item.as_str()) {
                faults.push(format!("src/{} uses crate::{used}::{item}", source.path));
            }
        }
    }
    faults.dedup();
    none("uses outside the row", &faults);
}

#[test]
fn shell_words_stay_in_shell_files() {
    let starred = |path: &str| {
        let shell = SHELL.iter().any(|s| path == *s || s.ends_with('/') && path.starts_with(s));
        shell && !PURE.contains(&path)
    };
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| !starred(&s.path) && !s.is_test()) {
        for word in SHELL_WORDS.iter().filter(|word| source.code.contains(**word)) {
            faults.push(format!("src/{} has {word}", source.path));
        }
    }
    none("sockets, files, clock or runtime outside the shell", &faults);
}

/// In `scheduler/core` a decision is a value and nothing else: no runtime, lock, shared state or effect of a drop.
#[test]
fn the_core_of_the_scheduler_is_plain_data() {
    let words =
        ["tokio", "Mutex", "RwLock", "RefCell", "Cell<", "Atomic", "Weak", "impl Drop", "async ", "fastrand"];
    let core: Vec<Source> =
        sources().into_iter().filter(|s| s.path.starts_with("scheduler/core/") && !s.is_test()).collect();
    assert!(core.len() > 10, "the files of the core were not found");
    let mut faults = Vec::new();
    for source in &core {
        for word in words.iter().chain(SHELL_WORDS).filter(|word| source.code.contains(**word)) {
            faults.push(format!("src/{} has {word}", source.path));
        }
    }
    none("not pure", &faults);
}

#[test]
fn only_config_sees_toml() {
    let faults: Vec<String> = sources()
        .iter()
        .filter(|s| s.module() != "config" && !s.is_test() && s.code.contains("toml::"))
        .map(|s| s.path.clone())
        .collect();
    none("TOML outside config", &faults);
}

#[test]
fn files_and_functions_stay_short() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| !s.is_test()) {
        let lines = source.code.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("src/{}: {lines} lines", source.path));
        }
        for (name, lines) in functions(&source.code).into_iter().filter(|(_, n)| *n > FUNCTION_LINES_MAX) {
            faults.push(format!("src/{}: {name} has {lines} lines", source.path));
        }
    }
    none("too long", &faults);
}

/// Functions and their lengths; the formatter puts the closing brace below the `fn`.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let body = line.trim_start();
        let starts = [
            "fn ",
            "pub fn ",
            "async fn ",
            "pub async fn ",
            "pub(crate) fn ",
            "pub(super) fn ",
            "pub(crate) async fn ",
            "pub(super) async fn ",
            "const fn ",
            "pub const fn ",
        ];
        if !starts.iter().any(|start| body.starts_with(start)) || body.ends_with(';') || body.ends_with('}') {
            continue;
        }
        let indent = &line[..line.len() - body.len()];
        let (closing, declared) = (format!("{indent}}}"), lines[at..].iter().position(|l| l.ends_with(';')));
        let opened = lines[at..].iter().position(|l| l.ends_with('{') || l.ends_with('}'));
        if declared < opened && declared.is_some() {
            continue;
        }
        if let Some(length) = lines[at..].iter().position(|l| l.trim_end() == closing) {
            found.push((body.split('(').next().unwrap_or(body).to_owned(), length + 1));
        }
    }
    found
}

#[test]
fn the_scanner_sees_what_it_should() {
    let code = "use crate::{mail::{Domain, Reply}, spool::Spool};\nlet x = crate::tls::Identity::load();\n\
                use crate::connector::admit::{Channel, admit};\nuse crate::mail;";
    let found: Vec<String> = uses(code).into_iter().map(|(a, b)| format!("{a}:{b}")).collect();
    assert_eq!(
        found,
        ["mail:Domain", "mail:Reply", "spool:Spool", "tls:Identity", "connector:admit", "mail:"]
    );
    let long = format!("fn long() {{\n{}}}\n", "    go();\n".repeat(80));
    assert_eq!(functions(&long), [("fn long".to_owned(), 82)]);
    assert!(!without_tests("fn a() {}\n#[cfg(test)]\nmod tests {\n tokio::x }").contains("tokio::"));
}
