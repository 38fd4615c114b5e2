//! What the stand-ins of the hybrid lab saw: messages, refusals, plaintext. Results are judged by it, not
//! by what the gateway reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::hosts::LabHost;
use super::treat::Treatment;

/// The record of all stand-ins during one run.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    book: Mutex<LedgerBook>,
}

#[derive(Debug, Default)]
struct LedgerBook {
    arrivals: Vec<HostArrival>,
    refusals: Vec<HostRefusal>,
    stuck: BTreeMap<String, String>,
    clear: BTreeMap<LabHost, Vec<u8>>,
    /// What greylisting has seen.
    met: BTreeSet<(LabHost, String, String)>,
}

/// A message that a stand-in accepted.
#[derive(Debug, Clone)]
pub(super) struct HostArrival {
    /// Who accepted it.
    pub(super) host: LabHost,
    /// The message as it arrived.
    pub(super) content: Vec<u8>,
    /// TLS version and suite; `None` in plaintext.
    pub(super) channel: Option<String>,
    /// What Exchange made of it.
    pub(super) treatment: Option<Treatment>,
}

/// A reply by which a stand-in did not accept a message.
#[derive(Debug, Clone)]
pub(super) struct HostRefusal {
    /// The address of MAIL FROM.
    pub(super) reverse_path: String,
    /// The address of RCPT TO.
    pub(super) forward_path: String,
    /// The whole reply.
    pub(super) reply: String,
}

impl Ledger {
    /// Forgets everything, for another run.
    pub(super) fn clear(&self) {
        *self.lock() = LedgerBook::default();
    }

    /// Records octets that came before TLS.
    pub(super) fn heard_in_clear(&self, host: LabHost, octets: &[u8]) {
        let mut book = self.lock();
        let heard = book.clear.entry(host).or_default();
        let room = CLEAR_BYTES_MAX.saturating_sub(heard.len());
        heard.extend_from_slice(octets.get(..room.min(octets.len())).unwrap_or_default());
    }

    /// Records an accepted message.
    pub(super) fn arrived(&self, arrival: HostArrival) {
        let mut book = self.lock();
        if book.arrivals.len() < ENTRIES_MAX {
            book.arrivals.push(arrival);
        }
    }

    /// Records a refusal.
    pub(super) fn refused(&self, refusal: HostRefusal) {
        let mut book = self.lock();
        if book.refusals.len() < ENTRIES_MAX {
            book.refusals.push(refusal);
        }
    }

    /// Records that the gateway did not accept what a stand-in handed on.
    pub(super) fn stuck(&self, case: &str, reply: &str) {
        let mut book = self.lock();
        if book.stuck.len() < ENTRIES_MAX {
            book.stuck.insert(case.to_owned(), reply.to_owned());
        }
    }

    /// Whether greylisting sees this sender and recipient for the first time.
    pub(super) fn is_new(&self, host: LabHost, reverse_path: &str, forward_path: &str) -> bool {
        let mut book = self.lock();
        book.met.len() < ENTRIES_MAX
            && book.met.insert((host, reverse_path.to_owned(), forward_path.to_owned()))
    }

    /// The first accepted message that matches.
    pub(super) fn find(&self, wanted: impl Fn(&HostArrival) -> bool) -> Option<HostArrival> {
        self.lock().arrivals.iter().find(|arrival| wanted(arrival)).cloned()
    }

    /// The last refusal of this envelope whose reply begins with this digit.
    pub(super) fn refusal(&self, envelope: (&str, &str), digit: char) -> Option<HostRefusal> {
        let wanted = |refusal: &&HostRefusal| {
            refusal.reverse_path == envelope.0
                && refusal.forward_path == envelope.1
                && refusal.reply.starts_with(digit)
        };
        self.lock().refusals.iter().rev().find(wanted).cloned()
    }

    /// The gateway's reply to what a stand-in handed on.
    pub(super) fn reply_to(&self, case: &str) -> Option<String> {
        self.lock().stuck.get(case).cloned()
    }

    /// Whether a host heard these octets in plaintext, ignoring case.
    pub(super) fn came_in_clear(&self, host: LabHost, octets: &str) -> bool {
        let octets = octets.as_bytes();
        let book = self.lock();
        let heard = book.clear.get(&host).map(Vec::as_slice).unwrap_or_default();
        !octets.is_empty() && heard.windows(octets.len()).any(|window| window.eq_ignore_ascii_case(octets))
    }

    fn lock(&self) -> MutexGuard<'_, LedgerBook> {
        // What was recorded stays valid even if a session panicked.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A kept lab may get any amount of mail, so what is remembered is bounded.
const CLEAR_BYTES_MAX: usize = 256 * 1024;
const ENTRIES_MAX: usize = 2000;
