//! Reads rows and decodes them into values. It writes nothing.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Result, Row};

use crate::connector::{Onward, OnwardDemand};
use crate::mail::{
    BodyType, Domain, Mailbox, MessageDsn, Notify, QueueId, RecipientDsn, Ret, ReversePath, UnixMillis,
};
use crate::spool::{
    LaneKey, LastTrouble, LeaseBook, Origin, QueuedMessage, QueuedRecipient, QueuedRow, StoredMessage,
};

/// A message's row, undecoded.
pub(super) struct MessageRow {
    id: QueueId,
    accepted_at: UnixMillis,
    reverse_path: String,
    body: i64,
    utf8: bool,
    ret: Option<String>,
    envid: Option<String>,
    size: i64,
    origin: Origin,
    pub(super) held: Option<String>,
    left_sealed: bool,
}

/// A recipient's row, undecoded, without its last trouble.
pub(super) struct Mark {
    pub(super) number: u32,
    pub(super) next_at: UnixMillis,
    pub(super) accepted_at: UnixMillis,
    /// Whether the delay was reported to the sender: [`TOLD_NOBODY`] if nothing is ever reported (RFC 5321
    /// §4.5.5).
    pub(super) told: i64,
    attempts: u32,
    forward_path: String,
    notify: u8,
    orcpt: Option<String>,
    rerouted: Option<String>,
}

impl MessageRow {
    /// The decoded values, or why they are not valid.
    pub(super) fn decode(self) -> Result<StoredMessage, String> {
        let reverse_path = ReversePath::parse(&self.reverse_path)
            .map_err(|fault| format!("its reverse-path can't be read: {fault}"))?;
        let body = body_of(self.body).ok_or_else(|| format!("its body type {} is unknown", self.body))?;
        let size = u64::try_from(self.size).map_err(|_| format!("its size {} is none", self.size))?;
        let (id, accepted_at, origin) = (self.id, self.accepted_at, self.origin);
        // Unreadable DSN parameters count as not given: the message is delivered all the same.
        let ret = [Ret::Full, Ret::Headers].into_iter().find(|ret| self.ret.as_deref() == Some(ret.word()));
        let dsn = MessageDsn { ret, envid: self.envid.map(Arc::from) };
        Ok(StoredMessage { id, reverse_path, body, utf8: self.utf8, dsn, size, accepted_at, origin })
    }
}

/// A number that is not known asks for all there is.
fn onward_of(number: i64) -> Onward {
    match number {
        0 => Onward::Any,
        1 => Onward::Sealed,
        _ => Onward::Identity,
    }
}

fn body_of(number: i64) -> Option<BodyType> {
    match number {
        0 => Some(BodyType::SevenBit),
        1 => Some(BodyType::EightBitMime),
        2 => Some(BodyType::BinaryMime),
        _ => None,
    }
}

impl Mark {
    /// The decoded values, or why they are not valid.
    pub(super) fn decode(self) -> Result<QueuedRecipient, String> {
        let forward_path = Mailbox::parse(&self.forward_path).map_err(|fault| {
            format!("the forward-path of recipient {} can't be read: {fault}", self.number)
        })?;
        let (number, attempts, delay_told) = (self.number, self.attempts, self.told != 0);
        let notify = Notify::from_number(self.notify).unwrap_or_default();
        let dsn = RecipientDsn { notify, orcpt: self.orcpt.map(Arc::from) };
        // What can't be read counts as not handed on: it goes by the connector of its domain again.
        let rerouted = self.rerouted.and_then(|text| serde_json::from_str(&text).ok());
        Ok(QueuedRecipient { number, forward_path, dsn, attempts, delay_told, rerouted })
    }
}

/// A message's row.
///
/// # Errors
/// The database error.
pub(super) fn message(connection: &Connection, id: QueueId) -> Result<Option<MessageRow>> {
    let read = |row: &Row<'_>| {
        let connector: Option<String> = row.get(4)?;
        let level = onward_of(row.get(8)?);
        let origin = Origin {
            connector: connector.map(Arc::from),
            sealed: row.get(5)?,
            onward: OnwardDemand {
                level,
                raised_by: row.get::<_, Option<String>>(13)?.map(Arc::from),
                own: row.get::<_, Option<i64>>(15)?.map_or(level, onward_of).min(level),
            },
            // What can't be read is not told: it is a word to the next hop, and nothing depends on it.
            originator: row.get::<_, Option<String>>(14)?.and_then(|name| Domain::parse(&name).ok()),
            message_id: row.get(6)?,
            subject: row.get(16)?,
        };
        Ok(MessageRow {
            id,
            accepted_at: UnixMillis(row.get(0)?),
            reverse_path: row.get(1)?,
            body: row.get(2)?,
            size: row.get(3)?,
            utf8: row.get(9)?,
            ret: row.get(10)?,
            envid: row.get(11)?,
            origin,
            held: row.get(7)?,
            left_sealed: row.get(12)?,
        })
    };
    connection.prepare_cached(MESSAGE)?.query_row([id.to_number()], read).optional()
}

