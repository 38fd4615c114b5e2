//! End-to-end tests of the listeners over loopback sockets, against a spool in memory.

mod kept;

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::settings::{Listener, ListenerTls, samples};
use super::*;
use crate::connector::{BrakeRules, MailCounts, RecipientCheck};
use crate::connector::{DomainPattern, Generation, Inbound, NextHop, Outbound, Table};
use crate::mail::{Domain, Mailbox};
use crate::smtp::receive::{BrakeBook, Question, RecipientVerifier};
use crate::spool::{LaneKey, NewContent};
use crate::tls::{Identity, ServerSettings};
use kept::MemorySpool;

fn table() -> Table {
    let any = || vec![DomainPattern::Any];
    let inbound = Inbound { to_domains: any(), ..Inbound::new("any-in", any()) };
    let outbound = Outbound::new("any-out", any(), NextHop::Mx { port: 25 });
    Table::new(Generation(1), vec![inbound], vec![outbound])
}

fn settings(tls: ListenerTls) -> Settings {
    Settings {
        name: Domain::parse("gw1.contoso.example").expect("a domain"),
        postmaster: Mailbox::parse("postmaster@contoso.example").expect("a mailbox"),
        listeners: vec![Listener { tls, ..samples::listener() }],
        limits: samples::limits(),
        reserve: super::settings::Reserve { free_disk: 0, queued_max: 1_000 },
        timeouts: samples::timeouts(),
        brake: BrakeRules { factor: 10, floors: MailCounts::default(), learn: Duration::MAX, release: None },
        subjects: true,
    }
}

/// A verifier that is never asked.
struct Nobody;

impl RecipientVerifier for Nobody {
    fn recall(&self, _question: &Question) -> Option<RecipientCheck> {
        None
    }

    fn verify(&self, question: Question) -> Pin<Box<dyn Future<Output = RecipientCheck> + Send>> {
        panic!("asked about {}", question.mailbox)
    }
}

/// A server on a free port.
struct Server {
    address: std::net::SocketAddr,
    spool: Arc<MemorySpool>,
    accepted: Arc<AtomicUsize>,
    shared: Arc<ListenerState>,
    stop: CancellationToken,
    sessions: TaskTracker,
}

impl Server {
    fn start(settings: Settings, tls: BTreeMap<String, Arc<ServerSetup>>) -> Self {
        let spool = Arc::new(MemorySpool::default());
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let bound = bind(&settings).expect("a free port");
        let address = bound[0].address;
        let shared = ListenerState {
            seen: SeenPeers {
                partners: Arc::default(),
                refusals: Arc::new(RefusalTally::new(crate::mail::UnixMillis(0))),
            },
            open: Arc::new(super::OpenSessions::of(&settings)),
            live: Arc::new(LiveTable::new(table())),
            room: Arc::default(),
            verifier: Arc::new(Nobody),
            guesses: super::Guesses::new(20),
            unknown_recipients: super::Guesses::new(100),
            quotas: crate::smtp::receive::Quotas::new(crate::mail::Clock::wall),
            brakes: Brakes::new((settings.brake, crate::mail::Clock::wall), BrakeBook::default(), || {}),
            spool: Arc::<MemorySpool>::clone(&spool),
            tls: Arc::new(ServerSetups::from_pointee(BTreeMap::from([(Generation(1), Arc::new(tls))]))),
            accepted: Arc::new(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            }),
            journal: Arc::default(),
            echo: std::sync::Mutex::default(),
            protocol: crate::tracking::ProtocolLog::default(),
            settings,
        };
        let shared = Arc::new(shared);
        let stop = CancellationToken::new();
        let ServingListeners { sessions, loops: _ } =
            serve(bound, Arc::clone(&shared), &stop).expect("listeners");
        Self { address, spool, accepted, shared, stop, sessions }
    }

    async fn dial(&self) -> Client<TcpStream> {
        Client(BufReader::new(TcpStream::connect(self.address).await.expect("a connection")))
    }
}

struct Client<S>(BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.expect("a write");
        self.0.get_mut().flush().await.expect("a write");
    }

    /// Reads the next reply; it must end in a line with this prefix.
    async fn expect(&mut self, begins: &str) {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.expect("a reply");
            if line.as_bytes().get(3) != Some(&b'-') {
                assert!(line.starts_with(begins), "wanted {begins}, and came {line:?}");
                return;
            }
        }
    }

    async fn closed(&mut self) {
        let mut line = String::new();
        assert_eq!(self.0.read_line(&mut line).await.expect("an orderly end"), 0, "{line}");
    }
}

const ENVELOPE: &str = "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n";

