//! After the storm: everyone goes on in turn, until all have come to an end.

use super::dice::Dice;
use super::weather;
use crate::property::Property;
use crate::scope::Universe;
use crate::world::{Action, World};

/// How long a world may take to come to rest. A release wakes every waiter, so that grows
/// with the square of the crowd.
const fn patience(crowd: usize) -> usize {
    60_000 + 300 * crowd * crowd
}

/// What becomes of a world when nothing more befalls it. The same world comes to rest in
/// the same way, so that a trace which has lost steps can be asked whether it still does.
pub(super) fn calm(universe: &Universe, mut world: World) -> (World, Vec<Action>) {
    let mut dice = Dice::new(0);
    let mut made = Vec::new();
    while world.foul.is_none() && !world.is_over() {
        let action = weather::work(universe, &world, &mut dice);
        let after = world.after(universe, action);
        match after.filter(|_| made.len() < patience(universe.scope.crew.len())) {
            Some(after) => {
                made.push(action);
                world = after;
            }
            None => world.foul = Some(Property::CanEnd),
        }
    }
    (world, made)
}
