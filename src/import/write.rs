//! A sketch to the text of a configuration, as someone would write it by hand. It decides nothing.

use super::remark::Leftover;
use super::sketch::{
    CertificateSketch, InboundSketch, ListenerSketch, OfferSketch, OutboundSketch, Proof, Sketch, TlsSketch,
    TrustSketch,
};

/// The text of a configuration.
pub(super) fn text(sketch: &Sketch) -> String {
    let mut page = Page::default();
    for line in &sketch.made_from {
        page.comment(line);
    }
    page.remarks_of(&sketch.remarks);
    page.heading("[server]");
    page.text("name", &sketch.name);
    page.text("data_dir", &sketch.data_dir);
    page.text("postmaster", &sketch.postmaster);
    for (id, certificate) in &sketch.certificates {
        page.certificate(id, certificate);
    }
    for (id, trust) in &sketch.trusts {
        page.trust(id, trust);
    }
    if !sketch.limits.is_empty() {
        page.heading("[limits]");
        sketch.limits.iter().for_each(|(key, value)| page.line(&format!("{key} = {value}")));
    }
    for listener in &sketch.listeners {
        page.listener(listener, sketch);
    }
    for partner in &sketch.partners {
        page.blank();
        page.line("[[partner]]");
        page.text("name", &partner.name);
        page.list("domains", &partner.domains);
    }
    page.title("Who may hand us mail, and for whom.", !sketch.inbound.is_empty());
    for connector in &sketch.inbound {
        page.inbound(connector);
    }
    page.title("Where mail goes.", !sketch.outbound.is_empty());
    for connector in &sketch.outbound {
        page.outbound(connector, sketch);
    }
    page.text
}

