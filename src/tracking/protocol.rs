//! The protocol log: the dialogue of SMTP sessions, for the connectors that ask for it. Whoever talks copies rows; one
//! thread writes them to files. What is a secret is decided where the dialogue is known: it never comes here.

mod files;
mod kept;
mod row;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::Level;

pub use self::files::ProtocolFiles;
use self::files::{RECEIVED, RowFiles, SENT};
use self::kept::KeptRows;
use self::row::{Row, SessionFields, cleaned};
use super::{Log, Vitals};
use crate::connector::{PeerCertificate, ProtocolLogging, TlsFacts};
use crate::mail::{Clock, UnixMillis, rfc3339};

/// The protocol log; the default one is nowhere, and takes nothing. Clones share the same log.
#[derive(Debug, Clone, Default)]
pub struct ProtocolLog(Option<Arc<ProtocolState>>);

#[derive(Debug)]
struct ProtocolState {
    files: ProtocolFiles,
    /// Started by the first row, so that it costs nothing where nobody asks for it. `None`: it can't be.
    writer: OnceLock<Option<Log>>,
    vitals: Vitals,
    started_at: UnixMillis,
    sessions: AtomicU64,
}

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionSide {
    /// The peer: mail comes in.
    Inbound,
    /// We: mail goes out.
    Outbound,
}

impl ProtocolLog {
    /// A log in these files. Nothing is created before there is something to write.
    #[must_use]
    pub fn new(files: ProtocolFiles, vitals: &Vitals) -> Self {
        Self(Some(Arc::new(ProtocolState {
            files,
            writer: OnceLock::new(),
            vitals: vitals.clone(),
            started_at: Clock::wall(),
            sessions: AtomicU64::new(0),
        })))
    }

    /// Begins to record a session, if anything of it may be logged.
    #[must_use]
    pub fn record(
        &self,
        logging: ProtocolLogging,
        side: SessionSide,
        (local, remote): (Option<SocketAddr>, SocketAddr),
    ) -> Option<Box<Recording>> {
        let state = self.0.as_ref().filter(|_| logging != ProtocolLogging::Off)?;
        let number = state.sessions.fetch_add(1, Ordering::Relaxed);
        let session = SessionFields {
            id: format!("{:X}-{number:X}", state.started_at.0),
            local: local.map(|local| local.to_string()).unwrap_or_default(),
            remote: remote.to_string(),
        };
        let mut recording = Box::new(Recording {
            state: Arc::clone(state),
            mark: if side == SessionSide::Inbound { RECEIVED } else { SENT },
            session,
            connector: None,
            logging,
            rows: 0,
            kept: KeptRows::default(),
            has_failed: false,
            end: String::new(),
        });
        recording.push('+', "");
        Some(recording)
    }

    /// Waits at most `patience` until everything is written.
    pub fn flush(&self, patience: Duration) {
        let writer = self.0.as_ref().and_then(|state| state.writer.get()?.as_ref());
        let _written = writer.is_none_or(|writer| writer.flush(patience));
    }
}

impl ProtocolState {
    fn write(&self, rows: &str) {
        let start = || {
            let sink = RowFiles::new(self.files.clone());
            let names = ("protocol-log", "the writer of the protocol log");
            let started = Log::start_as(names, sink, &self.vitals);
            started.inspect_err(|fault| tracing::error!(%fault, "there is no protocol log")).ok()
        };
        if let Some(writer) = self.writer.get_or_init(start) {
            writer.offer((Level::INFO, "protocol log"), rows.as_bytes());
        }
    }
}

/// What is recorded of one session. Its end is recorded when this is dropped.
#[derive(Debug)]
pub struct Recording {
    state: Arc<ProtocolState>,
    mark: char,
    session: SessionFields,
    /// `None` as long as it is not known.
    connector: Option<Arc<str>>,
    /// How much the connector asks for; before it is known, the most that anyone asks for.
    logging: ProtocolLogging,
    rows: u64,
    kept: KeptRows,
    has_failed: bool,
    end: String,
}

impl Recording {
    /// The session belongs to this connector from now on, which asks for so much.
    pub fn attribute(&mut self, connector: &Arc<str>, logging: ProtocolLogging) {
        self.connector = Some(Arc::clone(connector));
        self.logging = logging;
        match logging {
            ProtocolLogging::Off => {
                self.kept.clear();
                self.has_failed = false;
            }
            ProtocolLogging::Errors => {}
            ProtocolLogging::Full => self.write_kept(),
        }
    }

    /// The peer said this line.
    pub fn received(&mut self, line: &str) {
        // What came before belongs to somebody who asks for nothing; this line may begin a transaction of another.
        if self.logging == ProtocolLogging::Off {
            self.kept.clear();
        }
        self.push('<', line);
    }

    /// We said this line.
    pub fn sent(&mut self, line: &str) {
        self.push('>', line);
    }

    /// Something became known that nobody said.
    pub fn note(&mut self, what: &str) {
        self.push('*', what);
    }

    /// The handshake is done.
    pub fn secured(&mut self, facts: &TlsFacts) {
        self.note(&in_words(facts));
    }

    /// Something failed: what is kept is written now.
    pub fn fail(&mut self) {
        if self.logging != ProtocolLogging::Off {
            self.has_failed = true;
            self.write_kept();
        }
    }

