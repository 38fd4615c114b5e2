//! The TLS handshake: its place, its turns at computing, and the session that continues over TLS.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::ready;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::PollSemaphore;

use super::Conversation;
use crate::connector::{HandshakeFault, TlsFacts};
use crate::listen::census::Guest;
use crate::mail::Clock;
use crate::smtp::receive::{Action, Session};

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
            place = self.door.lobby.handshakes.wait(guest, PLACE_WAIT) => place,
            () = self.stop.cancelled() => None,
        };
        self.place.is_some()
    }

    pub(super) async fn go_on_sealed(mut self, stream: TcpStream) {
        // After STARTTLS the place is already taken.
        if self.place.is_none() && !self.take_place().await {
            return self.ended("TLS handshake: too many are under way");
        }
        let shaken = self.handshake(stream).await;
        self.place = None;
        match shaken {
            Ok((mut sealed, facts)) => {
                let facts = Arc::new(facts);
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
    ) -> Result<(Box<TlsStream<TcpStream>>, TlsFacts), HandshakeFault> {
        let Some(setup) = &self.terms.setup else {
            return Err(HandshakeFault::new("the listener has no certificate to show".to_owned()));
        };
        let mut shaking = Box::pin(setup.accept(stream, Clock::wall()));
        let mut steps = PollSemaphore::new(Arc::clone(&self.door.lobby.steps));
        let by_turns = poll_fn(|context| {
            // The permit is held while the handshake computes, not while it waits for the client. The
            // semaphore is never closed.
            let _turn = ready!(steps.poll_acquire(context));
            shaking.as_mut().poll(context)
        });
        tokio::select! {
            done = timeout(self.shared.settings.timeouts.handshake, by_turns) => match done {
                Ok(done) => done.map(|(stream, facts)| (Box::new(stream), facts)),
                Err(_) => Err(HandshakeFault::new("it took too long".to_owned())),
            },
            () = self.stop.cancelled() => Err(HandshakeFault::new("the daemon stops".to_owned())),
        }
    }
}

/// How long a client waits for a place before TLS is refused as temporarily unavailable.
const PLACE_WAIT: Duration = Duration::from_secs(5);
