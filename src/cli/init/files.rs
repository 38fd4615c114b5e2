//! Puts the first configuration and its certificate in place: prepared in a folder beside them, checked there, and
//! renamed only when all of it is right.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::exit::{EXIT_NO, Failure};

/// Who can read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileReader {
    /// Everybody.
    Everybody,
    /// The owner of the folder, and its group.
    Group,
    /// The relay's user.
    Relay,
}

/// A folder that is being prepared.
pub(super) struct Staging {
    folder: PathBuf,
    /// Removed if nothing comes of it.
    made_folder: bool,
    stage: Option<TempDir>,
    /// User and group of the folder, and of the relay.
    group: u32,
    relay: (u32, u32),
    /// What is prepared, in the order in which it is put in place.
    ready: Vec<String>,
}

impl Staging {
    /// Prepares files for `folder`, which is made if there is none. The relay runs as whoever owns `data_dir`.
    pub(super) fn new(folder: &Path, data_dir: &Path) -> Result<Self, Failure> {
        let fault = |fault: io::Error| unwritten(folder, &fault);
        let made_folder = !folder.exists();
        make_folder(folder).map_err(fault)?;
        let own = fs::metadata(folder).map_err(fault)?;
        let relay = fs::metadata(data_dir).map_or((own.uid(), own.gid()), |of| (of.uid(), of.gid()));
        let stage = tempfile::Builder::new().prefix(".init-").tempdir_in(folder).map_err(fault)?;
        let stage = Some(stage);
        let folder = folder.to_owned();
        Ok(Self { folder, made_folder, stage, group: own.gid(), relay, ready: Vec::new() })
    }

    /// Where the files are until they are put in place.
    pub(super) fn path(&self) -> &Path {
        self.stage.as_ref().map_or(&self.folder, TempDir::path)
    }

    /// Prepares a file: its path in the folder, its text, and who can read it.
    pub(super) fn write(&mut self, name: &str, text: &str, reader: FileReader) -> Result<(), Failure> {
        let path = self.path().join(name);
        self.write_to(&path, text, reader).map_err(|fault| unwritten(&path, &fault))?;
        self.ready.push(name.to_owned());
        Ok(())
    }

    fn write_to(&self, path: &Path, text: &str, reader: FileReader) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            make_folder(parent)?;
        }
        let mut file = File::create_new(path)?;
        // Nobody else can open it before it is whole: the folder around it is ours.
        let mode = match reader {
            FileReader::Everybody => 0o644,
            FileReader::Group => 0o640,
            FileReader::Relay => 0o600,
        };
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        if rustix::process::geteuid().is_root() {
            match reader {
                FileReader::Everybody => {}
                FileReader::Group => chown(path, None, Some(self.group))?,
                FileReader::Relay => chown(path, Some(self.relay.0), Some(self.relay.1))?,
            }
        }
        file.sync_all()
    }

    /// Puts everything in place, in the order of preparation. Without `replace`, what exists by now stays.
    pub(super) fn settle(mut self, replace: bool) -> Result<Vec<PathBuf>, Failure> {
        let mut placed = Vec::new();
        for name in std::mem::take(&mut self.ready) {
            let (from, to) = (self.path().join(&name), self.folder.join(&name));
            self.place(&from, &to, replace).map_err(|fault| unwritten(&to, &fault))?;
            placed.push(to);
        }
        self.made_folder = false;
        Ok(placed)
    }

    fn place(&self, from: &Path, to: &Path, replace: bool) -> io::Result<()> {
        let parent = to.parent().unwrap_or(&self.folder);
        if make_folder(parent)? && rustix::process::geteuid().is_root() {
            chown(parent, None, Some(self.group))?;
        }
        if replace {
            fs::rename(from, to)?;
        } else {
            // Unlike a rename, a link replaces nothing.
            fs::hard_link(from, to)?;
        }
        File::open(parent)?.sync_all()
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        drop(self.stage.take());
        if self.made_folder {
            // Only if it is empty.
            let _left = fs::remove_dir(&self.folder);
        }
    }
}

/// What a file has in it; `None` if there is none.
pub(super) fn existing(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(octets) => Ok(Some(octets)),
        // What is put in place replaces no link, also one to nothing.
        Err(fault) if fault.kind() == ErrorKind::NotFound => match fs::symlink_metadata(path) {
            Ok(_) => {
                let words = format!("{}: is a link to a file that does not exist; remove it", path.display());
                Err(Failure::new(EXIT_NO, words))
            }
            Err(_) => Ok(None),
        },
        Err(fault) => Err(Failure::new(EXIT_NO, format!("{}: can't be read: {fault}", path.display()))),
    }
}

/// Makes a folder that only its owner and group can list. Whether there was none.
fn make_folder(folder: &Path) -> io::Result<bool> {
    if folder.is_dir() {
        return Ok(false);
    }
    DirBuilder::new().recursive(true).mode(0o750).create(folder).map(|()| true)
}

fn unwritten(path: &Path, fault: &io::Error) -> Failure {
    Failure::new(EXIT_NO, format!("{}: can't be written: {fault}", path.display()))
}
