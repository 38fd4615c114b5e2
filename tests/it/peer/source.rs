//! A source of load: messages over several sessions at once, and which of them were acknowledged.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ClientConfig;
use tokio::task::JoinSet;

use super::client::Client;
use super::mix::Message;

/// How messages are handed in.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) target: SocketAddr,
    /// STARTTLS, with whom we trust and what we show, and the name we expect.
    pub(crate) tls: Option<(Arc<ClientConfig>, String)>,
    pub(crate) sessions: usize,
    pub(crate) pipelined: bool,
}

/// What became of it.
#[derive(Default)]
pub(crate) struct Handed {
    /// Messages whose dot was answered 250.
    pub(crate) acknowledged: Vec<Message>,
    /// What else was answered, or the fault that ended a session.
    pub(crate) troubles: Vec<String>,
}

impl Source {
    pub(crate) fn clear(target: SocketAddr, sessions: usize) -> Self {
        Self { target, tls: None, sessions, pipelined: true }
    }

    pub(crate) fn sealed(target: SocketAddr, sessions: usize, tls: Arc<ClientConfig>, name: &str) -> Self {
        Self { target, tls: Some((tls, name.to_owned())), sessions, pipelined: true }
    }

    pub(crate) async fn open(&self) -> std::io::Result<Client> {
        match &self.tls {
            Some((config, name)) => Client::try_sealed(self.target, config, name).await,
            None => {
                let mut client = Client::try_connect(self.target).await?;
                client.try_say("EHLO source.test").await?;
                Ok(client)
            }
        }
    }

    /// Hands in all messages; a session that breaks ends, and its message is not acknowledged.
    pub(crate) async fn send(&self, mut messages: Vec<Message>) -> Handed {
        messages.reverse();
        let waiting = Arc::new(Mutex::new(messages));
        let mut sessions = JoinSet::new();
        for _ in 0..self.sessions {
            sessions.spawn(session(self.clone(), Arc::clone(&waiting)));
        }
        let mut all = Handed::default();
        while let Some(handed) = sessions.join_next().await {
            let handed = handed.unwrap();
            all.acknowledged.extend(handed.acknowledged);
            all.troubles.extend(handed.troubles);
        }
        all
    }

    /// Hands in all messages, and each must be acknowledged.
    pub(crate) async fn send_all(&self, messages: Vec<Message>) -> Vec<Message> {
        let count = messages.len();
        let handed = self.send(messages).await;
        assert!(
            handed.troubles.is_empty(),
            "{} troubles, such as {:?}",
            handed.troubles.len(),
            handed.troubles[0]
        );
        assert_eq!(handed.acknowledged.len(), count);
        handed.acknowledged
    }
}

async fn session(source: Source, waiting: Arc<Mutex<Vec<Message>>>) -> Handed {
    let mut handed = Handed::default();
    let mut client = match source.open().await {
        Ok(client) => client,
        Err(fault) => {
            handed.troubles.push(fault.to_string());
            return handed;
        }
    };
    loop {
        let next = waiting.lock().unwrap().pop();
        let Some(message) = next else { break };
        let reply = match source.pipelined {
            true => client.transact_pipelined(&message).await,
            false => client.transact(&message).await,
        };
        match reply {
            Ok(reply) if reply.code == 250 => handed.acknowledged.push(message),
            // As a mail server would.
            Ok(reply) if reply.code == 421 && reply.text.ends_with("connect again") => {
                waiting.lock().unwrap().push(message);
                match source.open().await {
                    Ok(another) => client = another,
                    Err(fault) => {
                        handed.troubles.push(fault.to_string());
                        return handed;
                    }
                }
            }
            Ok(reply) => handed.troubles.push(format!("{}: {}", message.id, reply.text)),
            Err(fault) => {
                handed.troubles.push(format!("{}: {fault}", message.id));
                return handed;
            }
        }
    }
    let _ = client.try_say("QUIT").await;
    handed
}
