//! The recipients that an inbound connector accepts, so that unknown ones are refused at RCPT and not bounced
//! later.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::mail::{Mailbox, Reply, stable_hash};

/// The next hop's answer about a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientCheck {
    /// The next hop accepts mail for it.
    Exists,
    /// The next hop refuses it permanently, with this reply.
    Unknown(Reply),
    /// The next hop could not be asked, or answered with a temporary refusal.
    Unsure,
}

/// A recipients file: addresses, and `@domain` for every address in a domain.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipients {
    /// The file name, as in the configuration.
    pub file: Arc<str>,
    /// Lower-case and sorted.
    entries: Vec<Box<str>>,
}

impl Serialize for Recipients {
    /// Serialises the file name and a digest of the entries.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Recipients", 2)?;
        fields.serialize_field("file", &self.file)?;
        fields.serialize_field("digest", &self.digest())?;
        fields.end()
    }
}

impl Recipients {
    /// Parses a recipients file, one entry per line; `#` at the start of a line begins a comment.
    ///
    /// # Errors
    /// The line number and what is wrong with that line.
    pub fn parse(file: &str, text: &str) -> Result<Self, (usize, String)> {
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // An `@domain` entry is parsed as an address in that domain.
            let whole = if line.starts_with('@') { format!("x{line}") } else { line.to_owned() };
            let mailbox = Mailbox::parse(&whole).map_err(|fault| (number, format!("{line:?}: {fault}")))?;
            let entry =
                if line.starts_with('@') { format!("@{}", mailbox.domain()) } else { mailbox.folded() };
            entries.push(entry.into_boxed_str());
        }
        entries.sort_unstable();
        entries.dedup();
        Ok(Self { file: file.into(), entries })
    }

    /// Whether the file lists this recipient, ignoring case and quoting.
    #[must_use]
    pub fn knows(&self, mailbox: &Mailbox) -> bool {
        let has = |entry: &str| self.entries.binary_search_by(|known| (**known).cmp(entry)).is_ok();
        has(&mailbox.folded()) || has(&format!("@{}", mailbox.domain()))
    }

    /// The domains of its recipients, each once.
    #[must_use]
    pub fn domains(&self) -> BTreeSet<&str> {
        self.entries.iter().filter_map(|entry| entry.rsplit_once('@')).map(|(_, domain)| domain).collect()
    }

    /// A digest that changes with the entries.
    #[must_use]
    pub fn digest(&self) -> u64 {
        stable_hash(self.entries.iter().flat_map(|entry| entry.bytes().chain([b'\n'])))
    }

    /// The number of entries.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipients({}, {} entries)", self.file, self.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_domains_are_known_in_any_case() {
        let text = "# staff\nAnn.Lee@Contoso.example\n\n  bob@contoso.example \n\"eve\"@contoso.example\n\"\"@shut.example\n@open.example\n";
        let list = Recipients::parse("r", text).expect("a list");
        let check = |address: &str, known: bool| {
            assert_eq!(list.knows(&Mailbox::parse(address).expect("a mailbox")), known, "{address}");
        };
        check("ann.lee@contoso.EXAMPLE", true);
        check("BOB@contoso.example", true);
        check("eve@contoso.example", true);
        check("\"bob\"@contoso.example", true);
        check("\"mallory\"@contoso.example", false);
        check("ann@shut.example", false);
        check("anyone@open.example", true);
        check("anyone@sub.open.example", false);
        assert_eq!(list.count(), 5);
    }

    #[test]
    fn a_line_that_is_no_address_is_named() {
        let fault = |text: &str| Recipients::parse("r", text).map(|_| ()).map_err(|(line, _)| line);
        assert_eq!(fault("a@b.example\nnobody"), Err(2));
        assert_eq!(fault("@"), Err(1));
        assert_eq!(fault(""), Ok(()));
    }
}
