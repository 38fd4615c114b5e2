//! Writes what an auditor is given: events of one partner, each with the proof that it is in the sealed record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::fault::ExportFault;
use super::folder::{FolderListing, LineFile, PackageFolder, STAMPS_FOLDER, hash_of_file};
use super::manifest::{MANIFEST, MANIFEST_FILE, MANIFEST_VERSION, PackageManifest, SIGNATURE_FILE};
use super::package::{
    DECISIONS_FILE, DecisionLine, EVENTS_FILE, EventLine, SCRIPT_FILE, STATEMENTS_FILE, StatementLine,
};
use super::page;
use super::scope::ExportScope;
use super::select::Selection;
use super::summary::{EventTable, ExportSummary, LoweredLine, SummaryGrounds};
use super::verify::{RecordBreak, RecordSnapshot, Verification};
use crate::mail::UnixMillis;
use crate::seal::{Hash, KeptElsewhere, PartSeal, SignedStatement, SiteKey, WholeTree};
use crate::trace::{EventFacts, EventKind, RecordPart, TraceFilter, TraceReader, date_of_day, site_key};

/// Writes the package to a folder, which must not exist. The key that signs it is in `data_dir`.
///
/// # Errors
/// [`ExportFault`]; what was written of the package until then is removed.
pub fn export(
    reader: &mut TraceReader,
    data_dir: &Path,
    scope: &ExportScope,
    kept: &KeptElsewhere,
    folder: &Path,
) -> Result<ExportSummary, ExportFault> {
    let (from, to) = (date_of_day(scope.from), date_of_day(scope.to));
    let is_wanted = |day: &str| (from.as_str()..=to.as_str()).contains(&day);
    let record = RecordSnapshot::of(reader, kept)?;
    let found = Verification::of_snapshot(reader, &record, is_wanted)?;
    let breaks = breaks_elsewhere(&found.breaks, is_wanted)?;
    let mut parts = sealed_parts(&record);
    parts.retain(|one| is_wanted(&date_of_day(one.part.day)));
    if parts.is_empty() {
        return Err(ExportFault::Nothing);
    }
    let public_key = record.chain.next_key.ok_or(ExportFault::Nothing)?;
    let key = site_key(data_dir, &public_key).map_err(ExportFault::Key)?.ok_or(ExportFault::AnotherKey)?;
    let earlier = began_before(reader, scope)?;
    let made = PackageFolder::create(folder)?;
    let mut package = PackageWriter { folder: &made, decisions: BTreeSet::new() };
    let grounds = SummaryGrounds { found, breaks, earlier };
    let done =
        package.write(reader, scope, (&record.signed, &parts), grounds).and_then(|(summary, counts)| {
            sign(&made, folder, &key, manifest(&summary, counts, &record.signed))?;
            Ok(summary)
        });
    if done.is_err() {
        // What is half there must not be taken for a package.
        made.remove();
    }
    done
}

/// What is broken elsewhere in the record, in words that say nothing of events of others.
fn breaks_elsewhere(
    breaks: &[RecordBreak],
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<String>, ExportFault> {
    let told = |one: &RecordBreak| match one {
        RecordBreak::Chain(fault) => Ok(fault.to_string()),
        // One of the two days is among those that were verified.
        RecordBreak::AnotherDay { .. } => Err(ExportFault::Broken(Box::new(one.clone()))),
        RecordBreak::Altered { .. }
        | RecordBreak::Removed { .. }
        | RecordBreak::Added { .. }
        | RecordBreak::Exchanged { .. }
        | RecordBreak::Replaced { .. } => match one.day() {
            Some(day) if !is_wanted(day) => Ok(format!("{day}: events were altered, added or removed")),
            Some(_) | None => Err(ExportFault::Broken(Box::new(one.clone()))),
        },
    };
    breaks.iter().map(told).collect()
}

/// A part with the last statement that seals it.
struct SealedPart {
    part: RecordPart,
    statement: u64,
    seal: PartSeal,
}

fn sealed_parts(record: &RecordSnapshot) -> Vec<SealedPart> {
    let sealed = |part: &RecordPart| {
        let (statement, seal) = record.chain.account.parts.get(&part.part)?.seals.last()?;
        Some(SealedPart { part: *part, statement: *statement, seal: seal.clone() })
    };
    record.parts.iter().filter_map(sealed).collect()
}

/// Overrides of these connectors that had begun before the first day, and had not ended.
fn began_before(reader: &mut TraceReader, scope: &ExportScope) -> rusqlite::Result<Vec<LoweredLine>> {
    let until = UnixMillis(UnixMillis::of_day(scope.from).0.saturating_sub(1));
    let mut found = Vec::new();
    for name in &scope.names {
        let filter = TraceFilter {
            connector: Some(name.clone()),
            kinds: vec![EventKind::Override],
            until: Some(until),
            ..TraceFilter::default()
        };
        let last = reader.search(&filter, 1)?.into_iter().next();
        let is_lowered = |facts: &EventFacts| facts.level.is_some() && facts.connector.as_ref() == Some(name);
        found.extend(last.filter(|event| is_lowered(&event.facts)).map(|event| LoweredLine {
            at: event.at,
            connector: name.clone(),
            what: event.facts.words.join("; "),
            began_before: true,
        }));
    }
    Ok(found)
}

/// Lines in the files of a package: events, decisions and statements.
type LineCounts = (u64, u64, u64);

struct PackageWriter<'a> {
    folder: &'a PackageFolder<'a>,
    /// Decisions that were written.
    decisions: BTreeSet<Hash>,
}

