//! Scripted runs of an owner whose ticket others have inherited: it has a second inode for the
//! mutex, so that the first arbitrates the lock and nothing else.

use rstest::rstest;

use super::*;
use crate::acquire::Acquire;
use crate::effect::{Event, Wake};
use crate::evict::{Evict, Evicted};
use crate::machine::Medium;
use crate::record::{Generation, Token};
use crate::testing::disk::{Disk, Inode, Lack};
use crate::testing::worker::Worker;
use crate::testing::{corpse, owner, process, process_with, settings};

/// Where a contender has the mutex and nothing else.
const IN_THE_MUTEX: &str = "Open(Judged, Lock)";

/// A process that has inherited the owner's ticket.
fn heir() -> u32 {
    process("heir").pid
}

/// An owner whose ticket a process has inherited.
fn sharing(disk: &mut Disk) -> (Context, Ownership) {
    let (context, ownership) = owner(disk, "o");
    disk.inherit(context.pid, Slot::Ticket, heir());
    (context, Ownership { shared: true, ..ownership })
}

fn renew(disk: &Disk, context: &Context, ownership: &Ownership) -> Worker<Hold> {
    let machine = Hold::renew(context, disk.now, ownership.clone());
    Worker::new(context.clone(), machine)
}

fn release(disk: &Disk, context: &Context, ownership: &Ownership) -> Worker<Hold> {
    let machine = Hold::release(context, disk.now, ownership.clone());
    Worker::new(context.clone(), machine)
}

fn contender(disk: &Disk, name: &str) -> Worker<Acquire> {
    Worker::contender(disk, process(name))
}

/// Runs to the end, and looks before each call that no role's name leads to the ticket.
fn apart(disk: &mut Disk, mut worker: Worker<Hold>) -> Result<Held, Failure> {
    let ticket = disk.leads_to(Name::Lock);
    assert!(ticket.is_some());
    while worker.effect().is_some() {
        worker.step(disk);
        for role in [Name::Mutex, Name::Reclaim] {
            assert_ne!(disk.leads_to(role), ticket, "{role:?}\n{}", disk.story());
        }
    }
    worker.run(disk)
}

fn settled(disk: &Disk, context: &Context) {
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert!(disk.holds(context.pid, Name::Lock));
    assert_eq!(disk.open_slots(context.pid), [Slot::Ticket]);
    assert_eq!(disk.complaints(), [""; 0]);
}

