//! What is in force, resolved, for `check --json`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Config, LogFormat};
use crate::connector::{
    Forced, Inbound, InboundTls, KeyExchange, NextHop, OnFailure, OnHandshakeFailure, Outbound, Pin, Purpose,
    Require, Revocation, Sni,
};
use crate::listen::settings::{Listener, ListenerTls};
use crate::mail::{UnixMillis, rfc3339};

impl Config {
    /// Every setting as it is in force, defaults and inheritance resolved.
    #[must_use]
    pub fn in_force(&self) -> Value {
        json!({
            "server": {
                "name": self.listen.name.as_str(),
                "data_dir": self.data_dir.display().to_string(),
                "secure_delete": self.secure_delete,
                "control": self.control.display().to_string(),
                "postmaster": self.listen.postmaster.as_str(),
            },
            "certificate": self.identities.keys().collect::<Vec<_>>(),
            "trust": self.trust.keys().map(ToString::to_string).collect::<Vec<_>>(),
            "listener": self.listen.listeners.iter().map(listener).collect::<Vec<_>>(),
            "inbound": self.inbound.iter().map(inbound).collect::<Vec<_>>(),
            "outbound": self.outbound.iter().map(outbound).collect::<Vec<_>>(),
            "dns": {
                "servers": self.resolver.servers.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "timeout": words(self.resolver.timeout),
                "attempts": self.resolver.attempts,
            },
            "queue": {
                "memory": self.scheduler.memory_bytes_max,
                "null_sender_expire": self.scheduler.null_sender_expire.map(words),
                "archive": self.scheduler.archive.as_ref().map(|folder| folder.display().to_string()),
                "double_bounces": if self.scheduler.double_bounces { "postmaster" } else { "drop" },
            },
            "limits": self.limits(),
            "timeouts": self.timeouts(),
            "log": {
                "format": match self.log.format { LogFormat::Text => "text", LogFormat::Json => "json" },
                "level": self.log.level,
            },
        })
    }

    fn limits(&self) -> Value {
        let limits = &self.listen.limits;
        json!({
            "message_size": limits.message_bytes_max,
            "header_size": limits.header_bytes_max,
            "line_length": limits.line_bytes_max,
            "recipients": limits.recipients_max,
            "hops": limits.hops_max,
            "errors": limits.errors_max,
            "useless_commands": limits.useless_max,
            "failed_logins": limits.failed_logins_max,
            "connections": limits.connections_max,
            "connections_per_address": limits.connections_per_address_max,
            "reserved_connections": limits.reserved_connections,
            "handshakes": limits.handshakes_max,
            "handshakes_per_address": limits.handshakes_per_address_max,
            "ipv4_prefix": limits.network_bits.ipv4,
            "ipv6_prefix": limits.network_bits.ipv6,
            "content_rate": limits.content_rate_min,
            "held": limits.held_bytes_max,
            "free_disk": self.listen.reserve.free_disk,
            "queued": self.listen.reserve.queued_max,
            "outbound_connections": self.scheduler.sessions_max,
            "outbound_openings": self.scheduler.openings_max,
            "outbound_connections_per_host": self.scheduler.sessions_per_host_max,
            "messages_per_connection": self.deliver.messages_per_connection_max,
            "recipients_per_transaction": self.deliver.recipients_per_transaction_max,
            "addresses": self.deliver.addresses_max,
        })
    }

    fn timeouts(&self) -> Value {
        let (listen, deliver) = (&self.listen.timeouts, &self.deliver.timeouts);
        json!({
            "idle": words(listen.idle),
            "line": words(listen.line),
            "handshake": words(listen.handshake),
            "content": words(listen.content),
            "session": words(listen.session),
            "connect": words(deliver.connect),
            "command": words(deliver.command),
            "outbound_handshake": words(deliver.handshake),
            "data_start": words(deliver.data_start),
            "data_block": words(deliver.data_block),
            "data_end": words(deliver.data_end),
            "reuse": words(self.deliver.idle),
        })
    }
}

fn listener(listener: &Listener) -> Value {
    json!({
        "name": listener.name,
        "address": listener.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "tls": listener_tls(listener.tls),
        "certificate": listener.certificates,
        "withhold": listener.withheld,
        "greeting_delay": listener.greeting_delay.map(words),
    })
}

/// All an inbound connector says.
fn inbound(connector: &Inbound) -> Value {
    let (tls, forced) = match &connector.tls {
        InboundTls::Off => ("off", None),
        InboundTls::Opportunistic => ("opportunistic", None),
        InboundTls::Forced(forced) => ("forced", Some(forced)),
    };
    json!({
        "name": &*connector.name,
        "from_domains": texts(&connector.from_domains),
        "from_networks": texts(&connector.from_networks),
        "users_file": connector.users.as_ref().map(|users| &*users.file),
        "tls": tls,
        "forced": forced.map(demands),
        "requirement": inbound_requirement(connector),
        "mode": connector.mode,
        "onward": connector.onward,
        "reveal": connector.reveal,
        "bare_lf": connector.bare_lf,
        "limits": connector.limits,
        "to_domains": texts(&connector.to_domains),
        "verify_recipients": connector.verify_recipients,
        "recipients_file": connector.recipients.as_ref().map(|known| &*known.file),
        "revision": connector.revision.to_string(),
    })
}

