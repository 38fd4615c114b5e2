//! Posts something to a URL, over TLS to a server that proves its name. It retries nothing.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::get::{Payload, RetrieveFault, Retriever, exchange_over, request};
use super::url::{HttpUrl, UrlHost};
use crate::connector::{Forced, KeyExchange, PeerName, Require, TlsVersion, TrustId};
use crate::mail::{Clock, Domain};
use crate::tls::{ClientSettings, ClientSetup, KeyShares, TlsFault, TrustSet};

/// Where something is posted.
#[derive(Debug, Clone)]
pub struct PostTarget {
    /// The URL.
    pub url: HttpUrl,
    /// How the server proves who it is; `None`: http to this machine.
    pub tls: Option<Arc<PostTls>>,
}

/// What a server is asked to prove.
pub struct PostTls {
    setup: ClientSetup,
    required: Forced,
    sni: Option<Domain>,
}

impl PostTls {
    /// For the host of a URL, by these trust anchors.
    ///
    /// # Errors
    /// The TLS library refuses the settings.
    pub fn new(url: &HttpUrl, trust: &Arc<TrustSet>) -> Result<Self, TlsFault> {
        let set = TrustId("webhook".into());
        let (name, sni) = match &url.host {
            UrlHost::Name(name) => (PeerName::Exact(name.clone()), Some(name.clone())),
            UrlHost::Ip(ip) => (PeerName::Ip(IpAddr::to_canonical(ip)), None),
        };
        let required = Forced::new(Require::Identity { trust: vec![set.clone()], names: vec![name] });
        let setup = ClientSetup::new(ClientSettings {
            judged: true,
            min_version: TlsVersion::V12,
            key_exchange: KeyExchange::Any,
            profile: None,
            trust: vec![(set, Arc::clone(trust))],
            identity: None,
            rehearsed: None,
        })?;
        Ok(Self { setup, required, sni })
    }
}

impl fmt::Debug for PostTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostTls").field("sni", &self.sni).finish_non_exhaustive()
    }
}

impl Retriever {
    /// Posts something, with a token if there is one. Any address may be dialled: an administrator named the host.
    ///
    /// # Errors
    /// [`RetrieveFault`].
    pub async fn post(
        &self,
        target: &PostTarget,
        payload: &Payload,
        token: Option<&str>,
    ) -> Result<(), RetrieveFault> {
        let limit = self.settings().timeout;
        timeout(limit, self.post_once(target, payload, token))
            .await
            .map_err(|_| RetrieveFault::Late(limit))?
    }

    async fn post_once(
        &self,
        target: &PostTarget,
        payload: &Payload,
        token: Option<&str>,
    ) -> Result<(), RetrieveFault> {
        let request = request(&target.url, Some(payload), token)?;
        let stream = self.dial(&target.url, true).await?;
        let bytes_max = self.settings().bytes_max;
        match &target.tls {
            None => exchange_over(stream, request, bytes_max).await.map(drop),
            Some(tls) => {
                let stream = tls.secured(stream, &target.url).await?;
                exchange_over(stream, request, bytes_max).await.map(drop)
            }
        }
    }
}

impl PostTls {
    /// Nothing is sent before the server has proved who it is.
    async fn secured(
        &self,
        stream: TcpStream,
        url: &HttpUrl,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, RetrieveFault> {
        let not_proved = |words: String| RetrieveFault::NotProved(url.host.to_string(), words);
        let shares = (self.sni.as_ref(), KeyShares::Offered);
        let shaken = self.setup.connect(stream, shares, Clock::wall()).await;
        let (stream, facts) = shaken
            .map_err(|fault| RetrieveFault::Exchange(format!("the TLS handshake failed: {}", fault.words)))?;
        match self.required.unmet_by(&facts) {
            None => Ok(stream),
            Some(shortfall) => Err(not_proved(shortfall.to_string())),
        }
    }
}
