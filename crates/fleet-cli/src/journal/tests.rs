//! What may be written, by whom and how much; and what of it is read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Barrier;

use camino::Utf8PathBuf;
use lock_fs::{Generation, Host};
use rstest::rstest;
use tempfile::TempDir;

use super::*;

fn place() -> (TempDir, Utf8PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = Utf8PathBuf::try_from(directory.path().join("x.lock")).expect("UTF-8");
    (directory, path)
}

fn journal(lock: &Utf8Path, command: &str) -> Journal {
    let host = Host { name: "here".to_owned(), boot: "boot".to_owned() };
    Journal::new(lock, &host, command.to_owned())
}

fn write(journal: &Journal, number: u64) {
    journal.write(journal.now(), None, What::Acquired { waited_ms: number });
}

fn numbers(history: &History, command: &str) -> Vec<u64> {
    let of = history.entries.iter().filter(|entry| entry.command == command);
    of.map(|entry| match entry.what {
        What::Acquired { waited_ms } => waited_ms,
        _ => panic!("{entry:?}"),
    })
    .collect()
}

#[test]
fn what_is_written_can_be_read() {
    let (_directory, lock) = place();
    let journal = journal(&lock, "fleet restart \"a\nb\" {\"event\":\"acquired\"}");
    let token = lock_fs::Token::new("0b7e").expect("a word");
    let whats = [
        What::Waiting { owner: None },
        What::TookOver { waited_ms: 5, reason: Reason::OwnerDied, from: None },
        What::Step { steps: 1, phrase: "1/2 {\"event\":\"lost\"".to_owned() },
        What::Released { held_ms: 7, exit: Some(3) },
    ];
    for what in &whats {
        journal.write(journal.now(), Some((&token, Generation(9))), what.clone());
    }
    assert!(journal.problem().is_none());
    let history = history(&lock).expect("it can be read");
    assert_eq!(history.unreadable, 0);
    let read: Vec<_> = history.entries.iter().map(|entry| entry.what.clone()).collect();
    assert_eq!(read, whats);
    let first = history.entries.first().expect("four");
    assert_eq!((first.generation, first.token.as_deref()), (Some(9), Some("0b7e")));
    assert_eq!(first.command, "fleet restart \"a\nb\" {\"event\":\"acquired\"}");
    let mode = fs::metadata(path(&lock)).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A waiter is woken by the release, and can write of its acquisition before the other does of that.
#[test]
fn what_happened_within_a_millisecond_is_in_the_order_of_the_generations() {
    let (_directory, lock) = place();
    let journal = journal(&lock, "a");
    let (token, now) = (lock_fs::Token::new("0b7e").expect("a word"), journal.now());
    journal.write(now, Some((&token, Generation(2))), What::Acquired { waited_ms: 2 });
    journal.write(now, Some((&token, Generation(1))), What::Released { held_ms: 1, exit: None });
    journal.write(now, None, What::Waiting { owner: None });
    let history = history(&lock).expect("it can be read");
    let generations: Vec<_> = history.entries.iter().map(|entry| entry.generation).collect();
    assert_eq!(generations, [None, Some(1), Some(2)]);
}

#[test]
fn no_journal_is_no_history() {
    let (_directory, lock) = place();
    let history = history(&lock).expect("nothing to read");
    assert!(!history.exists && history.entries.is_empty());
}

#[rstest]
#[case::cut_short("{\"event\":\"acquired\",\"waited_ms\":")]
#[case::cut_in_a_letter("{\"event\":\"step\",\"phrase\":\"\u{e9}")]
#[case::zeros("\0\0\0\0\0\0\0\0")]
#[case::from_the_future("{\"event\":\"dreamt\",\"of\":\"sheep\"}\n")]
#[case::no_line_of_ours("hello\n\n")]
fn what_cannot_be_understood_costs_only_itself(#[case] garbage: &str) {
    let (_directory, lock) = place();
    let journal = journal(&lock, "a");
    write(&journal, 1);
    let mut bytes = fs::read(path(&lock)).expect("it is there");
    // As a full disk would: the last byte is missing as well.
    let cut = garbage.len() - usize::from(!garbage.ends_with('\n'));
    bytes.extend(&garbage.as_bytes()[..cut]);
    fs::write(path(&lock), bytes).expect("written");
    write(&journal, 2);
    let history = history(&lock).expect("it can be read");
    assert_eq!(numbers(&history, "a"), [1, 2]);
    let complete = garbage.ends_with('\n');
    assert_eq!(history.unreadable, usize::from(complete), "a line behind a stump is found");
}

/// Each writer's lines that are left must be its latest, without a gap: nothing is lost but
/// what was put aside twice.
#[test]
fn writers_that_rotate_together_lose_only_what_is_oldest() {
    const WRITERS: u64 = 4;
    const LINES: u64 = 1500;
    let (_directory, lock) = place();
    let start = Barrier::new(4);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (start, lock) = (&start, &lock);
            scope.spawn(move || {
                let journal = journal(lock, &format!("{writer} {}", "x".repeat(200)));
                start.wait();
                for number in 0..LINES {
                    write(&journal, number);
                }
                assert!(journal.problem().is_none());
            });
        }
    });
    let history = history(&lock).expect("it can be read");
    assert_eq!(history.unreadable, 0);
    let mut left = 0;
    for writer in 0..WRITERS {
        let numbers = numbers(&history, &format!("{writer} {}", "x".repeat(200)));
        let first = numbers.first().copied().unwrap_or(LINES);
        assert_eq!(numbers, (first..LINES).collect::<Vec<_>>(), "writer {writer}");
        left += numbers.len();
    }
    assert!(left < 6000, "some of it was put aside twice, or this test shows nothing");
    for file in [path(&lock), older(&lock)] {
        let len = fs::metadata(&file).expect("both are there").len();
        // While one puts it aside the others write on, up to twice the limit.
        assert!(len < 2 * LIMIT + 8 * 1024, "{file} has {len} bytes");
    }
}

