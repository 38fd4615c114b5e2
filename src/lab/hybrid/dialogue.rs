//! The server side of a stand-in, one line at a time. It reads no socket; what it says is what Exchange
//! Server, Exchange Online or another host would say.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::faults::HostTrouble;
use super::hosts::{CLOUD_EDGE, EhloOffer, LabHost};
use super::ledger::{HostRefusal, Ledger};
use super::treat::{SeenClient, is_our_domain};

/// One session.
pub(super) struct HostDialogue {
    host: LabHost,
    troubles: Arc<BTreeSet<HostTrouble>>,
    ledger: Arc<Ledger>,
    peer: Ipv4Addr,
    client: SeenClient,
    has_greeted: bool,
    envelope: Option<HostEnvelope>,
    content: Vec<u8>,
    errors: usize,
}

/// What to do about a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HostTurn {
    /// Send this.
    Say(String),
    /// Send this, and begin the handshake.
    StartTls(String),
    /// Send this, and read content up to the final dot.
    Content(String),
    /// Read this number of octets; whether they are the last.
    Chunk(usize, bool),
    /// Send this, and close.
    Close(String),
}

/// The envelope of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct HostEnvelope {
    pub(super) reverse_path: String,
    pub(super) recipients: Vec<String>,
    /// The XOORG parameter.
    pub(super) originator: Option<String>,
}

/// A message that the host accepts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HostMessage {
    pub(super) envelope: HostEnvelope,
    pub(super) content: Vec<u8>,
}

impl HostDialogue {
    pub(super) fn new(
        host: LabHost,
        troubles: Arc<BTreeSet<HostTrouble>>,
        ledger: Arc<Ledger>,
        (peer, client): (Ipv4Addr, SeenClient),
    ) -> Self {
        let (envelope, content) = (None, Vec::new());
        Self { host, troubles, ledger, peer, client, has_greeted: false, envelope, content, errors: 0 }
    }

    /// What the client of this session showed.
    pub(super) fn client(&self) -> &SeenClient {
        &self.client
    }

