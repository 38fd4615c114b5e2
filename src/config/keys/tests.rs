//! Rules that hold for every declared key.

use std::path::Path;

use super::key::Need;
use super::key::Section;
use super::*;
use crate::config::load_text;

/// The shipped file plus one key, and whatever makes that key apply.
fn with(section: &Section, key: &Key, value: &str) -> String {
    set(&without(section, key), section, key.name, value)
}

/// The shipped file plus whatever makes a key apply.
fn without(section: &Section, key: &Key) -> String {
    let mut text = sample_file();
    for condition in key.applies {
        let Some(word) = condition.words.first() else { continue };
        text = set(&text, section, condition.key, &format!("\"{word}\""));
        if section.name == "inbound" && condition.key == "tls" {
            text = set(&text, section, "peer_names", "[\"mail.a.example\"]");
        }
    }
    text
}

/// The text with the line of a key replaced.
fn set(text: &str, section: &Section, name: &str, value: &str) -> String {
    let start = start_of(text, section);
    let is_key =
        |line: &str| line.trim_start_matches('#').split_once(" = ").is_some_and(|(key, _)| key == name);
    let (mut at, mut done) = (0, false);
    let mut lines = Vec::new();
    for line in text.lines() {
        let here = !done && at > start && is_key(line);
        done |= here;
        lines.push(if here { format!("{name} = {value}") } else { line.to_owned() });
        at += line.len() + 1;
    }
    assert!(done, "{} {name}", section.header);
    lines.join("\n") + "\n"
}

/// Where a section begins; comments may mention its header earlier.
fn start_of(text: &str, section: &Section) -> usize {
    text.find(&format!("\n{}\n", section.sample_header)).expect("the section")
}

/// Sections whose keys can be set in the shipped file without naming other files.
fn sections() -> impl Iterator<Item = &'static Section> {
    SECTIONS.iter().copied().filter(|section| !section.sample_header.starts_with('#'))
}

fn in_force(text: &str) -> Option<serde_json::Value> {
    load_text(text, Path::new("."), Path::new("f.toml")).ok().map(|config| config.in_force())
}

#[test]
fn every_default_is_what_holds_without_the_key() {
    let before = in_force(&sample_file()).expect("the shipped file");
    let mut compared = 0;
    // The other keys of [echo] and [reports] are errors without an address, which `config_files` shows.
    for section in sections().filter(|section| !["echo", "reports"].contains(&section.name)) {
        for key in section.keys.iter().filter(|key| key.need == Need::Default && key.applies.is_empty()) {
            let written = in_force(&with(section, key, key.value));
            assert_eq!(written.as_ref(), Some(&before), "{} {}", section.header, key.name);
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared} keys");
}

#[test]
fn every_key_is_shown() {
    let shown = in_force(&sample_file()).expect("the shipped file");
    for section in sections() {
        let one = &shown[section.name];
        let one = one.as_array().map_or(one, |entries| &entries[0]);
        for key in section.keys {
            assert!(one.get(key.name).is_some(), "{} {}", section.header, key.name);
        }
    }
}

#[test]
fn every_example_of_a_key_without_a_default_can_be_read() {
    for section in SECTIONS {
        for key in section.keys {
            let text =
                format!("{}\n{} = {}\n", section.sample_header.trim_start_matches('#'), key.name, key.value);
            let Err(faults) = load_text(&text, Path::new("."), Path::new("f.toml")) else { continue };
            // Other keys are missing, but there must be no fault about the value of this one.
            let about = faults
                .list()
                .iter()
                .find(|fault| fault.line == 2 && !fault.message.contains("can't be read"));
            let conditional = |message: &str| {
                message.contains("would be ignored")
                    || message.contains("needs")
                    || message.contains("is for devices")
                    || message.contains("no [certificate")
                    || message.contains("no [[listener]]")
                    || message.contains("no [[inbound]]")
                    || message.contains("no [[partner]]")
                    || message.contains("no outbound connector")
                    || message.contains("proves nothing")
            };
            assert!(about.is_none_or(|fault| conditional(&fault.message)), "{text}{faults}");
        }
    }
}

#[test]
fn a_key_that_does_not_apply_is_an_error() {
    let mut tried = 0;
    for section in sections() {
        for key in section.keys {
            for condition in key.applies {
                let of = section.keys.iter().find(|one| one.name == condition.key).expect("the other key");
                let others = (of.words)().into_iter().filter(|word| !condition.words.contains(word));
                for word in others {
                    let text = with(section, key, key.value);
                    let text = set(&text, section, of.name, &format!("\"{word}\""));
                    let faults = load_text(&text, Path::new("."), Path::new("f.toml")).expect_err("ignored");
                    let ignored = format!("{} would be ignored: ", key.name);
                    assert!(faults.to_string().contains(&ignored), "{} {word}: {faults}", key.name);
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 50, "{tried} cases");
}

#[test]
fn a_changed_connector_key_changes_its_revision() {
    let revision =
        |text: &str, section: &str| in_force(text).map(|shown| shown[section][0]["revision"].clone());
    let mut compared = 0;
    for section in [&inbound::SECTION, &outbound::SECTION] {
        for key in section.keys {
            let other = match (key.kind, (key.words)().last()) {
                (_, Some(word)) => format!("\"{word}\""),
                ("true, false", None) => "true".to_owned(),
                ("waits", None) => "[\"7m\"]".to_owned(),
                ("number", None) => "7".to_owned(),
                (kind, None) if kind.starts_with("duration") => "\"7m\"".to_owned(),
                (_, None) => key.value.to_owned(),
            };
            let plain = match key.need {
                Need::Default => with(section, key, key.value),
                Need::Required | Need::Optional => without(section, key),
            };
            // Some keys need what the shipped file lacks, such as smart hosts or files.
            let Some(before) = revision(&plain, section.name) else { continue };
            let text = with(section, key, &other);
            let Some(changed) = revision(&text, section.name).filter(|_| text != plain) else { continue };
            assert_ne!(changed, before, "{} {}", section.header, key.name);
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared} keys");
}

#[test]
fn every_declaration_is_complete() {
    for section in SECTIONS {
        for key in section.keys {
            let at = format!("{} {}", section.header, key.name);
            assert!(key.meaning.ends_with('.'), "{at}: {}", key.meaning);
            assert!(key.explanation.is_empty() || key.explanation.ends_with('.'), "{at}");
            for condition in key.applies {
                let of = section.keys.iter().find(|one| one.name == condition.key).expect("its condition");
                let known = (of.words)();
                let unknown = |word: &&&str| !known.is_empty() && !known.contains(*word);
                assert_eq!(condition.words.iter().find(unknown), None, "{at}");
            }
        }
    }
}

#[test]
fn the_hard_keys_are_explained() {
    let hard = [
        "require",
        "peer_names",
        "trust",
        "key_exchange",
        "pins",
        "organisation",
        "issuer",
        "allow_cn",
        "revocation",
        "mode",
        "accept_purpose",
        "onward",
        "reveal",
        "bare_lf",
        "lenient",
        "users_file",
        "recipients_file",
        "verify_recipients",
        "remember_tls",
        "on_failure",
        "on_handshake_failure",
        "client_certificate",
        "sni",
        "secure_delete",
    ];
    for name in hard {
        let keys: Vec<_> =
            SECTIONS.iter().flat_map(|section| section.keys).filter(|key| key.name == name).collect();
        assert!(!keys.is_empty(), "{name}");
        for key in keys {
            let sentences = key.explanation.matches(". ").count();
            assert!(sentences >= 1 && key.explanation.len() > 150, "{name}: {}", key.explanation);
        }
    }
}
