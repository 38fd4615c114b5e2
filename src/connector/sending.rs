//! How the sessions of an outbound connector are used: extensions, limits, the login.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::mail::Extension;

/// How the sessions of an outbound connector are used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SendingSettings {
    /// Extensions that are passed over though the host offers them.
    pub ignored: Vec<Extension>,
    /// Recipients in one transaction, where that is fewer than everywhere.
    pub recipients_max: Option<usize>,
    /// Messages over one connection, where that is fewer than everywhere.
    pub messages_max: Option<u32>,
    /// Messages in a minute, over all its lanes.
    pub messages_per_minute_max: Option<u32>,
    /// Smart hosts begin by turns, instead of each time with the first.
    pub spread: bool,
    /// As whom we log in.
    pub auth: Option<Credentials>,
}

/// As whom we log in at a smart host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Credentials {
    /// How.
    pub mechanism: Mechanism,
    /// The name.
    pub user: String,
    /// The file with the password or token; read for each session, since tokens change.
    #[serde(serialize_with = "shown")]
    pub secret: PathBuf,
}

/// A path, even one that is not UTF-8.
fn shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// The older one, for hosts that know no other.
    Login,
    /// An OAuth 2 bearer token, as Exchange Online and Gmail take it.
    XOAuth2,
}

impl Mechanism {
    /// Its name in AUTH.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::XOAuth2 => "XOAUTH2",
        }
    }
}
