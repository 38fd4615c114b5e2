//! The text of an answer: what we saw of the partner's session, and what he can expect of ours. A pure function of facts.

use std::net::IpAddr;

use super::EchoCall;
use super::text::{entry, paragraph};
use crate::connector::{
    Attribution, CertificateFacts, Decision, Inbound, InboundTls, Mode, PeerCertificate, Profile,
    Requirement, Reveal, Ruling,
};
use crate::mail::{Domain, Mailbox, QueueId, UnixMillis, printable_ascii, rfc3339, rfc5322};

/// What an answer is made of.
pub struct EchoAnswer<'a> {
    /// The answer's queue ID.
    pub id: QueueId,
    /// Our name.
    pub name: &'a Domain,
    /// The echo mailbox.
    pub from: &'a Mailbox,
    /// Whom it answers.
    pub to: &'a Mailbox,
    /// The message that it answers.
    pub call: &'a EchoCall,
    /// When that was accepted.
    pub now: UnixMillis,
    /// The client's address.
    pub peer: IpAddr,
    /// The connector by which it came.
    pub connector: &'a Inbound,
    /// Why this connector was chosen, and what the client showed.
    pub decision: &'a Decision,
    /// The listener on which it came.
    pub listener: Option<OwnListener<'a>>,
    /// What mail to its sender requires and shows.
    pub expected: ExpectedTls<'a>,
}

/// What a listener shows.
pub struct OwnListener<'a> {
    /// How it handles TLS, in words.
    pub tls: &'static str,
    /// Its profile.
    pub profile: Option<Profile>,
    /// Its certificates.
    pub certificates: Vec<&'a CertificateFacts>,
}

/// What sessions by which we send mail to the sender's domain require and show.
pub struct ExpectedTls<'a> {
    /// Our name in EHLO.
    pub ehlo: &'a Domain,
    /// What is required of the sender's servers.
    pub requirement: Requirement,
    /// The client certificate that is presented if they ask for one.
    pub certificate: Option<&'a CertificateFacts>,
}

/// Composes an answer in wire form: plain ASCII, with nothing of the message but its Message-ID and date.
#[must_use]
pub fn compose(answer: &EchoAnswer<'_>) -> Vec<u8> {
    let mut lines = head(answer);
    lines.push(String::new());
    lines.extend(opening(answer));
    lines.extend(["".to_owned(), "What we saw of your session".to_owned(), "".to_owned()]);
    lines.extend(seen(answer));
    lines.extend(["".to_owned(), "What is missing".to_owned(), "".to_owned()]);
    lines.extend(missing(answer).iter().flat_map(|text| paragraph(text)));
    lines.extend(["".to_owned(), "What you can expect of us".to_owned(), "".to_owned()]);
    lines.extend(expected(answer));
    let mut out = String::new();
    for line in lines {
        // RFC 5321 §4.5.2: no line of ours begins with a dot, but one might.
        let dot = if line.starts_with('.') { "." } else { "" };
        out.push_str(&format!("{dot}{line}\r\n"));
    }
    out.into_bytes()
}

fn head(answer: &EchoAnswer<'_>) -> Vec<String> {
    let EchoAnswer { id, name, from, to, now, .. } = answer;
    let mut head = vec![
        format!("From: \"Echo mailbox\" <{from}>"),
        format!("To: <{to}>"),
        format!("Subject: Echo: your session with {name}"),
        format!("Date: {}", rfc5322(*now)),
        format!("Message-ID: <{id}@{name}>"),
    ];
    if let Some(answered) = &answer.call.message_id {
        head.push(format!("In-Reply-To: {answered}"));
        head.push(format!("References: {answered}"));
    }
    head.extend(
        [
            // RFC 3834 §5: keeps automatic responders, other echo mailboxes among them, from replying.
            "Auto-Submitted: auto-replied",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=us-ascii",
        ]
        .map(str::to_owned),
    );
    head
}

