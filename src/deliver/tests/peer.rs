//! A scripted SMTP peer that records what it received.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::mail::Clock;
use crate::tls::ServerSetup;

#[derive(Clone, Default)]
pub(super) struct Manner {
    pub(super) starttls: StartTls,
    /// Greets with this, and closes.
    pub(super) greeting: Option<&'static str>,
    pub(super) step_by_step: bool,
    pub(super) utf8: bool,
    /// Its reply to MAIL.
    pub(super) mail: Option<&'static str>,
    /// Its reply to the final dot, after which it closes.
    pub(super) end: Option<&'static str>,
    /// Drops the connection after the content.
    pub(super) lost_after_dot: bool,
    /// Drops the connection after this many messages.
    pub(super) messages_max: Option<usize>,
    /// After this many messages of a connection, says this to a command that begins so.
    pub(super) worn: Option<(usize, &'static str, &'static str)>,
}

#[derive(Clone, Default)]
pub(super) enum StartTls {
    #[default]
    Absent,
    Refused,
    /// Refused, and the connection closed.
    RefusedAndClosed,
    /// Closed without a reply.
    Closed,
    Broken,
    /// Closed after the handshake, where EHLO would be answered.
    GoodUntilEhlo(Arc<ServerSetup>),
    /// The connection is dropped where the ClientHello is larger than this.
    SmallHello(Arc<ServerSetup>, usize),
    Good(Arc<ServerSetup>),
}

pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// The commands of all connections, each prefixed with `<connection> `.
    pub(super) heard: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    pub(super) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        tokio::spawn(async move {
            for number in 1.. {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (manner, log) = (manner.clone(), Arc::clone(&log));
                // A peer whose connection ends is done, with or without an error.
                tokio::spawn(async move { serve(stream, manner, number, log).await.ok() });
            }
        });
        Self { address, heard }
    }

    pub(super) fn heard(&self, verb: &str) -> Vec<String> {
        let heard = self.heard.lock().expect("the log");
        heard.iter().filter(|line| line.contains(verb)).cloned().collect()
    }
}

type Log = Arc<Mutex<Vec<String>>>;

async fn serve(mut stream: TcpStream, manner: Manner, number: usize, log: Log) -> std::io::Result<()> {
    if let Some(greeting) = manner.greeting {
        return stream.write_all(format!("{greeting}\r\n").as_bytes()).await;
    }
    stream.write_all(b"220 hello\r\n").await?;
    let offer = !matches!(manner.starttls, StartTls::Absent);
    if !talk(&mut stream, &manner, number, &log, offer).await? {
        return Ok(());
    }
    match &manner.starttls {
        StartTls::Good(setup) => {
            let Ok((mut stream, ..)) = setup.accept(stream, false, Clock::wall()).await else {
                return Ok(());
            };
            talk(&mut stream, &manner, number, &log, false).await?;
            stream.shutdown().await
        }
        StartTls::GoodUntilEhlo(setup) => {
            let Ok((mut stream, ..)) = setup.accept(stream, false, Clock::wall()).await else {
                return Ok(());
            };
            let mut ehlo = [0; 512];
            stream.read(&mut ehlo).await.map(|_| ())
        }
        StartTls::SmallHello(setup, max) => {
            let mut head = [0; 5];
            while stream.peek(&mut head).await? < head.len() {}
            if usize::from(u16::from_be_bytes([head[3], head[4]])) > *max {
                return Ok(());
            }
            let Ok((mut stream, ..)) = setup.accept(stream, false, Clock::wall()).await else {
                return Ok(());
            };
            talk(&mut stream, &manner, number, &log, false).await?;
            stream.shutdown().await
        }
        StartTls::Broken => stream.write_all(b"this is no TLS\r\n").await,
        StartTls::Absent | StartTls::Refused | StartTls::RefusedAndClosed | StartTls::Closed => Ok(()),
    }
}

/// `true`: a handshake is next.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    manner: &Manner,
    number: usize,
    log: &Log,
    offer: bool,
) -> std::io::Result<bool> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut content, mut messages) = (String::new(), false, 0);
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(false);
        }
        let text = line.trim_end().to_owned();
        if content && text != "." {
            continue;
        }
        log.lock().expect("the log").push(format!("{number} {text}"));
        let verb = text.split(' ').next().unwrap_or_default();
        let worn = manner.worn.filter(|(max, verb, _)| messages >= *max && text.starts_with(verb));
        let reply = match verb {
            _ if worn.is_some_and(|(_, _, reply)| reply.is_empty()) => return Ok(false),
            _ if worn.is_some() => {
                content = false;
                worn.map_or("", |(_, _, reply)| reply)
            }
            "." if manner.lost_after_dot => return Ok(false),
            "." if manner.end.is_some() => {
                stream.write_all(format!("{}\r\n", manner.end.unwrap_or_default()).as_bytes()).await?;
                return Ok(false);
            }
            "." => {
                content = false;
                messages += 1;
                "250 2.0.0 taken"
            }
            "EHLO" if offer => "250-mx\r\n250-PIPELINING\r\n250 STARTTLS",
            "EHLO" if manner.step_by_step => "250 mx",
            "EHLO" if manner.utf8 => "250-mx\r\n250-PIPELINING\r\n250 SMTPUTF8",
            "EHLO" => "250-mx\r\n250-PIPELINING\r\n250 SIZE 1000",
            "STARTTLS" if matches!(manner.starttls, StartTls::Refused) => "454 not now",
            "STARTTLS" if matches!(manner.starttls, StartTls::RefusedAndClosed) => {
                stream.write_all(b"454 not now\r\n").await?;
                return Ok(false);
            }
            "STARTTLS" if matches!(manner.starttls, StartTls::Closed) => return Ok(false),
            "STARTTLS" => "220 go",
            "MAIL" => manner.mail.unwrap_or("250 ok"),
            "RCPT" if text.contains("unknown@") => "550 5.1.1 unknown",
            "RCPT" if text.contains("many@") => "452 4.5.3 too many",
            "DATA" => {
                content = true;
                "354 go"
            }
            _ => "250 ok",
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        if reply == "220 go" {
            return Ok(true);
        }
        if verb == "." && manner.messages_max.is_some_and(|max| messages >= max) {
            return Ok(false);
        }
    }
}
