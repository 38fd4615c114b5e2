//! Reads the line-based files that are named: networks, users, recipients, domains, tokens.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use argon2::password_hash::PasswordHash;
use ipnet::IpNet;

use super::fault::Report;
use super::files::{FILE_BYTES_MAX, is_readable_by_others, read as read_file};
use super::keys::Text;
use super::named::{Lists, Revisions};
use super::{schema, units};
use crate::admin::{TokenLines, Tokens};
use crate::connector::{DomainPattern, Recipients, Users};

/// Reads all such files; faults are reported at the keys that name them.
pub(super) fn read(
    file: &schema::File,
    base: &Path,
    (revisions, files): (&mut Revisions, &mut Vec<PathBuf>),
    report: &mut Report<'_>,
) {
    if let Some(text) = &file.admin.token_file {
        files.push(base.join(text.get_ref()));
        revisions.lists.tokens = tokens(text, base, report);
    }
    for entry in file.partner.iter().map(toml::Spanned::get_ref) {
        let Some(text) = &entry.domains_file else { continue };
        files.push(base.join(text.get_ref()));
        revisions.lists.domains.insert(text.get_ref().clone(), domains(text, base, report));
    }
    for entry in file.inbound.iter().map(toml::Spanned::get_ref) {
        let named = [&entry.from_networks_file, &entry.users_file, &entry.recipients_file];
        files.extend(named.into_iter().flatten().map(|text| base.join(text.get_ref())));
        let lists = &mut revisions.lists;
        if let Some(text) = &entry.from_networks_file {
            let networks = networks(text, base, report);
            lists.networks.insert(text.get_ref().clone(), networks);
        }
        if let Some(text) = &entry.users_file {
            users(text, base, lists, report);
        }
        if let Some(text) = &entry.recipients_file {
            recipients(text, base, lists, report);
        }
    }
}

/// The tokens of the admin listener: one a line. No fault quotes one.
fn tokens(text: &Text, base: &Path, report: &mut Report<'_>) -> Tokens {
    let path = base.join(text.get_ref());
    if is_readable_by_others(&path) {
        let words =
            format!("{0} can be read by every user of this machine; run \"chmod 640 {0}\"", path.display());
        report.fault(text.span(), words);
    }
    let mut lines = TokenLines::default();
    let token = |written: &str| lines.parse(written).map_err(|fault| fault.to_string());
    let nothing = "has no token; write one a line, made with \"openssl rand -hex 32\"";
    Tokens::new(one_a_line((text, base), ("a file of tokens", FILE_BYTES_MAX), token, nothing, report))
}

/// The domains of a partner's file: one pattern a line; `#` begins a comment.
fn domains(text: &Text, base: &Path, report: &mut Report<'_>) -> Vec<DomainPattern> {
    let pattern = |written: &str| {
        DomainPattern::parse(written).map_err(|fault| format!("{written:?} is not a domain: {fault}"))
    };
    let nothing = "has no domain; write one a line, or remove the key";
    let mut found = one_a_line((text, base), ("a list of domains", LIST_BYTES_MAX), pattern, nothing, report);
    found.sort();
    found.dedup();
    found
}

/// The networks of a file: one per line; `#` begins a comment.
fn networks(text: &Text, base: &Path, report: &mut Report<'_>) -> Vec<IpNet> {
    let network = |written: &str| units::network(written).map_err(|fault| fault.to_string());
    let nothing = "has no network, and none would mean anywhere; write one a line, or remove the key";
    one_a_line((text, base), ("a list of networks", FILE_BYTES_MAX), network, nothing, report)
}

/// What a file has, one a line; `#` begins a comment. `nothing` is what is said of a file that has none.
fn one_a_line<T>(
    (text, base): (&Text, &Path),
    (what, octets_max): (&str, u64),
    mut parse: impl FnMut(&str) -> Result<T, String>,
    nothing: &str,
    report: &mut Report<'_>,
) -> Vec<T> {
    let path = base.join(text.get_ref());
    let Some(content) = content(text, &path, what, octets_max, report) else { return Vec::new() };
    let mut found = Vec::new();
    for (number, line) in (1..).zip(content.lines()) {
        let written = line.split('#').next().unwrap_or_default().trim();
        if written.is_empty() {
            continue;
        }
        match parse(written) {
            Ok(one) => found.push(one),
            Err(fault) => report.fault(text.span(), format!("{}, line {number}: {fault}", path.display())),
        }
    }
    if found.is_empty() {
        report.fault(text.span(), format!("{} {nothing}", path.display()));
    }
    found
}

fn users(text: &Text, base: &Path, lists: &mut Lists, report: &mut Report<'_>) {
    let path = base.join(text.get_ref());
    let Some(content) = content(text, &path, "a users file", FILE_BYTES_MAX, report) else { return };
    match Users::parse(text.get_ref(), &content) {
        Ok(users) => {
            for (name, hash) in users.hashes() {
                if !PasswordHash::new(hash).is_ok_and(|hash| hash.hash.is_some()) {
                    let words = "is cut short, or no hash; make the line with \"sealpost user NAME\"";
                    report.fault(text.span(), format!("{}: the hash of {name} {words}", path.display()));
                }
            }
            if users.hashes().len() == 0 {
                let words = "has no user yet, so nobody can log in; add one with \"sealpost user NAME\"";
                report.warn(text.span(), format!("{} {words}", path.display()));
            }
            lists.users.insert(text.get_ref().clone(), Arc::new(users));
        }
        Err((line, what)) => {
            report.fault(text.span(), format!("{}, line {line}: {what}", path.display()));
        }
    }
}

fn recipients(text: &Text, base: &Path, lists: &mut Lists, report: &mut Report<'_>) {
    let path = base.join(text.get_ref());
    let Some(content) = content(text, &path, "a list of recipients", LIST_BYTES_MAX, report) else { return };
    match Recipients::parse(text.get_ref(), &content) {
        Ok(recipients) if recipients.count() == 0 => {
            let words = "has no recipient, so all mail would be refused; write one a line, or remove the key";
            report.fault(text.span(), format!("{} {words}", path.display()));
        }
        Ok(recipients) => {
            lists.recipients.insert(text.get_ref().clone(), Arc::new(recipients));
        }
        Err((line, what)) => {
            report.fault(text.span(), format!("{}, line {line}: {what}", path.display()));
        }
    }
}

fn content(text: &Text, path: &Path, what: &str, octets_max: u64, report: &mut Report<'_>) -> Option<String> {
    match read_file(path, octets_max) {
        Ok(octets) => Some(String::from_utf8_lossy(&octets).into_owned()),
        Err(fault) => {
            let words = format!("{} can't be read: {fault}; write the path of {what}", path.display());
            report.fault(text.span(), words);
            None
        }
    }
}

/// Enough for more than a million addresses.
const LIST_BYTES_MAX: u64 = 64 << 20;
