//! Writes what an auditor is given: events of one partner, each with the proof that it is in the sealed record.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::fault::ExportFault;
use super::package::{
    DECISIONS_FILE, DecisionLine, EVENTS_FILE, EventLine, SCRIPT_FILE, STATEMENTS_FILE, StatementLine,
};
use super::page;
use super::select::Selection;
use super::summary::{EventTable, ExportScope, ExportSummary};
use super::verify::Verification;
use crate::seal::{Chain, Hash, KeptElsewhere, PartSeal, SignedStatement, StatementBody, WholeTree};
use crate::trace::{RecordPart, TraceReader, date_of_day};

/// Writes the package to a folder, which must not exist.
///
/// # Errors
/// [`ExportFault`]; what was written of the package until then is removed.
pub fn export(
    reader: &TraceReader,
    scope: &ExportScope,
    kept: &KeptElsewhere,
    folder: &Path,
) -> Result<ExportSummary, ExportFault> {
    let (from, to) = (date_of_day(scope.from), date_of_day(scope.to));
    let is_wanted = |day: &str| (from.as_str()..=to.as_str()).contains(&day);
    let found = Verification::of(reader, kept, is_wanted)?;
    if let Some(first) = found.breaks.first() {
        return Err(ExportFault::Broken(Box::new(first.clone())));
    }
    let (statements, parts) = reader.record()?;
    let parts: Vec<SealedPart> = sealed_parts(&statements, &parts)
        .into_iter()
        .filter(|one| is_wanted(&date_of_day(one.part.day)))
        .collect();
    if parts.is_empty() {
        return Err(ExportFault::Nothing);
    }
    DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .map_err(|fault| ExportFault::File(folder.to_owned(), fault))?;
    let mut package = PackageWriter::new(folder);
    let done = package.write(reader, scope, (&statements, &parts), found);
    if done.is_err() {
        // What is half there must not be taken for a package.
        let _removed = std::fs::remove_dir_all(folder);
    }
    done
}

/// A part with the last statement that seals it.
struct SealedPart {
    part: RecordPart,
    statement: u64,
    seal: PartSeal,
}

fn sealed_parts(statements: &[SignedStatement], parts: &[RecordPart]) -> Vec<SealedPart> {
    let chain = Chain::verified(statements);
    let last_seal = |part: &RecordPart| {
        chain.statements.iter().rev().find_map(|(statement, _)| match &statement.about {
            StatementBody::Checkpoint(seal) | StatementBody::Closed(seal) if seal.part == part.part => {
                Some((statement.number, seal.clone()))
            }
            StatementBody::Checkpoint(_)
            | StatementBody::Closed(_)
            | StatementBody::Begun { .. }
            | StatementBody::Removed { .. }
            | StatementBody::NextKey { .. } => None,
        })
    };
    let sealed = |part: &RecordPart| {
        last_seal(part).map(|(statement, seal)| SealedPart { part: *part, statement, seal })
    };
    parts.iter().filter_map(sealed).collect()
}

struct PackageWriter<'a> {
    folder: &'a Path,
    /// Decisions that were written.
    decisions: BTreeSet<Hash>,
}

impl<'a> PackageWriter<'a> {
    fn new(folder: &'a Path) -> Self {
        Self { folder, decisions: BTreeSet::new() }
    }

    fn write(
        &mut self,
        reader: &TraceReader,
        scope: &ExportScope,
        (statements, parts): (&[SignedStatement], &[SealedPart]),
        found: Verification,
    ) -> Result<ExportSummary, ExportFault> {
        let mut selection =
            Selection::new(&scope.partner, scope.connectors.iter().map(|one| one.name.clone()));
        for one in parts {
            reader.record_lines(&one.part, |line| {
                if line.seq <= one.seal.last_seq {
                    selection.learn(&line);
                }
                Ok::<(), rusqlite::Error>(())
            })?;
        }
        let mut lines = LineFile::new(self.folder, STATEMENTS_FILE)?;
        for statement in statements {
            lines.write(&StatementLine::of(statement))?;
            self.stamp(statement)?;
        }
        lines.end()?;
        let mut table = EventTable::create(self.folder)?;
        let (mut events, mut decisions) =
            (LineFile::new(self.folder, EVENTS_FILE)?, LineFile::new(self.folder, DECISIONS_FILE)?);
        for one in parts {
            self.part(reader, one, &mut selection, (&mut events, &mut decisions, &mut table))?;
        }
        events.end()?;
        decisions.end()?;
        let summary = table.summary(scope, found, (selection.messages(), selection.left_out))?;
        self.put(SCRIPT_FILE, include_str!("verify.py"))?;
        let text = serde_json::to_string_pretty(&summary.0).unwrap_or_default();
        self.put("summary.json", &text)?;
        self.put("index.html", &page::page(scope, &summary.0, &summary.1).into_string())?;
        Ok(summary.0)
    }

    /// A statement with its time stamp, as files for the tools that verify such.
    fn stamp(&self, statement: &SignedStatement) -> Result<(), ExportFault> {
        let Some(stamp) = &statement.stamp else { return Ok(()) };
        let folder = self.folder.join("stamps");
        let told = |fault| ExportFault::File(folder.clone(), fault);
        std::fs::create_dir_all(&folder).map_err(told)?;
        std::fs::write(folder.join(format!("{}.json", statement.number)), &statement.text).map_err(told)?;
        std::fs::write(folder.join(format!("{}.tsr", statement.number)), stamp).map_err(told)
    }

    /// The events of a part that are shown, with the path of each to the root.
    fn part(
        &mut self,
        reader: &TraceReader,
        one: &SealedPart,
        selection: &mut Selection,
        (events, decisions, table): (&mut LineFile, &mut LineFile, &mut EventTable),
    ) -> Result<(), ExportFault> {
        let (mut leaves, mut shown) = (Vec::new(), Vec::new());
        reader.record_lines(&one.part, |line| {
            if line.seq > one.seal.last_seq {
                return Ok(());
            }
            let index = leaves.len();
            leaves.push(Hash::of_leaf(line.line.as_bytes()));
            let Some((event, decision)) = selection.pick(&line) else { return Ok(()) };
            if let (Some(hash), Some((_, text))) = (event.decision, line.decision)
                && self.decisions.insert(hash)
            {
                decisions.write(&DecisionLine { hash, text: text.to_owned() })?;
            }
            shown.push((index, line.line.to_owned()));
            table.add(event.at, event.shown(decision))
        })?;
        let tree = WholeTree::of(leaves);
        for (index, text) in shown {
            let path = tree.path(index).unwrap_or_default();
            events.write(&EventLine { statement: one.statement, path, text })?;
        }
        Ok(())
    }

    fn put(&self, name: &str, text: &str) -> Result<(), ExportFault> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).map_err(|fault| ExportFault::File(path, fault))
    }
}

/// A file with one JSON object a line.
struct LineFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl LineFile {
    fn new(folder: &Path, name: &str) -> Result<Self, ExportFault> {
        let path = folder.join(name);
        match File::create(&path) {
            Ok(file) => Ok(Self { path, file: BufWriter::new(file) }),
            Err(fault) => Err(ExportFault::File(path, fault)),
        }
    }

    fn write(&mut self, line: &impl serde::Serialize) -> Result<(), ExportFault> {
        let text = serde_json::to_string(line).unwrap_or_default();
        writeln!(self.file, "{text}").map_err(|fault| ExportFault::File(self.path.clone(), fault))
    }

    fn end(mut self) -> Result<(), ExportFault> {
        self.file.flush().map_err(|fault| ExportFault::File(self.path, fault))
    }
}
