//! Makes the statements about the record, numbered and signed, and keeps them in the store. It reads no clock.

use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::code::{signed, unsigned};
use super::keyring::KeyRing;
use super::stamps::{StampDesk, WantedStamp};
use crate::mail::UnixMillis;
use crate::seal::{
    Hash, PartSeal, STATEMENT_VERSION, SealSettings, SignedStatement, SiteKey, SitePublicKey, Statement,
    StatementBody,
};

/// Who states what, and what was stated last.
pub(super) struct StatementLedger {
    settings: SealSettings,
    ring: KeyRing,
    key: SiteKey,
    key_since: UnixMillis,
    last: Option<(u64, Hash)>,
    /// The part and event up to which there is a statement.
    sealed: (i64, i64),
    stated_at: UnixMillis,
    /// Where statements that close a day wait for a time stamp, if they get one.
    stamps: Option<StampDesk>,
    /// Events about accepted mail that could not be kept: as far as is known, and as far as that was stated.
    dropped: (u64, u64),
}

/// Why nothing can be stated.
#[derive(Debug, thiserror::Error)]
pub(super) enum LedgerFault {
    /// A file of its keys.
    #[error("its keys: {0}")]
    Key(#[from] io::Error),
    /// The store.
    #[error("{0}")]
    Store(#[from] rusqlite::Error),
}

/// A statement that is in no store yet.
pub(super) struct DraftStatement {
    signed: SignedStatement,
    at: UnixMillis,
    about: StatementBody,
}

impl StatementLedger {
    /// Goes on where the store and the keys say. Where they do not fit together it begins again, and states so.
    pub(super) fn open(
        connection: &Connection,
        (settings, stamps): (&SealSettings, &StampDesk),
        data_dir: &Path,
        now: UnixMillis,
    ) -> Result<Self, LedgerFault> {
        let ring = KeyRing::new(data_dir);
        let stamps = settings.timestamp_url.is_some().then(|| stamps.clone());
        if let Some(stamps) = &stamps {
            without_stamp(connection)?.into_iter().for_each(|wanted| stamps.want(wanted));
        }
        let (in_store, on_disk) = (last_statement(connection)?, ring.last()?);
        let announced = announced_key(connection)?;
        let known = match announced {
            Some((public_key, since)) => ring.with(&public_key)?.map(|key| (key, since)),
            None => None,
        };
        let last = [in_store, on_disk].into_iter().flatten().max_by_key(|(number, _)| *number);
        let is_whole = in_store.is_some() && in_store == last;
        let goes_on = known.is_some() && is_whole;
        let (key, key_since) = match known {
            Some(known) => known,
            None => (ring.present()?, now),
        };
        let sealed = sealed_up_to(connection)?;
        let settings = settings.clone();
        let mut ledger = Self {
            settings,
            ring,
            key,
            key_since,
            last,
            sealed,
            stated_at: UnixMillis(i64::MIN),
            stamps,
            dropped: (0, 0),
        };
        if !goes_on {
            let public_key = ledger.key.public_key();
            ledger.state(connection, StatementBody::Begun { public_key }, now)?;
            ledger.key_since = now;
            tracing::info!(
                key = %public_key.fingerprint(),
                statement = ledger.last.map_or(0, |(number, _)| number),
                "the sealed record begins with this key: `sealpost evidence verify --key` compares its fingerprint"
            );
        }
        Ok(ledger)
    }

    /// A statement that follows the last one.
    pub(super) fn draft(&self, about: StatementBody, now: UnixMillis) -> DraftStatement {
        let statement = Statement {
            version: STATEMENT_VERSION,
            number: self.last.map_or(1, |(number, _)| number.saturating_add(1)),
            at: now,
            site: self.settings.site.clone(),
            previous: self.last.map(|(_, hash)| hash),
            key: self.key.public_key().fingerprint(),
            dropped: self.dropped.0.saturating_sub(self.dropped.1),
            about,
        };
        let text = serde_json::to_string(&statement).unwrap_or_default();
        let signature = self.key.sign(text.as_bytes());
        let signed = SignedStatement { number: statement.number, text, signature, stamp: None };
        DraftStatement { signed, at: now, about: statement.about }
    }

    /// How many events about accepted mail could not be kept since the start.
    pub(super) fn note_dropped(&mut self, dropped: u64) {
        self.dropped.0 = dropped;
    }

    /// What was put in the store, and committed, counts from now on.
    pub(super) fn accept(&mut self, draft: DraftStatement) {
        let hash = draft.signed.hash();
        self.last = Some((draft.signed.number, hash));
        self.dropped.1 = self.dropped.0;
        self.stated_at = draft.at;
        if let StatementBody::Checkpoint(seal) | StatementBody::Closed(seal) = &draft.about {
            self.sealed = (signed(seal.part), signed(seal.last_seq));
        }
        if let Err(fault) = self.ring.keep_last(draft.signed.number, hash) {
            tracing::warn!(%fault, "the number of the last statement can't be kept beside the keys of the record");
        }
        if let StatementBody::Closed(seal) = &draft.about {
            if let Some(stamps) = &self.stamps {
                stamps.want(WantedStamp { statement: draft.signed.number, hash });
            }
            // Whoever collects the log holds the record to it.
            tracing::info!(
                day = %seal.day,
                events = seal.size(),
                statement = draft.signed.number,
                %hash,
                "events are sealed: `sealpost evidence verify --statement` compares the hash"
            );
        }
    }

    /// States something in a commit of its own.
    pub(super) fn state(
        &mut self,
        connection: &Connection,
        about: StatementBody,
        now: UnixMillis,
    ) -> rusqlite::Result<()> {
        let draft = self.draft(about, now);
        draft.put(connection)?;
        self.accept(draft);
        Ok(())
    }

    /// States which events were written before, while nothing was sealed; nothing if there are none.
    pub(super) fn state_unsealed(
        &mut self,
        connection: &Connection,
        next_seq: i64,
        now: UnixMillis,
    ) -> rusqlite::Result<()> {
        let covered = covered_up_to(connection)?;
        // Up to the first event that is sealed, and not stated yet.
        let (first, sealed): (Option<i64>, Option<i64>) = connection.query_row(
            "SELECT MIN(MAX(first_seq, ?1)), MIN(CASE WHEN sealed THEN MAX(first_seq, ?1) END) FROM part WHERE last_seq >= ?1",
            [covered.saturating_add(1)],
            |row| Ok((row.get(0).unwrap_or_default(), row.get(1).unwrap_or_default())),
        )?;
        let (Some(first), end) = (first, sealed.unwrap_or(next_seq)) else { return Ok(()) };
        if first >= end {
            return Ok(());
        }
        let about =
            StatementBody::Unsealed { first_seq: unsigned(first), last_seq: unsigned(end.saturating_sub(1)) };
        self.state(connection, about, now)
    }

    /// Whether the key has become old.
    pub(super) fn is_key_old(&self, now: UnixMillis) -> bool {
        let days = i64::try_from(self.settings.rotate.as_secs() / DAY_SECONDS).unwrap_or(i64::MAX);
        let age = now.day().saturating_sub(self.key_since.day());
        // One that is of tomorrow was made while the clock was wrong.
        age >= days || age < 0
    }

    /// Has another key sign from now on; the one before is gone then, and nobody can sign in its name any more.
    pub(super) fn rotate(&mut self, connection: &Connection, now: UnixMillis) -> Result<(), LedgerFault> {
        let next = self.ring.make_next(&self.key.public_key())?;
        self.state(connection, StatementBody::NextKey { public_key: next.public_key() }, now)?;
        // From here on the store says that it is the next one, wherever its file is.
        (self.key, self.key_since) = (next, now);
        self.ring.promote().map_err(LedgerFault::from)
    }

    /// Whether events up to this one of a part are to be stated now.
    pub(super) fn is_due(&self, (part, last_seq): (i64, i64), now: UnixMillis, is_end: bool) -> bool {
        let waits = self.sealed.0 != part || self.sealed.1 < last_seq || self.dropped.0 > self.dropped.1;
        // A clock that was set back must not keep it from stating.
        let is_time = now.since(self.stated_at) >= CHECKPOINT_EVERY || now < self.stated_at;
        waits && (is_end || is_time)
    }
}

impl DraftStatement {
    /// Puts it in the store.
    pub(super) fn put(&self, connection: &Connection) -> rusqlite::Result<()> {
        let (what, part) = match &self.about {
            StatementBody::Begun { .. } => (BEGUN, None),
            StatementBody::NextKey { .. } => (NEXT_KEY, None),
            StatementBody::Checkpoint(seal) => (CHECKPOINT, Some(seal.part)),
            StatementBody::Closed(seal) => (CLOSED, Some(seal.part)),
            StatementBody::Removed { part, .. } => (REMOVED, Some(*part)),
            StatementBody::Unsealed { .. } => (UNSEALED, None),
        };
        connection
            .prepare_cached(
                "INSERT INTO statement (number, at, what, part, text, signature) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                signed(self.signed.number),
                self.at.0,
                what,
                part.map(signed),
                self.signed.text,
                self.signed.signature
            ])
            .map(drop)
    }
}

/// Keeps the time stamps of statements. Where another statement has the number by now, its stamp is of no use.
pub(super) fn keep_stamps(connection: &Connection, made: &[(WantedStamp, Vec<u8>)]) -> rusqlite::Result<()> {
    for (wanted, stamp) in made {
        let number = signed(wanted.statement);
        let text: Option<String> = connection
            .prepare_cached("SELECT text FROM statement WHERE number = ?1")?
            .query_row([number], |row| Ok(text_in(row, 0)))
            .optional()?;
        if text.is_some_and(|text| Hash::of(text.as_bytes()) == wanted.hash) {
            connection
                .prepare_cached("UPDATE statement SET stamp = ?2 WHERE number = ?1")?
                .execute(params![number, stamp])?;
        }
    }
    Ok(())
}

/// The last statements that close a day and have no time stamp, in order.
fn without_stamp(connection: &Connection) -> rusqlite::Result<Vec<WantedStamp>> {
    let mut statement = connection.prepare(
        "SELECT number, text FROM (
            SELECT number, text FROM statement WHERE what = ?1 AND stamp IS NULL ORDER BY number DESC LIMIT ?2
        ) ORDER BY number",
    )?;
    let rows = statement.query_map(params![CLOSED, WITHOUT_STAMP_MAX], |row| {
        let (number, text): (i64, String) = (row.get(0)?, text_in(row, 1));
        let statement = unsigned(number);
        Ok(WantedStamp { statement, hash: Hash::of(text.as_bytes()) })
    })?;
    rows.collect()
}