fn opening(answer: &EchoAnswer<'_>) -> Vec<String> {
    let mut lines = paragraph(&format!(
        "This is an automatic answer from {}. It describes the SMTP session in which your message came, and what you can \
         expect of our sessions with your servers. Nobody reads replies to it.",
        answer.name
    ));
    lines.push(String::new());
    lines.extend(answer.call.message_id.iter().flat_map(|id| entry("Your message:", id)));
    lines.extend(answer.call.date.iter().flat_map(|date| entry("Its date:", date)));
    lines.extend(entry("Accepted:", &rfc3339(answer.now)));
    lines
}

fn seen(answer: &EchoAnswer<'_>) -> Vec<String> {
    let mut lines = entry("Your address:", &answer.peer.to_string());
    let how = match &answer.decision.ruling {
        Ruling::Attributed(Attribution::Certificate) => "identified by your client certificate",
        Ruling::Attributed(Attribution::User) => "identified by your login",
        Ruling::Attributed(Attribution::Network) => "identified by your address",
        Ruling::Attributed(Attribution::Domain) => "chosen by the sender's domain",
        Ruling::WaivedClient(_) => "in audit: the requirement is judged, not enforced",
        Ruling::Met
        | Ruling::Sealed
        | Ruling::Plaintext(_)
        | Ruling::Waived(_)
        | Ruling::Withheld(_)
        | Ruling::Remembered(_)
        | Ruling::Onward
        | Ruling::Refused(..)
        | Ruling::Excepted(_)
        | Ruling::NoConnector(_) => "chosen by our configuration",
    };
    let connector = match answer.connector.reveal {
        Reveal::Full | Reveal::Partner => format!("{}, {how}", answer.connector.name),
        Reveal::Code => how.to_owned(),
    };
    lines.extend(entry("Connector:", &connector));
    let Some(facts) = answer.decision.tls() else {
        lines.extend(entry("Encryption:", "none: the session was in plaintext"));
        return lines;
    };
    lines.extend(entry("Encryption:", &format!("{}, {}, {}", facts.version, facts.suite, facts.group)));
    match &facts.peer {
        PeerCertificate::NotShown => lines.extend(entry("Your certificate:", "none was presented")),
        PeerCertificate::Unreadable(why) => {
            lines.extend(entry("Your certificate:", &format!("it can't be read: {why}")));
        }
        PeerCertificate::Shown(shown) => lines.extend(certificate("Your certificate:", shown)),
    }
    lines
}

/// What the session lacks of the requirement, or what is left to make one possible.
fn missing(answer: &EchoAnswer<'_>) -> Vec<String> {
    if let Ruling::WaivedClient(unmet) = &answer.decision.ruling {
        let what = match answer.connector.reveal {
            Reveal::Full | Reveal::Partner => unmet.to_string(),
            Reveal::Code => unmet.token().to_owned(),
        };
        return vec![
            format!(
                "Once we enforce our requirement, mail in a session like this one will be refused: {what}."
            ),
            required(answer.connector),
        ];
    }
    match (&answer.connector.tls, answer.connector.mode) {
        (InboundTls::Forced(_), Mode::Enforce) => {
            vec!["Nothing. The session meets our requirement.".to_owned(), required(answer.connector)]
        }
        (InboundTls::Forced(_), Mode::Audit | Mode::Off) => vec![
            "Nothing. Our requirement is not enforced yet; the session meets it.".to_owned(),
            required(answer.connector),
        ],
        (InboundTls::Off | InboundTls::Opportunistic, _) => vec![without_requirement(answer.decision)],
    }
}

fn required(connector: &Inbound) -> String {
    match (connector.forced(), connector.reveal) {
        (Some(forced), Reveal::Full | Reveal::Partner) => format!("Our requirement: {}.", forced),
        (Some(_), Reveal::Code) | (None, _) => "Our requirement is the one that we agreed on.".to_owned(),
    }
}

