//! A web server on loopback: one page for each path, one request for each connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

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
    /// Nothing, while the client waits.
    Silence,
    /// 200, and octets without an end.
    Endless,
}

/// The server; it ends with the test.
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    pages: BTreeMap<String, Page>,
    asked: Vec<String>,
}

impl Web {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::<Mutex<State>>::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state }
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

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut some = [0; 1024];
        match stream.read(&mut some).await {
            Ok(count) if count > 0 => head.extend_from_slice(&some[..count]),
            _ => return,
        }
    }
    let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
    let page = {
        let mut state = state.lock().unwrap();
        state.asked.push(path.clone());
        state.pages.get(&path).cloned().unwrap_or(Page::Status("404 Not Found"))
    };
    let ok = |body: Vec<u8>| ("200 OK", format!("Content-Length: {}\r\n", body.len()), body);
    let (status, fields, body) = match page {
        Page::Body(body) => ok(body),
        Page::Held(gate, body) => {
            gate.notified().await;
            ok(body)
        }
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
