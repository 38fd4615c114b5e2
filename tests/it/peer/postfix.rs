//! A real Postfix in a folder of its own: its queue, its certificates, a free port, no syslog.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::daemon::free_address;
use super::mint::{Authority, Pair};
use super::{LONG, eventually, tools};

/// A running Postfix; it ends when dropped.
pub(crate) struct Postfix {
    pub(crate) address: SocketAddr,
    folder: TempDir,
    master: Child,
}

/// Where it sends all mail: a host and port, and the level and name of TLS.
pub(crate) struct Relay<'a> {
    pub(crate) to: SocketAddr,
    /// `None`: in clear. Otherwise TLS verified against this authority for this name.
    pub(crate) verify: Option<(&'a Authority, &'a str)>,
}

/// A TLS policy table, and whom its verified levels trust.
pub(crate) struct PolicyTable<'a> {
    pub(crate) text: &'a str,
    pub(crate) anchors: &'a Authority,
}

impl Postfix {
    /// Why it can't run here, if it can't.
    pub(crate) fn missing() -> Option<&'static str> {
        if tools::unpacked("usr/sbin/postconf").is_none() {
            return Some("Postfix was not unpacked; tests/run does it");
        }
        (!tools::am_root()).then_some("Postfix needs root")
    }

    /// Starts it: `own` is its server certificate, everything goes to `relay`.
    pub(crate) async fn start(own: &Pair, relay: Relay<'_>) -> Self {
        Self::start_with(own, relay, "").await
    }

    /// The same with a transport(5) table, by which some mail goes elsewhere.
    pub(crate) async fn start_with(own: &Pair, relay: Relay<'_>, transport: &str) -> Self {
        Self::start_with_policy(own, relay, transport, None).await
    }

    /// The same with a TLS policy table.
    pub(crate) async fn start_with_policy(
        own: &Pair,
        relay: Relay<'_>,
        transport: &str,
        policy: Option<PolicyTable<'_>>,
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("postfix-").tempdir_in("/tmp").unwrap();
        open(folder.path());
        let address = free_address();
        queue_folders(folder.path());
        let (chain, key) = own.write(folder.path(), "own");
        let mut main = main_cf(folder.path(), &relay, [&chain, &key]);
        if let Some(policy) = policy {
            let at = |name: &str| folder.path().join(name);
            std::fs::write(at("tls_policy"), policy.text).unwrap();
            std::fs::write(at("policy-ca.pem"), &policy.anchors.pem).unwrap();
            let (table, anchors) = (at("tls_policy"), at("policy-ca.pem"));
            main += &format!(
                "smtp_tls_policy_maps = texthash:{}\nsmtp_tls_CAfile = {}\n",
                table.display(),
                anchors.display()
            );
        }
        std::fs::write(folder.path().join("transport"), transport).unwrap();
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        std::fs::write(folder.path().join("etc/main.cf"), main).unwrap();
        std::fs::write(folder.path().join("etc/master.cf"), master_cf(address)).unwrap();
        std::fs::write(folder.path().join("etc/dynamicmaps.cf"), "").unwrap();
        open(&folder.path().join("etc"));
        let master = tools::unpacked("usr/lib/postfix/sbin/master").unwrap();
        let master = Command::new(master)
            .args(["-d", "-c"])
            .arg(folder.path().join("etc"))
            .env("MAIL_CONFIG", folder.path().join("etc"))
            .env("LD_LIBRARY_PATH", tools::libraries())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("master.err")).unwrap())
            .spawn()
            .unwrap();
        let mut postfix = Self { address, folder, master };
        eventually("Postfix's greeting", LONG, async || {
            let over = postfix.master.try_wait().unwrap();
            assert!(over.is_none(), "Postfix ended: {}", postfix.log());
            super::client::Client::try_connect(address).await.ok()
        })
        .await;
        postfix
    }

    /// The folder with main.cf and master.cf.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.path().join("etc")
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        let read = |file: &str| std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
        read("master.err") + &read("mail.log")
    }

    /// A tool of Postfix, such as `smtp-source`.
    pub(crate) fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(tools::unpacked(&format!("usr/sbin/{name}")).unwrap());
        command.env("MAIL_CONFIG", self.folder.path().join("etc")).env("LD_LIBRARY_PATH", tools::libraries());
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // The master ends its children on SIGTERM; SIGKILL would leave them.
        let _ = Command::new("kill").arg(self.master.id().to_string()).status();
        let _ = self.master.wait();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(8_000).map_or(0, |(at, _)| at);
            eprintln!("--- Postfix said:\n{}---", &log[from..]);
        }
    }
}

/// Users every Debian has, which are not those of an installed Postfix.
const OWNER: (&str, &str) = ("uucp", "news");

