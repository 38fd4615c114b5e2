//! Content on its way to the sink, with the header section as the inbound connector wants it. Where the connector does not
//! look at it, and after its end, octets pass as they come; no body is held.

use crate::connector::{HeaderFindings, HeaderHandling, Inbound};
use crate::mail::{Domain, QueueId, UnixMillis, edited, header_end};
use crate::smtp::data::ContentSink;

/// The header section of a message that is arriving.
#[derive(Debug)]
pub(super) struct HeaderStage {
    /// What has arrived of a section that is not complete; `None`: octets pass. The scanner limits its size.
    held: Option<Vec<u8>>,
    handling: HeaderHandling,
    findings: HeaderFindings,
}

/// A sink behind which the header section is as it is to be stored.
pub(super) struct HeaderSink<'a> {
    pub(super) stage: &'a mut HeaderStage,
    pub(super) connector: &'a Inbound,
    pub(super) own: &'a Domain,
    pub(super) sink: &'a mut dyn ContentSink,
}

impl HeaderStage {
    /// `originator`: the organisation that the client names.
    pub(super) fn new(connector: &Inbound, own: &Domain, originator: Option<&Domain>) -> Self {
        let held = connector.reads_header().then(Vec::new);
        let handling = connector.handling(originator);
        // What a message requires whatever its header says.
        Self { held, handling, findings: connector.find(b"", own, handling) }
    }

    pub(super) fn into_findings(self) -> HeaderFindings {
        self.findings
    }
}

impl HeaderSink<'_> {
    /// The content is complete: if there was no blank line, it is all header section.
    pub(super) fn finish(&mut self) {
        if let Some(section) = self.stage.held.take() {
            self.pass(&section, section.len());
        }
    }

    /// Passes the section, which ends there, and what came behind it.
    fn pass(&mut self, octets: &[u8], end: usize) {
        let (section, body) = octets.split_at_checked(end).unwrap_or((octets, &[]));
        self.stage.findings = self.connector.find(section, self.own, self.stage.handling);
        if self.stage.findings.edits.is_empty() {
            return self.sink.write(octets);
        }
        self.sink.write(&edited(section, &self.stage.findings.edits));
        if !body.is_empty() {
            self.sink.write(body);
        }
    }
}

impl ContentSink for HeaderSink<'_> {
    fn open(&mut self, declared: u64) -> (QueueId, UnixMillis) {
        self.sink.open(declared)
    }

    fn write(&mut self, octets: &[u8]) {
        let Some(mut held) = self.stage.held.take() else { return self.sink.write(octets) };
        if held.is_empty() {
            // Usually all of it comes at once, and nothing of it is copied.
            if let Some(end) = header_end(octets) {
                return self.pass(octets, end);
            }
        }
        // The blank line may span two writes.
        let searched = held.len().saturating_sub(BLANK_LINE_BYTES);
        held.extend_from_slice(octets);
        let end = if searched == 0 {
            header_end(&held)
        } else {
            let found = memchr::memmem::find(held.get(searched..).unwrap_or_default(), b"\r\n\r\n");
            found.map(|at| searched.saturating_add(at).saturating_add(BLANK_LINE_BYTES))
        };
        let Some(end) = end else {
            self.stage.held = Some(held);
            return;
        };
        self.pass(&held, end);
    }

    fn discard(&mut self) {
        self.stage.held = None;
        self.sink.discard();
    }
}

/// A line end and the empty line after it.
const BLANK_LINE_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{MessageMarker, Onward, RaiseRule};

    #[derive(Default)]
    struct Kept(Vec<u8>, usize);

    impl ContentSink for Kept {
        fn open(&mut self, _declared: u64) -> (QueueId, UnixMillis) {
            (QueueId::first_of(0), UnixMillis(0))
        }

        fn write(&mut self, octets: &[u8]) {
            self.0.extend_from_slice(octets);
            self.1 += 1;
        }

        fn discard(&mut self) {}
    }

    /// What is stored, in how many pieces, and what the findings are.
    fn passed(connector: &Inbound, content: &str, step: usize) -> (String, usize, HeaderFindings) {
        let own = Domain::parse("gw.test").expect("a domain");
        let (mut stage, mut kept) = (HeaderStage::new(connector, &own, None), Kept::default());
        let mut sink = HeaderSink { stage: &mut stage, connector, own: &own, sink: &mut kept };
        content.as_bytes().chunks(step).for_each(|piece| sink.write(piece));
        sink.finish();
        (String::from_utf8(kept.0).expect("text"), kept.1, stage.into_findings())
    }

    #[track_caller]
    fn check(content: &str, expected: &str) {
        let rule = RaiseRule {
            name: "r".into(),
            marker: MessageMarker::Field { name: "X-Seal".into(), value: None },
            to: Onward::Sealed,
            remove: true,
        };
        let connector = Inbound { raise: vec![rule], ..Inbound::new("in", Vec::new()) };
        let content = content.replace('|', "\r\n");
        for step in [1, 2, 3, 5, 1000] {
            let (text, _, findings) = passed(&connector, &content, step);
            assert_eq!(text.replace("\r\n", "|"), expected, "{content:?} in pieces of {step}");
            let raised = content.split("\r\n\r\n").next().is_some_and(|section| section.contains("X-Seal"));
            assert_eq!(findings.demand.level == Onward::Sealed, raised && !content.starts_with("\r\n"));
        }
    }

    #[test]
    fn the_section_is_changed_and_the_body_is_not() {
        check("A: b|X-Seal: 1|X-MS-Exchange-Forest-A: b| c||X-Seal: body||x|", "A: b||X-Seal: body||x|");
        check("|X-Seal: body||x|", "|X-Seal: body||x|");
        check("X-Seal: 1||", "|");
        check("X-Seal: 1|A: b|", "A: b|");
        check("A: b||c|", "A: b||c|");
        check("", "");
    }

    #[test]
    fn what_needs_no_change_passes_in_one_piece() {
        let firewall = Inbound::new("in", Vec::new());
        let preserve = Inbound { headers: HeaderHandling::Preserve, ..firewall.clone() };
        let content = "A: b\r\n\r\nbody\r\n";
        for connector in [&firewall, &preserve] {
            let (text, pieces, findings) = passed(connector, content, 1000);
            assert_eq!((text.as_str(), pieces), (content, 1));
            assert!(findings.tally.is_empty());
        }
        assert_eq!(passed(&preserve, content, 1).1, content.len(), "nothing is held that nobody looks at");
    }
}
