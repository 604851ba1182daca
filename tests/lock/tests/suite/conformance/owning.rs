//! Owning a lock: renewing it, looking at it, losing it.

use std::fs;
use std::time::Duration;

use lock_fs::{Evicted, Lock, Options, Settings};
use lock_tests::conformance::{Act, Report};
use rstest::rstest;
use rustix::process::Signal;

use super::CYCLE;
use crate::kit::{Child, Scene, Traced, has_strace, settings};

#[test]
fn renewals_come_by_themselves() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let renew_every = Duration::from_millis(20);
    let often = Settings { renew_every, ..Settings::default() };
    let mut traced = Traced::contender(&scene, often, &[], &[]);
    traced.child.must("acquire");
    // Each begins with a touch.
    traced.until_called(&["utimensat"], 2);
    traced.child.must("step between 0");
    traced.until_called(&["utimensat"], 4);
    traced.child.release();
    let report = traced.explained(&[Act::Acquire, Act::Step("between".to_owned()), Act::Release]);
    let renewed = report.story().iter().filter(|end| *end == "renewed").count();
    assert!(renewed >= 3, "{:?}", report.story());
    assert!(report.has("Watch(Ticket)"), "the keeper has the ticket watched");
}

/// Once others may inherit the ticket it is never the mutex again: each step, renewal and release
/// makes a file of its own for that, and the ticket itself is only written and unlinked.
#[test]
fn a_ticket_that_others_inherit_is_never_the_mutex() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let renew_every = Duration::from_millis(20);
    let often = Settings { renew_every, ..Settings::default() };
    let mut traced = Traced::contender(&scene, often, &["--preemptible"], &[]);
    traced.child.must("acquire");
    traced.child.must("share");
    traced.child.must("step on 0");
    // The acquire makes one, the step another, and each renewal one more.
    traced.until_called(&["O_TMPFILE"], 4);
    traced.child.release();
    let report = traced.explained(&[Act::Acquire, Act::Step("on".to_owned()), Act::Release]);
    let shared = report.set_up.iter().any(|(call, _)| call.starts_with("fcntl(ticket"));
    assert!(shared, "{:?}", report.set_up);
    let story = report.story();
    assert!(story.iter().filter(|end| *end == "renewed").count() >= 2, "{story:?}");
    let own = report.pairs.iter().skip_while(|pair| pair.what == "acquire");
    let own: Vec<_> = own.map(|pair| pair.effect.to_string()).collect();
    assert!(own.contains(&"Link(Mutex, Mutex)".to_owned()), "{own:?}");
    // Renewals before the copy was taken may have had the ticket itself in the mutex.
    let made = own.iter().position(|effect| effect == "CreateAnonymous(Mutex)");
    let after = own.get(made.expect("because it stepped")..).unwrap_or_default();
    assert!(!after.contains(&"Link(Ticket, Mutex)".to_owned()), "{after:?}");
    scene.assert_clean("an owner with heirs");
}

/// Who has the lock is found in `/proc`, with one look at the file.
#[test]
fn looking_who_has_it() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let owner = Child::owner(&scene.arena);
    let mut traced = Traced::usual(&scene);
    let found = traced.child.must("holders");
    assert_eq!(found["pids"], serde_json::json!([owner.pid()]));
    let report = traced.explained(&[Act::Holders]);
    assert_eq!(report.story(), ["kernel Held", "1 holders"]);
}

/// A cgroup that is gone holds no work; one that cannot be read below the mount may hold some.
#[test]
fn a_dead_owners_cgroup_is_looked_at() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    Child::owner(&scene.arena).kill();
    let record = fs::read_to_string(scene.arena.lock()).expect("because its owner wrote it");
    let record = record.replace("progress=", "cgroup=no-such-group\nprogress=");
    fs::write(scene.arena.lock(), record).expect("because it is ours");
    let report = super::cycle(&scene, Settings::default());
    assert_eq!(report.story(), ["took over: OwnerDied", "released"]);
    assert!(report.has("AskCgroup"));
}

fn evict(scene: &Scene) {
    let lock = Lock::open(scene.arena.lock(), Options::default());
    let lock = lock.expect("because the directory is there");
    let evicted = lock.evict(None).expect("because nobody is in its way");
    assert!(matches!(evicted, Evicted::Done(Some(_))), "{evicted:?}");
}

