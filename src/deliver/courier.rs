//! The `Courier`: carries mail, and owns the shared settings, live table, memories of hosts and
//! session pool.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;

use super::answers::AnswerBook;
use super::convert::Converter;
use super::dial::{Dialler, TcpDialler};
use super::memory::{HostMemory, TlsHistory, TurnMemory};
use super::pool::Pool;
use super::settings::Settings;
use crate::connector::{HandshakeFault, LiveTable, Revision, SecuringFault};
use crate::outcome::Outcome;
use crate::resolver::dns::Dns;
use crate::tls::{ClientSetup, Partners};
use crate::tracking::{Journal, ProtocolLog};

/// The TLS settings of each outbound connector, by its revision.
pub type ClientSetups = ArcSwap<BTreeMap<Revision, Arc<ClientSetup>>>;

/// Carries mail to next hops. Implements the scheduler's `Carrier`.
pub struct Courier {
    pub(super) settings: Settings,
    pub(super) live: Arc<LiveTable>,
    pub(super) dns: Dns,
    pub(super) dialler: Box<dyn Dialler>,
    pub(super) tls: Arc<ClientSetups>,
    pub(super) seen: TlsHistory,
    pub(super) partners: Arc<Partners>,
    pub(super) broken: HostMemory<SecuringFault>,
    /// Hosts on which TLS failed once.
    pub(super) broken_once: HostMemory<()>,
    /// Hosts whose handshakes fail on post-quantum key shares, and work without them.
    pub(super) classic_only: HostMemory<()>,
    /// Hosts of connectors in audit whose handshakes fail as enforcing would make them, and how.
    pub(super) rehearsed_in_vain: HostMemory<HandshakeFault>,
    /// Addresses that did not answer when the host's address of the other family did.
    pub(super) slower: HostMemory<()>,
    /// Hosts that gave no connection or no greeting.
    pub(super) unreached: HostMemory<Outcome>,
    pub(super) answers: AnswerBook,
    pub(super) converter: Converter,
    pub(super) ourselves: Vec<SocketAddr>,
    pub(super) journal: Arc<Journal>,
    pub(super) protocol: ProtocolLog,
    pub(super) pool: Arc<Pool>,
    /// Whose turn it is where a way has more addresses than one attempt tries.
    pub(super) turns: TurnMemory,
    /// Counts look-ups of smart hosts that are used in rotation.
    pub(super) turn: AtomicUsize,
}

impl Courier {
    /// `tls` has an entry for each outbound connector of the table in effect, added before the
    /// table takes effect. `seen` is the TLS history, `partners` what partners presented,
    /// `ourselves` our listeners as bound.
    #[must_use]
    pub fn new(
        settings: Settings,
        live: Arc<LiveTable>,
        dns: Dns,
        (tls, seen, partners): (Arc<ClientSetups>, TlsHistory, Arc<Partners>),
        ourselves: Vec<SocketAddr>,
        (journal, protocol): (Arc<Journal>, ProtocolLog),
    ) -> Arc<Self> {
        let pool = Pool::new(settings.idle);
        Arc::new(Self {
            settings,
            live,
            dns,
            dialler: Box::new(TcpDialler),
            tls,
            seen,
            partners,
            broken: HostMemory::default(),
            broken_once: HostMemory::default(),
            classic_only: HostMemory::default(),
            rehearsed_in_vain: HostMemory::default(),
            slower: HostMemory::default(),
            unreached: HostMemory::default(),
            answers: AnswerBook::default(),
            converter: Converter::default(),
            ourselves,
            journal,
            protocol,
            pool,
            turns: TurnMemory::default(),
            turn: AtomicUsize::new(0),
        })
    }

    /// Sends QUIT on every idle connection. Connections that become idle later end at once.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
