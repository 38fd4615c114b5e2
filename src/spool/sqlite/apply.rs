//! What each operation writes, inside the writer's transaction. It neither commits nor answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::ops::{Fresh, FreshContent, Op, Settle};
use super::rows::TOLD_NOBODY;
use crate::connector::Onward;
use crate::mail::{BodyType, Domain, QueueId, Ret, UnixMillis};
use crate::spool::{HoldResult, LaneKey, Lease, LeaseBook, RecipientResult, Removal};

/// What an operation changed, to be acted on after the commit.
#[derive(Default)]
pub(super) struct OperationEffects {
    /// Changes of the counters.
    pub(super) messages: i64,
    pub(super) recipients: i64,
    pub(super) held: i64,
    /// Deleted messages whose content was in a file.
    pub(super) files: Vec<QueueId>,
    /// Leave content in the database untouched.
    leave_content: bool,
    /// The answer for the caller.
    pub(super) told: OperationAnswer,
}

/// What the caller is told beyond success.
#[derive(Default)]
pub(super) enum OperationAnswer {
    #[default]
    Done,
    Hastened(Vec<LaneKey>, usize),
    /// The result of `remove`; the lease keeps the message from being leased until it is deleted.
    Removed(Removal, Option<Lease>),
    /// The result of `hold`; the lease keeps the message from being leased until it is held.
    HeldBack(HoldResult, Option<Lease>),
    Released(bool),
}

/// Runs one operation. With `leave_content`, the content of a deleted message stays in place: its page is
/// damaged.
///
/// # Errors
/// The database error; part of the operation may have been written.
pub(super) fn apply(
    writer: &Connection,
    book: &Arc<LeaseBook>,
    op: &Op,
    leave_content: bool,
) -> Result<OperationEffects> {
    let mut applied = OperationEffects { leave_content, ..OperationEffects::default() };
    match op {
        Op::Put { fresh, beside, .. } => {
            insert(writer, fresh, &mut applied)?;
            if let Some(beside) = beside {
                insert(writer, beside, &mut applied)?;
            }
        }
        Op::Settle(settle) => apply_settle(writer, settle, &mut applied)?,
        Op::Hasten { id, now, .. } => applied.told = hasten(writer, *id, *now)?,
        // The writer takes this operation out of every group.
        Op::HastenPart(_) => {}
        Op::Remove { id, .. } => remove(writer, book, *id, &mut applied)?,
        Op::HoldBack { id, reason, .. } => hold_back(writer, book, (*id, reason), &mut applied)?,
        Op::Release { id, now, .. } => release(writer, *id, *now, &mut applied)?,
        Op::Hold { id, reason, until_whole, .. } => {
            hold(writer, (*id, reason, *until_whole), &mut applied)?;
        }
    }
    Ok(applied)
}

fn insert(writer: &Connection, fresh: &Fresh, applied: &mut OperationEffects) -> Result<()> {
    let message = &fresh.message;
    let id = message.id.to_number();
    let (in_file, row) = match &fresh.content {
        FreshContent::Row(bytes) => (false, Some(bytes)),
        FreshContent::File(_) => (true, None),
    };
    writer.prepare_cached(INSERT_MESSAGE)?.execute(params![
        id,
        message.accepted_at.0,
        message.reverse_path.as_str(),
        body_number(message.body),
        i64::try_from(message.size).unwrap_or(i64::MAX),
        in_file,
        message.origin.connector.as_deref(),
        message.origin.sealed,
        message.origin.message_id.as_deref(),
        onward_number(message.origin.onward.level),
        message.utf8,
        message.dsn.ret.map(Ret::word),
        message.dsn.envid.as_deref(),
        message.origin.onward.raised_by.as_deref(),
        message.origin.originator.as_ref().map(Domain::as_str),
        onward_number(message.origin.onward.own),
        message.origin.subject.as_deref(),
    ])?;
    if let Some(bytes) = row {
        let content: &[u8] = bytes;
        writer
            .prepare_cached("INSERT INTO body (id, content) VALUES (?1, ?2)")?
            .execute(params![id, content])?;
    }
    let told = if message.reverse_path.is_null() { TOLD_NOBODY } else { 0 };
    let mut insert = writer.prepare_cached(INSERT_RECIPIENT)?;
    for leased in &fresh.leased {
        for recipient in &leased.recipients {
            let path = recipient.forward_path.as_str();
            insert.execute(params![
                id,
                recipient.number,
                path,
                &*leased.lane.0,
                message.accepted_at.0,
                told,
                recipient.dsn.notify.number(),
                recipient.dsn.orcpt.as_deref(),
                recipient.rerouted.as_ref().and_then(|rerouting| serde_json::to_string(rerouting).ok()),
            ])?;
            applied.recipients += 1;
        }
    }
    applied.messages += 1;
    Ok(())
}

