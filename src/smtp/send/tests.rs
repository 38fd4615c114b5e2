//! Tests of outbound sessions, played as dialogues; no sockets and no TLS.

use std::sync::Arc;

use super::*;
use crate::connector::{
    ClearCause, Forced, Generation, Mechanism, NotCovered, Observed, Onward, Requirement, Revision,
    SessionId, Verdict, judge,
};
use crate::mail::{BodyType, Domain, Mailbox, MessageDsn, RecipientDsn, ReversePath};

const TABLE: Generation = Generation(3);

fn hello() -> Hello {
    Hello {
        name: Domain::parse("gw.example").expect("a domain"),
        starttls: true,
        implicit: false,
        helo: true,
        ignored: Vec::new(),
    }
}

fn permit(session: SessionId, observed: &Observed) -> Permit {
    match judge(&Requirement::Opportunistic(None), observed, session, Revision::default(), TABLE) {
        Verdict::Proceed(permit) => permit,
        Verdict::Withhold(shortfall) => panic!("{shortfall}"),
    }
}

fn demand(requirement: &Requirement, generation: Generation) -> Demand<'_> {
    Demand { requirement, revision: Revision::default(), generation, onward: Onward::Any }
}

fn begin(session: &mut Open, to: &str, size: u64, out: &mut Vec<u8>) -> Result<(), NotBegun> {
    let reverse_path = ReversePath::parse("a@a.example").expect("a path");
    let to: Vec<Mailbox> = to.split(' ').map(|text| Mailbox::parse(text).expect("a mailbox")).collect();
    let mail = MailFrom {
        reverse_path: &reverse_path,
        body: BodyType::SevenBit,
        size,
        utf8: false,
        originator: None,
        dsn: &MessageDsn::default(),
    };
    let dsn = RecipientDsn::default();
    session.begin(
        &mail,
        to.iter().map(|to| (to, &dsn)),
        &demand(&Requirement::Opportunistic(None), TABLE),
        out,
    )
}

/// Plays a dialogue: replies go in, and what the session wrote and the events it returned come out.
struct Play<D> {
    session: D,
    out: Vec<u8>,
    events: Vec<String>,
}

/// An event in a word or two.
trait Described {
    fn words(&self) -> String;
}

impl<D: Dialogue<Event: Described>> Play<D> {
    /// Feeds replies, and returns what the session wrote and its events.
    fn feed(&mut self, replies: &str) -> String {
        let octets: Vec<u8> = replies.split('|').flat_map(|r| format!("{r}\r\n").into_bytes()).collect();
        let mut input = octets.as_slice();
        loop {
            match self.session.feed(&mut input, &mut self.out) {
                Ok(Some(event)) => self.events.push(event.words()),
                Ok(None) => break,
                Err(fault) => {
                    self.events.push(format!("fault: {fault}"));
                    break;
                }
            }
        }
        self.said()
    }

    fn said(&mut self) -> String {
        let out = String::from_utf8(std::mem::take(&mut self.out)).expect("text");
        let mut said: Vec<String> = out.lines().map(|l| format!("> {l}")).collect();
        said.append(&mut self.events);
        said.join("; ")
    }
}

impl Play<Opening> {
    fn new() -> Self {
        Self { session: Opening::new(hello()), out: Vec::new(), events: Vec::new() }
    }
}

impl Play<Open> {
    fn open(ehlo: &str) -> Self {
        let mut opening = Play::new();
        opening.feed("220 hello");
        opening.feed(ehlo);
        let Play { session, mut out, .. } = opening;
        let permit = permit(session.id(), &Observed::NotOffered);
        match session.authorise(permit, &mut out) {
            Some(AuthorisedSession::Open(session)) => Self { session, out, events: Vec::new() },
            other => panic!("{other:?}"),
        }
    }

    fn begin(&mut self, to: &str) -> String {
        match begin(&mut self.session, to, 100, &mut self.out) {
            Ok(()) => self.said(),
            Err(fault) => format!("not begun: {fault}"),
        }
    }

    fn end_content(&mut self) {
        self.session.end_content(&mut self.out);
    }
}

