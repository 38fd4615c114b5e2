//! What an event is found by: terms, each a property and its value. Pure: events to terms, and a question to a query in
//! terms.

use super::code::StoredWord;
use super::record::{EventFacts, EventKind};
use crate::connector::Decision;
use crate::mail::{Domain, stable_hash};

/// A property of an event that can be searched for. Its letter begins the term and is never used for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Property {
    /// The sender's address.
    From,
    /// The sender's domain.
    FromDomain,
    /// A recipient's address.
    To,
    /// A recipient's domain.
    ToDomain,
    /// The Message-ID.
    MessageId,
    /// The kind of event.
    Kind,
    /// The outbound or inbound connector that decided.
    Connector,
    /// The inbound connector of the message.
    CameBy,
    /// The partner.
    Partner,
    /// A reason: the token of a decision or a hint, or a status code.
    Reason,
    /// The TLS version, `plaintext`, or `none`.
    Tls,
    /// The cipher suite.
    Suite,
    /// The key exchange group.
    Group,
    /// The SHA-256 of a certificate.
    Certificate,
    /// The name or the address of a host or client.
    Host,
}

impl Property {
    const fn letter(self) -> char {
        match self {
            Self::From => 'a',
            Self::FromDomain => 'b',
            Self::To => 'c',
            Self::ToDomain => 'd',
            Self::MessageId => 'e',
            Self::Kind => 'f',
            Self::Connector => 'g',
            Self::CameBy => 'h',
            Self::Partner => 'i',
            Self::Reason => 'j',
            Self::Tls => 'k',
            Self::Suite => 'l',
            Self::Group => 'm',
            Self::Certificate => 'n',
            Self::Host => 'o',
        }
    }

    /// The term for a value, as it is written in the index: letters and digits only, whatever the value is.
    pub(super) fn term(self, value: &str) -> String {
        let mut term = String::with_capacity(TERM_OCTETS);
        self.put(value, &mut term);
        term
    }

    /// Appends the term. Upper and lower case are the same.
    fn put(self, value: &str, terms: &mut String) {
        let hash = hash(value);
        terms.push(self.letter());
        for octet in hash.to_be_bytes() {
            terms.push(digit(octet >> 4));
            terms.push(digit(octet & 15));
        }
        terms.push(' ');
    }
}

/// A hash that is stable on disk. Upper and lower case are the same.
pub(super) fn hash(value: &str) -> u64 {
    if value.is_ascii() {
        return stable_hash(value.bytes().map(|octet| octet.to_ascii_lowercase()));
    }
    stable_hash(value.to_lowercase().bytes())
}

/// A hexadecimal digit.
fn digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

const TERM_OCTETS: usize = 18;

/// The terms of an event but for those of its decision.
pub(super) fn of_event(kind: EventKind, facts: &EventFacts, terms: &mut String) {
    Property::Kind.put(kind.word(), terms);
    let mut put = |property: Property, value: &Option<String>| {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            property.put(value, terms);
        }
    };
    put(Property::From, &facts.reverse_path);
    put(Property::FromDomain, &facts.reverse_path.as_deref().and_then(domain).map(a_label));
    put(Property::MessageId, &facts.message_id);
    // Of what came in, the decision names it.
    if kind != EventKind::Accepted {
        put(Property::CameBy, &facts.came_by);
    }
    put(Property::Connector, &facts.connector);
    put(Property::Connector, &facts.rerouted_from);
    put(Property::Connector, &facts.rerouted_to);
    put(Property::Reason, &facts.status);
    put(Property::Reason, &facts.hint);
    put(Property::Host, &facts.peer);
    for recipient in facts.recipients.iter().chain(&facts.forward_path) {
        Property::To.put(recipient, terms);
        if let Some(domain) = domain(recipient) {
            Property::ToDomain.put(&a_label(domain), terms);
        }
    }
    if let Some(host) = &facts.host {
        put_host(host, terms);
    }
    if let Some(subject) = &facts.subject {
        for word in words(subject).take(SUBJECT_WORDS_MAX) {
            terms.push(SUBJECT_LETTER);
            terms.push_str(&word);
            terms.push(' ');
        }
    }
}

/// The terms of a decision.
pub(super) fn of_decision(decision: &Decision) -> String {
    let mut terms = String::new();
    if let Some(connector) = &decision.connector {
        Property::Connector.put(connector, &mut terms);
    }
    if let Some(partner) = &decision.partner {
        Property::Partner.put(&partner.name, &mut terms);
    }
    Property::Reason.put(&decision.token(), &mut terms);
    match decision.tls() {
        Some(tls) => {
            Property::Tls.put(&tls.version.to_string(), &mut terms);
            Property::Suite.put(&tls.suite, &mut terms);
            Property::Group.put(&tls.group, &mut terms);
            if let Some(certificate) = tls.certificate() {
                Property::Certificate.put(&certificate.sha256, &mut terms);
            }
        }
        None if decision.is_in_plaintext() => Property::Tls.put("plaintext", &mut terms),
        None => Property::Tls.put("none", &mut terms),
    }
    terms
}

/// A host is found by its name and by its address: `mx.b.example [192.0.2.7]:25`.
fn put_host(host: &str, terms: &mut String) {
    let name = host_name(host);
    if !name.is_empty() {
        Property::Host.put(name, terms);
    }
    let address = host.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    if let Some((address, _)) = address {
        Property::Host.put(address, terms);
    }
}

/// The name in `mx.b.example [192.0.2.7]:25`; empty if there is only an address.
pub(super) fn host_name(host: &str) -> &str {
    host.split([' ', '[']).next().unwrap_or_default().trim_end_matches(':')
}

/// The domain of an address as it is written in an envelope.
pub(super) fn domain(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

/// A domain as it is searched for: as an A-label.
pub(super) fn a_label(domain: &str) -> String {
    if domain.is_ascii() {
        return domain.to_owned();
    }
    Domain::parse(domain).map_or_else(|_| domain.to_owned(), |domain| domain.as_str().to_owned())
}

/// The words of a subject, in lower case: runs of letters and digits of any script.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(|word| {
        let short: String = word.chars().take(WORD_CHARS_MAX).collect();
        short.to_lowercase()
    })
}

/// The query for one word of a subject; `invoi*` finds words that begin so.
pub(super) fn subject_query(text: &str) -> Option<String> {
    let begins = text.ends_with('*');
    let parts: Vec<String> = words(text).collect();
    let (last, rest) = parts.split_last()?;
    let mut query: Vec<String> = rest.iter().map(|word| format!("\"{SUBJECT_LETTER}{word}\"")).collect();
    let star = if begins { " *" } else { "" };
    query.push(format!("\"{SUBJECT_LETTER}{last}\"{star}"));
    Some(query.join(" AND "))
}

/// Begins the term of a word in a subject; the word itself follows, so that its beginning can be searched for.
const SUBJECT_LETTER: char = 's';
const SUBJECT_WORDS_MAX: usize = 20;
const WORD_CHARS_MAX: usize = 40;
