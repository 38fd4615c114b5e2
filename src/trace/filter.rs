//! What events are asked for. Pure: it becomes a query in the terms of the index.

use super::code::StoredWord;
use super::record::EventKind;
use super::terms::{self, Property};
use crate::mail::{QueueId, UnixMillis};

/// Which events are asked for; each field that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceFilter {
    /// The message.
    pub id: Option<QueueId>,
    /// The Message-ID, with or without brackets.
    pub message_id: Option<String>,
    /// The address of the sender or a recipient.
    pub address: Option<String>,
    /// A Message-ID, or the address of the sender or a recipient.
    pub named: Option<String>,
    /// The sender's address, or `@domain`.
    pub from: Option<String>,
    /// A recipient's address, or `@domain`.
    pub to: Option<String>,
    /// The domain of the sender or a recipient.
    pub domain: Option<String>,
    /// Words of the Subject; `invoi*` finds words that begin so.
    pub subject: Vec<String>,
    /// The partner.
    pub partner: Option<String>,
    /// The connector by which it came or went.
    pub connector: Option<String>,
    /// The kinds of events; empty: all.
    pub kinds: Vec<EventKind>,
    /// The token of a decision or a hint, or a status code.
    pub reason: Option<String>,
    /// The TLS version, or `plaintext`.
    pub tls: Option<String>,
    /// The cipher suite.
    pub suite: Option<String>,
    /// The key exchange group.
    pub group: Option<String>,
    /// The SHA-256 of a certificate.
    pub certificate: Option<String>,
    /// The name or address of a host or client.
    pub host: Option<String>,
    /// Not before this.
    pub since: Option<UnixMillis>,
    /// Not after this.
    pub until: Option<UnixMillis>,
}

impl TraceFilter {
    /// The query for the index; `None` if every event matches but for its date and message.
    pub(super) fn query(&self) -> Option<String> {
        use Property as P;
        let mut all = Vec::new();
        let mut any = |properties: &[P], value: &Option<String>| {
            if let Some(value) = value {
                all.push(alternatives(properties.iter().map(|property| property.term(value))));
            }
        };
        any(&[P::MessageId], &self.message_id.as_deref().map(|id| id.trim_matches(['<', '>']).to_owned()));
        any(&[P::From, P::To], &self.address);
        any(&[P::MessageId, P::From, P::To], &self.named);
        any(&[P::FromDomain, P::ToDomain], &self.domain.as_deref().map(terms::a_label));
        any(&[P::Partner], &self.partner);
        any(&[P::Connector, P::CameBy], &self.connector);
        any(&[P::Reason], &self.reason);
        any(&[P::Tls], &self.tls);
        any(&[P::Suite], &self.suite);
        any(&[P::Group], &self.group);
        any(&[P::Certificate], &self.certificate.as_deref().map(plain_digest));
        any(&[P::Host], &self.host);
        for (path, address, domain) in [(&self.from, P::From, P::FromDomain), (&self.to, P::To, P::ToDomain)]
        {
            match path.as_deref().map(|path| path.strip_prefix('@').ok_or(path)) {
                Some(Ok(name)) => all.push(domain.term(&terms::a_label(name))),
                Some(Err(whole)) => all.push(address.term(whole)),
                None => {}
            }
        }
        if !self.kinds.is_empty() {
            all.push(alternatives(self.kinds.iter().map(|kind| P::Kind.term(kind.word()))));
        }
        all.extend(self.subject.iter().filter_map(|word| terms::subject_query(word)));
        (!all.is_empty()).then(|| all.join(" AND "))
    }

    /// The dates that it takes, in milliseconds.
    pub(super) fn span(&self) -> (i64, i64) {
        (self.since.map_or(i64::MIN, |at| at.0), self.until.map_or(i64::MAX, |at| at.0))
    }

    /// Adds what a word that says no more means: a queue ID, a Message-ID, an address or a domain.
    pub fn name(&mut self, what: &str) {
        let what = what.trim();
        if let Ok(id) = what.parse::<QueueId>() {
            self.id = Some(id);
        } else if what.starts_with('<') {
            self.message_id = Some(what.to_owned());
        } else if let Some(domain) = what.strip_prefix('@') {
            self.domain = Some(domain.to_owned());
        } else if what.contains('@') {
            self.named = Some(what.to_owned());
        } else {
            self.domain = Some(what.to_owned());
        }
    }

    /// Whether anything but dates is asked for.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.id.is_some() || self.query().is_some()
    }
}

fn alternatives(terms: impl Iterator<Item = String>) -> String {
    let terms: Vec<String> = terms.map(|term| term.trim().to_owned()).collect();
    format!("({})", terms.join(" OR "))
}

/// As `openssl` prints it: with colons, in upper case.
fn plain_digest(text: &str) -> String {
    text.chars().filter(|c| *c != ':').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_becomes_letters_and_digits_whatever_is_asked() {
        let odd = Some("x\" OR NOT (a* ^ é".to_owned());
        let filter = TraceFilter {
            message_id: odd.clone(),
            address: odd.clone(),
            from: odd.clone(),
            to: Some("@b.example".to_owned()),
            subject: vec!["\" NEAR(a) *".to_owned(), "Rechn*".to_owned(), "Über".to_owned()],
            kinds: vec![EventKind::Failed, EventKind::Deferred],
            ..TraceFilter::default()
        };
        let query = filter.query().expect("a query");
        let rest = query.replace(" AND ", "").replace(" OR ", "").replace(" *", "");
        assert!(rest.chars().all(|c| c.is_alphanumeric() || "()\" ".contains(c)), "{query}");
        assert!(query.contains("\"srechn\" *") && query.contains("\"süber\""), "{query}");
        assert_eq!(TraceFilter::default().query(), None);
    }
}
