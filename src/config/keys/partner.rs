//! `[[partner]]`: the keys of a partner, whom connectors of both directions refer to.

use std::sync::Arc;

use super::alerts::Mailboxes;
use super::entry::Entry as _;
use super::forms::{Moment, Name, Patterns, Remark};
use super::key::{Condition, Section};
use super::kinds::{File, Optional, RequiredKey};
use super::section::section;
use crate::connector::{DomainPattern, Partner};

/// Only where a connector names its domains itself.
pub(super) const NO_PARTNER: Condition = Condition {
    key: "partner",
    words: &[],
    otherwise: &[("", "the domains are those of the partner; remove one of the two keys")],
};

section! {
    pub(in crate::config) PartnerEntry, PartnerValues;

    name: RequiredKey<Name> = "fabrikam" => {
        meaning: "Its name, by which connectors refer to it. Partners have different names.",
    }
    domains: Optional<Patterns> = ["fabrikam.example", "*.fabrikam.example"] => {
        absent: "those of `domains_file`",
        meaning: "Its domains: `\"a.example\"`, `\"*.a.example\"` (any depth below, not a.example).",
        explanation: "They are the `from_domains` of its inbound connectors and the `domains` of its outbound ones, so both \
            directions always agree. Errors: empty; neither `domains` nor `domains_file`; one is listed twice, or belongs to \
            another partner; `\"*\"`, which is everybody. Warnings: `*.a.example` without a.example; a whole zone, such as `com` or `*.co.uk`.",
    }
    domains_file: Optional<File> = "partners/fabrikam.txt" => {
        meaning: "A file of domains, one a line; they count together with `domains`.",
        explanation: "`#` begins a comment. It is read again at a reload, and when it changes. Errors: it can't be read; a \
            line is not a domain or pattern; it has none.",
    }
    contact: Optional<Remark> = "mail@fabrikam.example" => {
        meaning: "Whom to ask there: an address, a telephone number, or both.",
        explanation: "Our own people find it where something is wrong: in the log, in alarms, in `sealpost connectors`, \
            `explain` and `doctor`, and in reports to our own mailboxes (docs/operation.md, \"Reports\"). \
            Clients and other organisations never see it. Error: empty, or more than one line of 200 characters.",
    }
    note: Optional<Remark> = "contract 12" => {
        meaning: "What our own people should know of it, in one line.",
    }
    report_to: Mailboxes = [] => {
        meaning: "Who gets the TLS report of the mail with this partner only: our own people, or people there.",
        explanation: "When, says [`[reports]`](reports.md). It has nothing of other partners, and no contact or note. Errors: no outbound \
            connector serves an address; one is listed twice.",
    }
    review: Optional<Moment> = "2027-01-31" => {
        meaning: "When to check again what was agreed with it: a date (midnight UTC), or a date and time.",
        explanation: "Warning: it is due within 30 days, or was; a date that has passed is an alarm of the running daemon too.",
    }
}

impl PartnerValues {
    /// The partner with these domains; `None` if its name is missing, which has been reported.
    pub(in crate::config) fn partner(&self, domains: Vec<DomainPattern>) -> Option<Partner> {
        let line = |text: &Option<String>| text.as_deref().map(Arc::from);
        Some(Partner {
            contact: line(&self.contact),
            note: line(&self.note),
            review: self.review,
            ..Partner::new(self.name.as_ref()?.get_ref(), domains)
        })
    }
}

pub(super) const SECTION: Section = Section {
    name: "partner",
    header: "[[partner]]",
    sample_header: "#[[partner]]",
    sample: &[],
    comment: "Another organisation, to which connectors of both directions refer by partner = \"NAME\". There may be any number.",
    intro: "Another organisation, to which connectors of both directions refer by `partner`, instead of repeating its \
        domains. Errors: a connector names a partner that there is not; it names domains as well. Warnings, which say what a \
        partner lacks: no connector refers to it; it has connectors of one direction only; TLS is forced in one direction \
        and not in the other, or mail goes by a connector that does not force it; `*.a.example` without a.example; a connector pins one key, without its successor; its review is due.",
    reload: true,
    keys: PartnerEntry::KEYS,
};
