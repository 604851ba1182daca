//! Clocks that are moved, stopped, shifted against each other, and processes that stand still.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::goes_on_waiting;
use crate::kit::{Child, Heard, PATIENCE, Scene, is_root, needs};

/// Wakes whoever watches the lock, as many a change does. Only both times together are one that a
/// watch for attributes tells of.
fn nudge(scene: &Scene) {
    let lock = File::open(scene.arena.lock()).expect("because it is held");
    let now = SystemTime::now();
    let times = FileTimes::new().set_accessed(now).set_modified(now);
    lock.set_times(times).expect("because it is ours");
}

/// Half a minute passes for this waiter, and it looks again. What it then says: an event, if it goes
/// on waiting.
fn half_a_minute(scene: &Scene, waiter: &mut Child, how: &str) -> Heard {
    waiter.say(&format!("{how} 30000"));
    waiter.until("clock");
    nudge(scene);
    waiter.hear()
}

/// Two who know nothing but the defaults. (Both would have worked after two minutes once.)
#[test]
fn an_owner_by_defaults_is_waited_for_however_long_it_works() {
    let scene = Scene::new();
    let mut owner = Child::owner(&scene.arena);
    let mut waiter = Child::contender(&scene.arena, &["--attentive"]);
    waiter.begin_to_wait();
    for _ in 0..20 {
        owner.must("advance 30000");
        match half_a_minute(&scene, &mut waiter, "advance") {
            Heard::Event(event) => assert_eq!(event["who"]["pid"], owner.pid(), "{event}"),
            other => waiter.fail(&format!("{other:?}")),
        }
    }
    owner.must("step still-here 0");
    owner.release();
    assert_eq!(waiter.succeeded()["notices"]["takeover"], Value::Null);
    waiter.release();
    scene.assert_clean("both");
}

/// The same waiter replaces one that has agreed to it: so it was not for want of looking.
#[test]
fn a_silent_owner_that_has_agreed_is_replaced_after_a_whole_threshold() {
    let scene = Scene::new();
    let mut owner = Child::preemptible(&scene.arena, &[]);
    owner.stop();
    let mut waiter = Child::contender(&scene.arena, &["--attentive"]);
    waiter.begin_to_wait();
    for looks in 1.. {
        assert!(looks < 40, "it has been silent for twenty minutes");
        match half_a_minute(&scene, &mut waiter, "advance") {
            Heard::Event(_) => {}
            Heard::Reply(acquired) => {
                assert_eq!(acquired["notices"]["takeover"], "Silent", "{acquired}");
                let waits = acquired["notices"]["waits"].as_u64();
                assert!(waits >= Some(3), "a count takes four looks: {acquired}");
                break;
            }
            Heard::End => waiter.fail("ended"),
        }
    }
    owner.go_on();
    assert_eq!(owner.ask("loss 5000")["lost"], true);
    waiter.release();
    scene.assert_clean("both");
}

/// While the machine sleeps nobody can renew, and nobody counts.
#[test]
fn a_suspended_machine_takes_the_lock_from_nobody() {
    let scene = Scene::new();
    let mut owner = Child::preemptible(&scene.arena, &[]);
    owner.stop();
    let mut waiter = Child::contender(&scene.arena, &["--attentive"]);
    waiter.begin_to_wait();
    for _ in 0..20 {
        match half_a_minute(&scene, &mut waiter, "suspend") {
            Heard::Event(_) => {}
            other => waiter.fail(&format!("{other:?}")),
        }
    }
    owner.go_on();
    owner.must("step still-here 0");
    owner.release();
    waiter.succeeded();
    waiter.release();
}

