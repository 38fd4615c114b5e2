//! Partners that differ in how they make the handshake, and in what they say around it.

use rustls::crypto::aws_lc_rs::kx_group;

use super::{Behaviour, acts};
use crate::peer::sink::{Manner, SinkTls};

const BROKEN: &str = "clear; @forced: handshake-broken";

pub(super) fn handshakes() -> Vec<Behaviour> {
    vec![
        acts(
            "tls-1.2",
            "supports only TLS 1.2",
            |w| Manner::sealed(w.good().server_speaking(&[&rustls::version::TLS12])),
            "sealed; identity-1.3 post-quantum: handshake-broken",
        ),
        acts(
            "tls-1.3",
            "supports only TLS 1.3",
            |w| Manner::sealed(w.good().server_speaking(&[&rustls::version::TLS13])),
            "sealed",
        ),
        acts("tls-1.1", "chooses TLS 1.1", |_| Manner::new(SinkTls::Answers(SERVER_HELLO_1_1)), BROKEN),
        acts(
            "alert-version",
            "answers with the alert protocol_version",
            |_| Manner::new(SinkTls::Answers(&[0x15, 3, 1, 0, 2, 2, 70])),
            BROKEN,
        ),
        acts(
            "alert-failure",
            "answers with the alert handshake_failure",
            |_| Manner::new(SinkTls::Answers(&[0x15, 3, 3, 0, 2, 2, 40])),
            BROKEN,
        ),
        acts(
            "alert-name",
            "answers with the alert unrecognized_name",
            |_| Manner::new(SinkTls::Answers(&[0x15, 3, 3, 0, 2, 2, 112])),
            BROKEN,
        ),
        acts(
            "x25519",
            "supports only the group X25519",
            |w| Manner::sealed(w.good().server_agreeing(&[kx_group::X25519])),
            "sealed; post-quantum: key-exchange; profile: handshake-broken",
        ),
        acts(
            "p-256",
            "supports only the group P-256",
            |w| Manner::sealed(w.good().server_agreeing(&[kx_group::SECP256R1])),
            "sealed; post-quantum: key-exchange",
        ),
        acts(
            "ml-kem",
            "supports only the group X25519MLKEM768",
            |w| Manner::sealed(w.good().server_agreeing(&[kx_group::X25519MLKEM768])),
            "sealed; classic profile: handshake-broken",
        ),
        acts(
            "demands",
            "demands a client certificate, and we have none",
            |w| Manner::sealed(w.partners.demanding_server(&w.good())),
            // Refused over a certificate, even opportunistic TLS does not go on in clear.
            "handshake-broken",
        ),
        acts(
            "demands-1.2",
            "the same, and supports only TLS 1.2",
            |w| Manner::sealed(w.partners.demanding_server_speaking(&w.good(), &[&rustls::version::TLS12])),
            "handshake-broken",
        ),
        acts("garbage", "220, then octets that are no TLS", |_| Manner::new(SinkTls::Garbage), BROKEN),
        acts(
            "goes-on-in-clear",
            "220, then a second SMTP greeting in plaintext",
            |_| Manner::new(SinkTls::Answers(b"220 sink.test ESMTP ready\r\n")),
            BROKEN,
        ),
        acts("closes", "220, then the end of the connection", |_| Manner::new(SinkTls::Closes), BROKEN),
        acts(
            "closes-later",
            "the end of the connection in answer to the ClientHello",
            |_| Manner::new(SinkTls::Answers(b"")),
            BROKEN,
        ),
        acts(
            "half-a-record",
            "half a TLS record, then the end of the connection",
            |_| Manner::new(SinkTls::Answers(&[0x16, 3, 3, 0, 122, 2, 0, 0, 118])),
            BROKEN,
        ),
        acts("resets", "a reset in answer to the ClientHello", |_| Manner::new(SinkTls::Resets), BROKEN),
        acts(
            "small-hello",
            "drops the connection when the ClientHello is large, as one with a post-quantum key share is",
            |w| Manner::new(SinkTls::SmallHello(700, w.good().server_agreeing(&[kx_group::X25519]))),
            "sealed; post-quantum: key-exchange; profile: handshake-broken",
        ),
        acts("stalls", "220, then nothing at all", |_| Manner::new(SinkTls::Stalls), BROKEN),
        acts(
            "injects",
            "a reply in plaintext right after the 220, then TLS",
            |w| Manner::new(SinkTls::Injects(w.good().server())),
            "clear; @forced: handshake-broken; implicit: sealed",
        ),
    ]
}

