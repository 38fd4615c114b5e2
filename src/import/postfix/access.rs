//! Access tables of clients: which networks and certificates a table permits, and which it refuses.

use ipnet::IpNet;

use super::super::fault::ImportFault;
use super::super::remark::Leftover;
use super::super::settle::{networks, without};
use super::table::{Files, KeyKind, MapEntry, TableReading};

/// What one access table says of clients, the first entry for an address counting.
#[derive(Debug, Default)]
pub(super) struct ClientTable {
    pub(super) permitted: Vec<IpNet>,
    /// Keys of certificates that it permits.
    pub(super) certificates: Vec<String>,
    /// What it refuses, or sends on to restrictions that are not understood.
    pub(super) refused: Vec<IpNet>,
    /// What refuses clients that can't be told by an address.
    pub(super) blind: Option<Leftover>,
    pub(super) remarks: Vec<Leftover>,
}

/// What an entry does to its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AccessAnswer {
    Permit,
    /// The next restriction decides.
    Undecided,
    Refuse,
}

impl ClientTable {
    /// Reads `check_client_access TABLE` or `check_ccert_access TABLE`.
    pub(super) fn read(item: &str, files: &Files<'_>) -> Result<Self, ImportFault> {
        let (check, table) = item.split_once(' ').unwrap_or((item, ""));
        let TableReading { mut entries, unread } = files.entries(&[table.to_owned()])?;
        let mut made = Self::default();
        if let Some(table) = unread.first() {
            made.blind = Some(table.remark(check));
            made.remarks.push(table.remark(check));
        }
        // A text is looked up from the whole address to its first octet; other tables are read from the top.
        let narrow_first = |entry: &MapEntry| {
            let found = networks_of(entry).and_then(|found| found.first().map(IpNet::prefix_len));
            u8::MAX - found.filter(|_| entry.kind == KeyKind::Text).unwrap_or(u8::MAX)
        };
        entries.sort_by_key(narrow_first);
        let mut decided: Vec<IpNet> = Vec::new();
        for entry in &entries {
            let answer = AccessAnswer::of(&entry.value);
            let why = "only clients that a table permits by address or certificate have a counterpart";
            let instead = "write a connector, or keep the restriction before this gateway";
            let remark = Leftover::new(check, format!("{} {}", entry.key, entry.value), why, instead);
            if answer != AccessAnswer::Permit {
                made.remarks.push(remark.clone());
            }
            if check == "check_ccert_access" {
                match answer {
                    AccessAnswer::Permit if entry.kind == KeyKind::Text => {
                        made.certificates.push(entry.key.clone());
                    }
                    AccessAnswer::Permit => made.remarks.push(remark),
                    AccessAnswer::Refuse => made.blind = Some(remark),
                    AccessAnswer::Undecided => {}
                }
                continue;
            }
            let found = match networks_of(entry) {
                Some(found) => left_of(found, &decided),
                None if answer == AccessAnswer::Permit => {
                    made.remarks.push(remark);
                    continue;
                }
                None => {
                    made.blind = Some(remark);
                    continue;
                }
            };
            decided.extend(&found);
            match answer {
                AccessAnswer::Permit => made.permitted.extend(found),
                AccessAnswer::Refuse => made.refused.extend(found),
                AccessAnswer::Undecided => {}
            }
        }
        if let (Some(blind), false) = (&made.blind, made.permitted.is_empty()) {
            return Err(refusal(blind));
        }
        Ok(made)
    }
}

/// The fault for a refusal that would be lost.
pub(super) fn refusal(of: &Leftover) -> ImportFault {
    let remark = Leftover {
        why: "it may refuse clients that are admitted otherwise, and can't be written as networks".to_owned(),
        instead: "write the addresses it is meant for to a cidr: table, in a copy of the folder".to_owned(),
        ..of.clone()
    };
    ImportFault::looser("main.cf", remark)
}

/// Networks without others.
pub(super) fn left_of(from: Vec<IpNet>, holes: &[IpNet]) -> Vec<IpNet> {
    holes
        .iter()
        .fold(from, |left, hole| left.into_iter().flat_map(|network| without(network, *hole)).collect())
}

impl AccessAnswer {
    /// A list of restrictions, and whatever is not known, may refuse.
    fn of(value: &str) -> Self {
        let value = value.to_ascii_lowercase();
        let word = value.split([',', ' ', '\t']).next().unwrap_or_default();
        match word {
            "ok" | "permit" if value == word => Self::Permit,
            "dunno" | "warn" | "info" | "prepend" | "hold" | "filter" | "bcc" | "redirect" => Self::Undecided,
            _ => Self::Refuse,
        }
    }
}

/// The addresses of an access table's key: a network, an address, or the leading octets of one.
fn networks_of(entry: &MapEntry) -> Option<Vec<IpNet>> {
    if entry.kind == KeyKind::Expression || entry.kind == KeyKind::Every {
        return None;
    }
    // Only a table of networks has masks; in another one nothing matches such a key.
    if entry.kind == KeyKind::Text && entry.key.contains(['/', '-']) {
        return None;
    }
    if let Some(found) = networks(&entry.key) {
        return Some(found);
    }
    let octets: Vec<u8> = entry.key.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    let network = match octets.as_slice() {
        [a] => format!("{a}.0.0.0/8"),
        [a, b] => format!("{a}.{b}.0.0/16"),
        [a, b, c] => format!("{a}.{b}.{c}.0/24"),
        _ => return None,
    };
    networks(&network)
}
