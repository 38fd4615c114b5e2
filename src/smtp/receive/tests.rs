//! Tests of inbound sessions, most of them dialogues from files; no sockets.

use std::collections::VecDeque;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::connector::{
    DomainPattern, Forced, Generation, InboundTls, LiveTable, NextHop, PeerCertificate, PeerName,
    RecipientCheck, Require, SmartHost, SmartHostName, Table, TlsVersion, TrustId, User, Users,
    VerifiedLogin,
};
use crate::mail::{Domain, Mailbox};
use crate::smtp::data::ContentLimits;

/// Keeps what it is given.
#[derive(Default)]
struct Sink {
    content: Vec<u8>,
    discarded: bool,
}

impl ContentSink for Sink {
    fn open(&mut self, _declared: u64) -> (QueueId, UnixMillis) {
        *self = Self::default();
        (QueueId::first_of(1_795_469_756_000), UnixMillis(1_795_469_756_000))
    }

    fn write(&mut self, octets: &[u8]) {
        self.content.extend_from_slice(octets);
    }

    fn discard(&mut self) {
        self.discarded = true;
    }
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("a domain")
}

fn patterns(texts: &[&str]) -> Vec<DomainPattern> {
    texts.iter().map(|t| DomainPattern::parse(t).expect("a pattern")).collect()
}

fn inbound(name: &str, from: &[&str], network: Option<&str>, tls: InboundTls, to: &[&str]) -> Inbound {
    Inbound {
        from_networks: network.into_iter().map(|n| n.parse::<ipnet::IpNet>().expect("a network")).collect(),
        tls,
        to_domains: patterns(to),
        ..Inbound::new(name, patterns(from))
    }
}

fn outbound(name: &str, domains: &[&str], next_hop: NextHop) -> Outbound {
    Outbound::new(name, patterns(domains), next_hop)
}

/// The table described in `tests/data/dialogues/README.md`.
fn table() -> Table {
    let bank = Forced::new(Require::Identity {
        trust: vec![TrustId("bank".into())],
        names: vec![PeerName::parse("mail.bank.example").expect("a name")],
    });
    let sealed = || InboundTls::Forced(Forced::encryption());
    let contoso = &["contoso.example"];
    let smart_host = SmartHost { name: SmartHostName::Ip([127, 0, 0, 1].into()), port: 2525 };
    Table::new(
        Generation(1),
        vec![
            inbound(
                "anyone-in",
                &["*"],
                None,
                InboundTls::Opportunistic,
                &["contoso.example", "nowhere.example"],
            ),
            inbound("office-in", contoso, Some("127.0.0.0/8"), InboundTls::Opportunistic, &["*"]),
            inbound("sealed-in", &["sealed.example"], None, sealed(), contoso),
            inbound("bank-in", &["bank.example", "*.bank.example"], None, InboundTls::Forced(bank), contoso),
            Inbound {
                users: Some(Arc::new(Users::parse("users", "ann:$argon2id$x").expect("users"))),
                ..inbound("user-in", &["user.example"], None, InboundTls::Opportunistic, &["*"])
            },
            Inbound {
                bare_lf: crate::connector::BareLf::Normalize,
                ..inbound(
                    "device-in",
                    &["device.example"],
                    Some("127.0.0.0/8"),
                    InboundTls::Opportunistic,
                    contoso,
                )
            },
            inbound("remote-in", &["remote.example"], Some("192.0.2.0/24"), sealed(), contoso),
        ],
        vec![
            outbound(
                "contoso-out",
                &["contoso.example", "*.contoso.example"],
                NextHop::SmartHosts(vec![smart_host]),
            ),
            outbound("fabrikam-out", &["fabrikam.example"], NextHop::Mx { port: 25 }),
        ],
    )
}

fn goes_by() -> SessionTable {
    let live = Arc::new(LiveTable::new(table()));
    SessionTable::new(Arc::clone(&live), live.table(), CancellationToken::new())
}

fn session(upgrade: Upgrade, tls: Option<Arc<TlsFacts>>) -> Session {
    Session::start(Arc::new(rules()), goes_by(), [127, 0, 0, 1].into(), upgrade, tls)
}

