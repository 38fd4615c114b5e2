//! `[server]`: the keys for our name, our folders and the postmaster.

use std::path::{Path, PathBuf};

use super::entry::Entry as _;
use super::forms::{Folder, HostName, MailboxText};
use super::key::Section;
use super::kinds::{Flag, Optional, RequiredKey};
use super::section::section;
use crate::config::Config;
use crate::spool;
use crate::submit::DROP_DIR;

section! {
    pub(crate) ServerEntry, ServerValues;

    name: RequiredKey<HostName> = "gw1.contoso.example" => {
        meaning: "Our name: in the greeting, in EHLO, in Received.",
    }
    data_dir: RequiredKey<Folder> = "/var/lib/sealpost" => {
        meaning: "Where the spool and the control socket live.",
        explanation: "A check creates nothing there. Errors: the path of `control.sock` in it has 108 octets or \
            more, which is too long for a socket; `body` or `tmp` in it are on another file system or mount.",
    }
    secure_delete: Flag = false => {
        meaning: "Overwrite the content of a message in the database as soon as it is delivered.",
        explanation: "Without it, deleted content stays in free pages of the database until they are used again, \
            and someone with access to the disk could read it. With it, the database's log is emptied too, after two \
            seconds without work, and each message costs the disk's thread about a third more work. Set it where the \
            disk is shared or not encrypted. It does not reach what a file system or a drive keeps of overwritten \
            blocks: docs/disk.md.",
    }
    drop_dir: Optional<Folder> = "/var/spool/sealpost" => {
        absent: "`/var/spool/sealpost`, if it exists and the daemon's user owns it",
        meaning: "Where `sealpost sendmail` leaves mail while the daemon is down. The daemon submits what is there to its \
            own listener.",
        explanation: "The daemon's user must own it, and nobody else may list or read it: mode 3733, as \
            `deploy/tmpfiles.d` creates it. Files that are not valid messages are kept as `bad-*`, with an alarm. An \
            alarm also tells if the folder is set and missing. See docs/operation.md, \"Mail from this machine\".",
    }
    postmaster: RequiredKey<MailboxText> = "postmaster@contoso.example" => {
        meaning: "Who `postmaster` without a domain is, and who our reports come from. Its domain must be served \
            by an outbound connector.",
        explanation: "`RCPT TO:<postmaster>` must be accepted everywhere (RFC 5321 section 4.5.1), so its mailbox \
            must lead somewhere. Error: no outbound connector serves its domain.",
    }
}

impl Config {
    /// The drop directory, and whether the configuration names it.
    #[must_use]
    pub fn drop_dir(&self) -> (PathBuf, bool) {
        let folder = self.server.drop_dir.as_deref();
        let base = self.file.parent().unwrap_or(Path::new(""));
        (base.join(folder.unwrap_or(DROP_DIR)), folder.is_some())
    }

    /// The spool's settings, given the number of faults in a row.
    #[must_use]
    pub fn spool(&self, faults: u32) -> spool::Settings {
        spool::Settings {
            data_dir: self.data_dir.clone(),
            faults,
            secure_delete: self.server.secure_delete,
            free_disk: self.listen.reserve.free_disk,
        }
    }
}

pub(super) const SECTION: Section = Section {
    name: "server",
    header: "[server]",
    sample_header: "[server]",
    sample: &[],
    comment: "",
    intro: "",
    reload: false,
    keys: ServerEntry::KEYS,
};
