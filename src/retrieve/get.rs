//! One HTTP exchange: resolves, dials an address that is allowed, sends a request, reads a bounded answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, LOCATION, USER_AGENT,
};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::settings::Settings;
use super::url::{HttpUrl, UrlFault, UrlHost};
use crate::connector::AddressFamily;
use crate::mail::is_public;
use crate::resolver::dns::Dns;
use crate::resolver::route::DnsFault;

/// Addresses of one name that are dialled.
const ADDRESSES_MAX: usize = 4;
/// How long an address has before the next one is tried as well (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Makes HTTP requests.
#[derive(Clone)]
pub struct Retriever {
    dns: Dns,
    settings: Settings,
}

/// What to retrieve.
#[derive(Debug, Clone, Copy)]
pub struct Retrieval<'a> {
    /// From where.
    pub url: &'a str,
    /// Addresses outside the public internet are allowed.
    pub private: bool,
    /// What to send by POST; without it, GET.
    pub payload: Option<&'a Payload>,
}

/// The body of a request.
#[derive(Debug, Clone)]
pub struct Payload {
    /// Its media type.
    pub media_type: &'static str,
    /// Its octets.
    pub octets: Vec<u8>,
}

/// Why nothing was retrieved.
#[derive(Debug, thiserror::Error)]
pub enum RetrieveFault {
    /// The URL can't be used.
    #[error("{0}")]
    Url(#[from] UrlFault),
    /// The name was not found.
    #[error("{0}: {1}")]
    Dns(String, DnsFault),
    /// None of the addresses may be dialled.
    #[error("{host} has the address {ip}, which is not public; {ALLOW}")]
    NotPublic {
        /// The host.
        host: String,
        /// One of its addresses.
        ip: IpAddr,
    },
    /// No connection.
    #[error("no connection to {0}: {1}")]
    Dial(SocketAddr, io::Error),
    /// It took too long.
    #[error("it was not complete in {} s", .0.as_secs_f64())]
    Late(Duration),
    /// The exchange failed.
    #[error("the HTTP exchange failed: {0}")]
    Exchange(String),
    /// Another status than 200.
    #[error("it was answered {0}")]
    Status(StatusCode),
    /// It is somewhere else.
    #[error("it redirects to {0}, which is not followed; write that URL, if it is right")]
    Redirect(String),
    /// The server did not prove who it is.
    #[error("the server does not prove to be {0}: {1}")]
    NotProved(String, String),
    /// It is too large.
    #[error("it has more than {0} octets")]
    Large(usize),
}

const ALLOW: &str = "allow it by crl_private_addresses = true of its trust set, if it is meant";

impl Retriever {
    /// One that asks this resolver and keeps these limits.
    #[must_use]
    pub fn new(dns: Dns, settings: Settings) -> Self {
        Self { dns, settings }
    }

    /// Its limits.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Retrieves something, whole.
    ///
    /// # Errors
    /// [`RetrieveFault`].
    pub async fn retrieve(&self, what: Retrieval<'_>) -> Result<Vec<u8>, RetrieveFault> {
        let limit = self.settings.timeout;
        timeout(limit, self.exchange(what)).await.map_err(|_| RetrieveFault::Late(limit))?
    }

    async fn exchange(&self, what: Retrieval<'_>) -> Result<Vec<u8>, RetrieveFault> {
        let url = HttpUrl::parse(what.url)?;
        let stream = self.dial(&url, what.private).await?;
        exchange_over(stream, request(&url, what.payload, None)?, self.settings.bytes_max).await
    }

