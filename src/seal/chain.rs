//! Whether statements follow each other, and each is signed by the key that has to sign it. Pure.

use super::account::RecordAccount;
use super::breaks::ChainBreak;
use super::key::SitePublicKey;
use super::stamp::stamped_hash;
use super::statement::{SignedStatement, Statement, StatementBody};
use super::tree::Hash;

/// Statements that were read and verified one after the other.
#[derive(Debug, Default)]
pub struct Chain {
    /// Those that can be relied on, in order.
    pub statements: Vec<(Statement, Hash)>,
    /// How many of them have a time stamp, which is for whoever relies on it to verify.
    pub stamped: usize,
    /// What they say of the events.
    pub account: RecordAccount,
    /// The key that signs the next one.
    pub next_key: Option<SitePublicKey>,
    /// What is wrong, in order.
    pub breaks: Vec<ChainBreak>,
}

impl Chain {
    /// Verifies statements, in the order of their numbers. What follows a break is verified on its own terms, so that
    /// every break is found.
    #[must_use]
    pub fn verified(kept: &[SignedStatement]) -> Self {
        let mut chain = Self::default();
        // The key that has to sign, and the fingerprint of the one that was announced.
        let mut public_key: Option<SitePublicKey> = None;
        let mut before: Option<(u64, Hash)> = None;
        for signed in kept {
            let number = signed.number;
            let Ok(statement) = serde_json::from_str::<Statement>(&signed.text) else {
                chain.breaks.push(ChainBreak::Unreadable(number));
                before = Some((number, signed.hash()));
                continue;
            };
            if statement.number != number {
                chain.breaks.push(ChainBreak::Exchanged { kept: number, says: statement.number });
            }
            chain.follow(before, &statement, number);
            if let StatementBody::Begun { public_key: begins } = statement.about {
                let fingerprint = begins.fingerprint();
                if public_key.is_some_and(|known| known != begins) {
                    chain.breaks.push(ChainBreak::UnknownKey { number, key: fingerprint });
                }
                public_key = Some(begins);
            }
            let is_signed = public_key.is_some_and(|public_key| {
                public_key.fingerprint() == statement.key
                    && public_key.has_signed(signed.text.as_bytes(), &signed.signature)
            });
            if !is_signed {
                chain.breaks.push(ChainBreak::Unsigned(number));
            }
            before = Some((number, signed.hash()));
            if !is_signed {
                continue;
            }
            if let Some(stamp) = &signed.stamp {
                match stamped_hash(stamp, &signed.hash()) {
                    Ok(()) => chain.stamped = chain.stamped.saturating_add(1),
                    Err(_) => chain.breaks.push(ChainBreak::Stamp(number)),
                }
            }
            if let StatementBody::NextKey { public_key: next } = statement.about {
                public_key = Some(next);
            }
            if let Err(contradiction) = chain.account.take(&statement) {
                chain.breaks.push(contradiction);
            }
            chain.statements.push((statement, signed.hash()));
        }
        chain.next_key = public_key;
        chain
    }

    fn follow(&mut self, before: Option<(u64, Hash)>, statement: &Statement, number: u64) {
        match before {
            Some((last, _)) if number > last.saturating_add(1) => {
                self.breaks
                    .push(ChainBreak::Missing { from: last.saturating_add(1), to: number.saturating_sub(1) });
            }
            Some((_, hash)) if statement.previous != Some(hash) => {
                self.breaks.push(ChainBreak::Unconnected(number));
            }
            // The first in this store: what was before it is elsewhere, and says so by its number.
            None if number == 1 && statement.previous.is_some() => {
                self.breaks.push(ChainBreak::Unconnected(number));
            }
            None if !matches!(statement.about, StatementBody::Begun { .. }) && number > 1 => {
                self.breaks.push(ChainBreak::Missing { from: 1, to: number.saturating_sub(1) });
            }
            Some(_) | None => {}
        }
    }

    /// Compares it with what somebody has kept elsewhere: the fingerprint of the first key, hashes of statements, and the
    /// number of the last one.
    pub fn compare(&mut self, kept: &KeptElsewhere) {
        let Some((number, previous)) =
            self.statements.first().map(|(first, _)| (first.number, first.previous))
        else {
            // Where some are there, each has its own break.
            if self.breaks.is_empty() {
                self.breaks.push(ChainBreak::Empty);
            }
            return;
        };
        let follows_known = previous.is_some_and(|previous| kept.hashes.contains(&previous));
        if number > 1 && !follows_known {
            self.breaks.insert(0, ChainBreak::Earlier { number });
        }
        let first = self.statements.first().map(|(statement, _)| statement.key);
        if let (Some(expected), Some(found)) = (kept.first_key, first)
            && expected != found
        {
            self.breaks.insert(0, ChainBreak::AnotherKey { found, expected });
        }
        for hash in &kept.hashes {
            if Some(*hash) != previous && !self.statements.iter().any(|(_, known)| known == hash) {
                self.breaks.push(ChainBreak::WithoutKept(*hash));
            }
        }
        let last = self.statements.last().map_or(0, |(statement, _)| statement.number);
        if let Some(to) = kept.last_number.filter(|number| *number > last) {
            self.breaks.push(ChainBreak::Missing { from: last.saturating_add(1), to });
        }
    }
}

/// What is known of a record from elsewhere, and can't be altered with it.
#[derive(Debug, Clone, Default)]
pub struct KeptElsewhere {
    /// The fingerprint of its first key.
    pub first_key: Option<Hash>,
    /// Hashes of statements.
    pub hashes: Vec<Hash>,
    /// The number of its last statement.
    pub last_number: Option<u64>,
}