/// One that is stopped, past everybody's thresholds, and one beside it whose threshold is so small
/// that a healthy owner would look silent.
#[rstest]
#[case::stopped(true)]
#[case::healthy(false)]
fn a_hasty_contender_robs_nobody(#[case] stopped: bool) {
    let scene = Scene::new();
    let hasty = ["--stale-after", "20", "--renew-every", "5", "--hang-after", "20", "--attentive"];
    let own = ["--stale-after", "40", "--renew-every", "10", "--hang-after", "20"];
    let mut owner = Child::contender(&scene.arena, if stopped { &own } else { &[] });
    owner.must("acquire");
    if stopped {
        owner.stop();
    }
    let mut waiter = Child::contender(&scene.arena, &hasty);
    waiter.begin_to_wait();
    // Ten naps of at most half a second first, then each look is 20 ms after the one before.
    goes_on_waiting(&mut waiter, 30);
    owner.go_on();
    owner.must("step undisturbed 0");
    owner.release();
    assert_eq!(waiter.succeeded()["notices"]["takeover"], Value::Null);
    waiter.release();
    scene.assert_clean("both");
}

/// The larger threshold counts, whoever has set it; then the owner is replaced, and told.
#[rstest]
#[case::the_owners("400", "20")]
#[case::the_contenders("20", "400")]
fn a_stopped_owner_that_has_agreed_is_replaced_after_the_larger_threshold(
    #[case] owners: &str,
    #[case] contenders: &str,
) {
    let scene = Scene::new();
    let mut owner = Child::preemptible(&scene.arena, &["--stale-after", owners]);
    let mut next = Child::contender(&scene.arena, &["--stale-after", contenders]);
    owner.stop();
    let acquired = next.must("acquire");
    assert_eq!(acquired["notices"]["takeover"], "Silent", "{acquired}");
    let took = acquired["took"].as_u64().map(Duration::from_nanos);
    // The lock counts in whole milliseconds, so its 400 can be 399 and a bit.
    assert!(took > Some(Duration::from_millis(398)), "{acquired}");
    owner.go_on();
    let told = owner.ask("loss 5000");
    assert_eq!(told["to"]["token"], acquired["token"], "{told}");
    owner.must_fail("step late 0", "Lost");
    next.must("step undisturbed 0");
    next.release();
    scene.assert_clean("both");
}

const OFTEN: [&str; 4] = ["--stale-after", "300", "--renew-every", "50"];

/// The boot clock of another time namespace, more than a day ahead.
const AHEAD: [&str; 5] = ["unshare", "--time", "--boottime", "100000", "--fork"];

/// Whether this kernel has time namespaces, and we may make one.
fn has_time_namespaces() -> bool {
    let mut command = std::process::Command::new("unshare");
    let made = command.args(["--time", "--boottime", "1", "--fork", "true"]).output();
    let made = made.is_ok_and(|output| output.status.success());
    needs(made, "unshare --time: root, and a kernel with time namespaces")
}

/// A healthy owner looks healthy from there and from here: neither its renewals nor the instant at
/// which its process started are compared with anybody's clock.
#[rstest]
#[case::owner_there(true)]
#[case::contender_there(false)]
fn a_healthy_owner_is_left_alone_across_time_namespaces(#[case] owner_there: bool) {
    if !has_time_namespaces() {
        return;
    }
    let scene = Scene::new();
    let start = |there: bool, options: &[&str]| match there {
        true => Child::within(&AHEAD, &scene.arena, options),
        false => Child::contender(&scene.arena, options),
    };
    let mut owner = start(owner_there, &[&OFTEN[..], &["--preemptible"]].concat());
    let mut waiter = start(!owner_there, &[&OFTEN[..], &["--attentive"]].concat());
    owner.must("acquire");
    waiter.begin_to_wait();
    // Half a renewal from one to the next, after the first ten: that is twice its threshold.
    goes_on_waiting(&mut waiter, 35);
    owner.must("step undisturbed 0");
    owner.release();
    assert_eq!(waiter.succeeded()["notices"]["takeover"], Value::Null);
    waiter.release();
    scene.assert_clean("both");
}

