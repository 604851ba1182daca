//! Every state that can be reached, breadth first, with the shortest way to each broken
//! promise; then the promises about ways rather than states, on the whole graph.
//!
//! The search is our own and not stateright's: that one keeps no edges, and both "can still
//! reach an end" and "no loop without a sleep" are about edges. See `docs/decisions`.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

use crate::graph::{Edge, Graph};
use crate::property::Property;
use crate::scope::Universe;
use crate::world::{Action, World};
use crate::{Ready, fingerprint};

/// Where a search ended.
#[derive(Debug)]
pub struct Explored {
    /// How many states there are.
    pub states: usize,
    /// How many steps the farthest is away.
    pub depth: usize,
    /// Whether the search came to its end before it came to its limit.
    pub complete: bool,
    /// The shortest way to each broken promise.
    pub found: BTreeMap<Property, Trace>,
}

/// A way through the states: where it starts, and what happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Which of the starts.
    pub start: usize,
    /// What happens.
    pub actions: Vec<Action>,
    /// What happens then again and again, if that is what is wrong.
    pub round: Vec<Action>,
}

type Index = HashMap<u64, u32, BuildHasherDefault<Ready>>;

struct Search<'a> {
    universe: &'a Universe,
    index: Index,
    /// How each state was first reached.
    parents: Vec<Option<(u32, Action)>>,
    graph: Graph,
    found: BTreeMap<Property, u32>,
    /// The states of a loop without a sleep, from the one that was found.
    round: Vec<u32>,
}

/// Explores a universe up to so many states.
#[must_use]
pub fn explore(universe: &Universe, limit: usize) -> Explored {
    let mut search = Search {
        universe,
        index: Index::default(),
        parents: Vec::new(),
        graph: Graph::default(),
        found: BTreeMap::new(),
        round: Vec::new(),
    };
    let mut layer = Vec::new();
    for world in World::starts(universe) {
        search.visit(world, None, &mut layer);
    }
    let starts = layer.iter().map(|(at, _)| *at).collect::<Vec<_>>();
    let (depth, complete) = search.run(layer, limit);
    if complete {
        search.judge_ways();
    }
    Explored {
        states: search.parents.len(),
        depth,
        complete,
        found: search
            .found
            .iter()
            .map(|(property, at)| (*property, search.trace(*property, *at, &starts)))
            .collect(),
    }
}

impl Search<'_> {
    fn run(&mut self, mut layer: Vec<(u32, World)>, limit: usize) -> (usize, bool) {
        let mut depth = 0;
        let mut actions = Vec::new();
        while !layer.is_empty() {
            let mut next = Vec::new();
            for (at, world) in layer {
                actions.clear();
                world.actions(self.universe, &mut actions);
                for action in &actions {
                    if let Some(after) = world.after(self.universe, *action) {
                        let to = self.visit(after, Some((at, *action)), &mut next);
                        let sleeps = world.is_wake(self.universe, *action);
                        self.graph.edges.push(Edge::new(at, to, *action, sleeps));
                    }
                }
                if self.parents.len() > limit || self.is_done() {
                    return (depth, false);
                }
            }
            layer = next;
            depth += usize::from(!layer.is_empty());
        }
        (depth, true)
    }

    /// Nothing is left to be found.
    fn is_done(&self) -> bool {
        let wanted = &self.universe.scope.properties;
        !self.found.is_empty() && wanted.iter().all(|property| self.found.contains_key(property))
    }

    fn visit(
        &mut self,
        world: World,
        from: Option<(u32, Action)>,
        next: &mut Vec<(u32, World)>,
    ) -> u32 {
        let at = u32::try_from(self.parents.len()).unwrap_or(u32::MAX);
        match self.index.entry(fingerprint(&world)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => {
                place.insert(at);
                self.parents.push(from);
                self.graph.ends.push(ends(self.universe, &world));
                if let Some(property) = world.foul {
                    self.found.entry(property).or_insert(at);
                }
                next.push((at, world));
                at
            }
        }
    }

    /// The promises about ways, once all are known.
    fn judge_ways(&mut self) {
        let wanted = &self.universe.scope.properties;
        if wanted.contains(&Property::NoHotLoop)
            && let Some((at, round)) = self.graph.hot_loop()
        {
            self.found.insert(Property::NoHotLoop, at);
            self.round = round;
        }
        if wanted.contains(&Property::CanEnd) {
            for pid in (0..).take(self.universe.scope.crew.len()) {
                if let Some(at) = self.graph.cannot_end(pid) {
                    let first = self.found.entry(Property::CanEnd).or_insert(at);
                    *first = at.min(*first);
                }
            }
        }
    }

    fn trace(&self, property: Property, mut at: u32, starts: &[u32]) -> Trace {
        let mut actions = Vec::new();
        while let Some(Some((parent, action))) = self.parents.get(at as usize) {
            actions.push(*action);
            at = *parent;
        }
        actions.reverse();
        let start = starts.iter().position(|start| *start == at).unwrap_or_default();
        let trace = Trace { start, actions, round: Vec::new() };
        match property {
            Property::NoHotLoop => Trace { round: self.round(&trace).unwrap_or_default(), ..trace },
            _ => trace,
        }
    }

    /// The actions of the loop at the end of a trace.
    fn round(&self, trace: &Trace) -> Option<Vec<Action>> {
        let universe = self.universe;
        let mut world = World::starts(universe).into_iter().nth(trace.start)?;
        for action in &trace.actions {
            world = world.after(universe, *action)?;
        }
        let mut round = Vec::new();
        for to in &self.round {
            let mut actions = Vec::new();
            world.actions(universe, &mut actions);
            let (action, after) = actions.into_iter().find_map(|action| {
                let after = world.after(universe, action)?;
                let known = self.index.get(&fingerprint(&after)) == Some(to);
                (known && !world.is_wake(universe, action)).then_some((action, after))
            })?;
            round.push(action);
            world = after;
        }
        Some(round)
    }
}

/// A bit for each process that has come to an end here, or sleeps until a time that the
/// scope's clock does not reach, or whose world is not looked at any further.
fn ends(universe: &Universe, world: &World) -> u8 {
    let beyond = world.budgets.ticks == 0;
    world.everyone().fold(0, |ends, (pid, process)| {
        let ended = process.life != crate::world::Life::Running
            || world.foul.is_some()
            || (beyond && world.is_asleep(universe, pid));
        ends | (u8::from(ended) << pid.min(7))
    })
}
