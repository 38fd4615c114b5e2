//! Limits shared by the sessions of all listeners: places, handshake computation, log lines. It enforces
//! nothing per listener.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::ListenerState;
use super::census::{Bounds, Census};
use super::ration::{MINUTE, Ration};
use super::settings::Limits;
use super::turns::Turns;
use crate::mail::Network;
use crate::tracking::Event;

/// What the sessions of all listeners share, besides the given state.
#[derive(Debug)]
pub(super) struct Lobby {
    pub(super) sessions: Arc<Census>,
    pub(super) handshakes: Arc<Census>,
    /// Handshakes computing at the same time: at most half of the processors, so that the other half stays
    /// free however many strangers start a handshake.
    pub(super) steps: Arc<Semaphore>,
    /// Password checks.
    pub(super) logins: Arc<Turns>,
    /// Assessments of client certificates' chains that may cost much.
    pub(super) assessments: Arc<Turns>,
    ration: Ration,
}

impl Lobby {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let sessions = Bounds {
            all: limits.connections_max,
            reserved: limits.reserved_connections,
            each: limits.connections_per_address_max,
        };
        let handshakes = Bounds {
            all: limits.handshakes_max,
            reserved: limits.handshakes_max / 10,
            each: limits.handshakes_per_address_max,
        };
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Arc::new(Self {
            sessions: Census::new(sessions),
            handshakes: Census::new(handshakes),
            steps: Arc::new(Semaphore::new((processors / 2).max(1))),
            logins: Turns::of_processors(LOGINS_MAX),
            assessments: Turns::of_processors(usize::MAX),
            ration: Ration::default(),
        })
    }

    /// Logs a refusal or why a session ended, unless the client's network has caused too many lines.
    pub(super) fn record(&self, shared: &ListenerState, network: Network, event: &Event<'_>) {
        if self.ration.allows(network, Instant::now()) {
            shared.journal.record(event);
        }
    }

    /// Logs the number of omitted lines, until `stop`.
    pub(super) async fn count_omitted(self: Arc<Self>, shared: Arc<ListenerState>, stop: CancellationToken) {
        loop {
            let stopped = tokio::time::timeout(EVERY, stop.cancelled()).await.is_ok();
            let until = if stopped { Instant::now() + MINUTE } else { Instant::now() };
            for omitted in self.ration.settle(until) {
                let network = omitted.network.as_ref();
                shared.journal.record(&Event::Omitted { network, count: omitted.count });
            }
            if stopped {
                return;
            }
        }
    }
}

/// Maximum number of concurrent password checks: each takes 19 MiB.
const LOGINS_MAX: usize = 2;
const EVERY: Duration = Duration::from_secs(5);
