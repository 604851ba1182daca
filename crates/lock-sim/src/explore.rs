//! Every state that can be reached, breadth first, with the shortest way to each broken
//! promise; then the promises about ways rather than states, on the whole graph.
//!
//! The search is our own and not stateright's: that one keeps no edges, and both "can still
//! reach an end" and "no loop without a sleep" are about edges. See `docs/decisions`.

use std::collections::BTreeMap;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::graph::{Graph, Kind};
use crate::property::Property;
use crate::scope::Universe;
use crate::world::{Action, Life, Pid, World};

/// Where a search ended.
#[derive(Debug)]
pub struct Explored {
    /// How many states there are; of those that differ in who is who, one is counted.
    pub states: usize,
    /// How many steps lead from one to another.
    pub steps: usize,
    /// What was kept of them all, in bytes; the states still to be looked at come on top.
    pub bytes: usize,
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

struct Search<'a> {
    universe: &'a Universe,
    /// The states by what they are known by.
    index: HashTable<u32>,
    /// What each is known by.
    hashes: Vec<u64>,
    /// The turn that leads each to where it is known.
    turns: Vec<u8>,
    /// From where each was first reached; a start from itself.
    parents: Vec<u32>,
    graph: Graph,
    found: BTreeMap<Property, u32>,
    /// The states of a loop without a sleep, after the one that was found.
    round: Vec<u32>,
}

/// Explores a universe up to so many states.
#[must_use]
pub fn explore(universe: &Universe, limit: usize) -> Explored {
    let mut search = Search {
        universe,
        index: HashTable::new(),
        hashes: Vec::new(),
        turns: Vec::new(),
        parents: Vec::new(),
        graph: Graph::default(),
        found: BTreeMap::new(),
        round: Vec::new(),
    };
    let mut layer = Vec::new();
    for world in World::starts(universe) {
        search.visit(world, None, &mut layer);
    }
    let (depth, complete) = search.run(layer, limit);
    if complete {
        search.judge_ways();
    }
    let found = search.found.iter().filter_map(|(property, at)| {
        let trace = search.trace(*property, *at)?;
        Some((*property, trace))
    });
    Explored {
        states: search.parents.len(),
        steps: search.graph.size(),
        bytes: search.bytes(),
        depth,
        complete,
        found: found.collect(),
    }
}

impl Search<'_> {
    fn bytes(&self) -> usize {
        let vectors = size_of::<u64>() * self.hashes.capacity()
            + self.turns.capacity()
            + size_of::<u32>() * self.parents.capacity();
        self.index.allocation_size() + vectors + self.graph.bytes()
    }

    fn run(&mut self, mut layer: Vec<(u32, World)>, limit: usize) -> (usize, bool) {
        let mut depth = 0;
        let mut actions = Vec::new();
        while !layer.is_empty() {
            let mut next = Vec::new();
            for (at, world) in layer {
                actions.clear();
                world.actions(self.universe, &mut actions);
                self.graph.begin();
                for action in &actions {
                    if let Some(after) = world.after(self.universe, *action) {
                        let kind = Kind::of(*action, world.is_rest(self.universe, *action));
                        let (to, turn) = self.visit(after, Some(at), &mut next);
                        self.graph.step(to, kind, turn);
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

    /// The state's number, and the turn to who is who in the one that stands for it.
    fn visit(
        &mut self,
        world: World,
        from: Option<u32>,
        next: &mut Vec<(u32, World)>,
    ) -> (u32, u8) {
        let Self { index, hashes, turns, universe, .. } = self;
        let known = universe.symmetry.canonical(&world);
        let hash = |at: &u32| hashes.get(*at as usize).copied().unwrap_or_default();
        match index.entry(known.hash, |at| hash(at) == known.hash, hash) {
            Entry::Occupied(place) => {
                let at = *place.get();
                let turn = turns.get(at as usize).copied().unwrap_or_default();
                (at, universe.symmetry.from_to(known.turn, turn))
            }
            Entry::Vacant(place) => {
                let at = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
                place.insert(at);
                hashes.push(known.hash);
                turns.push(known.turn);
                self.parents.push(from.unwrap_or(at));
                self.graph.ends.push(ends(universe, &world));
                if let Some(property) = world.foul {
                    self.found.entry(property).or_insert(at);
                }
                next.push((at, world));
                (at, universe.symmetry.from_to(known.turn, known.turn))
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
        let crew = Pid::try_from(self.universe.scope.crew.len()).unwrap_or(Pid::MAX);
        if wanted.contains(&Property::CanEnd)
            && let Some(at) = self.graph.cannot_end(&self.universe.symmetry, crew)
        {
            let first = self.found.entry(Property::CanEnd).or_insert(at);
            *first = at.min(*first);
        }
    }

    fn trace(&self, property: Property, at: u32) -> Option<Trace> {
        let mut way = vec![at];
        let mut at = at;
        loop {
            let parent = *self.parents.get(at as usize)?;
            if parent == at {
                break;
            }
            way.push(parent);
            at = parent;
        }
        way.reverse();
        let starts = World::starts(self.universe).into_iter().enumerate();
        let hash = *self.hashes.get(at as usize)?;
        let known = |world: &World| self.universe.symmetry.canonical(world).hash == hash;
        let (start, mut world) = { starts }.find(|(_, world)| known(world))?;
        let actions = self.follow(&mut world, way.get(1..)?, |_, _| true)?;
        let round = match property {
            Property::NoHotLoop => {
                let works = |world: &World, action: Action| !world.is_rest(self.universe, action);
                self.follow(&mut world, &self.round, works)?
            }
            _ => Vec::new(),
        };
        Some(Trace { start, actions, round })
    }

    /// The actions that lead from a state through those with these numbers.
    fn follow(
        &self,
        world: &mut World,
        way: &[u32],
        may: impl Fn(&World, Action) -> bool,
    ) -> Option<Vec<Action>> {
        let mut made = Vec::new();
        for to in way {
            let hash = *self.hashes.get(*to as usize)?;
            let mut actions = Vec::new();
            world.actions(self.universe, &mut actions);
            let (action, after) = actions.into_iter().find_map(|action| {
                let after = world.after(self.universe, action)?;
                let there = self.universe.symmetry.canonical(&after).hash == hash;
                (there && may(world, action)).then_some((action, after))
            })?;
            made.push(action);
            *world = after;
        }
        Some(made)
    }
}

/// A bit for each process that has come to an end here, or sleeps until a time that the
/// scope's clock does not reach, or whose world is not looked at any further.
fn ends(universe: &Universe, world: &World) -> u8 {
    let beyond = world.budgets.ticks == 0;
    world.everyone().fold(0, |ends, (pid, process)| {
        let ended = process.life != Life::Running
            || world.foul.is_some()
            || (beyond && world.is_asleep(universe, pid));
        ends | (u8::from(ended) << pid.min(7))
    })
}