/// The stored number of what is required of the way out.
fn onward_number(onward: Onward) -> i64 {
    match onward {
        Onward::Any => 0,
        Onward::Sealed => 1,
        Onward::Identity => 2,
    }
}

/// The stored number of a body type.
fn body_number(body: BodyType) -> i64 {
    match body {
        BodyType::SevenBit => 0,
        BodyType::EightBitMime => 1,
        BodyType::BinaryMime => 2,
    }
}

fn apply_settle(writer: &Connection, settle: &Settle, applied: &mut OperationEffects) -> Result<()> {
    let id = settle.message.to_number();
    let mut gone = 0;
    for (number, settled) in &settle.recipients {
        match settled {
            RecipientResult::Done => {
                let mut delete =
                    writer.prepare_cached("DELETE FROM recipient WHERE message = ?1 AND number = ?2")?;
                gone += i64::try_from(delete.execute(params![id, number])?).unwrap_or_default();
            }
            RecipientResult::Deferred { attempts, next_at, delay_told, lane, last, rerouted } => {
                let last = serde_json::to_string(last).ok();
                let rerouted = rerouted.as_ref().and_then(|rerouting| serde_json::to_string(rerouting).ok());
                let values =
                    params![id, number, attempts, next_at.0, delay_told, &*lane.0, last, NEVER.0, rerouted];
                writer.prepare_cached(DEFER)?.execute(values)?;
            }
        }
    }
    applied.recipients -= gone;
    let waits = "SELECT 1 FROM recipient WHERE message = ?1 LIMIT 1";
    if gone > 0 && !writer.prepare_cached(waits)?.exists([id])? {
        delete_message(writer, settle.message, applied)?;
    } else if settle.left_sealed {
        writer.prepare_cached(LEFT_SEALED)?.execute([id])?;
    }
    for report in &settle.reports {
        insert(writer, report, applied)?;
    }
    Ok(())
}

