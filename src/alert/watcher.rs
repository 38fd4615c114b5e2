//! Sees each event where it happens, and passes on what concerns alerts. While nothing is wrong, a delivery costs it the look at
//! one flag.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::fact::{AlertFact, AlertMailEnd, fact_of, is_alert, refusal};
use crate::connector::{Attainment, Decision, RequiredTls, Ruling};
use crate::mail::{Mailbox, Network, NetworkBits};
use crate::outcome::DeliveryRecord;
use crate::tracking::{Event, MessageFacts, Observer};

/// What is remembered of the networks of partners: marks by inbound connector.
pub type PeerMarks = HashMap<String, Vec<u64>>;

/// The observer. Facts about messages have a limit; alarms, of which there are few, have none.
pub struct AlertWatcher {
    send: UnboundedSender<AlertFact>,
    waiting: Arc<AtomicUsize>,
    dropped: AtomicU64,
    /// Whether there is anything in `failing`.
    any: AtomicBool,
    /// The connectors for which success is news.
    failing: ArcSwap<FailingConnectors>,
    /// How many failures were passed on; whoever changes `failing` holds it.
    passed: Mutex<u64>,
    /// How many of them have been taken in.
    taken: Arc<AtomicU64>,
    peers: ArcSwap<HashMap<Arc<str>, Arc<PeerRing>>>,
}

/// Where the facts arrive.
pub struct AlertInbox {
    receive: UnboundedReceiver<AlertFact>,
    waiting: Arc<AtomicUsize>,
    taken: Arc<AtomicU64>,
}

/// The connectors for which success is news.
#[derive(Debug, Clone, Default)]
struct FailingConnectors {
    /// Those of which an episode goes on.
    known: BTreeSet<String>,
    /// Those of which a failure is on its way, with the number of the last one.
    suspects: HashMap<Arc<str>, Arc<AtomicU64>>,
}

/// The networks from which a connector accepted mail lately.
#[derive(Debug, Default)]
struct PeerRing {
    marks: [AtomicU64; RING],
    next: AtomicUsize,
}

impl AlertWatcher {
    /// An observer, and where its facts arrive. `peers` is known from before.
    #[must_use]
    pub fn new(peers: &PeerMarks) -> (Arc<Self>, AlertInbox) {
        let (send, receive) = unbounded_channel();
        let waiting = Arc::<AtomicUsize>::default();
        let known = peers.iter().map(|(name, marks)| {
            let ring = PeerRing::default();
            marks.iter().for_each(|mark| ring.add(*mark));
            (Arc::from(name.as_str()), Arc::new(ring))
        });
        let watcher = Self {
            send,
            waiting: Arc::clone(&waiting),
            dropped: AtomicU64::new(0),
            any: AtomicBool::new(false),
            failing: ArcSwap::default(),
            passed: Mutex::default(),
            taken: Arc::default(),
            peers: ArcSwap::from_pointee(known.collect()),
        };
        let taken = Arc::clone(&watcher.taken);
        (Arc::new(watcher), AlertInbox { receive, waiting, taken })
    }

    /// Sets the connectors of which success is to be told. Those of which a failure is still on its way stay.
    pub fn set_failing(&self, known: BTreeSet<String>) {
        let _changing = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.failing.load();
        let taken = self.taken.load(Ordering::Acquire);
        let is_on_its_way = |number: &Arc<AtomicU64>| number.load(Ordering::Relaxed) > taken;
        if before.known == known && before.suspects.values().all(is_on_its_way) {
            return;
        }
        let mut suspects = before.suspects.clone();
        suspects.retain(|_, number| is_on_its_way(number));
        let any = !known.is_empty() || !suspects.is_empty();
        self.failing.store(Arc::new(FailingConnectors { known, suspects }));
        self.any.store(any, Ordering::Release);
    }

