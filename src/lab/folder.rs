//! The folder of a lab: where it is, and what is written there.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::fault::LabFault;

/// The command-line options of the lab.
#[derive(Debug, Clone, Default)]
pub struct LabOptions {
    /// Keep it running until Ctrl-C, and keep its folder.
    pub keep: bool,
    /// JSON instead of a table; used here only with `keep`.
    pub json: bool,
    /// The folder for everything on disk, new or empty; `None`: a temporary one.
    pub state: Option<PathBuf>,
}

/// The folder, kept or removed with this value.
pub(super) enum Folder {
    Kept(PathBuf),
    Passing(TempDir),
}

impl Folder {
    pub(super) fn make(options: &LabOptions) -> Result<Self, LabFault> {
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |fault| LabFault::State { path, fault }
        };
        if let Some(path) = &options.state {
            fs::create_dir_all(path).map_err(fault(path))?;
            if fs::read_dir(path).map_err(fault(path))?.next().is_some() {
                return Err(LabFault::NotEmpty(path.clone()));
            }
            return Ok(Self::Kept(path.clone()));
        }
        let folder = tempfile::Builder::new()
            .prefix("sealpost-lab-")
            .tempdir()
            .map_err(fault(&std::env::temp_dir()))?;
        Ok(if options.keep { Self::Kept(folder.keep()) } else { Self::Passing(folder) })
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Passing(folder) => folder.path(),
        }
    }
}

/// Writes the files of a lab, and makes the folders `tls` and `data`.
///
/// # Errors
/// [`LabFault::State`].
pub(super) fn write_files(folder: &Path, files: &[(&str, String)]) -> Result<(), LabFault> {
    for part in ["tls", "data"] {
        let path = folder.join(part);
        fs::create_dir_all(&path).map_err(|fault| LabFault::State { path, fault })?;
    }
    for (name, text) in files {
        let path = folder.join(name);
        write_own(&path, text).map_err(|fault| LabFault::State { path, fault })?;
    }
    Ok(())
}

/// Writes a file that no other user may read, because some hold keys.
fn write_own(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
