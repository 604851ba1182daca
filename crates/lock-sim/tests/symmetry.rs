//! To let one state stand for those that differ in who is who loses nothing.

#![expect(clippy::expect_used, reason = "the helpers of tests may fail like tests")]

use std::collections::{BTreeMap, HashSet, VecDeque};

use lock_sim::explore::explore;
use lock_sim::property::Property;
use lock_sim::scope::{Member, Scope, Universe};
use lock_sim::suite::cases;
use lock_sim::world::{Plan, World};

/// More than any of these scopes has.
const LIMIT: usize = 200_000;

fn scope(title: &str) -> Scope {
    let case = cases().into_iter().find(|case| case.title() == title);
    case.expect("because the suite has this row").scope
}

fn universe(scope: Scope) -> Universe {
    Universe::new(scope).expect("because the suite's settings fit together")
}

/// Small ones: 2 who own, with a crash, and with one whose work goes on after it; 2 and 3 who evict, with time passing.
fn scopes() -> Vec<Scope> {
    let mut two = scope("ours: 2, coming back twice");
    two.budgets.returns = 0;
    let mut crashing = two.clone();
    crashing.budgets.crashes = 1;
    let orphaning = scope("ours: 2, 1 killed while its work goes on");
    let evicters = |size| vec![Member::Ours(Plan::Evict(None)); size];
    let mut late = Scope { crew: evicters(2), ..two.clone() };
    late.budgets.ticks = 1;
    let three = Scope { crew: evicters(3), ..two.clone() };
    vec![two, crashing, orphaning, late, three]
}

/// Every state of the whole world, by what it is known by in the reduced one.
fn classes(whole: &Universe, reduced: &Universe) -> (usize, usize) {
    let plain = |world: &World| whole.symmetry.canonical(world).hash;
    let mut known = HashSet::new();
    let mut classes = HashSet::new();
    let mut queue = VecDeque::from(World::starts(whole));
    known.extend(queue.iter().map(plain));
    while let Some(world) = queue.pop_front() {
        classes.insert(reduced.symmetry.canonical(&world).hash);
        let mut actions = Vec::new();
        world.actions(whole, &mut actions);
        let next = actions.into_iter().filter_map(|action| world.after(whole, action));
        queue.extend(next.filter(|world| known.insert(plain(world))));
    }
    (known.len(), classes.len())
}

#[test]
fn each_class_of_states_is_explored_exactly_once() {
    let mut table = String::new();
    for scope in scopes() {
        let reduced = universe(scope.clone());
        let whole = universe(Scope { symmetric: false, ..scope.clone() });
        let (states, classes) = classes(&whole, &reduced);
        assert_eq!(explore(&whole, LIMIT).states, states, "{scope:?}");
        assert_eq!(explore(&reduced, LIMIT).states, classes, "{scope:?}");
        let most = reduced.symmetry.size();
        assert!(classes < states && states <= classes * most, "{states} in {classes} classes");
        table += &format!("{} alike: {states} states, {classes} explored\n", scope.crew.len());
    }
    insta::assert_snapshot!(table);
}

/// What breaks, and after how many steps.
fn found(scope: &Scope, symmetric: bool) -> BTreeMap<Property, usize> {
    let explored = explore(&universe(Scope { symmetric, ..scope.clone() }), LIMIT);
    let lengths = explored.found.into_iter();
    lengths.map(|(property, trace)| (property, trace.actions.len())).collect()
}

/// The control subjects break the same promises by ways of the same length; ours break none.
#[test]
fn the_verdicts_are_the_same_with_and_without() {
    let broken = cases().into_iter().filter(|case| case.subject != "ours").map(|case| case.scope);
    let alike = |scope: &Scope| universe(scope.clone()).symmetry.size() > 1;
    for scope in broken.chain(scopes()).filter(alike) {
        assert_eq!(found(&scope, true), found(&scope, false), "{scope:?}");
    }
}
