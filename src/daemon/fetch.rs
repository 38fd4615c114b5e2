//! Fetches the certificate chain that an SMTP server presents. It verifies nothing.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::connector::{KeyExchange, TlsVersion};
use crate::mail::{Clock, Domain, Reply};
use crate::smtp::{AnswerReader, Offers};
use crate::tls::{Certificate, ClientSettings, ClientSetup, KeyShares};

/// Connects to `HOST:PORT`, starts TLS (at once on port 465 or if `implicit`, otherwise after
/// STARTTLS), and returns the chain presented, without verifying it.
///
/// # Errors
/// The connection, STARTTLS or the handshake failed, or took longer than `limit`.
pub async fn fetch_chain(target: &str, implicit: bool, limit: Duration) -> io::Result<Vec<Certificate>> {
    let setup = ClientSetup::new(ClientSettings {
        judged: false,
        min_version: TlsVersion::V12,
        key_exchange: KeyExchange::Any,
        profile: None,
        trust: Vec::new(),
        identity: None,
        rehearsed: None,
    })
    .map_err(io::Error::other)?;
    let begun = || begin(target, implicit, limit);
    let (host, _) = parted(target);
    let name = Domain::parse(host).ok();
    let shake = async |stream, shares| {
        let shaken = timeout(limit, setup.connect(stream, (name.as_ref(), shares), Clock::wall())).await;
        shaken.map_err(|_| late(limit))?.map_err(|fault| io::Error::other(fault.words))
    };
    let (stream, _) = match shake(begun().await?, KeyShares::Offered).await {
        Ok(shaken) => shaken,
        // As a delivery does: it may be the size of our ClientHello.
        Err(_) => shake(begun().await?, KeyShares::Classic).await?,
    };
    let (_, state) = stream.get_ref();
    Ok(state.peer_certificates().unwrap_or_default().iter().map(|der| der.clone().into_owned()).collect())
}

fn late(limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {} s", limit.as_secs()))
}

fn parted(target: &str) -> (&str, &str) {
    target.rsplit_once(':').unwrap_or((target, "25"))
}

/// A connection of which the handshake is next.
async fn begin(target: &str, implicit: bool, limit: Duration) -> io::Result<TcpStream> {
    let (_, port) = parted(target);
    let mut stream = timeout(limit, TcpStream::connect(target)).await.map_err(|_| late(limit))??;
    if !implicit && port != IMPLICIT_PORT {
        timeout(limit, ask_for_tls(&mut stream)).await.map_err(|_| late(limit))??;
    }
    Ok(stream)
}

async fn ask_for_tls(stream: &mut TcpStream) -> io::Result<()> {
    let greeting = reply(stream).await?;
    expect("its greeting", &greeting, greeting.code == 220)?;
    stream.write_all(b"EHLO localhost.localdomain\r\n").await?;
    let hello = reply(stream).await?;
    expect("its answer to EHLO", &hello, hello.is_positive())?;
    if !Offers::read(&hello, &[]).starttls {
        stream.write_all(b"QUIT\r\n").await?;
        let words = "it does not offer STARTTLS (for TLS from the first octet, use --implicit)";
        return Err(io::Error::other(words));
    }
    stream.write_all(b"STARTTLS\r\n").await?;
    let begin = reply(stream).await?;
    expect("its answer to STARTTLS", &begin, begin.code == 220)
}

/// One reply, and no octet behind it: TLS may begin there.
async fn reply(stream: &mut TcpStream) -> io::Result<Reply> {
    let mut reader = AnswerReader::default();
    loop {
        let mut octet = [0];
        if stream.read(&mut octet).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(reply) = reader.take(&mut octet.as_slice()).map_err(io::Error::other)? {
            return Ok(reply);
        }
    }
}

fn expect(what: &str, reply: &Reply, is_expected: bool) -> io::Result<()> {
    if is_expected {
        return Ok(());
    }
    let said: String = reply.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
    Err(io::Error::other(format!("{what} is {said:?}")))
}

/// RFC 8314 §7.3.
const IMPLICIT_PORT: &str = "465";
