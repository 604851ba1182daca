//! A directory with a lock in it, and what must be true of it afterwards.

use std::fs::{self, File};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use lock_tests::{Arena, Interval, intervals};
use tempfile::TempDir;

use super::Child;

/// A user who is not us.
pub(crate) const NOBODY: u32 = 65_534;

/// An experiment in a temporary directory.
pub(crate) struct Scene {
    _dir: TempDir,
    pub(crate) arena: Arena,
}

impl Scene {
    /// With an empty run directory.
    pub(crate) fn new() -> Self {
        let scene = Self::without_run_directory();
        scene.arena.make_run().expect("because the name is free");
        scene
    }

    /// In which there has been an owner before, whose work is forgotten.
    pub(crate) fn used() -> Self {
        let scene = Self::new();
        Child::contender(&scene.arena, &[]).must("cycle 0");
        fs::remove_file(scene.arena.log()).expect("because there has been work");
        scene
    }

    pub(crate) fn without_run_directory() -> Self {
        let dir = tempfile::tempdir().expect("because a temporary directory is needed");
        let root = Utf8PathBuf::try_from(dir.path().to_owned()).expect("because it is UTF-8");
        let arena = Arena::new(root);
        Self { _dir: dir, arena }
    }

    /// With the same files in the run directory as `other`: same content, same age, and one
    /// inode under several names where it was so.
    pub(crate) fn copy_of(other: &Arena) -> Self {
        let scene = Self::new();
        scene.arena.copy_run(other).expect("because both are ours");
        scene
    }

    /// The names in the run directory.
    pub(crate) fn names(&self) -> Vec<String> {
        self.arena.names().expect("because the directory is readable")
    }

    /// Whether a waiter's number is in the queue.
    pub(crate) fn is_queued(&self, number: u32) -> bool {
        self.names().contains(&format!("restart.lock.queue/{number}"))
    }

    /// What is left when all is over: the file that remembers the last generation.
    pub(crate) fn assert_clean(&self, what: &str) {
        assert_eq!(self.names(), ["restart.lock.generation"], "left by {what}");
        let witness = self.arena.witness();
        assert!(fs::symlink_metadata(witness).is_err(), "{what}: at work");
    }

    /// Nobody ever worked at the same time as another, and generations only grew.
    pub(crate) fn assert_no_overlap(&self, what: &str) -> Vec<Interval> {
        let log = fs::read_to_string(self.arena.log()).unwrap_or_default();
        intervals(&log).unwrap_or_else(|overlap| panic!("{what}: {overlap}\n{log}"))
    }

    /// A peer's lock: the bare three lines, stamped so long ago. Its token is `seed-token`.
    pub(crate) fn put_seed_lock(&self, age: Duration) {
        put_seed_record(&self.arena.lock(), age);
    }
}

/// A peer's three lines.
pub(crate) fn put_seed_record(path: &Utf8Path, age: Duration) {
    let stamp = wall_ms() - u64::try_from(age.as_millis()).expect("because it is short");
    fs::write(path, format!("4242\n{stamp}\nseed-token\n")).expect("because the path is free");
}

/// Makes a file or a directory look as if nobody had touched it for an hour.
pub(crate) fn make_old(path: &Utf8Path) {
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    File::open(path)
        .and_then(|file| file.set_modified(hour_ago))
        .unwrap_or_else(|error| panic!("{path}: {error}"));
}

pub(crate) fn wall_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("because it is after 1970").as_millis();
    u64::try_from(now).expect("because it is before the year 500000000")
}
