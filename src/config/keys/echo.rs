//! `[echo]`: the keys of the echo mailbox.

use super::entry::Entry as _;
use super::forms::MailboxText;
use super::key::Section;
use super::kinds::{Count, Optional};
use super::section::section;
use crate::connector::EchoMailbox;

section! {
    pub(in crate::config) EchoEntry, EchoValues;

    address: Optional<MailboxText> = "echo@gw.contoso.example" => {
        absent: "there is none",
        meaning: "The address of the echo mailbox.",
        explanation: "Its domain needs no outbound connector, and partners' servers must find this server by it, so the name of the \
            `[server]` is a good one. `to_domains`, `recipients_file` and `verify_recipients` do not concern it. Errors: \
            `postmaster`, or the postmaster of the `[server]`; not ASCII; an address literal; a domain that an outbound connector \
            names, since the mailbox may exist there; no inbound connector may use it (`echo`); no outbound connector serves \
            any of the domains that may.",
    }
    per_hour: Count<u32> = 20 => {
        meaning: "Maximum number of answers to one domain in an hour; what comes beyond is accepted and not answered.",
    }
    per_day: Count<u32> = 500 => {
        meaning: "Maximum number of answers in a day. A restart begins to count again.",
    }
}

impl EchoValues {
    pub(in crate::config) fn mailbox(&self) -> Option<EchoMailbox> {
        let address = self.address.clone()?;
        Some(EchoMailbox { address, per_hour: self.per_hour, per_day: self.per_day })
    }
}

pub(super) const SECTION: Section = Section {
    name: "echo",
    header: "[echo]",
    sample_header: "[echo]",
    sample: &[],
    comment: "A mailbox that tells partners what we saw of their session.",
    intro: "A mailbox that answers partners with what we saw of their session and what they can expect of ours; who may use it, \
        `echo` of an [`[[inbound]]`](#inbound) says. See [the echo mailbox](echo.md). Errors: `per_hour` or `per_day` without \
        `address`.",
    reload: true,
    keys: EchoEntry::KEYS,
};