fn rules() -> Rules {
    Rules {
        listener: "in".into(),
        name: domain("gw1.contoso.example"),
        postmaster: Mailbox::parse("postmaster@contoso.example").expect("a mailbox"),
        content: ContentLimits { message_bytes_max: 20_000, header_bytes_max: 5_000, line_bytes_max: 1_000 },
        recipients_max: 3,
        hops_max: 5,
        own_hops_max: 2,
        patience: Patience { errors_max: 5, useless_max: 20 },
        withheld: vec![crate::mail::Extension::BinaryMime],
        room: Arc::default(),
        quotas: Quotas::new(|| UnixMillis(0)),
        brakes: super::brakes::samples::brakes(|| UnixMillis(0)),
    }
}

fn facts() -> Arc<TlsFacts> {
    Arc::new(TlsFacts {
        at: UnixMillis(1_750_000_000_000),
        version: TlsVersion::V13,
        suite: "TLS13_AES_256_GCM_SHA384".to_owned(),
        group: "X25519".to_owned(),
        peer: PeerCertificate::NotShown,
        sni: None,
        client_certificate: None,
        own_sha256: None,
    })
}

/// RFC 2034 §4: every reply has an enhanced code of its class, except the greeting, EHLO and HELO
/// replies, and intermediate ones.
fn has_enhanced_code(reply: &str) {
    let hello = reply.starts_with("250-gw1.contoso.example") || reply == "250 gw1.contoso.example\r\n";
    if hello || reply.starts_with("220 gw1.contoso.example") || reply.starts_with('3') {
        return;
    }
    for line in reply.lines() {
        let (code, text) = line.split_at(4);
        let (enhanced, _) = crate::mail::Enhanced::split(text).unwrap_or_else(|| panic!("{line}"));
        assert!(code.starts_with(&enhanced.0.to_string()), "{line}");
    }
}

#[test]
#[should_panic = "550 no"]
fn a_reply_without_an_enhanced_code_would_be_seen() {
    has_enhanced_code("550 no\r\n");
}

/// Plays a dialogue, splitting each write into pieces of this many octets.
struct Player {
    session: Session,
    sink: Sink,
    piece: usize,
    sending: Vec<u8>,
    replies: VecDeque<String>,
    last: String,
    handshake: bool,
    closed: bool,
    stored: Result<(), StoreRefusal>,
}

impl Player {
    fn new(listener: &str, piece: usize) -> Self {
        let session = match listener {
            "off" => session(Upgrade::Never, None),
            "starttls" => session(Upgrade::Offered, None),
            "required" => session(Upgrade::Required, None),
            "broken" => session(Upgrade::Broken { required: false }, None),
            "implicit" => session(Upgrade::Never, Some(facts())),
            other => panic!("unknown listener {other}"),
        };
        let mut player = Self {
            session,
            sink: Sink::default(),
            piece,
            sending: Vec::new(),
            replies: VecDeque::new(),
            last: String::new(),
            handshake: listener == "implicit",
            closed: false,
            stored: Ok(()),
        };
        player.collect();
        player
    }

