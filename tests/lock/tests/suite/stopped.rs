//! SIGSTOP before every single effect, past every threshold of those who come next; then
//! SIGCONT. An owner that has agreed to be replaced is, is told so, and its successor never
//! notices; from any other nobody takes anything.

use std::fs;

use rstest::rstest;
use rustix::process::Signal;
use serde_json::Value;

use crate::kit::{Child, Heard, Leftovers, LockLeft, MutexLeft, ReclaimLeft, Scene};

/// Thresholds that a stopped process is past as soon as it has stopped.
const IMPATIENT: [&str; 8] =
    ["--stale-after", "20", "--renew-every", "5", "--hang-after", "40", "--poll", "10"];

/// How long the one who comes waits, in milliseconds: beside an owner that it may replace, long
/// enough for four looks on a loaded machine.
const LIMIT: u64 = 40;
const LIMIT_TO_REPLACE: u64 = 300;

fn rescuer(scene: &Scene, preemptible: bool) -> (Child, u64) {
    let limit = if preemptible { LIMIT_TO_REPLACE } else { LIMIT };
    let given = limit.to_string();
    let options = [&IMPATIENT[..], &["--wait-limit", &given]].concat();
    (Child::contender(&scene.arena, &options), limit)
}

fn victim(scene: &Scene, preemptible: bool) -> Child {
    match preemptible {
        true => Child::contender(&scene.arena, &[&IMPATIENT[..], &["--preemptible"]].concat()),
        false => Child::contender(&scene.arena, &[]),
    }
}

/// How it went for the one who came while the victim was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// It found the lock free, or its owner dead.
    Free,
    /// It waited for the stopped one, and gave up.
    Waited,
    /// It took the lock from the stopped one, which had agreed to that.
    TookOver,
    /// The stopped one had the mutex, and is never robbed of it.
    Held,
    /// The same of the reclaim lock, or of the dead mutex it was about to remove.
    HeldByReaper,
}

const DEAD_HOLDER: Leftovers =
    Leftovers { lock: LockLeft::DeadOurs, mutex: MutexLeft::DeadOurs, reclaim: ReclaimLeft::None };

#[rstest]
#[case::free(None, false, &[Verdict::Free, Verdict::Held])]
#[case::dead_owner(
    Some(Leftovers::DEAD_OWNER),
    false,
    &[Verdict::Free, Verdict::Waited, Verdict::Held]
)]
#[case::reaper(
    Some(DEAD_HOLDER),
    false,
    &[Verdict::Free, Verdict::Waited, Verdict::Held, Verdict::HeldByReaper]
)]
#[case::reaper_after_a_reaper(
    Some(Leftovers::WORST),
    false,
    &[Verdict::Free, Verdict::Waited, Verdict::Held, Verdict::HeldByReaper]
)]
#[case::preemptible(
    Some(DEAD_HOLDER),
    true,
    &[Verdict::Free, Verdict::TookOver, Verdict::Held, Verdict::HeldByReaper]
)]
fn a_contender_stopped_at_any_effect_harms_nobody(
    #[case] left: Option<Leftovers>,
    #[case] preemptible: bool,
    #[case] expected: &[Verdict],
) {
    let template = left.map_or_else(Scene::used, Leftovers::scene);
    let (mut rescuer, limit) = rescuer(&template, preemptible);
    let mut verdicts = Vec::new();
    for nth in 1.. {
        let scene = Scene::copy_of(&template.arena);
        let mut victim = victim(&scene, preemptible);
        victim.must(&format!("trap stop * {nth}"));
        victim.say("acquire");
        let Some(effect) = stopped_at(&mut victim) else {
            break;
        };
        rescuer.must(&format!("open {}", scene.arena.root()));
        let verdict = rescue(&scene, &mut rescuer, limit, &victim, &effect);
        victim.go_on();
        match verdict {
            Verdict::TookOver => {
                assert_eq!(victim.reply()["ok"], true, "{effect}: it has acquired");
                find_out(&mut victim, &rescuer, &effect);
                stay(&mut rescuer);
            }
            // It has not come far enough to have lost anything: it waits like anybody.
            Verdict::Free => {
                stay(&mut rescuer);
                own(&mut victim);
            }
            Verdict::Waited | Verdict::Held | Verdict::HeldByReaper => own(&mut victim),
        }
        scene.assert_no_overlap(&effect);
        scene.assert_clean(&effect);
        verdicts.push(verdict);
    }
    verdicts.sort_unstable();
    verdicts.dedup();
    assert_eq!(verdicts, expected);
}