    /// The address that is dialled is the one that was judged.
    pub(super) async fn dial(&self, url: &HttpUrl, private: bool) -> Result<TcpStream, RetrieveFault> {
        let host = url.host.to_string();
        let found = match &url.host {
            UrlHost::Ip(ip) => vec![*ip],
            UrlHost::Name(name) => {
                self.dns.addresses(name).await.map_err(|fault| RetrieveFault::Dns(host.clone(), fault))?
            }
        };
        let mut last = found.first().map_or(RetrieveFault::Dns(host.clone(), DnsFault::NoRecords), |ip| {
            RetrieveFault::NotPublic { host: host.clone(), ip: *ip }
        });
        let limit = self.settings.timeout / 2;
        let mut dialling = JoinSet::new();
        for (before, ip) in (0_u32..).zip(dialled(found, private)) {
            let address = SocketAddr::new(ip, url.port);
            dialling.spawn(async move {
                sleep(HEAD_START.saturating_mul(before)).await;
                let connected = timeout(limit, TcpStream::connect(address)).await;
                let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                connected.map_err(|error| RetrieveFault::Dial(address, error))
            });
        }
        while let Some(done) = dialling.join_next().await {
            match done {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(fault)) => last = fault,
                Err(_) => {}
            }
        }
        Err(last)
    }
}

/// The addresses that are dialled, in order: the families in turn, since one of them may lead nowhere.
fn dialled(found: Vec<IpAddr>, private: bool) -> Vec<IpAddr> {
    let allowed = found.into_iter().filter(|ip| private || is_public(*ip)).collect();
    let mut arranged = AddressFamily::PreferIpv6.arrange(allowed);
    arranged.truncate(ADDRESSES_MAX);
    arranged
}

/// Sends one request over a connection, and reads the answer to it.
pub(super) async fn exchange_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<Vec<u8>, RetrieveFault> {
    let failed = |error: hyper::Error| RetrieveFault::Exchange(chain_of(&error));
    let is_get = request.method() == Method::GET;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let driver = tokio::spawn(connection);
    let outcome = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        if status.is_redirection() {
            let location = response.headers().get(LOCATION).map(|field| field.as_bytes());
            return Err(RetrieveFault::Redirect(readable(location.unwrap_or(b"nowhere"))));
        }
        // What was posted may be answered without a word.
        if !(status == StatusCode::OK || !is_get && status.is_success()) {
            return Err(RetrieveFault::Status(status));
        }
        let body = Limited::new(response.into_body(), limit).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                RetrieveFault::Large(limit)
            } else {
                RetrieveFault::Exchange(error.to_string())
            }
        })?;
        Ok(body.to_bytes().to_vec())
    }
    .await;
    driver.abort();
    outcome
}

/// A request: POST with a payload, else GET; with a token, if there is one.
pub(super) fn request(
    url: &HttpUrl,
    payload: Option<&Payload>,
    token: Option<&str>,
) -> Result<Request<Full<Bytes>>, RetrieveFault> {
    let mut builder = Request::builder()
        .uri(url.path.as_str())
        .header(HOST, url.authority())
        .header(USER_AGENT, concat!("sealpost/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close");
    if let Some(token) = token {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
            RetrieveFault::Exchange("the token has characters that no header can have".to_owned())
        })?;
        value.set_sensitive(true);
        builder = builder.header(AUTHORIZATION, value);
    }
    let octets = match payload {
        Some(payload) => {
            builder = builder.method(Method::POST).header(CONTENT_TYPE, payload.media_type);
            payload.octets.clone()
        }
        None => Vec::new(),
    };
    builder.body(Full::new(octets.into())).map_err(|error| RetrieveFault::Exchange(error.to_string()))
}

/// What a server says, for a line of the log.
fn readable(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).chars().filter(|c| !c.is_control()).take(200).collect()
}

fn chain_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: &str, private: bool, expected: &str) {
        let ips = |text: &str| text.split_whitespace().map(|ip| ip.parse().expect("an address")).collect();
        let expected: Vec<IpAddr> = ips(expected);
        assert_eq!(dialled(ips(found), private), expected, "{found}");
    }

    #[test]
    fn the_families_are_dialled_in_turn_and_only_public_addresses() {
        let six = "2a00::1 2a00::2 2a00::3 2a00::4 2a00::5";
        check(&format!("{six} 9.9.9.9"), false, "2a00::1 9.9.9.9 2a00::2 2a00::3");
        check(six, false, "2a00::1 2a00::2 2a00::3 2a00::4");
        check("fd00::1 10.0.0.1 9.9.9.9", false, "9.9.9.9");
        check("fd00::1 10.0.0.1 9.9.9.9", true, "fd00::1 10.0.0.1 9.9.9.9");
    }
}
