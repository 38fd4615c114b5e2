//! `sealpost lab --console`: a demonstration that prints the way in, breaks and mends partners, and leaves nothing behind.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::peer::browser::WebRequest;
use crate::peer::daemon::PROGRAM;
use crate::peer::{LONG, eventually, within};

struct Tour {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    home: TempDir,
}

impl Drop for Tour {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Tour {
    fn start() -> Self {
        let home = TempDir::new().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["lab", "--console", "--pace", "8"]).env("TMPDIR", home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            printed.lines().map_while(Result::ok).try_for_each(|line| said.send(line))
        });
        Self { child, lines, home }
    }

    /// The rest of the next line that has this in it.
    async fn line(&mut self, part: &str) -> String {
        let wait = async {
            loop {
                let line = self.lines.recv().await.unwrap_or_else(|| panic!("no line has {part:?}"));
                if let Some((_, rest)) = line.split_once(part) {
                    return rest.to_owned();
                }
            }
        };
        within(part, LONG, wait).await
    }
}

async fn get(console: SocketAddr, path: &str, cookie: &str) -> String {
    let answer = WebRequest::new("GET", path).header("Cookie", cookie).to(console).await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    answer.body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_is_seen_to_break_and_recover_and_nothing_is_left() {
    let mut tour = Tour::start();
    let console = tour.line("Console  http://").await;
    let console: SocketAddr = console.trim_end_matches('/').parse().unwrap();
    let token = tour.line("Token    ").await;
    let verb = tour.line("queue list --config ").await;
    let answer = WebRequest::new("POST", "/login").form(&[("token", &token)]).to(console).await;
    assert_eq!(answer.status, 303, "{}", answer.head);
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();

    tour.line("city-bank  presents an expired certificate").await;
    let alert = tour.line("city-bank  ALERT ").await;
    assert!(alert.contains("expired"), "{alert}");
    let failing = eventually("the failing partner", LONG, async || {
        let page = get(console, "/", &cookie).await;
        page.contains("partner-tls").then_some(page)
    });
    assert!(failing.await.contains("postmaster@bank.example"), "whom to ask is beside it");
    let list = Command::new(PROGRAM).args(["queue", "list", "--config", &verb]).output().unwrap();
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains("bank.example"), "{list}");

    tour.line("city-bank  presents a valid certificate again").await;
    tour.line("city-bank  over: partner-tls").await;
    let traced = get(console, "/trace?q=bank.example", &cookie).await;
    assert!(traced.contains("delivered"), "{traced}");
    tour.line("insurance  ALERT ").await;

    let pid = Pid::from_child(&tour.child);
    kill_process(pid, Signal::INT).unwrap();
    let status = tokio::task::spawn_blocking({
        let mut child = std::mem::replace(&mut tour.child, Command::new("true").spawn().unwrap());
        move || child.wait().unwrap()
    });
    assert!(within("the end", LONG, status).await.unwrap().success());
    assert_eq!(std::fs::read_dir(tour.home.path()).unwrap().count(), 0, "something is left");
    assert!(tokio::net::TcpStream::connect(console).await.is_err());
}
