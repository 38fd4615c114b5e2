//! A real browser: Chromium without a window, driven by ChromeDriver (W3C WebDriver).

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};

use super::browser::WebRequest;
use super::{LONG, eventually, tools};

/// How a browser looks at pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looks {
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    pub(crate) dark: bool,
}

/// A browser with one window; it ends with the test.
pub(crate) struct Chromium {
    driver: Child,
    at: SocketAddr,
    session: String,
    looks: Looks,
    /// The site.
    site: SocketAddr,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// `None`: there is no Chromium on this machine.
    pub(crate) async fn start(site: SocketAddr, looks: Looks) -> Option<Self> {
        let (driver, chromium) = (tools::program("chromedriver")?, tools::program("chromium")?);
        let (driver, port) = started(&driver).await;
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self { driver, at, session: String::new(), looks, site, _profile: profile };
        let folder = format!("--user-data-dir={}", browser._profile.path().display());
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            &folder,
        ];
        let options = json!({ "args": args, "binary": chromium });
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": options, "unhandledPromptBehavior": "ignore" });
        let begun =
            browser.ask("POST", "/session", json!({ "capabilities": { "alwaysMatch": wanted } })).await;
        browser.session =
            format!("/session/{}", begun["sessionId"].as_str().unwrap_or_else(|| panic!("{begun}")));
        let scheme = if looks.dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.devtools("Emulation.setEmulatedMedia", media).await;
        let size = json!({ "width": looks.width, "height": 900, "deviceScaleFactor": 1, "mobile": looks.width < 500 });
        browser.devtools("Emulation.setDeviceMetricsOverride", size).await;
        Some(browser)
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let request = WebRequest::new(method, path).header("Connection", "close");
        let body = (method == "POST").then_some(body);
        request.json(body).to(self.at).await.json()["value"].clone()
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.ask("POST", &format!("{}/goog/cdp/execute", self.session), body).await
    }

    pub(crate) async fn go(&self, path: &str) {
        let url = json!({ "url": format!("http://{}{path}", self.site) });
        let went = self.ask("POST", &format!("{}/url", self.session), url).await;
        assert!(went.is_null(), "{path}: {went}");
    }

    /// The element that this XPath leads to, once the page has one.
    async fn element(&self, path: &str) -> String {
        let by = json!({ "using": "xpath", "value": path });
        let id = eventually(path, LONG, async || {
            let found = self.ask("POST", &format!("{}/element", self.session), by.clone()).await;
            let id = found.as_object().filter(|found| !found.contains_key("error"))?.values().next()?.clone();
            id.as_str().map(str::to_owned)
        });
        format!("{}/element/{}", self.session, id.await)
    }

    pub(crate) async fn click(&self, path: &str) {
        self.act(path, "click", json!({})).await;
    }

    pub(crate) async fn write(&self, path: &str, text: &str) {
        self.act(path, "value", json!({ "text": text })).await;
    }

    /// Does something with an element. One that went with its page in between is looked up on the next page.
    async fn act(&self, path: &str, verb: &str, body: Value) {
        eventually(path, LONG, async || {
            let place = self.element(path).await;
            let done = self.ask("POST", &format!("{place}/{verb}"), body.clone()).await;
            let is_gone = done["error"] == "stale element reference";
            assert!(is_gone || done.is_null(), "{path}: {done}");
            (!is_gone).then_some(())
        })
        .await;
    }

    /// Answers the question that a page asks.
    pub(crate) async fn answer(&self, yes: bool) {
        let verb = if yes { "accept" } else { "dismiss" };
        let answered = self.ask("POST", &format!("{}/alert/{verb}", self.session), json!({})).await;
        assert!(answered.is_null(), "{answered}");
    }

    /// All that the page says.
    pub(crate) async fn text(&self) -> String {
        self.run("return document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn run(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.ask("POST", &format!("{}/execute/sync", self.session), body).await
    }

    /// What a check of accessibility finds on the page, where the checker is there.
    pub(crate) async fn barriers(&self) -> Value {
        let Some(axe) =
            tools::peers().map(|folder| folder.join("axe/package/axe.min.js")).filter(|file| file.exists())
        else {
            return json!([]);
        };
        self.run(&std::fs::read_to_string(axe).unwrap()).await;
        let script = "const done = arguments[arguments.length - 1];
            axe.run().then(found => done(found.violations.map(one => [one.id, one.nodes.map(node => node.html)])))";
        let body = json!({ "script": script, "args": [] });
        self.ask("POST", &format!("{}/execute/async", self.session), body).await
    }

    /// Keeps a picture of the whole page for whoever wants to look.
    pub(crate) async fn picture(&self, name: &str) {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let taken = self.devtools("Page.captureScreenshot", whole).await;
        let octets =
            base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        let folder = screens();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{}-{name}.png", self.looks.name)), octets).unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The browser ends with its driver.
        let _ = Command::new("kill").arg(self.driver.id().to_string()).status();
        let _ = self.driver.wait();
    }
}

/// A driver and its port. It takes one port in IPv4 and IPv6, and ends if another program has one of the two.
async fn started(program: &Path) -> (Child, u16) {
    for _ in 0..PORTS_TRIED {
        let mut driver = Command::new(program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(driver.stdout.take().unwrap());
        let port = tokio::task::spawn_blocking(move || {
            let mut lines = said.lines().map_while(Result::ok);
            let port = lines.find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse::<u16>().ok()
            });
            // It blocks once nobody reads what it says.
            std::thread::spawn(move || lines.for_each(drop));
            port
        });
        match port.await.unwrap() {
            Some(port) => return (driver, port),
            None => drop(driver.wait()),
        }
    }
    panic!("ChromeDriver found no port");
}

const PORTS_TRIED: usize = 20;

/// Where pictures are kept.
fn screens() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("screens")
}