    fn flush(&mut self) {
        let input = std::mem::take(&mut self.sending);
        // STARTTLS is judged by what arrives with it, so a write that contains it is not split.
        let whole = input.windows(8).any(|w| w.eq_ignore_ascii_case(b"STARTTLS"));
        for piece in input.chunks(if whole { usize::MAX } else { self.piece }) {
            let mut rest = piece;
            while !rest.is_empty() && !self.closed {
                let (used, action) = self.session.feed(rest, &mut self.sink);
                rest = &rest[used..];
                self.act(action);
            }
        }
        self.collect();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::NeedInput => {}
            Action::Flush => self.collect(),
            Action::StartTls => {
                self.session.on_place();
                self.handshake = true;
            }
            Action::Verify(login) => {
                let known = login.name == "ann" && login.password == "secret";
                let user = || User {
                    name: "ann".into(),
                    logins: vec![VerifiedLogin { file: "users".into(), hash: "$argon2id$x".into() }],
                };
                let action = self.session.on_verified(known.then(user).map(Arc::new));
                self.act(action);
            }
            Action::Assess(_) => unreachable!("no certificate is shown"),
            Action::Ask(question) => {
                let known = match question.mailbox.local_part() {
                    "gone" => RecipientCheck::Unknown(Reply::new(550, Enhanced(5, 1, 10), "null MX")),
                    "later" => RecipientCheck::Unsure,
                    _ => RecipientCheck::Exists,
                };
                let action = self.session.on_asked(known);
                self.act(action);
            }
            Action::Commit(arrived) => {
                assert!(!self.sink.discarded && !arrived.envelope.recipients.is_empty());
                assert_eq!(arrived.envelope.recipients.len(), arrived.ways.len());
                let result = std::mem::replace(&mut self.stored, Ok(()));
                let action = self.session.on_stored(result);
                self.act(action);
            }
            Action::Quit | Action::Close => self.closed = true,
        }
    }

    fn collect(&mut self) {
        let text = String::from_utf8(self.session.take_output()).expect("replies are text");
        let mut reply = String::new();
        for line in text.split_inclusive("\r\n") {
            reply.push_str(line);
            if line.as_bytes().get(3) == Some(&b' ') {
                self.replies.push_back(std::mem::take(&mut reply));
            }
        }
        assert_eq!(reply, "", "replies are whole");
        self.replies.iter().for_each(|reply| has_enhanced_code(reply));
    }

    fn line(&mut self, line: &str) {
        if let Some(text) = line.strip_prefix("C:") {
            self.sending.extend_from_slice(text.strip_prefix(' ').unwrap_or(text).as_bytes());
            self.sending.extend_from_slice(b"\r\n");
            return;
        }
        if let Some(text) = line.strip_prefix("C> ") {
            self.sending.extend_from_slice(&raw(text));
            return;
        }
        match line {
            "<full>" => self.stored = Err(StoreRefusal::Full),
            "<failed>" => self.stored = Err(StoreRefusal::Failed),
            _ => self.after_input(line),
        }
    }

    fn after_input(&mut self, line: &str) {
        self.flush();
        if let Some(expected) = line.strip_prefix("S: ") {
            self.last = self.replies.pop_front().unwrap_or_else(|| panic!("no reply left for {line}"));
            let lines = self.last.trim_end();
            let end = lines.rsplit("\r\n").next().unwrap_or_default();
            assert!(end.starts_with(expected), "{line}, and came: {lines}");
            return;
        }
        if let Some(text) = line.strip_prefix("S~ ") {
            assert!(self.last.contains(text), "{line}, and came: {}", self.last);
            return;
        }
        if let Some(text) = line.strip_prefix("S! ") {
            assert!(!self.last.contains(text), "{line}, and came: {}", self.last);
            return;
        }
        match line {
            "<handshake>" => {
                assert!(std::mem::take(&mut self.handshake), "a handshake was agreed on");
                self.session.on_tls(facts());
            }
            "<timeout>" => self.event(|session| session.on_timeout("waited too long")),
            "<shutdown>" => self.event(Session::on_shutdown),
            "<closed>" => assert!(self.closed && self.replies.is_empty(), "closed, nothing left"),
            other => panic!("what is {other}?"),
        }
    }

    fn event(&mut self, event: fn(&mut Session) -> Action) {
        let action = event(&mut self.session);
        self.act(action);
        self.collect();
    }
}

/// Expands escapes, and `{text*n}` at the front or end.
fn raw(text: &str) -> Vec<u8> {
    let unescaped = text
        .replace("\\r", "\r")
        .replace("\\n", "\n")
        .replace("\\t", "\t")
        .replace("\\0", "\0")
        .replace("\\\\", "\\");
    let Some((before, rest)) = unescaped.split_once('{') else { return unescaped.into_bytes() };
    let (repeated, after) = rest.split_once('}').expect("a closing brace");
    let (repeated, times) = repeated.rsplit_once('*').expect("a number of times");
    let times = times.parse().expect("a number");
    format!("{before}{}{after}", repeated.repeat(times)).into_bytes()
}

fn play(text: &str, piece: usize) {
    let mut lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).peekable();
    let listener =
        lines.next_if(|l| l.starts_with("listener: ")).and_then(|l| l.split(' ').nth(1)).unwrap_or("off");
    let mut player = Player::new(listener, piece);
    for line in lines {
        player.line(line);
    }
    player.flush();
    assert!(player.replies.is_empty(), "left over: {:?}", player.replies);
}

#[test]
fn the_dialogues() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dialogues");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).expect("the dialogues") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "txt") {
            let text = std::fs::read_to_string(&path).expect("a dialogue");
            for piece in [usize::MAX, 7, 1] {
                let result = std::panic::catch_unwind(|| play(&text, piece));
                assert!(result.is_ok(), "{} in pieces of {piece}", path.display());
            }
            played += 1;
        }
    }
    assert!(played >= 25, "{played} dialogues");
}