    /// Answers a command.
    pub(super) fn line(&mut self, line: &str) -> HostTurn {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let reply = match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" => {
                self.has_greeted = true;
                self.envelope = None;
                return HostTurn::Say(self.capabilities(verb.eq_ignore_ascii_case("HELO")));
            }
            "STARTTLS" if self.offers_tls() && self.has(HostTrouble::StartTlsRefused) => {
                "454 4.7.0 TLS not available due to temporary reason"
            }
            "STARTTLS" if self.offers_tls() => {
                return HostTurn::StartTls("220 2.0.0 SMTP server ready\r\n".to_owned());
            }
            "MAIL" => &self.mail(rest),
            "RCPT" => &self.recipient(rest),
            "DATA" if self.is_ready() => {
                return HostTurn::Content("354 Start mail input; end with <CRLF>.<CRLF>\r\n".to_owned());
            }
            "BDAT" if self.is_ready() && self.host.is_exchange() => match chunk(rest) {
                Some((octets, last)) if octets <= self.host.size_max() => {
                    return HostTurn::Chunk(octets, last);
                }
                _ => return HostTurn::Close("501 5.5.4 Invalid arguments\r\n".to_owned()),
            },
            "DATA" => "503 5.5.2 Need rcpt command",
            "BDAT" if self.host.is_exchange() => "503 5.5.2 Need rcpt command",
            "RSET" => {
                self.envelope = None;
                "250 2.0.0 Resetting"
            }
            "NOOP" => "250 2.0.0 OK",
            "VRFY" => "252 2.1.5 Cannot VRFY user",
            "QUIT" => {
                return HostTurn::Close("221 2.0.0 Service closing transmission channel\r\n".to_owned());
            }
            // Offered to servers of the own organisation only; others need not know what it is.
            "AUTH" | "X-EXPS" => "504 5.7.4 Unrecognized authentication type",
            _ => "500 5.3.3 Unrecognized command",
        };
        let reply = reply.to_owned();
        if reply.starts_with("50") {
            self.errors = self.errors.saturating_add(1);
            if self.errors >= ERRORS_MAX {
                return HostTurn::Close(TOO_MANY_ERRORS.to_owned());
            }
        }
        HostTurn::Say(format!("{reply}\r\n"))
    }

    /// Takes a part of the content; the message if it is the last.
    pub(super) fn part(&mut self, octets: &[u8], last: bool) -> (String, Option<HostMessage>) {
        self.content.extend_from_slice(octets);
        if self.content.len() > self.host.size_max() {
            (self.content, self.envelope) = (Vec::new(), None);
            return ("552 5.3.4 Message size exceeds fixed maximum message size\r\n".to_owned(), None);
        }
        if !last {
            return (format!("250 2.6.0 CHUNK received OK, {} octets\r\n", octets.len()), None);
        }
        let content = std::mem::take(&mut self.content);
        let Some(envelope) = self.envelope.take() else {
            return ("503 5.5.2 Need mail command\r\n".to_owned(), None);
        };
        let header = memchr::memmem::find(&content, b"\r\n\r\n").unwrap_or(content.len());
        if self.host.is_exchange() && header > HEADER_BYTES_MAX {
            return ("552 5.3.4 Header size exceeds fixed maximum size\r\n".to_owned(), None);
        }
        let id = super::marks::message_id(&content).unwrap_or_default();
        let reply = if self.host.is_exchange() {
            let host = self.host.edge();
            format!("250 2.6.0 <{id}> [InternalId=1, Hostname={host}] Queued mail for delivery\r\n")
        } else {
            "250 2.0.0 Ok: queued\r\n".to_owned()
        };
        (reply, Some(HostMessage { envelope, content }))
    }

    fn has(&self, trouble: HostTrouble) -> bool {
        self.troubles.contains(&trouble)
    }

    fn offers_tls(&self) -> bool {
        self.client.channel.is_none() && !self.has(HostTrouble::NoStartTls)
    }

    fn is_ready(&self) -> bool {
        self.envelope.as_ref().is_some_and(|envelope| !envelope.recipients.is_empty())
    }

    fn capabilities(&self, is_helo: bool) -> String {
        let offer = EhloOffer {
            starttls: self.offers_tls(),
            encrypted: self.client.channel.is_some(),
            trusted: self.client.trusted().is_ok(),
        };
        let mut lines = self.host.ehlo(self.peer, offer);
        lines.truncate(if is_helo { 1 } else { lines.len() });
        let last = lines.len().saturating_sub(1);
        let text = |(number, line): (usize, &String)| {
            format!("250{}{line}\r\n", if number == last { ' ' } else { '-' })
        };
        lines.iter().enumerate().map(text).collect()
    }

    fn mail(&mut self, rest: &str) -> String {
        if !self.has_greeted {
            return "503 5.5.2 Send hello first".to_owned();
        }
        let Some((reverse_path, parameters)) = path(rest, "FROM:") else {
            return "501 5.5.4 Invalid arguments".to_owned();
        };
        let mut envelope = HostEnvelope { reverse_path, ..HostEnvelope::default() };
        for parameter in parameters.split_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.to_ascii_uppercase().as_str() {
                "SIZE" if value.parse().is_ok_and(|size: usize| size > self.host.size_max()) => {
                    return "552 5.3.4 Message size exceeds fixed maximum message size".to_owned();
                }
                "XOORG" if self.client.trusted().is_ok() => envelope.originator = Some(value.to_owned()),
                "SIZE" | "BODY" | "RET" | "ENVID" => {}
                "SMTPUTF8" if self.host.is_exchange() => {}
                _ => return "501 5.5.4 Unrecognized parameter".to_owned(),
            }
        }
        self.envelope = Some(envelope);
        "250 2.1.0 Sender OK".to_owned()
    }

    fn recipient(&mut self, rest: &str) -> String {
        let Some((forward_path, _)) = path(rest, "TO:") else {
            return "501 5.5.4 Invalid arguments".to_owned();
        };
        let Some(envelope) = &self.envelope else { return "503 5.5.2 Need mail command".to_owned() };
        if envelope.recipients.len() >= RECIPIENTS_MAX {
            return "452 4.5.3 Too many recipients".to_owned();
        }
        let reverse_path = envelope.reverse_path.clone();
        match self.refusal(&reverse_path, &forward_path) {
            Some(reply) => {
                self.ledger.refused(HostRefusal { reverse_path, forward_path, reply: reply.clone() });
                reply
            }
            None => {
                if let Some(envelope) = &mut self.envelope {
                    envelope.recipients.push(forward_path);
                }
                "250 2.1.5 Recipient OK".to_owned()
            }
        }
    }

    /// The reply to a recipient that is not accepted.
    fn refusal(&self, reverse_path: &str, forward_path: &str) -> Option<String> {
        if self.has(HostTrouble::TenantAttribution) {
            return Some(format!("550 5.7.64 TenantAttribution; Relay Access Denied [{CLOUD_EDGE}]"));
        }
        if self.has(HostTrouble::Throttled) {
            let peer = self.peer;
            return Some(format!(
                "451 4.7.500 Server busy. Please try again later from [{peer}]. (S77719) [{CLOUD_EDGE}]"
            ));
        }
        if self.has(HostTrouble::Greylisting) && self.ledger.is_new(self.host, reverse_path, forward_path) {
            return Some("451 4.7.1 Greylisting in action, please come back later".to_owned());
        }
        let domain = forward_path.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase());
        let is_served = domain.is_some_and(|domain| self.host.domains().contains(&domain.as_str()));
        // Mail of our own organisation, as the other side names it (XOORG), may go anywhere.
        let originator = self.envelope.as_ref().and_then(|envelope| envelope.originator.as_deref());
        let is_ours = originator.is_some_and(is_our_domain);
        let relays = self.host == LabHost::Onprem && self.client.trusted().is_ok() && is_ours;
        if is_served || relays {
            return None;
        }
        Some(match self.host {
            LabHost::Onprem => "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain".to_owned(),
            LabHost::Cloud => format!("550 5.7.64 TenantAttribution; Relay Access Denied [{CLOUD_EDGE}]"),
            LabHost::Partner
            | LabHost::Internet
            | LabHost::WrongName
            | LabHost::NoIntermediate
            | LabHost::Revoked
            | LabHost::Expired
            | LabHost::RenewalOld
            | LabHost::RenewalNew => format!("550 5.7.1 <{forward_path}>: Relay access denied"),
        })
    }
}

