//! Whether a mailbox belongs to our own organisation, and what a report to it may disclose.

use super::pattern::DomainPattern;
use super::table::{Inbound, Mode, Reveal, Table};
use crate::mail::{Domain, Mailbox};

/// How a mailbox belongs to our own organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belonging {
    /// Its mailboxes are ours: the postmaster's domain or one below it, or a domain to which anyone may send.
    Mailboxes,
    /// It may send to anyone through us.
    Sends,
}

/// How a mailbox belongs to our organisation; `None` if it doesn't, as no mailbox of a partner does, whatever its
/// connectors allow.
fn belonging(table: &Table, postmaster: &Mailbox, mailbox: &Mailbox) -> Option<Belonging> {
    let domain = mailbox.domain_name()?;
    let inbound = table.inbound.iter().filter_map(|connector| connector.partner.as_ref());
    let outbound = table.outbound.iter().filter_map(|connector| connector.partner.as_ref());
    if inbound.chain(outbound).any(|partner| DomainPattern::any_names(&partner.domains, Some(domain))) {
        return None;
    }
    let of_postmaster = postmaster.domain_name().is_some_and(|own| domain == own || domain.is_below(own));
    let any = |is_such: fn(&Inbound, &Domain) -> bool| {
        table.inbound.iter().any(|connector| connector.mode != Mode::Off && is_such(connector, domain))
    };
    if of_postmaster || any(has_mailboxes) {
        return Some(Belonging::Mailboxes);
    }
    any(sends).then_some(Belonging::Sends)
}

/// Whether a mailbox is in our own organisation.
#[must_use]
pub fn is_ours(table: &Table, postmaster: &Mailbox, mailbox: &Mailbox) -> bool {
    belonging(table, postmaster, mailbox).is_some()
}

/// Whether a contact of a partner may be named to a mailbox: to our own people, and to nobody who only sends through us.
#[must_use]
pub fn may_name_contacts(table: &Table, postmaster: &Mailbox, to: &Mailbox) -> bool {
    belonging(table, postmaster, to) == Some(Belonging::Mailboxes)
}

/// Whether a report to a mailbox may disclose hosts, connectors and certificates: the mailbox is in our
/// organisation, or the connector the message came in by has `reveal = "full"`.
#[must_use]
pub fn may_disclose(table: &Table, postmaster: &Mailbox, to: &Mailbox, came_by: Option<&str>) -> bool {
    let connector = || table.inbound.iter().find(|connector| Some(&*connector.name) == came_by);
    is_ours(table, postmaster, to) || connector().is_some_and(|connector| connector.reveal == Reveal::Full)
}

fn has_mailboxes(connector: &Inbound, domain: &Domain) -> bool {
    connector.from_domains.contains(&DomainPattern::Any)
        && DomainPattern::any_names(&connector.to_domains, Some(domain))
}

fn sends(connector: &Inbound, domain: &Domain) -> bool {
    connector.to_domains.contains(&DomainPattern::Any)
        && DomainPattern::any_names(&connector.from_domains, Some(domain))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::connector::samples::inbound;
    use crate::connector::{ClientKind, Generation, InboundTls, Partner};

    fn connector(name: &str, from: &[&str], to: &str, reveal: Reveal) -> Inbound {
        let to_domains = vec![DomainPattern::parse(to).expect("a pattern")];
        Inbound { to_domains, reveal, ..inbound(name, from, InboundTls::Off) }
    }

    fn of_partner(name: &str, domains: &[&str], to: &str) -> Inbound {
        let one = connector(name, domains, to, Reveal::Code);
        let partner = Partner::new(name, one.from_domains.clone());
        Inbound { partner: Some(Arc::new(partner)), ..one }
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
            of_partner("tailspin", &["tailspin.test"], "*"),
            of_partner("litware", &["*.second.test", "litware.contoso.test"], "contoso.test"),
            connector("world-3", &["*"], "tailspin.test", Reveal::Code),
        ];
        let table = Table::new(Generation(1), inbound, Vec::new());
        let (postmaster, to) = (mailbox("postmaster@contoso.test"), mailbox(to));
        let found = (
            may_name_contacts(&table, &postmaster, &to),
            may_disclose(&table, &postmaster, &to, Some(came_by).filter(|name| !name.is_empty())),
        );
        assert_eq!(found, expected, "{to} by {came_by}");
    }

    #[test]
    fn ours_is_the_postmasters_domain_and_who_may_send_anywhere() {
        check("ann@contoso.test", "world", (true, true));
        check("ann@sub.contoso.test", "", (true, true));
        // They send through us: details of their mail, but nobody's contact.
        check("ann@fabrikam.test", "exchange", (false, true));
        check("ann@eu.woodgrove.test", "exchange", (false, true));
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
    fn a_partner_is_never_our_organisation() {
        check("ann@tailspin.test", "tailspin", (false, false));
        check("ann@tailspin.test", "world-3", (false, false));
        check("ann@a.second.test", "litware", (false, false));
        check("ann@litware.contoso.test", "litware", (false, false));
        check("ann@other.contoso.test", "litware", (true, true));
    }

    #[test]
    fn what_leaves_discloses_what_its_connector_reveals() {
        check("ann@friend.test", "friend", (false, true));
        check("ann@friend.test", "world", (false, false));
        check("ann@friend.test", "renamed", (false, false));
        check("ann@friend.test", "", (false, false));
    }
}
