//! Forbids circles between the files of a module, and two types of one name.
//!
//! A file uses another if it names an item that the other one defines, by a `use` or by a path, through
//! however many re-exports. Only files of the same module count, a parent and its children too. A `pub use`
//! passes a name on and is no use of it; nor is a call of a method, which names no file.

use std::collections::{BTreeMap, BTreeSet};

use crate::architecture::{Source, none, sources};

/// Names that two types have or more, with what they stand for. One that has become unique has to go.
const SHARED_NAMES: &[(&str, &str)] = &[
    ("Action", "what a session is to do; a subcommand of `queue`, and of `spool`"),
    ("Alarm", "an alarm for the operator; who sounds it for the spool"),
    ("Answer", "to an SMTP line, a fetch, an operation of the writer, a request over the control socket"),
    ("At", "the core's time and table; whom an outcome is about"),
    ("Body", "a body on its way in; what startup finds of one"),
    ("Carrier", "the trait, and its record in the core"),
    ("Cause", "of the end of the process; of a trouble of mail"),
    ("Claim", "of a client about itself; of startup on leases"),
    ("Client", "what a client said of itself; a client of our own listener"),
    ("Command", "of SMTP; of the command line"),
    ("Connectors", "of the view; of the configuration"),
    ("Count", "a kind of key; sessions of one client"),
    ("Direction", "of a connector in the view; of a row of the lab"),
    ("End", "of an inbound session; of a session with a stand-in"),
    ("Ending", "of the process, of a carrier, of a transaction"),
    ("File", "the configuration file; a kind of key"),
    ("Filter", "a kind of key; of a list of messages"),
    ("Folder", "a kind of key; of the lab"),
    ("Key", "a key of the configuration; what sessions of one host have in common"),
    ("Kind", "the trait of a kind of key; of a report"),
    ("Left", "what of a limit is left: memory, commands"),
    ("Limits", "of sockets; of the core"),
    ("Line", "a kind of key; a line of lanes, of the log, of a file"),
    ("Loss", "of rows; of a task"),
    ("MailFrom", "as read; as written"),
    ("Mark", "of a fault on disk; a row as it was"),
    ("Measure", "of memory; of time per row"),
    ("NameFault", "of a peer's name; of a name that is looked up"),
    ("Need", "whether a key is needed; what a session is needed for"),
    ("Overdue", "a deadline that has passed; recipients that have waited long"),
    ("Part", "of reports at once; of a list"),
    ("Patterns", "of connectors; a kind of key"),
    ("Place", "of a key, in a line, in a network, of a lane, of a row"),
    ("Question", "to a verifier; to a reader of the spool"),
    ("Refusal", "of the control socket; of SMTP"),
    ("Report", "of errors; the one of RFC 3464"),
    ("Revisions", "of named files; of two tables"),
    ("Room", "memory for sessions; room on a disk"),
    ("Row", "of the lab; of the database"),
    ("Rules", "of a session; of a settlement"),
    ("Settings", "each module has its own, and is named with it"),
    ("Share", "of a network; of a host"),
    ("Stage", "of an SMTP session; of the lab; of a place"),
    ("State", "of the machine in its file, named by nobody else"),
    ("Step", "of a login; of an opening"),
    ("Tally", "of errors of a client; of places"),
    ("Timeouts", "of a session that comes in; of one that goes out"),
    ("Transaction", "of a session that comes in; of one that goes out"),
    ("Trial", "of a spool; of a host"),
    ("Verb", "of SMTP; of the command line"),
    ("Waits", "a kind of key; the deadlines of a session"),
    ("Wire", "of a stand-in; of a session that goes out"),
    ("Word", "a kind of key; of the watchdog to systemd"),
    ("Words", "the trait of a kind of key; a connector in words"),
];

/// Types named by one participle, each the word that STYLE or RFC 5321 has for it. One that is gone has to go.
const PARTICIPLES: &[(&str, &str)] = &[
    ("Attained", "what a session attained, as a requirement is what was required"),
    ("Enhanced", "an enhanced status code (RFC 3463)"),
    ("Forced", "forced TLS, the field's own word"),
    ("Leased", "a message's recipients of one lane, leased"),
    ("Observed", "what a session showed"),
    ("Offered", "extensions offered in EHLO's answer"),
    ("Received", "the trace header field of that name"),
];

