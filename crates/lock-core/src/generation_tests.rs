//! Scripted runs of the generation file: what is synced when, and what a crash costs.

use super::*;
use crate::effect::{Errno, Slot};
use crate::testing::disk::{Disk, Inode};
use crate::testing::worker::Worker;
use crate::testing::{OTHER_BOOT, owner, process};
use crate::{Acquire, Acquired};

fn acquire(disk: &mut Disk) -> Result<Acquired, Failure> {
    let context = process("a");
    disk.let_go(context.pid);
    Worker::contender(disk, context).run(disk)
}

fn generation(acquired: Result<Acquired, Failure>) -> u64 {
    let acquired = acquired.expect("because nothing is in its way");
    acquired.ownership.generation().0
}

fn put(disk: &mut Disk, text: &str) {
    let mtime = disk.now.wall;
    disk.put(&[Name::Generation], Inode::file(text, mtime));
}

/// The part of the story that is about numbers.
fn draw(disk: &mut Disk) -> String {
    let story = disk.story();
    let lines = story.lines().filter(|line| line.contains("Generation") || line.contains("Sync"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_first_number_reserves_a_block_durably() {
    let mut disk = Disk::new();
    assert_eq!(generation(acquire(&mut disk)), 1);
    insta::assert_snapshot!(draw(&mut disk));
    insta::assert_snapshot!(disk.text(Name::Generation).expect("because it was made"));
}

#[test]
fn the_next_number_syncs_nothing() {
    let mut disk = Disk::new();
    owner(&mut disk, "a");
    assert_eq!(generation(acquire(&mut disk)), 2);
    insta::assert_snapshot!(draw(&mut disk));
}

#[test]
fn a_block_that_is_used_up_is_followed_by_another() {
    let mut disk = Disk::new();
    put(&mut disk, "00000000000000004095 00000000000000004096 boot-1\n");
    assert_eq!(generation(acquire(&mut disk)), 4096);
    disk.story();
    assert_eq!(generation(acquire(&mut disk)), 4097);
    insta::assert_snapshot!(draw(&mut disk));
    assert_eq!(generation(acquire(&mut disk)), 4098);
}

#[test]
fn after_a_reboot_the_rest_of_the_block_is_skipped() {
    let mut disk = Disk::new();
    let there = Context { here: OTHER_BOOT.host(), ..process("earlier") };
    let earlier = Worker::contender(&disk, there.clone()).run(&mut disk);
    assert_eq!(generation(earlier), 1);
    disk.let_go(there.pid);
    assert_eq!(generation(acquire(&mut disk)), 4097);
}

#[test]
fn a_draft_that_a_crash_left_is_replaced() {
    let mut disk = Disk::new();
    let crashed = Worker::contender(&disk, process("crashed"));
    crashed.until(&mut disk, "Rename(GenerationDraft, Generation)").die(&mut disk);
    disk.story();
    assert_eq!(generation(acquire(&mut disk)), 1);
    assert_eq!(disk.names(), ["Generation", "Lock"]);
    insta::assert_snapshot!(draw(&mut disk));
}

#[test]
fn a_damaged_file_stops_everything_and_is_kept() {
    let mut disk = Disk::new();
    put(&mut disk, "seventeen\n");
    assert_eq!(acquire(&mut disk), Err(Failure::GenerationDamaged));
    assert_eq!(disk.names(), ["Generation"]);
    assert_eq!(disk.text(Name::Generation).as_deref(), Some("seventeen\n"));
}

#[test]
fn a_number_that_could_not_be_written_is_given_to_nobody() {
    let mut disk = Disk::new();
    owner(&mut disk, "a");
    let context = process("b");
    disk.let_go(process("a").pid);
    let mut contender = Worker::contender(&disk, context).until(&mut disk, "Write(Generation)");
    contender.feed(&mut disk, Event::Failed(Errno(28)));
    assert!(contender.run(&mut disk).is_err());
    disk.let_go(process("b").pid);
    assert_eq!(generation(acquire(&mut disk)), 2);
}

/// The number is used only when it is certain that no reboot can bring it back.
#[test]
fn nobody_owns_a_number_of_a_block_that_is_not_durable() {
    for effect in ["Sync(Generation)", "SyncDirectory"] {
        let mut disk = Disk::new();
        let contender: Worker<Acquire> = Worker::contender(&disk, process("a"));
        let mut contender = contender.until(&mut disk, effect);
        contender.feed(&mut disk, Event::Failed(Errno(5)));
        assert!(contender.run(&mut disk).is_err(), "{effect}");
        assert!(!disk.names().contains(&"Lock"), "{effect}");
    }
}

/// The rename that brought it may not be on the medium yet: a power cut would bring back
/// the file before it, and with it the numbers of this block.
#[test]
fn a_block_is_drawn_from_only_when_its_rename_is_durable() {
    let mut disk = Disk::new();
    let crashed: Worker<Acquire> = Worker::contender(&disk, process("crashed"));
    crashed.until(&mut disk, "SyncDirectory").die(&mut disk);
    disk.story();
    acquire(&mut disk).expect("because nothing living is in its way");
    let story = draw(&mut disk);
    assert!(story.contains("SyncDirectory"), "{story}");
}

/// The temporary file of a reservation that failed is of no use to anybody.
#[test]
fn a_reservation_that_failed_leaves_no_draft() {
    let mut disk = Disk::new();
    let mut contender =
        Worker::contender(&disk, process("a")).until(&mut disk, "Write(Generation)");
    contender.feed(&mut disk, Event::Failed(Errno(28)));
    assert!(contender.run(&mut disk).is_err());
    assert_eq!(disk.names(), [""; 0]);
    assert_eq!(disk.open_slots(process("a").pid), [Slot::Generation; 0]);
}

/// The file went with a restored backup, say, or was removed by hand.
#[test]
fn the_number_of_the_record_that_is_replaced_is_a_floor() {
    for file in [None, Some("00000000000000000003 00000000000000004096 boot-1\n")] {
        let mut disk = Disk::new();
        put(&mut disk, "00000000000000006000 00000000000000008192 boot-1\n");
        let (dead, ownership) = owner(&mut disk, "dead");
        assert_eq!(ownership.generation().0, 6_001);
        disk.end(dead.pid);
        disk.remove(Name::Generation);
        if let Some(text) = file {
            put(&mut disk, text);
        }
        assert_eq!(generation(acquire(&mut disk)), 6_002, "{file:?}");
        assert_eq!(generation(acquire(&mut disk)), 6_003, "{file:?}");
    }
}

/// Nothing that anybody wrote brings the numbers to their end: it is damage, and a person who
/// breaks the lock can go on.
#[test]
fn a_record_with_the_largest_number_is_damage() {
    let mut disk = Disk::new();
    let (dead, _) = owner(&mut disk, "dead");
    let text = disk.text(Name::Lock).expect("because it is owned");
    let lock = disk.at(Name::Lock).expect("because it is owned");
    lock.content =
        Ok(text.replace("generation=1\n", "generation=9223372036854775807\n").into_bytes());
    disk.end(dead.pid);
    assert_eq!(acquire(&mut disk), Err(Failure::GenerationDamaged));
    assert!(!disk.names().contains(&"Mutex"), "{:?}", disk.names());
    disk.remove(Name::Lock);
    assert_eq!(generation(acquire(&mut disk)), 2);
}

/// Such a number is no number at all, and no floor.
#[test]
fn a_number_of_2_to_the_63_is_no_floor() {
    let mut disk = Disk::new();
    let (dead, _) = owner(&mut disk, "dead");
    let text = disk.text(Name::Lock).expect("because it is owned");
    let lock = disk.at(Name::Lock).expect("because it is owned");
    lock.content =
        Ok(text.replace("generation=1\n", "generation=9223372036854775808\n").into_bytes());
    disk.end(dead.pid);
    assert_eq!(generation(acquire(&mut disk)), 2);
}
