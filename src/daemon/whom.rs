//! For whom the hosts of a connector are tried: only for recipients that the table gives to this connector.

use super::prove::Whom;
use crate::config::Config;
use crate::connector::{DomainPattern, Generation, Mode, NextHop, Outbound, Table, displaced};
use crate::explain::{ExplainFault, addressee, some_of};
use crate::mail::{Domain, MailboxDomain, ReversePath};

/// Who the hosts are tried for: the recipient that was named, else a domain of the connector.
///
/// # Errors
/// The connector serves no such recipient, or only patterns; in a sentence.
pub fn whom(config: &Config, connector: &Outbound, to: Option<&str>) -> Result<Whom, ExplainFault> {
    let table = config.table(Generation::default());
    match to {
        Some(to) => named(config, &table, connector, to),
        None => own(&table, connector),
    }
}

fn named(config: &Config, table: &Table, connector: &Outbound, to: &str) -> Result<Whom, ExplainFault> {
    let mailbox = addressee(to, &config.listen.postmaster)?.mailbox;
    let domain = mailbox.domain_name();
    if DomainPattern::closest(&connector.domains, domain).is_none() {
        let domains: Vec<String> = connector.domains.iter().map(ToString::to_string).collect();
        let (name, domains) = (&connector.name, some_of(&domains));
        let words =
            format!("connector {name} does not serve {}; its domains are {domains}", mailbox.domain());
        return Err(ExplainFault(words));
    }
    if let Some((other, pattern)) = other(table, connector, domain) {
        let (name, domain) = (&connector.name, mailbox.domain());
        let words = format!(
            "mail to {domain} goes by connector {other} (by {pattern}), so that none of its recipients is asked for \
             under connector {name}; validate {other}, or name no recipient"
        );
        return Err(ExplainFault(words));
    }
    let postmaster = config.listen.postmaster.clone();
    Ok(Whom {
        domain: domain.cloned(),
        literal: match mailbox.domain() {
            MailboxDomain::Literal(ip) => Some(*ip),
            MailboxDomain::Name(_) => None,
        },
        envelope: Some((ReversePath::new(postmaster), mailbox)),
    })
}

fn own(table: &Table, connector: &Outbound) -> Result<Whom, ExplainFault> {
    let exact = connector.domains.iter().filter_map(|pattern| match pattern {
        DomainPattern::Exact(domain) => Some(domain),
        DomainPattern::Below(_) | DomainPattern::Any => None,
    });
    let mut elsewhere = None;
    for domain in exact {
        // One that is off serves nobody, and no recipient is asked for: what its hosts show can be seen all the same.
        match other(table, connector, Some(domain)).filter(|_| connector.mode != Mode::Off) {
            None => return Ok(Whom { domain: Some(domain.clone()), ..Whom::default() }),
            Some((other, _)) => elsewhere = Some((domain, other)),
        }
    }
    let has_pattern = connector.domains.iter().any(|pattern| !matches!(pattern, DomainPattern::Exact(_)));
    match (&connector.next_hop, elsewhere) {
        (_, Some((domain, other))) if !has_pattern => {
            let name = &connector.name;
            let words = format!(
                "connector {name} serves none of its domains: mail to {domain} goes by connector {other}"
            );
            Err(ExplainFault(words))
        }
        (NextHop::Mx { .. }, _) => {
            let name = &connector.name;
            let words =
                format!("connector {name} covers patterns only: name a recipient whose exchangers are tried");
            Err(ExplainFault(words))
        }
        (NextHop::SmartHosts(_), _) => Ok(Whom::default()),
    }
}

/// The other connector that mail to this domain goes by, and its pattern, as the daemon would choose it.
fn other(table: &Table, connector: &Outbound, domain: Option<&Domain>) -> Option<(String, DomainPattern)> {
    let choice = displaced(table, connector, domain)?;
    Some((choice.connector.name.to_string(), choice.pattern))
}