const TYPES: &[&str] = &["struct", "enum", "trait", "type", "union"];
const ITEMS: &[&str] = &["struct", "enum", "trait", "type", "union", "fn", "const", "static", "macro_rules"];

type Name = Vec<String>;
/// Who uses whom by which names, files by their paths.
pub(crate) type Uses = BTreeMap<(String, String), BTreeSet<String>>;

/// Words and punctuation of a text, without comments and literals.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        match chars[at] {
            '/' if next == '/' => at = end_of(&chars, at, |c| c == '\n'),
            '"' => at = after_string(&chars, at + 1),
            '\'' if next == '\\' => at = end_of(&chars, at + 3, |c| c == '\'') + 1,
            '\'' if chars.get(at + 2) == Some(&'\'') => at += 3,
            'r' if next == '"' || next == '#' => match raw_string(&chars, at + 1) {
                Some(end) => at = end,
                None => at += 2,
            },
            ':' if next == ':' => {
                found.push("::".to_owned());
                at += 2;
            }
            c if is_word(c) => {
                let end = end_of(&chars, at, |c| !is_word(c));
                let bytes = chars.get(end) == Some(&'"') && matches!(&chars[at..end], ['b'] | ['b', 'r']);
                if !bytes {
                    found.push(chars[at..end].iter().collect());
                }
                at = end;
            }
            c => {
                if !c.is_whitespace() {
                    found.push(c.to_string());
                }
                at += 1;
            }
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn end_of(chars: &[char], from: usize, ends: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|at| ends(chars[*at])).unwrap_or(chars.len())
}

fn after_string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Past a raw string whose `#`s begin here; `None` for a raw identifier.
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return None;
    }
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = at + hashes + 1;
    let end = chars[body..].windows(closing.len()).position(|w| w == closing)?;
    Some(body + end + closing.len())
}

/// One file as the search for circles sees it.
#[derive(Default)]
struct File {
    path: String,
    /// Items that it defines, and those of them that are types.
    items: BTreeSet<String>,
    types: BTreeSet<String>,
    /// Names that a `use` brings in, and where from.
    names: BTreeMap<String, Name>,
    /// Every path that counts as a use.
    paths: BTreeSet<Name>,
}

impl File {
    fn read(source: &Source) -> Self {
        let text = source.whole.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let tokens = tokens(text);
        let mut file = Self { path: source.path.clone(), ..Self::default() };
        let (mut at, mut depth) = (0, 0_usize);
        while at < tokens.len() {
            match tokens[at].as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                "use" => {
                    let public = at > 0 && matches!(tokens[at - 1].as_str(), "pub" | ")");
                    let end = (at..tokens.len()).find(|i| tokens[*i] == ";").unwrap_or(tokens.len());
                    file.brought_in(&tokens[at + 1..end], public, depth);
                    at = end;
                }
                word if depth == 0 && ITEMS.contains(&word) => {
                    let name = if word == "macro_rules" { at + 2 } else { at + 1 };
                    let name = tokens.get(name).cloned().unwrap_or_default();
                    if TYPES.contains(&word) {
                        file.types.insert(name.clone());
                    }
                    if name != "fn" {
                        file.items.insert(name);
                    }
                }
                word if word.starts_with(is_word) => {
                    let path = plain_path(&tokens[at..]);
                    at += path.len() * 2 - 2;
                    if path.len() > 1 {
                        file.paths.insert(path);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        file
    }

    fn brought_in(&mut self, tree: &[String], public: bool, depth: usize) {
        let mut leaves = Vec::new();
        leaves_of(tree, &[], &mut leaves);
        for (path, name) in leaves {
            if !(public && depth == 0) {
                self.paths.insert(path.clone());
            }
            if depth == 0 {
                self.names.insert(name, path);
            }
        }
    }

    /// The module that the file is, as a path from the root of the crate.
    fn name(&self) -> Name {
        let path = self.path.trim_end_matches(".rs");
        path.strip_suffix("/mod").unwrap_or(path).split('/').map(str::to_owned).collect()
    }
}

/// `a::b::c` at the beginning of the tokens.
fn plain_path(tokens: &[String]) -> Name {
    let mut path = vec![tokens[0].clone()];
    for pair in tokens[1..].chunks(2) {
        match pair {
            [colons, word] if colons == "::" && word.starts_with(is_word) => path.push(word.clone()),
            _ => break,
        }
    }
    path
}

/// The names that a `use` tree brings in, each with its path; gives back how far it read.
fn leaves_of(tokens: &[String], before: &[String], found: &mut Vec<(Name, String)>) -> usize {
    let mut path = before.to_vec();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    at += leaves_of(&tokens[at..], &path, found);
                    at += usize::from(tokens.get(at).is_some_and(|t| t == ","));
                }
                return at + 1;
            }
            "," | "}" => break,
            "::" => at += 1,
            "as" => {
                if let Some(alias) = tokens.get(at + 1) {
                    found.push((path, alias.clone()));
                }
                return at + 2;
            }
            "self" if !path.is_empty() => at += 1,
            word => {
                path.push(word.to_owned());
                at += 1;
            }
        }
    }
    if let Some(name) = path.last().cloned() {
        found.push((path, name));
    }
    at
}

