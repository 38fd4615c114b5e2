//! A web server on loopback, with or without TLS: one page for each path, one request for each connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use super::{LONG, within};

/// Makes an answer of the body of a request.
pub(crate) type Maker = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;

/// What comes back.
#[derive(Clone)]
pub(crate) enum Page {
    /// 200 with this.
    Body(Vec<u8>),
    /// This status line, without a body.
    Status(&'static str),
    /// 302 to there.
    Redirect(String),
    /// 200 with this, once the test says so.
    Held(Arc<Notify>, Vec<u8>),
    /// 200 with what this makes of the body of the request.
    Made(Arc<Maker>),
    /// Nothing, while the client waits.
    Silence,
    /// 200, and octets without an end.
    Endless,
}

/// The server; it ends with the test.
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    pages: BTreeMap<String, Page>,
    asked: Vec<String>,
    /// The header section and the body of each POST, as JSON.
    posted: Vec<(String, Value)>,
}

impl Web {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// The same, with TLS if there is a server for it.
    pub(crate) async fn start_with(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::<Mutex<State>>::default());
        let (shared, (changed, _)) = (Arc::clone(&state), watch::channel(()));
        let acceptor = tls.map(TlsAcceptor::from);
        let told = changed.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, told, acceptor) = (Arc::clone(&shared), told.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, shared, told).await,
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            serve(stream, shared, told).await;
                        }
                    }
                });
            }
        });
        Self { address, state, changed }
    }

    /// What was posted so far: header section and body.
    pub(crate) fn posted(&self) -> Vec<(String, Value)> {
        self.state.lock().unwrap().posted.clone()
    }

    /// Waits until something was posted for which this holds.
    pub(crate) async fn until_posted(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut changes = self.changed.subscribe();
        within(what, LONG, async {
            loop {
                if let Some((_, body)) = self.posted().into_iter().find(|(_, body)| is_it(body)) {
                    return body;
                }
                changes.changed().await.unwrap();
            }
        })
        .await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn page(&self, path: &str, page: Page) {
        self.state.lock().unwrap().pages.insert(path.to_owned(), page);
    }

    /// How many requests came for a path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.state.lock().unwrap().asked.iter().filter(|one| *one == path).count()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
) {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut some = [0; 1024];
        match stream.read(&mut some).await {
            Ok(count) if count > 0 => head.extend_from_slice(&some[..count]),
            _ => return,
        }
    }
    let start = head.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut body = head.split_off(start);
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    while body.len() < length.unwrap_or(0) {
        let mut some = [0; 1024];
        match stream.read(&mut some).await {
            Ok(count) if count > 0 => body.extend_from_slice(&some[..count]),
            _ => return,
        }
    }
    let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
    let page = {
        let mut state = state.lock().unwrap();
        state.asked.push(path.clone());
        if head.starts_with(b"POST ") {
            let posted = serde_json::from_slice(&body).unwrap_or(Value::Null);
            state.posted.push((String::from_utf8_lossy(&head).into_owned(), posted));
            changed.send_replace(());
        }
        state.pages.get(&path).cloned().unwrap_or(Page::Status("404 Not Found"))
    };
    let ok = |body: Vec<u8>| ("200 OK", format!("Content-Length: {}\r\n", body.len()), body);
    let (status, fields, body) = match page {
        Page::Body(body) => ok(body),
        Page::Held(gate, body) => {
            gate.notified().await;
            ok(body)
        }
        Page::Made(make) => ok(make(&body)),
        Page::Status(status) => (status, "Content-Length: 0\r\n".to_owned(), Vec::new()),
        Page::Redirect(to) => ("302 Found", format!("Location: {to}\r\nContent-Length: 0\r\n"), Vec::new()),
        Page::Silence => {
            let _ended = stream.read(&mut [0]).await;
            return;
        }
        Page::Endless => ("200 OK", String::new(), Vec::new()),
    };
    let endless = fields.is_empty();
    let answer = [format!("HTTP/1.1 {status}\r\n{fields}\r\n").into_bytes(), body].concat();
    let _done = stream.write_all(&answer).await;
    while endless && stream.write_all(&[b'x'; 4096]).await.is_ok() {}
}
