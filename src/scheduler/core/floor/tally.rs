//! Counts places of one kind in use by standing, and knows how many each standing may take. It does not
//! know which carrier holds one.

/// What is known of a lane when it wants a session; best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::scheduler::core) enum Standing {
    /// Its hosts accepted mail last time.
    Served,
    /// Nothing is known of it yet.
    Fresh,
    /// It failed, or holds only reports and was never served.
    Doubtful,
}

/// Best first.
pub(super) const STANDINGS: [Standing; 3] = [Standing::Served, Standing::Fresh, Standing::Doubtful];

/// Places of one kind in use, by the standing of their holders.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) max: usize,
    pub(super) used: [usize; 3],
}

impl Tally {
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), used: [0; 3] }
    }

    pub(super) fn has_room(&self, standing: Standing) -> bool {
        self.too_many(standing) == 0
    }

    /// How many must leave before there is a place for this standing. A quarter is reserved for served
    /// lanes, and doubtful ones get at most half. Connector minimums may exceed the total.
    fn too_many(&self, standing: Standing) -> usize {
        let [served, fresh, doubtful] = self.used;
        let unserved = fresh.saturating_add(doubtful);
        let all_but = |parts: usize| self.max.saturating_sub(self.max.checked_div(parts).unwrap_or_default());
        let over = |used: usize, most: usize| used.saturating_add(1).saturating_sub(most);
        let in_all = over(served.saturating_add(unserved), self.max);
        match standing {
            Standing::Served => in_all,
            Standing::Fresh => in_all.max(over(unserved, all_but(4))),
            Standing::Doubtful => in_all.max(over(unserved, all_but(4))).max(over(doubtful, all_but(2))),
        }
    }

    pub(super) fn add(&mut self, standing: Standing) {
        count_up(&mut self.used, standing);
    }

    pub(super) fn take_back(&mut self, standing: Standing) {
        count_down(&mut self.used, standing);
    }

    /// Passes one place of standing `from` to a waiting standing. If that would bring nothing that
    /// waits closer to a place, nothing changes.
    pub(super) fn pass_on(&mut self, from: Standing, waiting: &mut [usize; 3]) -> bool {
        let before = self.clone();
        self.take_back(from);
        let waits = |to: &Standing| count(waiting, *to) > 0;
        if let Some(to) = STANDINGS.into_iter().filter(waits).find(|to| self.has_room(*to)) {
            self.add(to);
            count_down(waiting, to);
            return true;
        }
        let nearer = STANDINGS.into_iter().filter(waits).any(|to| self.too_many(to) < before.too_many(to));
        if !nearer {
            *self = before;
        }
        nearer
    }
}

pub(super) fn row(standing: Standing) -> usize {
    match standing {
        Standing::Served => 0,
        Standing::Fresh => 1,
        Standing::Doubtful => 2,
    }
}

pub(super) fn count(counts: &[usize; 3], standing: Standing) -> usize {
    counts.get(row(standing)).copied().unwrap_or_default()
}

pub(super) fn count_up(counts: &mut [usize; 3], standing: Standing) {
    if let Some(count) = counts.get_mut(row(standing)) {
        *count = count.saturating_add(1);
    }
}

pub(super) fn count_down(counts: &mut [usize; 3], standing: Standing) {
    if let Some(count) = counts.get_mut(row(standing)) {
        *count = count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(used: [usize; 3], from: Standing, mut waiting: [usize; 3], expected: Option<[usize; 3]>) {
        let mut tally = Tally { max: 8, used };
        let passed = tally.pass_on(from, &mut waiting);
        assert_eq!(passed.then_some(waiting), expected, "{used:?} {from:?}");
    }

    #[test]
    fn a_place_is_passed_on_only_to_whom_it_helps() {
        use Standing::{Doubtful, Fresh, Served};
        // Eight places: at most six for lanes that were never served, four for doubtful ones.
        check([2, 6, 0], Fresh, [0, 1, 0], Some([0, 0, 0]));
        check([2, 6, 0], Fresh, [1, 1, 0], Some([0, 1, 0]));
        check([2, 6, 0], Served, [0, 1, 0], None);
        check([2, 6, 0], Served, [1, 0, 0], Some([0, 0, 0]));
        check([2, 2, 4], Fresh, [0, 0, 1], None);
        check([2, 2, 4], Doubtful, [0, 0, 1], Some([0, 0, 0]));
        check([0, 2, 4], Fresh, [0, 0, 0], None);
        // Connector minimums exceed the total by two: two must leave before anything is admitted.
        check([4, 6, 0], Fresh, [1, 0, 0], Some([1, 0, 0]));
        check([4, 6, 0], Served, [0, 1, 0], Some([0, 1, 0]));
        check([1, 8, 0], Served, [0, 1, 0], None);
    }
}
