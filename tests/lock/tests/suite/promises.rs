//! The figures and the guarantees that the lock is chosen for.

use std::fs;
use std::time::Duration;

use lock_tests::now_ns;
use rstest::rstest;

use crate::kit::{AT_ONCE, Child, Crew, Leftovers, Scene};

#[test]
fn serial_sixteen_get_over_the_worst_leftovers_two_hundred_times() {
    let template = Leftovers::WORST.scene();
    let mut crew = Crew::contenders(16, &template.arena, &[]);
    for round in 1..=200 {
        let scene = Scene::copy_of(&template.arena);
        crew.open(&scene.arena);
        crew.cycle(50, &format!("round {round}"));
        let work = scene.assert_no_overlap(&format!("round {round}"));
        assert_eq!(work.len(), 16, "round {round}");
        scene.assert_clean(&format!("round {round}"));
    }
}

/// A dead owner costs its successor nothing that a person would notice. The median, because
/// on a shared machine any single round can be unlucky; all settings are the defaults, by
/// which a lock that went by age would take 30 s.
#[test]
fn serial_a_waiter_has_the_lock_within_milliseconds_of_its_owners_death() {
    const ROUNDS: usize = 41;
    const LIMIT: Duration = Duration::from_millis(5);
    let scene = Scene::new();
    let mut waiter = Child::contender(&scene.arena, &[]);
    let mut took: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let mut owner = Child::owner(&scene.arena);
            waiter.begin_to_wait();
            let killed = now_ns();
            owner.kill();
            let acquired = waiter.reply();
            assert_eq!(acquired["notices"]["takeover"], "OwnerDied", "{acquired}");
            let at = acquired["at"].as_u64().expect("because it is a time");
            waiter.release();
            Duration::from_nanos(at - killed)
        })
        .collect();
    took.sort_unstable();
    let median = took[ROUNDS / 2];
    crate::kit::say_aloud(&format!("median {median:?}, worst {:?}", took[ROUNDS - 1]));
    assert!(median <= LIMIT, "{took:?}");
    scene.assert_clean("the last of them");
}

/// Real time, because what is to be shown is that renewal keeps pace with the real clock.
#[test]
fn serial_an_owner_that_lives_six_times_as_long_as_it_takes_to_go_stale_is_left_alone() {
    const STALE_AFTER: Duration = Duration::from_millis(300);
    let scene = Scene::new();
    let settings = ["--stale-after", "300", "--renew-every", "60"];
    let mut owner = Child::contender(&scene.arena, &settings);
    let mut waiter = Child::contender(&scene.arena, &settings);
    owner.must("acquire");
    waiter.say("cycle 0");
    waiter.event("waiting");
    let six_times = u64::try_from((6 * STALE_AFTER).as_micros()).expect("because it is short");
    owner.must(&format!("work {six_times}"));
    let ended = now_ns();
    owner.release();
    waiter.succeeded();
    let work = scene.assert_no_overlap("an owner that takes its time");
    assert_eq!(work.len(), 2);
    assert!(work[1].begin > ended, "{work:?}");
    scene.assert_clean("both");
}

/// Whichever way they lose patience with it, one of them takes over, and the others wait for
/// that one.
#[rstest]
#[case::no_progress(&["--hang-after", "150"], "TimedOut")]
#[case::no_sign_of_life(&["--stale-after", "150", "--renew-every", "20"], "Silent")]
fn six_that_lose_patience_together_replace_a_hung_owner_once(
    #[case] settings: &[&str],
    #[case] reason: &str,
) {
    let scene = Scene::new();
    let mut hung = Child::preemptible(&scene.arena, settings);
    hung.stop();
    let mut crew = Crew::contenders(6, &scene.arena, settings);
    for child in &mut crew.0 {
        child.say("cycle 10000");
    }
    let mut takeovers = Vec::new();
    for child in &mut crew.0 {
        let reply = child.reply();
        assert_eq!(reply["ok"], true, "{reply}");
        assert_eq!(reply["overlap"], serde_json::Value::Null, "{reply}");
        assert_eq!(reply["lost"], false, "{reply}");
        takeovers.extend(reply["notices"]["takeover"].as_str().map(str::to_owned));
    }
    assert_eq!(takeovers, [reason], "one takes over, five wait for a release");
    let work = scene.assert_no_overlap("six takers");
    assert_eq!(work.len(), 6);
    hung.go_on();
    assert_eq!(hung.ask("loss 5000")["lost"], true);
    hung.must_fail("step late 0", "Lost");
    assert_eq!(hung.ask("release")["released"], false);
    scene.assert_clean("all seven");
}