pub(super) fn conversations() -> Vec<Behaviour> {
    const NOT_OFFERED: &str = "clear; @forced: starttls-not-offered";
    const REFUSED: &str = "clear; @forced: starttls-refused";
    vec![
        acts("no-starttls", "does not offer STARTTLS", |_| Manner::clear(), NOT_OFFERED),
        acts(
            "no-ehlo",
            "supports only HELO",
            |_| Manner::clear().replying("ehlo", "502 5.5.1 what?"),
            NOT_OFFERED,
        ),
        acts(
            "starttls-454",
            "offers STARTTLS and answers 454",
            |_| Manner::new(SinkTls::Refuses("454 4.7.0 not now")),
            REFUSED,
        ),
        acts(
            "starttls-502",
            "offers STARTTLS and answers 502",
            |_| Manner::new(SinkTls::Refuses("502 5.5.1 what?")),
            REFUSED,
        ),
        acts(
            "starttls-421",
            "offers STARTTLS, answers 421 and closes",
            |_| Manner::new(SinkTls::RefusesAndCloses("421 4.7.0 TLS not available")),
            REFUSED,
        ),
        acts(
            "starttls-454-closes",
            "offers STARTTLS, answers 454 and closes",
            |_| Manner::new(SinkTls::RefusesAndCloses("454 4.7.0 TLS not available")),
            REFUSED,
        ),
        acts(
            "starttls-454-leaves",
            "offers STARTTLS, answers 454, and the next command with 421",
            |_| Manner::new(SinkTls::Refuses("454 4.7.0 not now")).replying("noop", "421 4.3.0 bye"),
            REFUSED,
        ),
        acts(
            "starttls-closes",
            "offers STARTTLS, and closes in answer to it",
            |_| Manner::new(SinkTls::Closes).replying("starttls", "close"),
            BROKEN,
        ),
        acts(
            "starttls-250",
            "offers STARTTLS and answers 250",
            |_| Manner::new(SinkTls::Refuses("250 2.0.0 fine")),
            REFUSED,
        ),
        acts(
            "starttls-twice",
            "offers STARTTLS inside TLS again",
            |w| {
                let offer = "250-sink.test\r\n250-STARTTLS\r\n250 8BITMIME";
                Manner::sealed(w.good().server()).replying("tls:ehlo", offer)
            },
            "sealed",
        ),
        acts(
            "ehlo-421-sealed",
            "answers EHLO inside TLS with 421",
            |w| Manner::sealed(w.good().server()).replying("tls:ehlo", "421 4.3.2 going down"),
            "4.3.2",
        ),
        acts(
            "ehlo-502-sealed",
            "refuses EHLO inside TLS with 502",
            |w| Manner::sealed(w.good().server()).replying("tls:ehlo", "502 5.5.1 what?"),
            "4.5.1",
        ),
        acts(
            "closes-sealed",
            "closes after the handshake",
            |w| Manner::sealed(w.good().server()).replying("tls:ehlo", "close"),
            "clear; @forced: tls-session-lost",
        ),
        acts(
            "mail-530",
            "refuses MAIL in plaintext with 530, and offers no STARTTLS",
            |_| Manner::clear().replying("mail", "530 5.7.0 Must issue a STARTTLS command first"),
            "5.7.0; @forced: starttls-not-offered; off: 5.7.0; implicit: handshake-broken",
        ),
        acts(
            "greeting-554",
            "greets with 554",
            |_| Manner::clear().greeting("554 5.3.2 no mail here"),
            "5.3.2; off: 5.3.2; implicit: handshake-broken",
        ),
        acts(
            "greeting-421",
            "greets with 421",
            |_| Manner::clear().greeting("421 4.3.2 too busy"),
            "4.3.2; off: 4.3.2; implicit: handshake-broken",
        ),
    ]
}

/// A ServerHello of TLS 1.1 (RFC 4346 §7.4.1.3) with TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA.
const SERVER_HELLO_1_1: &[u8] = &[
    0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2, // record, handshake, version
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, // random
    0, 0xc0, 0x13, 0, // no session, suite, no compression
];
