//! Leases of recipients, so that no two attempts work on the same one. They are kept in memory only.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::mail::QueueId;

/// Which recipients are leased. A lease ends when it is dropped.
#[derive(Debug, Default)]
pub struct LeaseBook {
    held: Mutex<HashSet<(QueueId, u32)>>,
}

/// Something that can be split by recipients and joined again.
pub trait Divisible: Sized {
    /// Splits the named recipients off into a part of their own.
    #[must_use]
    fn split_off(&mut self, recipients: &[u32]) -> Self;

    /// Merges another part of the same message.
    fn absorb(&mut self, other: Self);
}

/// Leased recipients of one message.
#[derive(Debug)]
pub struct Lease {
    book: Arc<LeaseBook>,
    message: QueueId,
    recipients: Vec<u32>,
}

impl LeaseBook {
    /// Leases the free ones among `recipients`; `None` if none is free.
    #[must_use]
    pub fn lease(self: &Arc<Self>, message: QueueId, recipients: &[u32]) -> Option<Lease> {
        let mut held = self.lock();
        let free: Vec<u32> = recipients.iter().copied().filter(|n| held.insert((message, *n))).collect();
        (!free.is_empty()).then(|| Lease { book: Arc::clone(self), message, recipients: free })
    }

    /// Leases all of `recipients`, or none if one of them is leased, so that no free recipient ever looks
    /// taken.
    #[must_use]
    pub fn lease_all(self: &Arc<Self>, message: QueueId, recipients: &[u32]) -> Option<Lease> {
        let mut held = self.lock();
        if recipients.iter().any(|n| held.contains(&(message, *n))) {
            return None;
        }
        held.extend(recipients.iter().map(|n| (message, *n)));
        Some(Lease { book: Arc::clone(self), message, recipients: recipients.to_vec() })
    }

    /// Whether a recipient is leased.
    #[must_use]
    pub fn holds(&self, message: QueueId, recipient: u32) -> bool {
        self.lock().contains(&(message, recipient))
    }

    /// Number of leased recipients.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<(QueueId, u32)>> {
        // The set stays valid even if a holder panicked.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The recipients this lease holds.
    #[must_use]
    pub fn recipients(&self) -> &[u32] {
        &self.recipients
    }

    /// Keeps the lease on recipients for which `keep` is true and ends it for the others.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        let (kept, freed) = self.recipients.iter().partition(|n| keep(**n));
        self.recipients = freed;
        self.release();
        self.recipients = kept;
    }

    fn release(&self) {
        let mut held = self.book.lock();
        for number in &self.recipients {
            held.remove(&(self.message, *number));
        }
    }
}

impl Divisible for Lease {
    fn split_off(&mut self, recipients: &[u32]) -> Self {
        let (taken, kept) = self.recipients.iter().partition(|n| recipients.contains(n));
        self.recipients = kept;
        Self { book: Arc::clone(&self.book), message: self.message, recipients: taken }
    }

    fn absorb(&mut self, mut other: Self) {
        debug_assert!(self.message == other.message);
        self.recipients.append(&mut other.recipients);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(book: &LeaseBook, message: QueueId) -> Vec<u32> {
        (0..4).filter(|n| book.holds(message, *n)).collect()
    }

    #[test]
    fn a_recipient_is_leased_once_until_the_lease_ends() {
        let book = Arc::new(LeaseBook::default());
        let id = QueueId::from_number(7);
        let mut all = book.lease(id, &[0, 1, 2, 3]).expect("they are free");
        assert!(book.lease(id, &[1, 2]).is_none());

        let some = all.split_off(&[1, 3]);
        assert_eq!((all.recipients(), some.recipients()), (&[0, 2][..], &[1, 3][..]));
        drop(some);
        assert_eq!(held(&book, id), [0, 2]);

        all.retain(|n| n == 2);
        assert_eq!((held(&book, id), all.recipients()), (vec![2], &[2][..]));
        assert_eq!(book.lease(id, &[1, 2]).expect("one is free").recipients(), [1]);
        assert!(book.lease_all(id, &[1, 2]).is_none());
        assert_eq!(held(&book, id), [2], "not even the free one was taken");
        drop(all);
        assert_eq!(book.lease_all(id, &[1, 2]).expect("free").recipients(), [1, 2]);
        assert_eq!(book.count(), 0);
    }
}
