//! What contenders wrote down, judged: the same for every subject, and resting on none.
//!
//! Each contender read the clock after it had got the lock and before it let go. If a lock
//! excludes, no two such stretches overlap; and the counter that each read and wrote in
//! between has not lost anybody.

use lock_bench_peer::Turn;

/// A turn, and whose it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) by: usize,
    pub(crate) turn: Turn,
}

/// What became of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// How many turns there were.
    pub(crate) turns: usize,
    /// How often the next turn was somebody else's.
    pub(crate) changes: usize,
    /// How many turns each had, sorted.
    pub(crate) shares: Vec<usize>,
    /// The longest that anybody waited, in nanoseconds.
    pub(crate) longest: u64,
    /// How often two had the lock at the same time.
    pub(crate) overlaps: usize,
}

impl Judged {
    pub(crate) fn most(&self) -> usize {
        self.shares.last().copied().unwrap_or(0)
    }

    pub(crate) fn fewest(&self) -> usize {
        self.shares.first().copied().unwrap_or(0)
    }
}

/// Judges the turns of so many contenders. Only turns that began before `until` count for the
/// shares: after that those that still wait are let in one by one.
pub(crate) fn judge(mut all: Vec<Owned>, contenders: usize, until: u64) -> Judged {
    all.sort_by_key(|owned| owned.turn.got);
    let overlaps = overlaps(&all);
    let longest = all.iter().map(|owned| owned.turn.got.saturating_sub(owned.turn.wanted)).max();
    let counted: Vec<_> = all.iter().filter(|owned| owned.turn.got < until).collect();
    let changes = counted.windows(2).filter(|pair| match pair {
        [one, next] => one.by != next.by,
        _ => false,
    });
    let share = |by| counted.iter().filter(|owned| owned.by == by).count();
    let mut shares: Vec<_> = (0..contenders).map(share).collect();
    shares.sort_unstable();
    let (turns, changes) = (counted.len(), changes.count());
    Judged { turns, changes, shares, longest: longest.unwrap_or(0), overlaps }
}

/// How often a turn began before an earlier one had ended.
pub(crate) fn overlaps(sorted: &[Owned]) -> usize {
    let mut end = 0;
    let mut count = 0;
    for owned in sorted {
        count += usize::from(owned.turn.got < end);
        end = end.max(owned.turn.left);
    }
    count
}

/// One contender's log. Nothing if it is not one.
pub(crate) fn parse(by: usize, log: &str) -> Option<Vec<Owned>> {
    log.lines().map(|line| Some(Owned { by, turn: turn(line)? })).collect()
}

/// `turn WANTED GOT LEFT`.
fn turn(line: &str) -> Option<Turn> {
    let mut words = line.strip_prefix("turn ")?.split(' ').map(str::parse);
    let mut number = || words.next()?.ok();
    Some(Turn { wanted: number()?, got: number()?, left: number()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is whose it was, and when it was wanted, got and left.
    fn judged(turns: &[(usize, u64, u64, u64)], contenders: usize) -> Judged {
        let owned = |&(by, wanted, got, left)| Owned { by, turn: Turn { wanted, got, left } };
        judge(turns.iter().map(owned).collect(), contenders, 100)
    }

    #[test]
    fn one_after_the_other_is_exclusion() {
        let judged = judged(&[(0, 0, 1, 2), (1, 0, 3, 5), (0, 2, 6, 7)], 2);
        assert_eq!((judged.overlaps, judged.turns, judged.changes), (0, 3, 2));
        assert_eq!(judged.longest, 4);
    }

    #[test]
    fn two_at_once_are_caught_in_whatever_order_they_wrote() {
        assert_eq!(judged(&[(1, 0, 5, 9), (0, 0, 1, 6)], 2).overlaps, 1);
    }

    #[test]
    fn a_long_turn_overlaps_each_that_falls_into_it() {
        assert_eq!(judged(&[(0, 0, 1, 50), (1, 0, 10, 20), (2, 0, 30, 40)], 3).overlaps, 2);
    }

    #[test]
    fn taking_it_again_is_no_change_of_owner() {
        let judged = judged(&[(0, 0, 1, 2), (0, 2, 3, 4), (0, 4, 5, 6), (1, 0, 7, 8)], 2);
        assert_eq!((judged.turns, judged.changes), (4, 1));
    }

    #[test]
    fn who_got_nothing_has_a_share_too() {
        let judged = judged(&[(0, 0, 1, 2), (0, 2, 3, 4)], 3);
        assert_eq!((judged.most(), judged.fewest()), (2, 0));
    }

    #[test]
    fn what_comes_after_the_window_counts_for_exclusion_only() {
        let judged = judged(&[(0, 0, 1, 2), (1, 0, 150, 160), (2, 0, 155, 158)], 3);
        assert_eq!((judged.turns, judged.overlaps), (1, 1));
        assert_eq!(judged.longest, 155);
    }

    #[test]
    fn a_log_is_read_back() {
        let turns = parse(3, "turn 1 2 3\nturn 4 5 6\n").expect("because it is one");
        assert_eq!(turns[1], Owned { by: 3, turn: Turn { wanted: 4, got: 5, left: 6 } });
        assert_eq!(parse(3, "turn 1 2\n"), None);
    }
}
