//! Questions to name servers that do not know EDNS: they are asked again without it (RFC 6891 §7), and it is remembered.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::Stream;
use futures_util::stream::once;
use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle, FirstAnswer as _};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, ResponseCode};
use hickory_resolver::{ConnectionProvider, PoolContext};

/// Makes the connections to name servers.
#[derive(Clone, Default)]
pub(super) struct EdnsFallback {
    provider: TokioRuntimeProvider,
    without: Arc<ServersWithoutEdns>,
}

impl ConnectionProvider for EdnsFallback {
    type Conn = EdnsExchange;
    type FutureConn = Pin<Box<dyn Future<Output = Result<EdnsExchange, NetError>> + Send>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        context: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let connecting = self.provider.new_connection(ip, config, context)?;
        let (server, without) = (SocketAddr::new(ip, config.port), Arc::clone(&self.without));
        Ok(Box::pin(async move { Ok(EdnsExchange { exchange: connecting.await?, server, without }) }))
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        &self.provider
    }
}

/// A connection to one name server.
#[derive(Clone)]
pub(super) struct EdnsExchange {
    exchange: DnsExchange<TokioRuntimeProvider>,
    server: SocketAddr,
    without: Arc<ServersWithoutEdns>,
}

impl DnsHandle for EdnsExchange {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let this = self.clone();
        Box::pin(once(async move { this.ask(request).await }))
    }
}

impl EdnsExchange {
    async fn ask(&self, mut request: DnsRequest) -> Result<DnsResponse, NetError> {
        if self.without.has(self.server, Instant::now()) {
            request.edns = None;
        }
        let answer = self.exchange.send(request.clone()).first_answer().await;
        if request.edns.is_none() || !refuses_edns(&answer) {
            return answer;
        }
        request.edns = None;
        let answer = self.exchange.send(request).first_answer().await;
        // A server that refuses this too had another reason.
        if answer.is_ok() && !refuses_edns(&answer) {
            self.without.note(self.server, Instant::now());
        }
        answer
    }
}

/// RFC 6891 §7: FORMERR from a server that does not know the OPT record; some say NOTIMP.
fn refuses_edns(answer: &Result<DnsResponse, NetError>) -> bool {
    let refusals = [ResponseCode::FormErr, ResponseCode::NotImp];
    answer.as_ref().is_ok_and(|response| refusals.contains(&response.response_code))
}

/// Servers that answer only questions without EDNS, each with the time until which that is assumed. There are as many as
/// are configured.
#[derive(Default)]
struct ServersWithoutEdns(Mutex<HashMap<SocketAddr, Instant>>);

impl ServersWithoutEdns {
    fn has(&self, server: SocketAddr, now: Instant) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&server).is_some_and(|until| now < *until)
    }

    fn note(&self, server: SocketAddr, now: Instant) {
        let until = now.checked_add(TRIED_AGAIN_AFTER).unwrap_or(now);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(server, until);
    }
}

/// After this time a server is asked with EDNS again: it may have been replaced.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_with_edns_again_after_a_while() {
        let (known, start) = (ServersWithoutEdns::default(), Instant::now());
        let server = SocketAddr::from(([192, 0, 2, 53], 53));
        assert!(!known.has(server, start));
        known.note(server, start);
        assert!(known.has(server, start + TRIED_AGAIN_AFTER - Duration::from_millis(1)));
        assert!(!known.has(SocketAddr::from(([192, 0, 2, 53], 54)), start));
        assert!(!known.has(server, start + TRIED_AGAIN_AFTER));
    }
}
