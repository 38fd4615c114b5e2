//! More addresses than one attempt tries.

use super::*;

#[tokio::test]
async fn a_limit_on_addresses_is_no_verdict_on_the_host_behind_it() {
    let mut refusing = Vec::new();
    for _ in 0..8 {
        refusing.push(Peer::start(Manner { greeting: Some("554 no service"), ..Manner::default() }).await);
    }
    let good = Peer::start(Manner::default()).await;
    let all: Vec<_> = refusing.iter().chain([&good]).map(|peer| peer.address).collect();
    let world = World::new(outbound(&all), Vec::new());
    let mut said = Vec::new();
    // Five of nine are tried in an attempt: the first two, and three of the other seven in turn.
    for attempt in 0..3 {
        said.extend(world.carry(&[job(1, "a", attempt)]).await);
        if said.last().is_some_and(|last| last.contains("delivered")) {
            break;
        }
    }
    let (last, before) = said.split_last().expect("an attempt");
    assert_eq!(last, "1: delivered clear-not-offered");
    assert!(before.iter().all(|one| one == "1: deferred 4.3.2 Lane"), "{said:?}");
    let world = World::new(outbound(&all[..5]), Vec::new());
    assert_eq!(world.carry(&[job(1, "a", 0)]).await, ["1: failed 5.3.2 Recipient"], "all were tried");
}

#[tokio::test]
async fn a_message_that_hosts_cannot_take_does_not_block_the_lane() {
    let mut plain = Vec::new();
    for _ in 0..9 {
        plain.push(Peer::start(Manner::default()).await);
    }
    let world = World::new(outbound(&plain.iter().map(|peer| peer.address).collect::<Vec<_>>()), Vec::new());
    let mut modern = job(1, "a", 0);
    let forward_path = Mailbox::parse("\u{fc}@b.example").expect("a mailbox");
    modern.recipients = [QueuedRecipient { forward_path, ..modern.recipients[0].clone() }].into();
    Arc::get_mut(&mut modern.message).expect("one message").utf8 = true;
    let said = world.carry(&[modern, job(2, "a", 0)]).await;
    assert_eq!(
        said,
        ["1: deferred 4.6.7 Recipient clear-not-offered", "2: delivered clear-not-offered"],
        "the other hosts may take it"
    );
    let mailbox = Mailbox::parse("\u{fc}@b.example").expect("a mailbox");
    let question = RecipientQuestion { mailbox, arrives_by: "in".into(), onward: Onward::Any, ticket: 7 };
    world.jobs.questions.lock().expect("questions").push_back(question);
    let said = world.carry(&[job(3, "a", 0)]).await;
    assert!(said[0].starts_with("7: Unsure Hindered") && said[0].contains("scope: Recipient"), "{said:?}");
    assert_eq!(said[1], "3: delivered clear-not-offered");
}

#[tokio::test]
async fn plaintext_waits_until_every_host_was_tried_over_tls() {
    let mut peers = Vec::new();
    for _ in 0..9 {
        peers.push(Peer::start(Manner { starttls: StartTls::Broken, ..Manner::default() }).await);
    }
    let world = World::new(outbound(&peers.iter().map(|peer| peer.address).collect::<Vec<_>>()), Vec::new());
    for attempt in 0..2 {
        let said = world.carry(&[job(1, "a", attempt)]).await;
        assert_eq!(said, ["1: deferred 4.7.5 Lane handshake-broken"]);
    }
    assert_eq!(world.carry(&[job(1, "a", 2)]).await, ["1: delivered clear-handshake-broken"]);
    assert!(peers.iter().all(|peer| !peer.heard("STARTTLS").is_empty()), "one had no turn");
}
