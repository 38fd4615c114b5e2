//! A session's standing to its connector, in words. Pure.

use std::borrow::Cow;
use std::sync::Arc;

use crate::connector::{
    Attained, CertificateFacts, Decision, Observed, Outbound, PeerCertificate, Requirement, Shortfall, Table,
    TlsFacts, choose,
};
use crate::mail::Content;
use crate::spool::QueuedRecipient;

const BLOCK_BYTES: usize = 65_536;

/// The decision that let a session carry mail.
pub(super) fn proceeded(
    connector: &Outbound,
    host: &str,
    requirement: &Requirement,
    attained: &Attained,
) -> Decision {
    let (got, reason, token, tls) = match (attained, requirement.is_forced()) {
        (Attained::Sealed(facts), true) => {
            (sealed(facts), "the session meets the requirement".to_owned(), "met", Some(facts))
        }
        (Attained::Sealed(facts), false) => {
            (sealed(facts), "TLS was offered and taken".to_owned(), "sealed", Some(facts))
        }
        (Attained::Clear(cause), _) => {
            ("plaintext".to_owned(), format!("sent in clear: {cause}"), cause.token(), None)
        }
    };
    Decision {
        connector: Some(Arc::clone(&connector.name)),
        host: Some(host.to_owned()),
        wanted: requirement.to_string(),
        got,
        reason,
        token: Cow::Borrowed(token),
        tls: tls.cloned(),
    }
}

/// The decision that withheld mail from a session.
pub(super) fn withheld(
    connector: &Outbound,
    host: &str,
    requirement: &Requirement,
    observed: &Observed,
    shortfall: &Shortfall,
) -> Decision {
    let (got, tls) = match observed {
        Observed::Established(facts) => (sealed(facts), Some(Arc::clone(facts))),
        Observed::NotOffered | Observed::Refused(_) => ("plaintext".to_owned(), None),
        Observed::HandshakeBroken(_) | Observed::ClearAfterBroken(_) => ("no session".to_owned(), None),
    };
    let reason = match requirement {
        Requirement::Forced(_) => format!("TLS is required, and {shortfall}"),
        Requirement::Opportunistic => shortfall.to_string(),
    };
    Decision {
        connector: Some(Arc::clone(&connector.name)),
        host: Some(host.to_owned()),
        wanted: requirement.to_string(),
        got,
        reason,
        token: Cow::Borrowed(shortfall.token()),
        tls,
    }
}

fn sealed(facts: &TlsFacts) -> String {
    let peer = match &facts.peer {
        PeerCertificate::NotShown => "no certificate".to_owned(),
        PeerCertificate::Unreadable(why) => format!("a certificate that can't be read ({why})"),
        PeerCertificate::Shown(certificate) => shown(certificate),
    };
    format!("{} {}, {peer}", facts.version, facts.suite)
}

fn shown(certificate: &CertificateFacts) -> String {
    format!("certificate for {} issued by {}", certificate.names_text(), certificate.issuer)
}

/// Whether a table would still choose this connector, as it was, for each of the recipients.
pub(super) fn serves(table: &Table, connector: &Outbound, recipients: &[QueuedRecipient]) -> bool {
    let mut last = None;
    recipients.iter().all(|recipient| {
        let domain = recipient.forward_path.domain();
        if last == Some(domain) {
            return true;
        }
        last = Some(domain);
        choose(table, recipient.forward_path.domain_name()).is_some_and(|choice| {
            choice.connector.revision == connector.revision && choice.connector.name == connector.name
        })
    })
}

/// Whether content that was declared as 8BITMIME has no 8-bit octet after all. Only asked where a
/// host does not offer the extension.
pub(super) fn is_seven_bit(content: &Content) -> bool {
    let mut block = vec![0; BLOCK_BYTES];
    let mut offset = 0;
    loop {
        match content.read_at(&mut block, offset) {
            Ok(0) => return offset >= content.len(),
            Ok(count) if block.get(..count).is_some_and(<[u8]>::is_ascii) => {
                offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            }
            Ok(_) | Err(_) => return false,
        }
    }
}