#[tokio::test]
async fn a_message_goes_to_the_spool_and_then_gets_its_250() {
    let server = Server::start(settings(ListenerTls::Off), BTreeMap::new());
    let mut client = server.dial().await;
    client.expect("220 gw1.contoso.example").await;
    client.send("EHLO c\r\n").await;
    client.expect("250").await;
    client
        .send(&format!("{ENVELOPE}Message-ID: <1@x>\r\n\r\none\r\n.\r\n{ENVELOPE}\r\ntwo\r\n.\r\nQUIT\r\n"))
        .await;
    for code in
        ["250 2.1.0", "250 2.1.5", "354", "250 2.0.0", "250 2.1.0", "250 2.1.5", "354", "250 2.0.0", "221"]
    {
        client.expect(code).await;
    }
    client.closed().await;
    assert_eq!(server.accepted.load(Ordering::SeqCst), 2);
    let messages = server.spool.messages.lock().expect("the messages");
    let NewContent::Held(content) = &messages[0].content else { panic!("it is small") };
    let content = String::from_utf8_lossy(content);
    assert!(content.starts_with("Received: from c ([127.0.0.1])\r\n"), "{content}");
    assert!(content.ends_with("Message-ID: <1@x>\r\n\r\none\r\n"), "{content}");
    assert_eq!(messages[0].lanes, [LaneKey("any-out/y.example".into())]);
    assert_eq!(messages[0].origin.connector.as_deref(), Some("any-in"));
    assert_eq!(messages[0].origin.message_id.as_deref(), Some("1@x"));
}

