//! Asks an authority for time stamps of statements that close a day (RFC 3161). While it does not answer, they wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::resolver::dns::Dns;
use crate::retrieve::settings::Settings;
use crate::retrieve::{Payload, Retrieval, Retriever};
use crate::seal::{StampFault, stamp_request, stamped_hash};
use crate::trace::{StampDesk, WantedStamp};

/// Who is asked.
pub(super) struct StampClerk {
    url: Arc<str>,
    desk: StampDesk,
    retriever: Retriever,
}

/// Why a statement has no time stamp.
enum StampTrouble {
    /// It may get one later.
    Waits(String),
    /// It gets none.
    Refused(String),
}

impl StampClerk {
    pub(super) fn new(url: Arc<str>, desk: StampDesk, dns: Dns) -> Self {
        let limits = Settings { timeout: TIMEOUT, bytes_max: ANSWER_BYTES_MAX, retry: RETRY_FIRST };
        Self { url, desk, retriever: Retriever::new(dns, limits) }
    }

    /// Asks until `stop`.
    pub(super) async fn keep(self, stop: CancellationToken) {
        let _ended = stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&self) {
        let mut pause = RETRY_FIRST;
        loop {
            let wanted = self.desk.next().await;
            let statement = wanted.statement;
            match self.ask(wanted).await {
                Ok(stamp) => {
                    self.desk.made(wanted, stamp);
                    tracing::info!(statement, authority = %self.url, "a statement about the record has its time stamp");
                    pause = RETRY_FIRST;
                }
                Err(StampTrouble::Refused(fault)) => {
                    tracing::error!(statement, authority = %self.url, %fault, "a statement about the record gets no time stamp");
                    self.desk.give_up(wanted);
                }
                Err(StampTrouble::Waits(fault)) => {
                    tracing::warn!(statement, authority = %self.url, %fault, "a statement about the record waits for its time stamp");
                    sleep(pause).await;
                    pause = pause.saturating_mul(2).min(RETRY_LAST);
                }
            }
        }
    }

    async fn ask(&self, wanted: WantedStamp) -> Result<Vec<u8>, StampTrouble> {
        let octets = stamp_request(&wanted.hash, fastrand::u64(..));
        let payload = Payload { media_type: "application/timestamp-query", octets };
        // An administrator named the host, so that it may be in his own network.
        let what = Retrieval { url: &self.url, private: true, payload: Some(&payload) };
        let answer =
            self.retriever.retrieve(what).await.map_err(|fault| StampTrouble::Waits(fault.to_string()))?;
        match stamped_hash(&answer, &wanted.hash) {
            Ok(()) => Ok(answer),
            Err(fault @ StampFault::Refused(_)) => Err(StampTrouble::Refused(fault.to_string())),
            Err(fault) => Err(StampTrouble::Waits(fault.to_string())),
        }
    }
}

/// For one exchange.
const TIMEOUT: Duration = Duration::from_secs(30);
/// An answer has the certificates of the authority in it.
const ANSWER_BYTES_MAX: usize = 256 << 10;
const RETRY_FIRST: Duration = Duration::from_secs(60);
const RETRY_LAST: Duration = Duration::from_secs(3_600);
