//! What a hostile server was sent, and what a test makes of it. Pure.

use super::evidence::EvidenceVerdict;
use super::manner::HostManner;

/// What a hostile server was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostTranscript {
    pub(super) connections: usize,
    /// Handshakes that both sides completed.
    pub(super) handshakes: usize,
    /// The sender presented a certificate of its own.
    pub(super) client_certificate: bool,
    /// Commands of an envelope, in plaintext.
    pub(super) envelope_in_plaintext: bool,
    /// The same inside TLS.
    pub(super) envelope_in_tls: bool,
    /// A login was tried.
    pub(super) login: bool,
    /// Messages that were sent in full.
    pub(super) messages: usize,
}

/// How octets came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelKind {
    Plaintext,
    Tls,
}

/// What the sender says came of its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SenderReport {
    /// It was delivered.
    Delivered,
    /// It was not, for this reason, and by this token if a connector decided so.
    Kept { token: Option<String>, reason: String },
    /// It reported nothing.
    Nothing,
}

impl HostTranscript {
    /// The verb of a line; empty if it is not one of SMTP.
    pub(super) fn verb(line: &str) -> &'static str {
        let word = line.split([' ', ':']).next().unwrap_or_default();
        VERBS.iter().copied().find(|verb| verb.eq_ignore_ascii_case(word)).unwrap_or_default()
    }

    /// A command came.
    pub(super) fn heard(&mut self, verb: &str, channel: ChannelKind) {
        match (verb, channel) {
            ("MAIL" | "RCPT" | "DATA" | "BDAT", ChannelKind::Plaintext) => self.envelope_in_plaintext = true,
            ("MAIL" | "RCPT" | "DATA" | "BDAT", ChannelKind::Tls) => self.envelope_in_tls = true,
            ("AUTH", ChannelKind::Plaintext | ChannelKind::Tls) => self.login = true,
            _ => {}
        }
    }

    /// What was sent that must not be, in words.
    fn sent(&self) -> Option<&'static str> {
        if self.envelope_in_plaintext {
            return Some("the envelope was sent in plaintext");
        }
        if self.messages > 0 {
            return Some("a whole message was sent");
        }
        if self.envelope_in_tls {
            return Some("the envelope was sent");
        }
        self.login.then_some("a login was sent")
    }

    /// The verdict on a sender: from what the server was sent, whatever the sender reports of itself.
    pub(super) fn verdict(&self, manner: HostManner, report: &SenderReport) -> (EvidenceVerdict, String) {
        if manner == HostManner::Right {
            return self.verdict_on_control(report);
        }
        if let Some(sent) = self.sent() {
            return (EvidenceVerdict::Finding, format!("{sent} ({})", report.words()));
        }
        match report {
            SenderReport::Delivered => (
                EvidenceVerdict::Finding,
                "the sender reports a delivery that the server did not see".to_owned(),
            ),
            SenderReport::Kept { .. } | SenderReport::Nothing if self.connections == 0 => {
                (EvidenceVerdict::Untested, format!("the sender did not connect ({})", report.words()))
            }
            SenderReport::Nothing => (EvidenceVerdict::Untested, report.words()),
            SenderReport::Kept { .. } => {
                (EvidenceVerdict::Held, format!("no envelope was sent: {}", report.words()))
            }
        }
    }

    /// A sender that sends to nobody would pass all other tests.
    fn verdict_on_control(&self, report: &SenderReport) -> (EvidenceVerdict, String) {
        let certificate =
            if self.client_certificate { "with our certificate" } else { "without a certificate of ours" };
        if self.envelope_in_plaintext {
            return (EvidenceVerdict::Finding, "the envelope was sent in plaintext".to_owned());
        }
        if *report == SenderReport::Delivered && self.messages > 0 {
            return (EvidenceVerdict::Held, format!("the message was sent over TLS, {certificate}"));
        }
        let words = "nothing was sent to a server that is right, so that the other tests of this requirement prove little";
        (EvidenceVerdict::Untested, format!("{words} ({})", report.words()))
    }
}

impl SenderReport {
    fn words(&self) -> String {
        match self {
            Self::Delivered => "reported as delivered".to_owned(),
            Self::Kept { token: Some(token), reason } => format!("{reason} [{token}]"),
            Self::Kept { token: None, reason } => reason.clone(),
            Self::Nothing => "the sender reported nothing".to_owned(),
        }
    }
}

const VERBS: &[&str] =
    &["EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT"];

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> SenderReport {
        SenderReport::Kept { token: Some("name-mismatch".to_owned()), reason: "no".to_owned() }
    }

    #[track_caller]
    fn check(
        manner: HostManner,
        lines: &[(&str, ChannelKind)],
        report: SenderReport,
        expected: EvidenceVerdict,
    ) {
        let mut seen = HostTranscript { connections: 1, ..HostTranscript::default() };
        for (line, channel) in lines {
            seen.heard(HostTranscript::verb(line), *channel);
        }
        seen.messages = lines.iter().filter(|(line, _)| *line == "DATA").count();
        let (verdict, words) = seen.verdict(manner, &report);
        assert_eq!(verdict, expected, "{words}");
    }

    #[test]
    fn whoever_sends_to_a_hostile_server_is_found_out_whatever_he_reports() {
        use ChannelKind::{Plaintext, Tls};
        use EvidenceVerdict::{Finding, Held, Untested};
        let (bad, right) = (HostManner::NoTls, HostManner::Right);
        check(bad, &[("EHLO a", Plaintext), ("QUIT", Plaintext)], kept(), Held);
        check(bad, &[("mail from:<a@b>", Plaintext)], kept(), Finding);
        check(bad, &[("RCPT TO:<a@b>", Tls)], kept(), Finding);
        check(bad, &[("AUTH PLAIN x", Tls)], kept(), Finding);
        check(bad, &[("EHLO a", Tls)], SenderReport::Delivered, Finding);
        check(bad, &[], SenderReport::Nothing, Untested);
        let all = [("EHLO a", Plaintext), ("MAIL FROM:<>", Tls), ("RCPT TO:<a@b>", Tls), ("DATA", Tls)];
        check(right, &all, SenderReport::Delivered, Held);
        check(right, &all[..1], kept(), Untested);
        check(right, &[("MAIL FROM:<>", Plaintext), ("DATA", Plaintext)], SenderReport::Delivered, Finding);
        let nowhere = HostTranscript::default().verdict(bad, &kept());
        assert_eq!(nowhere.0, Untested);
    }
}
