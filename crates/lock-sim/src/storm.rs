//! Random walks through worlds too large to be explored: many contenders, every kind of
//! misfortune. One seed gives one run, step by step; a run that breaks a promise shrinks.
//!
//! A world is stormy first. Then no more misfortunes befall it, and it must come to rest.

mod calm;
mod dice;
mod shrink;
mod weather;

use std::fmt;

use lock_core::policy::PolicyError;

use crate::explore::Trace;
use crate::property::Property;
use crate::scope::Universe;
use crate::words::tell;
use crate::world::{Action, Flock, World};
use calm::calm;
use dice::Dice;
use shrink::shrink;

/// What came of a storm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storm {
    /// How many worlds it went through.
    pub worlds: u64,
    /// How many steps were made in all.
    pub steps: u64,
    /// How many contenders were killed.
    pub crashes: u64,
    /// How many takeovers and first ownerships there were.
    pub ownerships: u64,
    /// The first promise broken.
    pub broken: Option<Broken>,
}

/// A promise broken in a storm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The seed that makes the very same run.
    pub seed: u64,
    /// Which promise.
    pub property: Property,
    /// Who took part.
    pub scope: String,
    /// After how many steps it was found.
    pub found_after: usize,
    /// How many of them are needed.
    pub steps: usize,
    /// Those, in words.
    pub story: String,
}

/// How long a world is stormy.
const STORMY: usize = 4_000;

/// Storms from `seed` on, one world for each number, for about so many steps.
///
/// # Errors
///
/// When a scope's settings do not fit together.
pub fn storm(seed: u64, steps: u64, flock: Flock) -> Result<Storm, PolicyError> {
    let mut storm = Storm::default();
    while storm.steps < steps && storm.broken.is_none() {
        let seed = seed.wrapping_add(storm.worlds);
        storm.worlds += 1;
        blow(seed, flock, &mut storm)?;
    }
    Ok(storm)
}

/// One world.
fn blow(seed: u64, flock: Flock, storm: &mut Storm) -> Result<(), PolicyError> {
    let mut dice = Dice::new(seed);
    let universe = Universe::new(weather::scope(&mut dice, flock))?;
    let Some(mut world) = World::starts(&universe).into_iter().next() else {
        return Ok(());
    };
    let before = world.generation;
    let rate = dice.one_of(&HARM_ONCE_IN, 60);
    let mut stormy = Vec::new();
    while stormy.len() < STORMY && world.foul.is_none() && !world.is_over() {
        let action = match dice.once_in(rate) {
            true => weather::harm(&world, &mut dice),
            false => weather::work(&universe, &world, &mut dice),
        };
        // A misfortune may have nobody to befall.
        let Some(after) = world.after(&universe, action) else {
            continue;
        };
        stormy.push(action);
        storm.crashes += u64::from(matches!(action, Action::Crash(_)));
        world = after;
    }
    let (world, calmed) = calm(&universe, world);
    storm.steps += (stormy.len() + calmed.len()) as u64;
    storm.ownerships += world.generation - before;
    storm.broken = world.foul.map(|property| {
        let found_after = stormy.len() + calmed.len();
        let actions = [stormy, calmed].concat();
        let trace = Trace { start: 0, actions, round: Vec::new() };
        let shortest = shrink(&universe, trace, property);
        let steps = shortest.actions.len();
        let (scope, story) = (universe.scope.name.clone(), tell(&universe, &shortest));
        Broken { seed, property, scope, found_after, steps, story }
    });
    Ok(())
}

/// How rare misfortunes are: each world has one of these rates.
const HARM_ONCE_IN: [usize; 4] = [20, 60, 300, 2_000];

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, property, scope, found_after, steps, story } = self;
        writeln!(f, "BROKEN in a {scope}: {property}")?;
        writeln!(f, "found after {found_after} steps, of which these {steps} are enough")?;
        writeln!(f, "the same run again: cargo xtask simulate --seed {seed}\n")?;
        f.write_str(story)
    }
}