fn lost_to(held: Result<Held, Failure>) -> Option<Token> {
    match held {
        Ok(Held::Lost { to }) => to.map(|record| record.token.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_renewal_uses_a_second_inode() {
    let mut disk = Disk::new();
    let (context, ownership) = sharing(&mut disk);
    let renewal = renew(&disk, &context, &ownership);
    let held = apart(&mut disk, renewal);
    assert!(matches!(held, Ok(Held::Renewed(Ownership { shared: true, .. }))), "{held:?}");
    settled(&disk, &context);
    insta::assert_snapshot!(disk.story());
}

#[test]
fn a_step_stays_in_the_mutex_by_a_second_inode() {
    let mut disk = Disk::new();
    let (context, ownership) = sharing(&mut disk);
    let step = Hold::step(&context, disk.now, ownership, "1/1", Duration::ZERO);
    let step = Worker::new(context.clone(), step);
    let Ok(Held::Stepping { leave, ownership }) = apart(&mut disk, step) else {
        panic!("{}", disk.story());
    };
    assert!(ownership.shared);
    assert!(disk.holds(context.pid, Name::Mutex));
    assert!(!disk.holds(heir(), Name::Mutex));
    assert_eq!(disk.open_slots(context.pid), [Slot::Ticket, Slot::Mutex]);
    Worker::new(context.clone(), leave).run(&mut disk).expect("because nothing fails");
    settled(&disk, &context);
    insta::assert_snapshot!(disk.story());
}

/// The kernel's lock is dropped for the heirs as well: work that was left keeps nothing.
#[test]
fn a_release_lets_go_of_both() {
    let mut disk = Disk::new();
    let (context, ownership) = sharing(&mut disk);
    let release = release(&disk, &context, &ownership);
    assert_eq!(apart(&mut disk, release), Ok(Held::Released));
    assert_eq!(disk.names(), ["Generation"]);
    assert_eq!(disk.open_slots(context.pid), []);
    assert!(disk.open_slots(heir()).contains(&Slot::Ticket));
    assert_eq!(disk.left_open(heir()).first().map(|open| open.locked), Some(false));
    assert_eq!(disk.complaints(), [""; 0]);
    insta::assert_snapshot!(disk.story());
}

/// What it leaves behind keeps the lock, and not the mutex.
#[test]
fn an_owner_that_is_killed_in_the_mutex_leaves_that_to_the_next() {
    let mut disk = Disk::new();
    let (context, ownership) = sharing(&mut disk);
    renew(&disk, &context, &ownership).until(&mut disk, "Look(Lock)").die(&mut disk);
    let waiter = contender(&disk, "a").until(&mut disk, "Watch(Judged)");
    assert!(disk.at(Name::Mutex).is_none(), "it was reaped");
    let waiter = waiter.until(&mut disk, "Sleep");
    assert!(disk.holds(heir(), Name::Lock));
    disk.end(heir());
    let acquired = waiter.run(&mut disk).expect("because nothing of the owner is left");
    assert!(acquired.takeover.is_some_and(|takeover| !takeover.reason.owner_lives()));
}

#[rstest]
#[case::a_mutex(&["dead"])]
#[case::and_a_reclaim_lock(&["dead", "reaper"])]
fn a_dead_mutex_is_reaped_by_the_second_inode(#[case] dead: &[&str]) {
    for lacks in [&[][..], &[Lack::Anonymous]] {
        let mut disk = Disk::without(lacks);
        let (context, ownership) = sharing(&mut disk);
        for (name, due) in dead.iter().zip([IN_THE_MUTEX, "Look(Takeover)"]) {
            corpse(&mut disk, name, due);
        }
        let renewal = renew(&disk, &context, &ownership);
        let held = apart(&mut disk, renewal);
        assert!(matches!(held, Ok(Held::Renewed(_))), "{held:?}");
        assert!(!disk.names().contains(&"Ticket of o"), "{:?}", disk.names());
        assert_eq!(disk.open_slots(context.pid), [Slot::Ticket]);
        assert_eq!(disk.complaints(), [""; 0]);
    }
}

/// The one name that the second inode had was the reclaim lock: another is needed.
#[test]
fn a_second_inode_that_is_spent_is_followed_by_another() {
    let mut disk = Disk::new();
    let (context, ownership) = sharing(&mut disk);
    corpse(&mut disk, "dead", IN_THE_MUTEX);
    let renewal = renew(&disk, &context, &ownership).until(&mut disk, "Look(Mutex)");
    disk.remove(Name::Mutex);
    let held = apart(&mut disk, renewal);
    assert!(matches!(held, Ok(Held::Renewed(_))), "{held:?}");
    settled(&disk, &context);
    let story = disk.story();
    assert_eq!(story.matches("o  CreateAnonymous(Mutex)").count(), 2, "{story}");
}

/// It has no name to lose that would keep it from entering: so it looks where the path leads.
#[rstest]
#[case::replaced(true)]
#[case::gone(false)]
fn a_loss_is_found_by_the_path(#[case] is_replaced: bool) {
    let mut disk = Disk::new();
    let (context, ownership) = sharing(&mut disk);
    let person = process("person");
    let evict = Evict::new(&person, Some(Generation(1)));
    let evicted = Worker::new(person, evict).run(&mut disk);
    assert!(matches!(evicted, Ok(Evicted::Done(Some(_)))), "{evicted:?}");
    if is_replaced {
        owner(&mut disk, "b");
    }
    let expected = is_replaced.then(|| process("b").token);
    disk.story();
    for act in [renew(&disk, &context, &ownership), release(&disk, &context, &ownership)] {
        assert_eq!(lost_to(act.run(&mut disk)), expected);
        disk.close(context.pid, Slot::Guard);
    }
    let step = Hold::step(&context, disk.now, ownership, "1/1", Duration::ZERO);
    assert_eq!(lost_to(Worker::new(context.clone(), step).run(&mut disk)), expected);
    assert!(disk.at(Name::Mutex).is_none());
    assert_eq!(disk.complaints(), [""; 0]);
}

/// A peer overwrites in place: the same inode, another token.
#[test]
fn a_loss_is_found_by_the_token() {
    let mut disk = Disk::new();
    let (context, ownership) = sharing(&mut disk);
    let lock = disk.at(Name::Lock).expect("because the lock is owned");
    lock.content = Ok(b"42\n1000000\npeer\n".into());
    let held = renew(&disk, &context, &ownership).run(&mut disk);
    assert_eq!(lost_to(held).as_ref().map(Token::as_str), Some("peer"));
    assert_eq!(disk.complaints(), [""; 0]);
}

/// A peer judges the mutex by its mtime; and a touch of the ticket would wake all who wait.
#[test]
fn a_second_inode_that_waited_is_touched_and_the_ticket_is_not() {
    let mut disk = Disk::new();
    let (context, ownership) = sharing(&mut disk);
    let holder = contender(&disk, "h").until(&mut disk, IN_THE_MUTEX);
    let mut renewal = renew(&disk, &context, &ownership).until(&mut disk, "Sleep");
    let start = disk.now.mono;
    while disk.now.mono.since(start) < Duration::from_secs(2) {
        renewal = renewal.after(&mut disk, "Sleep");
    }
    holder.die(&mut disk);
    disk.remove(Name::Mutex);
    renewal.until(&mut disk, "Look(Lock)");
    let now = disk.now.wall;
    let mtime = |name| disk.clone().at(name).map(|inode| now.since(inode.mtime));
    assert!(mtime(Name::Mutex) < Some(Duration::from_secs(1)), "{:?}", mtime(Name::Mutex));
    assert!(mtime(Name::Lock) >= Some(Duration::from_secs(2)), "{:?}", mtime(Name::Lock));
}

/// It could not drop the mutex while its ticket was not shared yet, and must not wait for itself.
#[test]
fn an_owner_that_is_still_in_the_mutex_by_its_ticket_does_not_wait_for_itself() {
    let mut disk = Disk::new();
    let (context, ownership) = owner(&mut disk, "o");
    let mut first = renew(&disk, &context, &ownership).until(&mut disk, "Unlink(Mutex)");
    first.feed(&mut disk, Event::Failed(crate::effect::Errno(5)));
    assert!(first.run(&mut disk).is_err());
    let start = disk.now;
    let shared = Ownership { shared: true, ..ownership };
    let second = renew(&disk, &context, &shared).run(&mut disk);
    assert!(matches!(second, Ok(Held::Renewed(_))), "{second:?}");
    assert_eq!(disk.now, start, "it slept");
    settled(&disk, &context);
}

/// Its patience is with one holder, as that of any owner.
#[test]
fn a_renewal_that_finds_no_mutex_leaves_nothing_behind() {
    for lacks in [&[][..], &[Lack::Anonymous]] {
        let mut disk = Disk::without(lacks);
        let (context, ownership) = sharing(&mut disk);
        let no_wait = true;
        let hurried = process_with("stopped", crate::policy::Settings { no_wait, ..settings() });
        let stopped = Worker::contender(&disk, hurried).until(&mut disk, IN_THE_MUTEX);
        let start = disk.now.mono;
        let held = renew(&disk, &context, &ownership).run(&mut disk);
        assert!(matches!(held, Err(Failure::MutexHeld { holder: Some(_) })), "{held:?}");
        assert_eq!(disk.now.mono.since(start), settings().mutex_patience);
        assert_eq!(disk.open_slots(context.pid), [Slot::Ticket]);
        assert!(!disk.names().contains(&"Ticket of o"));
        assert_eq!(disk.complaints(), [""; 0]);
        drop(stopped);
    }
}

#[test]
fn a_cancelled_step_leaves_nothing_behind() {
    let mut disk = Disk::new();
    let (context, ownership) = sharing(&mut disk);
    let holder = contender(&disk, "h").until(&mut disk, IN_THE_MUTEX);
    let step = Hold::step(&context, disk.now, ownership, "1/1", Duration::ZERO);
    let mut step = Worker::new(context.clone(), step).until(&mut disk, "Sleep");
    step.feed(&mut disk, Event::Woken(Wake::Cancelled));
    assert_eq!(step.run(&mut disk), Err(Failure::Cancelled));
    assert_eq!(disk.open_slots(context.pid), [Slot::Ticket]);
    assert_eq!(disk.complaints(), [""; 0]);
    drop(holder);
}

/// Without hard links each role is a file of its own anyway.
#[test]
fn without_links_nothing_is_different() {
    let mut disk = Disk::without(&[Lack::Anonymous, Lack::Links]);
    let (context, ownership) = owner(&mut disk, "o");
    assert_eq!(ownership.medium, Medium::Separate);
    let mut stories = [false, true].map(|shared| {
        let ownership = Ownership { shared, ..ownership.clone() };
        let held = renew(&disk, &context, &ownership).run(&mut disk);
        assert!(matches!(held, Ok(Held::Renewed(_))), "{held:?}");
        disk.story()
    });
    let [one, other] = &mut stories;
    assert_eq!(one, other);
}

/// The file system has lost what the ticket was made with: the mutex is another file's name.
#[test]
fn a_dead_mutex_that_a_stranger_made_is_waited_for_by_its_age() {
    let mut disk = Disk::new();
    let (context, ownership) = sharing(&mut disk);
    let young = Inode::file("", disk.now.wall);
    disk.put(&[Name::Mutex], young);
    let start = disk.now.mono;
    let renewal = renew(&disk, &context, &ownership);
    let held = apart(&mut disk, renewal);
    assert!(matches!(held, Ok(Held::Renewed(_))), "{held:?}");
    assert_eq!(disk.now.mono.since(start), settings().stale_after);
    settled(&disk, &context);
}

/// The mutex is ours by then, and goes with its file, which is closed once.
#[test]
fn a_dead_mutex_that_cannot_be_let_go_of_leaves_nothing_behind() {
    let mut disk = Disk::new();
    let (context, ownership) = sharing(&mut disk);
    corpse(&mut disk, "dead", IN_THE_MUTEX);
    let mut renewal = renew(&disk, &context, &ownership).after(&mut disk, "Rename(Reclaim, Mutex)");
    assert_eq!(renewal.effect(), Some(Effect::Unlock(Slot::Guard)));
    renewal.feed(&mut disk, Event::Failed(crate::effect::Errno(5)));
    assert!(renewal.run(&mut disk).is_err());
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    assert_eq!(disk.open_slots(context.pid), [Slot::Ticket]);
    let about_others = |line: &&str| !line.contains("Close(Guard)");
    assert_eq!(disk.complaints().into_iter().filter(about_others).count(), 0);
}
