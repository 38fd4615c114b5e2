//! Large content in files: written below `tmp/`, flushed, renamed into `body/`, the directory flushed; only
//! then is a row that names the file committed. It does not touch the database.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::undo::Undo;
use super::{BodyWriter, Pending, SpoolFault, StoredBody};
use crate::mail::{Content, ContentSource, QueueId};

/// The two folders for content in files.
#[derive(Debug)]
pub struct Bodies {
    unfinished: PathBuf,
    finished: PathBuf,
}

impl Bodies {
    /// Uses `tmp/` and `body/` below `data_dir`; creates them if missing, with access for the owner only.
    ///
    /// # Errors
    /// The I/O error of creating them.
    pub fn below(data_dir: &Path) -> io::Result<Self> {
        let (unfinished, finished) = (data_dir.join("tmp"), data_dir.join("body"));
        for folder in [&unfinished, &finished] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(Self { unfinished, finished })
    }

    /// Starts a file. `lost` is called on a failed flush, even if nobody waits for the file any more.
    ///
    /// # Errors
    /// [`SpoolFault::Full`] or [`SpoolFault::Failed`].
    pub fn begin(
        &self,
        id: QueueId,
        lost: impl FnOnce(SpoolFault) + Send + 'static,
    ) -> Result<Box<dyn BodyWriter>, SpoolFault> {
        let path = self.unfinished.join(id.to_string());
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| fault(&path, &error))?;
        let unfinished = UnfinishedFile { file, undo: Undo(Some(path)), length: 0 };
        let (finished, folder) = (self.path(id), self.finished.clone());
        Ok(Box::new(FileWriter { id, finished, folder, unfinished, lost: Box::new(lost) }))
    }

    /// The path of a message's finished content.
    #[must_use]
    pub fn path(&self, id: QueueId) -> PathBuf {
        self.finished.join(id.to_string())
    }

    /// The content of a message stored in a file; `length` is the expected number of octets.
    #[must_use]
    pub fn content(&self, id: QueueId, length: u64) -> Content {
        Content::Source(Arc::new(FileContent { path: self.path(id), length, file: OnceLock::new() }))
    }

    /// The folder of unfinished files.
    #[must_use]
    pub fn unfinished(&self) -> &Path {
        &self.unfinished
    }

    /// The folder of finished files.
    #[must_use]
    pub fn finished(&self) -> &Path {
        &self.finished
    }

    /// Whether the file system has no room even for a small file. `SQLite` reports an exceeded quota only as
    /// a failed write; this tells the two apart.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let path = self.unfinished.join("room");
        let _removed_on_drop = Undo(Some(path.clone()));
        let probe = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            file.write_all(&[0; PROBE_BYTES])
        };
        probe().is_err_and(|error| is_no_room(&error))
    }
}

/// A file being written. `undo` is the last field: the file is closed before it is removed.
struct UnfinishedFile {
    file: File,
    length: u64,
    undo: Undo,
}

struct FileWriter {
    id: QueueId,
    finished: PathBuf,
    folder: PathBuf,
    unfinished: UnfinishedFile,
    lost: Box<dyn FnOnce(SpoolFault) + Send>,
}

impl Write for FileWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.unfinished.file.write(buffer)?;
        let more = u64::try_from(count).unwrap_or(u64::MAX);
        self.unfinished.length = self.unfinished.length.saturating_add(more);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BodyWriter for FileWriter {
    fn finish(self: Box<Self>) -> Pending<Result<StoredBody, SpoolFault>> {
        let (answer, answered) = oneshot::channel();
        let work = move || {
            // If nobody waits any more, the stored body is dropped, and the file with it.
            let _ = answer.send(self.make_durable());
        };
        // A flush takes milliseconds; it must not block a runtime worker.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            Err(_) => work(),
        }
        Box::pin(async move {
            answered.await.unwrap_or_else(|_| {
                Err(SpoolFault::Failed("the process stops; the file was not kept".into()))
            })
        })
    }
}

impl FileWriter {
    fn make_durable(self) -> Result<StoredBody, SpoolFault> {
        let UnfinishedFile { file, length, undo } = self.unfinished;
        // A failed flush is not retried: the pages may be marked clean although they are lost, and whatever
        // else was lost is not reported.
        if let Err(error) = file.sync_data() {
            return Err(flush_fault(&self.finished, &error, self.lost));
        }
        drop(file);
        if let Some(path) = &undo.0 {
            fs::rename(path, &self.finished).map_err(|error| fault(&self.finished, &error))?;
        }
        undo.keep();
        let undo = Undo(Some(self.finished.clone()));
        let folder = File::open(&self.folder).map_err(|error| fault(&self.folder, &error))?;
        if let Err(error) = folder.sync_all() {
            return Err(flush_fault(&self.folder, &error, self.lost));
        }
        let content = FileContent { path: self.finished, length, file: OnceLock::new() };
        Ok(StoredBody { id: self.id, content: Content::Source(Arc::new(content)), undo })
    }
}

