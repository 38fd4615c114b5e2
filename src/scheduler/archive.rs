//! Writes a copy of each permanently failed message to the archive folder, if one is configured. It
//! reads nothing back and deletes nothing.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::core::Work;
use super::run::Scheduler;
use crate::mail::{BodyType, Content, rfc3339};
use crate::spool::{Lease, StoredMessage};
use crate::tracking::{AlarmTopic, Event};

impl Scheduler {
    /// Writes the message as `ID.eml` and its failed recipients as `ID.N.json`. A fault raises an alarm
    /// but does not delay anything.
    pub(super) async fn keep_copy(&self, work: &Work<Lease>) {
        let Some(folder) = self.settings.archive.clone() else { return };
        let content = match &work.content {
            Some(content) => Ok(content.clone()),
            None => self.spool.read(work.message.id).await.map_err(|fault| fault.to_string()),
        };
        let failed: Vec<_> = work
            .failed()
            .map(|(recipient, trouble)| {
                json!({
                    "number": recipient.number,
                    "forward_path": recipient.forward_path,
                    "status": trouble.status,
                    "reason": trouble.reason,
                    "hint": trouble.hint().map(ToString::to_string),
                })
            })
            .collect();
        let message = Arc::clone(&work.message);
        let write = move || {
            let told = json!({
                "id": message.id,
                "reverse_path": message.reverse_path,
                "accepted": rfc3339(message.accepted_at),
                "connector": message.origin.connector,
                "failed": failed,
            });
            content.and_then(|content| {
                keep(&folder, &message, &content, &told).map_err(|e| format!("{}: {e}", folder.display()))
            })
        };
        let done = tokio::task::spawn_blocking(write).await;
        if let Ok(Err(fault)) = done {
            let what = format!("no copy of {} could be kept in the archive: {fault}", work.message.id);
            self.journal.record(&Event::Alarm { topic: AlarmTopic::Other, what: &what });
        }
    }
}

fn keep(
    folder: &Path,
    message: &StoredMessage,
    content: &Content,
    told: &serde_json::Value,
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let copy = folder.join(format!("{}.eml", message.id));
    if !copy.exists() {
        // Written under a temporary name until it is complete.
        let part = folder.join(format!("{}.part", message.id));
        write_content(&part, content, message.body != BodyType::BinaryMime)?;
        fs::rename(&part, &copy)?;
    }
    let text = serde_json::to_vec_pretty(told).map_err(io::Error::other)?;
    // Recipients of one message may fail at different times.
    let free =
        (1..).map(|n: u32| folder.join(format!("{}.{n}.json", message.id))).find(|file| !file.exists());
    fs::write(free.unwrap_or_else(|| PathBuf::from(folder)), text)
}

/// Writes the content with dot-stuffing removed.
fn write_content(file: &Path, content: &Content, stuffed: bool) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    let mut block = vec![0; BLOCK_BYTES];
    let (mut offset, mut at_start) = (0, true);
    while offset < content.len() {
        let count = content.read_at(&mut block, offset)?;
        let read = block.get(..count).unwrap_or_default();
        if read.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for line in read.split_inclusive(|octet| *octet == b'\n') {
            let bare = if stuffed && at_start { line.strip_prefix(b".").unwrap_or(line) } else { line };
            out.write_all(bare)?;
            at_start = line.ends_with(b"\n");
        }
        offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

const BLOCK_BYTES: usize = 65_536;
