//! Holds ARCHITECTURE's walks through modules, file by file, against the files.
//!
//! A walk is a numbered list of steps; each names its files before the colon. The items below it name the files
//! that the walk leaves out, or meets on the way more than once, with the reason. Every file of the module is in one
//! of the two, once, and no step leads back to the first.

use std::collections::BTreeSet;

use crate::architecture::{none, page, sources};
use crate::circles::{Tree, reached};

#[test]
fn the_walks_name_every_file_once() {
    for module in ["deliver", "config"] {
        none(&format!("the walk through {module}"), &faults(&page(), module));
    }
}

fn faults(page: &str, module: &str) -> Vec<String> {
    let heading = format!("## The walk through `{module}`");
    let lines = page.lines().skip_while(|line| *line != heading).skip(1);
    let lines: Vec<&str> = lines.take_while(|line| !line.starts_with("## ")).collect();
    let numbered = |line: &&str| line.starts_with(|c: char| c.is_ascii_digit());
    let steps: Vec<&str> = lines.iter().copied().filter(numbered).collect();
    let beside = lines.iter().copied().filter(|line| line.starts_with("- "));
    let mut faults = Vec::new();
    for (place, step) in
        steps.iter().enumerate().filter(|(i, step)| !step.starts_with(&format!("{}. ", i + 1)))
    {
        faults.push(format!("step {} is {step}", place + 1));
    }
    let steps: Vec<String> = steps.into_iter().flat_map(names).collect();
    let named: Vec<String> = steps.iter().cloned().chain(beside.flat_map(names)).collect();
    let once: BTreeSet<String> = named.iter().cloned().collect();
    if once.len() < named.len() {
        faults.push(format!("a file is named twice: {named:?}"));
    }
    let files = files(module);
    faults.extend(files.difference(&once).map(|file| format!("{file} is on no step")));
    faults.extend(once.difference(&files).map(|file| format!("{file} is no file")));
    faults.extend(leading_back(module, &steps));
    faults
}

/// The names in a line before its colon.
fn names(line: &str) -> Vec<String> {
    let head = line.split(':').next().unwrap_or(line);
    head.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Files and folders of a module but those of tests.
fn files(module: &str) -> BTreeSet<String> {
    let sources = sources();
    let paths = sources.iter().filter(|s| !s.is_test()).filter_map(|s| s.path.strip_prefix(module));
    let paths = paths.filter_map(|path| path.strip_prefix('/'));
    paths.map(|path| path.split('/').next().unwrap_or(path).trim_end_matches(".rs").to_owned()).collect()
}

fn leading_back(module: &str, steps: &[String]) -> Vec<String> {
    let uses = Tree::read(&sources()).uses();
    let reached = reached(&uses);
    let path = |name: &String| {
        let file = format!("{module}/{name}.rs");
        if reached.contains_key(file.as_str())
            || !sources().iter().any(|s| s.path == format!("{module}/{name}/mod.rs"))
        {
            file
        } else {
            format!("{module}/{name}/mod.rs")
        }
    };
    let Some((first, later)) = steps.split_first() else { return vec!["there are no steps".to_owned()] };
    let leads = |from: &String, to: &String| {
        reached.get(path(from).as_str()).is_some_and(|further| further.contains(path(to).as_str()))
    };
    let back = later.iter().filter(|step| leads(step, first));
    back.map(|step| format!("{step} leads back to {first}")).collect()
}
