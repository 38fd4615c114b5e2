//! Requests to the running daemon over its control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::exit::{EXIT_CONFIG, EXIT_NO, EXIT_OS, EXIT_UNAVAILABLE, Failure};
use super::wait::Wait;
use crate::admin::{ErrorAnswer, NEXT_OFFSET, UNREADABLE};

/// Connector names have only letters, digits, dots, dashes and underscores.
pub(super) fn named(connector: &str) -> Result<&str, Failure> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !connector.is_empty() && connector.chars().all(is_plain) {
        return Ok(connector);
    }
    Err(Failure::new(EXIT_NO, format!("{connector:?} is not the name of a connector")))
}

/// Sends a GET request to the running daemon.
pub(super) fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, Failure> {
    let _shown = Wait::on(what_takes_long(path));
    ask(socket, Method::GET, path, Bytes::new())
}

/// Why a daemon gave no answer that can be used.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// None runs.
    Absent(Failure),
    /// The user of this program may not ask it.
    Denied(PathBuf),
    /// It took the question, and said nothing in time.
    Silent,
    /// Anything else.
    Odd(Failure),
}

/// The same for one who does not wait for a daemon that hangs.
pub(super) fn get_within<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    limit: Duration,
) -> Result<T, NoAnswer> {
    let _shown = Wait::on(what_takes_long(path));
    let exchanged = async {
        match tokio::time::timeout(limit, raw_exchange(socket, Method::GET, path, Bytes::new())).await {
            Ok(answer) => answer.map_err(|fault| no_answer(socket, fault)),
            Err(_) => Err(NoAnswer::Silent),
        }
    };
    let answer = control_runtime().map_err(NoAnswer::Odd)?.block_on(exchanged)?;
    if !answer.status.is_success() {
        return Err(NoAnswer::Odd(refused(answer.status, &answer.octets)));
    }
    serde_json::from_slice(&answer.octets).map_err(|fault| NoAnswer::Odd(unreadable(&fault)))
}

fn no_answer(socket: &Path, fault: ExchangeFault) -> NoAnswer {
    let fault = match fault {
        ExchangeFault::Connect(fault) => fault,
        ExchangeFault::Over(failure) => return NoAnswer::Odd(failure),
    };
    let failure = unreachable_daemon(socket, &fault);
    let is = |kind: io::ErrorKind| fault.kind() == kind;
    if is(io::ErrorKind::NotFound) || is(io::ErrorKind::ConnectionRefused) {
        NoAnswer::Absent(failure)
    } else if is(io::ErrorKind::PermissionDenied) {
        NoAnswer::Denied(socket.to_owned())
    } else if is(io::ErrorKind::WouldBlock) {
        // Nobody takes what waits there.
        NoAnswer::Silent
    } else {
        NoAnswer::Odd(failure)
    }
}

/// Sends the running daemon a request that needs no body.
pub(super) fn request<T: DeserializeOwned>(socket: &Path, method: Method, path: &str) -> Result<T, Failure> {
    let _shown = Wait::on(what_takes_long(path));
    ask(socket, method, path, Bytes::new())
}

/// Sends the running daemon a request with a body.
pub(super) fn post<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    body: &impl Serialize,
) -> Result<T, Failure> {
    let _shown = Wait::on(what_takes_long(path));
    post_quietly(socket, path, body)
}

/// The same, for one who shows the wait.
pub(super) fn post_quietly<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    body: &impl Serialize,
) -> Result<T, Failure> {
    let body = serde_json::to_vec(body)
        .map_err(|fault| Failure::new(EXIT_OS, format!("the request can't be written as JSON: {fault}")))?;
    ask(socket, Method::POST, path, body.into())
}

/// Sends the running daemon a request with a body, from within a runtime.
pub(super) async fn post_within(socket: &Path, path: &str, body: &impl Serialize) -> Result<(), Failure> {
    let body = serde_json::to_vec(body)
        .map_err(|fault| Failure::new(EXIT_OS, format!("the request can't be written as JSON: {fault}")))?;
    let exchanged = raw_exchange(socket, Method::POST, path, body.into()).await;
    let answer = exchanged.map_err(|fault| fault.failure(socket))?;
    if answer.status.is_success() { Ok(()) } else { Err(refused(answer.status, &answer.octets)) }
}

fn what_takes_long(path: &str) -> &'static str {
    match path {
        "/reload" => {
            "the daemon to apply the configuration; transactions that it no longer allows may end first"
        }
        "/queue/retry" => "the daemon to make the queue due",
        _ => "the daemon's answer",
    }
}

fn ask<T: DeserializeOwned>(socket: &Path, method: Method, path: &str, body: Bytes) -> Result<T, Failure> {
    let answer = exchange(socket, method, path, body)?;
    serde_json::from_slice(&answer.octets).map_err(|fault| unreadable(&fault))
}

/// Fetches a part of a message, and the offset of the next one.
pub(super) fn fetch(socket: &Path, path: &str) -> Result<(Vec<u8>, u64), Failure> {
    let answer = exchange(socket, Method::GET, path, Bytes::new())?;
    let next = answer.next.ok_or_else(|| Failure::new(EXIT_UNAVAILABLE, OTHER_VERSION))?;
    Ok((answer.octets.to_vec(), next))
}

struct Answer {
    status: StatusCode,
    /// Offset of the next part of a content.
    next: Option<u64>,
    octets: Bytes,
}

