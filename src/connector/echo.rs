//! Who may use the echo mailbox. It does not say what it answers.

use super::ourselves::Ourselves;
use super::pattern::DomainPattern;
use super::table::{ClientKind, Inbound, Table};
use crate::mail::Mailbox;

impl Table {
    /// The table with what we show others.
    #[must_use]
    pub fn presenting(self, ourselves: Ourselves) -> Self {
        Self { ourselves, ..self }
    }

    /// Whether mail by this connector for this address is for the echo mailbox.
    #[must_use]
    pub fn is_echo(&self, connector: &Inbound, mailbox: &Mailbox) -> bool {
        self.ourselves.echo.as_ref().is_some_and(|echo| echo.is(mailbox)) && connector.uses_echo()
    }
}

impl Inbound {
    /// Whether its clients may use the echo mailbox. Unless the configuration says so, they must be those of a partner, and
    /// somebody must have chosen them: an answer goes to whatever reverse-path a client names.
    #[must_use]
    pub fn uses_echo(&self) -> bool {
        self.echo.unwrap_or_else(|| {
            self.kind == ClientKind::Partner
                && !self.from_domains.contains(&DomainPattern::Any)
                && self.restricts_clients()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::EchoMailbox;

    #[track_caller]
    fn check(domains: &[&str], network: Option<&str>, change: impl FnOnce(&mut Inbound), expected: bool) {
        let patterns = domains.iter().map(|domain| DomainPattern::parse(domain).expect("a pattern"));
        let mut connector = Inbound::new("in", patterns.collect());
        connector.from_networks = network.iter().map(|one| one.parse().expect("a network")).collect();
        change(&mut connector);
        assert_eq!(connector.uses_echo(), expected, "{domains:?} {network:?}");
    }

    #[test]
    fn only_partners_that_somebody_chose_use_it_unless_it_is_allowed() {
        let known = Some("192.0.2.0/24");
        check(&["a.example"], known, |_| {}, true);
        check(&["a.example"], None, |_| {}, false);
        check(&["*"], known, |_| {}, false);
        check(&["a.example", "*"], known, |_| {}, false);
        check(&[], known, |connector| connector.kind = ClientKind::Own, false);
        check(&["*"], None, |connector| connector.echo = Some(true), true);
        check(&["a.example"], known, |connector| connector.echo = Some(false), false);
    }

    #[test]
    fn its_address_is_known_in_any_case_and_quoted() {
        let parse = |text: &str| Mailbox::parse(text).expect("a mailbox");
        let echo = EchoMailbox { address: parse("Echo@gw.example"), per_hour: 1, per_day: 1 };
        for (address, expected) in [
            ("echo@gw.example", true),
            ("ECHO@GW.EXAMPLE", true),
            ("\"echo\"@gw.example", true),
            ("echo2@gw.example", false),
            ("echo@example", false),
        ] {
            assert_eq!(echo.is(&parse(address)), expected, "{address}");
        }
    }
}
