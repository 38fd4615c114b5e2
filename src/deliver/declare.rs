//! What MAIL FROM declares to a host that lacks an extension: less, if the message does not need
//! the extension after all. Content is read only in that case.

use std::io;
use std::sync::Arc;

use super::leaving::LeavingContent;
use super::seven_bit::ConversionFault;
use crate::connector::HeaderTally;
use crate::mail::{BodyType, Content};
use crate::scheduler::Job;
use crate::smtp::Offers;
use crate::spool::QueuedRecipient;

const BLOCK_BYTES: usize = 65_536;

/// What a host without 8BITMIME is sent of a message.
#[derive(Clone)]
pub(super) enum SevenBitForm {
    /// The content itself: it has no 8-bit octets.
    AsIs,
    /// The content after conversion.
    Converted(Content),
    /// Nothing.
    Refused(ConversionFault),
}

/// What is sent of a message, and what is declared of it.
pub(super) struct Declaration {
    pub(super) content: Content,
    /// What was removed from its header section, or promoted there.
    pub(super) tally: Option<Arc<HeaderTally>>,
    pub(super) size: u64,
    pub(super) body: BodyType,
    pub(super) utf8: bool,
    /// The content was converted for a host without 8BITMIME.
    pub(super) converted: bool,
}

/// Whether the content must be looked at before it is declared to this host, since it may have 8-bit octets whatever its
/// client declared.
pub(super) fn needs_form(job: &Job, offers: Offers) -> bool {
    !offers.eight_bit_mime && job.message.body != BodyType::BinaryMime
}

/// What to send and to declare of a message: as it was accepted, or less if the peer lacks an extension and the
/// message does not need it. `leaving`: what the connector sends of it; `form`: what a host without 8BITMIME gets of that.
///
/// # Errors
/// The content can't be read.
pub(super) fn to_declare(
    job: &Job,
    recipients: &[QueuedRecipient],
    offers: Offers,
    (leaving, form): (Option<&LeavingContent>, Option<&SevenBitForm>),
) -> io::Result<Declaration> {
    let Job { message, .. } = job;
    let (body, utf8) = (message.body, message.utf8);
    let LeavingContent { content, tally } =
        leaving.cloned().ok_or_else(|| io::Error::other("its header section was not looked at"))?;
    let size = if tally.is_some() { content.len() } else { message.size };
    let mut declared = Declaration { content, tally, size, body, utf8, converted: false };
    if needs_form(job, offers) {
        declared.body = BodyType::SevenBit;
        match form {
            Some(SevenBitForm::AsIs) => {}
            Some(SevenBitForm::Converted(content)) => {
                (declared.content, declared.size) = (content.clone(), content.len());
                declared.converted = true;
            }
            // The session refuses what it can't declare.
            Some(SevenBitForm::Refused(_)) => declared.body = BodyType::EightBitMime,
            None => return Err(io::Error::other("it was not looked at")),
        }
    }
    if message.utf8 && !offers.utf8 {
        declared.utf8 = needs_utf8(job, recipients)?;
    }
    Ok(declared)
}

/// Whether a message declared as SMTPUTF8 needs the extension for these recipients.
///
/// # Errors
/// The content can't be read.
pub(super) fn needs_utf8(job: &Job, recipients: &[QueuedRecipient]) -> io::Result<bool> {
    let ascii = job.message.reverse_path.is_ascii() && recipients.iter().all(|r| r.forward_path.is_ascii());
    Ok(!(ascii && has_ascii_header(&job.content)?))
}

/// Whether content has no 8-bit octet, whatever was declared of it. Asked only if a host does not offer 8BITMIME.
///
/// # Errors
/// A read error, or content that ends early: neither answers the question.
pub(super) fn is_seven_bit(content: &Content) -> io::Result<bool> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut offset = 0;
    while offset < content.len() {
        let count = content.read_at(&mut block, offset)?;
        if count == 0 {
            return Err(io::Error::other("it is shorter than recorded"));
        }
        if !block.get(..count).is_some_and(<[u8]>::is_ascii) {
            return Ok(false);
        }
        offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    Ok(true)
}

/// Whether the header section of content declared as SMTPUTF8 is ASCII after all. Asked only if a
/// host does not offer the extension.
///
/// # Errors
/// A read error, or content that ends early.
pub(super) fn has_ascii_header(content: &Content) -> io::Result<bool> {
    let mut block = vec![0; BLOCK_BYTES];
    let (mut offset, mut tail) = (0, [0_u8; 3]);
    while offset < content.len() {
        let count = content.read_at(&mut block, offset)?;
        if count == 0 {
            return Err(io::Error::other("it is shorter than recorded"));
        }
        let read = block.get(..count).unwrap_or_default();
        // The blank line may span two blocks.
        let joined = [&tail, read].concat();
        let end = memchr::memmem::find(&joined, b"\r\n\r\n");
        if !joined.get(..end.unwrap_or(joined.len())).is_some_and(<[u8]>::is_ascii) {
            return Ok(false);
        }
        if end.is_some() {
            return Ok(true);
        }
        if let Some(last) = joined.last_chunk::<3>() {
            tail = *last;
        }
        offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::ContentSource;

    /// Content with a recorded length that fails to read beyond the octets it has.
    struct TruncatedContent(u64, Option<&'static [u8]>);

    impl ContentSource for TruncatedContent {
        fn len(&self) -> u64 {
            self.0
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let bytes = self.1.ok_or_else(|| io::Error::other("EIO"))?;
            Content::Held(bytes.into()).read_at(buffer, offset)
        }
    }

    #[track_caller]
    fn check(content: &Content, expected: Option<bool>) {
        assert_eq!(is_seven_bit(content).ok(), expected, "{} octets", content.len());
    }

    #[test]
    fn the_header_alone_decides_about_utf8() {
        let check = |text: &[u8], expected: bool| {
            assert_eq!(has_ascii_header(&Content::Held(text.into())).ok(), Some(expected));
        };
        check("A: b\r\n\r\nä\r\n".as_bytes(), true);
        check("A: ä\r\n\r\nb\r\n".as_bytes(), false);
        check(b"A: b\r\n", true);
        let long = [vec![b'x'; BLOCK_BYTES - 2], b"\r\n\r\n\xe4".to_vec()].concat();
        check(&long, true);
    }

    #[test]
    fn content_that_cannot_be_read_is_neither() {
        check(&Content::Held(b"x\r\n".as_slice().into()), Some(true));
        check(&Content::Held(b"\xe4\r\n".as_slice().into()), Some(false));
        check(&Content::Source(Arc::new(TruncatedContent(3, Some(b"x\r\n")))), Some(true));
        check(&Content::Source(Arc::new(TruncatedContent(4, Some(b"x\r\n")))), None);
        check(&Content::Source(Arc::new(TruncatedContent(3, None))), None);
    }
}
