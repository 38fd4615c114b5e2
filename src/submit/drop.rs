//! The drop directory: where programs leave mail while the daemon is down. Any user may add files and see none; the
//! daemon owns the directory and reads what is there. A file is complete once it has its final name: first a line with
//! the envelope, then the content in wire form, then a line with a dot.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fchmod, fstat, openat, renameat, unlinkat};
use serde::{Deserialize, Serialize};

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

/// Why a file can't be picked up.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It can't be read by the daemon.
    #[error("it can't be read: {0}")]
    Unreadable(io::Error),
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
        let unique = format!("{:016x}", fastrand::u64(..));
        let (temporary, whole) = (format!("{TEMPORARY}{unique}"), format!("{WHOLE}{unique}"));
        // RFC 5321 §6.1 holds for us as well: the caller forgets the message once we say that we have it.
        let written = self.create(&temporary).and_then(|mut file| {
            serde_json::to_writer(&mut file, &submission.envelope)?;
            file.write_all(b"\n")?;
            file.write_all(&submission.content)?;
            file.write_all(END)?;
            file.sync_all()?;
            renameat(&self.0, &temporary, &self.0, &whole)?;
            // The directory can't be read, so it can't be flushed. Flushing the renamed file flushes its name too on the
            // journaling file systems.
            file.sync_all()
        });
        if written.is_err() {
            let _gone = unlinkat(&self.0, &temporary, AtFlags::empty());
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

    /// Publishes where mail from this machine is accepted.
    ///
    /// # Errors
    /// It can't be written.
    pub fn publish(&self, listener: &PublishedListener) -> io::Result<()> {
        let temporary = format!("{TEMPORARY}{:016x}", fastrand::u64(..));
        let mut file = self.create(&temporary)?;
        file.write_all(&serde_json::to_vec(listener)?)?;
        fchmod(&file, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH)?;
        Ok(renameat(&self.0, &temporary, &self.0, LISTENER)?)
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

    /// The names of complete files. What was begun long ago and never completed is removed.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn names(&self, now_seconds: i64) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let Ok(name) = entry?.file_name().to_str().map(str::to_owned) else { continue };
            if name.starts_with(WHOLE) {
                names.push(name);
            } else if name.starts_with(TEMPORARY) && self.is_older(&name, now_seconds) {
                self.remove(&name)?;
            }
            if names.len() >= NAMES_MAX {
                break;
            }
        }
        Ok(names)
    }

    fn is_older(&self, name: &str, now_seconds: i64) -> bool {
        let found = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|found| found.st_mtime < now_seconds.saturating_sub(DAY))
    }

    /// Reads a file, and says which user left it.
    ///
    /// # Errors
    /// [`Damage`].
    pub fn read(&self, name: &str, octets_max: u64) -> Result<(LocalMessage, u32), Damage> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.0, name, flags, Mode::empty()).map_err(|fault| match fault {
            rustix::io::Errno::LOOP => Damage::Irregular,
            other => Damage::Unreadable(other.into()),
        })?;
        let found = fstat(&file).map_err(|fault| Damage::Unreadable(fault.into()))?;
        // A second name may be a link to somebody else's file.
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile || found.st_nlink != 1 {
            return Err(Damage::Irregular);
        }
        let size = u64::try_from(found.st_size).unwrap_or(u64::MAX);
        if size > octets_max {
            return Err(Damage::TooLarge(size));
        }
        // Whoever left it may still write to it: what counts is what is read here, once.
        let mut octets = Vec::new();
        let read = File::from(file).take(octets_max.saturating_add(1)).read_to_end(&mut octets);
        read.map_err(Damage::Unreadable)?;
        Ok((parsed(&octets).ok_or(Damage::Form)?, found.st_uid))
    }

    /// Removes a file that was submitted.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Keeps a file under a name that is not picked up, and gives that name.
    ///
    /// # Errors
    /// It can't be renamed.
    pub fn set_aside(&self, name: &str) -> io::Result<String> {
        let aside = format!("{ASIDE}{}", name.strip_prefix(WHOLE).unwrap_or(name));
        renameat(&self.0, name, &self.0, &aside)?;
        Ok(aside)
    }
}

/// A file as [`DropDir::leave`] writes it. Lines that end in a bare CR or LF, or in a dot that would end the message, are
/// nothing it writes.
fn parsed(octets: &[u8]) -> Option<LocalMessage> {
    let end = memchr::memchr(b'\n', octets)?;
    let envelope: SubmittedEnvelope = serde_json::from_slice(octets.get(..end)?).ok()?;
    let content = octets.get(end.saturating_add(1)..)?.strip_suffix(END)?;
    let valid = content.split_inclusive(|octet| *octet == b'\n').all(|line| {
        line.strip_suffix(b"\r\n")
            .is_some_and(|text| text != b"." && !text.contains(&b'\r') && !text.contains(&0))
    });
    (envelope.is_valid() && valid).then(|| LocalMessage { envelope, content: content.to_vec() })
}

const TEMPORARY: &str = "tmp-";
const WHOLE: &str = "mail-";
const ASIDE: &str = "bad-";
const LISTENER: &str = "listener";
const END: &[u8] = b".\r\n";
const PUBLISHED_BYTES_MAX: u64 = 4096;
/// Files that are picked up in one go.
const NAMES_MAX: usize = 1000;
/// In seconds.
const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(octets: &[u8], expected: bool) {
        assert_eq!(parsed(octets).is_some(), expected, "{}", String::from_utf8_lossy(octets));
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
        check(b"A: b\r\n\r\nx\r\n.\r\n", false);
        check(b"{\"sender\":\"\",\"recipients\":[]}\nx\r\n.\r\n", false);
        check(b"{\"sender\":\"a@b.test> SIZE=1\",\"recipients\":[\"b@b.test\"]}\nx\r\n.\r\n", false);
        check(
            b"{\"sender\":\"\",\"recipients\":[\"b@b.test\"],\"envid\":\"a\\r\\nRSET\"}\nx\r\n.\r\n",
            false,
        );
    }
}
