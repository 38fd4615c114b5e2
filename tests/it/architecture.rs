//! Holds ARCHITECTURE's table of who may use whom against the code, and keeps sockets, files, clock and
//! runtime in the files that are meant to touch them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files that may touch sockets, files, the clock or the runtime, one by one. One that no longer does has to go.
const SHELL: &[&str] = &[
    "mail/clock.rs",
    "connector/live.rs",
    "resolver/dns.rs",
    "resolver/edns.rs",
    "tls/cache.rs",
    "tls/client.rs",
    "tls/partners.rs",
    "tls/pem.rs",
    "tls/server.rs",
    "retrieve/get.rs",
    "retrieve/keep.rs",
    "retrieve/post.rs",
    "lookout/store.rs",
    "spool/body.rs",
    "spool/mark.rs",
    "spool/recover.rs",
    "spool/reserve.rs",
    "spool/sqlite/aside.rs",
    "spool/sqlite/inspect.rs",
    "spool/sqlite/lock.rs",
    "spool/sqlite/mod.rs",
    "spool/sqlite/ops.rs",
    "spool/sqlite/reader.rs",
    "spool/sqlite/salvage.rs",
    "spool/sqlite/schema.rs",
    "spool/sqlite/shared.rs",
    "spool/sqlite/start.rs",
    "spool/sqlite/trial.rs",
    "spool/sqlite/upkeep.rs",
    "spool/sqlite/writer.rs",
    "spool/undo.rs",
    "tracking/protocol/files.rs",
    "tracking/vitals.rs",
    "trace/aside.rs",
    "trace/keyring.rs",
    "trace/recorder.rs",
    "trace/schema.rs",
    "trace/stamps.rs",
    "trace/writer.rs",
    "alert/watcher.rs",
    "scheduler/archive.rs",
    "scheduler/jobs.rs",
    "scheduler/progress.rs",
    "scheduler/questions.rs",
    "scheduler/run.rs",
    "scheduler/tell.rs",
    "listen/accept.rs",
    "listen/census.rs",
    "listen/closed.rs",
    "listen/converse.rs",
    "listen/converse/asking.rs",
    "listen/converse/sealing.rs",
    "listen/converse/sending.rs",
    "listen/deadline.rs",
    "listen/early.rs",
    "listen/lobby.rs",
    "listen/login.rs",
    "listen/turns.rs",
    "deliver/answers.rs",
    "deliver/connection.rs",
    "deliver/convert.rs",
    "deliver/dial.rs",
    "deliver/leaving.rs",
    "deliver/login.rs",
    "deliver/memory.rs",
    "deliver/open.rs",
    "deliver/pool.rs",
    "deliver/probe.rs",
    "deliver/route.rs",
    "deliver/search.rs",
    "deliver/verify.rs",
    "submit/client.rs",
    "submit/drop.rs",
    "admin/messages.rs",
    "admin/asker.rs",
    "admin/serve.rs",
    "admin/site.rs",
    "admin/door.rs",
    "admin/tcp.rs",
    "admin/tracked.rs",
    "config/files.rs",
    "lab/client.rs",
    "lab/folder.rs",
    "lab/hybrid/desk.rs",
    "lab/hybrid/play.rs",
    "lab/hybrid/sender.rs",
    "lab/hybrid/serve.rs",
    "lab/hybrid/stage.rs",
    "lab/hybrid/switches.rs",
    "lab/hybrid/tls11.rs",
    "lab/inbound.rs",
    "lab/keep.rs",
    "lab/mod.rs",
    "lab/outbound.rs",
    "lab/partner.rs",
    "lab/ports.rs",
    "lab/stage.rs",
    "lab/tour/host.rs",
    "lab/tour/mod.rs",
    "lab/tour/stage.rs",
    "lab/tour/traffic.rs",
    "lab/wire.rs",
    "lab/zone.rs",
    "assure/doors.rs",
    "assure/inbound.rs",
    "assure/mod.rs",
    "assure/outbound.rs",
    "assure/server.rs",
    "assure/visit.rs",
    "cli/assure.rs",
    "cli/control.rs",
    "cli/doctor.rs",
    "console/door.rs",
    "console/sessions.rs",
    "console/site.rs",
    "console/validate.rs",
    "evidence/folder.rs",
    "evidence/package.rs",
    "evidence/summary.rs",
    "cli/explain.rs",
    "cli/import.rs",
    "cli/init/files.rs",
    "cli/manual.rs",
    "cli/probe.rs",
    "cli/report.rs",
    "cli/revive.rs",
    "cli/run.rs",
    "cli/runtime.rs",
    "cli/sendmail.rs",
    "cli/sendmail/session.rs",
    "cli/validate/running.rs",
    "cli/wait.rs",
    "daemon/alerting.rs",
    "daemon/braking.rs",
    "daemon/doctor.rs",
    "daemon/ending.rs",
    "daemon/fetch.rs",
    "daemon/guard.rs",
    "daemon/lookout.rs",
    "daemon/mod.rs",
    "daemon/monitor.rs",
    "daemon/breakglass.rs",
    "daemon/overrides.rs",
    "daemon/pickup.rs",
    "daemon/print.rs",
    "daemon/process.rs",
    "daemon/referrals.rs",
    "daemon/reload.rs",
    "daemon/reporting.rs",
    "daemon/stamping.rs",
    "daemon/signals.rs",
    "daemon/state_file.rs",
    "daemon/validated.rs",
    "daemon/watch.rs",
    "daemon/webhook.rs",
];

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