/// Feeds everything up to the first action that is not "more".
fn feed_all(session: &mut Session, sink: &mut Sink, input: &[u8]) -> Vec<ReceivedMessage> {
    let mut arrived = Vec::new();
    let mut at = 0;
    while at < input.len() {
        let (used, action) = session.feed(&input[at..], sink);
        at += used;
        match action {
            Action::Commit(one) => {
                arrived.push(*one);
                session.on_stored(Ok(()));
            }
            Action::NeedInput => assert_eq!(at, input.len()),
            Action::Flush => drop(session.take_output()),
            Action::StartTls
            | Action::Verify(_)
            | Action::Assess(_)
            | Action::Ask(_)
            | Action::Quit
            | Action::Close => {
                return arrived;
            }
        }
    }
    arrived
}

#[test]
fn all_replies_owed_come_at_once_and_in_order() {
    let mut session = session(Upgrade::Never, None);
    let mut sink = Sink::default();
    let _greeting = session.take_output();
    feed_all(
        &mut session,
        &mut sink,
        b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@contoso.example>\r\nNOPE\r\nDATA\r\n",
    );
    let out = String::from_utf8(session.take_output()).expect("text");
    let codes: Vec<&str> = out
        .lines()
        .filter_map(|l| l.split_once(' '))
        .map(|(code, _)| code)
        .filter(|c| !c.contains('-'))
        .collect();
    assert_eq!(codes, ["250", "250", "250", "500", "354"]);
    assert!(session.take_output().is_empty());
}

#[test]
fn the_trace_line_comes_first_and_names_a_single_recipient() {
    let mut session = session(Upgrade::Never, Some(facts()));
    let mut sink = Sink::default();
    let one = b"EHLO mail.partner.example\r\nMAIL FROM:<a@x.example> BODY=8BITMIME\r\nRCPT TO:<b@contoso.example>\r\n\
        DATA\r\nMessage-ID: <1@x.example>\r\n\r\n..body\r\n.\r\n";
    let arrived = feed_all(&mut session, &mut sink, one);
    assert_eq!(
        String::from_utf8_lossy(&sink.content),
        "Received: from mail.partner.example ([127.0.0.1])\r\n\
         \tby gw1.contoso.example with ESMTPS id 01M855CHK0000\r\n\
         \t(version=TLSv1.3 cipher=TLS13_AES_256_GCM_SHA384 group=X25519)\r\n\
         \tfor <b@contoso.example>; Mon, 23 Nov 2026 21:35:56 +0000\r\n\
         Message-ID: <1@x.example>\r\n\r\n..body\r\n"
    );
    assert_eq!(arrived[0].message_id.as_deref(), Some("1@x.example"));
    assert_eq!((&*arrived[0].connector.name, &*arrived[0].ways[0].name), ("anyone-in", "contoso-out"));
    let two = b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@contoso.example>\r\nRCPT TO:<c@contoso.example>\r\nDATA\r\n.\r\n";
    feed_all(&mut session, &mut sink, two);
    assert!(!String::from_utf8_lossy(&sink.content).contains("for <"));
}

#[test]
fn refusals_are_kept_for_the_tracking_log() {
    let mut session = session(Upgrade::Never, None);
    let mut sink = Sink::default();
    feed_all(
        &mut session,
        &mut sink,
        b"EHLO c\r\nMAIL FROM:<a@sealed.example>\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@fabrikam.example>\r\n",
    );
    let told: Vec<String> = session
        .take_refusals()
        .iter()
        .map(|r| {
            let token = r.decision.as_ref().map_or("-".into(), |d| d.token());
            format!("{} {:?} {:?} {} {token}", r.stage, r.reverse_path, r.forward_path, r.reply.code)
        })
        .collect();
    assert_eq!(
        told,
        [
            "MAIL Some(<a@sealed.example>) None 550 tls-required",
            "RCPT Some(<a@x.example>) Some(<b@fabrikam.example>) 550 by-domain",
        ]
    );
}

/// The codes of all pending replies.
fn codes(session: &mut Session) -> Vec<String> {
    let out = String::from_utf8(session.take_output()).expect("text");
    let ends = out.lines().filter(|line| line.as_bytes().get(3) == Some(&b' '));
    ends.filter_map(|line| line.get(..3)).map(str::to_owned).collect()
}