    /// The session failed, or ends, for this reason.
    pub fn fail_for(&mut self, reason: &str) {
        reason.clone_into(&mut self.end);
        self.note(reason);
        self.fail();
    }

    fn push(&mut self, event: char, data: &str) {
        self.rows = self.rows.saturating_add(1);
        let row = Row { at: Clock::wall(), number: self.rows, event, data: cleaned(data) };
        if self.logging == ProtocolLogging::Full && self.connector.is_some() {
            return self.write(&[row]);
        }
        self.kept.push(row);
    }

    fn write_kept(&mut self) {
        let rows = self.kept.take();
        if !rows.is_empty() {
            self.write(&rows);
        }
    }

    fn write(&self, rows: &[Row]) {
        let mut out = String::new();
        let connector = self.connector.as_deref().unwrap_or_default();
        rows.iter().for_each(|row| row.write(&mut out, (self.mark, connector), &self.session));
        self.state.write(&out);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let end = std::mem::take(&mut self.end);
        self.push('-', &end);
        if self.logging == ProtocolLogging::Full || self.has_failed {
            self.write_kept();
        }
    }
}

/// What a handshake came to, in one line.
fn in_words(facts: &TlsFacts) -> String {
    let channel = facts.channel_text();
    let ours = facts.client_certificate.map(|ours| format!("; ours: {ours}")).unwrap_or_default();
    match &facts.peer {
        PeerCertificate::NotShown => format!("TLS {channel}; no certificate{ours}"),
        PeerCertificate::Unreadable(why) => format!("TLS {channel}; unreadable certificate: {why}{ours}"),
        PeerCertificate::Shown(shown) => format!(
            "TLS {channel}; certificate for {}, subject {}, issuer {}, until {}, SHA-256 {}{ours}",
            shown.names_text(),
            shown.subject,
            shown.issuer,
            rfc3339(shown.not_after),
            shown.sha256,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written of a session, without times and addresses.
    fn written(logging: ProtocolLogging, play: impl FnOnce(&mut Recording)) -> Vec<String> {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("protocol");
        let files = ProtocolFiles { folder: folder.clone(), octets_max: 1 << 20, free_min: 0 };
        let vitals = Vitals::new(|_| {});
        let log = ProtocolLog::new(files, &vitals);
        let peer = "192.0.2.7:4711".parse().expect("an address");
        if let Some(mut recording) = log.record(logging, SessionSide::Inbound, (None, peer)) {
            play(&mut recording);
        }
        log.flush(Duration::from_secs(30));
        // Not even a thread where there is nothing to write.
        assert_eq!(folder.exists(), log.0.as_ref().is_some_and(|state| state.writer.get().is_some()));
        let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut text = String::new();
        files.for_each(|file| text.push_str(&std::fs::read_to_string(file.path()).expect("text")));
        let rows = text.lines().skip(1).map(|row| {
            let fields: Vec<&str> = row.splitn(8, ',').collect();
            format!("{} {} {} {}", fields[1], fields[3], fields[6], fields[7])
        });
        rows.collect()
    }

    fn transaction(recording: &mut Recording, name: &str, logging: ProtocolLogging) {
        recording.received(&format!("MAIL by {name}"));
        recording.attribute(&name.into(), logging);
        recording.sent("250 ok");
    }

    #[test]
    fn nothing_is_recorded_where_nobody_asks() {
        assert!(written(ProtocolLogging::Off, |_| {}).is_empty());
        let rows = written(ProtocolLogging::Full, |recording| {
            recording.received("EHLO x");
            transaction(recording, "quiet", ProtocolLogging::Off);
            recording.sent("550 no");
            recording.fail();
            recording.fail_for("gone");
        });
        assert!(rows.is_empty(), "{rows:?}");
    }

    #[test]
    fn errors_bring_what_came_before_them_and_what_follows() {
        assert!(written(ProtocolLogging::Errors, |recording| recording.received("EHLO x")).is_empty());
        let rows = written(ProtocolLogging::Errors, |recording| {
            recording.received("EHLO x");
            transaction(recording, "bank", ProtocolLogging::Errors);
            recording.received("RCPT");
            recording.sent("550 no");
            recording.fail();
            recording.received("QUIT");
        });
        let expected = [
            "bank 1 + ",
            "bank 2 < EHLO x",
            "bank 3 < MAIL by bank",
            "bank 4 > 250 ok",
            "bank 5 < RCPT",
            "bank 6 > 550 no",
            "bank 7 < QUIT",
            "bank 8 - ",
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn what_fails_before_the_connector_is_known_has_none() {
        let rows = written(ProtocolLogging::Errors, |recording| recording.fail_for("TLS handshake: x, y"));
        assert_eq!(rows, [" 1 + ", " 2 * \"TLS handshake: x, y\"", " 3 - \"TLS handshake: x, y\""]);
    }

    #[test]
    fn a_session_of_several_connectors_is_logged_as_each_asks() {
        let rows = written(ProtocolLogging::Full, |recording| {
            transaction(recording, "quiet", ProtocolLogging::Off);
            recording.received("RSET");
            transaction(recording, "bank", ProtocolLogging::Full);
            recording.received("RSET");
        });
        assert_eq!(rows, ["bank 5 < MAIL by bank", "bank 6 > 250 ok", "bank 7 < RSET", "bank 8 - "]);
    }
}
