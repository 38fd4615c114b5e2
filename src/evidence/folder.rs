//! The folder of a package: its files are for their owner only, and no others are part of it.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::fault::ExportFault;
use crate::seal::Hash;

/// A folder that is written.
pub(super) struct PackageFolder<'a> {
    path: &'a Path,
}

impl<'a> PackageFolder<'a> {
    /// Makes it; it must not exist.
    pub(super) fn create(path: &'a Path) -> Result<Self, ExportFault> {
        make(path)?;
        Ok(Self { path })
    }

    /// Makes a folder in it.
    pub(super) fn folder(&self, name: &str) -> Result<(), ExportFault> {
        make(&self.path.join(name))
    }

    /// Makes a file in it.
    pub(super) fn file(&self, name: &str) -> Result<(PathBuf, File), ExportFault> {
        let path = self.path.join(name);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => Ok((path, file)),
            Err(fault) => Err(ExportFault::File(path, fault)),
        }
    }

    /// Makes a file with one JSON object a line.
    pub(super) fn lines(&self, name: &str) -> Result<LineFile, ExportFault> {
        let (path, file) = self.file(name)?;
        Ok(LineFile { path, file: BufWriter::new(file), count: 0 })
    }

    /// Makes a file of these octets.
    pub(super) fn put(&self, name: &str, octets: &[u8]) -> Result<(), ExportFault> {
        let (path, mut file) = self.file(name)?;
        file.write_all(octets).map_err(|fault| ExportFault::File(path, fault))
    }

    /// Removes it with all that is in it, as far as that works.
    pub(super) fn remove(self) {
        let _removed = std::fs::remove_dir_all(self.path);
    }
}

fn make(path: &Path) -> Result<(), ExportFault> {
    DirBuilder::new().mode(0o700).create(path).map_err(|fault| ExportFault::File(path.to_owned(), fault))
}

/// A file with one JSON object a line.
pub(super) struct LineFile {
    path: PathBuf,
    file: BufWriter<File>,
    count: u64,
}

impl LineFile {
    pub(super) fn write(&mut self, line: &impl serde::Serialize) -> Result<(), ExportFault> {
        let text = serde_json::to_string(line).unwrap_or_default();
        self.count = self.count.saturating_add(1);
        writeln!(self.file, "{text}").map_err(|fault| ExportFault::File(self.path.clone(), fault))
    }

    /// Ends it, and says how many lines it has.
    pub(super) fn end(mut self) -> Result<u64, ExportFault> {
        self.file.flush().map_err(|fault| ExportFault::File(self.path, fault))?;
        Ok(self.count)
    }
}

/// What is in the folder of a package.
#[derive(Debug, Default)]
pub(super) struct FolderListing {
    /// Plain files, with `/` between folder and name.
    pub(super) files: BTreeSet<String>,
    /// What no package has: other folders, links, sockets.
    pub(super) others: BTreeSet<String>,
}

impl FolderListing {
    pub(super) fn of(folder: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let mut listing = Self::default();
        listing.add(folder, "")?;
        if listing.others.remove(STAMPS_FOLDER) {
            let stamps = folder.join(STAMPS_FOLDER);
            let is_folder = std::fs::symlink_metadata(&stamps).is_ok_and(|one| one.is_dir());
            if is_folder {
                listing.add(&stamps, &format!("{STAMPS_FOLDER}/"))?;
            } else {
                listing.others.insert(STAMPS_FOLDER.to_owned());
            }
        }
        Ok(listing)
    }

    fn add(&mut self, folder: &Path, before: &str) -> Result<(), (PathBuf, io::Error)> {
        let told = |fault| (folder.to_owned(), fault);
        for entry in std::fs::read_dir(folder).map_err(told)? {
            let entry = entry.map_err(told)?;
            let is_file = entry.file_type().map_err(told)?.is_file();
            let place = if is_file { &mut self.files } else { &mut self.others };
            place.insert(format!("{before}{}", entry.file_name().to_string_lossy()));
        }
        Ok(())
    }
}

/// The SHA-256 hash of a file.
pub(super) fn hash_of_file(path: &Path) -> io::Result<Hash> {
    let (mut file, mut context) = (File::open(path)?, Context::new(&SHA256));
    let mut octets = vec![0; CHUNK];
    loop {
        let length = file.read(&mut octets)?;
        let Some(read) = octets.get(..length).filter(|read| !read.is_empty()) else { break };
        context.update(read);
    }
    let hash = Hash::from_octets(context.finish().as_ref());
    hash.ok_or_else(|| io::Error::other("no SHA-256 hash can be made"))
}

/// Statements with their time stamps.
pub(super) const STAMPS_FOLDER: &str = "stamps";
/// Octets that are read at a time.
const CHUNK: usize = 64 << 10;