#[rstest]
#[case::step("step on 0", false, &[Verdict::Waited, Verdict::Held])]
#[case::release("release", false, &[Verdict::Free, Verdict::Waited, Verdict::Held])]
#[case::preemptible_step("step on 0", true, &[Verdict::TookOver, Verdict::Held])]
#[case::preemptible_release("release", true, &[Verdict::Free, Verdict::TookOver, Verdict::Held])]
fn an_owner_stopped_at_any_effect_harms_nobody(
    #[case] act: &str,
    #[case] preemptible: bool,
    #[case] expected: &[Verdict],
) {
    let template = Scene::used();
    let (mut rescuer, limit) = rescuer(&template, preemptible);
    let mut verdicts = Vec::new();
    for nth in 1.. {
        let scene = Scene::copy_of(&template.arena);
        let mut victim = victim(&scene, preemptible);
        victim.must("acquire");
        victim.must(&format!("trap stop * {nth}"));
        victim.say(act);
        let Some(effect) = stopped_at(&mut victim) else {
            break;
        };
        rescuer.must(&format!("open {}", scene.arena.root()));
        let verdict = rescue(&scene, &mut rescuer, limit, &victim, &effect);
        victim.go_on();
        let reply = victim.reply();
        let told = reply["error"] == "Lost" || reply["released"] == false;
        assert_eq!(told, verdict == Verdict::TookOver, "{effect}: {reply}");
        match verdict {
            Verdict::TookOver => {
                let by = if act == "release" { &reply["to"] } else { &reply["who"] };
                assert_eq!(by["pid"], rescuer.pid(), "{effect}: {reply}");
                if act != "release" {
                    find_out(&mut victim, &rescuer, &effect);
                }
                stay(&mut rescuer);
            }
            Verdict::Free => stay(&mut rescuer),
            Verdict::Waited | Verdict::Held | Verdict::HeldByReaper if act == "release" => {}
            Verdict::Waited | Verdict::Held | Verdict::HeldByReaper => {
                victim.must("step again 0");
                victim.release();
            }
        }
        scene.assert_no_overlap(&effect);
        scene.assert_clean(&effect);
        verdicts.push(verdict);
    }
    verdicts.sort_unstable();
    verdicts.dedup();
    assert_eq!(verdicts, expected);
}

/// Under `stop`, whoever is in the way is ended, and its work with it, before the lock is
/// taken: the owner and the holder of the mutex alike.
#[rstest]
#[case::owner("")]
#[case::holder("Open(Judged,Lock)")]
fn a_stopped_process_is_ended_on_request(#[case] effect: &str) {
    let scene = Scene::used();
    let mut victim = Child::contender(&scene.arena, &[]);
    if effect.is_empty() {
        victim.must("acquire");
        victim.stop();
    } else {
        victim.must(&format!("trap stop {effect} 1"));
        victim.say("acquire");
        assert!(stopped_at(&mut victim).is_some());
    }
    let mut options = IMPATIENT.to_vec();
    options.extend(["--wait-limit", "40", "--on-timeout", "stop", "--grace", "50"]);
    let mut next = Child::contender(&scene.arena, &options);
    next.must("acquire");
    victim.wait_end();
    next.must("step alone 0");
    next.release();
    scene.assert_clean("one that was ended");
}

/// The effect before which it stopped; nothing if it came through its command.
fn stopped_at(victim: &mut Child) -> Option<String> {
    match victim.hear() {
        Heard::Event(event) if event["event"] == "trap" => {
            victim.wait_stopped();
            event["effect"].as_str().map(str::to_owned)
        }
        Heard::Reply(_) => None,
        other => victim.fail(&format!("{other:?}")),
    }
}