/// The number and hash of the last statement in the store.
fn last_statement(connection: &Connection) -> rusqlite::Result<Option<(u64, Hash)>> {
    connection
        .query_row("SELECT number, text FROM statement ORDER BY number DESC LIMIT 1", [], |row| {
            let (number, text): (i64, String) = (row.get(0)?, text_in(row, 1));
            Ok((unsigned(number), Hash::of(text.as_bytes())))
        })
        .optional()
}

/// The key that the store says signs now, and since when.
fn announced_key(connection: &Connection) -> rusqlite::Result<Option<(SitePublicKey, UnixMillis)>> {
    let statement = last_about(connection, "what IN (?1, ?2)", params![BEGUN, NEXT_KEY])?;
    Ok(statement.and_then(|statement| match statement.about {
        StatementBody::Begun { public_key } | StatementBody::NextKey { public_key } => {
            Some((public_key, statement.at))
        }
        StatementBody::Checkpoint(_)
        | StatementBody::Closed(_)
        | StatementBody::Removed { .. }
        | StatementBody::Unsealed { .. } => None,
    }))
}

/// The part and event up to which the store has statements.
pub(super) fn sealed_up_to(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let last = last_about(connection, "what IN (?1, ?2)", params![CHECKPOINT, CLOSED])?;
    Ok(last.and_then(seal_in).map_or((0, 0), |(seal, _)| (signed(seal.part), signed(seal.last_seq))))
}

