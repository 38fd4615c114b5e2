//! By which outbound connector an alert goes. It must not be the one that the alert is about.

use std::sync::Arc;

use crate::connector::{Arrival, Outbound, Rerouting, Table, alert_target, choose};
use crate::mail::Mailbox;

/// The way of an alert to one address.
#[derive(Debug, Clone)]
pub struct AlertRoute {
    /// The connector it goes by.
    pub connector: Arc<Outbound>,
    /// How it is handed there, if other mail for the address goes by another one.
    pub rerouted: Option<Rerouting>,
}

/// The connectors by which alerts to an address may go, the preferred one first: `via`, and the one for any mail to it.
#[must_use]
pub fn carriers(table: &Table, to: &Mailbox, via: Option<&str>) -> Vec<Arc<Outbound>> {
    let Some(usual) = choose(table, to.domain_name(), Arrival::Ours).map(|choice| choice.connector) else {
        return Vec::new();
    };
    let via = via.and_then(|name| alert_target(table, &usual, name));
    via.into_iter().chain([usual]).collect()
}

/// The way of an alert that is about these connectors; `None` if there is no other than by one of them.
#[must_use]
pub fn alert_route(table: &Table, to: &Mailbox, via: Option<&str>, about: &[&str]) -> Option<AlertRoute> {
    let carriers = carriers(table, to, via);
    let usual = carriers.last()?;
    let connector = carriers.iter().find(|one| !about.contains(&&*one.name))?;
    let rerouted = (connector.name != usual.name).then(|| Rerouting {
        from: Arc::clone(&usual.name),
        to: Arc::clone(&connector.name),
        status: "2.0.0".to_owned(),
        reason: "alerts go by another connector (via in [alerts])".to_owned(),
        alert: true,
    });
    Some(AlertRoute { connector: Arc::clone(connector), rerouted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{DomainPattern, Forced, Generation, Mode, NextHop, OutboundTls};
    use crate::mail::Domain;

    fn connector(name: &str, domain: Option<&str>, tls: OutboundTls) -> Outbound {
        let domains = domain.map(|name| match name {
            "*" => DomainPattern::Any,
            name => DomainPattern::Exact(Domain::parse(name).expect("a domain")),
        });
        Outbound { tls, ..Outbound::new(name, domains.into_iter().collect(), NextHop::Mx { port: 25 }) }
    }

    fn table(off: bool) -> Table {
        let forced = || OutboundTls::Forced(Forced::encryption());
        let mut all = vec![
            connector("own", Some("a.test"), forced()),
            connector("rest", Some("*"), OutboundTls::Opportunistic(None)),
            connector("strict", None, forced()),
        ];
        if off {
            all.iter_mut()
                .for_each(|one| one.mode = if &*one.name == "strict" { Mode::Off } else { one.mode });
        }
        Table::new(Generation(1), Vec::new(), all)
    }

    #[track_caller]
    fn check((to, via): (&str, Option<&str>), about: &[&str], expected: &str) {
        let to = Mailbox::parse(to).expect("a mailbox");
        let found = alert_route(&table(false), &to, via, about);
        let shown = found.map_or_else(
            || "none".to_owned(),
            |one| {
                let from =
                    one.rerouted.map_or_else(String::new, |known| format!(" instead of {}", known.from));
                format!("{}{from}", one.connector.name)
            },
        );
        assert_eq!(shown, expected, "{to} {via:?} {about:?}");
    }

    #[test]
    fn an_alert_never_goes_by_the_connector_it_is_about_nor_less_safely() {
        check(("ops@a.test", None), &[], "own");
        check(("ops@a.test", None), &["own"], "none");
        check(("ops@a.test", Some("strict")), &[], "strict instead of own");
        check(("ops@a.test", Some("strict")), &["own"], "strict instead of own");
        check(("ops@a.test", Some("strict")), &["strict"], "own");
        check(("ops@a.test", Some("strict")), &["strict", "own"], "none");
        // The domain is bound by forced TLS.
        check(("ops@a.test", Some("rest")), &["own"], "none");
        check(("ops@b.test", Some("strict")), &["rest"], "strict instead of rest");
        check(("ops@b.test", Some("rest")), &[], "rest");
        check(("ops@b.test", Some("gone")), &[], "rest");
        let to = Mailbox::parse("ops@a.test").expect("a mailbox");
        assert!(alert_route(&table(true), &to, Some("strict"), &["own"]).is_none(), "it is off");
    }
}