fn queue_folders(folder: &Path) {
    let queue = folder.join("queue");
    std::fs::create_dir(&queue).unwrap();
    open(&queue);
    let mut owned = vec![folder.join("data")];
    let names =
        "active bounce corrupt defer deferred flush hold incoming private saved trace maildrop public pid";
    owned.extend(names.split(' ').map(|name| queue.join(name)));
    for path in &owned {
        std::fs::create_dir(path).unwrap();
    }
    let mut command = Command::new("chown");
    command.arg(OWNER.0).args(owned.iter().filter(|path| !path.ends_with("pid")));
    assert!(command.status().unwrap().success());
    for (name, mode) in [("private", 0o700), ("public", 0o710), ("maildrop", 0o730), ("pid", 0o755)] {
        std::fs::set_permissions(queue.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    let groups =
        Command::new("chgrp").arg(OWNER.1).args([queue.join("public"), queue.join("maildrop")]).status();
    assert!(groups.unwrap().success());
}

fn open(folder: &Path) {
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
}

fn main_cf(folder: &Path, relay: &Relay<'_>, own: [&PathBuf; 2]) -> String {
    let root = tools::peers().unwrap().join("root");
    let (folder, root) = (folder.display(), root.display());
    let level = match relay.verify {
        None => "smtp_tls_security_level = none\n".to_owned(),
        Some((authority, name)) => {
            std::fs::write(format!("{folder}/relay-ca.pem"), &authority.pem).unwrap();
            format!(
                "smtp_tls_security_level = secure\nsmtp_tls_secure_cert_match = {name}\n\
                 smtp_tls_CAfile = {folder}/relay-ca.pem\n"
            )
        }
    };
    let (owner, group) = OWNER;
    let [chain, key] = own.map(|path| path.display());
    format!(
        "compatibility_level = 3.6\nqueue_directory = {folder}/queue\ndata_directory = {folder}/data\n\
         command_directory = {root}/usr/sbin\ndaemon_directory = {root}/usr/lib/postfix/sbin\n\
         shlib_directory = {root}/usr/lib/postfix\nmeta_directory = {folder}/etc\n\
         mail_owner = {owner}\nsetgid_group = {group}\nmyhostname = postfix.test\nmydestination =\n\
         mynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
         maillog_file = {folder}/mail.log\nmaillog_file_prefixes = {folder}\n\
         import_environment = MAIL_CONFIG LD_LIBRARY_PATH TZ LANG=C\n\
         export_environment = MAIL_CONFIG LD_LIBRARY_PATH TZ LANG=C\n\
         transport_maps = texthash:{folder}/transport\nalias_maps =\nalias_database =\nlocal_recipient_maps =\nsmtp_dns_support_level = disabled\n\
         smtp_host_lookup = native\nsmtpd_relay_restrictions = permit_mynetworks, reject\n\
         smtpd_client_connection_count_limit = 0\nsmtpd_tls_security_level = may\n\
         smtpd_tls_cert_file = {chain}\nsmtpd_tls_key_file = {key}\nsmtpd_tls_received_header = yes\n\
         default_process_limit = 30\nminimal_backoff_time = 1s\nmaximal_backoff_time = 2s\n\
         queue_run_delay = 1s\ndefault_transport = smtp\nrelayhost = [127.0.0.1]:{port}\n{level}",
        port = relay.to.port(),
    )
}

fn master_cf(address: SocketAddr) -> String {
    let mut out = format!("{address} inet n - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd\n");
    for (name, kind, private, wakeup, limit, program) in [
        ("cleanup", "unix", "n", "-", "0", "cleanup"),
        ("qmgr", "unix", "n", "300", "1", "qmgr"),
        ("tlsmgr", "unix", "-", "1000?", "1", "tlsmgr"),
        ("rewrite", "unix", "-", "-", "-", "trivial-rewrite"),
        ("bounce", "unix", "-", "-", "0", "bounce"),
        ("defer", "unix", "-", "-", "0", "bounce"),
        ("trace", "unix", "-", "-", "0", "bounce"),
        ("verify", "unix", "-", "-", "1", "verify"),
        ("flush", "unix", "n", "1000?", "0", "flush"),
        ("proxymap", "unix", "-", "-", "-", "proxymap"),
        ("smtp", "unix", "-", "-", "-", "smtp"),
        ("relay", "unix", "-", "-", "-", "smtp"),
        ("error", "unix", "-", "-", "-", "error"),
        ("retry", "unix", "-", "-", "-", "error"),
        ("discard", "unix", "-", "-", "-", "discard"),
        ("anvil", "unix", "-", "-", "1", "anvil"),
        ("scache", "unix", "-", "-", "1", "scache"),
    ] {
        out.push_str(&format!("{name} {kind} {private} - n {wakeup} {limit} {program}\n"));
    }
    out
}
