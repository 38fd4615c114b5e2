//! Who asks for something, in words that are written down.

use std::fs;
use std::sync::Arc;

/// Who asks.
#[derive(Debug, Clone)]
pub enum Asker {
    /// A user of this machine over the control socket, as the kernel says.
    User(Option<u32>),
    /// The bearer of a token, by his name in the file.
    Bearer(Arc<str>),
}

impl Asker {
    /// In words, for what is written down.
    pub(super) fn words(&self) -> String {
        match self {
            Self::User(Some(uid)) => user(*uid),
            Self::User(None) => "an unknown user".to_owned(),
            Self::Bearer(name) => format!("{name} (token)"),
        }
    }
}

/// A user of this machine, by name if it is known.
fn user(uid: u32) -> String {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut users = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = users.find(|fields| fields.get(2).is_some_and(|field| field.parse() == Ok(uid)));
    match found.as_ref().and_then(|fields| fields.first()) {
        Some(name) => format!("{name} (uid {uid})"),
        None => format!("uid {uid}"),
    }
}
