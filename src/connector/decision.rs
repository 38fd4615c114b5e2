use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;

use super::facts::{CertificateFacts, PeerCertificate, TlsFacts};
use super::judge::{Attained, Observed, Permit};
use super::requirement::Requirement;
use super::shortfall::Shortfall;
use super::table::Outbound;

/// One decision and its reason: the same value feeds log, tracking, DSN, control API and
/// `explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The connector that decided; `None` where no connector applied.
    pub connector: Option<Arc<str>>,
    /// The host it was about, if it was about one: name, address and port.
    pub host: Option<String>,
    /// What the connector demands.
    pub wanted: String,
    /// What the session attained, or the certificate showed.
    pub got: String,
    /// One sentence.
    pub reason: String,
    /// The same as one machine word.
    pub token: Cow<'static, str>,
    /// The handshake behind it.
    pub tls: Option<Arc<TlsFacts>>,
}

impl Decision {
    /// What a rehearsal let pass, without the words that say so.
    #[must_use]
    pub fn rehearsed(&self) -> Option<&str> {
        self.reason.strip_prefix(IN_AUDIT)
    }

    /// Everything in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let connector = self.connector.as_deref().unwrap_or("none");
        format!("{} (connector {connector}; wanted {}; got {})", self.reason, self.wanted, self.got)
    }
}

/// What stands before the reason of what a rehearsal let pass.
const IN_AUDIT: &str = "in audit: enforced, this would have been withheld, since ";

/// The decision that let a session carry mail.
#[must_use]
pub fn proceeded(connector: &Outbound, host: &str, requirement: &Requirement, permit: &Permit) -> Decision {
    let attained = permit.attained();
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
    let (reason, token) = match permit.waived() {
        None => (reason, Cow::Borrowed(token)),
        Some(shortfall) => {
            (format!("{IN_AUDIT}{shortfall}"), Cow::Owned(format!("audit-{}", shortfall.token())))
        }
    };
    Decision {
        connector: Some(Arc::clone(&connector.name)),
        host: Some(host.to_owned()),
        wanted: requirement.to_string(),
        got,
        reason,
        token,
        tls: tls.cloned(),
    }
}

/// The decision that withheld mail from a session.
#[must_use]
pub fn withheld(
    connector: &Outbound,
    host: &str,
    requirement: &Requirement,
    observed: &Observed,
    shortfall: &Shortfall,
) -> Decision {
    let (got, tls) = match observed {
        Observed::Established(facts) => (sealed(facts), Some(Arc::clone(facts))),
        Observed::NotTried | Observed::NotOffered | Observed::Refused(_) => ("plaintext".to_owned(), None),
        Observed::HandshakeBroken(_) | Observed::ClearAfterBroken(_) => ("no session".to_owned(), None),
    };
    let reason = match requirement {
        Requirement::Forced(_) => format!("TLS is required, and {shortfall}"),
        Requirement::Off | Requirement::Opportunistic | Requirement::Audit(_) => shortfall.to_string(),
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