#[test]
fn a_pipelining_client_without_room_is_not_sent_away_for_errors() {
    let room = Arc::new(Room::default());
    let own = Rules { recipients_max: 100, room: Arc::clone(&room), ..rules() };
    let mut session = Session::start(Arc::new(own), goes_by(), [127, 0, 0, 1].into(), Upgrade::Never, None);
    let mut sink = Sink::default();
    feed_all(&mut session, &mut sink, b"EHLO c\r\n");
    let _greeting = session.take_output();
    let pipeline = b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@contoso.example>\r\nDATA\r\n";
    let measure = |disk| Measure { disk, pages: 0, kept: 0, small_bytes_max: 0 };
    room.set(Fullness::DiskFull, measure(0), 0);
    for _ in 0..200 {
        feed_all(&mut session, &mut sink, pipeline);
        assert_eq!(codes(&mut session), ["452", "503", "503"]);
    }
    room.set(Fullness::Free, measure(1 << 40), 0);
    feed_all(&mut session, &mut sink, pipeline);
    assert_eq!(codes(&mut session), ["250", "250", "354"]);
}

#[test]
fn a_handshake_without_a_place_leaves_the_transaction_as_it_was() {
    let mut session = session(Upgrade::Offered, None);
    let mut sink = Sink::default();
    let transaction = b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@contoso.example>\r\nSTARTTLS\r\n";
    feed_all(&mut session, &mut sink, transaction);
    session.on_no_place();
    feed_all(&mut session, &mut sink, b"DATA\r\nx\r\n.\r\n");
    assert_eq!(codes(&mut session), ["220", "250", "250", "250", "454", "354", "250"]);
}

#[test]
fn starttls_between_chunks_is_refused_and_drops_nothing() {
    for (upgrade, tls) in [(Upgrade::Offered, None), (Upgrade::Never, Some(facts()))] {
        let mut session = session(upgrade, tls);
        let mut sink = Sink::default();
        let chunks = b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@contoso.example>\r\n\
            BDAT 3\r\n\r\nxSTARTTLS\r\n";
        feed_all(&mut session, &mut sink, chunks);
        let arrived = feed_all(&mut session, &mut sink, b"BDAT 3 LAST\r\ny\r\n");
        assert_eq!(codes(&mut session), ["220", "250", "250", "250", "250", "503", "250"]);
        assert!(arrived.len() == 1 && !sink.discarded && sink.content.ends_with(b"xy\r\n"));
    }
}

#[test]
fn a_turn_answers_few_commands_and_loses_none() {
    let own = Rules { patience: Patience { errors_max: 5, useless_max: u32::MAX }, ..rules() };
    let mut session = Session::start(Arc::new(own), goes_by(), [127, 0, 0, 1].into(), Upgrade::Never, None);
    let mut sink = Sink::default();
    let _greeting = session.take_output();
    for command in ["EHLO a\r\n", "NOOP\r\n"] {
        let input = command.repeat(1_000).into_bytes();
        let (mut at, mut answered, mut turns) = (0, 0, 0);
        while at < input.len() {
            let (used, action) = session.feed(&input[at..], &mut sink);
            at += used;
            assert!(matches!(action, Action::Flush) || at == input.len(), "{action:?}");
            let out = session.take_output();
            assert!(out.len() < 4_096 + 512, "{} octets are owed", out.len());
            let replies = out.split(|octet| *octet == b'\n').filter(|l| l.get(3) == Some(&b' ')).count();
            assert!(replies <= 50, "{replies} replies in a turn");
            (answered, turns) = (answered + replies, turns + 1);
        }
        assert!(answered == 1_000 && turns >= 20, "{answered} answers in {turns} turns");
    }
}

#[test]
fn what_is_refused_again_and_again_is_kept_as_a_number() {
    let own = Rules { patience: Patience { errors_max: 100, useless_max: 1 }, ..rules() };
    let mut session = Session::start(Arc::new(own), goes_by(), [127, 0, 0, 1].into(), Upgrade::Never, None);
    let mut sink = Sink::default();
    feed_all(&mut session, &mut sink, &b"NOPE\r\n".repeat(40));
    assert_eq!(session.take_refusals().len(), 20);
    let expected = RepeatedRefusals { stage: "command", code: 500, count: 20 };
    assert_eq!(session.take_repeated(), [expected]);
    assert_eq!(session.take_repeated(), []);
}
