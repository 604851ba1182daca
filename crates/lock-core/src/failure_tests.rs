//! Whatever fails, and wherever: the outcome says so, and nothing of ours stays behind.

use rstest::rstest;

use super::*;
use crate::effect::{Event, Slot};
use crate::snapshot::Kind;
use crate::testing::disk::{Disk, Inode, Lack};
use crate::testing::worker::{Tell, Worker};
use crate::testing::{corpse, owner, process};
use crate::{Acquire, Chores, Evict, Held, Hold, Inspect};

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

fn contender(disk: &Disk) -> Worker<Acquire> {
    Worker::contender(disk, process("a"))
}

/// What leads into the corners of an acquire.
struct Scene {
    name: &'static str,
    disk: Disk,
}

fn scenes() -> Vec<Scene> {
    let free = Disk::new();
    let mut dead_owner = Disk::new();
    let (context, _) = owner(&mut dead_owner, "o");
    dead_owner.let_go(context.pid);
    let mut leftovers = dead_owner.clone();
    corpse(&mut leftovers, "breaker", "Rename(Takeover, Lock)");
    corpse(&mut leftovers, "reaper", "Look(Takeover)");
    let linked = Disk::without(&[Lack::Anonymous]);
    let mut linked_leftovers = linked.clone();
    corpse(&mut linked_leftovers, "dead", "Open(Judged, Lock)");
    let separate = Disk::without(&[Lack::Anonymous, Lack::Links]);
    let mut separate_leftovers = separate.clone();
    corpse(&mut separate_leftovers, "dead", "Open(Judged, Lock)");
    let scene = |name, disk| Scene { name, disk };
    Vec::from([
        scene("free", free),
        scene("dead owner", dead_owner),
        scene("leftovers", leftovers),
        scene("linked", linked),
        scene("linked leftovers", linked_leftovers),
        scene("separate", separate),
        scene("separate leftovers", separate_leftovers),
    ])
}

/// Each effect of an acquire that can fail, in turn: the scene, the disk when the effect is
/// due, and whose it is. (A descriptor is gone after `close`, whatever that says.)
fn each_effect(mut visit: impl FnMut(&Scene, &Disk, Worker<Acquire>, Effect)) {
    for scene in scenes() {
        let mut disk = scene.disk.clone();
        let mut ahead = contender(&disk);
        while let Some(effect) = ahead.effect() {
            if !matches!(effect, Effect::Close(_)) {
                visit(&scene, &disk, ahead.clone(), effect);
            }
            ahead.step(&mut disk);
        }
    }
}

/// A name may stay if just its removal failed, and then the next contender clears it like
/// any dead one's; or if its own maker cannot tell which inode it leads to.
fn may_stay(name: Name, effect: &Effect) -> bool {
    let unknown = matches!(effect, Effect::Stat(slot) if slot.name() == name);
    unknown || matches!(effect, Effect::Unlink(failed) | Effect::Look(failed) if *failed == name)
}