/// And a silent one looks silent.
#[test]
fn a_silent_owner_in_another_time_namespace_is_replaced() {
    if !has_time_namespaces() {
        return;
    }
    let scene = Scene::new();
    let mut owner = Child::within(&AHEAD, &scene.arena, &[&OFTEN[..], &["--preemptible"]].concat());
    let pid = owner.must("acquire")["pid"].as_i64();
    let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let pid = pid.expect("because it is in our pid namespace");
    kill_process(pid, Signal::STOP).expect("because it runs");
    let mut next = Child::contender(&scene.arena, &OFTEN);
    assert_eq!(next.must("acquire")["notices"]["takeover"], "Silent");
    kill_process(pid, Signal::CONT).expect("because it is stopped");
    assert_eq!(owner.ask("loss 5000")["lost"], true);
    next.release();
    scene.assert_clean("both");
}

/// A freezer cgroup of our own, removed with the test. Made after what it is to freeze, and so gone
/// before that is ended: a frozen process does not die.
struct Freezer(PathBuf);

impl Freezer {
    /// Nothing where there is none to be had; that is said.
    fn make() -> Option<Self> {
        let mount = Path::new("/sys/fs/cgroup/freezer");
        let has_one = is_root() && mount.join("cgroup.procs").exists();
        if !needs(has_one, "root, and the freezer cgroup (v1) at /sys/fs/cgroup/freezer") {
            return None;
        }
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("test").replace(':', "-");
        let path = mount.join(format!("lock-tests-{}-{name}", std::process::id()));
        fs::create_dir(&path).expect("because we are root");
        Some(Self(path))
    }

    fn take(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("because it runs");
    }

    fn set(&self, state: &str) {
        let file = self.0.join("freezer.state");
        fs::write(&file, state).expect("because it is ours");
        let deadline = Instant::now() + PATIENCE;
        while fs::read_to_string(&file).expect("because it is ours").trim() != state {
            assert!(Instant::now() < deadline, "it does not become {state}");
            // Nothing tells of a state.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("freezer.state"), "THAWED");
        let members = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines() {
            let _ = fs::write("/sys/fs/cgroup/freezer/cgroup.procs", pid);
        }
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_frozen_owner_is_not_robbed() {
    let scene = Scene::new();
    let mut owner = Child::contender(&scene.arena, &OFTEN);
    owner.must("acquire");
    let Some(freezer) = Freezer::make() else { return };
    freezer.take(owner.pid());
    freezer.set("FROZEN");
    let hasty = ["--stale-after", "20", "--hang-after", "20", "--attentive"];
    let mut waiter = Child::contender(&scene.arena, &hasty);
    waiter.begin_to_wait();
    goes_on_waiting(&mut waiter, 40);
    freezer.set("THAWED");
    owner.must("step undisturbed 0");
    owner.release();
    waiter.succeeded();
    waiter.release();
    scene.assert_clean("both");
}

/// It has not looked for longer than the threshold, which says nothing about the owner.
#[test]
fn a_frozen_contender_that_thaws_robs_nobody() {
    let scene = Scene::new();
    let mut owner = Child::preemptible(&scene.arena, &OFTEN);
    let mut waiter = Child::contender(&scene.arena, &[&OFTEN[..], &["--attentive"]].concat());
    waiter.begin_to_wait();
    let Some(freezer) = Freezer::make() else { return };
    freezer.take(waiter.pid());
    for _ in 0..3 {
        freezer.set("FROZEN");
        renewals(&scene, 10);
        freezer.set("THAWED");
        goes_on_waiting(&mut waiter, 4);
    }
    owner.must("step undisturbed 0");
    owner.release();
    assert_eq!(waiter.succeeded()["notices"]["takeover"], Value::Null);
    waiter.release();
    scene.assert_clean("both");
}

/// Waits until the owner has renewed so often.
fn renewals(scene: &Scene, times: usize) {
    let deadline = Instant::now() + PATIENCE;
    let renewed = || {
        let record = fs::read_to_string(scene.arena.lock()).expect("because it is held");
        record.lines().find(|line| line.starts_with("renewed=")).map(str::to_owned)
    };
    for _ in 0..times {
        let before = renewed();
        while renewed() == before {
            assert!(Instant::now() < deadline, "it does not renew");
            // A renewal tells those who watch, and that is not us.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
