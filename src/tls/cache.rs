//! Fetched revocation lists on disk, in `crl` of `data_dir`, so that a restart need not wait for them.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::certificate::hex;
use crate::mail::UnixMillis;

/// A larger file is not one of ours.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// No write takes longer.
const WRITE_MAX: Duration = Duration::from_secs(60 * 60);
/// Lines of the index that are read.
const LINES_MAX: usize = 65_536;

/// The folder of fetched lists.
#[derive(Debug, Clone)]
pub struct ListCache {
    folder: PathBuf,
}

/// A list as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedList {
    /// The list, in DER.
    pub der: Vec<u8>,
    /// The intermediate authority's key that signed it; none if an anchor did, or nobody is known who did.
    pub key: Option<Vec<u8>>,
}

/// A URL that a chain presented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresentedUrl {
    /// The trust set.
    pub trust: String,
    /// The URL.
    pub url: String,
    /// When it was last presented.
    pub seen: UnixMillis,
}

impl ListCache {
    /// The cache of a `data_dir`; nothing is created or read.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("crl") }
    }

    /// The list of a URL, if it is there and can be read.
    #[must_use]
    pub fn read(&self, trust: &str, url: &str) -> Option<CachedList> {
        let der = read(&self.file(trust, url, "crl")).ok()?;
        Some(CachedList { der, key: read(&self.file(trust, url, "key")).ok() })
    }

    /// Keeps a list. A crash leaves the one before it, or this one.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, trust: &str, url: &str, list: &CachedList) -> io::Result<()> {
        // The key first: with a key that did not sign the list, the list only has to prove itself again.
        let key = self.file(trust, url, "key");
        match &list.key {
            Some(octets) => self.replace(&key, octets)?,
            None => absent(fs::remove_file(&key))?,
        }
        self.replace(&self.file(trust, url, "crl"), &list.der)
    }

    /// The URLs that chains presented before.
    #[must_use]
    pub fn presented(&self) -> Vec<PresentedUrl> {
        let octets = read(&self.folder.join(INDEX)).unwrap_or_default();
        let text = String::from_utf8_lossy(&octets);
        text.lines().take(LINES_MAX).filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Keeps the URLs that chains presented.
    ///
    /// # Errors
    /// They can't be written.
    pub fn write_presented(&self, urls: &[PresentedUrl]) -> io::Result<()> {
        let lines = urls.iter().filter_map(|url| serde_json::to_string(url).ok());
        let text: String = lines.map(|line| line + "\n").collect();
        self.replace(&self.folder.join(INDEX), text.as_bytes())
    }

    /// Removes what is of none of these trust sets and URLs.
    ///
    /// # Errors
    /// The folder can't be read, or a file can't be removed.
    pub fn retain(&self, named: &[(String, String)]) -> io::Result<()> {
        let kept: Vec<PathBuf> = named
            .iter()
            .flat_map(|(trust, url)| ["crl", "key"].map(|kind| self.file(trust, url, kind)))
            .collect();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            let is =
                |kinds: &[&str]| path.extension().is_some_and(|kind| kinds.iter().any(|one| kind == *one));
            let goes = is(&["crl", "key"]) && !kept.contains(&path) || is(&["new"]) && is_left_over(&path);
            if goes {
                absent(fs::remove_file(&path))?;
            }
        }
        Ok(())
    }

    fn replace(&self, file: &Path, octets: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let fresh = file.with_extension("new");
        let mut out = File::create(&fresh)?;
        out.write_all(octets)?;
        out.sync_data()?;
        fs::rename(&fresh, file)
    }

    fn file(&self, trust: &str, url: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", hex(&Sha256::digest(format!("{trust}\n{url}")))))
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    File::open(file)?.take(FILE_BYTES_MAX).read_to_end(&mut octets)?;
    Ok(octets)
}

/// Whether a file was begun so long ago that nobody writes it any more.
fn is_left_over(file: &Path) -> bool {
    let begun = fs::metadata(file).and_then(|about| about.modified());
    begun.is_ok_and(|begun| begun.elapsed().is_ok_and(|age| age > WRITE_MAX))
}

fn absent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

const INDEX: &str = "presented";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_urls_come_back_and_what_nobody_names_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = ListCache::of(folder.path());
        assert!(cache.read("a", "http://x/").is_none() && cache.presented().is_empty());
        cache.retain(&[]).expect("nothing to do");
        let (one, two) =
            (CachedList { der: vec![1], key: Some(vec![2]) }, CachedList { der: vec![3], key: None });
        cache.write("a", "http://x/", &one).expect("written");
        cache.write("b", "http://x/", &two).expect("written");
        assert_eq!(cache.read("a", "http://x/"), Some(one));
        cache.write("a", "http://x/", &two).expect("written");
        assert_eq!(cache.read("a", "http://x/"), Some(two.clone()), "the key of the last one is gone");
        let url = PresentedUrl { trust: "b".into(), url: "http://x/".into(), seen: UnixMillis(7) };
        cache.write_presented(std::slice::from_ref(&url)).expect("written");
        assert_eq!(cache.presented(), [url]);
        cache.retain(&[("b".into(), "http://x/".into())]).expect("removed");
        assert!(cache.read("a", "http://x/").is_none());
        assert_eq!(cache.read("b", "http://x/"), Some(two));
        assert_eq!(cache.presented().len(), 1);
    }

    #[test]
    fn a_write_under_way_is_left_alone_and_one_that_broke_off_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = ListCache::of(folder.path());
        cache.write("a", "http://x/", &CachedList { der: vec![1], key: None }).expect("written");
        let begun = |name: &str| {
            let path = folder.path().join("crl").join(name);
            (File::create(&path).expect("created"), path)
        };
        let (_young, young_path) = begun("young.new");
        let (old, old_path) = begun("old.new");
        let long_ago = std::time::SystemTime::now() - WRITE_MAX - Duration::from_secs(1);
        old.set_modified(long_ago).expect("dated");
        cache.retain(&[]).expect("removed");
        assert!(young_path.exists() && !old_path.exists());
    }
}