impl Described for OpeningEvent {
    fn words(&self) -> String {
        match self {
            Self::InClear(None) => "in clear".to_owned(),
            Self::InClear(Some(reply)) => format!("in clear: {}", reply.code),
            Self::NotGreeted(reply) => format!("not greeted: {}", reply.code),
            Self::HelloRefused(reply) => format!("hello refused: {}", reply.code),
            Self::Closing(reply) => format!("closing: {}", reply.code),
            Self::Handshake => "handshake".to_owned(),
            Self::RefusedAndClosed(reply) => format!("refused and closed: {}", reply.code),
        }
    }
}

impl Described for SecuredEvent {
    fn words(&self) -> String {
        match self {
            Self::Ready => "ready".to_owned(),
            Self::NotGreeted(reply) => format!("not greeted: {}", reply.code),
            Self::HelloRefused(reply) => format!("hello refused: {}", reply.code),
            Self::Closing(reply) => format!("closing: {}", reply.code),
        }
    }
}

impl Described for OpenEvent {
    fn words(&self) -> String {
        match self {
            Self::Done(finished) => describe_finished(finished),
            Self::Closing(reply) => format!("closing: {}", reply.code),
            Self::SendContent => "content".to_owned(),
        }
    }
}

fn describe_finished(finished: &TransactionResult) -> String {
    let code = |reply: &Option<Reply>| reply.as_ref().map_or("-".to_owned(), |r| r.code.to_string());
    let recipients: Vec<String> = finished.recipients.iter().map(code).collect();
    let (mail, data, end) = (code(&finished.mail), code(&finished.data), code(&finished.end));
    format!("done mail={mail} rcpt={} data={data} end={end}", recipients.join(","))
}

const PIPELINED: &str = "250-mx|250-PIPELINING|250 SIZE 1000";

#[test]
fn a_session_opens_with_the_best_hello_it_can_have() {
    let mut play = Play::new();
    assert_eq!(play.feed("220-mx|220 hello"), "> EHLO gw.example");
    assert_eq!(play.feed("502 what"), "> HELO gw.example");
    assert_eq!(play.feed("250 mx"), "in clear");
    assert_eq!(Play::new().feed("554 no"), "not greeted: 554");
    assert_eq!(Play::new().feed("421 later"), "not greeted: 421");
    let mut play = Play::new();
    play.feed("220 hello");
    assert_eq!(play.feed("451 later"), "hello refused: 451");
    for code in [501, 503, 521, 550, 554] {
        let mut play = Play::new();
        play.feed("220 hello");
        assert_eq!(play.feed(&format!("{code} 5.7.1 not you")), format!("hello refused: {code}"));
    }
}

#[test]
fn forced_tls_knows_no_helo() {
    let mut play = Play { session: Opening::new(Hello { helo: false, ..hello() }), ..Play::new() };
    assert_eq!(play.feed("220 hello"), "> EHLO gw.example");
    assert_eq!(play.feed("500 what"), "in clear", "the judge is told that STARTTLS is not offered");
    let mut play = Play { session: Opening::new(Hello { helo: false, ..hello() }), ..Play::new() };
    play.feed("220 hello");
    assert_eq!(play.feed("550 5.7.1 not you"), "hello refused: 550");
}

/// A session inside TLS that was authorised with this.
fn secured(opening: Play<Opening>) -> Play<SecuredSession> {
    let Play { session, mut out, .. } = opening;
    let permit = permit(session.id(), &Observed::NotOffered);
    match session.authorise(permit, &mut out) {
        Some(AuthorisedSession::Secured(session)) => Play { session, out, events: Vec::new() },
        other => panic!("{other:?}"),
    }
}

#[test]
fn starttls_is_taken_and_everything_before_it_forgotten() {
    let mut play = Play::new();
    play.feed("220 hello");
    assert_eq!(play.feed("250-mx|250-PIPELINING|250 STARTTLS"), "> STARTTLS");
    assert_eq!(play.feed("220 go"), "handshake");
    let mut play = secured(play);
    assert_eq!(play.said(), "> EHLO gw.example");
    assert_eq!(play.feed("250-mx|250 STARTTLS"), "ready");
    let open = play.session.open().expect("it is ready");
    assert!(!open.offers().pipelining && !open.offers().auth.takes(crate::connector::Mechanism::Plain));
}

