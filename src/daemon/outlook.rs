//! What the console asks of the daemon: what ends soon, and our own certificates.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::coming::coming;
use super::overrides::words as override_words;
use super::reload::Reloader;
use super::validating::validate;
use crate::admin::{
    Direction, ExplainQuestion, ExplainedAnswer, MonitoringSource, SettingsList, SettingsQuery,
};
use crate::config::Faults;
use crate::connector::PresentedName;
use crate::console::{Outlook, SiteCertificate, ValidationAnswer, ValidationOrder, WatchHistory};
use crate::explain::{self, ExplainedRefusal};
use crate::lookout::seen_of;
use crate::mail::{Clock, UnixMillis};

/// The daemon, as the console sees it.
pub(super) struct ConsoleOutlook {
    pub(super) reloader: Arc<Reloader>,
    pub(super) monitored: Arc<dyn MonitoringSource>,
}

impl Outlook for ConsoleOutlook {
    fn ending(&self) -> Vec<(UnixMillis, String)> {
        coming(&self.reloader.base(), Clock::wall()).into_iter().collect()
    }

    fn connector_names(&self, direction: Direction) -> Vec<String> {
        let table = self.reloader.live.table();
        match direction {
            Direction::Inbound => table.inbound.iter().map(|one| one.name.to_string()).collect(),
            Direction::Outbound => table.outbound.iter().map(|one| one.name.to_string()).collect(),
        }
    }

    fn certificates(&self) -> Vec<SiteCertificate> {
        let in_use = self.reloader.in_use.load();
        let one = |(id, identity): (&String, &Arc<crate::tls::Identity>)| {
            let facts = identity.facts();
            SiteCertificate {
                id: id.clone(),
                names: facts.names.iter().map(PresentedName::to_string).collect(),
                issuer: facts.issuer.clone(),
                not_before: facts.not_before,
                not_after: facts.not_after,
                sha256: facts.sha256.clone(),
                pin: STANDARD.encode(facts.spki),
            }
        };
        in_use.identities.iter().map(one).collect()
    }

    fn explain(&self, question: &ExplainQuestion, draft: Option<&str>) -> Result<ExplainedAnswer, String> {
        let base = self.reloader.base();
        let config = match draft {
            Some(draft) => {
                let draft = base.draft(draft, Path::new("draft"));
                Arc::new(draft.map_err(|faults| errors_of(&faults))?)
            }
            None => base,
        };
        let overrides = self.reloader.overrides().list();
        let answer = explain::explain(question, &config, overrides).map_err(|fault| fault.to_string())?;
        let warnings = if draft.is_some() { config.warnings.as_slice() } else { &[] };
        Ok(ExplainedAnswer {
            yes: answer.yes,
            overrides: answer.overridden.iter().map(override_words).collect(),
            passages: answer.passages,
            warnings: warnings
                .iter()
                .take(WARNINGS_MAX)
                .map(|one| one.to_string().chars().take(ERROR_CHARS_MAX).collect())
                .collect(),
        })
    }

    fn settings(&self, query: &SettingsQuery) -> SettingsList {
        let (base, overrides) = (self.reloader.base(), self.reloader.overrides().list());
        let needs_restart = self.reloader.needs_restart();
        if overrides.is_empty() {
            return SettingsList { needs_restart, ..base.settings(query) };
        }
        let list = base.overridden(&overrides).0.settings(query);
        let overrides = overrides.iter().map(override_words).collect();
        SettingsList { needs_restart, overrides, ..list }
    }

    fn watched(&self, connector: &str, since: UnixMillis) -> Result<WatchHistory, String> {
        let seen = seen_of(&self.reloader.data_dir(), connector, since, CHANGES_MAX);
        seen.map_err(|_| "What [watch] has seen can't be read.".to_owned())
    }

    fn explain_refusal(&self, text: &str) -> String {
        ExplainedRefusal::of(text).to_string()
    }

    fn validate(&self, order: ValidationOrder) -> ValidationAnswer {
        Box::pin(validate(Arc::clone(&self.reloader), order))
    }

    fn refused(&self) {
        self.monitored.refused();
    }

    fn limited(&self) {
        self.monitored.limited();
    }
}

/// Changes of a connector that are shown.
const CHANGES_MAX: usize = 100;
/// The errors of a draft, a few of them, each with its line.
fn errors_of(faults: &Faults) -> String {
    let shown = faults.list().iter().take(ERRORS_MAX);
    let shown = shown.map(|fault| format!("{fault:#}").chars().take(ERROR_CHARS_MAX).collect());
    let mut lines: Vec<String> = shown.collect();
    if let more @ 1.. = faults.list().len().saturating_sub(ERRORS_MAX) {
        lines.push(format!("and {more} more errors"));
    }
    lines.join("\n")
}

const ERRORS_MAX: usize = 20;
const ERROR_CHARS_MAX: usize = 2_000;
/// Warnings of a draft that are shown.
const WARNINGS_MAX: usize = 50;