/// The path behind `FROM:` or `TO:`, and the parameters.
fn path(rest: &str, word: &str) -> Option<(String, String)> {
    let start = rest.get(..word.len())?;
    let path = rest.get(word.len()..)?.trim_start().strip_prefix('<')?;
    let (path, parameters) = path.split_once('>')?;
    start.eq_ignore_ascii_case(word).then(|| (path.to_owned(), parameters.to_owned()))
}

/// The size of a chunk, and whether it is the last one.
fn chunk(rest: &str) -> Option<(usize, bool)> {
    let mut words = rest.split_whitespace();
    let octets = words.next()?.parse().ok()?;
    match words.next() {
        None => Some((octets, false)),
        Some(word) => word.eq_ignore_ascii_case("LAST").then_some((octets, true)),
    }
}

// Exchange's limits: MaxRecipientsPerMessage, MaxHeaderSize, MaxProtocolErrors.
const RECIPIENTS_MAX: usize = 200;
const HEADER_BYTES_MAX: usize = 256 * 1024;
const ERRORS_MAX: usize = 5;
const TOO_MANY_ERRORS: &str =
    "421 4.7.0 Too many errors on this connection, closing transmission channel\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::hybrid::hosts::{GATEWAY_NAME, OUTSIDE};

    fn gateway() -> SeenClient {
        SeenClient {
            channel: Some("TLSv1.3".to_owned()),
            certificate: Some(Ok(vec![GATEWAY_NAME.to_owned()])),
        }
    }

    fn session(host: LabHost, troubles: &[HostTrouble], client: SeenClient) -> HostDialogue {
        let troubles = Arc::new(troubles.iter().copied().collect());
        let mut dialogue = HostDialogue::new(host, troubles, Arc::default(), (OUTSIDE, client));
        dialogue.line("EHLO gw");
        dialogue
    }

    #[track_caller]
    fn check(dialogue: &mut HostDialogue, line: &str, expected: &str) {
        let turn = format!("{:?}", dialogue.line(line));
        assert!(turn.contains(expected), "{line}: {turn}");
    }

    #[test]
    fn exchange_relays_for_the_gateway_only() {
        let to_world = "RCPT TO:<ada@world.lab.test>";
        let mut stranger = session(LabHost::Onprem, &[], SeenClient::default());
        check(&mut stranger, "MAIL FROM:<a@b.test>", "250 2.1.0");
        check(&mut stranger, to_world, "550 5.7.54");
        check(&mut stranger, "RCPT TO:<ann@contoso.lab.test>", "250 2.1.5");
        let mut known = session(LabHost::Onprem, &[], gateway());
        check(&mut known, "MAIL FROM:<> SIZE=1 XOORG=contoso.lab.test", "250 2.1.0");
        check(&mut known, to_world, "250 2.1.5");
        check(&mut known, "MAIL FROM:<> XOORG=adatum.lab.test", "250 2.1.0");
        check(&mut known, to_world, "550 5.7.54");
        let mut cloud = session(LabHost::Cloud, &[], gateway());
        check(&mut cloud, "MAIL FROM:<>", "250");
        check(&mut cloud, to_world, "550 5.7.64 TenantAttribution");
    }

    #[test]
    fn parameters_and_limits_are_those_that_are_offered() {
        let mut clear = session(LabHost::Onprem, &[], SeenClient::default());
        check(&mut clear, "MAIL FROM:<> XOORG=contoso.lab.test", "501 5.5.4");
        check(&mut clear, "MAIL FROM:<> SIZE=37748737", "552 5.3.4");
        check(&mut clear, "DATA", "503 5.5.2");
        check(&mut clear, "XEXCH50 1 2", "500 5.3.3");
        check(&mut clear, "AUTH NTLM", "504 5.7.4");
        check(&mut clear, "X", "421 4.7.0");
        let mut other = session(LabHost::Partner, &[], SeenClient::default());
        check(&mut other, "MAIL FROM:<a@b.test>", "250");
        check(&mut other, "RCPT TO:<eve@fabrikam.lab.test>", "250");
        check(&mut other, "BDAT 3 LAST", "500");
    }

    #[test]
    fn faults_change_what_is_said() {
        let mut refusing = session(LabHost::Cloud, &[HostTrouble::StartTlsRefused], SeenClient::default());
        check(&mut refusing, "STARTTLS", "454 4.7.0");
        let mut none = session(LabHost::Cloud, &[HostTrouble::NoStartTls], SeenClient::default());
        check(&mut none, "STARTTLS", "500");
        let mut grey = session(LabHost::Partner, &[HostTrouble::Greylisting], SeenClient::default());
        check(&mut grey, "MAIL FROM:<a@b.test>", "250");
        check(&mut grey, "RCPT TO:<eve@fabrikam.lab.test>", "451 4.7.1");
        check(&mut grey, "RCPT TO:<eve@fabrikam.lab.test>", "250");
        let mut busy = session(LabHost::Cloud, &[HostTrouble::Throttled], gateway());
        check(&mut busy, "MAIL FROM:<a@b.test>", "250");
        check(&mut busy, "RCPT TO:<carl@contoso.mail.onmicrosoft.lab.test>", "451 4.7.500");
    }

    #[test]
    fn content_comes_in_one_piece_or_in_chunks() {
        let mut dialogue = session(LabHost::Onprem, &[], gateway());
        dialogue.line("MAIL FROM:<a@b.test>");
        dialogue.line("RCPT TO:<ann@contoso.lab.test>");
        assert_eq!(dialogue.line("BDAT 4"), HostTurn::Chunk(4, false));
        assert_eq!(dialogue.part(b"A: 1", false).0, "250 2.6.0 CHUNK received OK, 4 octets\r\n");
        assert_eq!(dialogue.line("BDAT 4 LAST"), HostTurn::Chunk(4, true));
        let (reply, message) = dialogue.part(b"\r\n\r\n", true);
        assert!(reply.starts_with("250 2.6.0 <"), "{reply}");
        assert_eq!(message.map(|message| message.content), Some(b"A: 1\r\n\r\n".to_vec()));
        check(&mut dialogue, "DATA", "503");
    }
}
