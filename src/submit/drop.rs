//! The drop directory: where programs leave mail while the daemon is down. Any user may add files and see none; the
//! daemon owns the directory and reads what is there. A file is complete once it has its final name: first a line with
//! the envelope, then the content in wire form, then a line with a dot.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, fchmod, fstat, futimens, openat,
    renameat, statat, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::rotation::{DropFile, DueFiles};
use super::{LocalMessage, SubmittedEnvelope};

/// The drop directory, open.
pub struct DropDir(OwnedFd);

/// What the daemon publishes there for programs that can't read its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedListener {
    /// The server's name.
    pub name: String,
    /// A listener that accepts mail from this machine without TLS.
    pub listener: Option<SocketAddr>,
}

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum DropFault {
    /// It is no longer there: its owner may remove it.
    #[error("it is no longer there")]
    Gone,
    /// The fault is the system's and may pass: too many open files, no memory, the disk.
    #[error("it can't be read: {0}")]
    System(io::Error),
    /// The file itself is at fault.
    #[error(transparent)]
    Damage(#[from] Damage),
}

/// Why a file can never be picked up.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Its mode keeps the daemon out.
    #[error("the daemon has no permission to read it")]
    Unreadable,
    /// It is a link, a pipe, or a file with another name.
    #[error("it is not a regular file with one name")]
    Irregular,
    /// It is larger than a message may be.
    #[error("it has {0} octets, more than a message may have")]
    TooLarge(u64),
    /// It is not what `sealpost sendmail` writes.
    #[error("it is not a complete message with its envelope")]
    Form,
}

