//! The sender that is tested: the courier of the daemon with the settings of one connector, and one message for it. It
//! is led to a server of ours; only where it goes is changed, never what it requires.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::transcript::SenderReport;
use crate::connector::{
    DialRules, DomainPattern, Generation, LiveTable, NextHop, OnFailure, Outbound, OutboundTls, Pin,
    RecipientCheck, Requirement, SmartHost, SmartHostName, Sni, Table,
};
use crate::daemon::within;
use crate::deliver::settings::Settings;
use crate::deliver::{Courier, TlsHistory};
use crate::mail::{
    BodyType, Clock, Content, Domain, Mailbox, MessageDsn, PathFault, QueueId, RecipientDsn, ReversePath,
};
use crate::outcome::Outcome;
use crate::resolver::dns::Dns;
use crate::scheduler::{Carrier as _, Errand, Job, Jobs, Progress, QuestionEnd, RecipientQuestion, Way};
use crate::spool::{Origin, QueuedRecipient, StoredMessage};
use crate::tls::ClientSetup;

/// A connector, a recipient domain that it serves, and one of its hosts.
#[derive(Debug, Clone)]
pub(super) struct TrialDestination {
    pub(super) connector: Outbound,
    pub(super) domain: Domain,
    /// The smart host; `None`: the domain's mail exchangers.
    pub(super) smart: Option<SmartHostName>,
}

/// What sends.
pub(super) struct TestSender {
    pub(super) destination: TrialDestination,
    pub(super) tls: Arc<ClientSetup>,
    pub(super) settings: Settings,
    /// Never asked: the next hop is an address.
    pub(super) dns: Dns,
}

impl TrialDestination {
    /// What its sessions require.
    pub(super) fn requirement(&self) -> Requirement {
        self.connector.requirement(Some(&self.domain), self.smart.as_ref())
    }

    /// The same connector, whose next hop is this address. Its reference identifiers are written out, since they would come
    /// from the name of the next hop otherwise. `pin`: one more key that is accepted, if keys are required.
    pub(super) fn led_to(&self, address: SocketAddr, pin: &Pin) -> Outbound {
        let mut connector = self.connector.clone();
        if let (OutboundTls::Forced(forced), Requirement::Forced(required)) =
            (&mut connector.tls, self.requirement())
        {
            *forced = required;
            if !forced.pins.is_empty() {
                forced.pins.push(pin.clone());
            }
        }
        if let (Sni::Host, Some(SmartHostName::Name(name))) = (&connector.sni, &self.smart) {
            connector.sni = Sni::Name(name.clone());
        }
        let host = SmartHost { name: SmartHostName::Ip(address.ip()), port: address.port() };
        connector.next_hop = NextHop::SmartHosts(vec![host]);
        connector.domains = vec![DomainPattern::Exact(self.domain.clone())];
        connector.dialling = DialRules::default();
        connector.source_addresses = Vec::new();
        // Handing on to another connector is the scheduler's, which is not here.
        connector.on_failure = OnFailure::Defer;
        connector
    }
}

/// The one message, and what came of it.
struct Desk {
    job: Mutex<Option<Job>>,
    report: Mutex<SenderReport>,
    progress: Arc<Progress>,
}

impl TestSender {
    /// Sends a message to a server at this address, and tries again: what a sender remembers of an attempt must not make
    /// the next one laxer.
    ///
    /// # Errors
    /// The recipient domain makes no address.
    pub(super) async fn send(&self, address: SocketAddr, pin: &Pin) -> Result<SenderReport, PathFault> {
        let connector = Arc::new(self.destination.led_to(address, pin));
        let table = Table::new(Generation(1), Vec::new(), vec![Outbound::clone(&connector)]);
        let setups = BTreeMap::from([(connector.revision, Arc::clone(&self.tls))]);
        let courier = Courier::new(
            Settings { timeouts: within(STEP), ..self.settings.clone() },
            Arc::new(LiveTable::new(table)),
            self.dns.clone(),
            (Arc::new(ArcSwap::from_pointee(setups)), TlsHistory::default(), Arc::default()),
            Vec::new(),
            Default::default(),
        );
        let mut report = SenderReport::Nothing;
        for attempts in 0..ATTEMPTS {
            let desk = Arc::new(Desk {
                job: Mutex::new(Some(job(
                    &self.destination.domain,
                    connector.from_connectors.first(),
                    attempts,
                )?)),
                report: Mutex::new(SenderReport::Nothing),
                progress: Arc::default(),
            });
            let way = Way { connector: Arc::clone(&connector), domain: None, literal: None };
            let jobs: Arc<dyn Jobs> = desk.clone();
            Arc::clone(&courier).carry(way, jobs).await;
            let last = desk.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if report != SenderReport::Delivered {
                report = last;
            }
        }
        courier.close().await;
        Ok(report)
    }
}

/// An address of ours that nothing listens at, for a resolver that is never asked.
pub(super) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

fn job(domain: &Domain, arrives_by: Option<&Arc<str>>, attempts: u32) -> Result<Job, PathFault> {
    let content: Arc<[u8]> = Arc::from(&b"Subject: test of sealpost assure\r\n\r\nIt never left.\r\n"[..]);
    let recipient = QueuedRecipient {
        number: 0,
        forward_path: Mailbox::parse(&format!("{LOCAL_PART}@{domain}"))?,
        dsn: RecipientDsn::default(),
        attempts,
        delay_told: false,
        rerouted: None,
    };
    Ok(Job {
        message: Arc::new(StoredMessage {
            id: QueueId::first_of(1),
            reverse_path: ReversePath::NULL,
            body: BodyType::SevenBit,
            utf8: false,
            dsn: MessageDsn::default(),
            size: u64::try_from(content.len()).unwrap_or_default(),
            accepted_at: Clock::wall(),
            origin: Origin { connector: arrives_by.cloned(), ..Origin::default() },
        }),
        recipients: Arc::from([recipient]),
        content: Content::Held(content),
        ticket: 1,
    })
}

impl Jobs for Desk {
    fn next(&self) -> pin::Pin<Box<dyn Future<Output = Option<Errand>> + Send + '_>> {
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(std::future::ready(job.map(Errand::Deliver)))
    }

    fn report(&self, _job: &Job, outcomes: Vec<Outcome>) {
        let report = match outcomes.into_iter().next() {
            None => SenderReport::Nothing,
            Some(Outcome::Delivered(_)) => SenderReport::Delivered,
            Some(Outcome::Deferred(trouble) | Outcome::Failed(trouble)) => SenderReport::Kept {
                token: trouble.decision.map(|decision| decision.token().into_owned()),
                reason: trouble.reason,
            },
        };
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }

    fn answer(&self, _question: &RecipientQuestion, _known: RecipientCheck, _end: QuestionEnd) {}

    fn reach(&self, _address: SocketAddr) -> pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn reuse(&self, _address: SocketAddr) {}

    fn opened(&self) -> pin::Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(std::future::ready(false))
    }

    fn reopening(&self) -> bool {
        true
    }

    fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }
}

/// The local part of every address of ours.
pub(super) const LOCAL_PART: &str = "sealpost-assure";
const ATTEMPTS: u32 = 2;
/// For each step of a session with a server in the same process.
const STEP: Duration = Duration::from_secs(8);
