//! Where mail goes when the name service is asked.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::dns::Dns;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, QUICK, Site, outbound};
use crate::peer::{LONG, mix};

/// Sinks on one port of 127.0.0.1, 127.0.0.2 and so on: mail exchangers share a port.
async fn exchangers(count: u8) -> Vec<Sink> {
    let first = Sink::start(Manner::clear()).await;
    let port = first.address.port();
    let mut sinks = vec![first];
    for number in 2..=count {
        sinks.push(Sink::start_at(&format!("127.0.0.{number}:{port}"), Manner::clear()).await);
    }
    sinks
}

async fn start(site: &Site, dns: &Dns, port: u16, home: &Sink) -> Daemon {
    let mx = format!(
        "[dns]\nservers = [\"{}\"]\ntimeout = \"1s\"\nattempts = 1\n\n{QUICK}\
         [[outbound]]\nname = \"mx\"\ndomains = [\"*\"]\nnext_hop = \"mx\"\nport = {port}\ntls = \"opportunistic\"\n\n",
        dns.address
    );
    site.start(&(mx + &outbound("home", "a.test", home.address, OPPORTUNISTIC))).await
}

async fn hand_in(daemon: &Daemon, to: &str) {
    let message = mix::plain("route", 1, 100, "ada@a.test", to).remove(0);
    let reply = Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lowest_preference_comes_first_and_the_next_when_it_fails() {
    let (site, dns, home) = (Site::new(), Dns::start().await, Sink::start(Manner::clear()).await);
    let sinks = exchangers(3).await;
    dns.mx("b.test", 20, "mx2.b.test").mx("b.test", 10, "mx1.b.test").mx("b.test", 30, "mx3.b.test");
    for number in 1..=3u8 {
        dns.a(&format!("mx{number}.b.test"), [127, 0, 0, number].into());
    }
    let daemon = start(&site, &dns, sinks[0].address.port(), &home).await;
    hand_in(&daemon, "bob@b.test").await;
    sinks[0].messages(1).await;
    // The first one turns us away at the greeting, the second has the mail.
    sinks[0].behave(Manner::clear().greeting("421 4.3.2 too busy"));
    // A connection that is kept open may still be good for one message.
    hand_in(&daemon, "bob@b.test").await;
    hand_in(&daemon, "bob@b.test").await;
    daemon.queue_empty().await;
    let arrived = sinks[0].arrived().len() + sinks[1].arrived().len();
    assert_eq!(arrived, 3);
    assert_eq!(sinks[2].read(|log| log.sessions), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_greeting_leads_to_the_next_exchanger() {
    let (site, dns, home) = (Site::new(), Dns::start().await, Sink::start(Manner::clear()).await);
    let sinks = exchangers(2).await;
    sinks[0].behave(Manner::clear().greeting("554 5.3.2 no service"));
    dns.mx("b.test", 10, "mx1.b.test").mx("b.test", 20, "mx2.b.test");
    dns.a("mx1.b.test", [127, 0, 0, 1].into()).a("mx2.b.test", [127, 0, 0, 2].into());
    let daemon = start(&site, &dns, sinks[0].address.port(), &home).await;
    hand_in(&daemon, "bob@b.test").await;
    sinks[1].messages(1).await;
    assert!(sinks[0].arrived().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_addresses_the_first_of_them_dead() {
    let (site, dns, home) = (Site::new(), Dns::start().await, Sink::start(Manner::clear()).await);
    let sink = Sink::start(Manner::clear()).await;
    // Nobody listens on that port of the other addresses.
    dns.mx("b.test", 10, "mx.b.test")
        .a("mx.b.test", [127, 0, 0, 77].into())
        .a("mx.b.test", [127, 0, 0, 1].into());
    let daemon = start(&site, &dns, sink.address.port(), &home).await;
    for _ in 0..4 {
        hand_in(&daemon, "bob@b.test").await;
    }
    sink.messages(4).await;
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exchanger_has_its_turn_and_a_limit_is_no_verdict() {
    let (site, dns, home) = (Site::new(), Dns::start().await, Sink::start(Manner::clear()).await);
    let sink = Sink::start(Manner::clear()).await;
    // Eight exchangers come before the one that works: four have no address, four refuse connections.
    for number in 0..8u8 {
        dns.mx("b.test", number.into(), &format!("mx{number}.b.test"));
        if number % 2 == 1 {
            dns.a(&format!("mx{number}.b.test"), [127, 0, 0, 70 + number].into());
        }
    }
    dns.mx("b.test", 90, "good.b.test").a("good.b.test", [127, 0, 0, 1].into());
    // Here none of those that are looked up at first has an address.
    for number in 0..5u8 {
        dns.mx("c.test", number.into(), &format!("none{number}.c.test"));
    }
    dns.mx("c.test", 90, "good.b.test");
    let config = format!(
        "[dns]\nservers = [\"{}\"]\n\n[limits]\naddresses = 2\n\n{QUICK}\
         [[outbound]]\nname = \"mx\"\ndomains = [\"*\"]\nnext_hop = \"mx\"\nport = {}\n{OPPORTUNISTIC}\n",
        dns.address,
        sink.address.port()
    );
    let daemon = site.start(&(config + &outbound("home", "a.test", home.address, OPPORTUNISTIC))).await;
    hand_in(&daemon, "bob@b.test").await;
    hand_in(&daemon, "bob@c.test").await;
    sink.messages(2).await;
    daemon.queue_empty().await;
    assert!(home.arrived().is_empty(), "a report was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn smart_hosts_are_looked_up_side_by_side() {
    let (site, dns) = (Site::new(), Dns::start().await);
    let sink = Sink::start(Manner::clear()).await;
    dns.a("up.test", [127, 0, 0, 1].into()).gather("down.test", 4);
    let hosts: Vec<String> = (0..4).map(|n| format!("\"mx{n}.down.test:25\"")).collect();
    let config = format!(
        "[dns]\nservers = [\"{}\"]\ntimeout = \"1m\"\n\n{QUICK}[[outbound]]\nname = \"out\"\ndomains = [\"*\"]\n\
         next_hop = [{}, \"up.test:{}\"]\n{OPPORTUNISTIC}\n",
        dns.address,
        hosts.join(", "),
        sink.address.port()
    );
    let daemon = site.start(&config).await;
    hand_in(&daemon, "bob@b.test").await;
    // Nothing about them is answered until each has been asked about.
    sink.messages(1).await;
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_server_without_edns_is_asked_again_without_it() {
    for code in [ResponseCode::FormErr, ResponseCode::NotImp] {
        let (site, dns, home) = (Site::new(), Dns::start().await, Sink::start(Manner::clear()).await);
        let sink = Sink::start(Manner::clear()).await;
        dns.refuse_edns(code).mx("b.test", 10, "mx.b.test").a("mx.b.test", [127, 0, 0, 1].into());
        let daemon = start(&site, &dns, sink.address.port(), &home).await;
        hand_in(&daemon, "bob@b.test").await;
        sink.messages(1).await;
        // It is remembered: only what was asked side by side at first was refused.
        assert!(dns.refused_edns() <= 2, "{}", dns.refused_edns());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn localhost_is_what_dns_says() {
    let (site, dns, home) = (Site::new(), Dns::start().await, Sink::start(Manner::clear()).await);
    let sinks = exchangers(2).await;
    // Strangers name it as their exchanger, directly and by an alias; DNS knows it under another address.
    dns.mx("b.test", 10, "localhost").mx("c.test", 10, "mx.c.test").cname("mx.c.test", "x.localhost");
    dns.a("x.localhost", [127, 0, 0, 2].into());
    let daemon = start(&site, &dns, sinks[0].address.port(), &home).await;
    hand_in(&daemon, "bob@c.test").await;
    sinks[1].messages(1).await;
    hand_in(&daemon, "bob@b.test").await;
    let dsn = String::from_utf8(home.messages(1).await.remove(0).content).unwrap();
    assert!(dsn.contains("5.4.4"), "{dsn}");
    assert_eq!(sinks[0].read(|log| log.sessions), 0);
    assert!(dns.asked("localhost", RecordType::A) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_mx_record_leads_to_nothing_of_ours_unless_a_key_says_so() {
    let (site, dns) = (Site::new(), Dns::start().await);
    let sink = Sink::start(Manner::clear()).await;
    dns.mx("b.test", 10, "mx.b.test").a("mx.b.test", [127, 0, 0, 1].into());
    let config = |key: &str| {
        format!(
            "[dns]\nservers = [\"{}\"]\n\n{QUICK}[[outbound]]\nname = \"mx\"\ndomains = [\"*\"]\nnext_hop = \"mx\"\n\
             port = {}\nmx_addresses = \"{key}\"\n{OPPORTUNISTIC}\n",
            dns.address,
            sink.address.port()
        )
    };
    let daemon = site.start(&config("public")).await;
    hand_in(&daemon, "bob@b.test").await;
    hand_in(&daemon, "bob@[127.0.0.1]").await;
    for to in ["bob@b.test", "bob@[127.0.0.1]"] {
        let row = daemon.deferred(to).await;
        assert_eq!(row["last"]["status"], "4.4.4", "{row}");
    }
    assert_eq!(sink.read(|log| log.sessions), 0);
    site.configure(&config("private"));
    daemon.ask(&["reload"]).await;
    daemon.ask(&["queue", "retry", "--all"]).await;
    daemon.idle().await;
    assert_eq!(sink.read(|log| log.sessions), 0);
    site.configure(&config("any"));
    daemon.ask(&["reload"]).await;
    sink.messages(2).await;
    daemon.queue_empty().await;
}

/// An address of which connections are neither taken nor refused, for as long as this is kept.
pub(crate) fn silent(address: &str) -> (std::net::SocketAddr, Vec<std::net::TcpStream>, socket2::Socket) {
    let address: std::net::SocketAddr = address.parse().unwrap();
    let socket =
        socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    // Connections wait to be accepted until there is no more room for one.
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(200))
    {
        waiting.push(stream);
    }
    (address, waiting, socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_address_family_costs_a_moment() {
    let (site, dns) = (Site::new(), Dns::start().await);
    let (dead, _waiting, _socket) = silent("[::1]:0");
    let sink = Sink::start_at(&format!("127.0.0.1:{}", dead.port()), Manner::clear()).await;
    dns.mx("b.test", 10, "mx.b.test").a("mx.b.test", [127, 0, 0, 1].into());
    dns.aaaa("mx.b.test", std::net::Ipv6Addr::LOCALHOST);
    // A connection may take an hour: what arrives did not wait for the first address.
    let config = |keys: &str| {
        format!(
            "[dns]\nservers = [\"{}\"]\n\n[timeouts]\nconnect = \"1h\"\n\n{QUICK}[[outbound]]\nname = \"mx\"\n\
             domains = [\"*\"]\nnext_hop = \"mx\"\nport = {}\n{keys}{OPPORTUNISTIC}\n",
            dns.address,
            dead.port()
        )
    };
    let daemon = site.start(&config("")).await;
    hand_in(&daemon, "bob@b.test").await;
    sink.messages(1).await;
    for (number, family) in ["prefer-ipv4", "ipv4"].into_iter().enumerate() {
        site.configure(&config(&format!("address_family = \"{family}\"\n")));
        daemon.ask(&["reload"]).await;
        hand_in(&daemon, "bob@b.test").await;
        sink.messages(number + 2).await;
    }
    daemon.queue_empty().await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_mx_the_domain_itself_is_the_host() {
    let (site, dns, home) = (Site::new(), Dns::start().await, Sink::start(Manner::clear()).await);
    let sink = Sink::start(Manner::clear()).await;
    dns.a("b.test", [127, 0, 0, 1].into());
    let daemon = start(&site, &dns, sink.address.port(), &home).await;
    hand_in(&daemon, "bob@b.test").await;
    sink.messages(1).await;
    assert!(dns.asked("b.test", RecordType::MX) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_mx_is_final_at_once() {
    let (site, dns, home) = (Site::new(), Dns::start().await, Sink::start(Manner::clear()).await);
    let sink = Sink::start(Manner::clear()).await;
    dns.mx("none.test", 0, ".").a("none.test", [127, 0, 0, 1].into());
    let daemon = start(&site, &dns, sink.address.port(), &home).await;
    hand_in(&daemon, "bob@none.test").await;
    let dsn = String::from_utf8(home.messages(1).await.remove(0).content).unwrap();
    assert!(dsn.contains("5.1.10"), "{dsn}");
    // RFC 7505 §3: no address of the domain is tried.
    assert_eq!(sink.read(|log| log.sessions), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_does_not_exist_is_final() {
    let (site, dns, home) = (Site::new(), Dns::start().await, Sink::start(Manner::clear()).await);
    let daemon = start(&site, &dns, 25, &home).await;
    hand_in(&daemon, "bob@nowhere.test").await;
    let dsn = String::from_utf8(home.messages(1).await.remove(0).content).unwrap();
    assert!(dsn.contains("5.1.2"), "{dsn}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_service_that_fails_defers() {
    let (site, dns, home) = (Site::new(), Dns::start().await, Sink::start(Manner::clear()).await);
    let sink = Sink::start(Manner::clear()).await;
    dns.a("b.test", [127, 0, 0, 1].into()).fail("b.test");
    let daemon = start(&site, &dns, sink.address.port(), &home).await;
    hand_in(&daemon, "bob@b.test").await;
    let row = daemon.deferred("bob@b.test").await;
    assert!(row["last"]["status"].as_str().is_some_and(|s| s.starts_with("4.4.")), "{row}");
    dns.mend("b.test");
    sink.messages(1).await;
    daemon.queue_empty().await;
    assert!(home.arrived().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mx_name_is_no_identity() {
    // A certificate for the name that an unsigned MX record led to proves nothing (RFC 9325 §7.1).
    let (site, dns) = (Site::new(), Dns::start().await);
    let pair = site.partners.pair(&["mx.b.test"], crate::peer::mint::Kind::Good);
    let sink = Sink::start(Manner::sealed(pair.server())).await;
    dns.mx("b.test", 10, "mx.b.test").a("mx.b.test", [127, 0, 0, 1].into());
    let tls = IDENTITY.replace("peer_names = [\"mail.partner.test\"]\n", "");
    let config = format!(
        "[dns]\nservers = [\"{}\"]\n\n{QUICK}[[outbound]]\nname = \"mx\"\ndomains = [\"b.test\"]\n\
         next_hop = \"mx\"\nport = {}\n{tls}\n",
        dns.address,
        sink.address.port()
    );
    let daemon = site.start(&config).await;
    hand_in(&daemon, "bob@b.test").await;
    let row = daemon.deferred("bob@b.test").await;
    assert_eq!(row["last"]["decision"]["token"], "name-mismatch", "{row}");
    sink.assert_nothing_in_clear();
    sink.until("the end of the session", LONG, |log| log.ended > 0).await;
    assert!(!sink.read(|log| log.commands.iter().any(|c| c.starts_with("MAIL"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn smart_hosts_begin_by_turns_where_they_are_to() {
    let site = Site::new();
    let (sinks, dead) = (exchangers(3).await, crate::peer::daemon::free_address());
    let config = |spread: bool| {
        let hosts: Vec<String> = sinks.iter().map(|sink| sink.address).chain([dead]).map(quoted).collect();
        let hosts = hosts.join(", ");
        format!(
            "{QUICK}[[outbound]]\nname = \"out\"\ndomains = [\"*\"]\nnext_hop = [{hosts}]\ntls = \"opportunistic\"\nspread = {spread}\n\n"
        )
    };
    let count = |sink: &Sink| sink.read(|log| log.arrived.len());
    let daemon = site.start(&config(true)).await;
    for _ in 0..12 {
        hand_in(&daemon, "bob@b.test").await;
        daemon.queue_empty().await;
    }
    let shares: Vec<usize> = sinks.iter().map(count).collect();
    // The first of a turn of the dead one's follows: it has two of four.
    assert!(shares.iter().sum::<usize>() == 12 && shares.iter().all(|share| *share >= 3), "{shares:?}");
    site.configure(&config(false));
    daemon.ask(&["reload"]).await;
    for _ in 0..3 {
        hand_in(&daemon, "bob@b.test").await;
        daemon.queue_empty().await;
    }
    assert_eq!(count(&sinks[0]), shares[0] + 3, "in order, the first has all");
}

fn quoted(address: std::net::SocketAddr) -> String {
    format!("\"[{}]:{}\"", address.ip(), address.port())
}
