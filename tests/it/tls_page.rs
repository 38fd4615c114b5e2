//! The page of the matrix, printed from the same data by which it is tested.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::peer::behaviour::{self, Behaviour, Requirement};
use crate::tls_inbound_matrix::INBOUND;
use crate::tls_matrix::OUTBOUND;

/// What each word of the tables means, and who can fix it.
const LEGEND: &[(&str, &str, &str)] = &[
    ("sealed", "The mail is sent over TLS.", "-"),
    ("clear", "The mail is sent in plaintext, and the log says why.", "-"),
    ("admitted", "The client's mail is accepted by this connector.", "-"),
    (
        "starttls-not-offered",
        "The partner's answer to EHLO has no STARTTLS.",
        "the partner, or a firewall on the way",
    ),
    ("starttls-refused", "STARTTLS was offered and then answered other than 220.", "the partner"),
    (
        "handshake-broken",
        "The TLS handshake was not completed: the log has the alert, or what came instead.",
        "the partner; we, where it asks for a client certificate",
    ),
    (
        "tls-session-lost",
        "The handshake was completed, and the session was lost before its first reply inside TLS.",
        "the partner",
    ),
    (
        "unknown-issuer",
        "No path leads from the certificate to a trust anchor.",
        "the partner, if an intermediate is missing; else we, by `trust`",
    ),
    ("certificate-expired", "The certificate, or an issuer's, has expired.", "the partner"),
    (
        "certificate-not-yet-valid",
        "The certificate is not valid yet.",
        "the partner, or whoever sets our clock",
    ),
    ("ca-as-end-entity", "The certificate shown is an authority's own.", "the partner"),
    ("wrong-purpose", "The extended key usage does not allow this use.", "the partner"),
    ("chain-bad-signature", "A signature in the chain is wrong.", "the partner"),
    ("chain-invalid", "The chain breaks another rule of RFC 5280; the log says which.", "the partner"),
    (
        "name-mismatch",
        "The certificate presents none of the required names.",
        "the partner; we, if `peer_names` is wrong",
    ),
    (
        "pin-mismatch",
        "The certificate's key is not one of the pinned ones.",
        "we, by `pins`; the partner, if it is not its key",
    ),
    (
        "subject-mismatch",
        "Subject or issuer is not the required one.",
        "the partner; we, if the connector is wrong",
    ),
    ("certificate-revoked", "A revocation list names the certificate, or an issuer of it.", "the partner"),
    (
        "revocation-unknown",
        "No current list covers the certificate.",
        "we, by a current list of each issuer (`crl`); or by `revocation = \"soft\"`",
    ),
    (
        "not-for-clients",
        "The client's certificate is not for clients, and the connector asks for one that is.",
        "the partner; we, by `accept_purpose`",
    ),
    (
        "profile-key",
        "The certificate's key does not conform to the profile.",
        "the partner, by another certificate",
    ),
    ("key-exchange", "The key exchange group is not post-quantum.", "the partner"),
    ("no-certificate", "The client shows no certificate.", "the partner"),
    ("tls-required", "The session is in plaintext: `550 5.7.10`.", "the partner"),
];

#[test]
fn the_page_is_printed_from_the_matrix() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tls-matrix.md");
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == page, "{} is out of date; UPDATE_GOLDEN=1 writes it", file.display());
}

#[test]
fn the_matrix_is_large_enough_and_its_words_are_explained() {
    let behaviours = behaviour::all();
    assert!(behaviours.len() >= 45, "{} behaviours", behaviours.len());
    let ids: BTreeSet<&str> = behaviours.iter().map(|b| b.id).collect();
    assert_eq!(ids.len(), behaviours.len(), "an id stands there twice");
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for behaviour in &behaviours {
        used.extend(OUTBOUND.iter().map(|requirement| behaviour.expected_outbound(requirement)));
    }
    for client in &behaviour::clients() {
        used.extend(INBOUND.iter().map(|requirement| client.expected_inbound(requirement)));
    }
    used.retain(|word| !is_status(word));
    assert_eq!(used, LEGEND.iter().map(|(word, ..)| *word).collect());
}

fn is_status(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

fn page() -> String {
    let mut page = "# TLS matrix: the result for each kind of partner\n\n\
        Printed from the data of the test that drives the relay through every cell of these tables: \
        `UPDATE_GOLDEN=1 cargo test --test it tls_page` writes it.\n\n\
        ## Outbound\n\nThe result for a message to each kind of partner, by what the connector requires. \
        A word other than `sealed` and `clear` is the reason for which the message waits in the queue; under \
        forced TLS nothing was sent in that case. A number is the status by which it waits (4.y.z) or is \
        returned (5.y.z) for a reason that has nothing to do with the connector. The partner's certificate is \
        for `mail.partner.test` and issued by an authority that we trust, unless stated otherwise.\n\n"
        .to_owned();
    page += &columns(OUTBOUND);
    page += &table(&behaviour::all(), OUTBOUND, Behaviour::expected_outbound);
    page += "\n## Inbound\n\nThe reply to MAIL FROM if a client shows such a certificate, by what the \
        connector of its domain requires: `admitted` is 250; otherwise 550 5.7.1 with this reason (550 5.7.10 \
        for `tls-required`, 451 4.7.5 for `revocation-unknown`), and the session continues. After `handshake-broken` there is no reply.\n\n";
    page += &columns(INBOUND);
    page += &table(&behaviour::clients(), INBOUND, Behaviour::expected_inbound);
    page += "\n## The words\n\n| word | what it means | who can fix it |\n|---|---|---|\n";
    for (word, meaning, who) in LEGEND {
        let _ = writeln!(page, "| `{word}` | {meaning} | {who} |");
    }
    page
}

fn columns(requirements: &[Requirement]) -> String {
    let mut list = String::new();
    for requirement in requirements {
        let _ = writeln!(list, "- `{}`: {}", requirement.id, requirement.words);
    }
    list + "\n"
}

fn table(
    behaviours: &[Behaviour],
    requirements: &[Requirement],
    expected: fn(&Behaviour, &Requirement) -> &'static str,
) -> String {
    let mut table = "| who | what it is |".to_owned();
    requirements.iter().for_each(|requirement| table += &format!(" {} |", requirement.id));
    table += &format!("\n|---|---|{}\n", "---|".repeat(requirements.len()));
    for behaviour in behaviours {
        table += &format!("| `{}` | {} |", behaviour.id, behaviour.words);
        for requirement in requirements {
            table += &format!(" {} |", expected(behaviour, requirement));
        }
        table.push('\n');
    }
    table
}
