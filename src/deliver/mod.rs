//! Connections on which mail goes out. It never touches the spool: the scheduler hands it jobs and takes outcomes. It
//! decides nothing of its own: `connector` judges a session, `smtp` says what may be written, `outcome` what a reply
//! comes to.
//!
//! The way of a job, file by file:
//!
//! 1. `carry`: takes jobs of one lane, and sends them over a session, one after the other
//! 2. `search`: finds a session for the next job: one that waits (`pool`), or a fresh one, host by host
//! 3. `route`: which hosts there are, as addresses in their order
//! 4. `open`: one host: `dial`, greeting, TLS, judgement and permit, EHLO inside TLS, `login`
//! 5. `carry`: the transactions under that permit; what is declared of a message, `declare` says
//! 6. `classify`: what the replies, or their absence, mean for each recipient
//!
//! `connection` carries the octets of every session, `memory` is what is remembered of hosts, and `probe` and `verify`
//! ask hosts without delivering.

mod carry;
mod classify;
mod connection;
mod declare;
mod dial;
mod login;
mod memory;
mod open;
mod pool;
mod probe;
mod route;
mod search;
pub mod settings;
mod verify;

pub use self::memory::TlsSeen;
pub use self::probe::{HostReport, RecipientReply, Trial};
pub use self::verify::Verifier;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;

use self::carry::LaneCarrier;
use self::memory::HostMemory;
use self::pool::Pool;
use self::settings::Settings;
use crate::connector::{HandshakeFault, LiveTable, Revision};
use crate::outcome::Outcome;
use crate::resolver::dns::Dns;
use crate::scheduler::{Carrier, Jobs, Way};
use crate::tls::{ClientSetup, Partners};
use crate::tracking::Journal;

/// The TLS settings of each outbound connector, by its revision.
pub type ClientSetups = ArcSwap<BTreeMap<Revision, Arc<ClientSetup>>>;

/// Carries mail to next hops.
pub struct Courier {
    settings: Settings,
    live: Arc<LiveTable>,
    dns: Dns,
    tls: Arc<ClientSetups>,
    seen: TlsSeen,
    partners: Arc<Partners>,
    broken: HostMemory<HandshakeFault>,
    /// Hosts whose handshake broke once.
    broken_once: HostMemory<()>,
    /// Hosts that gave no connection or no greeting.
    unreached: HostMemory<Outcome>,
    ourselves: Vec<SocketAddr>,
    journal: Arc<Journal>,
    pool: Arc<Pool>,
    /// Counts look-ups of smart hosts that begin by turns.
    turn: AtomicUsize,
}

impl Courier {
    /// A courier. `tls` holds an entry for each outbound connector of the table in effect, put there
    /// before the table is; `seen` is who had TLS before, `partners` what they showed; `ourselves` are our listeners, as bound.
    #[must_use]
    pub fn new(
        settings: Settings,
        live: Arc<LiveTable>,
        dns: Dns,
        (tls, seen, partners): (Arc<ClientSetups>, TlsSeen, Arc<Partners>),
        ourselves: Vec<SocketAddr>,
        journal: Arc<Journal>,
    ) -> Arc<Self> {
        let pool = Pool::new(settings.idle);
        let (broken, broken_once, unreached) =
            (HostMemory::default(), HostMemory::default(), HostMemory::default());
        Arc::new(Self {
            settings,
            live,
            dns,
            tls,
            seen,
            partners,
            broken,
            broken_once,
            unreached,
            ourselves,
            journal,
            pool,
            turn: AtomicUsize::new(0),
        })
    }

    /// Says QUIT on every idle connection. Connections that become idle later end at once.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Carrier for Courier {
    fn carry(self: Arc<Self>, way: Way, jobs: Arc<dyn Jobs>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(LaneCarrier::new(self, way, jobs).run())
    }

    fn try_anew(&self) {
        self.unreached.clear();
    }
}

#[cfg(test)]
mod tests;
