//! How a sink behaves.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::Semaphore;

/// In place of a greeting or a reply: the sink says nothing any more, and keeps the connection.
pub(crate) const SILENCE: &str = "silence";

/// How a sink answers.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) greeting: String,
    pub(crate) tls: SinkTls,
    /// Replies to commands that begin so (upper or lower case; behind `tls:` only where the session
    /// is sealed), the first that fits; others are taken. A reply of 421 closes, `close` closes
    /// without one, and [`SILENCE`] answers nothing any more.
    pub(crate) replies: Vec<(String, String)>,
    pub(crate) end: End,
    /// After so many messages of a session, this in place of the reply to MAIL.
    pub(crate) messages_max: Option<(usize, &'static str)>,
    /// After so many recipients of a transaction, this in place of the reply to RCPT.
    pub(crate) recipients_max: Option<(usize, &'static str)>,
    /// TLS from the first octet, where there is any.
    pub(crate) implicit: bool,
}

/// What STARTTLS comes to.
#[derive(Clone)]
pub(crate) enum SinkTls {
    /// Not offered; asked for all the same, 502.
    Absent,
    /// Offered, and answered with this.
    Refuses(&'static str),
    /// Offered, answered with this, and then the connection ends.
    RefusesAndCloses(&'static str),
    /// 220, and then octets that are no TLS.
    Garbage,
    /// 220, and then the connection ends.
    Closes,
    /// 220, and these octets in answer to the ClientHello; then the connection ends.
    Answers(&'static [u8]),
    /// 220, and the connection is reset when the ClientHello comes.
    Resets,
    /// 220, and nothing any more.
    Stalls,
    /// 220 with a reply behind it in clear, as someone in the middle would plant it; TLS then.
    Injects(Arc<ServerConfig>),
    /// The connection ends where the ClientHello has more octets than this; else it works.
    SmallHello(usize, Arc<ServerConfig>),
    /// It works.
    Works(Arc<ServerConfig>),
}

/// What follows the dot.
#[derive(Clone)]
pub(crate) enum End {
    Accept,
    /// The connection ends, whatever became of the message.
    Drop,
    Reply(&'static str),
    /// The reply waits for a permit of this semaphore, which it uses up.
    Hold(Arc<Semaphore>),
    /// The reply comes after this time.
    After(Duration),
}

impl SinkTls {
    /// Whether it comes to the first octets of a handshake, or of what there is in its place.
    pub(crate) fn is_tried(&self) -> bool {
        !matches!(self, Self::Absent | Self::Refuses(_) | Self::RefusesAndCloses(_))
    }
}

impl Manner {
    pub(crate) fn new(tls: SinkTls) -> Self {
        let greeting = "220 sink.test ESMTP ready".to_owned();
        Self {
            greeting,
            tls,
            replies: Vec::new(),
            end: End::Accept,
            messages_max: None,
            recipients_max: None,
            implicit: false,
        }
    }

    pub(crate) fn clear() -> Self {
        Self::new(SinkTls::Absent)
    }

    pub(crate) fn sealed(server: Arc<ServerConfig>) -> Self {
        Self::new(SinkTls::Works(server))
    }

    pub(crate) fn replying(mut self, command: &str, reply: &str) -> Self {
        self.replies.push((command.to_lowercase(), reply.to_owned()));
        self
    }

    pub(crate) fn greeting(mut self, greeting: &str) -> Self {
        greeting.clone_into(&mut self.greeting);
        self
    }

    pub(crate) fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}
