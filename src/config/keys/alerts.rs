//! `[alerts]`: the keys for who hears of what goes wrong.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::{Value, json};

use super::entry::Entry as _;
use super::forms::{MailboxText, Name};
use super::key::{List, Section, Text};
use super::kinds::{Count, File, Id, Kind, Line, Optional, Period, PeriodOrNever};
use super::section::section;
use crate::alert::AlertKind;
use crate::config::fault::Report;
use crate::config::values::choices;
use crate::mail::Mailbox;

section! {
    pub(in crate::config) AlertsEntry, AlertsValues;

    to: Mailboxes = [] => {
        meaning: "Who gets alerts by mail.",
        explanation: "Each alert is a message of its own to each of them, with the null reverse-path. An outbound connector \
            must serve each address. Errors: none does; one is listed twice. Warning: everybody's mail goes by one connector, so \
            that nobody gets mail when this one fails; write `via`, an address that another connector serves, or `webhook`.",
    }
    from: Optional<MailboxText> = "sealpost@contoso.example" => {
        absent: "the postmaster",
        meaning: "Who alerts come from, in the header. Error: `to` is empty.",
    }
    via: Optional<Name> = "smarthost-out" => {
        absent: "the connector for any mail to the address",
        meaning: "The outbound connector by which alerts go.",
        explanation: "An alert never goes by the connector that it is about, nor by one that fails if the other works: then it \
            takes the usual way. \
            Errors: `to` is empty; there is no outbound connector with this name; it is off; all mail to these addresses goes by it anyway; mail to an \
            address goes by an enforced connector with forced TLS, and this one is not one.",
    }
    webhook: Optional<Line> = "https://hooks.contoso.example/sealpost" => {
        meaning: "Where a notice of each alert is posted, as JSON. See [alerts](alerts.md#the-webhook).",
        explanation: "Error: not `https://`, unless it is `http://` to a loopback address. It must prove its name by a certificate \
            of `webhook_trust`. A redirection is not followed.",
    }
    webhook_token_file: Optional<File> = "/etc/sealpost/webhook.token" => {
        meaning: "A file with a token, which the request has as `Authorization: Bearer`. It is read for each request.",
        explanation: "Errors: `webhook` is missing; the file can't be read.",
    }
    webhook_trust: Optional<Id> = "system" => {
        absent: "`system`",
        meaning: "The `[trust.ID]` whose anchors the certificate of the webhook's server must lead to.",
        explanation: "Errors: `webhook` is missing, or is `http://`; there is no such set.",
    }
    without: Kinds = [] => {
        meaning: "Kinds of alerts of which nobody hears: see the [list](alerts.md#kinds). `sealpost alert list` shows them all \
            the same.",
    }
    growing_queue: Count<u64> = 10000 => {
        meaning: "The number of queued messages from which on the queue is an alert.",
        explanation: "Error: more than `queued` of `[limits]`, which is never reached.",
    }
    oldest: PeriodOrNever = "never" => {
        meaning: "The age of a queued message from which on it is an alert. Messages that are held don't count.",
    }
    unforced_after: Period = "1h" => {
        meaning: "How long deliveries by a connector that does not force TLS must have failed, more than once, before that is an \
            alert.",
        explanation: "One that forces TLS and is enforced is an alert at its first failure. A connector for `\"*\"` with next_hop \
            = \"mx\" is none: some domain in the world never answers.",
    }
    digest: Period = "10m" => {
        meaning: "Within this time, at most five alerts come as messages of their own. The others come together in one; what has \
            begun comes within a minute.",
    }
}

/// Mailboxes, with their positions.
pub(in crate::config) struct Mailboxes;

impl Kind for Mailboxes {
    type Written = Vec<Text>;
    type Value = Vec<(Mailbox, Range<usize>)>;
    const NAME: &'static str = "mailboxes";

    fn read(written: &List, _: &str, report: &mut Report<'_>) -> Option<Self::Value> {
        let mut known = BTreeSet::new();
        let mut found = Vec::new();
        for text in written.get_ref() {
            let Some(mailbox) = report.mailbox(text) else { continue };
            if known.insert(mailbox.folded()) {
                found.push((mailbox, text.span()));
            } else {
                report.fault(text.span(), format!("\"{}\" is listed twice; remove one", text.get_ref()));
            }
        }
        Some(found)
    }

    fn show(value: &Self::Value) -> Value {
        value.iter().map(|(mailbox, _)| json!(mailbox.as_str())).collect()
    }
}

/// Kinds of alerts.
pub(in crate::config) struct Kinds;

impl Kind for Kinds {
    type Written = Vec<Text>;
    type Value = BTreeSet<AlertKind>;
    const NAME: &'static str = "kinds";

    fn read(written: &List, _: &str, report: &mut Report<'_>) -> Option<Self::Value> {
        let mut found = BTreeSet::new();
        for text in written.get_ref() {
            let word = text.get_ref();
            match AlertKind::named(word) {
                None => {
                    let known = AlertKind::ALL.iter().map(|kind| kind.word());
                    let words = format!("\"{word}\" is not a kind of alert{}", choices(word, known, "kinds"));
                    report.fault(text.span(), words);
                }
                Some(kind) if !found.insert(kind) => {
                    report.fault(text.span(), format!("\"{word}\" is listed twice; remove one"));
                }
                Some(_) => {}
            }
        }
        Some(found)
    }

    fn show(value: &Self::Value) -> Value {
        value.iter().map(|kind| json!(kind.word())).collect()
    }
}

pub(super) const SECTION: Section = Section {
    name: "alerts",
    header: "[alerts]",
    sample_header: "[alerts]",
    sample: &[],
    comment: "Who hears of failing partners and of what else needs attention.",
    intro: "Who hears of failing partners and of what else needs attention, by mail and webhook. Without `to` and `webhook` nobody \
        does; `sealpost alert list` shows it all the same. See [alerts](alerts.md).",
    reload: true,
    keys: AlertsEntry::KEYS,
};
