//! Stateright's checker, which shares no line with our search, says the same of the same
//! worlds.

#![expect(clippy::expect_used, reason = "the helpers of tests may fail like tests")]

use lock_sim::explore::explore;
use lock_sim::model::{Opinion, second_opinion};
use lock_sim::property::Property;
use lock_sim::scope::{Scope, Universe};
use lock_sim::suite::{Case, cases};

fn opinions(case: &Case) -> [Opinion; 2] {
    let scope = Scope { symmetric: false, ..case.scope.clone() };
    let universe = || Universe::new(scope.clone()).expect("because the suite's settings fit");
    let explored = explore(&universe(), usize::MAX);
    // Of what is broken ours goes on to look for the rest, as stateright does.
    let ours = Opinion { states: explored.states, broken: explored.found.into_keys().collect() };
    [ours, second_opinion(universe())]
}

#[test]
fn both_find_as_many_states_where_nothing_breaks() {
    let mut case = cases().into_iter().find(|case| case.title() == "ours: 2, 1 pause, 1 crash");
    if let Some(case) = &mut case {
        case.scope.budgets.ticks = 0;
    }
    let [ours, theirs] = opinions(&case.expect("because the suite has this row"));
    assert_eq!(ours, theirs);
    assert_eq!(ours.broken, []);
}

#[test]
fn both_find_the_same_promise_broken() {
    let by_state = |case: &Case| !case.scope.properties.contains(&Property::NoHotLoop);
    for case in cases().iter().filter(|case| case.subject != "ours").filter(|case| by_state(case)) {
        let [ours, theirs] = opinions(case);
        assert_eq!(ours.broken, theirs.broken, "{}", case.title());
        assert_eq!(ours.broken.len(), 1, "{}", case.title());
    }
}
