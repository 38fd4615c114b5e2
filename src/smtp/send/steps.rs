use std::collections::VecDeque;
use std::io::Write;

use super::{Finished, Owed};

/// One transaction, from MAIL to the reply that ends it.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) so_far: Finished,
    /// Commands that wait for the reply to the one before, where PIPELINING is not offered.
    pub(super) unsent: VecDeque<(Owed, Vec<u8>)>,
    /// The content goes as one chunk of so many octets (RFC 3030 §2).
    pub(super) chunk: Option<u64>,
}

/// Commands of one envelope: all at once, or one after the other.
pub(super) struct Steps<'a> {
    pub(super) pipelined: bool,
    pub(super) owed: &'a mut VecDeque<Owed>,
    pub(super) out: &'a mut Vec<u8>,
    pub(super) unsent: VecDeque<(Owed, Vec<u8>)>,
}

impl Steps<'_> {
    pub(super) fn put(&mut self, owed: Owed, line: std::fmt::Arguments<'_>) {
        if self.pipelined {
            self.owed.push_back(owed);
            return put(self.out, line);
        }
        let mut text = Vec::new();
        put(&mut text, line);
        self.unsent.push_back((owed, text));
    }
}

pub(super) fn put(out: &mut Vec<u8>, line: std::fmt::Arguments<'_>) {
    // Writing to a vector can't fail.
    let _infallible = out.write_fmt(line);
}