#[test]
fn implicit_tls_greets_inside_tls() {
    let play = Play { session: Opening::new(Hello { implicit: true, ..hello() }), ..Play::new() };
    let mut play = secured(play);
    assert_eq!(play.said(), "");
    assert_eq!(play.feed("220 hello"), "> EHLO gw.example");
    assert_eq!(play.feed("250 mx"), "ready");
    let play = Play { session: Opening::new(Hello { implicit: true, ..hello() }), ..Play::new() };
    let mut play = secured(play);
    assert_eq!(play.feed("554 no"), "not greeted: 554");
    assert!(play.session.open().is_none());
}

#[test]
fn starttls_refused_leaves_the_session_in_clear() {
    let mut play = Play::new();
    play.feed("220 hello");
    play.feed("250-mx|250 STARTTLS");
    assert_eq!(play.feed("454 not now"), "> NOOP");
    // Whatever it says to that: it is still there.
    assert_eq!(play.feed("502 what"), "in clear: 454");
}

#[test]
fn a_server_that_refuses_starttls_and_goes_has_refused_tls() {
    let refused = |replies: &[&str]| {
        let mut play = Play::new();
        play.feed("220 hello");
        play.feed("250-mx|250 STARTTLS");
        let said = replies.iter().map(|reply| play.feed(reply)).fold(String::new(), |_, said| said);
        (said, play.session.ended_by("gone").map(|fault| fault.shortfall().to_string()))
    };
    assert_eq!(refused(&["421 no"]).0, "refused and closed: 421");
    assert_eq!(refused(&["454 no", "421 bye"]).0, "refused and closed: 454");
    assert_eq!(refused(&["454 no"]).1.as_deref(), Some("STARTTLS was refused with 454 no"));
    assert_eq!(refused(&[]).1.as_deref(), Some("the TLS handshake failed: after STARTTLS gone"));
    assert_eq!(refused(&["what"]).1.as_deref(), Some("the TLS handshake failed: after STARTTLS gone"));
    let mut play = Play::new();
    play.feed("220 hello");
    assert_eq!(play.session.ended_by("gone"), None, "STARTTLS was not said");
}

#[test]
fn forced_tls_says_nothing_more_after_a_refusal() {
    let mut play = Play { session: Opening::new(Hello { helo: false, ..hello() }), ..Play::new() };
    play.feed("220 hello");
    play.feed("250-mx|250 STARTTLS");
    assert_eq!(play.feed("454 not now"), "in clear: 454");
}

#[test]
fn octets_behind_the_220_end_the_session() {
    let mut play = Play::new();
    play.feed("220 hello");
    play.feed("250-mx|250 STARTTLS");
    assert_eq!(play.feed("220 go|250-mx|250 PIPELINING"), "fault: data after STARTTLS reply");
    let Play { session, mut out, .. } = play;
    let permit = permit(session.id(), &Observed::NotOffered);
    assert!(session.authorise(permit, &mut out).is_none());
}

#[test]
fn nothing_is_written_without_a_permit_that_covers() {
    let mut play = Play::open(PIPELINED);
    let permit = permit(play.session.id(), &Observed::NotOffered);
    assert_eq!(*permit.attained(), crate::connector::Attained::Clear(ClearCause::NotOffered));
    play.session.reauthorise(permit);
    let reverse_path = ReversePath::NULL;
    let to = Mailbox::parse("b@b.example").expect("a mailbox");
    let mail = MailFrom {
        reverse_path: &reverse_path,
        body: BodyType::SevenBit,
        size: 1,
        utf8: false,
        originator: None,
        dsn: &MessageDsn::default(),
    };
    let mut begin = |requirement: &Requirement, generation| {
        play.session.begin(
            &mail,
            [(&to, &RecipientDsn::default())].into_iter(),
            &demand(requirement, generation),
            &mut play.out,
        )
    };
    let stale = begin(&Requirement::Opportunistic(None), Generation(4));
    assert_eq!(stale, Err(NotBegun::NotCovered(NotCovered::Stale)));
    let forced = begin(&Requirement::Forced(Forced::encryption()), TABLE);
    assert!(matches!(forced, Err(NotBegun::NotCovered(NotCovered::Short(_)))));
    assert_eq!(play.said(), "");
}

