//! The keys of the site on disk, and what was stated last. The folder is `evidence` in `data_dir`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::seal::{Hash, SiteKey, SitePublicKey};

/// Where they are.
#[derive(Debug, Clone)]
pub(super) struct KeyRing {
    folder: PathBuf,
}

impl KeyRing {
    /// The folder in a `data_dir`; it is made when something is written.
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join(FOLDER) }
    }

    /// The key with this public key, whether it has been in use or was to follow. `None`: neither is.
    pub(super) fn with(&self, public_key: &SitePublicKey) -> io::Result<Option<SiteKey>> {
        let Some((name, key)) = self.find(public_key)? else { return Ok(None) };
        if name == NEXT_KEY {
            self.promote()?;
        }
        Ok(Some(key))
    }

    /// The same, with the name of its file, and nothing is changed.
    fn find(&self, public_key: &SitePublicKey) -> io::Result<Option<(&'static str, SiteKey)>> {
        for name in [KEY, NEXT_KEY] {
            if let Some(key) = self.read(name)?.filter(|key| key.public_key() == *public_key) {
                return Ok(Some((name, key)));
            }
        }
        Ok(None)
    }

    /// The key that is in use, or else another one, which is kept.
    pub(super) fn present(&self) -> io::Result<SiteKey> {
        if let Some(key) = self.read(KEY)? {
            return Ok(key);
        }
        let key = made()?;
        self.replace(KEY, key.to_pkcs8())?;
        Ok(key)
    }

    /// Makes the key that follows the one in use. It is on stable storage before anything names it.
    pub(super) fn make_next(&self, in_use: &SitePublicKey) -> io::Result<SiteKey> {
        // The last one may not have taken its place: it must not be overwritten.
        if self.read(KEY)?.is_none_or(|key| key.public_key() != *in_use) {
            self.promote()?;
        }
        let key = made()?;
        self.replace(NEXT_KEY, key.to_pkcs8())?;
        Ok(key)
    }

    /// Has the next key take the place of the one in use, which is gone then.
    pub(super) fn promote(&self) -> io::Result<()> {
        fs::rename(self.folder.join(NEXT_KEY), self.folder.join(KEY))?;
        fs::File::open(&self.folder)?.sync_all()
    }

    /// The number and hash of the last statement that was made, in whatever store.
    pub(super) fn last(&self) -> io::Result<Option<(u64, Hash)>> {
        let text = match fs::read_to_string(self.folder.join(LAST)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let [number, hash] = words.as_slice() else { return Ok(None) };
        Ok(number.parse().ok().zip(Hash::from_hex(hash)))
    }

    /// Keeps the number and hash of the last statement.
    pub(super) fn keep_last(&self, number: u64, hash: Hash) -> io::Result<()> {
        self.replace(LAST, format!("{number} {hash}\n").as_bytes())
    }

    fn read(&self, name: &str) -> io::Result<Option<SiteKey>> {
        let path = self.folder.join(name);
        match fs::read(&path) {
            Ok(document) => SiteKey::from_pkcs8(&document).map(Some).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{} is no Ed25519 key in a PKCS#8 document", path.display()),
                )
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        }
    }

    /// Replaces a file: after a crash it holds what it held before, or all of this. Others than its owner can't read it.
    fn replace(&self, name: &str, octets: &[u8]) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let part = self.folder.join(format!("{name}.part"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(octets)?;
        file.sync_all()?;
        fs::rename(&part, self.folder.join(name))?;
        fs::File::open(&self.folder)?.sync_all()
    }
}

fn made() -> io::Result<SiteKey> {
    SiteKey::made().ok_or_else(|| io::Error::other("the system has no random numbers for a key"))
}

/// The number of the last statement that was made, as it is kept beside the keys of a `data_dir`.
///
/// # Errors
/// It is there and can't be read.
pub fn last_stated(data_dir: &Path) -> io::Result<Option<u64>> {
    Ok(KeyRing::new(data_dir).last()?.map(|(number, _)| number))
}

/// The key of a `data_dir` that has this public key. `None`: it is another one now, or gone.
///
/// # Errors
/// One of its files is there and can't be read.
pub fn site_key(data_dir: &Path, public_key: &SitePublicKey) -> io::Result<Option<SiteKey>> {
    Ok(KeyRing::new(data_dir).find(public_key)?.map(|(_, key)| key))
}

/// The folder in `data_dir`.
const FOLDER: &str = "evidence";
const KEY: &str = "key.der";
const NEXT_KEY: &str = "next-key.der";
const LAST: &str = "last-statement";
