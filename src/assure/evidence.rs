//! What was tested and what came of it, as data. Nothing here tests anything.

use std::fmt;

use serde::Serialize;

/// The result of all tests: a dated document.
#[derive(Debug, Serialize)]
pub struct Assurance {
    /// The version of the program that tested.
    pub version: &'static str,
    /// The name of the gateway, as the configuration has it.
    pub gateway: String,
    /// When the tests began, in RFC 3339 format.
    pub at: String,
    /// How long they took, in milliseconds.
    pub took_ms: u64,
    /// The configuration that was read.
    pub config: ConfigFingerprint,
    /// The daemon that was tested; `None`: none answered.
    pub daemon: Option<DaemonFingerprint>,
    /// The number of tests by verdict.
    pub tally: EvidenceTally,
    /// The tests, findings first.
    pub evidence: Vec<Evidence>,
}

/// Which configuration was read.
#[derive(Debug, Serialize)]
pub struct ConfigFingerprint {
    /// The file.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// SHA-256 over the revisions of its connectors, which cover the files they name.
    pub connectors: String,
}

/// Which daemon was tested, and what it has in effect.
#[derive(Debug, Serialize)]
pub struct DaemonFingerprint {
    /// Its version.
    pub version: String,
    /// The generation of its table.
    pub generation: Option<u64>,
    /// SHA-256 over the revisions of its connectors, as [`ConfigFingerprint::connectors`].
    pub connectors: String,
}

/// One test, or one look at the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// What it is about.
    pub area: EvidenceArea,
    /// The connector, or the listener and its address.
    pub subject: String,
    /// What was required.
    pub required: String,
    /// What was done to test that.
    pub done: String,
    /// What was seen.
    pub seen: String,
    /// The verdict.
    pub verdict: EvidenceVerdict,
}

/// What a test is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceArea {
    /// What the configuration and the daemon have in effect.
    Configuration,
    /// A listener, whatever mail comes in by it.
    Listener,
    /// Mail from a domain that a forced inbound connector binds.
    Inbound,
    /// Mail that leaves by a forced outbound connector.
    Outbound,
}

/// What came of a test; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceVerdict {
    /// What is required does not hold.
    Finding,
    /// It could not be tested, so nothing is known.
    Untested,
    /// A fact that a reader should know, and no test.
    Note,
    /// What is required holds.
    Held,
}

/// The number of tests by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct EvidenceTally {
    /// Findings.
    pub findings: usize,
    /// What could not be tested.
    pub untested: usize,
    /// Notes.
    pub notes: usize,
    /// What held.
    pub held: usize,
}

impl Evidence {
    /// Something that the configuration or the daemon says, without a test.
    pub(super) fn stated(
        subject: impl fmt::Display,
        required: &str,
        seen: impl fmt::Display,
        verdict: EvidenceVerdict,
    ) -> Self {
        Self {
            area: EvidenceArea::Configuration,
            subject: subject.to_string(),
            required: required.to_owned(),
            done: "compared the configuration with what is in effect".to_owned(),
            seen: seen.to_string(),
            verdict,
        }
    }
}

impl EvidenceTally {
    /// Counts tests.
    #[must_use]
    pub fn of<'a>(evidence: impl IntoIterator<Item = &'a Evidence>) -> Self {
        let mut tally = Self::default();
        for one in evidence {
            let count = match one.verdict {
                EvidenceVerdict::Finding => &mut tally.findings,
                EvidenceVerdict::Untested => &mut tally.untested,
                EvidenceVerdict::Note => &mut tally.notes,
                EvidenceVerdict::Held => &mut tally.held,
            };
            *count = count.saturating_add(1);
        }
        tally
    }

    /// Whether all that was tested held, and all was tested.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings == 0 && self.untested == 0
    }
}

impl EvidenceArea {
    /// All of them, in the order of a document.
    pub const ALL: [Self; 4] = [Self::Configuration, Self::Listener, Self::Inbound, Self::Outbound];

    /// The heading of its part of a document.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration",
            Self::Listener => "Listeners",
            Self::Inbound => "Inbound mail",
            Self::Outbound => "Outbound mail",
        }
    }
}

impl EvidenceVerdict {
    /// The word in a document.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Finding => "FINDING",
            Self::Untested => "not tested",
            Self::Note => "note",
            Self::Held => "held",
        }
    }
}

impl fmt::Display for EvidenceTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { findings, untested, held, .. } = self;
        let noun =
            |count: usize, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
        write!(f, "{}, ", noun(*findings, "finding", "findings"))?;
        if *untested > 0 {
            write!(f, "{untested} could not be tested, ")?;
        }
        write!(f, "{} held", noun(*held, "test", "tests"))
    }
}