#[test]
fn a_permit_ends_with_the_session_and_is_for_no_other() {
    let mut play = Play::open(PIPELINED);
    assert!(play.session.abandon().is_empty());
    assert_eq!(play.begin("b@b.example"), "not begun: the session is not authorised for it");
    let late = permit(play.session.id(), &Observed::NotOffered);
    play.session.reauthorise(late);
    assert_eq!(play.begin("b@b.example"), "not begun: the session is not authorised for it");
    // Nothing is authorised before the end of the opening.
    let mut early = Play::new();
    early.feed("220 hello");
    let mut out = Vec::new();
    let permit_early = permit(early.session.id(), &Observed::NotOffered);
    assert!(early.session.authorise(permit_early, &mut out).is_none());
    let mut other = Play::open(PIPELINED);
    other.session.reauthorise(permit(SessionId::new(), &Observed::NotOffered));
    assert_eq!(other.begin("b@b.example"), "not begun: the permit belongs to another session");
}

#[test]
fn a_pipelined_envelope_is_one_write_and_replies_are_counted() {
    let mut play = Play::open(PIPELINED);
    assert_eq!(
        play.begin("b@b.example c@b.example"),
        "> MAIL FROM:<a@a.example> SIZE=100; > RCPT TO:<b@b.example>; > RCPT TO:<c@b.example>; > DATA"
    );
    assert_eq!(play.feed("250 ok|550 no|250 ok|354 go"), "content");
    assert!(play.session.is_free() || play.session.awaited() == AwaitedReply::Nothing);
    play.end_content();
    assert_eq!(play.said(), "> .");
    assert_eq!(play.feed("250 taken"), "done mail=- rcpt=550,- data=- end=250");
    assert!(play.session.is_free());
}

#[test]
fn the_next_envelope_follows_the_content() {
    let mut play = Play::open(PIPELINED);
    play.begin("b@b.example");
    assert_eq!(play.begin("x@b.example"), "not begun: the session is not ready for a transaction");
    play.feed("250 ok|250 ok|354 go");
    play.end_content();
    assert_eq!(
        play.begin("c@b.example"),
        "> .; > MAIL FROM:<a@a.example> SIZE=100; > RCPT TO:<c@b.example>; > DATA"
    );
    assert_eq!(play.begin("x@b.example"), "not begun: the session is not ready for a transaction");
    assert_eq!(
        play.feed("250 taken|250 ok|550 no|554 none"),
        "done mail=- rcpt=- data=- end=250; done mail=- rcpt=550 data=554 end=-"
    );
    assert_eq!(
        play.begin("d@b.example"),
        "> RSET; > MAIL FROM:<a@a.example> SIZE=100; > RCPT TO:<d@b.example>; > DATA"
    );
    assert_eq!(play.feed("250 reset|250 ok|250 ok|354 go"), "content");
}

#[test]
fn without_pipelining_each_command_waits() {
    let mut play = Play::open("250 mx");
    assert_eq!(play.begin("b@b.example c@b.example"), "> MAIL FROM:<a@a.example>");
    assert_eq!(play.feed("250 ok"), "> RCPT TO:<b@b.example>");
    assert_eq!(play.feed("452 full"), "> RCPT TO:<c@b.example>");
    assert_eq!(play.feed("250 ok"), "> DATA");
    assert_eq!(play.feed("354 go"), "content");
    play.end_content();
    play.said();
    assert_eq!(play.begin("x@b.example"), "not begun: the session is not ready for a transaction");
    assert_eq!(play.feed("451 later"), "done mail=- rcpt=452,- data=- end=451");
}

