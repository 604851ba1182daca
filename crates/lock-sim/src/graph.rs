//! The graph of states: what can be said of ways rather than of single states.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::symmetry::Symmetry;
use crate::world::{Action, Pid};

/// What kind of step an edge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A process goes on.
    Work,
    /// A sleep ends, or a clock moves: what a loop may wait for.
    Pause,
    /// A misfortune, which nobody may count on.
    Harm,
}

/// The states by number, and the steps between them. They are told in order: first all from
/// the first state, then all from the second, and so on.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// Where each state's steps begin.
    starts: Vec<u32>,
    /// Where each step leads.
    tos: Vec<u32>,
    /// Its kind, and the turn to who is who there.
    marks: Vec<u8>,
    /// For each state a bit for each process that is through there.
    pub(crate) ends: Vec<u8>,
}

impl Kind {
    pub(crate) const fn of(action: Action, sleeps: bool) -> Self {
        match action {
            Action::Crash(_)
            | Action::Orphan(_)
            | Action::Outlive(_)
            | Action::Cancel(_)
            | Action::Fault(..)
            | Action::SetWall(..)
            | Action::Hand(_) => Self::Harm,
            Action::Tick | Action::Suspend | Action::Wake(_) | Action::Doze(_) => Self::Pause,
            Action::Step(_)
            | Action::Deed(..)
            | Action::WorkEnds(_)
            | Action::Unlock(_)
            | Action::Return(_) => {
                if sleeps {
                    Self::Pause
                } else {
                    Self::Work
                }
            }
        }
    }
}

const KINDS: [Kind; 3] = [Kind::Work, Kind::Pause, Kind::Harm];

impl Graph {
    /// The next state's steps begin.
    pub(crate) fn begin(&mut self) {
        self.starts.push(count(&self.tos));
    }

    /// One step of that state.
    pub(crate) fn step(&mut self, to: u32, kind: Kind, turn: u8) {
        self.tos.push(to);
        self.marks.push(turn * 3 + kind as u8);
    }

    /// How many steps there are.
    pub(crate) const fn size(&self) -> usize {
        self.tos.len()
    }

    /// What it takes up.
    pub(crate) const fn bytes(&self) -> usize {
        let numbers = self.starts.capacity() + self.tos.capacity();
        size_of::<u32>() * numbers + self.marks.capacity() + self.ends.capacity()
    }

    /// The first state from which a process cannot come to an end, whatever happens short
    /// of misfortune.
    pub(crate) fn cannot_end(&self, symmetry: &Symmetry, crew: Pid) -> Option<u32> {
        let all = u8::try_from((1_u16 << crew.min(8)) - 1).unwrap_or(u8::MAX);
        let mut can = self.ends.clone();
        let mut changed = true;
        // Most steps lead on, so going through the states from the back is soon done.
        while changed {
            changed = false;
            for at in (0..count(&can)).rev() {
                let known = can.get(at as usize).copied().unwrap_or_default();
                let learnt = self.steps(at).filter(|(_, kind, _)| *kind != Kind::Harm);
                let now = learnt.fold(known, |bits, (to, _, turn)| {
                    let there = can.get(to as usize).copied().unwrap_or_default();
                    bits | symmetry.undo(turn, there)
                });
                if now != known
                    && let Some(bits) = can.get_mut(at as usize)
                {
                    *bits = now;
                    changed = true;
                }
            }
        }
        (0..).zip(&can).find(|(_, bits)| **bits & all != all).map(|(at, _)| at)
    }

    /// The first state on a loop of nothing but work, and the shortest way round it: the
    /// states after it, itself last.
    ///
    /// That who is who may have changed on the way round is no matter: the same way again,
    /// and again, leads back to them in the end.
    pub(crate) fn hot_loop(&self) -> Option<(u32, Vec<u32>)> {
        let beyond = self.behind_loops();
        (0..).zip(&beyond).filter(|(_, beyond)| **beyond).find_map(|(at, _)| {
            let round = self.shortest_round(at)?;
            Some((at, round))
        })
    }

