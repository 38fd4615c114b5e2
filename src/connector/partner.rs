//! A partner: another organisation that connectors of both directions refer to.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::pattern::DomainPattern;
use crate::mail::UnixMillis;

/// Another organisation. Its connectors have its domains as their own; a connector's digest takes only the name from
/// here, since a contact or a note changes no requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partner {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its domains, those of its file included.
    #[serde(skip)]
    pub domains: Vec<DomainPattern>,
    /// Whom to ask there: for our own people, never shown to strangers.
    #[serde(skip)]
    pub contact: Option<Arc<str>>,
    /// What our own people should know of it.
    #[serde(skip)]
    pub note: Option<Arc<str>>,
    /// When what was agreed with it is to be reviewed.
    #[serde(skip)]
    pub review: Option<UnixMillis>,
}

impl Partner {
    /// A partner of this name with these domains.
    #[must_use]
    pub fn new(name: &str, domains: Vec<DomainPattern>) -> Self {
        Self { name: name.into(), domains, contact: None, note: None, review: None }
    }

    /// Whom to ask about a connector, for a sentence to our own people: `the partner`, with the contact if it has one.
    #[must_use]
    pub fn whom(partner: Option<&Self>) -> String {
        partner.map_or_else(|| "the partner".to_owned(), |partner| format!("the partner {partner}"))
    }
}

impl fmt::Display for Partner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.contact {
            Some(contact) => write!(f, "{} ({contact})", self.name),
            None => f.write_str(&self.name),
        }
    }
}