/// Sends one request; an answer with an error status becomes a failure.
fn exchange(socket: &Path, method: Method, path: &str, body: Bytes) -> Result<Answer, Failure> {
    let exchanged = control_runtime()?.block_on(raw_exchange(socket, method, path, body));
    let answer = exchanged.map_err(|fault| fault.failure(socket))?;
    if answer.status.is_success() { Ok(answer) } else { Err(refused(answer.status, &answer.octets)) }
}

fn control_runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(EXIT_OS, format!("the runtime can't be started: {e}")))
}

/// Why an exchange came to no answer.
enum ExchangeFault {
    /// There was no connection.
    Connect(io::Error),
    /// It ended.
    Over(Failure),
}

impl ExchangeFault {
    fn failure(self, socket: &Path) -> Failure {
        match self {
            Self::Connect(fault) => unreachable_daemon(socket, &fault),
            Self::Over(failure) => failure,
        }
    }
}

fn refused(status: StatusCode, octets: &[u8]) -> Failure {
    // Errors from our own handlers have a reason in JSON. Anything else is a path that this daemon
    // does not know, or a request that it can't read.
    let reason = match serde_json::from_slice(octets) {
        Ok(ErrorAnswer { error }) if error.starts_with(UNREADABLE) => format!("{OTHER_VERSION} ({error})"),
        Ok(ErrorAnswer { error }) => error,
        Err(_) => format!("{OTHER_VERSION} (it answered {status})"),
    };
    let exit = if status == StatusCode::SERVICE_UNAVAILABLE {
        EXIT_UNAVAILABLE
    } else if status == StatusCode::UNPROCESSABLE_ENTITY {
        // The files have errors: the same exit code as a failed start.
        EXIT_CONFIG
    } else {
        EXIT_NO
    };
    Failure::new(exit, reason)
}

fn unreadable(fault: &serde_json::Error) -> Failure {
    Failure::new(
        EXIT_UNAVAILABLE,
        if fault.is_data() {
            format!("{OTHER_VERSION} ({fault})")
        } else {
            format!("the daemon's answer can't be read: {fault}")
        },
    )
}

async fn raw_exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Answer, ExchangeFault> {
    let stream = UnixStream::connect(socket).await.map_err(ExchangeFault::Connect)?;
    let lost = |e: hyper::Error| {
        ExchangeFault::Over(Failure::new(EXIT_UNAVAILABLE, format!("the daemon ended the exchange: {e}")))
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let driver = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "sealpost")
        .header("content-type", "application/json")
        .body(Full::new(body))
        .map_err(|e| ExchangeFault::Over(Failure::new(EXIT_OS, e)))?;
    let response = sender.send_request(request).await.map_err(lost)?;
    let status = response.status();
    let next = response.headers().get(NEXT_OFFSET).and_then(|value| value.to_str().ok()?.parse().ok());
    let octets = response.into_body().collect().await.map_err(lost)?.to_bytes();
    driver.abort();
    Ok(Answer { status, next, octets })
}

fn unreachable_daemon(socket: &Path, fault: &io::Error) -> Failure {
    let socket = socket.display();
    let kind = fault.kind();
    let message = if kind == io::ErrorKind::NotFound || kind == io::ErrorKind::ConnectionRefused {
        format!(
            "no daemon answers at {socket}; start it with `sealpost run`, or name the socket of one that runs (--socket)"
        )
    } else if kind == io::ErrorKind::PermissionDenied {
        format!("{socket} belongs to the daemon's user; run this as that user or as root")
    } else {
        format!("{socket}: {fault}")
    };
    Failure::new(EXIT_UNAVAILABLE, message)
}

/// The usual cause: the daemon was started before an update.
const OTHER_VERSION: &str = "the running daemon is of another version than this program; restart it";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{PausedConnectors, QueueTotal};

    #[track_caller]
    fn check<T: DeserializeOwned>(answer: &str, expected: Result<(), &str>) {
        let read = serde_json::from_str::<T>(answer).map(|_| ());
        let read = read.map_err(|fault| unreadable(&fault).message);
        assert_eq!(read, expected.map_err(str::to_owned));
    }

    #[test]
    fn an_unknown_field_is_ignored_and_a_missing_one_names_the_cure() {
        check::<QueueTotal>(r#"{"messages":1,"recipients":1,"held":0,"new":[]}"#, Ok(()));
        check::<QueueTotal>(
            r#"{"messages":1,"held":0}"#,
            Err("the running daemon is of another version than this program; restart it (missing field \
                 `recipients` at line 1 column 23)"),
        );
        check::<PausedConnectors>(
            r#"{"connectors":1}"#,
            Err(
                "the running daemon is of another version than this program; restart it (invalid type: integer \
                 `1`, expected a sequence at line 1 column 15)",
            ),
        );
        check::<QueueTotal>(
            "{",
            Err("the daemon's answer can't be read: EOF while parsing an object at line 1 column 1"),
        );
    }

    #[test]
    fn a_refusal_says_the_daemons_words_where_it_has_some() {
        let said = |status, text: &str| {
            let failure = refused(status, text.as_bytes());
            (failure.exit, failure.message)
        };
        let known = said(StatusCode::NOT_FOUND, r#"{"error":"no such message"}"#);
        assert_eq!(known, (EXIT_NO, "no such message".to_owned()));
        let unread = format!("{{\"error\":\"{UNREADABLE}: unknown field\"}}");
        let unread = said(StatusCode::BAD_REQUEST, &unread);
        assert_eq!(unread, (EXIT_NO, format!("{OTHER_VERSION} ({UNREADABLE}: unknown field)")));
        let unknown = said(StatusCode::NOT_FOUND, "");
        assert_eq!(unknown, (EXIT_NO, format!("{OTHER_VERSION} (it answered 404 Not Found)")));
    }
}