/// What was open when the journal was put aside twice has no name any more.
#[test]
fn a_journal_that_cannot_be_put_aside_is_not_written_for_ever() {
    let (_directory, lock) = place();
    fs::write(path(&lock), vec![b'\n'; usize::try_from(2 * LIMIT).expect("it fits")])
        .expect("written");
    let file = fs::File::open(path(&lock)).expect("opened");
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).expect("locked");
    let journal = journal(&lock, "a");
    write(&journal, 1);
    assert!(journal.problem().is_some(), "somebody else is for ever about to put it aside");
    drop(file);
    let again = self::journal(&lock, "a");
    write(&again, 2);
    assert!(again.problem().is_none());
    assert_eq!(numbers(&history(&lock).expect("read"), "a"), [2]);
}

#[test]
fn nothing_but_a_plain_file_of_ours_is_written_to() {
    let traps: [fn(&Utf8Path, &Utf8Path); 4] = [
        |journal, _| fs::create_dir(journal).expect("made"),
        |journal, other| symlink(other, journal).expect("made"),
        |journal, other| fs::hard_link(other, journal).expect("made"),
        |journal, _| {
            let made = std::process::Command::new("mkfifo").arg(journal).status();
            assert!(made.expect("mkfifo runs").success());
        },
    ];
    for trap in traps {
        let (directory, lock) = place();
        let other = Utf8PathBuf::try_from(directory.path().join("other")).expect("UTF-8");
        fs::write(&other, "precious").expect("written");
        trap(&path(&lock), &other);
        let journal = journal(&lock, "a");
        write(&journal, 1);
        assert!(journal.problem().is_some(), "the trap was not seen");
        assert!(journal.problem().is_none(), "it is told only once");
        assert_eq!(fs::read_to_string(&other).expect("still there"), "precious");
    }
}

#[test]
fn whoever_began_to_wait_and_lives_waits() {
    let (_directory, lock) = place();
    let here = journal(&lock, "a");
    here.write(here.now(), None, What::Waiting { owner: None });
    let waiters = |boot: &str| history(&lock).expect("read").waiters(boot).len();
    assert_eq!(waiters("boot"), 1, "this process lives");
    assert_eq!(waiters("another boot"), 0);
    here.write(here.now(), None, What::Acquired { waited_ms: 1 });
    assert_eq!(waiters("boot"), 0);
    // As it would stand there had a process with our pid died before us.
    let text = fs::read_to_string(path(&lock)).expect("read");
    let first = text.lines().next().expect("two");
    let ours = first.find("\"start_ticks\":").expect("it says so");
    fs::write(path(&lock), format!("{}\"start_ticks\":1,\"command\":\"b\"}}\n", &first[..ours]))
        .expect("written");
    assert_eq!(history(&lock).expect("read").entries.len(), 1);
    assert_eq!(waiters("boot"), 0);
}
