//! Programs that are not ours, where `tests/run` unpacked them or the system has them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::daemon::PROGRAM;

/// The folder of the peers, if `tests/run` made one.
pub(crate) fn peers() -> Option<PathBuf> {
    let named = std::env::var_os("SEALPOST_PEERS").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    named.or(Some(usual)).filter(|folder| folder.is_dir())
}

/// A file below the unpacked system.
pub(crate) fn unpacked(file: &str) -> Option<PathBuf> {
    peers().map(|folder| folder.join("root").join(file)).filter(|path| path.exists())
}

/// A program by its name, unpacked or installed.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let places = ["usr/bin", "usr/sbin", "usr/local/bin", "bin"];
    let ours = places.iter().find_map(|place| unpacked(&format!("{place}/{name}")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    ours.or_else(|| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file()))
}

/// The folders of unpacked shared libraries, for `LD_LIBRARY_PATH`.
pub(crate) fn libraries() -> OsString {
    let root = peers().map(|folder| folder.join("root")).unwrap_or_default();
    let machine = std::env::consts::ARCH;
    let folders = [
        root.join("usr/lib/postfix"),
        root.join(format!("usr/lib/{machine}-linux-gnu")),
        root.join(format!("lib/{machine}-linux-gnu")),
    ];
    std::env::join_paths(folders).unwrap()
}

pub(crate) fn swaks() -> Option<Command> {
    let swaks = program("swaks")?;
    let mut command = Command::new("perl");
    if let Some(root) = peers().map(|folder| folder.join("root")) {
        let mut folders = vec![root.join("usr/share/perl5")];
        let versioned = root.join(format!("usr/lib/{}-linux-gnu/perl5", std::env::consts::ARCH));
        folders.extend(std::fs::read_dir(versioned).into_iter().flatten().flatten().map(|e| e.path()));
        command.env("PERL5LIB", std::env::join_paths(folders).unwrap());
    }
    command.arg(swaks);
    Some(command)
}

/// A daemon under strace; the trace is whole once it has ended.
pub(crate) fn strace(arguments: &[&str], trace: &Path) -> Option<Command> {
    let mut command = Command::new(program("strace")?);
    // -D: the daemon is our own child, so that it can be stopped and awaited.
    command.args(["-D", "-f"]).args(arguments).arg("-o").arg(trace).arg("--").arg(PROGRAM);
    Some(command)
}

/// A Python that finds this module.
pub(crate) fn python(module: &str) -> Option<Command> {
    let mut command = Command::new("python3");
    let folders = peers().map(|p| [p.join("python"), p.join("root/usr/lib/python3/dist-packages")]);
    command.env("PYTHONPATH", std::env::join_paths(folders.into_iter().flatten()).unwrap());
    command.env("PYTHONUNBUFFERED", "1");
    let mut probe = Command::new("python3");
    probe.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let works =
        probe.args(["-c", &format!("import {module}")]).output().is_ok_and(|out| out.status.success());
    works.then_some(command)
}

/// Runs a command to its end without holding up the runtime.
pub(crate) async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

/// All that a command wrote.
pub(crate) fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn am_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}
