//! Queue listings for operators: by filter, and the longest lanes. It leases and changes nothing.

use std::sync::Arc;

use rusqlite::{OptionalExtension, Result, params};

use super::apply::NEVER;
use super::reader::{Reader, failed};
use super::rows;
use super::schema::PAGE_BYTES;
use crate::mail::{QueueId, UnixMillis};
use crate::spool::{CountPart, Extent, Filter, LaneCount, LaneKey, ListPage, SpoolFault, WaitingMail};

/// Maximum number of messages examined for one answer.
const LOOKED_AT_MAX: usize = 5_000;

impl Reader {
    pub(super) fn list(
        &self,
        filter: &Filter,
        after: Option<QueueId>,
        limit: usize,
    ) -> std::result::Result<ListPage, SpoolFault> {
        let read = || {
            let view = self.connection.unchecked_transaction()?;
            let (ids, next) = self.matching(filter, after, limit)?;
            let mut messages = Vec::with_capacity(ids.len());
            for id in ids {
                messages.extend(rows::queued(&self.connection, id, &self.shared.book)?);
            }
            view.commit()?;
            Ok(ListPage { messages, next })
        };
        read().map_err(|error: rusqlite::Error| failed(&error))
    }

    /// How many match, of as many as are examined at once.
    pub(super) fn count(
        &self,
        filter: &Filter,
        after: Option<QueueId>,
    ) -> std::result::Result<CountPart, SpoolFault> {
        let count = |(ids, next): (Vec<QueueId>, _)| CountPart { messages: ids.len(), next };
        self.matching(filter, after, usize::MAX).map(count).map_err(|error| failed(&error))
    }

    /// The matching IDs, and the last one examined if there may be more after it.
    fn matching(
        &self,
        filter: &Filter,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<(Vec<QueueId>, Option<QueueId>)> {
        let lane = filter.connector.as_ref().map(|name| format!("{name}/"));
        let domain = filter.domain.as_ref().map(|domain| pattern(&format!("@{domain}")));
        let sender = filter.sender.as_deref().map(pattern);
        let recipient = filter.recipient.as_deref().map(pattern);
        let reason = filter.reason.as_ref().map(|text| text.to_ascii_lowercase());
        let mut statement = self.connection.prepare_cached(LIST)?;
        let mut found = statement.query(params![
            after.map_or(i64::MIN, QueueId::to_number),
            i64::try_from(LOOKED_AT_MAX).unwrap_or(i64::MAX),
            filter.accepted_before.map(|before| before.0),
            sender,
            filter.held,
            recipient,
            domain,
            lane,
            reason,
        ])?;
        let (mut ids, mut looked_at, mut last) = (Vec::new(), 0_usize, None);
        while let Some(row) = found.next()? {
            if ids.len() >= limit {
                return Ok((ids, last));
            }
            let id = QueueId::from_number(row.get(0)?);
            looked_at = looked_at.saturating_add(1);
            last = Some(id);
            if row.get(1)? {
                ids.push(id);
            }
        }
        Ok((ids, last.filter(|_| looked_at >= LOOKED_AT_MAX)))
    }

    /// Steps through the index: the cost grows with the number of lanes, not with the queue.
    pub(super) fn lanes(
        &self,
        after: Option<&LaneKey>,
        limit: usize,
    ) -> std::result::Result<Vec<(LaneKey, UnixMillis)>, SpoolFault> {
        let read = || {
            let mut step = self.connection.prepare_cached(NEXT_LANE)?;
            let mut last: Arc<str> = after.map_or_else(|| "".into(), |lane| Arc::clone(&lane.0));
            let mut lanes = Vec::new();
            while lanes.len() < limit {
                let first = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?));
                let Some((lane, next_at)) = step.query_row([&*last], first).optional()? else { break };
                last = lane.into();
                // If even the first is never due, all are held.
                if UnixMillis(next_at) < NEVER {
                    lanes.push((LaneKey(Arc::clone(&last)), UnixMillis(next_at)));
                }
            }
            Ok(lanes)
        };
        read().map_err(|error: rusqlite::Error| self.failed(&error))
    }

    /// The size of the database file and its free octets.
    pub(super) fn extent(&self) -> std::result::Result<Extent, SpoolFault> {
        let pages = |pragma| self.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let octets = |count: i64| u64::try_from(count.saturating_mul(PAGE_BYTES)).unwrap_or_default();
        let read =
            || Ok(Extent { file: octets(pages("page_count")?), free: octets(pages("freelist_count")?) });
        read().map_err(|error: rusqlite::Error| failed(&error))
    }

    /// IDs are given in the order of time, and begin with it.
    pub(super) fn oldest(&self) -> std::result::Result<Option<UnixMillis>, SpoolFault> {
        let first = "SELECT accepted_at FROM message ORDER BY id LIMIT 1";
        let read = || self.connection.prepare_cached(first)?.query_row([], |row| row.get(0)).optional();
        read().map(|found| found.map(UnixMillis)).map_err(|error: rusqlite::Error| failed(&error))
    }

    /// Held messages are few, or an operator wants to know.
    pub(super) fn oldest_waiting(&self) -> std::result::Result<Option<UnixMillis>, SpoolFault> {
        let first = "SELECT accepted_at FROM message WHERE held IS NULL ORDER BY id LIMIT 1";
        let read = || self.connection.prepare_cached(first)?.query_row([], |row| row.get(0)).optional();
        read().map(|found| found.map(UnixMillis)).map_err(|error: rusqlite::Error| failed(&error))
    }

    pub(super) fn waiting(
        &self,
        connector: &str,
        limit: usize,
    ) -> std::result::Result<WaitingMail, SpoolFault> {
        // The names of its lanes begin with its own and a slash, and the octet after that is "0".
        let lanes = (format!("{connector}/"), format!("{connector}0"));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let count = |row: &rusqlite::Row<'_>| {
            let recipients = u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default();
            Ok(WaitingMail { recipients, oldest: row.get::<_, Option<i64>>(1)?.map(UnixMillis) })
        };
        let read =
            || self.connection.prepare_cached(WAITING)?.query_row(params![lanes.0, lanes.1, limit], count);
        read().map_err(|error: rusqlite::Error| failed(&error))
    }

    pub(super) fn top(&self, limit: usize) -> std::result::Result<Vec<LaneCount>, SpoolFault> {
        let read = || {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let count = |row: &rusqlite::Row<'_>| {
                Ok(LaneCount {
                    lane: LaneKey(row.get::<_, String>(0)?.into()),
                    recipients: u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default(),
                    oldest_at: UnixMillis(row.get(2)?),
                })
            };
            self.connection.prepare_cached(TOP)?.query_map([limit], count)?.collect::<Result<Vec<_>>>()
        };
        read().map_err(|error: rusqlite::Error| failed(&error))
    }
}

