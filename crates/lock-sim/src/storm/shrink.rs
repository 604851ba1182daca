//! Makes a trace shorter while it still breaks the same promise.

use super::calm::calm;
use crate::explore::Trace;
use crate::property::Property;
use crate::scope::Universe;
use crate::world::{Action, World};

/// Leaves out one contender after the other, then ever smaller pieces down to single steps,
/// and all of that again, until nothing can be left out. Steps that are not possible any
/// more without the others fall away by themselves.
pub(super) fn shrink(universe: &Universe, trace: Trace, property: Property) -> Trace {
    let mut shorter = Shorter { universe, start: trace.start, property, patience: PATIENCE };
    let mut best = trace.actions.clone();
    loop {
        let before = best.len();
        for (pid, _) in (0..).zip(&universe.scope.crew) {
            let others = best.iter().filter(|action| action.befalls() != Some(pid));
            best = shorter.of(others.copied().collect(), best);
        }
        let mut piece = best.len();
        while piece > 0 {
            let mut at = 0;
            while at < best.len() {
                let length = best.len();
                let end = (at + piece).min(length);
                let rest = best.iter().take(at).chain(best.iter().skip(end));
                best = shorter.of(rest.copied().collect(), best);
                at += if best.len() == length { piece } else { 0 };
            }
            piece /= 2;
        }
        if best.len() == before {
            return Trace { actions: best, ..trace };
        }
    }
}

struct Shorter<'a> {
    universe: &'a Universe,
    start: usize,
    property: Property,
    /// How many more steps may be replayed.
    patience: usize,
}

impl Shorter<'_> {
    /// What is left of these steps, if it breaks the promise; else the old ones.
    fn of(&mut self, steps: Vec<Action>, old: Vec<Action>) -> Vec<Action> {
        if self.patience == 0 || steps.len() == old.len() {
            return old;
        }
        let (made, cost) = replay(self.universe, self.start, &steps, self.property);
        self.patience = self.patience.saturating_sub(cost);
        made.filter(|made| made.len() < old.len()).unwrap_or(old)
    }
}

/// How many steps may be replayed in all.
const PATIENCE: usize = 50_000_000;

/// The steps that were possible up to the broken promise, if it breaks; and how many steps
/// it took to find out. That everyone can come to an end is broken by what a world does
/// after these steps, the rest by one of them.
fn replay(
    universe: &Universe,
    start: usize,
    actions: &[Action],
    property: Property,
) -> (Option<Vec<Action>>, usize) {
    let Some(mut world) = World::starts(universe).into_iter().nth(start) else {
        return (None, 1);
    };
    let mut made = Vec::new();
    for action in actions {
        if let Some(after) = world.after(universe, *action) {
            made.push(*action);
            world = after;
        }
        if world.foul.is_some() {
            break;
        }
    }
    let mut cost = made.len() + 1;
    if property == Property::CanEnd && world.foul.is_none() {
        let calmed;
        (world, calmed) = calm(universe, world);
        cost += calmed.len();
    }
    ((world.foul == Some(property)).then_some(made), cost)
}

#[cfg(test)]
mod tests {
    use lock_core::effect::Name;

    use super::*;
    use crate::scope::Scope;
    use crate::suite::cases;
    use crate::world::Hand;

    fn walk(universe: &Universe, steps: usize) -> Vec<Action> {
        let mut world = World::starts(universe).into_iter().next().expect("because it starts");
        let mut made = Vec::new();
        for turn in 0..steps {
            let mut actions = Vec::new();
            world.actions(universe, &mut actions);
            actions.retain(|action| matches!(action, Action::Step(_)));
            let Some(action) = actions.get(turn % actions.len().max(1)) else {
                break;
            };
            world = world.after(universe, *action).expect("because it is possible");
            made.push(*action);
        }
        made
    }

    /// Time stands still, so a guard that nobody holds never grows old.
    #[test]
    fn what_keeps_a_world_from_coming_to_rest_is_all_that_is_left() {
        let case = cases().into_iter().find(|case| case.scope.budgets.hands > 0);
        let scope = case.expect("because hands are explored").scope;
        let universe = Universe::new(Scope { merged: false, symmetric: false, ..scope });
        let universe = universe.expect("because the suite's settings fit together");
        let hand = Action::Hand(Hand::Make(Name::Mutex));
        let mut actions = walk(&universe, 6);
        actions.push(hand);
        let trace = Trace { start: 0, actions, round: Vec::new() };
        assert_eq!(shrink(&universe, trace, Property::CanEnd).actions, [hand]);
    }
}