/// All files but those of tests.
pub(crate) struct Tree(BTreeMap<Name, File>);

impl Tree {
    pub(crate) fn read(sources: &[Source]) -> Self {
        let files = sources.iter().filter(|s| !s.is_test()).map(File::read);
        Self(files.map(|file| (file.name(), file)).collect())
    }

    pub(crate) fn uses(&self) -> Uses {
        let mut uses = Uses::new();
        for (name, file) in &self.0 {
            for path in &file.paths {
                let Some(used) = self.defines(name, path, 0) else { continue };
                if used != file.path && used.split(['/', '.']).next() == file.path.split(['/', '.']).next() {
                    let what = path.last().cloned().unwrap_or_default();
                    uses.entry((file.path.clone(), used)).or_default().insert(what);
                }
            }
        }
        uses
    }

    /// The file that defines what `path` names in the file `from`.
    fn defines(&self, from: &[String], path: &[String], depth: usize) -> Option<String> {
        let (mut at, mut rest) = self.beginning(from, path)?;
        while let Some((first, others)) = rest.split_first() {
            let below: Name = at.iter().chain([first]).cloned().collect();
            if !self.0.contains_key(&below) {
                break;
            }
            (at, rest) = (below, others);
        }
        let (file, item) = (self.0.get(&at)?, rest.first()?);
        if file.items.contains(item) {
            return Some(file.path.clone());
        }
        let passed_on = file.names.get(item).filter(|_| depth < 12)?;
        let path: Name = passed_on.iter().chain(&rest[1..]).cloned().collect();
        self.defines(&at, &path, depth + 1)
    }

    /// The module where `path` begins, and what is left of it.
    fn beginning<'a>(&self, from: &[String], path: &'a [String]) -> Option<(Name, &'a [String])> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some((Name::new(), rest)),
            "self" => Some((from.to_vec(), rest)),
            "super" => {
                let ups = path.iter().take_while(|word| *word == "super").count();
                Some((from[..from.len().checked_sub(ups)?].to_vec(), &path[ups..]))
            }
            _ => {
                let below: Name = from.iter().chain([first]).cloned().collect();
                let known = self.0.contains_key(&below) || self.0.get(from)?.names.contains_key(first);
                known.then(|| (from.to_vec(), path))
            }
        }
    }
}

/// For each file those it reaches by one use or more.
pub(crate) fn reached(uses: &Uses) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut reached: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in uses.keys() {
        reached.entry(from).or_default().insert(to);
    }
    loop {
        let before: usize = reached.values().map(BTreeSet::len).sum();
        let next = reached.clone();
        for further in reached.values_mut() {
            for through in further.clone() {
                further.extend(next.get(through).into_iter().flatten());
            }
        }
        if reached.values().map(BTreeSet::len).sum::<usize>() == before {
            return reached;
        }
    }
}

