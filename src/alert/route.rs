//! By which outbound connector an alert goes. It must not be the one that the alert is about.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::passage::{AlertPassage, PassageState};
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

/// All ways of alerts to an address, the preferred one first.
#[must_use]
pub fn alert_routes(table: &Table, to: &Mailbox, via: Option<&str>) -> Vec<AlertRoute> {
    let carriers = carriers(table, to, via);
    let mut routes: Vec<AlertRoute> = Vec::new();
    for connector in &carriers {
        let is_known = routes.iter().any(|known| known.connector.name == connector.name);
        routes.extend(carriers.last().filter(|_| !is_known).map(|usual| by(connector, usual)));
    }
    routes
}

/// Why connectors are no way for an alert.
#[derive(Debug, Clone, Copy)]
pub struct WayTrouble<'a> {
    /// Those that it is about.
    pub about: &'a BTreeSet<&'a str>,
    /// Those by which no mail leaves at present.
    pub stopped: &'a BTreeSet<String>,
}

/// The way of an alert. If all ways fail, it takes one that it is not about, and waits there; `None` if there is no such way.
#[must_use]
pub fn alert_route(
    table: &Table,
    to: &Mailbox,
    via: Option<&str>,
    trouble: WayTrouble<'_>,
) -> Option<AlertRoute> {
    let carriers = carriers(table, to, via);
    let works = carriers.iter().find(|one| trouble.spares(one) && !trouble.stopped.contains(&*one.name));
    let connector = works.or_else(|| carriers.iter().find(|one| trouble.spares(one)))?;
    Some(by(connector, carriers.last()?))
}

/// Another way for an alert that does not arrive; `None`: it stays where it is.
#[must_use]
pub fn other_route(
    table: &Table,
    (to, passage): (&Mailbox, &AlertPassage),
    via: Option<&str>,
    trouble: WayTrouble<'_>,
) -> Option<AlertRoute> {
    let carriers = carriers(table, to, via);
    // It goes back only if that works now, and this does not: else it would go back and forth.
    let may_go_back = trouble.stopped.contains(&passage.connector);
    let is_new = |one: &&Arc<Outbound>| !passage.tried.contains(&*one.name);
    let others = || carriers.iter().filter(|one| *one.name != *passage.connector && trouble.spares(one));
    let works =
        others().filter(|one| !trouble.stopped.contains(&*one.name)).find(|one| may_go_back || is_new(one));
    // What failed before may work again, and nobody has tried since. So each mail tries each way once.
    let has_failed = passage.state != PassageState::Waiting;
    let connector = works.or_else(|| others().find(is_new).filter(|_| has_failed))?;
    Some(by(connector, carriers.last()?))
}

/// A way by a connector, where other mail for the address goes by `usual`.
fn by(connector: &Arc<Outbound>, usual: &Arc<Outbound>) -> AlertRoute {
    let rerouted = (connector.name != usual.name).then(|| Rerouting {
        from: Arc::clone(&usual.name),
        to: Arc::clone(&connector.name),
        status: "2.0.0".to_owned(),
        reason: "alerts go by another connector (via in [alerts])".to_owned(),
        alert: true,
    });
    AlertRoute { connector: Arc::clone(connector), rerouted }
}

impl WayTrouble<'_> {
    /// Whether the alert is not about a connector.
    fn spares(&self, connector: &Outbound) -> bool {
        !self.about.contains(&*connector.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{DomainPattern, Forced, Generation, Mode, NextHop, OutboundTls};
    use crate::mail::{Domain, QueueId, UnixMillis};

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

    fn shown(found: Option<AlertRoute>) -> String {
        found.map_or_else(
            || "none".to_owned(),
            |one| {
                let from =
                    one.rerouted.map_or_else(String::new, |known| format!(" instead of {}", known.from));
                format!("{}{from}", one.connector.name)
            },
        )
    }

    fn names<'a, T: From<&'a str> + Ord>(names: &[&'a str]) -> BTreeSet<T> {
        names.iter().map(|name| T::from(*name)).collect()
    }

    #[track_caller]
    fn check_among(way: (&str, Option<&str>), (about, stopped): (&[&str], &[&str]), expected: &str) {
        let (to, via) = (Mailbox::parse(way.0).expect("a mailbox"), way.1);
        let trouble = WayTrouble { about: &names(about), stopped: &names(stopped) };
        let found = alert_route(&table(false), &to, via, trouble);
        assert_eq!(shown(found), expected, "{way:?} {about:?} {stopped:?}");
    }

    #[track_caller]
    fn check(way: (&str, Option<&str>), about: &[&str], expected: &str) {
        check_among(way, (about, about), expected);
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
        let own = names(&["own"]);
        let trouble = WayTrouble { about: &own, stopped: &BTreeSet::new() };
        assert!(alert_route(&table(true), &to, Some("strict"), trouble).is_none(), "it is off");
    }

    #[test]
    fn an_alert_goes_by_no_connector_that_fails_if_another_one_works() {
        // It is about neither.
        check_among(("ops@a.test", Some("strict")), (&[], &["strict"]), "own");
        check_among(("ops@a.test", Some("strict")), (&[], &["own"]), "strict instead of own");
        // All fail: it waits where it is not about.
        check_among(("ops@a.test", Some("strict")), (&[], &["own", "strict"]), "strict instead of own");
        check_among(("ops@a.test", Some("strict")), (&["strict"], &["own", "strict"]), "own");
        check_among(("ops@a.test", None), (&[], &["own"]), "own");
    }

    #[track_caller]
    fn check_other((current, tried): (&str, &[&str]), (about, stopped): (&[&str], &[&str]), expected: &str) {
        check_in(PassageState::Waiting, (current, tried), (about, stopped), expected);
    }

    #[track_caller]
    fn check_in(
        state: PassageState,
        (current, tried): (&str, &[&str]),
        (about, stopped): (&[&str], &[&str]),
        expected: &str,
    ) {
        let to = Mailbox::parse("ops@a.test").expect("a mailbox");
        let mut passage =
            AlertPassage::begin("ops@a.test", (QueueId::from_number(1), current), UnixMillis(0));
        (passage.tried, passage.state) = (names(tried), state);
        let trouble = WayTrouble { about: &names(about), stopped: &names(stopped) };
        let found = other_route(&table(false), (&to, &passage), Some("strict"), trouble);
        assert_eq!(shown(found), expected, "{current} {tried:?} {about:?} {stopped:?}");
    }

    #[test]
    fn an_alert_that_does_not_arrive_goes_by_another_way_and_not_to_and_fro() {
        check_other(("strict", &[]), (&[], &["strict"]), "own");
        check_other(("strict", &["strict"]), (&[], &[]), "own");
        check_other(("own", &["own"]), (&[], &[]), "strict instead of own");
        check_other(("own", &["own", "strict"]), (&[], &[]), "none");
        // This one fails, and that one works again.
        check_other(("own", &["own", "strict"]), (&[], &["own"]), "strict instead of own");
        check_other(("own", &["own", "strict"]), (&[], &["own", "strict"]), "none");
        check_other(("strict", &["strict"]), (&["own"], &["strict"]), "none");
        // All fail, and this one has been tried: the other one may work again.
        let both = (&[][..], &["own", "strict"][..]);
        check_in(PassageState::Deferred, ("own", &["own"]), both, "strict instead of own");
        check_in(PassageState::Deferred, ("own", &["own", "strict"]), both, "none");
        check_in(PassageState::Waiting, ("own", &[]), both, "none");
    }
}
