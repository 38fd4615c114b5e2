//! What a host without 8BITMIME is sent of a message: the content, or a conversion of it, made away from the threads
//! that carry mail, one at a time.

use std::io;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::declare::{SevenBitForm, is_seven_bit};
use super::seven_bit::{ConversionFault, convert};
use crate::connector::EightBit;
use crate::mail::Content;

/// Converts messages, one at a time.
pub(super) struct Converter {
    turn: Arc<Semaphore>,
}

impl Default for Converter {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Converter {
    /// What a host without 8BITMIME is sent of this content.
    ///
    /// # Errors
    /// The content can't be read.
    pub(super) async fn form(&self, content: &Content, wish: EightBit) -> io::Result<SevenBitForm> {
        if let Some(form) = at_once(content) {
            return Ok(form);
        }
        let scanned = content.clone();
        if spawn_blocking(move || is_seven_bit(&scanned)).await?? {
            return Ok(SevenBitForm::AsIs);
        }
        match wish {
            EightBit::Report => return Ok(SevenBitForm::Refused(ConversionFault::Off)),
            EightBit::Convert if content.len() > CONTENT_BYTES_MAX => {
                return Ok(SevenBitForm::Refused(ConversionFault::Large));
            }
            EightBit::Convert => {}
        }
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(io::Error::other)?;
        let content = content.clone();
        spawn_blocking(move || {
            // Kept to the end, even if nobody waits for the result any more.
            let _turn = turn;
            converted(&content)
        })
        .await?
    }
}

/// The form of content in memory that has no 8-bit octets.
pub(super) fn at_once(content: &Content) -> Option<SevenBitForm> {
    match content {
        Content::Held(bytes) if bytes.is_ascii() => Some(SevenBitForm::AsIs),
        Content::Held(_) | Content::Source(_) => None,
    }
}

fn converted(content: &Content) -> io::Result<SevenBitForm> {
    match convert(&content.whole()?) {
        Ok(edits) => Ok(SevenBitForm::Converted(content.edited(edits))),
        Err(fault) => Ok(SevenBitForm::Refused(fault)),
    }
}

/// Octets of content that is converted; it is read into memory for that.
const CONTENT_BYTES_MAX: u64 = 64 << 20;