/// What is below `src`.
pub(crate) fn sources() -> Vec<Source> {
    below(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

/// What is below `tests`, all of it tests.
fn test_sources() -> Vec<Source> {
    let mut sources = below(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    sources.iter_mut().for_each(|source| source.path = format!("../tests/{}", source.path));
    sources
}

fn below(root: PathBuf) -> Vec<Source> {
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
pub(crate) fn none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n  {}", faults.join("\n  "));
}

/// A row of ARCHITECTURE.md: modules, and what each may use, with the only items it may see of it where it says so.
struct Entry {
    modules: Vec<String>,
    uses: Vec<(String, Vec<String>)>,
}

/// The table of ARCHITECTURE.md, in the order of dependency. A row's modules may use each other.
fn table() -> Vec<Entry> {
    read_table(&page())
}

/// ARCHITECTURE.md.
pub(crate) fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap()
}

fn read_table(page: &str) -> Vec<Entry> {
    let rows = page.lines().skip_while(|line| !line.starts_with("| module |")).skip(2);
    let mut table: Vec<Entry> = Vec::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [modules, _, uses] = cells[..] else { panic!("three cells, not: {row}") };
        let modules: Vec<String> =
            modules.split(", ").map(|name| name.trim_matches('`').to_owned()).collect();
        let named = match uses {
            "-" => Vec::new(),
            "all above" => {
                table.iter().flat_map(|row| &row.modules).map(|m| (m.clone(), Vec::new())).collect()
            }
            list => list.split(", ").map(one_use).collect(),
        };
        let among: Vec<_> = modules.iter().map(|module| (module.clone(), Vec::new())).collect();
        table.push(Entry { modules, uses: [named, among].concat() });
    }
    table
}

/// `spool` or `spool::{Leased LaneKey}`.
fn one_use(text: &str) -> (String, Vec<String>) {
    let (module, items) = text.split_once("::").unwrap_or((text, ""));
    let items = items.trim_matches(['{', '}']).split_whitespace().map(str::to_owned);
    (module.to_owned(), items.collect())
}

#[test]
fn every_row_names_earlier_rows_alone() {
    let mut earlier: Vec<String> = Vec::new();
    for row in table() {
        earlier.extend(row.modules.iter().cloned());
        for (used, _) in &row.uses {
            assert!(
                earlier.contains(used),
                "{:?} may not use {used}: it comes later, or not at all",
                row.modules
            );
        }
    }
}

#[test]
fn every_module_has_a_row() {
    let mut modules: BTreeSet<String> = sources().iter().map(|s| s.module().to_owned()).collect();
    modules.retain(|module| module != "lib" && module != "main");
    let rows: Vec<String> = table().into_iter().flat_map(|row| row.modules).collect();
    let named: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(rows.len(), named.len(), "a module has two rows");
    assert_eq!(modules, named, "modules of src, and rows of ARCHITECTURE.md");
}

#[test]
fn modules_use_what_their_row_allows() {
    let (table, mut faults, mut used_rows) = (table(), Vec::new(), BTreeSet::new());
    let all: Vec<&String> = table.iter().flat_map(|row| &row.modules).collect();
    for source in sources().iter().filter(|s| !s.is_test()) {
        let module = source.module().to_owned();
        let Some(row) = table.iter().find(|row| row.modules.contains(&module)) else { continue };
        for (used, item) in uses(&source.code).into_iter().filter(|(used, _)| all.contains(&used)) {
            let allowed = row.uses.iter().find(|(name, _)| *name == used);
            let seen = allowed.is_some_and(|(_, only)| only.is_empty() || only.contains(&item));
            if used != module && !seen {
                faults.push(format!("src/{} uses crate::{used}::{item}", source.path));
            }
            used_rows.insert((module.clone(), used));
        }
    }
    faults.dedup();
    none("uses outside the row", &faults);
    let single = table.iter().filter(|row| row.modules.len() == 1 && row.modules != ["config"]);
    let idle = single.flat_map(|row| row.uses.iter().map(|(used, _)| (row.modules[0].clone(), used.clone())));
    let idle =
        idle.filter(|(module, used)| module != used && !used_rows.contains(&(module.clone(), used.clone())));
    let idle: Vec<String> = idle.map(|(module, used)| format!("{module} uses {used} nowhere")).collect();
    none("stale in the table", &idle);
}

#[test]
fn shell_words_stay_in_shell_files() {
    let sources = sources();
    let mut faults = Vec::new();
    for source in sources.iter().filter(|s| !s.is_test()) {
        let found = SHELL_WORDS.iter().find(|word| source.code.contains(**word));
        match (found, SHELL.contains(&source.path.as_str())) {
            (Some(word), false) => faults.push(format!("src/{} has {word}", source.path)),
            (None, true) => faults.push(format!("stale: src/{} has nothing of a shell", source.path)),
            (Some(_), true) | (None, false) => {}
        }
    }
    let gone = SHELL.iter().filter(|path| !sources.iter().any(|s| s.path == **path && !s.is_test()));
    faults.extend(gone.map(|path| format!("stale: there is no src/{path}")));
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
    for source in sources().iter().chain(&test_sources()) {
        let text = if source.is_test() { &source.whole } else { &source.code };
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("src/{}: {lines} lines", source.path));
        }
    }
    for source in sources().iter().filter(|s| !s.is_test()) {
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
