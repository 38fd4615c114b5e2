//! The shipped program: its files, its start and end, and its command line.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::mint::{Authority, Pair};
use super::{LONG, eventually, within};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpost");

/// The postmaster must have a route; nothing listens there.
const POSTMASTER: &str = "[[outbound]]\nname = \"to-postmaster\"\ndomains = [\"sealpost.test\"]\n\
     next_hop = [\"[127.0.0.1]:9\"]\ntls = \"opportunistic\"\n";
/// Our name in every test.
pub(crate) const NAME: &str = "gw.sealpost.test";

/// A folder with a config, certificates and the data directory; it outlives the daemons in it.
pub(crate) struct Home {
    folder: TempDir,
}

/// A running daemon; killed when dropped, its log shown if the test is failing.
pub(crate) struct Daemon {
    child: Option<Child>,
    pub(crate) listening: BTreeMap<String, SocketAddr>,
    pub(crate) ready_line: String,
    said: Option<oneshot::Receiver<String>>,
    log: Arc<Mutex<Vec<u8>>>,
    log_over: Option<oneshot::Receiver<()>>,
    config: PathBuf,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("sealpost-").tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("sealpost.toml")
    }

    /// Writes the config: our own name and folder, and the rest as given.
    pub(crate) fn configure(&self, rest: &str) {
        // One that the test has itself is not to be doubled.
        let postmaster = if rest.contains("[\"sealpost.test\"]") { "" } else { POSTMASTER };
        let server = format!(
            "[server]\nname = \"{NAME}\"\ndata_dir = \"data\"\npostmaster = \"postmaster@sealpost.test\"\n\n{rest}\n{postmaster}"
        );
        std::fs::create_dir_all(self.path().join("data")).unwrap();
        std::fs::write(self.config(), server).unwrap();
    }

    /// A certificate for us under `[certificate.ID]`.
    pub(crate) fn certificate(&self, id: &str, pair: &Pair) -> String {
        pair.write(self.path(), id);
        format!("[certificate.{id}]\nchain = \"{id}.crt\"\nkey = \"{id}.key\"\n\n")
    }

    /// A trust anchor set under `[trust.ID]`.
    pub(crate) fn trust(&self, id: &str, authority: &Authority) -> String {
        std::fs::write(self.path().join(format!("{id}.pem")), &authority.pem).unwrap();
        format!("[trust.{id}]\nanchors = \"{id}.pem\"\n\n")
    }

    /// `sealpost VERB --config FILE REST`.
    pub(crate) fn run(&self, verb: &[&str], rest: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(verb).arg("--config").arg(self.config()).args(rest).stdin(Stdio::null());
        command.output().unwrap()
    }
}

impl Daemon {
    pub(crate) async fn start(home: &Home) -> Self {
        Self::start_by(home, Command::new(PROGRAM)).await
    }

    /// Starts it by a command to which `run --config FILE` is added.
    pub(crate) async fn start_by(home: &Home, command: Command) -> Self {
        let mut daemon = Self::begin_by(home, command);
        daemon.ready().await;
        daemon
    }

