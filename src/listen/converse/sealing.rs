//! The TLS handshake: its place, its turns at computing, and the session that continues over TLS.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::ready;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::PollSemaphore;

use super::Conversation;
use super::presentation::Presentation;
use crate::connector::{HandshakeFault, TlsFacts};
use crate::listen::census::Guest;
use crate::mail::Clock;
use crate::smtp::receive::{Action, Session};
use crate::tls::{ClientChain, outdated_hello};
use crate::tracking::{Event, HandshakeSide};

impl Conversation {
    /// Finds a place for a handshake and tells the session whether there is one. Returns whether the session
    /// is over.
    pub(super) async fn find_place(&mut self) -> bool {
        let found = self.take_place().await;
        self.told(|session| {
            if !found {
                return session.on_no_place();
            }
            session.on_place();
            Action::StartTls
        })
    }

    /// Takes a place, after a short wait if needed. Returns whether there is one.
    async fn take_place(&mut self) -> bool {
        let named = self.shared.live.table().sessions_of_named(self.peer.ip());
        let guest = Guest { network: self.network(), named };
        self.place = tokio::select! {
            place = self.door.lobby.handshakes.wait(guest, PLACE_WAIT) => place.map(Box::new),
            () = self.stop.cancelled() => None,
        };
        self.place.is_some()
    }

    pub(super) async fn go_on_sealed(mut self, stream: TcpStream) {
        // After STARTTLS the place is already taken.
        if self.place.is_none() && !self.take_place().await {
            return self.ended("TLS handshake: too many are under way");
        }
        let begun = Instant::now();
        let shaken = self.handshake(stream).await;
        self.place = None;
        self.shared.journal.record(&Event::Handshake {
            side: HandshakeSide::Inbound(&self.door.name),
            peer: self.peer,
            took: begun.elapsed(),
            result: shaken.as_ref().map(|(_, facts, _)| facts.version),
        });
        match shaken {
            Ok((mut sealed, facts, chain)) => {
                let facts = Arc::new(facts);
                self.recording.iter_mut().for_each(|recording| recording.secured(&facts));
                self.presented = Some(Box::new(Presentation::new(Arc::clone(&facts), chain)));
                match &mut self.session {
                    Some(session) => Session::on_tls(session, facts),
                    None => self.start(Some(facts)),
                }
                // A second STARTTLS is refused, so the session is over.
                let _over = self.drive(&mut *sealed).await;
            }
            Err(HandshakeFault { words: text, .. }) => self.ended(&format!("TLS handshake: {text}")),
        }
        self.tell_repeated();
    }

    async fn handshake(
        &mut self,
        stream: TcpStream,
    ) -> Result<(Box<TlsStream<TcpStream>>, TlsFacts, ClientChain), HandshakeFault> {
        let Some(setup) = &self.terms.setup else {
            return Err(HandshakeFault::new("the listener has no certificate to show".to_owned()));
        };
        let ask = self.terms.table.wants_certificate_of(&self.door.name, self.peer.ip());
        let mut shaking = Box::pin(async {
            // The first octets usually come in one piece; where they don't, the library's words must do.
            let mut first = [0_u8; HELLO_BYTES];
            let seen = stream.peek(&mut first).await.unwrap_or_default();
            let outdated = outdated_hello(first.get(..seen).unwrap_or_default());
            let shaken = setup.accept(stream, ask, Clock::wall()).await;
            shaken.map_err(|fault| outdated.unwrap_or(fault))
        });
        let mut steps = PollSemaphore::new(Arc::clone(&self.door.lobby.steps));
        let by_turns = poll_fn(|context| {
            // The permit is held while the handshake computes, not while it waits for the client. The
            // semaphore is never closed.
            let _turn = ready!(steps.poll_acquire(context));
            shaking.as_mut().poll(context)
        });
        tokio::select! {
            done = timeout(self.shared.settings.timeouts.handshake, by_turns) => match done {
                Ok(done) => done.map(|(stream, facts, chain)| (Box::new(stream), facts, chain)),
                Err(_) => Err(HandshakeFault::new("it took too long".to_owned())),
            },
            () = self.stop.cancelled() => Err(HandshakeFault::new("the daemon stops".to_owned())),
        }
    }
}

/// Octets of a ClientHello up to its version.
const HELLO_BYTES: usize = 11;
/// How long a client waits for a place before TLS is refused as temporarily unavailable.
const PLACE_WAIT: Duration = Duration::from_secs(5);
