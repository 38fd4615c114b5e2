use std::io;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{EXIT_CONFIG, EXIT_NO, EXIT_OS, EXIT_UNAVAILABLE, Failure};
use crate::admin::NEXT_OFFSET;

/// Asks the running daemon over its control socket.
pub(super) fn ask(socket: &Path, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(EXIT_OS, format!("the runtime can't be started: {e}")))?;
    runtime.block_on(exchange(socket.to_owned(), method, path, body))
}

/// A part of a message, and where the next one begins.
pub(super) fn fetch(socket: &Path, path: &str) -> Result<(Vec<u8>, u64), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(EXIT_OS, format!("the runtime can't be started: {e}")))?;
    let (status, next, octets) =
        runtime.block_on(raw_exchange(socket.to_owned(), Method::GET, path, None))?;
    if !status.is_success() {
        return Err(refused(status, &serde_json::from_slice(&octets).unwrap_or_default()));
    }
    let next = next.ok_or_else(|| Failure::new(EXIT_UNAVAILABLE, "the daemon's answer says no offset"))?;
    Ok((octets.to_vec(), next))
}

async fn exchange(
    socket: PathBuf,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Value, Failure> {
    let (status, _, bytes) = raw_exchange(socket, method, path, body).await?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|e| Failure::new(EXIT_UNAVAILABLE, format!("the daemon's answer can't be read: {e}")))?;
    if status.is_success() { Ok(value) } else { Err(refused(status, &value)) }
}

fn refused(status: StatusCode, value: &Value) -> Failure {
    let reason = value.get("error").and_then(Value::as_str).unwrap_or("the daemon refused").to_owned();
    let exit = if status == StatusCode::SERVICE_UNAVAILABLE {
        EXIT_UNAVAILABLE
    } else if status == StatusCode::UNPROCESSABLE_ENTITY {
        // The files have mistakes: what a start would end with.
        EXIT_CONFIG
    } else {
        EXIT_NO
    };
    Failure::new(exit, reason)
}

/// Status, the offset that the answer names, and its octets.
async fn raw_exchange(
    socket: PathBuf,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<(StatusCode, Option<u64>, Bytes), Failure> {
    let stream = UnixStream::connect(&socket).await.map_err(|e| unreachable_daemon(&socket, &e))?;
    let lost =
        |e: hyper::Error| Failure::new(EXIT_UNAVAILABLE, format!("the daemon ended the exchange: {e}"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let driver = tokio::spawn(connection);
    let bytes = body.map(|b| b.to_string()).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "sealpost")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(bytes)))
        .map_err(|e| Failure::new(EXIT_OS, e))?;
    let response = sender.send_request(request).await.map_err(lost)?;
    let status = response.status();
    let next = response.headers().get(NEXT_OFFSET).and_then(|value| value.to_str().ok()?.parse().ok());
    let bytes = response.into_body().collect().await.map_err(lost)?.to_bytes();
    driver.abort();
    Ok((status, next, bytes))
}

fn unreachable_daemon(socket: &Path, fault: &io::Error) -> Failure {
    let socket = socket.display();
    let kind = fault.kind();
    let message = if kind == io::ErrorKind::NotFound || kind == io::ErrorKind::ConnectionRefused {
        format!("no daemon answers at {socket}; start it with `sealpost run`")
    } else if kind == io::ErrorKind::PermissionDenied {
        format!("{socket} belongs to the daemon's user; run this as that user or as root")
    } else {
        format!("{socket}: {fault}")
    };
    Failure::new(EXIT_UNAVAILABLE, message)
}
