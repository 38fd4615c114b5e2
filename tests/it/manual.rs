//! The manual pages and completions, made from the command line itself.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use crate::peer::daemon::PROGRAM;
use crate::peer::tools::said;

/// The verbs below some words, as the help lists them.
fn verbs(words: &[&str]) -> Vec<String> {
    let output = Command::new(PROGRAM).args(words).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let Some(commands) = help.split("Commands:\n").nth(1) else { return Vec::new() };
    let listed = commands.split("\n\n").next().unwrap();
    let names = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|verb| !verb.is_empty() && *verb != "help").map(str::to_owned).collect()
}

/// The names of all pages that there have to be.
fn expected() -> BTreeSet<String> {
    let mut pages = BTreeSet::from(["sealpost.1".to_owned()]);
    let mut below: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(words) = below.pop() {
        // It hands what follows to the options of sendmail.
        if words == ["sendmail"] {
            continue;
        }
        let plain: Vec<&str> = words.iter().map(String::as_str).collect();
        for verb in verbs(&plain) {
            let words = [&words[..], &[verb]].concat();
            pages.insert(format!("sealpost-{}.1", words.join("-")));
            below.push(words);
        }
    }
    pages
}

#[test]
fn each_verb_has_a_page_that_describes_its_flags() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let output = Command::new(PROGRAM).arg("man").arg("--dir").arg(&pages).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let entries = std::fs::read_dir(&pages).unwrap();
    let written: BTreeSet<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(written, expected());
    assert!(written.len() > 30, "{written:?}");
    for name in &written {
        let page = std::fs::read_to_string(pages.join(name)).unwrap();
        assert!(page.contains("\n.SH NAME\n") && page.contains("\n.SH SYNOPSIS\n"), "{name}: {page}");
    }
    let page = std::fs::read_to_string(pages.join("sealpost-queue-list.1")).unwrap();
    assert!(page.contains(".TH SEALPOST-QUEUE-LIST 1") && page.contains("sealpost queue list"), "{page}");
    assert!(page.contains("\\-\\-limit"), "{page}");
    let printed = Command::new(PROGRAM).arg("man").output().unwrap();
    assert_eq!(
        String::from_utf8(printed.stdout).unwrap(),
        std::fs::read_to_string(pages.join("sealpost.1")).unwrap()
    );
}

#[test]
fn shells_take_the_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(PROGRAM).args(["completions", shell]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        for verb in verbs(&[]) {
            assert!(text.contains(&verb), "{shell}: nothing completes {verb}");
        }
    }
    let script = "source <(\"$0\" completions bash) && COMP_WORDS=(sealpost que) COMP_CWORD=1 && \
                  _sealpost sealpost que sealpost && echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", script, PROGRAM]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "queue", "{}", said(&output));
}