#[tokio::test]
async fn large_content_streams_to_a_file_and_a_full_disk_is_told() {
    let server = Server::start(settings(ListenerTls::Off), BTreeMap::new());
    let mut client = server.dial().await;
    client.expect("220").await;
    let body = "a line of some sixty octets, of which there shall be a lot.\r\n".repeat(5_000);
    client.send(&format!("EHLO c\r\n{ENVELOPE}\r\n{body}.\r\nNOOP\r\n")).await;
    for code in ["250", "250", "250", "354", "452 4.3.1", "250"] {
        client.expect(code).await;
    }
    let file = server.spool.file.lock().expect("the file");
    assert!(file.starts_with(b"Received: ") && file.ends_with(format!("\r\n\r\n{body}").as_bytes()));
    assert_eq!(server.accepted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn stopping_tells_the_idle_and_lets_a_message_end() {
    let server = Server::start(settings(ListenerTls::Off), BTreeMap::new());
    let mut idle = server.dial().await;
    idle.expect("220").await;
    let mut busy = server.dial().await;
    busy.expect("220").await;
    busy.send(&format!("EHLO c\r\n{ENVELOPE}")).await;
    for code in ["250", "250", "250", "354"] {
        busy.expect(code).await;
    }
    server.stop.cancel();
    idle.expect("421 4.3.2").await;
    idle.closed().await;
    busy.send("\r\nbody\r\n.\r\n").await;
    busy.expect("250 2.0.0").await;
    busy.expect("421 4.3.2").await;
    busy.closed().await;
    drop((idle, busy));
    server.sessions.wait().await;
}

#[tokio::test]
async fn silence_is_answered_421() {
    let mut settings = settings(ListenerTls::Off);
    settings.timeouts.idle = Duration::from_millis(20);
    let server = Server::start(settings, BTreeMap::new());
    let mut client = server.dial().await;
    client.expect("220").await;
    client.expect("421 4.4.2").await;
    client.closed().await;
}

#[tokio::test]
async fn who_speaks_before_the_greeting_is_refused_where_there_is_a_delay() {
    let server = |delay| {
        let mut settings = settings(ListenerTls::Off);
        settings.listeners[0].greeting_delay = Some(delay);
        Server::start(settings, BTreeMap::new())
    };
    let short = server(Duration::from_millis(20));
    let mut patient = short.dial().await;
    patient.expect("220").await;
    patient.send("NOOP\r\n").await;
    patient.expect("250").await;
    let long = server(Duration::from_secs(60));
    let mut hasty = long.dial().await;
    hasty.send("EHLO c\r\nMAIL FROM:<a@x.example>\r\n").await;
    hasty.expect("554 5.5.1").await;
    hasty.closed().await;
}

#[tokio::test]
async fn one_connection_too_many_is_turned_away() {
    let mut settings = settings(ListenerTls::Off);
    settings.limits.connections_per_address_max = 1;
    let server = Server::start(settings, BTreeMap::new());
    let mut first = server.dial().await;
    first.expect("220").await;
    let mut second = server.dial().await;
    second.expect("421 4.7.0").await;
    second.closed().await;
    first.send("NOOP\r\n").await;
    first.expect("250").await;
}

#[tokio::test]
async fn a_missing_certificate_is_told() {
    let server = Server::start(settings(ListenerTls::StartTls), BTreeMap::new());
    let mut client = server.dial().await;
    client.expect("220").await;
    client.send("EHLO c\r\n").await;
    client.expect("250 STARTTLS").await;
    client.send("STARTTLS\r\n").await;
    client.expect("454 4.7.0").await;
}

/// A self-signed certificate, and a client that trusts it.
fn certificate() -> (BTreeMap<String, Arc<ServerSetup>>, tokio_rustls::TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["gw1.contoso.example".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let (chain, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&chain, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    let private = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
    std::fs::set_permissions(&key, private).expect("permissions");
    let identity = Arc::new(Identity::load(&chain, &key).expect("an identity"));
    let setup = ServerSetup::new(ServerSettings {
        identities: vec![identity],
        profile: None,
        required: false,
        ask_client: false,
        trust: Vec::new(),
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let setup = Arc::new(setup.unwrap_or_else(|_| panic!("a setup")));
    (BTreeMap::from([("lab".to_owned(), setup)]), Arc::new(client).into())
}

fn name() -> ServerName<'static> {
    ServerName::try_from("gw1.contoso.example").expect("a name")
}

#[tokio::test]
async fn starttls_goes_on_sealed() {
    let (setups, connector) = certificate();
    let server = Server::start(settings(ListenerTls::Required), setups);
    let mut client = server.dial().await;
    client.expect("220").await;
    client.send("EHLO c\r\n").await;
    client.expect("250 STARTTLS").await;
    client.send("MAIL FROM:<a@x.example>\r\n").await;
    client.expect("530 5.7.0").await;
    client.send("STARTTLS\r\n").await;
    client.expect("220").await;
    let sealed = connector.connect(name(), client.0.into_inner()).await.expect("a handshake");
    let mut client = Client(BufReader::new(sealed));
    client.send(&format!("EHLO c\r\n{ENVELOPE}\r\nbody\r\n.\r\nQUIT\r\n")).await;
    for code in ["250", "250", "250", "354", "250", "221"] {
        client.expect(code).await;
    }
    // TLS must end with close_notify: a bare end of the connection could be a truncation.
    client.closed().await;
    let messages = server.spool.messages.lock().expect("the messages");
    let NewContent::Held(content) = &messages[0].content else { panic!("it is small") };
    assert!(String::from_utf8_lossy(content).contains("with ESMTPS id"));
}

#[tokio::test]
async fn implicit_tls_greets_within_tls() {
    let (setups, connector) = certificate();
    let server = Server::start(settings(ListenerTls::Implicit), setups);
    let sealed = connector.connect(name(), server.dial().await.0.into_inner()).await.expect("a handshake");
    let mut client = Client(BufReader::new(sealed));
    client.expect("220").await;
    client.send("EHLO c\r\nQUIT\r\n").await;
    client.expect("250 LIMITS RCPTMAX=100").await;
    client.expect("221").await;
    client.closed().await;
}

#[tokio::test]
async fn a_session_that_waits_is_small() {
    let server = Server::start(settings(ListenerTls::Off), BTreeMap::new());
    let shared = Arc::clone(&server.shared);
    let lobby = lobby::Lobby::new(&shared.settings.limits);
    let door = Arc::new(door::Door::new("lab".to_owned(), ListenerTls::Off, &shared, &lobby));
    let stream = TcpStream::connect(server.address).await.expect("a connection");
    let session = converse::converse(shared, door, stream, (server.address, server.stop.clone()));
    // 10,000 plaintext sessions must fit in 20 MiB, the sockets' own buffers aside.
    assert!(size_of_val(&session) * 10_000 <= 20 << 20, "{} octets", size_of_val(&session));
}

#[tokio::test]
async fn a_client_that_reads_no_replies_does_not_hold_up_the_end() {
    let mut settings = settings(ListenerTls::Off);
    settings.limits.useless_max = u32::MAX;
    let server = Server::start(settings, BTreeMap::new());
    let mut client = server.dial().await;
    let flood = "HELP\r\n".repeat(10_000_000 / 6);
    // Only what the buffers of both ends hold can be sent, never all of it.
    let sent = tokio::time::timeout(Duration::from_millis(300), client.send(&flood)).await;
    assert!(sent.is_err(), "the replies would be larger than what holds them");
    server.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), server.sessions.wait()).await;
    assert!(ended.is_ok(), "SIGTERM ends within 5 seconds");
}
