//! `sealpost lab hybrid`: every message comes out as the policy says, and each fault that is switched on
//! changes exactly the rows that the table in the book names.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::peer::daemon::PROGRAM;
use crate::peer::tools;

/// A lab that is kept running; it ends with this value.
struct KeptLab {
    child: Child,
    folder: PathBuf,
    /// Closed only with the lab: it writes there.
    _said: Lines<BufReader<ChildStderr>>,
    _home: TempDir,
}

impl Drop for KeptLab {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl KeptLab {
    /// Starts one, and waits until it takes requests.
    fn start() -> Self {
        let home = TempDir::new().unwrap();
        let folder = home.path().join("lab");
        let mut command = Command::new(PROGRAM);
        command.args(["lab", "hybrid", "--keep", "--state"]).arg(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with("The lab runs on.")), "the lab did not start");
        Self { child, folder, _said: lines, _home: home }
    }

    /// What a verb prints as JSON, and whether its exit code was 0.
    async fn ask(&self, words: &[&str]) -> (Value, bool) {
        let mut command = Command::new(PROGRAM);
        command.arg("lab").args(words).args(["--json", "--state"]).arg(&self.folder).stdin(Stdio::null());
        let output = tools::run(command).await;
        let text = String::from_utf8_lossy(&output.stdout);
        let value = serde_json::from_str(&text)
            .unwrap_or_else(|fault| panic!("{words:?}: {fault}: {}", tools::said(&output)));
        (value, output.status.success())
    }

    /// The fate of each message: outcome, why, and what Exchange makes of it.
    async fn play(&self) -> BTreeMap<String, String> {
        let (result, good) = self.ask(&["hybrid", "run"]).await;
        let rows = result["rows"].as_array().unwrap();
        let wrong: Vec<&Value> = rows.iter().filter(|row| row["as_expected"] != true).collect();
        assert!(wrong.is_empty() && good, "with {}: {wrong:#?}", result["faults"]);
        rows.iter().map(|row| (text(&row["id"]), fate(row))).collect()
    }
}

