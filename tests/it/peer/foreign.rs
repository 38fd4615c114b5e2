//! A real Exim or OpenSMTPD. Both want users, folders and files of the system: they get them in a mount namespace
//! of their own, so that nothing of this machine changes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::daemon::free_address;
use super::mint::Pair;
use super::postfix::Relay;
use super::{LONG, eventually, tools};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Exim,
    OpenSmtpd,
}

/// A running one; it ends when dropped.
pub(crate) struct Foreign {
    pub(crate) address: SocketAddr,
    kind: Kind,
    folder: TempDir,
    child: Child,
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Self::Exim => "usr/sbin/exim4",
            Self::OpenSmtpd => "usr/sbin/smtpd",
        }
    }

    /// Why it can't run here, if it can't.
    pub(crate) fn missing(self) -> Option<&'static str> {
        if tools::unpacked(self.program()).is_none() {
            return Some("it was not unpacked; tests/run does it");
        }
        if !tools::am_root() {
            return Some("it needs root");
        }
        let alone = Command::new("unshare").args(["-m", "true"]).status();
        (!alone.is_ok_and(|status| status.success())).then_some("it needs a mount namespace of its own")
    }
}

impl Foreign {
    /// Starts it: `own` is its server certificate, everything goes to `relay`.
    pub(crate) async fn start(kind: Kind, own: &Pair, relay: Relay<'_>) -> Self {
        let folder = tempfile::Builder::new().prefix("foreign-").tempdir_in("/tmp").unwrap();
        let dir = folder.path();
        let address = free_address();
        own.write(dir, "own");
        std::fs::create_dir(dir.join("log")).unwrap();
        for (path, mode) in [(dir.to_owned(), 0o755), (dir.join("log"), 0o777)] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(path, mode).unwrap();
        }
        if let Some((authority, _)) = relay.verify {
            std::fs::write(dir.join("relay-ca.pem"), &authority.pem).unwrap();
        }
        let name = relay.verify.map_or("relay.test", |(_, name)| name);
        system_files(dir, name);
        let config = match kind {
            Kind::Exim => exim_conf(dir, address, &relay, name),
            Kind::OpenSmtpd => smtpd_conf(dir, address, &relay, name),
        };
        std::fs::write(dir.join("config"), config).unwrap();
        std::fs::write(dir.join("enter"), enter(dir)).unwrap();
        let program = tools::unpacked(kind.program()).unwrap();
        let mut command = Command::new("unshare");
        command.args(["-m", "sh"]).arg(dir.join("enter")).arg(program);
        match kind {
            Kind::Exim => command.args(["-bdf", "-q1s"]),
            Kind::OpenSmtpd => command.args(["-d", "-f"]).arg(dir.join("config")),
        };
        let said = std::fs::File::create(dir.join("log/said")).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap();
        let mut peer = Self { address, kind, folder, child };
        eventually("the peer's greeting", LONG, async || {
            let over = peer.child.try_wait().unwrap();
            assert!(over.is_none(), "{kind:?} ended: {}", peer.log());
            super::client::Client::try_connect(address).await.ok()
        })
        .await;
        peer
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        let files = ["said", "mainlog", "paniclog", "rejectlog"];
        let read = |file: &&str| std::fs::read_to_string(self.folder.path().join("log").join(file)).ok();
        files.iter().filter_map(read).collect()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // Its children end with it on SIGTERM.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {:?} said:\n{}---", self.kind, self.log());
        }
    }
}