impl DropDir {
    /// Opens it for a program that only adds files, which needs no right to read the directory.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// Opens it for the daemon, which must own it: only then do others not remove or replace what is in it.
    ///
    /// # Errors
    /// It is not there, can't be read, or belongs to somebody else.
    pub fn open_own(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        if fstat(&fd)?.st_uid != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("it belongs to another user"));
        }
        Ok(Self(fd))
    }

    /// Leaves a message. When this returns, it is on stable storage.
    ///
    /// # Errors
    /// It can't be written; nothing is left then.
    pub fn leave(&self, submission: &LocalMessage) -> io::Result<()> {
        let (temporary, whole) = (random(TEMPORARY), random(WHOLE));
        // RFC 5321 §6.1 holds for us as well: the caller forgets the message once we say that we have it.
        self.write(&temporary, &whole, |file| write_message(file, submission))
    }

    /// Puts a message in the place of a file, as old as it was, on stable storage.
    ///
    /// # Errors
    /// It can't be written; the file is as it was.
    pub fn replace(&self, file: &DropFile, submission: &LocalMessage) -> io::Result<()> {
        self.write(&random(TEMPORARY), &file.name, |new| {
            write_message(new, submission)?;
            let left_at = Timespec { tv_sec: file.left_at, tv_nsec: 0 };
            Ok(futimens(&*new, &Timestamps { last_access: left_at, last_modification: left_at })?)
        })
    }

    /// Writes a file under a temporary name, which is removed if anything fails, and gives it its name.
    fn write(
        &self,
        temporary: &str,
        name: &str,
        content: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut file = self.create(temporary)?;
        let written = content(&mut file).and_then(|()| {
            file.sync_all()?;
            renameat(&self.0, temporary, &self.0, name)?;
            // The directory can't be read, so it can't be flushed. Flushing the renamed file flushes its name too on the
            // journaling file systems.
            file.sync_all()
        });
        if written.is_err() {
            let _gone = unlinkat(&self.0, temporary, AtFlags::empty());
        }
        written
    }

    /// A new file that the directory's group may read: the directory gives its group to it (setgid).
    fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?;
        fchmod(&file, Mode::RUSR | Mode::WUSR | Mode::RGRP)?;
        Ok(File::from(file))
    }

    /// Publishes where mail from this machine is accepted. A directory in its place is moved out of the way: any user may
    /// have made it.
    ///
    /// # Errors
    /// It can't be written.
    pub fn publish(&self, listener: &PublishedListener) -> io::Result<()> {
        let write = || {
            self.write(&random(TEMPORARY), LISTENER, |file| {
                file.write_all(&serde_json::to_vec(listener)?)?;
                Ok(fchmod(&*file, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH)?)
            })
        };
        match write() {
            Err(fault) if fault.kind() == io::ErrorKind::IsADirectory => {
                self.set_aside(LISTENER)?;
                write()
            }
            written => written,
        }
    }

    /// What was published, if by the owner of the directory.
    #[must_use]
    pub fn published(&self) -> Option<PublishedListener> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.0, LISTENER, flags, Mode::empty()).ok()?;
        let (found, owner) = (fstat(&file).ok()?, fstat(&self.0).ok()?.st_uid);
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile || found.st_uid != owner {
            return None;
        }
        let mut text = Vec::new();
        File::from(file).take(PUBLISHED_BYTES_MAX).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Adds the complete files to a look. What was begun long ago and never completed is removed. A single entry never
    /// ends the look: any user may have made it.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn look(&self, files: &mut DueFiles<'_>, now_seconds: i64) -> io::Result<()> {
        for entry in Dir::read_from(&self.0)? {
            let Ok(name) = entry?.file_name().to_str().map(str::to_owned) else { continue };
            let (is_whole, is_begun) = (name.starts_with(WHOLE), name.starts_with(TEMPORARY));
            if !(is_whole && !files.waits(&name) || is_begun) {
                continue;
            }
            // Its owner may have removed it meanwhile.
            let Ok(found) = statat(&self.0, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if is_whole {
                files.add(DropFile { left_at: left_at(&found), name, uid: found.st_uid });
            } else if left_at(&found) < now_seconds.saturating_sub(DAY) {
                // A directory that somebody made stays, and does no harm.
                let _gone = unlinkat(&self.0, &name, AtFlags::empty());
            }
        }
        Ok(())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`DropFault`].
    pub fn read(&self, name: &str, octets_max: u64) -> Result<LocalMessage, DropFault> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.0, name, flags, Mode::empty()).map_err(not_opened)?;
        let found = fstat(&file).map_err(|fault| DropFault::System(fault.into()))?;
        // A second name may be a link to somebody else's file. Without any it was removed.
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile || found.st_nlink > 1 {
            return Err(Damage::Irregular.into());
        }
        let size = u64::try_from(found.st_size).unwrap_or(u64::MAX);
        if size > octets_max {
            return Err(Damage::TooLarge(size).into());
        }
        // Whoever left it may still write to it: what counts is what is read here, once.
        let mut octets = Vec::new();
        let read = File::from(file).take(octets_max.saturating_add(1)).read_to_end(&mut octets);
        read.map_err(DropFault::System)?;
        Ok(parsed(&octets).ok_or(Damage::Form)?)
    }

    /// Removes a file that was submitted. Its owner may have done so meanwhile.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Keeps a file under a name that is not picked up, and gives that name. Nobody can guess it, so nobody can be there
    /// first.
    ///
    /// # Errors
    /// It can't be renamed.
    pub fn set_aside(&self, name: &str) -> io::Result<String> {
        let aside = random(ASIDE);
        renameat(&self.0, name, &self.0, &aside)?;
        Ok(aside)
    }
}

fn write_message(file: &mut File, submission: &LocalMessage) -> io::Result<()> {
    serde_json::to_writer(&mut *file, &submission.envelope)?;
    file.write_all(b"\n")?;
    file.write_all(&submission.content)?;
    file.write_all(END)
}

/// A name that nobody else uses.
fn random(kind: &str) -> String {
    format!("{kind}{:016x}", fastrand::u64(..))
}

/// When a file was left. Its owner may set the time of its content, but not that of its state (ctime), to a later one.
fn left_at(found: &Stat) -> i64 {
    found.st_mtime.min(found.st_ctime)
}