/// Whether the keeper or the release finds out, it is one of the two, and only once.
fn assert_lost_once(report: &Report, how: &str) {
    let story = report.story();
    assert_eq!(story.iter().filter(|end| *end == how).count(), 1, "{story:?}");
    assert_eq!(story.last().map(String::as_str), Some(how), "{story:?}");
    // The successor's lock is left alone, and the ticket is let go of at once.
    assert!(!report.has("Unlink(Lock)") && report.has("Unlock(Ticket)"));
    assert_eq!(report.pairs.last().map(|pair| pair.what), Some("let go"));
}

/// Its watch tells the keeper, whose glance and renewal find out; the release then has nothing
/// left to do.
#[test]
fn an_eviction_is_noticed_and_a_later_release_makes_no_call() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut traced = Traced::contender(&scene, Settings::default(), &["--preemptible"], &[]);
    traced.child.must("acquire");
    evict(&scene);
    let told = traced.child.ask("loss 20000");
    assert_eq!(told["lost"], true, "{told}");
    let released = traced.child.ask("release");
    assert_eq!(released["released"], false, "{released}");
    let report = traced.explained(&CYCLE);
    assert_eq!(report.story(), ["acquired", "replaced", "lost to nobody"]);
    assert_lost_once(&report, "lost to nobody");
}

#[rstest]
#[case::evicted("lost to nobody")]
#[case::taken_over("lost to another")]
fn a_stopped_owner_finds_out_when_it_goes_on(#[case] how: &str) {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut traced = Traced::contender(&scene, settings(50, 60_000), &["--preemptible"], &[]);
    traced.child.must("acquire");
    traced.signal(Signal::STOP);
    let mut other = Child::contender(&scene.arena, &["--stale-after", "50"]);
    match how {
        "lost to nobody" => evict(&scene),
        _ => {
            other.must("acquire");
        }
    }
    traced.child.say("release");
    traced.signal(Signal::CONT);
    assert_eq!(traced.child.reply()["released"], false);
    let report = traced.explained(&CYCLE);
    assert_lost_once(&report, how);
}

/// Neither the name nor the inode changes, so no watch tells: the release itself finds out.
#[test]
fn a_release_finds_a_peers_record_in_the_lock() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut traced = Traced::usual(&scene);
    traced.child.must("acquire");
    scene.put_seed_lock(Duration::ZERO);
    let released = traced.child.ask("release");
    assert_eq!(released["to"]["token"], "seed-token", "{released}");
    let report = traced.explained(&CYCLE);
    assert_eq!(report.story(), ["acquired", "lost to another"]);
    assert_lost_once(&report, "lost to another");
    assert!(fs::metadata(scene.arena.lock()).is_ok(), "the peer's lock is left alone");
}

/// The step finds out before it does anything.
#[test]
fn a_step_finds_a_peers_record_in_the_lock() {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut traced = Traced::usual(&scene);
    traced.child.must("acquire");
    scene.put_seed_lock(Duration::ZERO);
    let work = scene.assert_no_overlap("the first owner").len();
    traced.child.must_fail("step never 0", "Lost");
    let report = traced.explained(&[Act::Acquire, Act::Step("never".to_owned()), Act::Release]);
    assert_eq!(report.story(), ["acquired", "lost to another"]);
    assert_eq!(scene.assert_no_overlap("both").len(), work, "the work was not done");
}

#[rstest]
#[case::free(false, &["free"])]
#[case::held(true, &["kernel Held"])]
fn looking_takes_nothing(#[case] held: bool, #[case] story: &[&str]) {
    if !has_strace() {
        return;
    }
    let scene = Scene::used();
    let mut owner = Child::contender(&scene.arena, &[]);
    if held {
        owner.must("acquire");
    }
    let mut traced = Traced::contender(&scene, settings(30_000, 1_000), &[], &[]);
    assert_eq!(traced.child.must("status")["held"], held);
    let report = traced.explained(&[Act::Inspect]);
    assert_eq!(report.story(), story);
    let changes = ["Write(", "Link(", "Unlink(", "Rename(", "Create"];
    let effects = report.pairs.iter().map(|pair| pair.effect.to_string());
    for effect in effects {
        assert!(!changes.iter().any(|change| effect.starts_with(change)), "{effect}");
    }
}