/// The page so far.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn blank(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// Words of a comment, wrapped.
    fn comment(&mut self, words: &str) {
        let mut line = "#".to_owned();
        for word in words.split_whitespace() {
            let word: String = word.chars().filter(|c| !c.is_control()).collect();
            if line.chars().count() + 1 + word.chars().count() > COLUMNS_MAX && line.len() > 1 {
                self.line(&std::mem::replace(&mut line, "#".to_owned()));
            }
            line.push(' ');
            line.push_str(&word);
        }
        self.line(&line);
    }

    fn title(&mut self, words: &str, wanted: bool) {
        if wanted {
            self.blank();
            self.comment(&format!("--- {words}"));
        }
    }

    fn heading(&mut self, heading: &str) {
        self.blank();
        self.line(heading);
    }

    fn text(&mut self, key: &str, value: &str) {
        self.line(&format!("{key} = {}", quoted(value)));
    }

    /// A list on one line if it fits; one value is written without brackets where the key takes that.
    fn list<T: ToString>(&mut self, key: &str, values: &[T]) {
        let values: Vec<String> = values.iter().map(|value| quoted(&value.to_string())).collect();
        if values.is_empty() {
            return;
        }
        let line = format!("{key} = [{}]", values.join(", "));
        if line.chars().count() <= COLUMNS_MAX {
            self.line(&line);
            return;
        }
        self.line(&format!("{key} = ["));
        values.iter().for_each(|value| self.line(&format!("    {value},")));
        self.line("]");
    }

    fn number(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.line(&format!("{key} = {value}"));
        }
    }

    fn remarks(&mut self, remarks: &[Leftover]) {
        remarks.iter().for_each(|remark| self.comment(&format!("NOT IMPORTED: {remark}")));
    }

    fn remarks_of(&mut self, remarks: &[(String, Leftover)]) {
        for (place, remark) in remarks {
            self.comment(&format!("NOT IMPORTED: {place}: {remark}"));
        }
    }

    fn certificate(&mut self, id: &str, certificate: &CertificateSketch) {
        self.blank();
        self.comment(&certificate.about);
        if certificate.is_there {
            self.line(&format!("[certificate.{id}]"));
            self.text("chain", &certificate.chain);
            self.text("key", &certificate.key);
            return;
        }
        self.comment("TO DO: put its files there, and remove the \"#\" here and at the keys that name it.");
        self.line(&format!("# [certificate.{id}]"));
        self.line(&format!("# chain = {}", quoted(&certificate.chain)));
        self.line(&format!("# key = {}", quoted(&certificate.key)));
    }

    fn trust(&mut self, id: &str, trust: &TrustSketch) {
        self.blank();
        self.comment(&trust.about);
        if !trust.is_there {
            self.comment(
                "TO DO: put the file there, and remove the \"#\" here and at the keys that name it.",
            );
        }
        let mark = if trust.is_there { "" } else { "# " };
        self.line(&format!("{mark}[trust.{id}]"));
        self.line(&format!("{mark}anchors = {}", quoted(&trust.anchors)));
    }

    fn listener(&mut self, listener: &ListenerSketch, sketch: &Sketch) {
        self.blank();
        self.comment(&listener.about);
        self.remarks(&listener.remarks);
        self.line("[[listener]]");
        self.text("name", &listener.name);
        self.list("address", &listener.addresses);
        let wanted = match listener.tls {
            OfferSketch::Off => "off",
            OfferSketch::StartTls => "starttls",
            OfferSketch::Required => "required",
            OfferSketch::Implicit => "implicit",
        };
        let there = |id: &&String| sketch.certificates.get(*id).is_some_and(|one| one.is_there);
        let ids: Vec<&String> = listener.certificates.iter().filter(there).collect();
        if listener.tls == OfferSketch::Off {
            self.text("tls", wanted);
        } else if ids.is_empty() {
            self.comment(
                "TO DO: without a certificate it can't offer TLS; forced connectors admit nobody here.",
            );
            self.text("tls", "off");
            self.line(&format!("# tls = {}", quoted(wanted)));
            let ids: Vec<String> = listener.certificates.iter().map(|id| quoted(id)).collect();
            self.line(&format!("# certificate = [{}]", ids.join(", ")));
        } else {
            self.text("tls", wanted);
            self.list("certificate", &ids);
        }
        if !listener.withhold.is_empty() {
            self.list("withhold", &listener.withhold);
        }
    }

    fn inbound(&mut self, connector: &InboundSketch) {
        self.blank();
        self.comment(&connector.origin);
        connector.notes.iter().for_each(|note| self.comment(note));
        self.remarks(&connector.remarks);
        self.line("[[inbound]]");
        self.text("name", &connector.name);
        if connector.own {
            self.text("kind", "own");
        }
        self.list("listeners", &connector.listeners);
        match &connector.partner {
            Some(partner) => self.text("partner", partner),
            None => self.list("from_domains", &connector.from_domains),
        }
        self.list("except_domains", &connector.except_domains);
        self.list("from_networks", &connector.from_networks);
        self.tls(&connector.tls, false);
        if connector.off {
            self.text("mode", "off");
        }
        if connector.promotes {
            self.text("headers", "promote");
        }
        self.list("originators", &connector.originators);
        if let Some(size) = &connector.message_size {
            self.text("message_size", size);
        }
        self.number("recipients", connector.recipients);
        self.number("connections", connector.connections);
        self.list("to_domains", &connector.to_domains);
        if let Some(file) = &connector.recipients_file {
            self.text("recipients_file", &file.name);
        }
    }

    fn outbound(&mut self, connector: &OutboundSketch, sketch: &Sketch) {
        self.blank();
        self.comment(&connector.origin);
        connector.notes.iter().for_each(|note| self.comment(note));
        self.remarks(&connector.remarks);
        self.line("[[outbound]]");
        self.text("name", &connector.name);
        match &connector.partner {
            Some(partner) => self.text("partner", partner),
            None => self.list("domains", &connector.domains),
        }
        self.list("from_connectors", &connector.from_connectors);
        self.number("cost", connector.cost);
        if connector.next_hop.is_empty() {
            self.text("next_hop", "mx");
        }
        self.list("next_hop", &connector.next_hop);
        if connector.spread {
            self.line("spread = true");
        }
        self.number("port", connector.port.map(u64::from));
        for (key, value) in
            [("mx_addresses", connector.mx_addresses), ("address_family", connector.address_family)]
        {
            if let Some(value) = value {
                self.text(key, value);
            }
        }
        self.tls(&connector.tls, connector.implicit);
        if connector.off {
            self.text("mode", "off");
        }
        if connector.promotes {
            self.text("headers", "promote");
        }
        if let Some(sni) = &connector.sni {
            self.text("sni", sni);
        }
        self.list("source_address", &connector.source_address);
        if let Some(name) = &connector.ehlo_name {
            self.text("ehlo_name", name);
        }
        if connector.remember_tls {
            self.line("remember_tls = true");
        }
        if let Some(id) = &connector.client_certificate {
            let there = sketch.certificates.get(id).is_some_and(|one| one.is_there);
            let mark = if there { "" } else { "# " };
            self.line(&format!("{mark}client_certificate = {}", quoted(id)));
        }
        self.number("connections", connector.connections);
        self.number("messages_per_connection", connector.messages_per_connection);
        self.number("max_recipients", connector.max_recipients);
    }

    fn tls(&mut self, tls: &TlsSketch, implicit: bool) {
        let demand = match tls {
            TlsSketch::Off => return self.text("tls", "off"),
            TlsSketch::Opportunistic => return self.text("tls", "opportunistic"),
            TlsSketch::Forced(demand) => demand,
        };
        self.text("tls", if implicit { "implicit" } else { "forced" });
        match &demand.require {
            Proof::Encryption => self.text("require", "encryption"),
            Proof::Chain => self.text("require", "chain"),
            Proof::Identity(names) => self.list("peer_names", names),
        }
        self.list("trust", &demand.trust);
        if demand.only_13 {
            self.text("min_version", "1.3");
        }
        self.list("pins", &demand.pins);
    }
}

/// A basic string of TOML.
pub(crate) fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for letter in value.chars() {
        match letter {
            '"' | '\\' => {
                text.push('\\');
                text.push(letter);
            }
            control if control.is_control() => {
                text.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            plain => text.push(plain),
        }
    }
    text.push('"');
    text
}

const COLUMNS_MAX: usize = 110;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_read_back_as_it_was() {
        for value in ["", "a\"b\\c", "tab\tnewline\n", "\u{7f}\u{85}", "ü€😀", "[x]\n[y]"] {
            let read: toml::Table = format!("a = {}", quoted(value)).parse().expect("TOML");
            assert_eq!(read.get("a").and_then(toml::Value::as_str), Some(value));
        }
    }

    #[test]
    fn a_comment_stays_a_comment() {
        let mut page = Page::default();
        page.comment(&format!("a value\n[server]\r\nname = \u{0}x {}", "word ".repeat(60)));
        assert!(page.text.lines().all(|line| line.starts_with("# ")), "{}", page.text);
        assert!(page.text.lines().all(|line| line.chars().count() <= COLUMNS_MAX), "{}", page.text);
    }
}
