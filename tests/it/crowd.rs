//! Clients that come in crowds, flood, drip or read nothing: each costs little, is cut off, and
//! delays nobody else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{interval, timeout};

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, NAME};
use crate::peer::mix::Message;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{LISTENER, OPPORTUNISTIC, Site, outbound};
use crate::peer::{LONG, eventually, within};

/// Everyone may send to one partner, and nobody is named by network.
const STRANGERS: &str = "[[inbound]]\nname = \"strangers\"\nfrom_domains = [\"*\"]\n\
     tls = \"opportunistic\"\nto_domains = [\"b.test\"]\n\n";

/// A daemon with these limits and time-outs, a partner, and strangers who send to it.
async fn usual(head: &str) -> (Site, Sink, Daemon) {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let out = outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{head}{LISTENER}{STRANGERS}{out}"));
    let daemon = Daemon::start(&site.home).await;
    (site, sink, daemon)
}

/// A connection without a protocol.
async fn raw(address: SocketAddr) -> TcpStream {
    raw_from("127.0.0.1", address).await
}

async fn raw_from(own: &str, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(own.parse().unwrap(), 0)).unwrap();
    within("a connection", LONG, socket.connect(address)).await.unwrap()
}

/// Reads until a line begins so; all that was read.
async fn until(stream: &mut TcpStream, begins: &str) -> String {
    let mut text = Vec::new();
    within(begins, LONG, async {
        loop {
            if String::from_utf8_lossy(&text).lines().any(|line| line.starts_with(begins)) {
                return;
            }
            assert_ne!(stream.read_buf(&mut text).await.unwrap(), 0, "{}", String::from_utf8_lossy(&text));
        }
    })
    .await;
    String::from_utf8(text).unwrap()
}

