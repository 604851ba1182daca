//! Taking a lock that is to be had: free, stale, or behind what the dead have left.

use std::fs;

use lock_fs::Settings;
use lock_tests::conformance::Act;
use rstest::rstest;

use super::cycle;
use crate::kit::{
    Child, Heard, Leftovers, LockLeft, MutexLeft, ReclaimLeft, Scene, Traced, has_strace,
};

#[test]
fn the_first_use_ever() {
    if !has_strace() {
        return;
    }
    let scene = Scene::without_run_directory();
    let report = cycle(&scene, Settings::default());
    assert_eq!(report.story(), ["acquired", "released"]);
    assert!(report.has("Rename(GenerationDraft, Generation)"));
    assert!(report.has("SyncDirectory"));
    scene.assert_clean("a contender");
}

/// What the driver shows its tracer is what the kernel sees.
#[test]
fn a_free_lock_and_two_steps() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut traced = Traced::usual(&scene);
    traced.child.must("trace");
    traced.child.must("acquire");
    traced.child.must("step first 0");
    traced.child.must("step second 0");
    traced.child.release();
    let told = traced.child.must("trace")["trace"].clone();
    let [first, second] = ["first", "second"].map(|label| Act::Step(label.to_owned()));
    let report = traced.explained(&[Act::Acquire, first, second, Act::Release]);
    let story = ["acquired", "stepping", "stepped", "stepping", "stepped", "released"];
    assert_eq!(report.story(), story);
    let mut seen: Vec<_> = report.pairs.iter().map(|pair| pair.effect.to_string()).collect();
    // The keeper's watch is two calls, if it has come to set one.
    seen.dedup_by(|a, b| a == b && a == "Watch(Ticket)");
    assert_eq!(told, serde_json::json!(seen));
}

#[rstest]
#[case::dead(LockLeft::DeadOurs, "OwnerDied")]
#[case::corrupt(LockLeft::Garbage, "Corrupt")]
#[case::expired(LockLeft::StaleSeed, "Expired")]
fn a_stale_lock(#[case] lock: LockLeft, #[case] stale: &str) {
    if !has_strace() {
        return;
    }
    let left = Leftovers { lock, mutex: MutexLeft::None, reclaim: ReclaimLeft::None };
    let report = cycle(&left.scene(), Settings::default());
    assert_eq!(report.story(), [&format!("took over: {stale}"), "released"]);
    assert!(report.has("Rename(Takeover, Lock)"));
}

/// The same record, as the boot before this one would have left it.
#[test]
fn a_lock_from_before_a_reboot() {
    if !has_strace() {
        return;
    }
    let scene = Leftovers::DEAD_OWNER.scene();
    let record = fs::read_to_string(scene.arena.lock()).expect("because its owner wrote it");
    let (before, boot) = record.split_once("boot=").expect("because the record is ours");
    let (_, after) = boot.split_once('\n').expect("because it is a line");
    fs::write(scene.arena.lock(), format!("{before}boot=another\n{after}"))
        .expect("because it is ours");
    let report = cycle(&scene, Settings::default());
    assert_eq!(report.story(), ["took over: Rebooted", "released"]);
}

/// Every combination of a stale lock, a dead mutex and a dead reclaim lock, of ours and of a
/// peer's.
#[test]
fn whatever_the_dead_have_left() {
    if !has_strace() {
        return;
    }
    for left in Leftovers::all() {
        let scene = left.scene();
        let report = cycle(&scene, Settings::default());
        let taken = report.story().first().cloned().unwrap_or_default();
        assert!(taken.starts_with("took over: "), "{left}: {taken}");
        let has_mutex = left.mutex != MutexLeft::None;
        assert_eq!(report.has("Rename(Reclaim, Mutex)"), has_mutex, "{left}");
        let has_reclaim = left.reclaim != ReclaimLeft::None;
        assert_eq!(report.has("Unlink(Reclaim)"), has_reclaim, "{left}");
        scene.assert_clean(&left.to_string());
    }
}

/// Where a dead breaker, a dead reaper and a dead drawer of a generation have stopped half way.
#[rstest]
#[case::breaker("Rename(Takeover,Lock)", "Unlink(Takeover)")]
#[case::draft("Rename(GenerationDraft,Generation)", "Unlink(GenerationDraft)")]
fn what_a_contender_left_half_done(#[case] died_at: &str, #[case] cleared: &str) {
    if !has_strace() {
        return;
    }
    let scene = Leftovers::DEAD_OWNER.scene();
    if cleared.contains("Generation") {
        fs::remove_file(scene.arena.beside(".generation")).expect("because it was reserved");
    }
    let mut victim = Child::contender(&scene.arena, &[]);
    victim.must(&format!("trap kill {died_at} 1"));
    victim.say("acquire");
    victim.event("trap");
    assert!(matches!(victim.hear(), Heard::End), "{died_at} did not kill it");
    let report = cycle(&scene, Settings::default());
    assert_eq!(report.story(), ["took over: OwnerDied", "released"]);
    assert!(report.has(cleared), "{:#?}", report.pairs);
    scene.assert_clean(died_at);
}