#[test]
fn without_pipelining_a_refusal_ends_it_early() {
    let mut play = Play::open("250 mx");
    play.begin("b@b.example");
    assert_eq!(play.feed("550 not you"), "done mail=550 rcpt=- data=- end=-");
    assert_eq!(play.begin("b@b.example"), "> MAIL FROM:<a@a.example>");
    play.feed("250 ok");
    assert_eq!(play.feed("550 no"), "done mail=- rcpt=550 data=- end=-");
    assert_eq!(play.begin("b@b.example"), "> RSET");
    assert_eq!(play.feed("250 ok"), "> MAIL FROM:<a@a.example>");
}

#[test]
fn a_refused_reset_ends_the_session() {
    for (ehlo, next) in [
        ("250 mx", "> RSET"),
        (PIPELINED, "> RSET; > MAIL FROM:<a@a.example> SIZE=100; > RCPT TO:<c@b.example>; > DATA"),
    ] {
        let mut play = Play::open(ehlo);
        play.begin("b@b.example");
        play.feed("250 ok|550 no");
        play.feed("554 no recipients");
        if ehlo != PIPELINED {
            play = Play::open(ehlo);
            play.begin("b@b.example");
            play.feed("250 ok|550 no");
        }
        assert_eq!(play.begin("c@b.example"), next);
        assert_eq!(play.feed("502 what?"), "closing: 502");
        let left: Vec<bool> = play.session.abandon().iter().map(|finished| finished.begun).collect();
        assert_eq!(left, [false]);
        assert_eq!(play.begin("c@b.example"), "not begun: the session is not authorised for it");
    }
}

/// A session over TLS that met a forced requirement.
fn forced() -> Open {
    use crate::connector::{ChainVerdict, samples};
    let mut opening = Play::new();
    opening.feed("220 hello");
    opening.feed("250-mx|250 STARTTLS");
    opening.feed("220 go");
    let facts = Observed::Established(Arc::new(samples::shown(&["mx.example"], ChainVerdict::Trusted)));
    let requirement = Requirement::Forced(Forced::encryption());
    let id = opening.session.id();
    let Verdict::Proceed(permit) = judge(&requirement, &facts, id, Revision::default(), TABLE) else {
        panic!("it is met");
    };
    let mut out = Vec::new();
    let Some(AuthorisedSession::Secured(mut secured)) = opening.session.authorise(permit, &mut out) else {
        panic!("it is over TLS");
    };
    secured.feed(&mut &b"250 mx\r\n"[..], &mut out).expect("a reply");
    secured.open().expect("it is ready")
}

#[track_caller]
fn check_login(mechanism: Mechanism, secret: &str, replies: &[&str], expected: &[&str]) {
    let mut session = forced();
    let mut out = Vec::new();
    let mut login = session.login(LoginAs { mechanism, user: "u", secret }, &mut out).expect("it may");
    let mut said = vec![String::from_utf8(std::mem::take(&mut out)).expect("text")];
    for reply in replies {
        let event = login.feed(&mut format!("{reply}\r\n").as_bytes(), &mut out).expect("a reply");
        said.push(String::from_utf8(std::mem::take(&mut out)).expect("text"));
        if let Some(event) = event {
            said.push(format!("{event:?}").split('(').next().unwrap_or_default().to_owned());
        }
    }
    let said: Vec<&str> = said.iter().map(|text| text.trim_end()).filter(|text| !text.is_empty()).collect();
    assert_eq!(said, expected);
}

#[test]
fn an_initial_response_goes_with_the_command_while_the_line_is_short_enough() {
    use base64::Engine as _;
    let encoded = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    check_login(Mechanism::Plain, "s", &["235 in"], &["AUTH PLAIN AHUAcw==", "LoggedIn"]);
    // `AUTH PLAIN `, 500 characters of base64 and CRLF are 513 octets; 496 of them are 509.
    for (octets, short) in [(372, true), (375, false)] {
        let secret = "x".repeat(octets - 3);
        let response = encoded(format!("\0u\0{secret}"));
        let whole = format!("AUTH PLAIN {response}");
        if short {
            assert_eq!(whole.len() + 2, 509);
            check_login(Mechanism::Plain, &secret, &["235 in"], &[&whole, "LoggedIn"]);
        } else {
            assert_eq!(whole.len() + 2, 513);
            check_login(
                Mechanism::Plain,
                &secret,
                &["334 ", "235 in"],
                &["AUTH PLAIN", &response, "LoggedIn"],
            );
        }
    }
    let token = "t".repeat(2000);
    let response = encoded(format!("user=u\x01auth=Bearer {token}\x01\x01"));
    check_login(Mechanism::XOAuth2, &token, &["334 ", "235 in"], &["AUTH XOAUTH2", &response, "LoggedIn"]);
    // The challenge that explains a refusal gets an empty response.
    let refused = ["334 ", "334 e30=", "535 no"];
    check_login(Mechanism::XOAuth2, &token, &refused, &["AUTH XOAUTH2", &response, "Refused"]);
    check_login(
        Mechanism::Login,
        "s",
        &["334 a", "334 b", "235 in"],
        &["AUTH LOGIN", "dQ==", "cw==", "LoggedIn"],
    );
}

