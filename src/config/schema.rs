//! The file as it is written. Values stay text here, so that one reading finds every mistake.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{self, SeqAccess, Visitor};
use toml::Spanned;

use super::units;
use super::values::quoted;

/// A text and its place.
pub(super) type Text = Spanned<String>;
/// A number and its place.
pub(super) type Number = Spanned<i64>;
/// A list of texts and its place; each text has a place of its own.
pub(super) type List = Spanned<Vec<Text>>;
/// The tables `[certificate.ID]` or `[trust.ID]`.
pub(super) type ById<T> = BTreeMap<Text, Spanned<T>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) server: Option<Spanned<Server>>,
    pub(super) certificate: ById<Certificate>,
    pub(super) trust: ById<Trust>,
    pub(super) listener: Vec<Spanned<Listener>>,
    pub(super) inbound: Vec<Spanned<Inbound>>,
    pub(super) outbound: Vec<Spanned<Outbound>>,
    pub(super) dns: Dns,
    pub(super) queue: Queue,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
    pub(super) log: Log,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) name: Option<Text>,
    pub(super) data_dir: Option<Text>,
    pub(super) secure_delete: Option<Spanned<bool>>,
    pub(super) postmaster: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    pub(super) chain: Option<Text>,
    pub(super) key: Option<Text>,
    pub(super) next_chain: Option<Text>,
    pub(super) next_key: Option<Text>,
    pub(super) next_from: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trust {
    pub(super) anchors: Option<Text>,
    pub(super) crl: Option<List>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    pub(super) name: Option<Text>,
    pub(super) address: Option<Spanned<OneOrMany>>,
    pub(super) tls: Option<Text>,
    pub(super) certificate: Option<Spanned<OneOrMany>>,
    pub(super) withhold: Option<List>,
    pub(super) greeting_delay: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inbound {
    pub(super) name: Option<Text>,
    pub(super) from_domains: Option<List>,
    pub(super) from_networks: Option<List>,
    pub(super) from_networks_file: Option<Text>,
    pub(super) users_file: Option<Text>,
    pub(super) tls: Option<Text>,
    pub(super) require: Option<Text>,
    pub(super) peer_names: Option<List>,
    pub(super) trust: Option<List>,
    pub(super) min_version: Option<Text>,
    pub(super) key_exchange: Option<Text>,
    pub(super) pins: Option<List>,
    pub(super) organisation: Option<List>,
    pub(super) common_name: Option<List>,
    pub(super) issuer: Option<List>,
    pub(super) allow_cn: Option<Spanned<bool>>,
    pub(super) revocation: Option<Text>,
    pub(super) mode: Option<Text>,
    pub(super) accept_purpose: Option<Text>,
    pub(super) onward: Option<Text>,
    pub(super) reveal: Option<Text>,
    pub(super) bare_lf: Option<Text>,
    pub(super) message_size: Option<Text>,
    pub(super) recipients: Option<Number>,
    pub(super) messages_per_minute: Option<Number>,
    pub(super) connections: Option<Number>,
    pub(super) to_domains: Option<List>,
    pub(super) recipients_file: Option<Text>,
    pub(super) verify_recipients: Option<Spanned<bool>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outbound {
    pub(super) name: Option<Text>,
    pub(super) domains: Option<List>,
    pub(super) cost: Option<Number>,
    pub(super) next_hop: Option<Spanned<OneOrMany>>,
    pub(super) port: Option<Number>,
    pub(super) tls: Option<Text>,
    pub(super) require: Option<Text>,
    pub(super) peer_names: Option<List>,
    pub(super) trust: Option<List>,
    pub(super) min_version: Option<Text>,
    pub(super) key_exchange: Option<Text>,
    pub(super) pins: Option<List>,
    pub(super) organisation: Option<List>,
    pub(super) common_name: Option<List>,
    pub(super) issuer: Option<List>,
    pub(super) allow_cn: Option<Spanned<bool>>,
    pub(super) revocation: Option<Text>,
    pub(super) mode: Option<Text>,
    pub(super) sni: Option<Text>,
    pub(super) source_address: Option<Spanned<OneOrMany>>,
    pub(super) ehlo_name: Option<Text>,
    pub(super) remember_tls: Option<Spanned<bool>>,
    pub(super) client_certificate: Option<Text>,
    pub(super) on_failure: Option<Text>,
    pub(super) on_handshake_failure: Option<Text>,
    pub(super) retry: Option<List>,
    pub(super) expire: Option<Text>,
    pub(super) delay_dsn: Option<Text>,
    pub(super) connections: Option<Number>,
    pub(super) messages_per_connection: Option<Number>,
    pub(super) messages_per_minute: Option<Number>,
    pub(super) max_recipients: Option<Number>,
    pub(super) spread: Option<Spanned<bool>>,
    pub(super) ignore_extensions: Option<List>,
    pub(super) auth_user: Option<Text>,
    pub(super) auth_secret: Option<Text>,
    pub(super) auth_mechanism: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dns {
    pub(super) servers: Option<List>,
    pub(super) timeout: Option<Text>,
    pub(super) attempts: Option<Number>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Queue {
    pub(super) retry: Option<List>,
    pub(super) expire: Option<Text>,
    pub(super) delay_dsn: Option<Text>,
    pub(super) forced_expire: Option<Text>,
    pub(super) forced_delay_dsn: Option<Text>,
    pub(super) memory: Option<Text>,
    pub(super) double_bounces: Option<Text>,
    pub(super) null_sender_expire: Option<Text>,
    pub(super) archive: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) message_size: Option<Text>,
    pub(super) header_size: Option<Text>,
    pub(super) line_length: Option<Text>,
    pub(super) recipients: Option<Number>,
    pub(super) hops: Option<Number>,
    pub(super) errors: Option<Number>,
    pub(super) useless_commands: Option<Number>,
    pub(super) failed_logins: Option<Number>,
    pub(super) connections: Option<Number>,
    pub(super) connections_per_address: Option<Number>,
    pub(super) reserved_connections: Option<Number>,
    pub(super) handshakes: Option<Number>,
    pub(super) handshakes_per_address: Option<Number>,
    pub(super) ipv4_prefix: Option<Number>,
    pub(super) ipv6_prefix: Option<Number>,
    pub(super) content_rate: Option<Text>,
    pub(super) held: Option<Text>,
    pub(super) free_disk: Option<Text>,
    pub(super) queued: Option<Number>,
    pub(super) outbound_connections: Option<Number>,
    pub(super) outbound_openings: Option<Number>,
    pub(super) outbound_connections_per_host: Option<Number>,
    pub(super) messages_per_connection: Option<Number>,
    pub(super) recipients_per_transaction: Option<Number>,
    pub(super) addresses: Option<Number>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Timeouts {
    pub(super) idle: Option<Text>,
    pub(super) line: Option<Text>,
    pub(super) handshake: Option<Text>,
    pub(super) content: Option<Text>,
    pub(super) session: Option<Text>,
    pub(super) connect: Option<Text>,
    pub(super) command: Option<Text>,
    pub(super) outbound_handshake: Option<Text>,
    pub(super) data_start: Option<Text>,
    pub(super) data_block: Option<Text>,
    pub(super) data_end: Option<Text>,
    pub(super) reuse: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) format: Option<Text>,
    pub(super) level: Option<Text>,
}

/// One text, or a list of them. Not an untagged enum: that would lose the places.
#[derive(Debug)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<Text>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
        let mut many = Vec::new();
        while let Some(item) = items.next_element()? {
            many.push(item);
        }
        Ok(OneOrMany::Many(many))
    }
}

impl OneOrMany {
    /// The texts with their places.
    pub(super) fn items(value: &Spanned<Self>) -> Vec<Text> {
        match value.get_ref() {
            Self::One(text) => vec![Spanned::new(value.span(), text.clone())],
            Self::Many(many) => many.clone(),
        }
    }
}

/// Reads the text.
///
/// # Errors
/// The first mistake of syntax, type or key, with its place if it has one.
pub(super) fn parse(text: &str) -> Result<File, (Option<Range<usize>>, String)> {
    toml::from_str(text).map_err(|fault: toml::de::Error| (fault.span(), in_words(fault.message())))
}

/// Adds the nearest known key to serde's message about an unknown one.
fn in_words(message: &str) -> String {
    let message = message.trim().replace('\n', "; ");
    let Some(rest) = message.strip_prefix("unknown field `") else {
        // serde speaks of its own types; the reader has a file.
        return message
            .replace('`', "\"")
            .replace(" as i128", "")
            .replace("expected i64", "expected a whole number of at most 64 bits")
            .replace("invalid type: map", "invalid type: a table")
            .replace("expected a sequence", "expected a list: [\"...\"] for values, [[...]] for tables");
    };
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next().unwrap_or_default();
    let known: Vec<&str> = names.collect();
    let hint = units::nearest(unknown, known.iter().copied())
        .map_or_else(String::new, |close| format!("; did you mean \"{close}\"?"));
    format!("unknown key \"{unknown}\"; here can stand {}{hint}", quoted(known))
}

/// Where the first connector stands that judges by the operating system's trust anchors.
pub(super) fn system_trust_place(file: &File) -> Option<Range<usize>> {
    let names_system = |tls: &Option<Text>, require: &Option<Text>, trust: &Option<List>| {
        let is = |word: &Option<Text>, is: &str| word.as_ref().is_some_and(|word| word.get_ref() == is);
        let system =
            trust.as_ref().is_none_or(|list| list.get_ref().iter().any(|id| id.get_ref() == "system"));
        let judged = (is(tls, "forced") || is(tls, "implicit")) && !is(require, "encryption") && system;
        tls.as_ref().map(Spanned::span).filter(|_| judged)
    };
    let inbound = file.inbound.iter().map(Spanned::get_ref);
    let outbound = file.outbound.iter().map(Spanned::get_ref);
    inbound
        .filter_map(|entry| names_system(&entry.tls, &entry.require, &entry.trust))
        .chain(outbound.filter_map(|entry| names_system(&entry.tls, &entry.require, &entry.trust)))
        .min_by_key(|place| place.start)
}