/// What the next contender makes of it, which must be what the names on disk say.
fn rescue(scene: &Scene, rescuer: &mut Child, limit: u64, victim: &Child, effect: &str) -> Verdict {
    let pid_in = |suffix| {
        let text = fs::read_to_string(scene.arena.beside(suffix)).unwrap_or_default();
        text.lines().next().and_then(|pid| pid.parse::<u32>().ok())
    };
    let has_mutex = pid_in(".mutex") == Some(victim.pid());
    let reply = rescuer.ask("acquire");
    if reply["error"] == "MutexHeld" || reply["error"] == "TimedOut" {
        let waited = reply["took"].as_u64().expect("because it is a time");
        // The lock counts in whole milliseconds, so its 40 can be 39 and a bit.
        let limit = (limit - 1) * 1_000_000;
        assert!(waited > limit, "{effect}: {waited} ns are not the wait limit");
    }
    if reply["error"] == "TimedOut" {
        // Who asks about a stranger's lock has it for a moment, and is stopped in that moment.
        let asks = has_mutex && effect == "Unlock(Judged)";
        assert!(asks || reply["who"]["pid"] == victim.pid(), "{effect}: {reply}");
        return if has_mutex { Verdict::Held } else { Verdict::Waited };
    }
    if reply["error"] == "MutexHeld" {
        if has_mutex {
            assert_eq!(reply["who"]["pid"], victim.pid(), "{effect}: {reply}");
            return Verdict::Held;
        }
        return Verdict::HeldByReaper;
    }
    assert!(!has_mutex, "{effect}: robbed of the mutex");
    assert_eq!(reply["ok"], true, "{effect}: {reply}");
    if reply["notices"]["from"]["pid"] == victim.pid() {
        let living = ["Silent", "TimedOut"].map(Value::from);
        assert!(living.contains(&reply["notices"]["takeover"]), "{reply}");
        return Verdict::TookOver;
    }
    Verdict::Free
}

/// The one that was replaced cannot take a step, is told by whom, and harms nothing.
fn find_out(victim: &mut Child, by: &Child, effect: &str) {
    let told = victim.ask("loss 5000");
    assert_eq!(told["lost"], true, "{effect}: {told}");
    if told["to"] != Value::Null {
        assert_eq!(told["to"]["pid"], by.pid(), "{effect}: {told}");
    }
    let released = victim.ask("release");
    assert_ne!(released["released"], true, "{effect}: {released}");
}

/// An owner that must not have noticed anything.
fn stay(owner: &mut Child) {
    owner.must("step undisturbed 0");
    owner.release();
}

/// The same for one that was stopped, and then becomes owner as if nothing had been.
fn own(victim: &mut Child) {
    victim.succeeded();
    stay(victim);
}

/// Stopped for long, replaced, continued: the same seen from the outside, with everyone's
/// settings the same and a preemptible owner that was doing nothing at the time.
#[test]
fn an_owner_that_slept_through_its_replacement_is_told_at_once() {
    let scene = Scene::new();
    let settings = ["--stale-after", "60", "--renew-every", "10"];
    let mut old = Child::preemptible(&scene.arena, &settings);
    let mut new = Child::contender(&scene.arena, &settings);
    old.must("step first 0");
    old.stop();
    let acquired = new.must("acquire");
    assert_eq!(acquired["notices"]["takeover"], "Silent");
    assert_eq!(acquired["notices"]["from"]["pid"], old.pid());
    old.signal(Signal::CONT);
    let told = old.ask("loss 5000");
    assert_eq!(told["to"]["token"], acquired["token"], "{told}");
    let lost = old.must_fail("step second 0", "Lost");
    assert_eq!(lost["who"]["pid"], new.pid(), "{lost}");
    let released = old.ask("release");
    assert_eq!(released["to"]["token"], acquired["token"], "{released}");
    new.must("step undisturbed 0");
    new.release();
    let work = scene.assert_no_overlap("both");
    assert_eq!(work.len(), 2, "the second step of the old owner must not run");
    scene.assert_clean("both");
}