/// A file that can't be opened is at fault if its kind or mode is. Anything else may pass.
fn not_opened(fault: Errno) -> DropFault {
    match fault {
        Errno::NOENT => DropFault::Gone,
        // A link, and a socket.
        Errno::LOOP | Errno::NXIO => Damage::Irregular.into(),
        Errno::ACCESS => Damage::Unreadable.into(),
        other => DropFault::System(other.into()),
    }
}

/// A file as [`DropDir::leave`] writes it. Lines that end in a bare CR or LF, or begin with a dot that is not stuffed and
/// might end the message, are nothing it writes.
fn parsed(octets: &[u8]) -> Option<LocalMessage> {
    let end = memchr::memchr(b'\n', octets)?;
    let envelope: SubmittedEnvelope = serde_json::from_slice(octets.get(..end)?).ok()?;
    let content = octets.get(end.saturating_add(1)..)?.strip_suffix(END)?;
    let valid = content.split_inclusive(|octet| *octet == b'\n').all(|line| {
        line.strip_suffix(b"\r\n")
            .is_some_and(|text| !has_lone_dot(text) && !text.contains(&b'\r') && !text.contains(&0))
    });
    (envelope.is_valid() && valid).then(|| LocalMessage { envelope, content: content.to_vec() })
}

fn has_lone_dot(line: &[u8]) -> bool {
    line.starts_with(b".") && !line.starts_with(b"..")
}

const TEMPORARY: &str = "tmp-";
const WHOLE: &str = "mail-";
const ASIDE: &str = "bad-";
const LISTENER: &str = "listener";
const END: &[u8] = b".\r\n";
const PUBLISHED_BYTES_MAX: u64 = 4096;
/// In seconds.
const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(octets: &[u8], expected: bool) {
        assert_eq!(parsed(octets).is_some(), expected, "{}", String::from_utf8_lossy(octets));
    }

    #[test]
    fn only_what_is_wrong_with_the_file_sets_it_aside() {
        for (fault, expected) in [
            (Errno::ACCESS, "Damage(Unreadable)"),
            (Errno::LOOP, "Damage(Irregular)"),
            (Errno::NXIO, "Damage(Irregular)"),
            (Errno::NOENT, "Gone"),
            (Errno::MFILE, "System("),
            (Errno::NFILE, "System("),
            (Errno::IO, "System("),
            (Errno::NOMEM, "System("),
            (Errno::STALE, "System("),
        ] {
            let found = format!("{:?}", not_opened(fault));
            assert!(found.starts_with(expected), "{fault}: {found}");
        }
    }

    #[test]
    fn only_a_whole_file_is_a_message() {
        let envelope = r#"{"sender":"","recipients":["b@b.test"]}"#;
        let file = |content: &str| format!("{envelope}\n{content}").into_bytes();
        check(&file("A: b\r\n\r\nx\r\n.\r\n"), true);
        check(&file("A: b\r\n\r\nx\r\n"), false);
        check(&file("A: b\r\n\r\nx\n.\r\n"), false);
        check(&file("A: b\r\n.\r\nMAIL FROM:<>\r\n.\r\n"), false);
        check(&file("A: b\r\n\r\nx\ry\r\n.\r\n"), false);
        check(&file("..A: b\r\n..\r\n.\r\n"), true);
        check(&file(".A: b\r\n.\r\n"), false);
        check(b"A: b\r\n\r\nx\r\n.\r\n", false);
        check(b"{\"sender\":\"\",\"recipients\":[]}\nx\r\n.\r\n", false);
        check(b"{\"sender\":\"a@b.test> SIZE=1\",\"recipients\":[\"b@b.test\"]}\nx\r\n.\r\n", false);
        check(
            b"{\"sender\":\"\",\"recipients\":[\"b@b.test\"],\"envid\":\"a\\r\\nRSET\"}\nx\r\n.\r\n",
            false,
        );
    }
}