/// We require nothing: what a session like this one could meet.
fn without_requirement(decision: &Decision) -> String {
    let could = match decision.tls().map(|facts| &facts.peer) {
        None => {
            "Your server did not use TLS. Check that it may use STARTTLS with us; until it does, we can't require TLS of you"
        }
        Some(PeerCertificate::NotShown) => {
            "Your server used TLS and presented no certificate. We could require encryption of you, but not your \
             identity: for that, your server must present its certificate as client certificate"
        }
        Some(PeerCertificate::Unreadable(_)) => {
            "Your server used TLS and presented a certificate that can't be read. We could require encryption of you, \
             but not your identity"
        }
        Some(PeerCertificate::Shown(_)) => {
            "Your server used TLS and presented a certificate. We could require both of you; whether we trust \
             the certificate's issuer is judged only then"
        }
    };
    format!("We do not require TLS of you. {could}.")
}

fn expected(answer: &EchoAnswer<'_>) -> Vec<String> {
    let ExpectedTls { ehlo, requirement, certificate: own } = &answer.expected;
    let domain = answer.to.domain();
    let mut lines = entry("Our EHLO name:", ehlo.as_str());
    lines.extend(entry("Mail to:", &domain.to_string()));
    let what = match (requirement, answer.connector.reveal) {
        (Requirement::Forced(forced), Reveal::Full | Reveal::Partner) => {
            format!("TLS, or we send nothing: {}", forced)
        }
        (Requirement::Audit(forced), Reveal::Full | Reveal::Partner) => {
            format!("judged, not enforced yet: {}", forced)
        }
        (Requirement::Forced(_), Reveal::Code) => "TLS, or we send nothing".to_owned(),
        (Requirement::Audit(_), Reveal::Code) => "judged, not enforced yet".to_owned(),
        (Requirement::Opportunistic(_), _) => "nothing; we use TLS if your server offers it".to_owned(),
        (Requirement::Off, _) => "nothing; we do not use TLS".to_owned(),
    };
    lines.extend(entry("We require:", &what));
    match own {
        Some(own) => {
            lines.extend(entry("Client certificate:", "this one, if your server asks for one"));
            lines.extend(certificate("  names", own));
        }
        None => lines.extend(entry("Client certificate:", "none")),
    }
    let Some(listener) = &answer.listener else { return lines };
    lines.extend(["".to_owned(), "  The listener that took your message".to_owned(), "".to_owned()]);
    lines.extend(entry("TLS:", listener.tls));
    if listener.certificates.is_empty() {
        return lines;
    }
    lines.extend(entry("Versions:", versions(listener.profile)));
    lines.extend(listener.profile.iter().flat_map(|profile| entry("Profile:", &profile.to_string())));
    for own in listener.certificates.iter().take(CERTIFICATES_MAX) {
        lines.extend(certificate("Our certificate:", own));
    }
    lines
}

/// The versions of TLS that handshakes offer.
fn versions(profile: Option<Profile>) -> &'static str {
    // The suites of TLS 1.2 name their key exchange.
    let is_older = |suite: &&str| suite.starts_with("TLS_ECDHE_");
    let old = profile.is_none_or(|profile| profile.table().offer.suites.iter().any(is_older));
    if old { "TLSv1.3 and TLSv1.2" } else { "TLSv1.3" }
}

fn certificate(label: &str, facts: &CertificateFacts) -> Vec<String> {
    let dates = format!("{} to {}", rfc3339(facts.not_before), rfc3339(facts.not_after));
    let fields = [
        (label, cut(&facts.names_text())),
        ("  subject", cut(&facts.subject)),
        ("  issuer", cut(&facts.issuer)),
        ("  valid", dates),
    ];
    let mut lines: Vec<String> = fields.iter().flat_map(|(label, value)| entry(label, value)).collect();
    // In a line of its own width, so that it is not longer than others.
    lines.push(format!("    SHA-256 {}", facts.sha256));
    lines
}

/// The start of a name, which anybody may make as long as they like.
fn cut(name: &str) -> String {
    printable_ascii(name).chars().take(NAME_MAX).collect()
}

/// Characters of a name in a certificate.
const NAME_MAX: usize = 400;
/// Certificates of a listener that are described.
const CERTIFICATES_MAX: usize = 3;
