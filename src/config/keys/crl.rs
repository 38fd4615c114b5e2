//! `[crl]`: the keys for how revocation lists are fetched.

use super::entry::Entry as _;
use super::key::Section;
use super::kinds::{Period, Size};
use super::section::section;
use crate::retrieve::settings::Settings;

section! {
    pub(in crate::config) CrlEntry, CrlValues;

    timeout: Period = "30s" => {
        meaning: "For fetching one list, from the DNS query to the last octet.",
    }
    size: Size<usize> = "32MiB" => {
        meaning: "Maximum size of one list. A larger one is not used.",
    }
    retry: Period = "1m" => {
        meaning: "The wait after a failure. It doubles with each further one, up to an hour; a reload tries again at once.",
    }
}

impl CrlValues {
    pub(in crate::config) fn settings(&self) -> Settings {
        Settings { timeout: self.timeout, bytes_max: self.size, retry: self.retry }
    }
}

pub(super) const SECTION: Section = Section {
    name: "crl",
    header: "[crl]",
    sample_header: "[crl]",
    sample: &[],
    comment: "How the revocation lists of trust sets are fetched (crl and crl_fetch of [trust.ID]).",
    intro: "How the revocation lists of trust sets are fetched; what is fetched, `crl` and `crl_fetch` of a \
        [`[trust.ID]`](#trustid) say. A list is fetched again when about half of its time is left, at least once a \
        day, and kept in `crl` in `data_dir`.",
    reload: false,
    keys: CrlEntry::KEYS,
};