impl PackageWriter<'_> {
    fn write(
        &mut self,
        reader: &TraceReader,
        scope: &ExportScope,
        (statements, parts): (&[SignedStatement], &[SealedPart]),
        grounds: SummaryGrounds,
    ) -> Result<(ExportSummary, LineCounts), ExportFault> {
        let mut selection = Selection::new(scope);
        for one in parts {
            reader.record_lines(&one.part, |line| {
                if line.seq <= one.seal.last_seq {
                    selection.learn(&line);
                }
                Ok::<(), rusqlite::Error>(())
            })?;
        }
        selection.learned();
        let stated = self.statements(statements)?;
        let mut table = EventTable::create(self.folder)?;
        let (mut events, mut decisions) =
            (self.folder.lines(EVENTS_FILE)?, self.folder.lines(DECISIONS_FILE)?);
        for one in parts {
            self.part(reader, one, &mut selection, (&mut events, &mut decisions, &mut table))?;
        }
        let counts = (events.end()?, decisions.end()?, stated);
        let (summary, rows) = table.summary(scope, grounds, (selection.messages(), selection.gaps()))?;
        self.folder.put(SCRIPT_FILE, include_bytes!("verify.py"))?;
        self.folder.put("summary.json", &serde_json::to_vec_pretty(&summary).unwrap_or_default())?;
        self.folder.put("index.html", page::page(scope, &summary, &rows).into_string().as_bytes())?;
        Ok((summary, counts))
    }

    /// The statements, and those with a time stamp also as files for the tools that verify such.
    fn statements(&self, statements: &[SignedStatement]) -> Result<u64, ExportFault> {
        let mut lines = self.folder.lines(STATEMENTS_FILE)?;
        if statements.iter().any(|one| one.stamp.is_some()) {
            self.folder.folder(STAMPS_FOLDER)?;
        }
        for statement in statements {
            lines.write(&StatementLine::of(statement))?;
            let Some(stamp) = &statement.stamp else { continue };
            let name = format!("{STAMPS_FOLDER}/{}", statement.number);
            self.folder.put(&format!("{name}.json"), statement.text.as_bytes())?;
            self.folder.put(&format!("{name}.tsr"), stamp)?;
        }
        lines.end()
    }

    /// The events of a part that are shown, with the path of each to the root.
    fn part(
        &mut self,
        reader: &TraceReader,
        one: &SealedPart,
        selection: &mut Selection<'_>,
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
            shown.push(index);
            table.add(event.at, event.shown(decision))
        })?;
        if shown.is_empty() {
            return Ok(());
        }
        // The paths are known when every event was hashed, so it is read once more.
        let tree = WholeTree::of(leaves);
        let (mut shown, mut index) = (shown.into_iter().peekable(), 0_usize);
        reader.record_lines(&one.part, |line| {
            if shown.next_if_eq(&index).is_some() {
                let (path, text) = (tree.path(index).unwrap_or_default(), line.line.to_owned());
                events.write(&EventLine { statement: one.statement, path, text })?;
            }
            index = index.saturating_add(1);
            Ok(())
        })
    }
}

fn manifest(
    summary: &ExportSummary,
    (events, decisions, stated): LineCounts,
    statements: &[SignedStatement],
) -> PackageManifest {
    PackageManifest {
        version: MANIFEST_VERSION,
        what: MANIFEST.to_owned(),
        site: summary.site.clone().unwrap_or_default(),
        partner: summary.partner.clone(),
        from: summary.from.clone(),
        to: summary.to.clone(),
        made_at: summary.made_at.clone(),
        files: BTreeMap::new(),
        events,
        decisions,
        statements: stated,
        last_statement: statements.last().map_or_else(|| Hash::of(&[]), SignedStatement::hash),
    }
}

/// Signs what is in the folder.
fn sign(
    made: &PackageFolder<'_>,
    folder: &Path,
    key: &SiteKey,
    mut manifest: PackageManifest,
) -> Result<(), ExportFault> {
    let told = |(path, fault)| ExportFault::File(path, fault);
    for name in FolderListing::of(folder).map_err(told)?.files {
        let path = folder.join(&name);
        let hash = hash_of_file(&path).map_err(|fault| told((path, fault)))?;
        manifest.files.insert(name, hash);
    }
    let text = manifest.text();
    made.put(MANIFEST_FILE, &text)?;
    made.put(SIGNATURE_FILE, &key.sign(&text))
}
