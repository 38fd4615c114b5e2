//! Requests to a hybrid lab that is kept running, over a socket in its folder: one line of JSON each way.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::fault_list::{FaultState, states};
use super::faults::HostFault;
use super::hosts::{GATEWAY_NAME, INSIDE, LabHost, OUTSIDE};
use super::play::{GatewayView, HybridRun};
use super::row::HybridResult;
use super::stage::HybridStage;

/// What is asked of a kept lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LabRequest {
    /// Send all messages again.
    Run,
    /// The faults, and which are on.
    Faults,
    /// Switch this fault.
    Switch {
        /// Its name.
        fault: String,
        /// On, or off.
        on: bool,
    },
    /// Switch off all faults.
    Repair,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabAnswer {
    /// The results of a run.
    Played(HybridResult),
    /// All faults.
    Faults(Vec<FaultState>),
    /// The request can't be done, in one sentence.
    Refused(String),
}

/// Why a kept lab can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum DeskFault {
    /// No lab of ours is running.
    #[error(
        "no hybrid lab is running; start one in another terminal with `sealpost lab hybrid --keep`, or name its folder \
         with --state"
    )]
    None,
    /// Several are.
    #[error("several hybrid labs are running; name the folder of one with --state: {}", .0.join(", "))]
    Several(Vec<String>),
    /// It does not answer.
    #[error("the lab in {} does not answer: {fault}", folder.display())]
    Silent {
        /// The folder of the lab.
        folder: PathBuf,
        /// The I/O error.
        fault: io::Error,
    },
}

/// Asks the lab in this folder, or the only one of this user.
///
/// # Errors
/// [`DeskFault`].
pub async fn ask(folder: Option<&Path>, request: &LabRequest) -> Result<LabAnswer, DeskFault> {
    let folder = match folder {
        Some(folder) => folder.to_owned(),
        None => only_one().await?,
    };
    let silent = |fault| DeskFault::Silent { folder: folder.clone(), fault };
    let stream = UnixStream::connect(folder.join(SOCKET)).await.map_err(silent)?;
    timeout(ANSWER_WAIT, exchange(stream, request))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(silent)
}

async fn exchange(mut stream: UnixStream, request: &LabRequest) -> io::Result<LabAnswer> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(serde_json::from_slice(&answer)?)
}

/// The folder of the only lab that is running.
async fn only_one() -> Result<PathBuf, DeskFault> {
    let mut running = Vec::new();
    let found = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for entry in found.filter(|entry| entry.file_name().to_string_lossy().starts_with(FOLDER_PREFIX)) {
        // Anybody may make a folder there: only one of ours counts.
        let is_ours = entry.metadata().is_ok_and(|entry| entry.uid() == rustix::process::geteuid().as_raw());
        if is_ours && UnixStream::connect(entry.path().join(SOCKET)).await.is_ok() {
            running.push(entry.path());
        }
    }
    match running.as_slice() {
        [] => Err(DeskFault::None),
        [folder] => Ok(folder.clone()),
        _ => Err(DeskFault::Several(running.iter().map(|folder| folder.display().to_string()).collect())),
    }
}

/// Takes requests, one after the other, until Ctrl-C.
pub(super) async fn until_interrupted(stage: &HybridStage, gateway: &GatewayView) {
    let listener = UnixListener::bind(stage.folder.path().join(SOCKET));
    // Standard output is only for results.
    eprintln!("{}", words(stage));
    let requests = async {
        if let Err(fault) = serve(listener, stage, gateway).await {
            eprintln!("lab: requests can't be taken: {fault}");
        }
        // The gateway and its peers stay all the same.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = requests => {}
        interrupted = tokio::signal::ctrl_c() => {
            if let Err(fault) = interrupted {
                eprintln!("lab: ends at once, since Ctrl-C can't be waited for: {fault}");
            }
        }
    }
}

async fn serve(
    listener: io::Result<UnixListener>,
    stage: &HybridStage,
    gateway: &GatewayView,
) -> io::Result<()> {
    let (listener, mut number) = (listener?, 1_u64);
    loop {
        let (stream, _) = listener.accept().await?;
        number = number.saturating_add(1);
        // One that asks nothing, or does not read, must not keep the others waiting for ever.
        timeout(REQUEST_WAIT, answer(stream, HybridRun { stage, gateway, number })).await.ok();
    }
}

async fn answer(stream: UnixStream, run: HybridRun<'_>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(REQUEST_BYTES_MAX).read_line(&mut line).await?;
    if line.is_empty() {
        return Ok(());
    }
    let answer = match serde_json::from_str(&line) {
        Ok(request) => reply(request, run).await,
        Err(fault) => LabAnswer::Refused(format!("the request is not valid: {fault}")),
    };
    let mut stream = stream.into_inner();
    stream.write_all(&serde_json::to_vec(&answer)?).await?;
    stream.shutdown().await
}

async fn reply(request: LabRequest, run: HybridRun<'_>) -> LabAnswer {
    let board = &run.stage.board;
    match request {
        LabRequest::Run => match run.play().await {
            Ok(result) => return LabAnswer::Played(result),
            Err(fault) => return LabAnswer::Refused(fault.to_string()),
        },
        LabRequest::Faults => {}
        LabRequest::Switch { fault, on } => match HostFault::named(&fault) {
            Some(fault) => board.switch(fault, on).await,
            None => {
                let words = format!("there is no fault \"{fault}\"; `sealpost lab fault list` shows all");
                return LabAnswer::Refused(words);
            }
        },
        LabRequest::Repair => {
            for fault in board.faults() {
                board.switch(fault, false).await;
            }
        }
    }
    LabAnswer::Faults(states(&board.faults()))
}

fn words(stage: &HybridStage) -> String {
    let (port, folder) = (stage.port, stage.folder.path().display());
    let hosts: String = LabHost::ALL
        .iter()
        .map(|host| format!("  {:<16} {}:{port}  {}\n", host.word(), host.address(), host.name()))
        .collect();
    format!(
        "The lab runs on. Ctrl-C ends it; {folder} stays.\n\
         Gateway {GATEWAY_NAME}: {OUTSIDE}:{port} (outside), {INSIDE}:{port} (inside); DNS {}\n\
         Hosts\n{hosts}\
         In another terminal:\n\
         \x20 sealpost lab fault list --state {folder}\n\
         \x20 sealpost lab fault cloud.expired on --state {folder}\n\
         \x20 sealpost lab hybrid run --state {folder}\n\
         \x20 sealpost queue list --config {folder}/sealpost.toml\n\
         \x20 swaks --server {OUTSIDE}:{port} --from ada@world.lab.test --to ann@contoso.lab.test -tls",
        stage.dns
    )
}

/// How the folder of a lab begins that is kept in the folder for temporary files.
const FOLDER_PREFIX: &str = "sealpost-lab-";
const SOCKET: &str = "lab.sock";
const REQUEST_BYTES_MAX: u64 = 4096;
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;
const REQUEST_WAIT: Duration = Duration::from_secs(40);
const ANSWER_WAIT: Duration = Duration::from_secs(60);
