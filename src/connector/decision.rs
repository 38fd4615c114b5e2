use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;

use super::facts::TlsFacts;

/// One decision and its reason: the same value feeds log, tracking, DSN, control API and
/// `explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The connector that decided; `None` where no connector applied.
    pub connector: Option<Arc<str>>,
    /// The host it was about, if it was about one: name, address and port.
    pub host: Option<String>,
    /// What the connector demands.
    pub wanted: String,
    /// What the session attained, or the certificate showed.
    pub got: String,
    /// One sentence.
    pub reason: String,
    /// The same as one machine word.
    pub token: Cow<'static, str>,
    /// The handshake behind it.
    pub tls: Option<Arc<TlsFacts>>,
}

impl Decision {
    /// Everything in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let connector = self.connector.as_deref().unwrap_or("none");
        format!("{} (connector {connector}; wanted {}; got {})", self.reason, self.wanted, self.got)
    }
}