/// An address as a LIKE pattern, which ignores ASCII case; `@domain` matches as a suffix.
fn pattern(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if ['%', '_', '\\'].contains(&char) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    if text.starts_with('@') { format!("%{escaped}") } else { escaped }
}

const LIST: &str = r"
    SELECT id,
        (?3 IS NULL OR accepted_at < ?3) AND (?4 IS NULL OR reverse_path LIKE ?4 ESCAPE '\')
        AND (NOT ?5 OR held IS NOT NULL)
        AND ((?6 IS NULL AND ?7 IS NULL AND ?8 IS NULL AND ?9 IS NULL) OR EXISTS (
            SELECT 1 FROM recipient WHERE message = found.id
                AND (?6 IS NULL OR forward_path LIKE ?6 ESCAPE '\')
                AND (?7 IS NULL OR forward_path LIKE ?7 ESCAPE '\')
                AND (?8 IS NULL OR substr(lane, 1, length(?8)) = ?8)
                AND (?9 IS NULL OR instr(lower(
                    coalesce(json_extract(last, '$.status'), '') || ' '
                    || coalesce(json_extract(last, '$.reason'), '') || ' '
                    || coalesce(json_extract(last, '$.decision.token'), '')), ?9) > 0)))
    FROM (SELECT id, accepted_at, reverse_path, held FROM message WHERE id > ?1 ORDER BY id LIMIT ?2) AS found
    ORDER BY id";

/// The next lane, with the time its first recipient is due.
pub(super) const NEXT_LANE: &str = "
    SELECT lane, next_at FROM recipient WHERE lane > ?1 ORDER BY lane, next_at LIMIT 1";

/// Answered from the lane index only, as far as the limit.
pub(super) const WAITING: &str = "
    SELECT COUNT(*), MIN(accepted_at)
    FROM (SELECT accepted_at FROM recipient WHERE lane >= ?1 AND lane < ?2 LIMIT ?3)";

/// Answered from the lane index only.
pub(super) const TOP: &str = "
    SELECT lane, COUNT(*), MIN(accepted_at) FROM recipient GROUP BY lane ORDER BY 2 DESC, 1 LIMIT ?1";
