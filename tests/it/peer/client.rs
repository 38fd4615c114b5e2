//! An SMTP client that says what it is told to, line by line, right or wrong.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::mix::Message;
use super::{LONG, within};

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One connection.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    pub(crate) greeting: Reply,
}

/// An answer: its code, and all of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) text: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        within("the greeting", LONG, Self::try_connect(address)).await.unwrap()
    }

    pub(crate) async fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Self::over(within("a connection", LONG, TcpStream::connect(address)).await?).await
    }

    /// Connected from this address of this machine.
    pub(crate) async fn try_connect_from(source: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(source, 0))?;
        Self::over(within("a connection", LONG, socket.connect(address)).await?).await
    }

    /// Connected from an address of this machine, and EHLO said.
    pub(crate) async fn hello_from(own: [u8; 4], address: SocketAddr) -> Self {
        let mut client = Self::try_connect_from(IpAddr::from(own), address).await.unwrap();
        assert_eq!(client.say("EHLO client.test").await.code, 250);
        client
    }

    async fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let greeting = Reply { code: 0, text: String::new() };
        let mut client = Self { stream: Box::new(stream), buffer: Vec::new(), greeting };
        client.greeting = within("the greeting", LONG, client.try_reply()).await?;
        Ok(client)
    }

    /// Connected, and EHLO said.
    pub(crate) async fn hello(address: SocketAddr) -> Self {
        let mut client = Self::connect(address).await;
        assert_eq!(client.greeting.code, 220, "{}", client.greeting.text);
        assert_eq!(client.say("EHLO client.test").await.code, 250);
        client
    }

    /// Connected, sealed, and EHLO said again.
    pub(crate) async fn sealed(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Self {
        within("a sealed session", LONG, Self::try_sealed(address, config, name)).await.unwrap()
    }

    pub(crate) async fn try_sealed(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Self> {
        let mut client = Self::try_connect(address).await?;
        client.try_say("EHLO client.test").await?;
        let reply = within("the reply to STARTTLS", LONG, client.try_say("STARTTLS")).await?;
        if reply.code != 220 {
            return Err(io::Error::other(reply.text));
        }
        let mut client = within("the handshake", LONG, client.handshake(config, name)).await?;
        within("the reply to EHLO over TLS", LONG, client.try_say("EHLO client.test")).await?;
        Ok(client)
    }

    /// TLS from the first octet.
    pub(crate) async fn wrapped(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Self {
        let greeting = Reply { code: 0, text: String::new() };
        let stream = TcpStream::connect(address).await.unwrap();
        let client = Self { stream: Box::new(stream), buffer: Vec::new(), greeting };
        let mut client = within("a handshake", LONG, client.handshake(config, name)).await.unwrap();
        client.greeting = client.reply().await;
        client
    }

    /// The handshake, after a 220.
    pub(crate) async fn handshake(self, config: &Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        if !self.buffer.is_empty() {
            return Err(io::Error::other("octets in clear behind the 220"));
        }
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, self.stream).await?;
        Ok(Self { stream: Box::new(stream), buffer: Vec::new(), greeting: self.greeting })
    }

    pub(crate) async fn say(&mut self, line: &str) -> Reply {
        within(line, LONG, self.try_say(line)).await.unwrap_or_else(|fault| panic!("{line}: {fault}"))
    }

    pub(crate) async fn try_say(&mut self, line: &str) -> io::Result<Reply> {
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.try_reply().await
    }

    pub(crate) async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets).await?;
        self.stream.flush().await
    }

    /// One whole transaction, command by command; the first refusal or the last reply.
    pub(crate) async fn transact(&mut self, message: &Message) -> io::Result<Reply> {
        let mail = self.try_say(&format!("MAIL FROM:<{}>", message.from)).await?;
        if mail.code != 250 {
            return Ok(mail);
        }
        for to in &message.to {
            let rcpt = self.try_say(&format!("RCPT TO:<{to}>")).await?;
            if rcpt.code != 250 {
                self.try_say("RSET").await?;
                return Ok(rcpt);
            }
        }
        let data = self.try_say("DATA").await?;
        if data.code != 354 {
            return Ok(data);
        }
        self.write(&wire(&message.content)).await?;
        self.try_reply().await
    }

    /// The same with MAIL, RCPT and DATA in one write (RFC 2920).
    pub(crate) async fn transact_pipelined(&mut self, message: &Message) -> io::Result<Reply> {
        let mut group = format!("MAIL FROM:<{}>\r\n", message.from);
        for to in &message.to {
            group.push_str(&format!("RCPT TO:<{to}>\r\n"));
        }
        group.push_str("DATA\r\n");
        self.write(group.as_bytes()).await?;
        let mut refusal = None;
        for _ in 0..=message.to.len() {
            let reply = self.try_reply().await?;
            if reply.code == 421 {
                return Ok(reply);
            }
            if reply.code != 250 {
                refusal.get_or_insert(reply);
            }
        }
        let data = self.try_reply().await?;
        if data.code != 354 {
            return Ok(refusal.unwrap_or(data));
        }
        self.write(&wire(&message.content)).await?;
        self.try_reply().await
    }

    /// The next reply, all of its lines.
    pub(crate) async fn reply(&mut self) -> Reply {
        within("a reply", LONG, self.try_reply()).await.unwrap()
    }

    pub(crate) async fn try_reply(&mut self) -> io::Result<Reply> {
        let mut text = String::new();
        loop {
            let line = self.line().await?;
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.ok_or_else(|| io::Error::other(format!("no reply: {line:?}")))?;
            let more = line.as_bytes().get(3) == Some(&b'-');
            text.push_str(&line);
            if !more {
                return Ok(Reply { code, text });
            }
            text.push('\n');
        }
    }

    /// Waits for the peer to close; what it still says comes back.
    pub(crate) async fn closed(mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.buffer);
        // A reset is an end too.
        let _ = within("the end of the connection", LONG, self.stream.read_to_end(&mut rest)).await;
        rest
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer) {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Content as it goes over the wire: dots stuffed, and the final dot.
pub(crate) fn wire(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 64);
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}