/// All an outbound connector says.
fn outbound(connector: &Outbound) -> Value {
    let (next_hop, port) = match &connector.next_hop {
        NextHop::Mx { port } => (json!("mx"), Some(port)),
        NextHop::SmartHosts(hosts) => (json!(texts(hosts)), None),
    };
    let on_failure = match connector.on_failure {
        OnFailure::Defer => "defer",
        OnFailure::Bounce => "bounce",
    };
    let on_handshake_failure = match connector.on_handshake_failure {
        OnHandshakeFailure::Clear => "clear",
        OnHandshakeFailure::ClearLater => "clear_later",
        OnHandshakeFailure::Defer => "defer",
    };
    let is_forced = connector.forced().is_some();
    json!({
        "name": &*connector.name,
        "domains": texts(&connector.domains),
        "cost": connector.cost,
        "next_hop": next_hop,
        "port": port,
        "tls": connector.tls_word(),
        "forced": connector.forced().map(demands),
        "requirement": requirement(connector),
        "mode": connector.mode,
        "sni": match &connector.sni {
            Sni::Host => "host".to_owned(),
            Sni::Name(name) => name.to_string(),
            Sni::Nothing => "none".to_owned(),
        },
        "source_address": texts(&connector.source_addresses),
        "ehlo_name": connector.ehlo_name.as_ref().map(ToString::to_string),
        "remember_tls": connector.remember_tls,
        "client_certificate": connector.client_certificate.as_deref(),
        "on_failure": is_forced.then_some(on_failure),
        "on_handshake_failure": (!is_forced).then_some(on_handshake_failure),
        "retry": connector.retry.waits.iter().map(|wait| words(*wait)).collect::<Vec<_>>(),
        "expire": words(connector.retry.expire),
        "delay_dsn": connector.retry.delay_dsn.map_or_else(|| "never".to_owned(), words),
        "connections": connector.connections,
        "messages_per_connection": connector.sending.messages_max,
        "messages_per_minute": connector.sending.messages_per_minute_max,
        "spread": connector.sending.spread,
        "max_recipients": connector.sending.recipients_max,
        "ignore_extensions": connector.sending.ignored,
        "auth": connector.sending.auth.as_ref().map(|auth| json!({
            "user": auth.user,
            "secret": auth.secret.display().to_string(),
            "mechanism": auth.mechanism.word(),
        })),
        "revision": connector.revision.to_string(),
    })
}

fn demands(forced: &Forced) -> Value {
    let (require, names) = match &forced.require {
        Require::Encryption => ("encryption", None),
        Require::Chain { .. } => ("chain", None),
        Require::Identity { names, .. } => ("identity", Some(texts(names))),
    };
    let key_exchange = match forced.key_exchange {
        KeyExchange::Any => "any",
        KeyExchange::PostQuantum => "post-quantum",
        KeyExchange::Classic => "classic",
    };
    let revocation = match forced.revocation {
        Revocation::Off => "off",
        Revocation::Soft => "soft",
        Revocation::Hard => "hard",
    };
    let purpose = match forced.purpose {
        Purpose::Either => "either",
        Purpose::Client => "client",
    };
    json!({
        "require": require,
        "peer_names": names,
        "trust": texts(forced.trust()),
        "min_version": forced.min_version.to_string(),
        "key_exchange": key_exchange,
        "pins": forced.pins.iter().map(pin).collect::<Vec<_>>(),
        "organisation": forced.subject.organisation,
        "common_name": forced.subject.common_name,
        "issuer": forced.subject.issuer,
        "allow_cn": forced.allow_cn,
        "revocation": revocation,
        "accept_purpose": purpose,
    })
}

/// A pin as it is written, its dates included.
fn pin(pin: &Pin) -> String {
    let date = |word: &str, at: Option<UnixMillis>| {
        at.map_or_else(String::new, |at| format!(" {word} {}", rfc3339(at)))
    };
    format!("{pin}{}{}", date("from", pin.from), date("until", pin.until))
}

fn inbound_requirement(connector: &Inbound) -> String {
    match &connector.tls {
        InboundTls::Off => "TLS is neither required nor judged".to_owned(),
        InboundTls::Opportunistic => "TLS if the client wishes".to_owned(),
        InboundTls::Forced(forced) => forced.to_string(),
    }
}

/// Like [`Outbound::requirement`], for no recipient in particular.
fn requirement(connector: &Outbound) -> String {
    let Some(forced) = connector.forced() else { return connector.requirement(None, None).to_string() };
    let Require::Identity { trust, names } = &forced.require else { return forced.to_string() };
    if !names.is_empty() {
        return forced.to_string();
    }
    let name = match &connector.next_hop {
        NextHop::Mx { .. } => "the recipient domain as name",
        NextHop::SmartHosts(_) => "the smart host's own name",
    };
    let chain = Forced { require: Require::Chain { trust: trust.clone() }, ..forced.clone() };
    format!("{chain}, {name}")
}

fn listener_tls(tls: ListenerTls) -> &'static str {
    match tls {
        ListenerTls::Off => "off",
        ListenerTls::StartTls => "starttls",
        ListenerTls::Required => "required",
        ListenerTls::Implicit => "implicit",
    }
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