    /// Passes on a failure. From now on success of the connector is news, even before anybody has looked at the failure.
    fn pass_failure(&self, fact: AlertFact) {
        let Some(connector) = fact.suspect() else { return self.pass(fact) };
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        *passed = passed.saturating_add(1);
        let failing = self.failing.load();
        if let Some(number) = failing.suspects.get(connector) {
            number.store(*passed, Ordering::Relaxed);
        } else {
            let mut failing = FailingConnectors::clone(&failing);
            failing.suspects.insert(Arc::clone(connector), Arc::new(AtomicU64::new(*passed)));
            self.failing.store(Arc::new(failing));
            self.any.store(true, Ordering::Release);
        }
        // In the order of the numbers.
        self.pass(fact);
    }

    /// Takes the number of facts that there was no room for.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Whether a connector accepted mail from this network lately.
    #[must_use]
    pub fn knows(&self, connector: &str, peer: IpAddr) -> bool {
        self.peers.load().get(connector).is_some_and(|ring| ring.has(mark_of(peer)))
    }

    /// The networks that are remembered.
    #[must_use]
    pub fn peers(&self) -> PeerMarks {
        let of = |(name, ring): (&Arc<str>, &Arc<PeerRing>)| (name.to_string(), ring.list());
        self.peers.load().iter().map(of).collect()
    }

    /// Passes on what is rare, whatever waits.
    fn pass(&self, fact: AlertFact) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Without a reader, the daemon stops.
        let _stopping = self.send.send(fact);
    }

    /// Passes on what peers can cause, while not much waits.
    fn pass_within(&self, fact: AlertFact, limit: usize) {
        if self.waiting.load(Ordering::Relaxed) < limit {
            self.pass_failure(fact);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_failing(&self, connector: &str) -> bool {
        self.any.load(Ordering::Acquire) && {
            let failing = self.failing.load();
            failing.known.contains(connector) || failing.suspects.contains_key(connector)
        }
    }

    fn accepted(&self, decision: &Decision, peer: IpAddr) {
        let (Some(connector), RequiredTls::Client { tls: Some(_), .. }, Ruling::Attributed(_)) =
            (&decision.connector, &decision.required, &decision.ruling)
        else {
            return;
        };
        let mark = mark_of(peer);
        let known = self.peers.load();
        match known.get(connector) {
            Some(ring) if ring.has(mark) => {}
            Some(ring) => ring.add(mark),
            None if known.len() < CONNECTORS_MAX => {
                let fresh = Arc::<PeerRing>::default();
                fresh.add(mark);
                self.peers.rcu(|known| {
                    let mut known = HashMap::clone(known);
                    known.entry(Arc::clone(connector)).or_insert_with(|| Arc::clone(&fresh));
                    known
                });
            }
            None => {}
        }
        if self.is_failing(connector) {
            self.pass_within(AlertFact::Accepted { connector: Arc::clone(connector) }, FACTS_MAX);
        }
    }
}

impl AlertWatcher {
    fn delivered(&self, message: &MessageFacts<'_>, forward_path: &Mailbox, delivered: &DeliveryRecord) {
        let decision = &delivered.decision;
        if let Some(connector) = decision.connector.as_ref().filter(|name| self.is_failing(name)) {
            let (connector, domain) = (Arc::clone(connector), forward_path.domain_name().cloned());
            let sealed = matches!(decision.attained, Attainment::Tls(_));
            self.pass_within(AlertFact::Delivered { connector, domain, sealed }, FACTS_MAX);
        }
        if is_alert(message) {
            let said = format!("{} said {}", delivered.host, delivered.reply);
            self.pass(AlertFact::OwnMail {
                id: message.id,
                end: AlertMailEnd::Delivered(said),
                failure: None,
            });
        }
    }

    fn refused(&self, decision: &Decision, peer: IpAddr) {
        let Some(connector) = &decision.connector else { return };
        if self.knows(connector, peer) {
            let fact = refusal(decision).map(|failure| AlertFact::Refused { failure, peer });
            return fact.into_iter().for_each(|fact| self.pass_within(fact, FACTS_MAX));
        }
        // Anybody can claim to be a partner, as often as they like.
        if self.waiting.load(Ordering::Relaxed) < CLAIMS_MAX
            && let Some(failure) = refusal(decision)
        {
            self.pass_failure(AlertFact::Refused { failure, peer });
        }
    }
}

impl Observer for AlertWatcher {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Delivered { message, forward_path, delivered, .. } = event {
            return self.delivered(message, forward_path, delivered);
        }
        if let Event::Accepted { peer, decision, .. } = event {
            return self.accepted(decision, *peer);
        }
        if let Event::Refused { peer, decision: Some(decision), .. } = event {
            return self.refused(decision, peer.ip());
        }
        match fact_of(event) {
            None => {}
            Some(fact @ (AlertFact::Failed(_) | AlertFact::Happened(..) | AlertFact::Worsened { .. })) => {
                self.pass_within(fact, FACTS_MAX)
            }
            Some(
                fact @ (AlertFact::Delivered { .. }
                | AlertFact::Accepted { .. }
                | AlertFact::Refused { .. }
                | AlertFact::Alarm { .. }
                | AlertFact::Reloaded { .. }
                | AlertFact::OwnMail { .. }),
            ) => self.pass_failure(fact),
        }
    }
}

