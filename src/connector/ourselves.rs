//! What we show others, as far as decisions and answers name it: our certificates, and the echo mailbox.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::facts::CertificateFacts;
use crate::mail::Mailbox;

/// What we show others.
#[derive(Debug, Default)]
pub struct Ourselves {
    /// The echo mailbox, if there is one.
    pub echo: Option<EchoMailbox>,
    /// Our certificates, by the ID of `[certificate.ID]`.
    pub certificates: BTreeMap<Arc<str>, CertificateFacts>,
}

/// The mailbox that answers partners with what we saw of their session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoMailbox {
    /// Its address.
    pub address: Mailbox,
    /// Maximum answers to one domain in an hour.
    pub per_hour: u32,
    /// Maximum answers in a day.
    pub per_day: u32,
}

impl EchoMailbox {
    /// Whether an address is the mailbox's, in any case and however it is quoted.
    #[must_use]
    pub fn is(&self, mailbox: &Mailbox) -> bool {
        // The domain first: that costs nothing for the recipients of all other mail.
        self.address.domain() == mailbox.domain() && self.address.folded() == mailbox.folded()
    }
}
