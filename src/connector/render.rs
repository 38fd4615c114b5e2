//! The text of a decision: sentence, token, status. It is the only renderer, and nothing parses the text
//! back.

use std::borrow::Cow;
use std::fmt;

use super::admit::{Attribution, UnmetCondition};
use super::decision::{Attainment, Claim, Decision, RequiredTls, Ruling};
use super::facts::{PeerCertificate, TlsFacts};
use super::judge::ClearCause;
use super::onward::{Onward, OnwardDemand};
use super::requirement::Requirement;
use super::shortfall::Shortfall;
use crate::mail::Enhanced;

impl Decision {
    /// The whole decision on one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let connector = self.connector.as_deref().unwrap_or("none");
        format!(
            "{} (connector {connector}; required {}; attained {})",
            self.reason(),
            self.required,
            self.attained
        )
    }

    /// The reason, in one sentence.
    #[must_use]
    pub fn reason(&self) -> String {
        let host = self.host.as_deref().unwrap_or("the next hop");
        match &self.ruling {
            Ruling::Met => "the session meets the requirement".to_owned(),
            Ruling::Sealed => "TLS was offered and taken".to_owned(),
            Ruling::Plaintext(cause) => format!("sent in plaintext: {cause}"),
            Ruling::Waived(shortfall @ Shortfall::Handshake(_))
                if matches!(self.attained, Attainment::Tls(_)) =>
            {
                format!(
                    "in audit: enforced, this would have been withheld, since {shortfall}; another handshake, without the limits \
                     of enforcing, was completed"
                )
            }
            Ruling::Waived(shortfall) => {
                format!("in audit: enforced, this would have been withheld, since {shortfall}")
            }
            Ruling::Withheld(shortfall) if self.is_forced() => format!("TLS is required, and {shortfall}"),
            Ruling::Withheld(shortfall) => shortfall.to_string(),
            Ruling::Remembered(cause) => format!("{host} had TLS before, and now {cause}"),
            Ruling::Onward => match &self.required {
                RequiredTls::Onward(demand) => {
                    format!("the message must leave over {demand}, and this connector does not require that")
                }
                RequiredTls::Session(_)
                | RequiredTls::Client { .. }
                | RequiredTls::InboundConnector
                | RequiredTls::TlsAsBefore => Shortfall::Onward.to_string(),
            },
            Ruling::Attributed(by) => format!("attributed by {by}"),
            Ruling::WaivedClient(unmet) => {
                format!("in audit: enforced, this would have been refused, since {unmet}")
            }
            Ruling::Refused(claim, UnmetCondition::NoTls) => format!("{claim} must be sent over TLS"),
            Ruling::Refused(claim, UnmetCondition::Off | UnmetCondition::Network) => {
                format!("{claim} is not accepted from {host}")
            }
            Ruling::Refused(claim, UnmetCondition::Listener) => {
                format!("{claim} is not accepted at the address that was connected to")
            }
            Ruling::Excepted(claim) => {
                format!(
                    "{claim} is accepted only from servers that are known to send it, and {host} is not one"
                )
            }
            Ruling::Refused(claim, UnmetCondition::User) => format!("{claim} needs a login"),
            Ruling::Refused(claim, UnmetCondition::Tls(shortfall)) => format!("{claim}: {shortfall}"),
            Ruling::NoConnector(claim) => format!("no inbound connector accepts {claim} from {host}"),
        }
    }

    /// The reason as one word for machines.
    #[must_use]
    pub fn token(&self) -> Cow<'static, str> {
        let audit = |token: &str| Cow::Owned(format!("audit-{token}"));
        Cow::Borrowed(match &self.ruling {
            Ruling::Met => "met",
            Ruling::Sealed => "sealed",
            Ruling::Plaintext(cause) => cause.token(),
            Ruling::Waived(shortfall) => return audit(shortfall.token()),
            Ruling::Withheld(shortfall) => shortfall.token(),
            Ruling::Remembered(_) => "tls-remembered",
            Ruling::Onward => Shortfall::Onward.token(),
            Ruling::Attributed(by) => by.token(),
            Ruling::WaivedClient(unmet) => return audit(unmet.token()),
            Ruling::Refused(_, unmet) => unmet.token(),
            Ruling::Excepted(_) => "excepted-domain",
            Ruling::NoConnector(_) => "no-connector",
        })
    }

    /// The enhanced status code (RFC 3463); `None` if mail is sent. Class 4 if mail waits, class 5 if a
    /// client's mail is refused.
    #[must_use]
    pub fn status(&self) -> Option<Enhanced> {
        match &self.ruling {
            Ruling::Met
            | Ruling::Sealed
            | Ruling::Plaintext(_)
            | Ruling::Waived(_)
            | Ruling::Attributed(_)
            | Ruling::WaivedClient(_) => None,
            Ruling::Withheld(shortfall) => Some(shortfall.enhanced()),
            Ruling::Remembered(_) => Some(Enhanced(4, 7, 4)),
            Ruling::Onward => Some(Shortfall::Onward.enhanced()),
            // Our lists are missing or old, which the client can't help: once there are new ones, it may be admitted.
            Ruling::Refused(_, UnmetCondition::Tls(shortfall @ Shortfall::RevocationUnknown(_))) => {
                Some(shortfall.enhanced())
            }
            Ruling::Refused(_, UnmetCondition::NoTls) => Some(Enhanced(5, 7, 10)),
            Ruling::Refused(_, UnmetCondition::User) => Some(Enhanced(5, 7, 0)),
            Ruling::Refused(
                _,
                UnmetCondition::Off
                | UnmetCondition::Listener
                | UnmetCondition::Network
                | UnmetCondition::Tls(_),
            )
            | Ruling::Excepted(_)
            | Ruling::NoConnector(_) => Some(Enhanced(5, 7, 1)),
        }
    }

    fn is_forced(&self) -> bool {
        match &self.required {
            RequiredTls::Session(requirement) => requirement.is_forced(),
            RequiredTls::Client { .. }
            | RequiredTls::InboundConnector
            | RequiredTls::TlsAsBefore
            | RequiredTls::Onward(_) => false,
        }
    }
}