impl AlertInbox {
    /// The next fact; `None`: nobody observes any more.
    pub async fn next(&mut self) -> Option<AlertFact> {
        let fact = self.receive.recv().await;
        fact.inspect(|fact| self.took(fact))
    }

    /// A fact that is there already.
    pub fn try_next(&mut self) -> Option<AlertFact> {
        self.receive.try_recv().ok().inspect(|fact| self.took(fact))
    }

    fn took(&self, fact: &AlertFact) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        if fact.suspect().is_some() {
            self.taken.fetch_add(1, Ordering::Release);
        }
    }
}

impl PeerRing {
    fn has(&self, mark: u64) -> bool {
        self.marks.iter().any(|one| one.load(Ordering::Relaxed) == mark)
    }

    fn add(&self, mark: u64) {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % RING;
        if let Some(one) = self.marks.get(place) {
            one.store(mark, Ordering::Relaxed);
        }
    }

    fn list(&self) -> Vec<u64> {
        self.marks.iter().map(|one| one.load(Ordering::Relaxed)).filter(|mark| *mark != 0).collect()
    }
}

/// The mark of an address: that of its /24 or /64, in which a partner's hosts usually are; never 0.
fn mark_of(peer: IpAddr) -> u64 {
    Network::of(peer, NetworkBits { ipv4: 24, ipv6: 64 }).mark()
}

/// Facts about messages that may wait.
const FACTS_MAX: usize = 4_096;
/// The same, of clients of which nothing is known.
const CLAIMS_MAX: usize = 64;
/// Networks remembered for a connector.
const RING: usize = 16;
/// Connectors of which networks are remembered.
const CONNECTORS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{AlertKind, FailureFact};

    fn failed(connector: &str) -> AlertFact {
        AlertFact::Failed(FailureFact {
            kind: AlertKind::PartnerTls,
            connector: connector.into(),
            message: None,
            domain: None,
            partner: None,
            contact: None,
            words: "no".to_owned(),
            hint: None,
        })
    }

    #[test]
    fn a_recovery_in_the_instant_after_the_failure_is_news() {
        let (watcher, mut inbox) = AlertWatcher::new(&PeerMarks::new());
        let known = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert!(!watcher.is_failing("bank"));
        watcher.pass_within(failed("bank"), FACTS_MAX);
        assert!(watcher.is_failing("bank") && !watcher.is_failing("shop"));
        // What the desk knew before it took the failure in changes nothing.
        watcher.set_failing(known(&["shop"]));
        assert!(watcher.is_failing("bank") && watcher.is_failing("shop"));
        assert!(inbox.try_next().is_some());
        watcher.set_failing(known(&["bank"]));
        assert!(watcher.is_failing("bank") && !watcher.is_failing("shop"));
        // It failed again, and another failure was taken in: the first is over, the second is on its way.
        watcher.pass_within(failed("bank"), FACTS_MAX);
        watcher.pass_within(failed("shop"), FACTS_MAX);
        assert!(inbox.try_next().is_some());
        watcher.set_failing(known(&[]));
        assert!(!watcher.is_failing("bank") && watcher.is_failing("shop"));
        assert!(inbox.try_next().is_some());
        watcher.set_failing(known(&[]));
        assert!(!watcher.is_failing("shop") && !watcher.any.load(Ordering::Acquire));
    }
}
