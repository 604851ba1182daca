//! The same world for stateright: its checker as a second opinion, its explorer to walk
//! through a world by hand.

use std::io;
use std::net::TcpListener;

use stateright::{Checker, Model, Property as Promise};

use crate::picture::picture;
use crate::property::Property;
use crate::scope::Universe;
use crate::words::{choice, line};
use crate::world::{Action, World};

impl Model for Universe {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        World::starts(self)
    }

    fn actions(&self, state: &World, actions: &mut Vec<Action>) {
        state.actions(self, actions);
    }

    fn next_state(&self, state: &World, action: Action) -> Option<World> {
        state.after(self, action)
    }

    fn format_action(&self, action: &Action) -> String {
        choice(*action)
    }

    fn format_step(&self, state: &World, action: Action) -> Option<String> {
        let after = state.after(self, action)?;
        Some(format!("{}\n\n{}", line(self, state, action), picture(self, &after)))
    }

    fn properties(&self) -> Vec<Promise<Self>> {
        let all = PROMISES.iter().zip(Property::ALL);
        let wanted = all.filter(|(_, property)| self.scope.properties.contains(property));
        wanted.map(|(holds, property)| Promise::always(property.name(), *holds)).collect()
    }
}

/// One function for each promise that a single state can break, in the order of
/// [`Property::ALL`].
const PROMISES: [fn(&Universe, &World) -> bool; 16] = [
    holds::<0>,
    holds::<1>,
    holds::<2>,
    holds::<3>,
    holds::<4>,
    holds::<5>,
    holds::<6>,
    holds::<7>,
    holds::<8>,
    holds::<9>,
    holds::<10>,
    holds::<11>,
    holds::<12>,
    holds::<13>,
    holds::<14>,
    holds::<15>,
];

fn holds<const PLACE: usize>(_: &Universe, world: &World) -> bool {
    let property = Property::ALL.get(PLACE).copied();
    world.foul.is_none() || world.foul != property
}

/// What stateright's breadth-first search makes of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// How many states there are.
    pub states: usize,
    /// The promises that a state breaks, in the order of the report.
    pub broken: Vec<Property>,
}

/// Asks stateright. It knows nothing of mirror images, and judges states alone.
#[must_use]
pub fn second_opinion(universe: Universe) -> Opinion {
    let checker = universe.checker().spawn_bfs().join();
    let found = checker.discoveries();
    let broken = Property::ALL.into_iter().filter(|property| found.contains_key(property.name()));
    Opinion { states: checker.unique_state_count(), broken: broken.collect() }
}

/// Whether the explorer could listen there; it does not say so itself, it panics.
///
/// # Errors
///
/// The system's reason why not.
pub fn can_listen(address: &str) -> io::Result<()> {
    TcpListener::bind(address).map(drop)
}

/// Serves stateright's explorer; does not return.
pub fn serve(universe: Universe, address: &str) {
    universe.checker().serve(address);
}
