//! First come, first served, by real processes: in a crowd, and when one in the line stops or
//! dies.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::kit::{Child, Crew, PATIENCE, Scene, assert_at_once};

/// So many, and so often.
const CROWD: usize = 8;
const ROUNDS: usize = 10;
const LOOPS: usize = 20;

/// Nobody is passed over for being slow, on a machine as loaded as may be.
const UNHURRIED: [&str; 2] = ["--poll", "20000"];

/// How one became owner.
#[derive(Debug)]
struct Turn {
    /// When it began to look whether anybody waits, for the last time before it had a number if it
    /// had one: the instant before.
    looked: u64,
    /// When it had a number: the next thing that it did.
    numbered: Option<u64>,
    /// It was served in this order.
    generation: u64,
}

/// Whoever has a number before another begins to look is served first.
#[test]
fn serial_nobody_is_overtaken_by_one_who_came_later() {
    let scene = Scene::new();
    let mut crew = Crew::contenders(CROWD, &scene.arena, &UNHURRIED);
    crew.all("trace", "the first call");
    for round in 0..ROUNDS {
        crew.cycle(100, &format!("round {round}"));
    }
    crew.all(&format!("cycles {LOOPS} 200"), "loops");
    let work = scene.assert_no_overlap("a crowd");
    let mut served: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for work in work {
        served.entry(work.pid).or_default().push(work.generation);
    }
    let mut turns = Vec::new();
    for child in &mut crew.0 {
        let generations = served.remove(&child.pid()).unwrap_or_default();
        assert_eq!(generations.len(), ROUNDS + LOOPS);
        turns.extend(taken(&child.must("trace"), &generations));
    }
    let in_line = turns.iter().filter(|turn| turn.numbered.is_some()).count();
    assert!(in_line > turns.len() / 2, "it was no crowd: {in_line} of {} stood", turns.len());
    let mut compared = 0;
    for one in &turns {
        for other in &turns {
            if one.numbered.is_some_and(|numbered| numbered < other.looked) {
                compared += 1;
                assert!(one.generation < other.generation, "{other:?} has overtaken {one:?}");
            }
        }
    }
    assert!(compared > turns.len(), "{compared}");
    scene.assert_clean("a crowd");
}

/// What a contender's effects tell of each time that it became owner.
fn taken(told: &Value, generations: &[u64]) -> Vec<Turn> {
    let names = told["trace"].as_array().expect("because it is a list");
    let instants = told["at"].as_array().expect("because it is a list");
    let names = names.iter().map(|name| name.as_str().expect("because it is a name"));
    let instants = instants.iter().map(|at| at.as_u64().expect("because it is an instant"));
    let effects: Vec<_> = names.zip(instants).collect();
    let owns = |(name, _): &(&str, u64)| *name == "Link(Ticket, Lock)";
    let ways = effects.split_inclusive(owns).filter(|way| way.last().is_some_and(owns));
    let turns: Vec<_> = ways.zip(generations).map(|(way, served)| turn(way, *served)).collect();
    assert_eq!(turns.len(), generations.len());
    turns
}

fn turn(way: &[(&str, u64)], generation: u64) -> Turn {
    let looks = |(name, _): &&(&str, u64)| *name == "Open(Queue, Queue)";
    let numbered = way.iter().rposition(|(name, _)| name.starts_with("Link(Ticket, Queued("));
    let (before, after) = way.split_at(numbered.unwrap_or(way.len()));
    let (_, looked) = before.iter().rfind(looks).expect("because everyone looks first");
    let numbered = after.get(1).map(|(_, at)| *at);
    Turn { looked: *looked, numbered, generation }
}

/// Has a contender wait, and waits until it stands there.
fn stand(scene: &Scene, number: u32, options: &[&str]) -> Child {
    let mut waiter = Child::contender(&scene.arena, options);
    waiter.say("acquire");
    until(scene, |scene| scene.is_queued(number));
    waiter
}

/// Waits until it is so.
fn until(scene: &Scene, fine: impl Fn(&Scene) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !fine(scene) {
        assert!(Instant::now() < deadline, "{:?}", scene.names());
        // Nothing tells of a name.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Has one that waits become owner, work, and release the lock; its generation.
fn served(waiter: &mut Child) -> u64 {
    let acquired = waiter.succeeded();
    waiter.must("step undisturbed 0");
    waiter.release();
    acquired["generation"].as_u64().expect("because it was the owner")
}

/// While the first is stopped and the lock is to be had, those behind it get on; and when it goes
/// on, it gets the lock as well.
#[test]
fn a_first_that_is_stopped_is_passed_over() {
    let scene = Scene::new();
    let mut owner = Child::owner(&scene.arena);
    let hurried = ["--poll", "50"];
    let [mut first, mut second, mut third] =
        [1, 2, 3].map(|number| stand(&scene, number, &hurried));
    first.stop();
    owner.release();
    let mut order = [&mut second, &mut third].map(served).to_vec();
    assert!(scene.is_queued(1), "it keeps its number");
    first.go_on();
    order.push(served(&mut first));
    assert!(order.is_sorted(), "{order:?}");
    scene.assert_no_overlap("all of them");
    scene.assert_clean("one that was passed over");
}

/// Whoever stands behind a dead one moves up to the one before it, and clears what it left.
#[test]
fn one_that_is_killed_in_the_middle_costs_the_next_nothing() {
    let scene = Scene::new();
    let mut owner = Child::owner(&scene.arena);
    let [mut first, mut second, mut third, mut fourth] =
        [1, 2, 3, 4].map(|number| stand(&scene, number, &UNHURRIED));
    second.kill();
    until(&scene, |scene| !scene.is_queued(2));
    owner.release();
    let order = [&mut first, &mut third, &mut fourth].map(served);
    assert!(order.is_sorted(), "{order:?}");
    scene.assert_no_overlap("those who are left");
    scene.assert_clean("those who are left");
}

/// All who wait die, and the owner too: the next who comes finds a queue of the dead.
#[test]
fn a_queue_of_the_dead_costs_the_next_nothing() {
    let scene = Scene::new();
    let mut owner = Child::owner(&scene.arena);
    let mut waiters = [1, 2, 3].map(|number| stand(&scene, number, &UNHURRIED));
    for child in waiters.iter_mut().chain([&mut owner]) {
        child.stop();
    }
    for child in waiters.iter_mut().chain([&mut owner]) {
        child.kill();
    }
    let mut next = Child::contender(&scene.arena, &UNHURRIED);
    let acquired = next.must("acquire");
    assert_eq!(acquired["notices"]["takeover"], "OwnerDied", "{acquired}");
    assert_at_once(&acquired);
    next.release();
    scene.assert_clean("the next");
}
