//! What a storm brings.

use lock_core::policy::OnTimeout;

use super::dice::Dice;
use crate::leftover::Leftover;
use crate::property::Property;
use crate::scope::{Budgets, Member, Rules, Scope, Universe};
use crate::world::{Abilities, Action, Deed, Flock, Life, Plan, Refusal, World};

/// A world to storm through: as many small crowds as large ones.
pub(super) fn scope(dice: &mut Dice, flock: Flock) -> Scope {
    let most = 1 << dice.below(7);
    let size = 2 + dice.below(most).min(62);
    let leftover = dice.one_of(&Leftover::all(), Leftover::clean());
    let all = Abilities { locks: flock, ..Abilities::ALL };
    let linked = Abilities { anonymous: false, ..all };
    let separate = Abilities { links: false, ..linked };
    let wait_limit = dice.one_of(&[None, Some(1), Some(3), Some(9)], None);
    let ends_owners = wait_limit.is_some() && dice.once_in(2);
    Scope {
        name: format!("storm of {size}"),
        crew: (0..size).map(|_| member(dice)).collect(),
        leftovers: vec![leftover],
        settled: 0,
        budgets: Budgets {
            crashes: 200,
            orphans: 100,
            suspends: 3,
            ticks: 240,
            cancels: 200,
            faults: u8::from(dice.once_in(4)) * 20,
            wall_steps: 3,
            hands: u8::from(dice.once_in(4)) * 20,
            robberies: 0,
            returns: 200,
        },
        abilities: dice.one_of(&[all, all, all, linked, separate], all),
        rules: Rules {
            stale_after: 1 + u8::try_from(dice.below(3)).unwrap_or_default(),
            hang_after: 1 + u8::try_from(dice.below(6)).unwrap_or_default(),
            quiet: u8::try_from(dice.below(3)).unwrap_or_default(),
            wait_limit,
            on_timeout: if ends_owners { OnTimeout::Stop } else { OnTimeout::Fail },
            ..Rules::default()
        },
        merged: false,
        symmetric: false,
        torn: true,
        restless: false,
        skewed: dice.once_in(2),
        offset: dice.once_in(2),
        threads: u8::try_from(dice.below(size)).unwrap_or_default() * u8::from(dice.once_in(4)),
        hasty: None,
        properties: Property::ALL.to_vec(),
    }
}

fn member(dice: &mut Dice) -> Member {
    if dice.once_in(20) {
        return Member::Ours(Plan::Evict(dice.one_of(&[None, Some(6), Some(8), Some(12)], None)));
    }
    let renewals = u8::try_from(dice.below(3)).unwrap_or_default();
    let steps = u8::try_from(dice.below(3)).unwrap_or_default();
    let (preemptible, shares) = (dice.once_in(2), dice.once_in(2));
    Member::Ours(Plan::Own { renewals, steps, preemptible, shares })
}

/// A step of someone who can make one. When nobody can, a nap ends or time passes.
pub(super) fn work(universe: &Universe, world: &World, dice: &mut Dice) -> Action {
    let crew = world.processes.len();
    let first = dice.below(crew);
    let turns = (0..crew).filter_map(|turn| u8::try_from((first + turn) % crew).ok());
    let mut actions = Vec::new();
    for pid in turns.clone() {
        actions.clear();
        world.actions_for(universe, pid, &mut actions);
        actions.retain(|action| is_work(*action));
        if let Some(action) = actions.get(dice.below(actions.len())) {
            return *action;
        }
    }
    let napper = turns.clone().find(|pid| world.naps(universe, *pid));
    let wakes = world.budgets.ticks == 0 || !dice.once_in(crew * 8);
    napper.filter(|_| wakes).map_or(Action::Tick, Action::Wake)
}

const fn is_work(action: Action) -> bool {
    matches!(action, Action::Step(_) | Action::Deed(..) | Action::WorkEnds(_) | Action::Unlock(_))
}

/// A misfortune, or one who comes again.
pub(super) fn harm(world: &World, dice: &mut Dice) -> Action {
    let pid = u8::try_from(dice.below(world.processes.len())).unwrap_or_default();
    let running = world.process(pid).is_some_and(|process| process.life == Life::Running);
    match dice.below(18) {
        0..=2 if running => Action::Crash(pid),
        3 if running => {
            Action::Fault(pid, dice.one_of(&[Refusal::Whole, Refusal::Half], Refusal::Whole))
        }
        4 => Action::Cancel(pid),
        5 => Action::SetWall(dice.one_of(&[Some(pid), None], None), dice.below(2) == 0),
        6..=12 if world.can_return(pid) => Action::Return(pid),
        13 if running => Action::Deed(pid, Deed::Release),
        16 if running => Action::Orphan(pid),
        15 if running => Action::Outlive(pid),
        17 => Action::Suspend,
        14 => {
            let hands: Vec<_> = world.hands().map(Action::Hand).collect();
            dice.one_of(&hands, Action::Tick)
        }
        _ => Action::Tick,
    }
}
