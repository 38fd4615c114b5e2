//! An HTTP client: one request, one answer, as a script or a browser would.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{LONG, within};

/// What is asked.
pub(crate) struct WebRequest {
    head: String,
    body: String,
}

/// What comes back.
pub(crate) struct WebAnswer {
    pub(crate) status: u16,
    /// The status line and the header section.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl WebRequest {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self { head: format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n"), body: String::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.head, "{name}: {value}\r\n").unwrap();
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn json(self, body: Option<Value>) -> Self {
        match body {
            Some(body) => self.body("application/json", &body.to_string()),
            None => self,
        }
    }

    /// The fields of a form.
    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Self {
        let one = |(name, value): &(&str, &str)| format!("{name}={}", encoded(value));
        let body: Vec<_> = fields.iter().map(one).collect();
        self.body("application/x-www-form-urlencoded", &body.join("&"))
    }

    fn body(self, kind: &str, body: &str) -> Self {
        let with = self.header("Content-Type", kind).header("Content-Length", &body.len().to_string());
        Self { body: body.to_owned(), ..with }
    }

    pub(crate) async fn to(self, address: SocketAddr) -> WebAnswer {
        self.over(TcpStream::connect(address).await.unwrap()).await
    }

    /// Over a connection that is there.
    pub(crate) async fn over(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> WebAnswer {
        stream.write_all(format!("{}\r\n{}", self.head, self.body).as_bytes()).await.unwrap();
        let answer = within("the answer", LONG, whole(&mut stream)).await;
        WebAnswer::of(&String::from_utf8(answer).unwrap())
    }
}

/// An answer up to its length, or else up to the end of the connection.
async fn whole(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut answer = Vec::new();
    loop {
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            if length.is_some_and(|length| answer.len() >= head + 4 + length) {
                return answer;
            }
        }
        if stream.read_buf(&mut answer).await.unwrap() == 0 {
            return answer;
        }
    }
}

impl WebAnswer {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        let body = if is_chunked { unchunked(body) } else { body.to_owned() };
        Self { status, head: head.to_owned(), body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|fault| panic!("{fault}: {}\n{}", self.head, self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].strip_prefix("\r\n").unwrap();
    }
    whole
}

/// A value as a form or a query has it.
pub(crate) fn encoded(value: &str) -> String {
    let one = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(octet).to_string(),
        other => format!("%{other:02X}"),
    };
    value.bytes().map(one).collect()
}
