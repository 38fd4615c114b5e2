//! `[admin]`: the keys of the admin listener.

use std::path::PathBuf;

use toml::Spanned;

use super::entry::Entry as _;
use super::forms::Addresses;
use super::key::Section;
use super::kinds::{File, Optional};
use super::section::section;
use crate::admin::{AdminSettings, Tokens};
use crate::config::fault::Report;
use crate::listen::settings::Listener;

section! {
    pub(in crate::config) AdminEntry, AdminValues;

    listen: Optional<Addresses> = "127.0.0.1:9925" => {
        absent: "there is no admin listener",
        meaning: "Where metrics and the [API](api.md) are served over HTTP: one loopback address or several.",
        explanation: "`/metrics` has all metrics for Prometheus, `/health` says `ok`, or 503 while mail can't be accepted \
            or delivered. There is no TLS, so other addresses than loopback are an error: put a proxy with TLS, or a \
            tunnel, in front. Without the listener nothing is counted. Port 0 takes a free one.",
    }
    socket: Optional<File> = "/run/sealpost/admin.sock" => {
        absent: "there is no Unix socket",
        meaning: "The path of a Unix socket where the same is served, besides `listen` or instead.",
        explanation: "The daemon makes it, so its folder must be there and the daemon's user may write it; that user and its \
            group may open it. It is the way out of a container, and other users of the machine can't reach it at all: \
            `ssh -L 9925:/run/sealpost/admin.sock root@gateway.example` brings the console to your desk. A socket that a process \
            has left which died is replaced. Errors: the path has more than 107 octets; it is empty, has a NUL, or names a folder; it is that \
            of the control socket. Warnings: something that is no socket is there; its folder is missing (below `/run` it \
            may be made at the start).",
    }
    token_file: Optional<File> = "secrets/admin-tokens" => {
        meaning: "The file of tokens, one a line, of which each request but that to `/health` must have one; required with \
            `listen` and `socket`.",
        explanation: "A line is `reader NAME TOKEN`, `operator NAME TOKEN`, or a token, whose bearer is a reader. Make a token \
            with `openssl rand -hex 32`; `#` begins a comment. Several make it possible to replace one without a gap. Errors: \
            others than owner and group may read the file; a token has fewer than 30 characters.",
        reload: true,
    }
}

impl AdminValues {
    /// The settings of the listener; `None` without one. The path of the socket is as it is written.
    pub(in crate::config) fn settings(
        &self,
        entry: &AdminEntry,
        (tokens, listeners): (&Tokens, &[Listener]),
        report: &mut Report<'_>,
    ) -> Option<AdminSettings> {
        let place =
            entry.listen.as_ref().map(Spanned::span).or_else(|| entry.socket.as_ref().map(Spanned::span));
        let Some(place) = place else {
            if let Some(file) = &entry.token_file {
                let words = "token_file would be ignored: [admin] has no listen and no socket; write \
                             listen = \"127.0.0.1:9925\", or remove it";
                report.fault_of_key(file.span(), words);
            }
            return None;
        };
        let addresses = self.listen.as_deref().unwrap_or_default();
        for (address, place) in addresses {
            if !address.ip().is_loopback() {
                let words = format!(
                    "{address} can be reached from other hosts, and this listener has no TLS; listen on \
                     \"127.0.0.1:{}\", and put a proxy with TLS or a tunnel in front",
                    address.port()
                );
                report.fault(place.clone(), words);
            }
            let taken = listeners.iter().find(|one| one.addresses.contains(address) && address.port() != 0);
            if let Some(listener) = taken {
                let words = format!(
                    "{address} is already listened on by listener {}; write another port",
                    listener.name
                );
                report.fault(place.clone(), words);
            }
        }
        if entry.token_file.is_none() {
            let words = "the admin listener needs token_file, a file of tokens, one a line; make one with \
                         \"openssl rand -hex 32\"";
            report.fault_of_key(place, words);
        }
        let addresses = addresses.iter().map(|(address, _)| *address).collect();
        let socket = self.socket.as_ref().map(|path| PathBuf::from(path.get_ref()));
        Some(AdminSettings { addresses, socket, tokens: tokens.clone() })
    }
}

pub(super) const SECTION: Section = Section {
    name: "admin",
    header: "[admin]",
    sample_header: "[admin]",
    sample: &[],
    comment: "Metrics, health, API and console over HTTP, for this machine.",
    intro: "Metrics, health, the [API](api.md) and the [console](console.md) over HTTP, for this machine: by loopback \
            addresses, a Unix socket, or both. See [metrics](metrics.md).",
    reload: false,
    keys: AdminEntry::KEYS,
};
