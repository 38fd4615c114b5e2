//! What a person reads is plain English: the words that are replaced, and where they must not stand.

use std::collections::BTreeSet;
use std::path::Path;

use crate::architecture::sources;
use crate::docs::{pages, prose};

/// What is not written, and what is. Whole words are compared, without regard to case.
const REPLACED: &[(&str, &str)] = &[
    ("in clear", "in plaintext"),
    ("in the clear", "in plaintext"),
    ("told", "reported, notified"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("mended", "fixed"),
    ("in force", "in effect"),
    ("bears", "can handle"),
    ("bear no more", "cannot handle more"),
    ("is no duration", "is not a duration"),
    ("is no certificate", "is not a certificate"),
    ("is no base64", "is not base64"),
    ("is none of", "is not one of"),
    ("alone", "only"),
    ("stands here", "is listed"),
    ("stands twice", "is listed twice"),
    ("can stand", "valid keys are"),
    ("stand still", "pause"),
    ("stands still", "is paused"),
    ("hardly meant", "probably unintended"),
    ("mistake", "error"),
    ("mistakes", "errors"),
    ("anew", "again"),
    ("becomes of", "happens to"),
    ("became of", "happened to"),
    ("what comes of", "what happens to"),
    ("to be had", "available"),
    ("put off", "deferred"),
    ("puts off", "defers"),
    ("answered 451", "refused with 451"),
    ("answered 452", "refused with 452"),
    ("filters name", "filters match"),
    ("speaks for", "covers"),
    ("broke", "failed"),
    ("broken off", "ended early"),
    ("does not count", "is not valid"),
    ("passed over", "ignored"),
    ("so many", "the number of"),
    ("is said", "is given"),
    ("was said", "was given, was sent"),
    ("by turns", "in rotation"),
    ("let in", "admitted, authorised"),
    ("lets in", "admits"),
    ("borne", "handled"),
    ("thrown away", "discarded"),
    ("goes in circles", "loops"),
    ("whoever is not", "others"),
    ("is to be", "must be"),
    ("for want of", "for lack of"),
];

const SQL: &[&str] = &["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE ", "ALTER ", "WITH "];

/// Files whose words are still to be replaced. One that has none any more must be removed here.
const STILL_TO_DO: &[&str] = &[];

#[test]
fn what_is_read_is_plain() {
    let mut faults = Vec::new();
    let mut to_do = STILL_TO_DO.iter().copied().collect::<BTreeSet<_>>();
    for (path, text) in read_by_people() {
        let found = replaced_in(&text);
        if !to_do.remove(path.as_str()) {
            faults.extend(found.into_iter().map(|(not, but)| format!("{path}: \"{not}\": write {but}")));
        } else if found.is_empty() {
            faults.push(format!("{path}: plain now; remove it from STILL_TO_DO"));
        }
    }
    faults.extend(to_do.into_iter().map(|path| format!("{path}: there is no such file; remove it")));
    assert!(faults.is_empty(), "not plain English:\n  {}", faults.join("\n  "));
}

#[test]
fn replaced_words_are_found_and_others_are_not() {
    let check = |text: &str, expected: &[&str]| {
        let found: Vec<&str> = replaced_in(&prose(text)).into_iter().map(|(not, _)| not).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("It is Mended\nanew.", &["mended", "anew"]);
    check("sent in\n  clear", &["in clear"]);
    check("recommend; brokers; `in clear`", &[]);
    check("```text\nin force\n```\n", &[]);
    let code = "a(\"one \\\"two\\\" \\\n    three\", '\"', \"four\"); // \"five\"";
    assert_eq!(literals(&code.replace("// \"five\"", "")), ["one \"two\" three", "four"]);
}

/// Path and text of whatever a person reads: pages, configuration files, and what the program says.
fn read_by_people() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<(String, String)> =
        pages().into_iter().map(|(path, text)| (path, prose(&text))).collect();
    for folder in ["config", "config/examples"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "toml") {
                let name = path.file_name().unwrap().to_str().unwrap();
                let text = std::fs::read_to_string(&path).unwrap().replace("\n#", "\n");
                found.push((format!("{folder}/{name}"), text));
            }
        }
    }
    for source in sources().iter().filter(|source| !source.is_test()) {
        let mut said = literals(&source.code);
        // A single word is a name, and SQL is for the database.
        said.retain(|text| text.contains(' ') && !SQL.iter().any(|verb| text.contains(verb)));
        if source.path.starts_with("cli/") {
            // clap prints these.
            let comments = source.whole.lines().filter_map(|line| line.trim().strip_prefix("///"));
            said.push(comments.collect::<Vec<_>>().join(" "));
        }
        found.push((format!("src/{}", source.path), said.join("\n")));
    }
    found
}

fn replaced_in(text: &str) -> Vec<(&'static str, &'static str)> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let stands = |phrase: &str| {
        text.match_indices(phrase).any(|(at, _)| {
            !word(text[..at].chars().next_back()) && !word(text[at + phrase.len()..].chars().next())
        })
    };
    REPLACED.iter().copied().filter(|(phrase, _)| stands(phrase)).collect()
}

/// The strings in code, with escapes resolved as far as a reader of words needs it.
fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' && chars.peek() == Some(&'"') {
            chars.next();
        }
        if c != '"' {
            continue;
        }
        let mut text = String::new();
        while let Some(c) = chars.next().filter(|c| *c != '"') {
            let escaped = if c == '\\' { chars.next() } else { None };
            match escaped {
                None => text.push(c),
                Some('n') => text.push('\n'),
                Some('\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                Some(other) => text.push(other),
            }
        }
        found.push(text);
    }
    found
}

/// All that the program says, for pages that quote it.
pub(crate) fn said_by_the_program() -> String {
    let sources = sources();
    let code =
        sources.iter().filter(|source| !source.is_test()).map(|source| literals(&source.code).join("\n"));
    code.collect::<Vec<_>>().join("\n")
}