    /// For each state whether it can be reached from a loop: takes away, again and again,
    /// what nothing that is left leads to.
    fn behind_loops(&self) -> Vec<bool> {
        let mut entered = vec![0_u32; self.ends.len()];
        for at in 0..count(&entered) {
            for to in self.work(at) {
                if let Some(count) = entered.get_mut(to as usize) {
                    *count += 1;
                }
            }
        }
        let alone = (0..).zip(&entered).filter(|(_, count)| **count == 0);
        let mut free = alone.map(|(at, _)| at).collect::<Vec<u32>>();
        while let Some(at) = free.pop() {
            for to in self.work(at) {
                if let Some(count) = entered.get_mut(to as usize) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(to);
                    }
                }
            }
        }
        entered.into_iter().map(|count| count > 0).collect()
    }

    /// The shortest way from a state back to itself.
    fn shortest_round(&self, home: u32) -> Option<Vec<u32>> {
        let mut parents = BTreeMap::new();
        let mut queue = VecDeque::from([home]);
        while let Some(at) = queue.pop_front() {
            for to in self.work(at) {
                if let Entry::Vacant(place) = parents.entry(to) {
                    place.insert(at);
                    queue.push_back(to);
                }
            }
            if parents.contains_key(&home) {
                let mut round = vec![home];
                let mut at = *parents.get(&home)?;
                while at != home {
                    round.push(at);
                    at = *parents.get(&at)?;
                }
                round.reverse();
                return Some(round);
            }
        }
        None
    }

    fn work(&self, at: u32) -> impl Iterator<Item = u32> + '_ {
        self.steps(at).filter(|(_, kind, _)| *kind == Kind::Work).map(|(to, ..)| to)
    }

    /// The steps from a state; none if the search did not come so far.
    fn steps(&self, at: u32) -> impl Iterator<Item = (u32, Kind, u8)> + '_ {
        let range = self.range(at as usize).unwrap_or_default();
        let steps = self.tos.get(range.clone()).zip(self.marks.get(range));
        let (tos, marks) = steps.unwrap_or_default();
        tos.iter().zip(marks).map(|(to, mark)| {
            let kind = KINDS.get(usize::from(*mark % 3)).copied().unwrap_or(Kind::Work);
            (*to, kind, *mark / 3)
        })
    }

    fn range(&self, at: usize) -> Option<Range<usize>> {
        let from = *self.starts.get(at)? as usize;
        let to = self.starts.get(at + 1).map_or(self.tos.len(), |to| *to as usize);
        Some(from..to)
    }
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::cases;

    const A: u8 = 0b01;
    const B: u8 = 0b10;

    /// For two who are interchangeable.
    fn symmetry() -> Symmetry {
        let case = cases().into_iter().find(|case| case.title() == "ours: 2, 1 pause, 1 crash");
        Symmetry::of(&case.expect("because the suite has this row").scope)
    }

    /// A state: who is through there, and where it leads.
    type State<'a> = (u8, &'a [(u32, Kind, u8)]);

    fn graph(states: &[State<'_>]) -> Graph {
        let mut graph = Graph::default();
        for (ends, steps) in states {
            graph.ends.push(*ends);
            graph.begin();
            for (to, kind, turn) in *steps {
                graph.step(*to, *kind, *turn);
            }
        }
        graph
    }

    #[test]
    fn who_is_through_is_followed_to_the_place_it_has_there() {
        let symmetry = symmetry();
        let [same, swap] = [symmetry.from_to(0, 0), symmetry.from_to(0, 1)];
        assert_ne!(same, swap);
        let kept =
            graph(&[(0, &[(1, Kind::Work, same), (2, Kind::Work, same)]), (A, &[]), (B, &[])]);
        let swapped = graph(&[(0, &[(1, Kind::Work, same), (1, Kind::Work, swap)]), (A, &[])]);
        assert_eq!(kept.cannot_end(&symmetry, 2), Some(1), "B has no end after A's");
        assert_eq!(swapped.cannot_end(&symmetry, 2), Some(1), "nor has it here");
        let both = graph(&[
            (0, &[(1, Kind::Work, same)]),
            (A, &[(2, Kind::Work, swap)]),
            (A, &[(3, Kind::Work, same)]),
            (A | B, &[]),
        ]);
        assert_eq!(both.cannot_end(&symmetry, 2), None);
        let twice = graph(&[(A, &[(1, Kind::Pause, swap)]), (A, &[(0, Kind::Pause, same)])]);
        assert_eq!(twice.cannot_end(&symmetry, 2), None, "B there is A here, and A is through");
        let once = graph(&[(A, &[(1, Kind::Pause, same)]), (A, &[(0, Kind::Pause, same)])]);
        assert_eq!(once.cannot_end(&symmetry, 2), Some(0));
    }

    #[test]
    fn nobody_may_count_on_misfortune_to_come_to_an_end() {
        let symmetry = symmetry();
        let graph = graph(&[(0, &[(1, Kind::Harm, 0)]), (A | B, &[])]);
        assert_eq!(graph.cannot_end(&symmetry, 2), Some(0));
    }

    #[test]
    fn a_loop_of_work_is_found_and_told_by_its_shortest_round() {
        let graph = graph(&[
            (0, &[(1, Kind::Work, 0)]),
            (0, &[(2, Kind::Work, 0), (3, Kind::Work, 0)]),
            (0, &[(3, Kind::Work, 0)]),
            (0, &[(1, Kind::Work, 0), (4, Kind::Work, 0)]),
            (0, &[]),
        ]);
        assert_eq!(graph.hot_loop(), Some((1, vec![3, 1])));
    }

    #[test]
    fn a_loop_with_a_sleep_is_none() {
        let graph = graph(&[(0, &[(1, Kind::Work, 0)]), (0, &[(0, Kind::Pause, 0)])]);
        assert_eq!(graph.hot_loop(), None);
    }
}