impl RequiredTls {
    /// A summary in a word or two, for a table.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        match self {
            Self::Session(requirement) => requirement.summary(),
            Self::Client { tls: Some(forced), .. } => forced.summary(),
            Self::Client { tls: None, login: true } => "a login",
            Self::Client { tls: None, login: false } => "nothing",
            Self::InboundConnector => "a connector",
            Self::TlsAsBefore | Self::Onward(_) => "TLS",
        }
    }
}

impl fmt::Display for RequiredTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(requirement) => requirement.fmt(f),
            Self::Client { tls, login } => {
                match tls {
                    None => f.write_str("no TLS")?,
                    Some(forced) => forced.fmt(f)?,
                }
                if *login { f.write_str(", a login") } else { Ok(()) }
            }
            Self::InboundConnector => f.write_str("an inbound connector"),
            Self::TlsAsBefore => f.write_str("TLS, as before"),
            Self::Onward(demand) => demand.fmt(f),
        }
    }
}

impl fmt::Display for OnwardDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.level {
            Onward::Any => "any session",
            Onward::Sealed => "enforced, forced TLS",
            Onward::Identity => "enforced, forced TLS that proves by name or pin who the host is",
        })?;
        self.raised_by.as_ref().map_or(Ok(()), |rules| write!(f, " (raised by {rules})"))
    }
}

impl Attainment {
    /// A summary in a word or two, for a table.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Tls(facts) | Self::Client { tls: Some(facts), .. } => facts.version.to_string(),
            Self::Plaintext | Self::NoSession | Self::Client { tls: None, .. } | Self::Settings { .. } => {
                self.to_string()
            }
        }
    }
}

impl fmt::Display for Attainment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(facts) => {
                write!(f, "{} {}, {}", facts.version, facts.suite, HandshakeCertificate(facts, "certificate"))
            }
            Self::Plaintext => f.write_str("plaintext"),
            Self::NoSession => f.write_str("no session"),
            Self::Client { tls, user } => {
                match tls {
                    None => f.write_str("plaintext")?,
                    Some(facts) => {
                        write!(f, "{}, {}", facts.version, HandshakeCertificate(facts, "a certificate"))?
                    }
                }
                user.as_ref().map_or(Ok(()), |user| write!(f, ", the user {user}"))
            }
            Self::Settings { tls, mode } => write!(f, "tls = \"{tls}\", mode = \"{}\"", mode.word()),
        }
    }
}

/// Renders the certificate of a handshake.
struct HandshakeCertificate<'a>(&'a TlsFacts, &'static str);

impl fmt::Display for HandshakeCertificate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.peer {
            PeerCertificate::NotShown => f.write_str("no certificate"),
            PeerCertificate::Unreadable(why) => write!(f, "a certificate that can't be read ({why})"),
            PeerCertificate::Shown(certificate) => {
                write!(f, "{} for {} issued by {}", self.1, certificate.names_text(), certificate.issuer)
            }
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("mail with the null reverse-path"),
            Some(domain) => write!(f, "mail from {domain}"),
        }
    }
}

impl Attribution {
    /// A stable word for machines.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Certificate => "by-certificate",
            Self::User => "by-user",
            Self::Network => "by-network",
            Self::Domain => "by-domain",
        }
    }
}

impl fmt::Display for Attribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "the client certificate",
            Self::User => "the user who logged in",
            Self::Network => "network",
            Self::Domain => "domain",
        })
    }
}

impl UnmetCondition {
    /// A stable word for machines.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Self::Off => "connector-off",
            Self::Listener => "wrong-listener",
            Self::Network => "wrong-network",
            Self::User => "login-required",
            Self::NoTls => "tls-required",
            Self::Tls(shortfall) => shortfall.token(),
        }
    }
}

impl fmt::Display for UnmetCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("its mode is off"),
            Self::Listener => f.write_str("it takes no mail on this listener"),
            Self::Network => f.write_str("the address is in none of its networks"),
            Self::User => f.write_str("none of its users has logged in"),
            Self::NoTls => f.write_str("the session is in plaintext"),
            Self::Tls(shortfall) => shortfall.fmt(f),
        }
    }
}

impl ClearCause {
    /// A stable word for machines.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Self::Off => "clear-off",
            Self::NotOffered => "clear-not-offered",
            Self::Refused(_) => "clear-refused",
            Self::HandshakeBroken(_) => "clear-handshake-broken",
            Self::SessionLost(_) => "clear-tls-session-lost",
        }
    }
}

impl fmt::Display for ClearCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("the connector does not use TLS"),
            Self::NotOffered => f.write_str("STARTTLS is not offered"),
            Self::Refused(reply) => write!(f, "STARTTLS was refused with {reply}"),
            Self::HandshakeBroken(fault) => {
                write!(f, "the TLS handshake failed with every host: {}", fault.words)
            }
            Self::SessionLost(why) => {
                write!(f, "every host lost the session inside TLS before its first reply: {why}")
            }
        }
    }
}

impl Requirement {
    /// A summary in a word or two, for a table.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        match self {
            Self::Off => "no TLS",
            Self::Opportunistic(_) => "TLS if offered",
            Self::Audit(forced) | Self::Forced(forced) => forced.summary(),
        }
    }
}