/// The last event of which the statements in the store speak.
fn covered_up_to(connection: &Connection) -> rusqlite::Result<i64> {
    let (_, sealed) = sealed_up_to(connection)?;
    let unsealed =
        last_about(connection, "what = ?1", [UNSEALED])?.map_or(0, |statement| match statement.about {
            StatementBody::Unsealed { last_seq, .. } => signed(last_seq),
            StatementBody::Begun { .. }
            | StatementBody::NextKey { .. }
            | StatementBody::Checkpoint(_)
            | StatementBody::Closed(_)
            | StatementBody::Removed { .. } => 0,
        });
    Ok(sealed.max(unsealed))
}

/// What was stated last of a part, and whether that closed it.
pub(super) fn last_seal(connection: &Connection, part: i64) -> rusqlite::Result<Option<(PartSeal, bool)>> {
    Ok(last_about(connection, "part = ?1 AND what IN (?2, ?3)", params![part, CHECKPOINT, CLOSED])?
        .and_then(seal_in))
}

/// The last statement of some kinds.
fn last_about(
    connection: &Connection,
    which: &str,
    values: impl rusqlite::Params,
) -> rusqlite::Result<Option<Statement>> {
    let sql = format!("SELECT text FROM statement WHERE {which} ORDER BY number DESC LIMIT 1");
    let found: Option<String> =
        connection.prepare_cached(&sql)?.query_row(values, |row| Ok(text_in(row, 0))).optional()?;
    Ok(found.and_then(|text| serde_json::from_str(&text).ok()))
}

/// A text, as it is. Whoever altered it may have left none there: that must not keep the record from going on.
fn text_in(row: &Row<'_>, column: usize) -> String {
    row.get(column).unwrap_or_default()
}

fn seal_in(statement: Statement) -> Option<(PartSeal, bool)> {
    match statement.about {
        StatementBody::Checkpoint(seal) => Some((seal, false)),
        StatementBody::Closed(seal) => Some((seal, true)),
        StatementBody::Begun { .. }
        | StatementBody::NextKey { .. }
        | StatementBody::Removed { .. }
        | StatementBody::Unsealed { .. } => None,
    }
}

/// What a statement is about, in the store.
const BEGUN: u8 = 1;
const CHECKPOINT: u8 = 2;
const CLOSED: u8 = 3;
const REMOVED: u8 = 4;
const NEXT_KEY: u8 = 5;
const UNSEALED: u8 = 6;
/// Statements that get a time stamp later, if one was not to be had when they were made.
const WITHOUT_STAMP_MAX: i64 = 31;
const DAY_SECONDS: u64 = 24 * 3_600;
/// How long events wait for a statement about them, at most.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(3_600);
