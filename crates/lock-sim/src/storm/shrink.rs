//! Makes a trace shorter while it still breaks the same promise.

use crate::explore::Trace;
use crate::property::Property;
use crate::scope::Universe;
use crate::world::{Action, World};

/// Leaves out ever smaller pieces, down to single steps, until nothing can be left out.
/// Steps that are not possible any more without the others fall away by themselves.
pub(super) fn shrink(universe: &Universe, trace: Trace, property: Property) -> Trace {
    let mut best = trace.actions.clone();
    let mut patience = PATIENCE;
    let mut piece = best.len() / 2;
    while piece > 0 && property != Property::CanEnd {
        let mut at = 0;
        while at < best.len() && patience > 0 {
            patience = patience.saturating_sub(best.len());
            let end = (at + piece).min(best.len());
            let rest = best.iter().take(at).chain(best.iter().skip(end));
            match replay(universe, trace.start, rest.copied(), property) {
                Some(shorter) if shorter.len() < best.len() => best = shorter,
                _ => at += piece,
            }
        }
        piece /= 2;
    }
    Trace { actions: best, ..trace }
}

/// How many steps may be replayed in all.
const PATIENCE: usize = 50_000_000;

/// The steps that were possible up to the broken promise, if it breaks.
fn replay(
    universe: &Universe,
    start: usize,
    actions: impl Iterator<Item = Action>,
    property: Property,
) -> Option<Vec<Action>> {
    let mut world = World::starts(universe).into_iter().nth(start)?;
    let mut made = Vec::new();
    for action in actions {
        if let Some(after) = world.after(universe, action) {
            made.push(action);
            world = after;
        }
        if world.foul.is_some() {
            return (world.foul == Some(property)).then_some(made);
        }
    }
    None
}
