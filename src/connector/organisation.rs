//! Whether a mailbox belongs to our own organisation, and what a report to it may disclose.

use super::pattern::DomainPattern;
use super::table::{Inbound, Mode, Reveal, Table};
use crate::mail::{Domain, Mailbox};

/// Whether a mailbox is in our own organisation: in the postmaster's domain or below it, or in a domain that may send to
/// anyone through us, or to which anyone may send.
#[must_use]
pub fn is_ours(table: &Table, postmaster: &Mailbox, mailbox: &Mailbox) -> bool {
    let Some(domain) = mailbox.domain_name() else { return false };
    let of_postmaster = postmaster.domain_name();
    of_postmaster.is_some_and(|own| domain == own || domain.is_below(own))
        || table.inbound.iter().any(|connector| is_of_ours(connector, domain))
}

fn is_of_ours(connector: &Inbound, domain: &Domain) -> bool {
    let names = |patterns: &[DomainPattern]| match DomainPattern::closest(patterns, Some(domain)) {
        Some(DomainPattern::Exact(_) | DomainPattern::Below(_)) => true,
        Some(DomainPattern::Any) | None => false,
    };
    let (from, to) = (&connector.from_domains, &connector.to_domains);
    connector.mode != Mode::Off
        && (to.contains(&DomainPattern::Any) && names(from)
            || from.contains(&DomainPattern::Any) && names(to))
}

/// Whether a report to a mailbox may disclose hosts, connectors and certificates: the mailbox is in our
/// organisation, or the connector the message came in by has `reveal = "full"`.
#[must_use]
pub fn may_disclose(table: &Table, postmaster: &Mailbox, to: &Mailbox, came_by: Option<&str>) -> bool {
    let connector = || table.inbound.iter().find(|connector| Some(&*connector.name) == came_by);
    is_ours(table, postmaster, to) || connector().is_some_and(|connector| connector.reveal == Reveal::Full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::samples::inbound;
    use crate::connector::{ClientKind, Generation, InboundTls};

    fn connector(name: &str, from: &[&str], to: &str, reveal: Reveal) -> Inbound {
        let to_domains = vec![DomainPattern::parse(to).expect("a pattern")];
        Inbound { to_domains, reveal, ..inbound(name, from, InboundTls::Off) }
    }

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).expect("a mailbox")
    }

    #[track_caller]
    fn check(to: &str, came_by: &str, expected: (bool, bool)) {
        let off = Inbound { mode: Mode::Off, ..connector("off", &["off.test"], "*", Reveal::Partner) };
        let inbound = vec![
            connector("exchange", &["fabrikam.test", "*.woodgrove.test", "*"], "*", Reveal::Partner),
            connector("partner", &["partner.test"], "contoso.test", Reveal::Partner),
            connector("friend", &["friend.test"], "contoso.test", Reveal::Full),
            connector("world", &["*"], "contoso.test", Reveal::Code),
            connector("world-2", &["*"], "second.test", Reveal::Code),
            Inbound {
                kind: ClientKind::Own,
                ..connector("cloud", &[], "cloud-partner.test", Reveal::Partner)
            },
            off,
        ];
        let table = Table::new(Generation(1), inbound, Vec::new());
        let (postmaster, to) = (mailbox("postmaster@contoso.test"), mailbox(to));
        let found = (
            is_ours(&table, &postmaster, &to),
            may_disclose(&table, &postmaster, &to, Some(came_by).filter(|name| !name.is_empty())),
        );
        assert_eq!(found, expected, "{to} by {came_by}");
    }

    #[test]
    fn ours_is_the_postmasters_domain_and_who_may_send_anywhere() {
        check("ann@contoso.test", "world", (true, true));
        check("ann@sub.contoso.test", "", (true, true));
        check("ann@fabrikam.test", "exchange", (true, true));
        check("ann@eu.woodgrove.test", "exchange", (true, true));
        check("ann@woodgrove.test", "exchange", (false, false));
        check("ann@stranger.test", "exchange", (false, false));
        check("ann@partner.test", "partner", (false, false));
        check("ann@second.test", "", (true, true));
        check("ann@sub.second.test", "", (false, false));
        check("ann@cloud-partner.test", "cloud", (false, false));
        check("ann@off.test", "off", (false, false));
        check("ann@[192.0.2.1]", "exchange", (false, false));
    }

    #[test]
    fn what_leaves_discloses_what_its_connector_reveals() {
        check("ann@friend.test", "friend", (false, true));
        check("ann@friend.test", "world", (false, false));
        check("ann@friend.test", "renamed", (false, false));
        check("ann@friend.test", "", (false, false));
    }
}