#[rstest]
#[case::input_output(5)]
#[case::no_space(28)]
fn an_acquire_that_fails_leaves_nothing_behind(#[case] errno: i32) {
    let names = [Name::Lock, Name::Mutex, Name::Reclaim, Name::Takeover];
    let mut complaints = BTreeSet::new();
    each_effect(|scene, disk, mut contender, effect| {
        let mut disk = disk.clone();
        disk.story();
        contender.feed(&mut disk, Event::Failed(Errno(errno)));
        if contender.run(&mut disk).is_ok() {
            return;
        }
        for name in names {
            let text = disk.text(name);
            let is_ours = text.is_some() && text != scene.disk.clone().text(name);
            if is_ours && !may_stay(name, &effect) {
                complaints.insert(format!("{}: {effect} failed, left {name:?}", scene.name));
            }
        }
        if disk.names().contains(&"Ticket of a") && !may_stay(Name::Ticket, &effect) {
            complaints.insert(format!("{}: {effect} failed, left Ticket", scene.name));
        }
    });
    let complaints: Vec<_> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Has each effect of a machine fail in turn, and complains of files that are closed although
/// they are not open, or still locked, or that are left open when all is done. An unlock that
/// fails leaves its file locked, and `close` closes it all the same.
fn complain<M>(name: &str, start: &Disk, mut ahead: Worker<M>, complaints: &mut BTreeSet<String>)
where
    M: Machine + Clone,
    M::Output: Tell + Clone,
{
    let mut disk = start.clone();
    while let Some(effect) = ahead.effect() {
        let (mut failing, mut worker) = (disk.clone(), ahead.clone());
        failing.story();
        if !matches!(effect, Effect::Close(_) | Effect::Unlock(_)) {
            worker.feed(&mut failing, Event::Failed(Errno(5)));
            let context = worker.context.clone();
            let _ = worker.run(&mut failing);
            if let Some(chores) = Chores::letting_go(failing.left_open(context.pid)) {
                let let_go = Worker::new(context.clone(), chores).run(&mut failing);
                assert_eq!(let_go, Ok(()), "{name}: {effect} failed");
            }
            assert_eq!(failing.open_slots(context.pid), [], "{name}: {effect} failed");
            let about_files = |line: &&str| line.contains("Close") || line.contains("in use");
            let found = failing.complaints().into_iter().filter(about_files);
            complaints.extend(found.map(|line| format!("{name}: {effect} failed: {line}")));
        }
        ahead.step(&mut disk);
    }
}

/// One effect is one call, also on the way out of a failure.
#[test]
fn whatever_fails_every_file_is_closed_once_and_unlocked_before() {
    let mut complaints = BTreeSet::new();
    for scene in scenes() {
        let Scene { name, disk } = &scene;
        complain(name, disk, contender(disk), &mut complaints);
        let person = process("person");
        let inspect = Worker::new(person.clone(), Inspect::new(&person));
        complain(name, disk, inspect, &mut complaints);
        let evict = Worker::new(person.clone(), Evict::new(&person, None));
        complain(name, disk, evict, &mut complaints);
    }
    for (lacks, shared) in [(&[][..], false), (&[], true), (&[Lack::Anonymous], true)] {
        let mut disk = Disk::without(lacks);
        let (context, ownership) = owner(&mut disk, "o");
        let ownership = Ownership { shared, ..ownership };
        corpse(&mut disk, "dead", "Open(Judged, Lock)");
        for (name, machine) in [
            ("renewal", Hold::renew(&context, disk.now, ownership.clone())),
            ("step", Hold::step(&context, disk.now, ownership.clone(), "on", Duration::ZERO)),
            ("release", Hold::release(&context, disk.now, ownership)),
        ] {
            let name = format!("{name}, shared: {shared}");
            complain(&name, &disk, Worker::new(context.clone(), machine), &mut complaints);
        }
    }
    let complaints: Vec<_> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The simulator refuses calls with one error number for all: this says why it may. (A
/// directory where a file should be opened is the one number that means something.)
#[test]
fn every_error_number_is_taken_alike() {
    const EIO: Errno = Errno(5);
    let after = |disk: &Disk, mut contender: Worker<Acquire>, errno: Errno| {
        let mut disk = disk.clone();
        contender.feed(&mut disk, Event::Failed(errno));
        disk.story();
        let outcome = contender.run(&mut disk).map_err(|failure| match failure {
            Failure::System { verb, name, errno: same } if same == errno => {
                Failure::System { verb, name, errno: EIO }
            }
            failure => failure,
        });
        let story = disk.story().replace(&format!("{errno:?}"), &format!("{EIO:?}"));
        (outcome, story)
    };
    for number in [13, 24, 28, 30, 116, 122] {
        each_effect(|scene, disk, contender, effect| {
            let expected = after(disk, contender.clone(), EIO);
            let found = after(disk, contender, Errno(number));
            assert_eq!(found, expected, "{}: {effect} failed with {number}", scene.name);
        });
    }
}

/// Nobody may have to wait for what a failure left behind, once its driver has let go of it.
#[test]
fn after_any_failure_the_next_contender_gets_the_lock_at_once() {
    let mut complaints = BTreeSet::new();
    each_effect(|scene, disk, mut contender, effect| {
        let mut disk = disk.clone();
        contender.feed(&mut disk, Event::Failed(Errno(5)));
        let _ = contender.run(&mut disk);
        disk.let_go(process("a").pid);
        let waited = time_to_own(&mut disk);
        // A guard whose `stat` fails cannot be removed safely, and empty it has to grow old.
        let is_own_guard = matches!(effect, Effect::Stat(Slot::Mutex | Slot::Reclaim));
        if waited > 0 && !is_own_guard {
            complaints.insert(format!("{}: {effect} failed, next after {waited} ms", scene.name));
        }
    });
    let complaints: Vec<_> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Without links a guard that was created and neither locked nor filled can be told from a
/// living one by nothing but its age.
#[test]
fn after_any_crash_the_next_contender_gets_the_lock_at_once() {
    each_effect(|scene, disk, contender, effect| {
        let mut disk = disk.clone();
        contender.die(&mut disk);
        let waited = time_to_own(&mut disk);
        let is_bare = scene.name.starts_with("separate")
            && !matches!(effect, Effect::CreateAnonymous(_) | Effect::Create(..));
        let limit = if is_bare { 1_400 } else { 0 };
        assert!(waited <= limit, "{}: crashed at {effect}, next after {waited} ms", scene.name);
    });
}

fn time_to_own(disk: &mut Disk) -> u64 {
    let start = disk.now.boot.0;
    disk.story();
    let next = Worker::contender(disk, process("next")).run(disk);
    assert!(next.is_ok(), "{}", disk.story());
    disk.now.boot.0 - start
}

/// It owned the lock for a moment, but its caller is told that it failed. What it does to the
/// lock then must not fall into what others do in the mutex.
#[test]
fn who_cannot_leave_the_mutex_gives_the_lock_up_inside_it() {
    for lacks in [&[][..], &[Lack::Anonymous, Lack::Links]] {
        for effect in ["Look(Mutex)", "Unlink(Mutex)"] {
            let mut disk = Disk::without(lacks);
            let contender = contender(&disk).until(&mut disk, "Open(Judged, Lock)");
            let mut contender = contender.until(&mut disk, effect);
            contender.feed(&mut disk, Event::Failed(Errno(5)));
            assert!(contender.run(&mut disk).is_err());
            assert_eq!(disk.complaints(), [""; 0]);
            assert!(!disk.names().contains(&"Lock"), "{}", disk.story());
        }
    }
}

/// Held up for so long that its mutex is another's by now.
#[test]
fn a_late_creator_that_fails_removes_nothing_of_its_successors() {
    let mut disk = Disk::without(&[Lack::Anonymous, Lack::Links]);
    let mut late = contender(&disk).until(&mut disk, "Stat(Mutex)");
    disk.pass(1_000);
    let quick = Worker::contender(&disk, process("quick")).until(&mut disk, "Open(Judged, Lock)");
    late.feed(&mut disk, Event::Failed(Errno(5)));
    assert!(late.run(&mut disk).is_err());
    assert!(disk.holds(process("quick").pid, Name::Mutex), "{}", disk.story());
    drop(quick);
}

/// An owner whose renewal fails is still the owner, and must not sit in the mutex.
#[test]
fn a_renewal_that_fails_leaves_the_mutex() {
    let mut start = Disk::new();
    let (context, ownership) = owner(&mut start, "o");
    corpse(&mut start, "dead", "Open(Judged, Lock)");
    let mut complaints = Vec::new();
    for index in 0.. {
        let mut disk = start.clone();
        let machine = Hold::renew(&context, disk.now, ownership.clone());
        let mut renewal = Worker::new(context.clone(), machine);
        for _ in 0..index {
            renewal.step(&mut disk);
        }
        let Some(effect) = renewal.effect() else {
            break;
        };
        renewal.feed(&mut disk, Event::Failed(Errno(5)));
        let outcome = renewal.run(&mut disk);
        for name in [Name::Mutex, Name::Reclaim] {
            let is_ours = disk.text(name) == disk.text(Name::Lock);
            if is_ours && !may_stay(name, &effect) {
                complaints.push(format!("{effect} failed: still {name:?}"));
            }
        }
        if matches!(outcome, Ok(Held::Lost { .. })) {
            complaints.push(format!("{effect} failed: {outcome:?}"));
        }
        assert!(disk.holds(context.pid, Name::Lock), "{effect} failed");
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn thing(kind: Kind) -> Inode {
    Inode { kind, ..Inode::file("", crate::time::Wall(0)) }
}

fn foreign() -> Inode {
    let foreign = true;
    Inode { foreign, ..thing(Kind::File) }
}

/// The lock's own path and its mutex are refused whatever stands there; so is the
/// generation file. The owner of the directory has to look at it.
#[rstest]
#[case::directory(thing(Kind::Directory), Refusal::Directory)]
#[case::symlink(thing(Kind::Symlink), Refusal::Symlink)]
#[case::fifo(thing(Kind::Other), Refusal::Special)]
#[case::foreign(foreign(), Refusal::Foreign)]
fn what_is_no_lock_file_is_refused_by_name(#[case] inode: Inode, #[case] reason: Refusal) {
    for name in [Name::Lock, Name::Mutex, Name::Generation] {
        if name == Name::Generation && reason == Refusal::Directory {
            continue;
        }
        let mut disk = Disk::new();
        disk.put(&[name], inode.clone());
        let failure = contender(&disk).run(&mut disk);
        assert_eq!(failure, Err(Failure::Refused { name, reason }));
        assert_eq!(disk.names(), [format!("{name:?}")], "it is kept, alone");
        disk.let_go(process("a").pid);
    }
}

/// It is opened for writing, which the system itself refuses for a directory.
#[test]
fn a_directory_at_the_generation_file_is_refused() {
    let mut disk = Disk::new();
    disk.put(&[Name::Generation], thing(Kind::Directory));
    let failure = contender(&disk).run(&mut disk);
    let is_directory = Failure::Refused { name: Name::Generation, reason: Refusal::Directory };
    assert_eq!(failure, Err(is_directory));
    assert_eq!(disk.names(), ["Generation"]);
}

#[rstest]
#[case::directory(thing(Kind::Directory), Refusal::Directory)]
#[case::symlink(thing(Kind::Symlink), Refusal::Symlink)]
#[case::fifo(thing(Kind::Other), Refusal::Special)]
#[case::foreign(foreign(), Refusal::Foreign)]
fn a_reclaim_path_that_is_no_lock_file_is_refused_too(
    #[case] inode: Inode,
    #[case] reason: Refusal,
) {
    let mut disk = Disk::new();
    corpse(&mut disk, "dead", "Open(Judged, Lock)");
    disk.put(&[Name::Reclaim], inode);
    let failure = contender(&disk).run(&mut disk);
    let name = Name::Reclaim;
    assert_eq!(failure, Err(Failure::Refused { name, reason }));
    assert_eq!(disk.names(), ["Mutex", "Reclaim"]);
}

/// Temporary names belong to whoever is in the mutex: what stands there goes, if it can.
#[test]
fn what_stands_at_a_temporary_name_is_removed_unless_it_is_a_directory() {
    for name in [Name::Takeover, Name::GenerationDraft] {
        for kind in [Kind::Symlink, Kind::Other, Kind::Directory] {
            let mut disk = Disk::new();
            if name == Name::Takeover {
                let (context, _) = owner(&mut disk, "o");
                disk.let_go(context.pid);
            }
            disk.put(&[name], thing(kind));
            let acquired = contender(&disk).run(&mut disk);
            if kind != Kind::Directory {
                assert!(acquired.is_ok(), "{name:?} {kind:?}: {acquired:?}");
                continue;
            }
            let refused =
                matches!(&acquired, Err(Failure::System { name: at, .. }) if *at == Some(name));
            assert!(refused, "{name:?}: {acquired:?}");
            assert!(!disk.names().contains(&"Mutex"));
        }
    }
}

#[test]
fn an_owner_meets_a_directory_at_the_mutex() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    disk.put(&[Name::Mutex], thing(Kind::Directory));
    let machine = Hold::renew(&context, disk.now, ownership);
    let held = Worker::new(context.clone(), machine).run(&mut disk);
    let name = Name::Mutex;
    let reason = Refusal::Directory;
    assert_eq!(held, Err(Failure::Refused { name, reason }));
    assert!(disk.holds(context.pid, Name::Lock));
}

/// A driver that answers a call with another call's event ends the acquire, not the process.
#[test]
fn an_answer_to_another_question_is_an_error() {
    let mut disk = Disk::new();
    let mut contender = contender(&disk).until(&mut disk, "Stat(Ticket)");
    contender.feed(&mut disk, Event::Bytes(Vec::new()));
    let failure = contender.run(&mut disk);
    assert!(matches!(failure, Err(Failure::System { verb: "stat", .. })), "{failure:?}");
}
