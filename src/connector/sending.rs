//! How the sessions of an outbound connector are used: extensions, limits, login. It opens no session.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::headers::HeaderHandling;
use crate::mail::Extension;

/// How the sessions of an outbound connector are used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SendingSettings {
    /// Extensions that are ignored even if the host offers them.
    pub ignored: Vec<Extension>,
    /// Maximum recipients per transaction, if lower than the global limit.
    pub recipients_max: Option<usize>,
    /// Maximum messages per connection, if lower than the global limit.
    pub messages_max: Option<u32>,
    /// Maximum messages per minute, over all lanes of the connector.
    pub messages_per_minute_max: Option<u32>,
    /// Use smart hosts in rotation, instead of always starting with the first.
    pub spread: bool,
    /// What happens to 8-bit content if the host lacks 8BITMIME.
    pub eight_bit: EightBit,
    /// What happens to header fields of Exchange.
    pub headers: HeaderHandling,
    /// The credentials for logging in; `None`: no login.
    pub auth: Option<Credentials>,
    /// How much of the dialogue of its sessions is logged.
    pub protocol_log: ProtocolLogging,
}

/// How much of the dialogue of a connector's sessions is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProtocolLogging {
    /// Nothing.
    #[default]
    Off,
    /// Sessions in which something failed.
    Errors,
    /// All sessions.
    Full,
}

/// What happens to content with 8-bit octets if the host does not offer 8BITMIME (RFC 6152 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum EightBit {
    /// Its parts are encoded, unless that would break a signature or can't be done without doubt.
    #[default]
    Convert,
    /// It fails, and the sender gets a report.
    Report,
}

/// How we log in at a smart host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Credentials {
    /// The SASL mechanism.
    pub mechanism: Mechanism,
    /// The user name.
    pub user: String,
    /// The file with the password or token; read for every session, since tokens change.
    #[serde(serialize_with = "shown")]
    pub secret: PathBuf,
}

/// Serialises a path, even if it is not UTF-8.
fn shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Mechanism {
    /// PLAIN (RFC 4616).
    Plain,
    /// LOGIN, the older mechanism, for hosts that support no other.
    Login,
    /// XOAUTH2: an OAuth 2 bearer token, as used by Exchange Online and Gmail.
    XOAuth2,
}

impl Mechanism {
    /// The mechanism's name in the AUTH command.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::XOAuth2 => "XOAUTH2",
        }
    }
}