/// What a contender sees must not depend on what it believes the time to be.
#[rstest]
#[case::on_time(0)]
#[case::an_hour_ahead(3_600_000)]
#[case::an_hour_behind(-3_600_000)]
fn a_wall_clock_that_is_off_changes_no_verdict(#[case] shift: i64) {
    let shift = shift.to_string();
    let scene = Scene::new();
    let settings = ["--stale-after", "2000", "--wall-shift", &shift];
    let mut owner = Child::contender(&scene.arena, &["--stale-after", "2000"]);
    let mut other = Child::contender(&scene.arena, &settings);

    let no_wait = [&settings[..], &["--no-wait"]].concat();
    let mut asker = Child::contender(&scene.arena, &no_wait);
    owner.must("acquire");
    let busy = asker.must_fail("acquire", "Busy");
    assert_eq!(busy["who"]["pid"], owner.pid());

    // And the other way round: what it has written itself.
    owner.release();
    other.must("acquire");
    let mut judge = Child::contender(&scene.arena, &["--stale-after", "2000", "--no-wait"]);
    judge.must_fail("acquire", "Busy");
    other.must("step on 0");
    other.release();

    // A mutex of ours that lives, and one that is dead.
    let mut holder = Child::contender(&scene.arena, &[]);
    holder.must("trap stop Open(Judged,Lock) 1");
    holder.say("acquire");
    holder.event("trap");
    holder.wait_stopped();
    let impatient = [&settings[..], &["--wait-limit", "40"]].concat();
    let mut impatient = Child::contender(&scene.arena, &impatient);
    let held = impatient.must_fail("acquire", "MutexHeld");
    assert_eq!(held["who"]["pid"], holder.pid());
    holder.kill();
    let acquired = asker.must("acquire");
    assert_eq!(acquired["notices"]["takeover"], serde_json::Value::Null);
    asker.release();

    // A dead owner is dead at once, a silent one when it has been looked at for long enough.
    let mut dead = Child::owner(&scene.arena);
    dead.kill();
    let acquired = asker.must("acquire");
    assert_eq!(acquired["notices"]["takeover"], "OwnerDied");
    asker.release();
    let mut silent = Child::preemptible(&scene.arena, &["--stale-after", "100"]);
    silent.stop();
    let soon = ["--stale-after", "100", "--wall-shift", &shift];
    let mut next = Child::contender(&scene.arena, &soon);
    asker.must_fail("acquire", "Busy");
    let acquired = next.must("acquire");
    assert_eq!(acquired["notices"]["takeover"], "Silent");
    next.release();
    silent.kill();
    scene.assert_clean("clocks");
}

/// A clock that is stepped while its owner holds the lock: the same.
#[rstest]
#[case::forward(3_600_000)]
#[case::back(-3_600_000)]
fn a_step_of_the_wall_clock_costs_no_owner_its_lock(#[case] step: i64) {
    let scene = Scene::new();
    let mut owner = Child::contender(&scene.arena, &["--wall-shift", "0", "--renew-every", "10"]);
    let mut asker = Child::contender(&scene.arena, &["--wall-shift", "0", "--no-wait"]);
    owner.must("acquire");
    asker.must(&format!("wall {step}"));
    asker.must_fail("acquire", "Busy");
    owner.must(&format!("wall {step}"));
    owner.must("step on 0");
    asker.must(&format!("wall {}", -step));
    asker.must_fail("acquire", "Busy");
    owner.release();
    scene.assert_clean("clocks");
}

/// Through releases and deaths alike.
#[test]
fn the_fencing_token_only_ever_grows() {
    let scene = Scene::new();
    let mut last = 0;
    for round in 0..20 {
        let mut owner = Child::contender(&scene.arena, &[]);
        let acquired = owner.must("acquire");
        let generation = acquired["generation"].as_u64().expect("because it is a number");
        assert!(generation > last, "{generation} after {last}");
        last = generation;
        if round % 2 == 0 {
            owner.kill();
        } else {
            owner.release();
        }
    }
    let text = fs::read_to_string(scene.arena.beside(".generation"));
    let text = text.expect("because it outlives every lock");
    assert!(text.contains(&last.to_string()), "{text}");
}

/// Who gives up is told whom it waited for, living or stopped: no time makes it an owner.
#[rstest]
#[case::living(false)]
#[case::stopped(true)]
fn who_gives_up_is_told_whom_it_waited_for(#[case] stopped: bool) {
    let scene = Scene::new();
    let mut owner = Child::owner(&scene.arena);
    if stopped {
        owner.stop();
    }
    let settings = ["--wait-limit", "60", "--stale-after", "20", "--hang-after", "20"];
    let mut waiter = Child::contender(&scene.arena, &settings);
    let refused = waiter.must_fail("acquire", "TimedOut");
    assert_eq!(refused["who"]["pid"], owner.pid());
    let took = refused["took"].as_u64().expect("because it is a time");
    // The lock counts in whole milliseconds, so its 60 can be 59 and a bit.
    assert!(took > 59_000_000, "{took} ns are not the wait limit");
    owner.go_on();
    owner.must("step undisturbed 0");
    owner.release();
    scene.assert_clean("both");
}

/// Whoever waits for a release is woken by it, not by a poll.
#[test]
fn serial_a_waiter_is_woken_by_the_release() {
    let scene = Scene::new();
    let mut owner = Child::contender(&scene.arena, &[]);
    // It would not look again by itself for a minute.
    let mut waiter = Child::contender(&scene.arena, &["--poll", "60000"]);
    for _ in 0..50 {
        owner.must("acquire");
        waiter.begin_to_wait();
        let released = now_ns();
        owner.release();
        let at = waiter.reply()["at"].as_u64().expect("because it is a time");
        let took = Duration::from_nanos(at.saturating_sub(released));
        assert!(took < AT_ONCE, "{took:?}");
        waiter.release();
    }
    scene.assert_clean("both");
}
