//! The peers against each other: a test tool that is wrong would prove nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::{Message as Question, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::sync::Semaphore;

use crate::peer::client::Client;
use crate::peer::dns::Dns;
use crate::peer::mint::{Authority, Kind, Pair};
use crate::peer::sink::{End, Log, Manner, SILENCE, Sink, SinkTls};
use crate::peer::source::Source;
use crate::peer::town::host;
use crate::peer::{LONG, left_out, mix, postfix, tools, within};

#[tokio::test(flavor = "multi_thread")]
async fn source_and_sink_keep_every_octet() {
    let authority = Authority::new("harness");
    let sink = Sink::start(Manner::sealed(authority.pair(&["sink.test"], Kind::Good).server())).await;
    let sent = mix::messages("harness", 200, "a@a.test", "b@b.test");
    for pipelined in [true, false] {
        let mut source = Source::sealed(sink.address, 5, authority.client(None), "sink.test");
        source.pipelined = pipelined;
        assert_eq!(source.send_all(sent.clone()).await.len(), 200);
    }
    let arrived = sink.messages(400).await;
    for message in &sent {
        let copies: Vec<_> =
            arrived.iter().filter(|a| mix::id_of(&a.content).as_ref() == Some(&message.id)).collect();
        assert_eq!(copies.len(), 2, "{}", message.id);
        assert!(copies.iter().all(|copy| copy.content == message.content && copy.sealed), "{}", message.id);
    }
    sink.assert_nothing_in_clear();
}

#[tokio::test]
async fn a_sink_sees_what_goes_in_clear() {
    let sink = Sink::start(Manner::clear()).await;
    Source::clear(sink.address, 1).send_all(mix::plain("clear", 1, 10, "a@a.test", "b@b.test")).await;
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sink.assert_nothing_in_clear()));
    assert!(seen.is_err());
}

#[tokio::test]
async fn a_sink_breaks_starttls_as_told() {
    let authority = Authority::new("harness");
    let refusals =
        [SinkTls::Absent, SinkTls::Refuses("454 4.7.0 not now"), SinkTls::Garbage, SinkTls::Closes];
    for tls in refusals {
        let sink = Sink::start(Manner::new(tls)).await;
        assert!(Client::try_sealed(sink.address, &authority.client(None), "sink.test").await.is_err());
        assert_eq!(sink.read(|log| log.handshakes), 0);
    }
    let server = authority.pair(&["sink.test"], Kind::Good).server();
    let sink = Sink::start(Manner::new(SinkTls::Injects(server))).await;
    let mut client = Client::hello(sink.address).await;
    assert_eq!(client.say("STARTTLS").await.code, 220);
    assert!(client.reply().await.text.contains("planted"));
}

#[tokio::test]
async fn a_sink_shows_bad_certificates_and_demands_good_ones() {
    let authority = Authority::new("harness");
    let own = authority.pair(&["sink.test"], Kind::Good);
    let expired = authority.pair(&["sink.test"], Kind::Expired);
    for pair in [expired, Pair::self_signed(&["sink.test"]), authority.as_leaf()] {
        let sink = Sink::start(Manner::sealed(pair.server())).await;
        assert!(Client::try_sealed(sink.address, &authority.client(None), "sink.test").await.is_err());
    }
    let sink = Sink::start(Manner::sealed(authority.demanding_server(&own))).await;
    assert!(Client::try_sealed(sink.address, &authority.client(None), "sink.test").await.is_err());
    let shown = authority.client(Some(&own));
    Source::sealed(sink.address, 1, shown, "sink.test")
        .send_all(mix::plain("m", 1, 1, "a@a.test", "b@b.test"))
        .await;
    assert!(sink.arrived()[0].client_certificate.is_some());
}

#[tokio::test]
async fn a_sink_refuses_drops_and_holds() {
    let sink = Sink::start(Manner::clear().replying("rcpt to:<no@", "550 5.1.1 no such user")).await;
    let message = |to: &str| mix::plain("m", 1, 1, "a@a.test", to).remove(0);
    let mut client = Client::hello(sink.address).await;
    assert_eq!(client.transact(&message("no@b.test")).await.unwrap().code, 550);
    assert_eq!(client.transact(&message("yes@b.test")).await.unwrap().code, 250);
    sink.behave(Manner::clear().ending(End::Drop));
    assert!(Client::hello(sink.address).await.transact(&message("yes@b.test")).await.is_err());
    sink.behave(Manner::clear().replying("mail", "421 4.3.2 going down"));
    let mut client = Client::hello(sink.address).await;
    assert_eq!(client.say("MAIL FROM:<>").await.code, 421);
    assert!(client.closed().await.is_empty());
    let gate = Arc::new(Semaphore::new(0));
    sink.behave(Manner::clear().ending(End::Hold(Arc::clone(&gate))));
    let mut client = Client::hello(sink.address).await;
    let held = tokio::spawn(async move { client.transact(&message("yes@b.test")).await.unwrap().code });
    sink.until("the held message", LONG, |log| log.commands.iter().filter(|c| *c == "DATA").count() >= 3)
        .await;
    assert_eq!(sink.read(|log| log.arrived.len()), 1);
    gate.add_permits(1);
    assert_eq!(held.await.unwrap(), 250);
}