/// The uses that tie a circle: whoever is used leads back.
fn ties(uses: &Uses) -> Vec<String> {
    let reached = reached(uses);
    let back = |from: &str, to: &str| reached.get(to).is_some_and(|further| further.contains(from));
    let tied = uses.iter().filter(|((from, to), _)| back(from, to));
    tied.map(|((from, to), names)| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("src/{from} uses src/{to}: {}", names.join(", "))
    })
    .collect()
}

#[test]
fn files_of_a_module_form_no_circle() {
    let uses = Tree::read(&sources()).uses();
    assert!(uses.len() > 500, "the uses were not found");
    none("uses that tie a circle of files", &ties(&uses));
}

#[test]
fn a_type_has_a_name_of_its_own() {
    let tree = Tree::read(&sources());
    let mut files: BTreeMap<&String, Vec<&str>> = BTreeMap::new();
    for file in tree.0.values() {
        file.types.iter().for_each(|name| files.entry(name).or_default().push(&file.path));
    }
    files.retain(|_, files| files.len() > 1);
    let listed = |name: &String| SHARED_NAMES.iter().any(|(shared, _)| shared == name);
    let doubles = files.iter().filter(|(name, _)| !listed(name));
    let doubles = doubles.map(|(name, files)| format!("{name} is in {}", files.join(", ")));
    let stale = SHARED_NAMES.iter().filter(|(name, _)| !files.contains_key(&(*name).to_owned()));
    let stale = stale.map(|(name, _)| format!("stale: {name} is unique"));
    none("names of types", &doubles.chain(stale).collect::<Vec<_>>());
}

/// Whether a name is one word with the ending of a participle, or one of the irregular ones.
fn is_participle(name: &str) -> bool {
    const IRREGULAR: &[&str] = &[
        "Done", "Found", "Held", "Hidden", "Kept", "Known", "Met", "Said", "Seen", "Sent", "Shown", "Swept",
        "Taken", "Told", "Was",
    ];
    let one_word = name.chars().skip(1).all(|c| c.is_ascii_lowercase());
    one_word && (IRREGULAR.contains(&name) || name.len() > 4 && name.ends_with("ed"))
}

#[test]
fn a_type_is_named_by_a_noun() {
    let tree = Tree::read(&sources());
    let types: BTreeSet<&str> =
        tree.0.values().flat_map(|file| file.types.iter().map(String::as_str)).collect();
    let listed = |name: &str| PARTICIPLES.iter().any(|(participle, _)| *participle == name);
    let bare =
        types.iter().filter(|name| is_participle(name) && !listed(name)).map(|name| (*name).to_owned());
    let stale = PARTICIPLES.iter().filter(|(name, _)| !types.contains(name));
    let stale = stale.map(|(name, _)| format!("stale: no type is named {name}"));
    none("types named by a bare participle", &bare.chain(stale).collect::<Vec<_>>());
}

#[test]
fn a_circle_is_seen_through_re_exports() {
    let source = |path: &str, whole: &str| Source {
        path: path.to_owned(),
        whole: whole.to_owned(),
        code: String::new(),
    };
    let circle = |low: &str| {
        let sources = [
            source("a/mod.rs", "mod low;\nmod high;\npub use high::{self, Tower as Name, Hut};"),
            source("a/high.rs", "use super::low::Stone;\npub struct Tower;\npub struct Hut(Stone);"),
            source("a/low.rs", low),
        ];
        ties(&Tree::read(&sources).uses()).len()
    };
    assert_eq!(circle("pub struct Stone;\n// super::Hut\nconst TEXT: &str = \"super::Hut\";"), 0);
    assert_eq!(circle("pub struct Stone;\nfn f() { let x = super::Name::new(); }"), 2);
    assert_eq!(circle("use crate::a::{b, Hut};\npub struct Stone;"), 2);
    assert_eq!(circle("pub struct Stone;\nfn f() { let q = '\"'; super::high::Hut::go(b'x') }"), 2);
}