/// Makes the names in a folder durable by flushing it.
///
/// # Errors
/// The I/O error of opening or flushing it.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Content in a file, opened on the first read: a long queue holds no descriptors.
struct FileContent {
    path: PathBuf,
    length: u64,
    file: OnceLock<File>,
}

impl FileContent {
    fn file(&self) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let opened = File::open(&self.path)?;
        Ok(self.file.get_or_init(|| opened))
    }
}

impl ContentSource for FileContent {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.file()?.read_at(buffer, offset)?;
        // A truncated message must never pass for a whole one.
        if count == 0 && !buffer.is_empty() && offset < self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }
}

fn fault(path: &Path, error: &io::Error) -> SpoolFault {
    let text = format!("{}: {error}", path.display());
    if is_no_room(error) { SpoolFault::Full(text) } else { SpoolFault::Failed(text) }
}

/// A flush that failed for any reason but lack of room stops the spool.
fn flush_fault(path: &Path, error: &io::Error, lost: impl FnOnce(SpoolFault)) -> SpoolFault {
    match fault(path, error) {
        SpoolFault::Failed(text) => {
            let broken = SpoolFault::Broken(text);
            lost(broken.clone());
            broken
        }
        other @ (SpoolFault::Full(_) | SpoolFault::Broken(_) | SpoolFault::Lost(_)) => other,
    }
}

/// Whether the error means that the disk is full or a quota is used up.
#[must_use]
pub fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

const PROBE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).expect("a folder").count()
    }

    fn written(bodies: &Bodies, text: &[u8]) -> Box<dyn BodyWriter> {
        let mut writer = bodies.begin(QueueId::from_number(5), |_| ()).expect("a writer");
        writer.write_all(text).expect("room");
        writer
    }

    #[tokio::test]
    async fn a_file_lasts_only_if_a_message_takes_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let bodies = Bodies::below(folder.path()).expect("folders");

        drop(written(&bodies, b"abc"));
        assert_eq!((names(bodies.unfinished()), names(bodies.finished())), (0, 0), "unfinished");

        drop(written(&bodies, b"abc").finish().await.expect("finished"));
        assert_eq!((names(bodies.unfinished()), names(bodies.finished())), (0, 0), "not taken");

        written(&bodies, b"abc").finish().await.expect("finished").undo.keep();
        assert_eq!((names(bodies.unfinished()), names(bodies.finished())), (0, 1), "taken");
    }

    #[tokio::test]
    async fn content_is_read_at_offsets_and_a_short_file_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let bodies = Bodies::below(folder.path()).expect("folders");
        let stored = written(&bodies, b"0123456789").finish().await.expect("finished");
        let mut buffer = [0; 4];
        assert_eq!(stored.content.read_at(&mut buffer, 8).expect("read"), 2);
        assert_eq!(&buffer[..2], b"89");
        assert_eq!(stored.content.read_at(&mut buffer, 10).expect("the end"), 0);

        let longer = bodies.content(stored.id, 12);
        let error = longer.read_at(&mut buffer, 10).expect_err("two octets are missing");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn want_of_room_is_told_from_other_trouble() {
        let describe = |kind| fault(Path::new("x"), &io::Error::from(kind));
        assert!(matches!(describe(io::ErrorKind::StorageFull), SpoolFault::Full(_)));
        assert!(matches!(describe(io::ErrorKind::QuotaExceeded), SpoolFault::Full(_)));
        assert!(matches!(describe(io::ErrorKind::PermissionDenied), SpoolFault::Failed(_)));
        // EMFILE: the next message may succeed.
        assert!(matches!(fault(Path::new("x"), &io::Error::from_raw_os_error(24)), SpoolFault::Failed(_)));
    }

    #[test]
    fn a_failed_flush_ends_service_and_want_of_room_does_not() {
        let told = |code| {
            let mut heard = None;
            let error = io::Error::from_raw_os_error(code);
            let fault = flush_fault(Path::new("x"), &error, |fault| heard = Some(fault));
            (heard.is_some_and(|heard| heard == fault), matches!(fault, SpoolFault::Full(_)))
        };
        // EIO, ENOSPC.
        assert_eq!((told(5), told(28)), ((true, false), (false, true)));
    }

    #[test]
    fn a_folder_with_room_is_not_full() {
        let folder = tempfile::tempdir().expect("a folder");
        let bodies = Bodies::below(folder.path()).expect("folders");
        assert!(!bodies.is_full());
        assert_eq!(names(bodies.unfinished()), 0);
    }
}
