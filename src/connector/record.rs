//! A decision as stored on disk and shown by the control API: versioned, with its texts already rendered.

use serde::{Deserialize, Serialize};

use super::decision::Decision;
use super::facts::TlsFacts;

/// A rendered decision, for other programs and other versions of this one. Another version may have stored
/// it, so any field may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct DecisionRecord {
    /// The version of this record. Records without one are version 1, which had no summaries.
    #[serde(default = "first_version")]
    pub version: u32,
    /// The name of the connector that decided.
    pub connector: Option<String>,
    /// The partner that the connector belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner: Option<String>,
    /// Whom to ask there; for our own people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// The host the decision is about: name, address and port.
    pub host: Option<String>,
    /// What was required. Version 1 called it `wanted`.
    #[serde(alias = "wanted")]
    pub required: String,
    /// What was required, in a word or two.
    #[serde(alias = "wanted_summary")]
    pub required_summary: String,
    /// What was attained. Version 1 called it `got`.
    #[serde(alias = "got")]
    pub attained: String,
    /// What was attained, in a word or two.
    #[serde(alias = "got_summary")]
    pub attained_summary: String,
    /// Why, in one sentence.
    pub reason: String,
    /// The reason as one word for machines.
    pub token: String,
    /// Whether mail was withheld; `None` in records of version 1.
    pub withheld: Option<bool>,
    /// The handshake, as stored; `explain --facts` reads it.
    pub tls: Option<serde_json::Value>,
}

impl DecisionRecord {
    /// The version written by this program.
    pub const VERSION: u32 = 2;

    /// The handshake; `None` too if another version stored it in another form.
    #[must_use]
    pub fn handshake(&self) -> Option<TlsFacts> {
        self.tls.clone().and_then(|tls| serde_json::from_value(tls).ok())
    }
}

fn first_version() -> u32 {
    1
}

impl From<&Decision> for DecisionRecord {
    fn from(decision: &Decision) -> Self {
        Self {
            version: Self::VERSION,
            connector: decision.connector.as_deref().map(str::to_owned),
            partner: decision.partner.as_ref().map(|partner| partner.name.to_string()),
            contact: decision.contact().map(str::to_owned),
            host: decision.host.clone(),
            required: decision.required.to_string(),
            required_summary: decision.required.summary().to_owned(),
            attained: decision.attained.to_string(),
            attained_summary: decision.attained.summary(),
            reason: decision.reason(),
            token: decision.token().into_owned(),
            withheld: Some(decision.status().is_some()),
            tls: decision.tls().and_then(|facts| serde_json::to_value(facts).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_an_older_version_is_still_read() {
        let first = r#"{"connector":"fabrikam-out","host":"mx [192.0.2.7]:25","wanted":"TLSv1.2 or later",
            "got":"plaintext","reason":"TLS is required, and STARTTLS is not offered",
            "token":"starttls-not-offered","tls":null}"#;
        let record: DecisionRecord = serde_json::from_str(first).expect("a record");
        assert_eq!(
            (record.version, record.token.as_str(), record.withheld),
            (1, "starttls-not-offered", None)
        );
        // Fields added by a later version are ignored.
        let later = first.replacen('{', r#"{"version":9,"colour":"green","#, 1);
        let record: DecisionRecord = serde_json::from_str(&later).expect("a record");
        assert_eq!((record.version, record.attained.as_str()), (9, "plaintext"));
        let odd = r#"{"token":"name-mismatch","tls":{"new":1}}"#;
        let record: DecisionRecord = serde_json::from_str(odd).expect("a record");
        assert_eq!((record.token.as_str(), record.attained.as_str()), ("name-mismatch", ""));
        assert_eq!(record.tls, Some(serde_json::json!({ "new": 1 })));
    }
}
