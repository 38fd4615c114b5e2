//! What a connector sends of a message after its header firewall: the header section's octets, or what takes their place.
//! The body stays where it is stored.

use std::io;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::connector::{HeaderHandling, HeaderTally};
use crate::mail::{Content, Domain, header_end};

/// A message as a connector sends it, before any conversion.
#[derive(Clone)]
pub(super) struct LeavingContent {
    pub(super) content: Content,
    /// What was removed and promoted; `None`: nothing.
    pub(super) tally: Option<Arc<HeaderTally>>,
}

/// The form of content that is not changed or is in memory; `None`: its header section must be read first.
pub(super) fn at_once(content: &Content, handling: HeaderHandling, own: &Domain) -> Option<LeavingContent> {
    match (handling, content) {
        (HeaderHandling::Preserve, _) => Some(LeavingContent { content: content.clone(), tally: None }),
        (HeaderHandling::Firewall | HeaderHandling::Promote, Content::Held(bytes)) => {
            Some(changed(content, bytes, handling, own))
        }
        (HeaderHandling::Firewall | HeaderHandling::Promote, Content::Source(_)) => None,
    }
}

/// The same for content in a file, away from the threads that carry mail.
///
/// # Errors
/// The content can't be read.
pub(super) async fn read(
    content: &Content,
    handling: HeaderHandling,
    own: &Domain,
) -> io::Result<LeavingContent> {
    let (content, own) = (content.clone(), own.clone());
    spawn_blocking(move || Ok(changed(&content, &section_of(&content)?, handling, &own))).await?
}

fn changed(content: &Content, section: &[u8], handling: HeaderHandling, own: &Domain) -> LeavingContent {
    let change = handling.leaving(section, own);
    if change.edits.is_empty() {
        return LeavingContent { content: content.clone(), tally: None };
    }
    LeavingContent { content: content.edited(change.edits), tally: Some(Arc::new(change.tally)) }
}

/// The octets up to the blank line, which intake limits (`header_size`), or all if there is none.
fn section_of(content: &Content) -> io::Result<Vec<u8>> {
    let mut section = Vec::new();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let offset = u64::try_from(section.len()).unwrap_or(u64::MAX);
        let count = content.read_at(&mut block, offset)?;
        let read = block.get(..count).unwrap_or_default();
        let searched = section.len().saturating_sub(BLANK_LINE_BYTES);
        section.extend_from_slice(read);
        let found = if searched == 0 {
            header_end(&section)
        } else {
            // The blank line may span two blocks.
            let found = memchr::memmem::find(section.get(searched..).unwrap_or_default(), b"\r\n\r\n");
            found.map(|at| searched.saturating_add(at).saturating_add(BLANK_LINE_BYTES))
        };
        if let Some(end) = found {
            section.truncate(end);
            return Ok(section);
        }
        if count == 0 {
            return if offset < content.len() {
                Err(io::Error::other("it is shorter than recorded"))
            } else {
                Ok(section)
            };
        }
    }
}

const BLOCK_BYTES: usize = 65_536;
/// A line end and the empty line after it.
const BLANK_LINE_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::ContentSource;

    struct Stored(Vec<u8>);

    impl ContentSource for Stored {
        fn len(&self) -> u64 {
            u64::try_from(self.0.len()).expect("a length")
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            Content::Held(self.0.as_slice().into()).read_at(buffer, offset)
        }
    }

    async fn sent(content: &[u8], handling: HeaderHandling) -> (Vec<u8>, usize) {
        let own = Domain::parse("gw.test").expect("a domain");
        let held = Content::Held(content.into());
        let stored = Content::Source(Arc::new(Stored(content.to_vec())));
        let at_once = at_once(&held, handling, &own).expect("it is in memory");
        let read = read(&stored, handling, &own).await.expect("it can be read");
        let [(one, tally), (other, _)] = [at_once, read].map(|form| {
            (form.content.whole().expect("it can be read"), form.tally.map_or(0, |tally| tally.stripped))
        });
        assert_eq!(one, other, "content in a file is sent as content in memory");
        (one, tally)
    }

    #[tokio::test]
    async fn only_the_header_section_is_looked_at() {
        let body = "X-MS-Exchange-Forest-A: body\r\n".repeat(5_000);
        let filler = format!("A: {}\r\n", "b".repeat(BLOCK_BYTES - 30));
        let content = format!("{filler}X-MS-Exchange-Forest-A: c\r\n\r\n{body}");
        let (kept, stripped) = sent(content.as_bytes(), HeaderHandling::Firewall).await;
        assert_eq!((kept, stripped), (format!("{filler}\r\n{body}").into_bytes(), 1));
        let (kept, stripped) = sent(content.as_bytes(), HeaderHandling::Preserve).await;
        assert!(kept == content.as_bytes() && stripped == 0);
        for content in ["", "A: b\r\n", "\r\nX-MS-Exchange-Forest-A: body\r\n"] {
            let (kept, _) = sent(content.as_bytes(), HeaderHandling::Firewall).await;
            assert_eq!(kept, content.as_bytes());
        }
    }
}