/// Deletes a message that has no recipients left. Returns whether there was one.
fn delete_message(writer: &Connection, id: QueueId, applied: &mut OperationEffects) -> Result<bool> {
    let gone: Option<(bool, bool)> = writer
        .prepare_cached("DELETE FROM message WHERE id = ?1 RETURNING in_file, held IS NOT NULL")?
        .query_row([id.to_number()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((in_file, held)) = gone else {
        return Ok(false);
    };
    applied.messages -= 1;
    applied.held -= i64::from(held);
    if in_file {
        // The file is deleted after the commit: until then the row still needs it.
        applied.files.push(id);
    } else if !applied.leave_content {
        writer.prepare_cached("DELETE FROM body WHERE id = ?1")?.execute([id.to_number()])?;
    }
    Ok(true)
}

/// Records that recipients are done, for results known from elsewhere, such as the mark.
///
/// # Errors
/// The database error.
pub(super) fn forget(
    writer: &Connection,
    id: QueueId,
    numbers: &BTreeSet<u32>,
    leave_content: bool,
) -> Result<()> {
    let mut gone = 0;
    for number in numbers {
        let mut delete = writer.prepare_cached("DELETE FROM recipient WHERE message = ?1 AND number = ?2")?;
        gone += delete.execute(params![id.to_number(), number])?;
    }
    let waits = "SELECT 1 FROM recipient WHERE message = ?1 LIMIT 1";
    if gone > 0 && !writer.prepare_cached(waits)?.exists([id.to_number()])? {
        delete_message(writer, id, &mut OperationEffects { leave_content, ..OperationEffects::default() })?;
    } else {
        // How they got it is not known.
        writer.prepare_cached(LEFT_SEALED)?.execute([id.to_number()])?;
    }
    Ok(())
}

fn hasten(writer: &Connection, id: QueueId, now: UnixMillis) -> Result<OperationAnswer> {
    // What is already due counts too: its lane may be blocked and should be retried as well.
    let id = id.to_number();
    let lanes = writer
        .prepare_cached(LANES_OF_ONE)?
        .query_map(params![id, NEVER.0], |row| Ok(LaneKey(row.get::<_, String>(0)?.into())))?
        .collect::<Result<Vec<_>>>()?;
    let count: i64 =
        writer.prepare_cached(COUNT_OF_ONE)?.query_row(params![id, NEVER.0], |row| row.get(0))?;
    writer.prepare_cached(HASTEN_ONE)?.execute(params![id, NEVER.0, now.0])?;
    Ok(OperationAnswer::Hastened(lanes, usize::try_from(count).unwrap_or_default()))
}

fn remove(
    writer: &Connection,
    book: &Arc<LeaseBook>,
    id: QueueId,
    applied: &mut OperationEffects,
) -> Result<()> {
    let numbers = writer
        .prepare_cached("SELECT number FROM recipient WHERE message = ?1")?
        .query_map([id.to_number()], |row| row.get(0))?
        .collect::<Result<Vec<u32>>>()?;
    // All or none: a query for what is due must not miss a recipient that stays.
    let Some(lease) = book.lease_all(id, &numbers) else {
        applied.told = OperationAnswer::Removed(Removal::Leased, None);
        return Ok(());
    };
    let deleted =
        writer.prepare_cached("DELETE FROM recipient WHERE message = ?1")?.execute([id.to_number()])?;
    applied.recipients -= i64::try_from(deleted).unwrap_or_default();
    let known = delete_message(writer, id, applied)?;
    let removal = if known { Removal::Removed } else { Removal::Unknown };
    applied.told = OperationAnswer::Removed(removal, Some(lease));
    Ok(())
}

fn hold_back(
    writer: &Connection,
    book: &Arc<LeaseBook>,
    (id, reason): (QueueId, &str),
    applied: &mut OperationEffects,
) -> Result<()> {
    let numbers = writer
        .prepare_cached("SELECT number FROM recipient WHERE message = ?1")?
        .query_map([id.to_number()], |row| row.get(0))?
        .collect::<Result<Vec<u32>>>()?;
    // All or none: what is being attempted may be delivered at any moment.
    applied.told = match book.lease_all(id, &numbers) {
        _ if numbers.is_empty() => OperationAnswer::HeldBack(HoldResult::Unknown, None),
        None => OperationAnswer::HeldBack(HoldResult::Leased, None),
        Some(lease) => {
            hold(writer, (id, reason, false), applied)?;
            // It was held until its file is whole; now an operator wants it held for longer.
            writer.prepare_cached(HOLD_FOR_LONGER)?.execute(params![id.to_number(), reason])?;
            OperationAnswer::HeldBack(HoldResult::Held, Some(lease))
        }
    };
    Ok(())
}

fn release(writer: &Connection, id: QueueId, now: UnixMillis, applied: &mut OperationEffects) -> Result<()> {
    let changed = writer
        .prepare_cached(
            "UPDATE message SET held = NULL, held_until_whole = 0 WHERE id = ?1 AND held IS NOT NULL",
        )?
        .execute([id.to_number()])?;
    if changed > 0 {
        writer
            .prepare_cached("UPDATE recipient SET next_at = ?2 WHERE message = ?1")?
            .execute(params![id.to_number(), now.0])?;
    }
    applied.held -= i64::try_from(changed).unwrap_or_default();
    applied.told = OperationAnswer::Released(changed > 0);
    Ok(())
}

/// Holds a message; the first reason is kept.
fn hold(
    writer: &Connection,
    (id, reason, until_whole): (QueueId, &str, bool),
    applied: &mut OperationEffects,
) -> Result<()> {
    let id = id.to_number();
    let changed = writer
        .prepare_cached("UPDATE message SET held = ?2, held_until_whole = ?3 WHERE id = ?1 AND held IS NULL")?
        .execute(params![id, reason, until_whole])?;
    writer
        .prepare_cached("UPDATE recipient SET next_at = ?2 WHERE message = ?1")?
        .execute(params![id, NEVER.0])?;
    applied.held += i64::try_from(changed).unwrap_or_default();
    Ok(())
}

/// The due time of a held message.
pub(super) const NEVER: UnixMillis = UnixMillis(i64::MAX);

const HOLD_FOR_LONGER: &str =
    "UPDATE message SET held = ?2, held_until_whole = 0 WHERE id = ?1 AND held_until_whole = 1";

const LEFT_SEALED: &str = "UPDATE message SET left_sealed = 1 WHERE id = ?1";

const LANES_OF_ONE: &str = "SELECT DISTINCT lane FROM recipient WHERE message = ?1 AND next_at < ?2";
const COUNT_OF_ONE: &str = "SELECT COUNT(*) FROM recipient WHERE message = ?1 AND next_at < ?2";
const HASTEN_ONE: &str =
    "UPDATE recipient SET next_at = ?3 WHERE message = ?1 AND next_at < ?2 AND next_at > ?3";

const INSERT_MESSAGE: &str = "
    INSERT INTO message (id, accepted_at, reverse_path, body, size, in_file, connector, sealed, message_id,
        onward_sealed, utf8, ret, envid, raised_by, originator, onward_own, subject, left_sealed)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, 0)";

/// A new recipient is due at once.
const INSERT_RECIPIENT: &str = "
    INSERT INTO recipient (message, number, forward_path, lane, accepted_at, attempts, next_at, delay_told,
        notify, orcpt, rerouted)
    VALUES (?1, ?2, ?3, ?4, ?5, 0, ?5, ?6, ?7, ?8, ?9)";

/// A message may have been held while its attempt was under way; then it stays held.
const DEFER: &str = "
    UPDATE recipient SET attempts = ?3, delay_told = MAX(delay_told, ?5), lane = ?6, last = ?7,
        rerouted = ?9,
        next_at = CASE WHEN EXISTS (SELECT 1 FROM message WHERE id = ?1 AND held IS NOT NULL)
            THEN ?8 ELSE ?4 END
    WHERE message = ?1 AND number = ?2";