    /// The same, and waits for nothing.
    pub(crate) fn begin_by(home: &Home, mut command: Command) -> Self {
        command.args(["run", "--config"]).arg(home.config());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (over, log_over) = oneshot::channel();
        keep(child.stderr.take().unwrap(), Arc::clone(&log), over);
        let (ready, said) = oneshot::channel();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = ready.send(line);
            let _ = stdout.read_to_end(&mut Vec::new());
        });
        let (child, config) = (Some(child), home.config());
        let (listening, ready_line) = (BTreeMap::new(), String::new());
        let (log_over, said) = (Some(log_over), Some(said));
        Self { child, listening, ready_line, said, log, log_over, config }
    }

    /// Waits until it serves.
    pub(crate) async fn ready(&mut self) {
        let said = self.said.take().unwrap();
        self.ready_line = within("the ready line", LONG, said).await.unwrap();
        assert!(!self.ready_line.is_empty(), "the daemon ended at start:\n{}", self.log());
        self.listening = listeners(&self.ready_line);
    }

    #[track_caller]
    pub(crate) fn at(&self, listener: &str) -> SocketAddr {
        *self.listening.get(listener).unwrap_or_else(|| panic!("no {listener} in {:?}", self.ready_line))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// What it wrote to stderr so far. A thread of its own writes it, so a line may come later than the
    /// reply it is about: what must be there is waited for, by [`Self::logged`] or [`Self::logged_times`].
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().unwrap()).into_owned()
    }

    /// Waits until the log has these words; the first line with them.
    pub(crate) async fn logged(&self, words: &str) -> String {
        self.logged_line(&[words]).await
    }

    /// Waits until one line of the log has all these words; the first such line.
    pub(crate) async fn logged_line(&self, words: &[&str]) -> String {
        eventually(&format!("a log line with {words:?}"), LONG, async || {
            let has_all = |line: &&str| words.iter().all(|words| line.contains(words));
            self.log().lines().find(has_all).map(str::to_owned)
        })
        .await
    }

    /// Waits until the log has these words this often; it may not have them more often.
    pub(crate) async fn logged_times(&self, words: &str, times: usize) {
        let count = || self.log().matches(words).count();
        eventually(&format!("{words:?} {times} times"), LONG, async || (count() >= times).then_some(()))
            .await;
        assert_eq!(count(), times, "{words:?}: {}", self.log());
    }

    pub(crate) fn signal(&self, signal: &str) {
        let done =
            Command::new("kill").args([&format!("-{signal}"), &self.pid().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// SIGTERM; it must end in order and in time.
    pub(crate) async fn stop(mut self) {
        self.signal("TERM");
        let status = within("the end after SIGTERM", Duration::from_secs(5), self.ended()).await;
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.child.as_mut().unwrap().kill().unwrap();
        within("the end after SIGKILL", LONG, self.ended()).await;
    }

    /// Waits for the end of the process, and of all that was to be logged.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let (send, receive) = oneshot::channel();
        std::thread::spawn(move || send.send(child.wait()));
        let status = receive.await.unwrap().unwrap();
        let _ = self.log_over.take().unwrap().await;
        status
    }

    /// A verb with `--json` against the running daemon; its answer.
    pub(crate) async fn ask(&self, verb: &[&str]) -> Value {
        let output = self.command(verb).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&text).unwrap_or_else(|fault| {
            panic!("{verb:?}: {fault}: {text:?} {}", String::from_utf8_lossy(&output.stderr))
        })
    }

    pub(crate) async fn command(&self, verb: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(verb).arg("--json").arg("--config").arg(&self.config).stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
    }

    /// Every queued message.
    pub(crate) async fn queue(&self) -> Vec<Value> {
        let answer = self.ask(&["queue", "list", "--limit", "1000"]).await;
        let list = answer.get("messages").unwrap_or(&answer);
        list.as_array().unwrap_or_else(|| panic!("queue list said {answer}")).clone()
    }

    pub(crate) async fn queue_empty(&self) {
        eventually("an empty queue", LONG, async || self.queue().await.is_empty().then_some(())).await;
    }

    /// Waits until a recipient with this forward-path has had an attempt that failed; its row.
    pub(crate) async fn deferred(&self, forward_path: &str) -> Value {
        eventually(&format!("a deferral of {forward_path}"), LONG, async || {
            let queue = self.queue().await;
            let mut rows = queue.iter().filter_map(|message| message["recipients"].as_array()).flatten();
            rows.find(|row| row["forward_path"] == forward_path && !row["last"].is_null()).cloned()
        })
        .await
    }

    /// Waits until any recipient has had an attempt that failed.
    pub(crate) async fn deferred_any(&self) {
        eventually("a deferral", LONG, async || {
            let queue = self.queue().await;
            let mut rows = queue.iter().filter_map(|message| message["recipients"].as_array()).flatten();
            rows.any(|row| !row["last"].is_null()).then_some(())
        })
        .await;
    }

    /// Waits until every queued recipient has had an attempt, and none is under way.
    pub(crate) async fn idle(&self) {
        eventually("a queue at rest", LONG, async || {
            let queue = self.queue().await;
            let mut rows = queue.iter().filter_map(|message| message["recipients"].as_array()).flatten();
            rows.all(|row| !row["last"].is_null() && row["leased"] == false).then_some(())
        })
        .await;
    }

    /// Processor time it has used so far, in milliseconds.
    pub(crate) fn processor_ms(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // Fields 14 and 15 of proc(5), in ticks of 10 ms; the name and what stands before it are gone.
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks * 10.0
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that it has been since that was forgotten, as the kernel keeps it.
    pub(crate) fn most_resident(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// From now on the most is what it is now.
    pub(crate) fn forget_most_resident(&self) {
        // proc(5): 5 resets the peak of the resident set size.
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
    }

    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(20_000).map_or(0, |(at, _)| at);
            eprintln!("--- the daemon said:\n{}---", &log[from..]);
        }
    }
}

/// An address on which nobody listens now.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// `listening on NAME ADDRESS`, once or several times.
fn listeners(line: &str) -> BTreeMap<String, SocketAddr> {
    let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_end_matches([',', ';'])).collect();
    words.windows(2).filter_map(|w| Some((w[0].to_owned(), w[1].parse().ok()?))).collect()
}

fn keep(mut from: impl Read + Send + 'static, log: Arc<Mutex<Vec<u8>>>, over: oneshot::Sender<()>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            log.lock().unwrap().extend_from_slice(&buffer[..length]);
        }
        let _ = over.send(());
    });
}
