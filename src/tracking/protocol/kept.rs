//! The rows of a session that may be written later: its first and its last ones. It knows no session.

use std::collections::VecDeque;

use super::row::Row;

/// Rows in memory, up to a bound.
#[derive(Debug, Default)]
pub(super) struct KeptRows {
    head: Vec<Row>,
    tail: VecDeque<Row>,
    head_octets: usize,
    tail_octets: usize,
    left_out: u64,
}

impl KeptRows {
    pub(super) fn push(&mut self, row: Row) {
        let octets = cost(&row);
        if self.tail.is_empty() && self.head_octets.saturating_add(octets) <= HEAD_OCTETS {
            self.head_octets = self.head_octets.saturating_add(octets);
            return self.head.push(row);
        }
        self.tail_octets = self.tail_octets.saturating_add(octets);
        self.tail.push_back(row);
        while self.tail_octets > TAIL_OCTETS {
            let Some(first) = self.tail.pop_front() else { break };
            self.tail_octets = self.tail_octets.saturating_sub(cost(&first));
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// Takes the rows in their order, with one in the place of those that were left out.
    pub(super) fn take(&mut self) -> Vec<Row> {
        let Self { head, tail, left_out, .. } = std::mem::take(self);
        let mut rows = head;
        if left_out > 0
            && let Some(next) = tail.front()
        {
            let number = next.number.saturating_sub(1);
            rows.push(Row { at: next.at, number, event: '*', data: format!("{left_out} rows left out") });
        }
        rows.extend(tail);
        rows
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn cost(row: &Row) -> usize {
    row.data.len().saturating_add(size_of::<Row>())
}

/// Octets of the first rows: greeting, EHLO, TLS, and what comes first inside it.
const HEAD_OCTETS: usize = 4 << 10;
/// Octets of the last rows.
const TAIL_OCTETS: usize = 12 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::UnixMillis;

    #[test]
    fn the_first_and_the_last_rows_are_kept_and_the_others_counted() {
        let mut kept = KeptRows::default();
        for number in 0..10_000 {
            kept.push(Row { at: UnixMillis(0), number, event: '<', data: format!("line {number}") });
        }
        assert!(kept.head_octets <= HEAD_OCTETS && kept.tail_octets <= TAIL_OCTETS);
        let rows = kept.take();
        assert_eq!(rows.first().map(|row| row.number), Some(0));
        assert_eq!(rows.last().map(|row| row.number), Some(9_999));
        let noted = rows.iter().position(|row| row.event == '*').expect("a note");
        assert_eq!(rows[noted].data, format!("{} rows left out", 10_000 - (rows.len() - 1)));
        assert_eq!(rows[noted].number + 1, rows[noted + 1].number);
        assert!(kept.take().is_empty());
    }
}