/// Users, names, and libraries, as the system's own files with a few lines more.
fn system_files(dir: &Path, relay: &str) {
    let with = |file: &str, more: &str| std::fs::read_to_string(file).unwrap_or_default() + more;
    let home = "/var/lib/opensmtpd/empty";
    let users = format!(
        "Debian-exim:x:997:997::/tmp:/bin/false\nopensmtpd:x:996:996::{home}:/bin/false\n\
         opensmtpq:x:995:995::{home}:/bin/false\n"
    );
    std::fs::write(dir.join("passwd"), with("/etc/passwd", &users)).unwrap();
    let groups = "Debian-exim:x:997:\nopensmtpd:x:996:\nopensmtpq:x:995:\n";
    std::fs::write(dir.join("group"), with("/etc/group", groups)).unwrap();
    std::fs::write(dir.join("hosts"), format!("127.0.0.1 {relay} localhost\n")).unwrap();
    // Programs that change their user look at no LD_LIBRARY_PATH.
    let libraries = tools::peers().unwrap().join("root/usr/lib");
    let folders = format!("{}/{}-linux-gnu\n", libraries.display(), std::env::consts::ARCH);
    std::fs::write(dir.join("ld.conf"), with("/etc/ld.so.conf", &folders)).unwrap();
    let made = Command::new("/sbin/ldconfig")
        .arg("-X")
        .arg("-C")
        .arg(dir.join("ld.cache"))
        .arg("-f")
        .arg(dir.join("ld.conf"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", tools::said(&made));
}

fn enter(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "set -e\nmount --bind {dir}/passwd /etc/passwd\nmount --bind {dir}/group /etc/group\n\
         mount --bind {dir}/hosts /etc/hosts\nmount --bind {dir}/ld.cache /etc/ld.so.cache\n\
         mount -t tmpfs none /var/spool\nmount -t tmpfs none /run\nmount -t tmpfs none /var/lib\n\
         mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd /var/lib/exim4\nchmod 711 /var/spool/smtpd\n\
         cp {dir}/config /var/lib/exim4/config.autogenerated\n\
         install -m 644 {dir}/own.crt {dir}/own.key /var/lib/exim4\nexec \"$@\"\n"
    )
}

fn exim_conf(dir: &Path, address: SocketAddr, relay: &Relay<'_>, name: &str) -> String {
    let exim = tools::unpacked("usr/sbin/exim4").unwrap();
    let (dir, exim) = (dir.display(), exim.display());
    let verify = match relay.verify {
        None => String::new(),
        Some(_) => format!(
            "  hosts_require_tls = *\n  tls_verify_hosts = *\n  tls_verify_cert_hostnames = *\n\
             \x20 tls_verify_certificates = {dir}/relay-ca.pem\n"
        ),
    };
    format!(
        "primary_hostname = exim.test\nspool_directory = /var/spool/exim4\nlog_file_path = {dir}/log/%slog\n\
         pid_file_path = /run/exim.pid\nexim_path = {exim}\ndaemon_smtp_ports = {port}\n\
         local_interfaces = 127.0.0.1\ntls_advertise_hosts = *\ntls_certificate = /var/lib/exim4/own.crt\n\
         tls_privatekey = /var/lib/exim4/own.key\nacl_smtp_rcpt = acl_rcpt\nkeep_environment =\n\
         never_users =\nqueue_run_max = 20\n\
         begin acl\nacl_rcpt:\n  accept\n\
         begin routers\nrelay:\n  driver = manualroute\n  transport = out\n\
         \x20 route_list = * {name} byname\n  self = send\n\
         begin transports\nout:\n  driver = smtp\n  port = {to}\n{verify}\
         begin retry\n* * F,1h,1s\n",
        port = address.port(),
        to = relay.to.port(),
    )
}

fn smtpd_conf(dir: &Path, address: SocketAddr, relay: &Relay<'_>, name: &str) -> String {
    let dir = dir.display();
    let (ca, scheme, verify) = match relay.verify {
        None => (String::new(), "smtp", ""),
        Some(_) => (format!("ca nexthop cert \"{dir}/relay-ca.pem\"\n"), "smtp+tls", " ca nexthop"),
    };
    format!(
        "pki own cert \"{dir}/own.crt\"\npki own key \"{dir}/own.key\"\n{ca}\
         listen on 127.0.0.1 port {port} tls pki own hostname smtpd.test\n\
         action \"out\" relay host {scheme}://{name}:{to}{verify}\nmatch from any for any action \"out\"\n",
        port = address.port(),
        to = relay.to.port(),
    )
}