#[test]
fn a_go_ahead_for_nobody_is_answered_by_a_lone_dot() {
    let mut play = Play::open(PIPELINED);
    play.begin("b@b.example");
    assert_eq!(play.feed("250 ok|550 no|354 go"), "> .");
    assert_eq!(play.feed("554 no recipients"), "done mail=- rcpt=550 data=- end=554");
    play.begin("b@b.example");
    assert_eq!(play.feed("550 no|503 mail first|354 go"), "> .");
    assert_eq!(play.feed("250 odd"), "done mail=550 rcpt=503 data=- end=250");
}

#[test]
fn closing_midway_ends_all_of_it() {
    let mut play = Play::open(PIPELINED);
    play.begin("b@b.example c@b.example");
    assert_eq!(play.feed("250 ok|550 no|421 bye"), "closing: 421");
    let left: Vec<String> = play.session.abandon().iter().map(describe_finished).collect();
    assert_eq!(left, ["done mail=- rcpt=550,- data=- end=-"]);
    assert_eq!(play.begin("b@b.example"), "not begun: the session is not authorised for it");
}

#[test]
fn a_connection_lost_after_the_dot_tells_which_was_sent() {
    let mut play = Play::open(PIPELINED);
    play.begin("b@b.example");
    play.feed("250 ok|250 ok|354 go");
    play.end_content();
    play.begin("c@b.example");
    let left = play.session.abandon();
    let told: Vec<(bool, bool)> = left.iter().map(|f| (f.begun, f.sent)).collect();
    assert_eq!(told, [(true, true), (false, false)]);
}

#[test]
fn what_the_server_rules_out_is_not_sent() {
    let mut play = Play::open(PIPELINED);
    let large = begin(&mut play.session, "b@b.example", 1001, &mut play.out);
    assert_eq!(large, Err(NotBegun::TooLarge { size: 1001, limit: 1000 }));
    let reverse_path = ReversePath::NULL;
    let to = Mailbox::parse("b@b.example").expect("a mailbox");
    let mail = MailFrom {
        reverse_path: &reverse_path,
        body: BodyType::EightBitMime,
        size: 1,
        utf8: false,
        originator: None,
        dsn: &MessageDsn::default(),
    };
    let eight = play.session.begin(
        &mail,
        [(&to, &RecipientDsn::default())].into_iter(),
        &demand(&Requirement::Opportunistic(None), TABLE),
        &mut play.out,
    );
    assert_eq!(eight, Err(NotBegun::EightBit));
    assert_eq!(play.said(), "");
    let mut play = Play::open("250-mx|250 8BITMIME");
    let mail = MailFrom { size: 1, ..mail };
    play.session
        .begin(
            &mail,
            [(&to, &RecipientDsn::default())].into_iter(),
            &demand(&Requirement::Opportunistic(None), TABLE),
            &mut play.out,
        )
        .expect("begun");
    assert_eq!(play.said(), "> MAIL FROM:<> BODY=8BITMIME");
}

#[test]
fn a_reply_nobody_asked_for_is_a_fault_and_421_is_not() {
    let mut play = Play::open(PIPELINED);
    assert_eq!(play.feed("250 hm"), "fault: the peer sent a reply that nothing asked for: 250 hm");
    assert_eq!(Play::open(PIPELINED).feed("421 idle"), "closing: 421");
}
