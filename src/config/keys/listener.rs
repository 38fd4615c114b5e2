//! `[[listener]]`: the keys of a listener, its addresses and TLS.

use std::time::Duration;

use super::entry::Entry as _;
use super::forms::{Addresses, IdOrIds, Keywords, Name};
use super::key::{Condition, Section};
use super::kinds::{Optional, Period, RequiredKey, Word};
use super::section::section;
use crate::connector::Profile;
use crate::listen::settings::{Listener, ListenerTls};

section! {
    pub(in crate::config) ListenerEntry, ListenerValues;

    name: RequiredKey<Name> = "internet" => {
        meaning: "Its name in logs: letters, digits, `.`, `-`, `_`. Listeners have different names.",
    }
    address: RequiredKey<Addresses> = "0.0.0.0:25" => {
        meaning: "Where it listens: one address or several, as `\"0.0.0.0:25\"` and `\"[::]:25\"`.",
        explanation: "Port 0 takes a free one. `\"[::]:25\"` is all of IPv6 and nothing of IPv4. Errors: an address \
            that a listener has already, also by listening on all addresses; link-local IPv6 without its interface, as in \
            `\"[fe80::1%2]:25\"`; IPv4 written as IPv6; multicast.",
    }
    tls: RequiredKey<Word<ListenerTls>> = "starttls" => {
        meaning: "`off`; `starttls`: offered; `required`: nothing is accepted before STARTTLS (530 5.7.0); \
            `implicit`: TLS from the first octet.",
        explanation: "Clients of port 465 begin with TLS, those of ports 25 and 587 wait for a greeting. Warnings: \
            anything but `implicit` on port 465; `implicit` on 25 or 587.",
    }
    certificate: Optional<IdOrIds> = "gw" => {
        applies: &[Condition { key: "tls", words: &["starttls", "required", "implicit"], otherwise: &[] }],
        meaning: "The ID of the certificate that it shows, or a list; required if TLS is offered.",
        explanation: "Of several it shows the one that has the name the client asks for (SNI) and fits the \
            signatures the client knows, so that RSA and ECDSA certificates can be used side by side; the first if \
            none does. Errors: missing although TLS is offered; empty; one is listed twice.",
        reload: true,
    }
    profile: Optional<Word<Profile>> = "nl-2025" => {
        applies: &[Condition { key: "tls", words: &["starttls", "required", "implicit"], otherwise: &[] }],
        meaning: "Limits its handshakes to a published guideline in one edition: versions, suites, groups, signatures and \
            their order.",
        explanation: "docs/profiles.md has the tables, and what each costs. Clients that have nothing in common with the \
            profile get no TLS here: on an open listener (`starttls`) they send in plaintext or not at all, so leave such a \
            listener without, or at `nl-2025`, which shuts out nobody who gets in without it, and give partners that must \
            conform a listener of their own. `sealpost check --profile NAME` looks at the whole configuration. Error: none \
            of the certificates has a key that the profile signs with. Warnings: a certificate does not conform; \
            `starttls` with a profile that shuts out clients.",
        reload: true,
    }
    withhold: Keywords = ["BINARYMIME"] => {
        meaning: "Extensions that are not offered: of `PIPELINING`, `8BITMIME`, `CHUNKING`, `BINARYMIME`, \
            `SMTPUTF8`, `DSN`, `LIMITS`.",
        explanation: "BINARYMIME is withheld by default, since such mail is reported as failed (5.6.3) where the \
            next hop does not support it. `[]` offers all. Withhold `CHUNKING` or `PIPELINING` only for a client \
            that gets them wrong.",
    }
    greeting_delay: Optional<Period> = "2s" => {
        applies: &[Condition {
            key: "tls",
            words: &["off", "starttls", "required"],
            otherwise: &[("implicit", "tls is \"implicit\", and the client speaks first; remove it")],
        }],
        absent: "greeted at once",
        meaning: "How long a client must be silent before it is greeted.",
        explanation: "A mail server waits for the greeting; much spam software does not. A client that speaks first \
            is refused with 554 5.5.1. On a listener that faces the internet `\"2s\"` turns away much that is not a \
            mail server. It costs every connection that time, so leave it out for your own hosts. Error: more than \
            `1m`.",
    }
}

impl ListenerValues {
    /// The listener's settings; `None` if a required key is missing, which has been reported.
    pub(in crate::config) fn settings(&self) -> Option<Listener> {
        let certificates = self.certificate.iter().flatten();
        Some(Listener {
            name: self.name.as_ref()?.get_ref().clone(),
            addresses: self.address.iter().flatten().map(|(address, _)| *address).collect(),
            tls: self.tls?,
            profile: self.profile,
            certificates: certificates.map(|id| id.get_ref().clone()).collect(),
            withheld: self.withhold.clone(),
            greeting_delay: self.greeting_delay.filter(|delay| *delay > Duration::ZERO),
        })
    }
}

pub(super) const SECTION: Section = Section {
    name: "listener",
    header: "[[listener]]",
    sample_header: "[[listener]]",
    sample: &[("address", "[\"0.0.0.0:25\", \"[::]:25\"]"), ("tls", "\"off\"")],
    comment: "Where we listen. There may be several.",
    intro: "Where we listen. A reload applies changed certificates; the other keys, and a listener more or fewer, \
        need a restart.",
    reload: false,
    keys: ListenerEntry::KEYS,
};