/// A message's recipients in a lane.
///
/// # Errors
/// The database error.
pub(super) fn marks(connection: &Connection, id: QueueId, lane: &LaneKey) -> Result<Vec<Mark>> {
    connection.prepare_cached(MARKS)?.query_map((id.to_number(), &*lane.0), mark)?.collect()
}

/// All recipients of a message, each with its lane.
///
/// # Errors
/// The database error.
pub(super) fn all_marks(connection: &Connection, id: QueueId) -> Result<Vec<(LaneKey, Mark)>> {
    let read = |row: &Row<'_>| Ok((LaneKey(row.get::<_, String>(9)?.into()), mark(row)?));
    connection.prepare_cached(ALL_MARKS)?.query_map([id.to_number()], read)?.collect()
}

fn mark(row: &Row<'_>) -> Result<Mark> {
    Ok(Mark {
        number: row.get(0)?,
        next_at: UnixMillis(row.get(1)?),
        accepted_at: UnixMillis(row.get(2)?),
        told: row.get(3)?,
        attempts: row.get(4)?,
        forward_path: row.get(5)?,
        notify: row.get(6)?,
        orcpt: row.get(7)?,
        rerouted: row.get(8)?,
    })
}

/// `delay_told` of a message with the null reverse-path.
pub(super) const TOLD_NOBODY: i64 = 2;

/// The expected size of a message, and its content unless it is in a file.
type StoredRow = (u64, Option<Arc<[u8]>>);

/// The expected size of a message, and its content if it is in a row.
///
/// # Errors
/// The database error.
pub(super) fn content(connection: &Connection, id: QueueId) -> Result<Option<StoredRow>> {
    let read = |row: &Row<'_>| {
        let size: i64 = row.get(0)?;
        let in_file: bool = row.get(1)?;
        // A missing row reads as empty, which matches no size.
        let bytes = row.get_ref(2)?.as_blob_or_null()?.unwrap_or_default();
        Ok((u64::try_from(size).unwrap_or_default(), (!in_file).then(|| Arc::from(bytes))))
    };
    connection.prepare_cached(CONTENT)?.query_row([id.to_number()], read).optional()
}

/// A message for listing. What can't be read is shown as far as possible.
///
/// # Errors
/// The database error.
pub(super) fn queued(
    connection: &Connection,
    id: QueueId,
    book: &LeaseBook,
) -> Result<Option<QueuedMessage>> {
    let Some(row) = message(connection, id)? else {
        return Ok(None);
    };
    let held = row.held.is_some();
    let read = |found: &Row<'_>| {
        let (path, lane): (String, String) = (found.get(1)?, found.get(2)?);
        let (last, rerouted): (Option<String>, Option<String>) = (found.get(5)?, found.get(6)?);
        let next_at = UnixMillis(found.get(4)?);
        let Ok(forward_path) = Mailbox::parse(&path) else {
            return Ok(None);
        };
        Ok(Some(QueuedRow {
            forward_path,
            lane: LaneKey(lane.into()),
            attempts: found.get(3)?,
            // A held message is never due; how long it has waited says more.
            next_at: if held { row.accepted_at } else { next_at },
            leased: book.holds(id, found.get(0)?),
            last: last.and_then(|text| serde_json::from_str::<LastTrouble>(&text).ok()),
            rerouted: rerouted.and_then(|text| serde_json::from_str(&text).ok()),
        }))
    };
    let recipients = connection
        .prepare_cached(QUEUED)?
        .query_map([id.to_number()], read)?
        .filter_map(Result::transpose)
        .collect::<Result<Vec<_>>>()?;
    let reverse_path = ReversePath::parse(&row.reverse_path).unwrap_or(ReversePath::NULL);
    let size = u64::try_from(row.size).unwrap_or_default();
    let body = body_of(row.body).unwrap_or_default();
    let MessageRow { accepted_at, origin, held, left_sealed, .. } = row;
    Ok(Some(QueuedMessage {
        id,
        reverse_path,
        accepted_at,
        size,
        body,
        origin,
        held,
        left_sealed,
        recipients,
    }))
}

const MESSAGE: &str = "
    SELECT accepted_at, reverse_path, body, size, connector, sealed, message_id, held, onward_sealed,
        utf8, ret, envid, left_sealed, raised_by, originator, onward_own, subject
    FROM message WHERE id = ?1";

/// The primary key finds a message's few rows; the lane only filters them.
const MARKS: &str = "
    SELECT number, next_at, accepted_at, delay_told, attempts, forward_path, notify, orcpt, rerouted
    FROM recipient WHERE message = ?1 AND +lane = ?2 ORDER BY number";

const ALL_MARKS: &str = "
    SELECT number, next_at, accepted_at, delay_told, attempts, forward_path, notify, orcpt, rerouted, lane
    FROM recipient WHERE message = ?1 ORDER BY number";

const CONTENT: &str = "
    SELECT message.size, message.in_file, body.content
    FROM message LEFT JOIN body ON body.id = message.id WHERE message.id = ?1";

const QUEUED: &str = "
    SELECT number, forward_path, lane, attempts, next_at, last, rerouted
    FROM recipient WHERE message = ?1 ORDER BY number";
