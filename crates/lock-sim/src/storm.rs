//! Random walks through worlds too large to be explored: many contenders, every kind of
//! misfortune. One seed gives one run, step by step; a run that breaks a promise shrinks.

mod dice;
mod shrink;

use lock_core::policy::PolicyError;

use crate::explore::Trace;
use crate::leftover::Leftover;
use crate::property::Property;
use crate::scope::{Budgets, Member, Rules, Scope, Universe};
use crate::words::tell;
use crate::world::{Abilities, Action, Deed, Life, Plan, World};
use dice::Dice;

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
    /// The first promise broken: its seed, and the shrunk way to it in words.
    pub broken: Option<(u64, Property, String)>,
}

/// How long a world is stormy.
const STORMY: u64 = 4_000;

/// How long it may then take to come to rest. A release wakes every waiter, so that grows
/// with the square of the crowd.
const fn calm_after(crowd: u64) -> u64 {
    60_000 + 300 * crowd * crowd
}

/// Storms from `seed` on, one world for each number, for about so many steps.
///
/// # Errors
///
/// When a scope's settings do not fit together.
pub fn storm(seed: u64, steps: u64) -> Result<Storm, PolicyError> {
    let mut storm = Storm::default();
    while storm.steps < steps && storm.broken.is_none() {
        let seed = seed.wrapping_add(storm.worlds);
        storm.worlds += 1;
        blow(seed, &mut storm)?;
    }
    Ok(storm)
}

/// One world.
fn blow(seed: u64, storm: &mut Storm) -> Result<(), PolicyError> {
    let mut dice = Dice::new(seed);
    let universe = Universe::new(scope(&mut dice))?;
    let Some(mut world) = World::starts(&universe).into_iter().next() else {
        return Ok(());
    };
    let mut trace = Trace { start: 0, actions: Vec::new(), round: Vec::new() };
    let before = world.generation;
    let calm = dice.one_of(&HARM_ONCE_IN, 60);
    while world.foul.is_none() && !world.is_over() {
        let made = trace.actions.len() as u64;
        if made > STORMY + calm_after(world.processes.len() as u64) {
            world.foul = Some(Property::CanEnd);
            break;
        }
        let Some(action) = choose(&universe, &world, &mut dice, (made < STORMY).then_some(calm))
        else {
            world.foul = Some(Property::CanEnd);
            break;
        };
        // A misfortune may have nobody to befall.
        let Some(after) = world.after(&universe, action) else {
            continue;
        };
        trace.actions.push(action);
        storm.crashes += u64::from(matches!(action, Action::Crash(_)));
        world = after;
    }
    storm.steps += trace.actions.len() as u64;
    storm.ownerships += world.generation - before;
    if let Some(property) = world.foul {
        let shortest = shrink::shrink(&universe, trace, property);
        storm.broken = Some((seed, property, tell(&universe, &shortest)));
    }
    Ok(())
}

/// A step of someone who can make one; in a storm now and then a misfortune. Time passes
/// when nobody can do anything else, and in a storm at any time.
fn choose(
    universe: &Universe,
    world: &World,
    dice: &mut Dice,
    harm_once_in: Option<usize>,
) -> Option<Action> {
    if harm_once_in.is_some_and(|times| dice.once_in(times)) {
        return Some(harm(world, dice));
    }
    let crew = world.processes.len();
    let first = dice.below(crew);
    for turn in 0..crew {
        let pid = u8::try_from((first + turn) % crew).ok()?;
        let mut actions = Vec::new();
        world.actions_for(universe, pid, &mut actions);
        actions.retain(|action| is_work(*action));
        if let Some(action) = actions.get(dice.below(actions.len())) {
            return Some(*action);
        }
    }
    let pid = u8::try_from(first).ok()?;
    if world.budgets.ticks == 0 || !dice.once_in(crew * 8) {
        let crew = (0..crew).filter_map(|turn| u8::try_from((first + turn) % crew).ok());
        let mut naps = crew.filter(|pid| world.naps(universe, *pid));
        if let Some(pid) = naps.next() {
            return Some(Action::Wake(pid));
        }
    }
    (world.budgets.ticks > 0).then_some(Action::Tick).or(Some(Action::Wake(pid)))
}

/// How rare misfortunes are: each world has one of these rates.
const HARM_ONCE_IN: [usize; 4] = [20, 60, 300, 2_000];

const fn is_work(action: Action) -> bool {
    matches!(action, Action::Step(_) | Action::Deed(..) | Action::Unlock(_))
}

fn harm(world: &World, dice: &mut Dice) -> Action {
    let pid = u8::try_from(dice.below(world.processes.len())).unwrap_or_default();
    let running = world.process(pid).is_some_and(|process| process.life == Life::Running);
    match dice.below(16) {
        0..=2 if running => Action::Crash(pid),
        3 if running => Action::Fault(pid),
        4 => Action::Cancel(pid),
        5 => Action::SetWall(dice.below(2) == 0),
        6..=12 if world.can_return(pid) => Action::Return(pid),
        13 if running => Action::Deed(pid, Deed::Release),
        _ => Action::Tick,
    }
}

fn scope(dice: &mut Dice) -> Scope {
    // As many small crowds as large ones.
    let most = 1 << dice.below(7);
    let size = 2 + dice.below(most).min(62);
    let all = Leftover::all();
    let leftover = dice.one_of(&all, Leftover::clean());
    let linked = Abilities { anonymous: false, ..Abilities::ALL };
    let separate = Abilities { links: false, ..linked };
    let abilities = [Abilities::ALL, Abilities::ALL, Abilities::ALL, linked, separate];
    let abilities = dice.one_of(&abilities, Abilities::ALL);
    Scope {
        name: format!("storm of {size}"),
        crew: (0..size).map(|_| member(dice)).collect(),
        leftovers: vec![leftover],
        budgets: Budgets {
            crashes: 200,
            ticks: 240,
            cancels: 200,
            faults: u8::from(dice.once_in(4)) * 20,
            wall_steps: 3,
            returns: 200,
        },
        abilities,
        rules: Rules {
            stale_after: 1 + u8::try_from(dice.below(3)).unwrap_or_default(),
            max_wait: 1 + u8::try_from(dice.below(6)).unwrap_or_default(),
            ..Rules::default()
        },
        merged: false,
        torn: true,
        properties: Property::ALL.to_vec(),
    }
}

fn member(dice: &mut Dice) -> Member {
    if dice.once_in(20) {
        return Member::Ours(Plan::Evict);
    }
    let renewals = u8::try_from(dice.below(3)).unwrap_or_default();
    let steps = u8::try_from(dice.below(3)).unwrap_or_default();
    Member::Ours(Plan::Own { renewals, steps })
}