#[tokio::test]
async fn a_town_has_a_host_at_each_address_and_each_quarter_its_manner() {
    let greetless = Manner::clear().greeting(SILENCE);
    let manners = [
        (0, Manner::clear()),
        (2, greetless),
        (3, Manner::clear().replying("data", SILENCE)),
        (4, Manner::clear().ending(End::Reply(SILENCE))),
    ];
    let town = Sink::town(manners).await;
    let at = |quarter| SocketAddr::new(IpAddr::V4(host(quarter, 255)), town.address.port());
    let message = mix::plain("town", 1, 1, "a@a.test", "b@b.test").remove(0);
    let taken = Client::hello(at(1)).await.transact(&message).await.unwrap();
    assert_eq!(taken.code, 250);
    let waiting = tokio::spawn(Client::connect(at(2)));
    town.until("a client without a greeting", LONG, |log| log.hosts.contains_key(&at(2).ip())).await;
    for (quarter, last) in [(3, "DATA"), (4, "DATA")] {
        let (address, message) = (at(quarter), message.clone());
        tokio::spawn(async move { Client::hello(address).await.transact(&message).await });
        let said = |log: &Log| {
            log.hosts.contains_key(&at(quarter).ip()) && log.commands.last().is_some_and(|c| c == last)
        };
        town.until("a client without an answer", LONG, said).await;
    }
    assert!(!waiting.is_finished());
    town.until("the end of the first", LONG, |log| log.hosts[&at(1).ip()].open == 0).await;
    assert_eq!(town.read(|log| (log.sessions, log.ended, log.arrived.len())), (4, 1, 1));
}

#[tokio::test]
async fn a_name_server_answers_as_told() {
    let dns = Dns::start().await;
    dns.mx("a.test", 10, "mx.a.test")
        .a("mx.a.test", [127, 0, 0, 1].into())
        .mx("none.test", 0, ".")
        .mx_below("many.test", "mx.a.test")
        .silent_below("silent.test")
        .fail("b.test");
    let ask = async |name: &str, kind| {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut question = Question::new(7, MessageType::Query, OpCode::Query);
        question.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), kind));
        socket.send_to(&question.to_vec().unwrap(), dns.address).await.unwrap();
        let mut buffer = [0; 2048];
        let length = within("an answer", LONG, socket.recv(&mut buffer)).await.unwrap();
        let answer = Question::from_vec(&buffer[..length]).unwrap();
        let data: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
        (answer.metadata.response_code, data.join(" "))
    };
    assert_eq!(ask("a.test", RecordType::MX).await, (ResponseCode::NoError, "10 mx.a.test.".into()));
    assert_eq!(ask("mx.a.test", RecordType::A).await, (ResponseCode::NoError, "127.0.0.1".into()));
    assert_eq!(ask("mx.a.test", RecordType::AAAA).await, (ResponseCode::NoError, String::new()));
    assert_eq!(ask("none.test", RecordType::MX).await, (ResponseCode::NoError, "0 .".into()));
    assert_eq!(ask("b.test", RecordType::A).await.0, ResponseCode::ServFail);
    dns.lasting(300);
    assert_eq!(ask("a.test", RecordType::AAAA).await, (ResponseCode::NoError, String::new()));
    assert_eq!(ask("c.test", RecordType::A).await.0, ResponseCode::NXDomain);
    assert_eq!(ask("x9.many.test", RecordType::MX).await, (ResponseCode::NoError, "10 mx.a.test.".into()));
    let unanswered = ask("a.silent.test", RecordType::MX);
    tokio::pin!(unanswered);
    // Questions are answered in their order: this one was passed over.
    tokio::select! {
        biased;
        answer = &mut unanswered => panic!("{answer:?}"),
        known = ask("a.test", RecordType::A) => assert_eq!(known.0, ResponseCode::NoError),
    }
    assert_eq!(dns.asked("a.test", RecordType::MX), 1);
    assert_eq!(dns.asked("a.silent.test", RecordType::MX), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_postfix_relays_to_a_sink() {
    if let Some(why) = postfix::Postfix::missing() {
        return left_out("harness::a_real_postfix_relays_to_a_sink", why);
    }
    let authority = Authority::new("harness");
    let sink = Sink::start(Manner::sealed(authority.pair(&["sink.test"], Kind::Good).server())).await;
    let relay = postfix::Relay { to: sink.address, verify: Some((&authority, "sink.test")) };
    let postfix = postfix::Postfix::start(&authority.pair(&["postfix.test"], Kind::Good), relay).await;
    let source = Source::sealed(postfix.address, 2, authority.client(None), "postfix.test");
    source.send_all(mix::plain("p", 20, 500, "a@a.test", "b@b.test")).await;
    assert!(sink.messages(20).await.iter().all(|arrived| arrived.sealed));
    let mut load = postfix.tool("smtp-source");
    load.args(["-m", "10", "-s", "2", "-f", "a@a.test", "-t", "b@b.test"]).arg(postfix.address.to_string());
    let output = tools::run(load).await;
    assert!(output.status.success(), "{}", tools::said(&output));
    sink.messages(30).await;
}
