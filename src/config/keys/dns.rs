//! `[dns]`: the keys for DNS lookups.

use super::entry::Entry as _;
use super::forms::Servers;
use super::key::Section;
use super::kinds::{Count, Optional, Period};
use super::section::section;
use crate::resolver::settings::Settings;

section! {
    pub(in crate::config) DnsEntry, DnsValues;

    servers: Optional<Servers> = ["127.0.0.1:53"] => {
        absent: "the system's",
        meaning: "The name servers to ask; port 53 if none is written.",
    }
    timeout: Period = "5s" => {
        meaning: "How long to wait for the answer of one server.",
    }
    attempts: Count<usize> = 2 => {
        meaning: "How many times a server is asked.",
    }
}

impl DnsValues {
    pub(in crate::config) fn settings(&self) -> Settings {
        Settings {
            servers: self.servers.clone().unwrap_or_default(),
            timeout: self.timeout,
            attempts: self.attempts,
        }
    }
}

pub(super) const SECTION: Section = Section {
    name: "dns",
    header: "[dns]",
    sample_header: "[dns]",
    sample: &[],
    comment: "",
    intro: "",
    reload: false,
    keys: DnsEntry::KEYS,
};
