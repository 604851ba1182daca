//! The graph of states: what can be said of ways rather than of single states.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use crate::world::{Action, Pid};

/// One step between two states.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    from: u32,
    to: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A process goes on.
    Work,
    /// A sleep ends, or a clock moves: what a loop may wait for.
    Pause,
    /// A misfortune, which nobody may count on.
    Harm,
}

/// The states by number, and the steps between them.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) edges: Vec<Edge>,
    /// For each state a bit for each process that is through there.
    pub(crate) ends: Vec<u8>,
}

impl Edge {
    pub(crate) const fn new(from: u32, to: u32, action: Action, sleeps: bool) -> Self {
        let kind = match action {
            Action::Crash(_) | Action::Cancel(_) | Action::Fault(_) | Action::SetWall(_) => {
                Kind::Harm
            }
            Action::Tick | Action::Wake(_) => Kind::Pause,
            Action::Step(_) | Action::Deed(..) | Action::Unlock(_) | Action::Return(_) => {
                if sleeps { Kind::Pause } else { Kind::Work }
            }
        };
        Self { from, to, kind }
    }
}

impl Graph {
    /// The first state from which a process cannot come to an end, whatever happens short
    /// of misfortune.
    pub(crate) fn cannot_end(&self, pid: Pid) -> Option<u32> {
        let (starts, froms) =
            self.sorted(|edge| edge.kind != Kind::Harm, |edge| (edge.to, edge.from));
        let bit = 1_u8 << pid.min(7);
        let mut can = self.ends.iter().map(|ends| ends & bit != 0).collect::<Vec<_>>();
        let mut queue =
            (0..).zip(&can).filter(|(_, can)| **can).map(|(at, _)| at).collect::<Vec<u32>>();
        while let Some(at) = queue.pop() {
            for from in slice(&starts, &froms, at) {
                if let Some(known @ false) = can.get_mut(*from as usize) {
                    *known = true;
                    queue.push(*from);
                }
            }
        }
        first(can.iter().map(|can| !can))
    }

    /// The first state on a loop of nothing but work, and the shortest way round it: the
    /// states after it, itself last.
    pub(crate) fn hot_loop(&self) -> Option<(u32, Vec<u32>)> {
        let (starts, tos) =
            self.sorted(|edge| edge.kind == Kind::Work, |edge| (edge.from, edge.to));
        let beyond = self.behind_loops(&starts, &tos);
        (0..).zip(&beyond).filter(|(_, beyond)| **beyond).find_map(|(at, _)| {
            let round = shortest_round(&starts, &tos, at)?;
            Some((at, round))
        })
    }

    /// For each state whether it can be reached from a loop: takes away, again and again,
    /// what nothing that is left leads to.
    fn behind_loops(&self, starts: &[u32], tos: &[u32]) -> Vec<bool> {
        let mut entered = vec![0_u32; self.ends.len()];
        for to in tos {
            if let Some(count) = entered.get_mut(*to as usize) {
                *count += 1;
            }
        }
        let mut free = (0..)
            .zip(&entered)
            .filter(|(_, count)| **count == 0)
            .map(|(at, _)| at)
            .collect::<Vec<u32>>();
        while let Some(at) = free.pop() {
            for to in slice(starts, tos, at) {
                if let Some(count) = entered.get_mut(*to as usize) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(*to);
                    }
                }
            }
        }
        entered.into_iter().map(|count| count > 0).collect()
    }

    /// The edges of a kind, grouped by one of their ends.
    fn sorted(
        &self,
        keep: impl Fn(&Edge) -> bool,
        ends: impl Fn(&Edge) -> (u32, u32),
    ) -> (Vec<u32>, Vec<u32>) {
        let mut pairs = self.edges.iter().filter(|edge| keep(edge)).map(ends).collect::<Vec<_>>();
        pairs.sort_unstable();
        let mut starts = vec![0_u32; self.ends.len() + 1];
        for (group, _) in &pairs {
            if let Some(count) = starts.get_mut(*group as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        (starts, pairs.into_iter().map(|(_, other)| other).collect())
    }
}

fn slice<'a>(starts: &[u32], items: &'a [u32], at: u32) -> &'a [u32] {
    let at = at as usize;
    let range = starts.get(at).zip(starts.get(at + 1));
    let range = range.map(|(from, to)| *from as usize..*to as usize);
    range.and_then(|range| items.get(range)).unwrap_or_default()
}

/// The shortest way from a state back to itself.
fn shortest_round(starts: &[u32], tos: &[u32], home: u32) -> Option<Vec<u32>> {
    let mut parents = BTreeMap::new();
    let mut queue = VecDeque::from([home]);
    while let Some(at) = queue.pop_front() {
        for to in slice(starts, tos, at) {
            if let Entry::Vacant(place) = parents.entry(*to) {
                place.insert(at);
                queue.push_back(*to);
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

fn first(mut items: impl Iterator<Item = bool>) -> Option<u32> {
    items.position(|item| item).and_then(|at| u32::try_from(at).ok())
}