fn fate(row: &Value) -> String {
    format!("{} {} {}", text(&row["outcome"]), text(&row["token"]), text(&row["internal_token"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hybrid_lab_comes_out_as_expected() {
    let mut command = Command::new(PROGRAM);
    command.args(["lab", "hybrid", "--json"]).stdin(Stdio::null());
    let output = tools::run(command).await;
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = result["rows"].as_array().unwrap();
    let wrong: Vec<&Value> = rows.iter().filter(|row| row["as_expected"] != true).collect();
    assert!(wrong.is_empty(), "not as expected: {wrong:#?}");
    assert!(output.status.success() && rows.len() >= 32, "{}", tools::said(&output));
    // What a few rows are about, said once more apart from the program's own plan.
    let fates: BTreeMap<String, String> = rows.iter().map(|row| (text(&row["id"]), fate(row))).collect();
    for (id, expected) in [
        ("onprem-to-cloud", "delivered_tls met internal"),
        ("cloud-to-onprem", "delivered_tls met internal"),
        ("cloud-report", "delivered_tls met internal"),
        ("onprem-redirect", "delivered_tls met author-not-internal"),
        ("internet-to-onprem", "delivered_tls met no-cross-premises-headers"),
        ("internet-forged", "delivered_tls met no-cross-premises-headers"),
        ("partner-forged", "delivered_tls met no-cross-premises-headers"),
        ("other-tenant", "delivered_tls met no-cross-premises-headers"),
        ("other-tenant-relay", "refused 550 5.7.54 "),
        ("internet-as-us", "refused 550 5.7.1 "),
        ("internet-as-partner", "refused 550 5.7.10 "),
        ("cloud-to-internet", "delivered_tls sealed "),
        ("cloud-to-partner", "delivered_tls met "),
        ("to-renewal-old", "delivered_tls met "),
        ("to-renewal-new", "delivered_tls met "),
        ("to-no-intermediate", "withheld unknown-issuer "),
        ("to-revoked", "withheld certificate-revoked "),
    ] {
        assert_eq!(fates.get(id).map(String::as_str), Some(expected), "{id}");
    }
}

/// The table of docs/lab.md: each fault, and the messages that it changes.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lab.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| fault ")).skip(2);
    let mut table = BTreeMap::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [faults, changes] = cells[..] else { panic!("two cells, not: {row}") };
        let words =
            |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
        for fault in words(faults) {
            assert!(table.insert(fault, words(changes).into_iter().collect()).is_none(), "twice: {row}");
        }
    }
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_changes_exactly_the_rows_it_should() {
    let lab = KeptLab::start();
    let sound = lab.play().await;
    let (faults, _) = lab.ask(&["fault", "list"]).await;
    let faults: Vec<String> = faults.as_array().unwrap().iter().map(|fault| text(&fault["fault"])).collect();
    let table = documented();
    assert_eq!(faults.iter().collect::<BTreeSet<_>>(), table.keys().collect::<BTreeSet<_>>());
    for fault in &faults {
        let (on, _) = lab.ask(&["fault", fault, "on"]).await;
        assert_eq!(on[0]["fault"], **fault);
        let fates = lab.play().await;
        let changed = fates.iter().filter(|(id, fate)| sound.get(*id) != Some(fate));
        let changed: BTreeSet<String> = changed.map(|(id, _)| id.clone()).collect();
        assert_eq!(changed, table[fault], "{fault}");
        let (off, _) = lab.ask(&["fault", fault, "off"]).await;
        assert_eq!(off.as_array().map(Vec::len), Some(0), "{fault} is off again");
    }
    assert_eq!(lab.play().await, sound, "nothing stays of what was switched off");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_add_up_and_are_cleared_together() {
    let lab = KeptLab::start();
    for fault in ["cloud.throttled", "partner.no-starttls", "cloud.headers-stripped"] {
        lab.ask(&["fault", fault, "on"]).await;
    }
    let fates = lab.play().await;
    assert_eq!(fates["onprem-to-cloud"], "deferred 4.7.500 ");
    assert_eq!(fates["onprem-to-partner"], "withheld starttls-not-offered ");
    let (left, _) = lab.ask(&["fault", "clear"]).await;
    assert_eq!(left.as_array().map(Vec::len), Some(0));
    let mut command = Command::new(PROGRAM);
    command.args(["lab", "fault", "cloud.unknown", "on", "--state"]).arg(&lab.folder);
    let output = tools::run(command).await;
    assert!(tools::said(&output).contains("there is no fault \"cloud.unknown\""), "{}", tools::said(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_of_the_lab_is_in_order() {
    let lab = KeptLab::start();
    let config = lab.folder.join("sealpost.toml");
    let mut command = Command::new(PROGRAM);
    command.args(["check", "--config"]).arg(&config);
    let output = tools::run(command).await;
    assert!(output.status.success(), "{}", tools::said(&output));
    // The list is an intermediate authority's; mail of the cloud for itself does not go by Exchange Server.
    let warnings = tools::said(&output).matches("sealpost: warning:").count();
    assert_eq!(warnings, 2, "{}", tools::said(&output));
    // The kept lab is the daemon: its own verbs reach it.
    let mut command = Command::new(PROGRAM);
    command.args(["queue", "list", "--config"]).arg(&config);
    let output = tools::run(command).await;
    assert!(output.status.success(), "{}", tools::said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_lab_nothing_can_be_switched() {
    let empty = TempDir::new().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["lab", "fault", "list"]).env("TMPDIR", empty.path()).stdin(Stdio::null());
    let output = tools::run(command).await;
    assert_eq!(output.status.code(), Some(69), "{}", tools::said(&output));
    assert!(tools::said(&output).contains("no hybrid lab is running"), "{}", tools::said(&output));
}
