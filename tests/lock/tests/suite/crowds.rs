//! Many at once, from whatever the dead have left, in processes and in threads.

use std::time::Duration;

use serde_json::Value;

use crate::kit::{Child, Crew, Leftovers, Scene, start};

/// How long one works: long enough that the others pile up behind it.
const WORK_US: u32 = 50;

#[test]
fn serial_sixteen_processes_get_over_leftovers_of_every_kind() {
    let mut crew = Crew::contenders(16, &Scene::new().arena, &[]);
    for leftovers in Leftovers::all() {
        let scene = leftovers.scene();
        crew.open(&scene.arena);
        crew.cycle(WORK_US, &leftovers.to_string());
        let work = scene.assert_no_overlap(&leftovers.to_string());
        assert_eq!(work.len(), 16);
        scene.assert_clean(&leftovers.to_string());
    }
}

#[test]
fn serial_sixty_four_threads_of_four_processes_get_over_leftovers_of_every_kind() {
    let mut crew = Crew::contenders(4, &Scene::new().arena, &[]);
    for leftovers in Leftovers::all() {
        let scene = leftovers.scene();
        crew.open(&scene.arena);
        crew.threads(16, 1, WORK_US, &leftovers.to_string());
        let work = scene.assert_no_overlap(&leftovers.to_string());
        assert_eq!(work.len(), 64);
        scene.assert_clean(&leftovers.to_string());
    }
}

#[test]
fn threads_of_one_process_exclude_each_other() {
    let scene = Scene::new();
    let mut process = Child::contender(&scene.arena, &[]);
    process.must(&format!("threads 8 25 20 {}", start()));
    let work = scene.assert_no_overlap("eight threads");
    assert_eq!(work.len(), 8 * 25);
    scene.assert_clean("eight threads");
}

/// Between fork and exec a child has a copy of every descriptor, kernel locks included.
#[test]
fn a_program_that_starts_children_all_the_while_is_never_falsely_busy() {
    let scene = Scene::new();
    let mut busy = Child::contender(&scene.arena, &["--spawners", "2", "--no-wait"]);
    let mut other = Child::contender(&scene.arena, &["--no-wait"]);
    // The first round makes what is kept.
    busy.must("acquire");
    busy.release();
    for _ in 0..300 {
        busy.must("acquire");
        busy.release();
        other.must("acquire");
        other.release();
    }
    scene.assert_clean("a program with children");
}

#[test]
fn nothing_leaks() {
    let scene = Scene::new();
    let mut process = Child::contender(&scene.arena, &[]);
    let mut waiter = Child::contender(&scene.arena, &[]);
    let mut round = |process: &mut Child| {
        process.must("acquire");
        waiter.say("cycle 0");
        waiter.event("waiting");
        process.release();
        waiter.succeeded();
    };
    round(&mut process);
    let before = settled(&mut process);
    for _ in 0..50 {
        round(&mut process);
    }
    assert_eq!(before, settled(&mut process), "files and threads");
    process.must("acquire");
    let inherited = process.must("inherited");
    let listing = inherited["listing"].as_str().expect("because it is text");
    assert!(listing.contains("pipe:"), "{listing}");
    assert!(!listing.contains(scene.arena.root().as_str()), "{listing}");
    assert!(!listing.contains("deleted"), "{listing}");
    process.release();
    scene.assert_clean("fifty rounds");
}

/// How many files and threads there are once the keepers of what was released have ended.
fn settled(process: &mut Child) -> Value {
    for _ in 0..1000 {
        let descriptors = process.must("descriptors");
        if descriptors["threads"] == 1 {
            return descriptors;
        }
        // A keeper ends by itself soon after its lock's release, and there is nothing to
        // wait for it by.
        std::thread::sleep(Duration::from_millis(1));
    }
    process.fail("keeps threads for locks that it has released");
}
