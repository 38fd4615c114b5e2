//! Lists as people see them: on a terminal, with a pager, or drawn again and again. The terminal is that of script(1).

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::console::Scene;
use crate::peer::daemon::PROGRAM;
use crate::peer::{LONG, eventually, left_out, tools, within};

/// A verb on a terminal of so many rows and 200 columns.
fn on_terminal(scene: &Scene, rows: usize, words: &str, environment: &[(&str, &str)]) -> Option<Command> {
    let mut command = Command::new(tools::program("script")?);
    let config = scene.site.home.config();
    let line = format!("stty rows {rows} cols 200; exec {PROGRAM} {words} --config {}", config.display());
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.env_remove("PAGER").env_remove("LESS").env("TERM", "xterm").envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    Some(command)
}

async fn shown(scene: &Scene, rows: usize, words: &str, environment: &[(&str, &str)]) -> String {
    let command = on_terminal(scene, rows, words, environment).unwrap();
    let output = within("the list", LONG, tools::run(command)).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words}: {text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_does_not_fit_is_paged() {
    if tools::program("script").is_none() {
        return left_out("listing::a_list_that_does_not_fit_is_paged", "script is not installed");
    }
    let scene = Scene::start().await;
    eventually("what is tracked", LONG, async || {
        scene.site.home.run(&["trace", &scene.waiting], &[]).status.success().then_some(())
    })
    .await;
    let marking = [("PAGER", "sed s/^/PAGED:/")];
    for verb in ["queue list", "queue top", "connectors", "alert list", "trace", "report tls"] {
        let paged = shown(&scene, 2, verb, &marking).await;
        assert!(paged.starts_with("PAGED:"), "{verb}: {paged}");
        let whole = shown(&scene, 100, verb, &marking).await;
        assert!(!whole.contains("PAGED:"), "{verb}: {whole}");
    }
    let list = shown(&scene, 2, "queue list --no-pager", &marking).await;
    assert!(list.contains(&scene.waiting) && !list.contains("PAGED:"), "{list}");
    // A program reads it as it is, and so does one who asks for JSON.
    let piped = scene.site.home.run(&["queue", "list"], &[]);
    assert!(String::from_utf8_lossy(&piped.stdout).contains(&scene.waiting));
    let json = shown(&scene, 2, "queue list --json", &marking).await;
    assert!(json.contains("\"messages\"") && !json.contains("PAGED:"), "{json}");
    // A pager that ends early is not an error, and one that is missing does not hide the list.
    let early = shown(&scene, 2, "queue list", &[("PAGER", "true")]).await;
    assert!(!early.contains(&scene.waiting), "{early}");
    for environment in [[("PAGER", "/nonexistent/pager 2>/dev/null")], [("PAGER", "")], [("TERM", "dumb")]] {
        let list = shown(&scene, 2, "queue list", &environment).await;
        assert!(list.contains(&scene.waiting), "{environment:?}: {list}");
    }
    scene.daemon.stop().await;
}

/// A terminal on which something is drawn.
struct Screen {
    child: Child,
    drawn: UnboundedReceiver<String>,
}

impl Screen {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (mut out, (sender, drawn)) = (child.stdout.take().unwrap(), unbounded_channel());
        std::thread::spawn(move || {
            let mut octets = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut octets) {
                let _gone = sender.send(String::from_utf8_lossy(&octets[..count]).into_owned());
            }
        });
        Self { child, drawn }
    }

    /// What is drawn up to a text.
    async fn until(&mut self, text: &str) -> String {
        let mut drawn = String::new();
        within(text, LONG, async {
            while !drawn.contains(text) {
                match self.drawn.recv().await {
                    Some(more) => drawn.push_str(&more),
                    None => panic!("it has ended: {drawn}"),
                }
            }
        })
        .await;
        drawn
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The verb hears of it by the end of its terminal.
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_list_is_drawn_as_it_changes() {
    if tools::program("script").is_none() {
        return left_out("listing::a_watched_list_is_drawn_as_it_changes", "script is not installed");
    }
    let scene = Scene::start().await;
    let mut screen = Screen::start(on_terminal(&scene, 20, "queue list --watch 1", &[]).unwrap());
    let first = screen.until(&scene.waiting).await;
    assert!(first.contains("every 1 s until Ctrl-C"), "{first}");
    assert!(scene.daemon.command(&["queue", "remove", &scene.waiting]).await.status.success());
    screen.until("0 messages for 0 recipients are queued").await;
    // A relay that is gone is shown, and does not end it.
    scene.daemon.stop().await;
    screen.until("no daemon answers").await;
    drop(screen);
    let piped = scene.site.home.run(&["queue", "list", "--watch"], &[]);
    assert_eq!(piped.status.code(), Some(2), "{}", tools::said(&piped));
    assert!(tools::said(&piped).contains("--watch draws on a terminal"), "{}", tools::said(&piped));
}
