//! Contenders with the same plan are interchangeable.
//!
//! Nothing in the world or in the machines depends on which of them does something: they
//! differ in their process id, token and place alone, and those are only ever compared with
//! each other. So of two states that change into one another when such contenders change
//! places, one is enough. A state is known by the least of the hashes that it has under
//! every turn; the state that was found first stands for the others.
//!
//! A way through such representatives is a way through the world, because each was made
//! from the one before it. What is said of *one* contender along an edge must follow it to
//! the place that it has in the representative: so edges carry a turn.

use crate::scope::Scope;
use crate::sketch::{MOST, Turn, turned};
use crate::world::{Pid, World};

/// More turns than this cost more than they spare.
const MOST_TURNS: usize = 24;

/// Every turn that leads from a possible state to a possible state.
#[derive(Clone, Debug)]
pub struct Symmetry {
    turns: Vec<Box<Turn>>,
    /// Which turn undoes the one, then does the other.
    from_to: Vec<u8>,
}

/// A state's hash whoever of the interchangeable is who, and the turn that leads there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Canonical {
    /// The least hash.
    pub hash: u64,
    /// Of which turn it is.
    pub turn: u8,
}

impl Symmetry {
    /// What a scope allows. Threads of one process are left as they are: they share an id.
    #[must_use]
    pub fn of(scope: &Scope) -> Self {
        let alike = |a: usize, b: usize| {
            let apart = |place: usize| place >= usize::from(scope.threads);
            apart(a) && apart(b) && scope.crew.get(a) == scope.crew.get(b)
        };
        let size = scope.crew.len().min(MOST.into());
        let mut turns = match scope.symmetric {
            true => turns(size, &alike),
            false => Vec::new(),
        };
        if turns.is_empty() || turns.len() > MOST_TURNS {
            turns = vec![(0..).take(size).collect()];
        }
        let from_to = from_to(&turns);
        Self { turns, from_to }
    }

    /// How many turns there are.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.turns.len()
    }

    /// What a state is known by.
    #[must_use]
    pub fn canonical(&self, world: &World) -> Canonical {
        let hashes = world.hashes(self.turns.iter().map(|turn| &**turn));
        let all = (0..).zip(hashes).map(|(turn, hash)| Canonical { hash, turn });
        all.min().unwrap_or(Canonical { hash: 0, turn: 0 })
    }

    /// The turn from a state with this turn to an equal state with that one.
    #[must_use]
    pub fn from_to(&self, from: u8, to: u8) -> u8 {
        let at = usize::from(to) * self.turns.len() + usize::from(from);
        self.from_to.get(at).copied().unwrap_or_default()
    }

    /// For a bit for each contender as they are after a turn, the bits as they were before.
    #[must_use]
    pub fn undo(&self, turn: u8, bits: u8) -> u8 {
        let Some(turn) = self.turns.get(usize::from(turn)) else {
            return bits;
        };
        (0..).zip(turn).fold(0, |undone, (pid, to)| undone | ((bits >> to) & 1) << pid)
    }
}

/// All orders of the places in which each stands where one alike stood.
fn turns(size: usize, alike: &dyn Fn(usize, usize) -> bool) -> Vec<Box<Turn>> {
    let mut all = vec![Vec::new()];
    for place in 0..size {
        all = all
            .into_iter()
            .flat_map(|begun: Vec<usize>| {
                let free = (0..size).filter(|other| !begun.contains(other)).collect::<Vec<_>>();
                let fits = free.into_iter().filter(|other| *other == place || alike(place, *other));
                fits.map(|other| begun.iter().copied().chain([other]).collect()).collect::<Vec<_>>()
            })
            .take(MOST_TURNS + 1)
            .collect();
    }
    let pids = |turn: Vec<usize>| turn.into_iter().filter_map(|to| Pid::try_from(to).ok());
    all.into_iter().map(|turn| pids(turn).collect()).collect()
}

fn from_to(turns: &[Box<Turn>]) -> Vec<u8> {
    let mut table = Vec::new();
    for to in turns {
        for from in turns {
            // In canonical order both states are one: `from` leads there, `to` back again.
            let led = from.iter().map(|pid| place_of(to, *pid)).collect::<Vec<_>>();
            let at = turns.iter().position(|turn| turn[..] == led[..]);
            table.push(at.and_then(|at| u8::try_from(at).ok()).unwrap_or_default());
        }
    }
    table
}

/// Who goes to this place.
fn place_of(turn: &Turn, place: Pid) -> Pid {
    (0..MOST).find(|pid| turned(turn, *pid) == place).unwrap_or(place)
}