/// All that comes until the end, be it orderly or not.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let ended = async { while let Ok(1..) = stream.read_buf(&mut text).await {} };
    within("the end of the connection", LONG, ended).await;
    String::from_utf8_lossy(&text).into_owned()
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// One message of a client that does all well; how long it took.
async fn good_message(address: SocketAddr) -> Duration {
    let begun = Instant::now();
    let mut client = Client::hello(address).await;
    let message = Message {
        id: "good".to_owned(),
        from: "ada@a.test".to_owned(),
        to: vec!["bob@b.test".to_owned()],
        content: b"Subject: good\r\n\r\nx\r\n".to_vec(),
    };
    let reply = within("a good message", LONG, client.transact(&message)).await.unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_read_nothing_cost_little_and_are_cut_off() {
    const CLIENTS: usize = 300;
    let limits = "[limits]\nconnections_per_address = 1000\nuseless_commands = 1000000000\n\n[timeouts]\nidle = \"5s\"\n\n";
    let (_site, _sink, daemon) = usual(limits).await;
    let at = daemon.at("in");
    good_message(at).await;
    let before = daemon.resident();
    let block = "EHLO a\r\n".repeat(8_192);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = raw(at).await;
        let block = block.clone();
        clients.push(tokio::spawn(async move {
            // Until both ends' buffers are full.
            while let Ok(Ok(())) =
                timeout(Duration::from_millis(500), stream.write_all(block.as_bytes())).await
            {}
            stream
        }));
    }
    let mut streams = Vec::new();
    for client in clients {
        streams.push(within("a full buffer", LONG, client).await.unwrap());
    }
    let grown = daemon.resident().saturating_sub(before);
    assert!(grown < 16 * 1_024, "{CLIENTS} clients cost {grown} KiB");
    let waited = good_message(at).await;
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    let words = "does not read its replies";
    eventually("their end", LONG, async || (daemon.log().matches(words).count() == CLIENTS).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_ends_and_is_logged_by_its_number() {
    let (_site, sink, daemon) = usual("[limits]\nrecipients = 100\n\n").await;
    let at = daemon.at("in");
    let flood = "RCPT TO:<bob@b.test>\r\n".repeat(100_000);
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut stream = raw(at).await;
        let flood = flood.clone();
        clients.push(tokio::spawn(async move {
            until(&mut stream, "220").await;
            send(&mut stream, "EHLO c\r\nMAIL FROM:<a@a.test>\r\n").await;
            let (mut reads, mut writes) = stream.into_split();
            let writing = tokio::spawn(async move { writes.write_all(flood.as_bytes()).await });
            let mut text = Vec::new();
            while let Ok(1..) = reads.read_buf(&mut text).await {}
            drop(writing.await);
            String::from_utf8(text).unwrap()
        }));
    }
    for client in clients {
        let text = within("the end of a flood", LONG, client).await.unwrap();
        assert_eq!(text.matches("\r\n250 2.1.5").count(), 100);
        // As many over the limit as there may be recipients, and then errors.
        assert_eq!(text.matches("\r\n452 4.5.3").count(), 119);
        assert!(text.lines().last().unwrap().starts_with("421 4.7.0"), "{text}");
    }
    good_message(at).await;
    sink.messages(1).await;
    daemon.logged_times("refused again", 8).await;
    daemon.logged("stage=RCPT code=452 count=100").await;
    let log = daemon.log();
    assert!(log.len() < 128 << 10, "{} octets", log.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_without_effect_end_a_session() {
    let (_site, _sink, daemon) = usual("").await;
    for command in ["NOOP", "RSET", "EHLO c", "HELO c", "VRFY a", "HELP"] {
        let mut stream = raw(daemon.at("in")).await;
        until(&mut stream, "220").await;
        send(&mut stream, &format!("{command}\r\n").repeat(300)).await;
        let text = rest(&mut stream).await;
        let answered = text.lines().filter(|line| line.as_bytes().get(3) == Some(&b' ')).count();
        assert_eq!(answered, 120, "{command}");
        assert!(text.lines().last().unwrap().starts_with("421 4.7.0 too many commands"), "{text}");
    }
}

/// Sends one octet of a text again and again, slowly; what came until the end.
async fn drip(mut stream: TcpStream, head: &str, text: &[u8]) -> String {
    send(&mut stream, head).await;
    let (mut reads, mut writes) = stream.into_split();
    let text = text.to_owned();
    let writing = tokio::spawn(async move {
        let mut pace = interval(Duration::from_millis(50));
        for octet in text.iter().cycle() {
            pace.tick().await;
            if writes.write_all(&[*octet]).await.is_err() {
                return;
            }
        }
    });
    let mut came = Vec::new();
    let ended = async { while let Ok(1..) = reads.read_buf(&mut came).await {} };
    within("the end of who drips", LONG, ended).await;
    writing.abort();
    String::from_utf8_lossy(&came).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_drips_is_cut_off() {
    let timeouts = "[limits]\ncontent_rate = \"1KiB\"\n\n[timeouts]\nidle = \"2s\"\nline = \"1s\"\n\
                    handshake = \"1s\"\nsession = \"3s\"\n\n";
    let (_site, sink, daemon) = usual(timeouts).await;
    let at = daemon.at("in");
    let envelope = "EHLO c\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<bob@b.test>\r\n";
    let (data, chunk) = (format!("{envelope}DATA\r\n"), format!("{envelope}BDAT 100000 LAST\r\n"));
    let cases: [(&str, &[u8], &str); 6] = [
        ("", b"x", "421 4.4.2 gw.sealpost.test waited too long for the end of the line"),
        (
            "EHLO c\r\nMAIL FROM:<a@a.test> X=",
            b"x",
            "421 4.4.2 gw.sealpost.test waited too long for the end of the line",
        ),
        ("", b"NOOP\r\n", "421 4.4.2 gw.sealpost.test waited too long for a message"),
        (
            &data,
            b"x\r\n",
            "421 4.4.2 gw.sealpost.test waited too long for the content, which comes too slowly",
        ),
        (
            &chunk,
            b"x\r\n",
            "421 4.4.2 gw.sealpost.test waited too long for the content, which comes too slowly",
        ),
        // A handshake that begins as one, and never ends.
        ("EHLO c\r\nSTARTTLS\r\n", &[22, 3, 1, 2, 0], "220 2.0.0 ready to start TLS"),
    ];
    let dripping = cases.map(|(head, text, expected)| async move {
        let mut stream = raw(at).await;
        until(&mut stream, "220").await;
        // The handshake begins once it may.
        let (head, last) =
            head.split_once("STARTTLS").map_or((head, ""), |(before, _)| (before, "STARTTLS\r\n"));
        if !last.is_empty() {
            send(&mut stream, head).await;
            until(&mut stream, "250 ").await;
        }
        let came = drip(stream, if last.is_empty() { head } else { last }, text).await;
        assert!(came.lines().last().unwrap().starts_with(expected), "{head}: {came}");
    });
    let [one, two, three, four, five, six] = dripping;
    tokio::join!(one, two, three, four, five, six);
    // Whoever is slow and honest is served.
    let mut slow = raw(at).await;
    until(&mut slow, "220").await;
    send(&mut slow, &data).await;
    until(&mut slow, "354").await;
    let mut pace = interval(Duration::from_millis(100));
    for _ in 0..25 {
        pace.tick().await;
        send(&mut slow, &"slow and honest\r\n".repeat(10)).await;
    }
    send(&mut slow, ".\r\n").await;
    until(&mut slow, "250 2.0.0").await;
    sink.messages(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_under_way_are_few_and_the_next_one_waits_its_turn() {
    let (site, _sink, daemon) = usual("[limits]\nhandshakes_per_address = 2\n\n").await;
    let at = daemon.at("in");
    let begun = async || {
        let mut stream = raw(at).await;
        until(&mut stream, "220").await;
        send(&mut stream, "EHLO c\r\n").await;
        until(&mut stream, "250 ").await;
        send(&mut stream, "STARTTLS\r\n").await;
        stream
    };
    let (mut first, mut second) = (begun().await, begun().await);
    until(&mut first, "220").await;
    until(&mut second, "220").await;
    let mut third = begun().await;
    let nothing = timeout(Duration::from_millis(200), third.read_u8()).await;
    assert!(nothing.is_err(), "it waits for a place");
    // From another address there is one at once.
    let mut other = raw_from("127.0.0.2", at).await;
    until(&mut other, "220").await;
    send(&mut other, "EHLO c\r\n").await;
    until(&mut other, "250 ").await;
    send(&mut other, "STARTTLS\r\n").await;
    until(&mut other, "220").await;
    drop(first);
    until(&mut third, "220").await;
    // Nobody gives way now.
    let mut fourth = begun().await;
    until(&mut fourth, "454 4.7.0 TLS not available due to temporary reason").await;
    send(&mut fourth, "NOOP\r\n").await;
    until(&mut fourth, "250").await;
    drop((second, third));
    Client::sealed(at, &site.ours.client(None), NAME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_seats_are_for_whom_a_connector_names() {
    let site = Site::new();
    let out = outbound("out", "b.test", "127.0.0.1:9".parse().unwrap(), OPPORTUNISTIC);
    let limits = "[limits]\nconnections = 4\nreserved_connections = 2\nconnections_per_address = 1\n\n";
    let config = |named: &str| {
        let partner = format!(
            "[[inbound]]\nname = \"partner\"\nfrom_domains = [\"p.test\"]\nfrom_networks = [\"{named}\"]\n\
             tls = \"opportunistic\"\nto_domains = [\"b.test\"]\n\n"
        );
        site.configure_all(&format!("{limits}{LISTENER}{STRANGERS}{partner}{out}"));
    };
    config("127.0.0.9");
    let daemon = Daemon::start(&site.home).await;
    let at = daemon.at("in");
    let greeted = async |own: &str, expected: &str| {
        let mut stream = raw_from(own, at).await;
        until(&mut stream, expected).await;
        stream
    };
    let _one = greeted("127.0.0.1", "220").await;
    let _same = greeted("127.0.0.1", "421 4.7.0").await;
    let _two = greeted("127.0.0.2", "220").await;
    let _stranger = greeted("127.0.0.3", "421 4.3.2").await;
    // It is named: neither the strangers' bound nor the one for each address holds for it.
    let named = greeted("127.0.0.9", "220").await;
    let _named = greeted("127.0.0.9", "220").await;
    let _full = greeted("127.0.0.9", "421 4.3.2").await;
    drop(named);
    config("127.0.0.10");
    let reloaded = daemon.command(&["reload"]).await;
    assert!(reloaded.status.success(), "{reloaded:?}");
    eventually("a seat for the one that is named now", LONG, async || {
        let mut stream = raw_from("127.0.0.10", at).await;
        let mut first = [0; 3];
        stream.read_exact(&mut first).await.unwrap();
        (&first == b"220").then_some(())
    })
    .await;
    let _no_more = greeted("127.0.0.9", "421").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_turned_away_are_logged_up_to_a_number() {
    let (_site, _sink, mut daemon) = usual("[limits]\nconnections_per_address = 1\n\n").await;
    let at = daemon.at("in");
    let mut first = raw(at).await;
    until(&mut first, "220").await;
    for _ in 0..1_000 {
        let mut stream = raw(at).await;
        until(&mut stream, "421 4.7.0").await;
    }
    daemon.signal("TERM");
    within("the end", LONG, daemon.ended()).await;
    let log = daemon.log();
    assert_eq!(log.matches("stage=connect ").count(), 600);
    assert!(log.contains("not logged network=127.0.0.1 count=400"), "{log}");
}
