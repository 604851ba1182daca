//! What the dead can leave behind. What contenders of ours leave, contenders of ours have
//! left: each was killed at the effect after which that is what is there.

use std::fmt;
use std::fs;
use std::time::Duration;

use super::scene::put_seed_record;
use super::{Child, Heard, Scene, make_old};

/// The lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockLeft {
    StaleSeed,
    DeadOurs,
    Garbage,
}

/// The mutex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MutexLeft {
    None,
    OldSeed,
    DeadOurs,
    OldEmpty,
}

/// The reclaim lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReclaimLeft {
    None,
    OldSeed,
    DeadOurs,
}

/// All three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leftovers {
    pub(crate) lock: LockLeft,
    pub(crate) mutex: MutexLeft,
    pub(crate) reclaim: ReclaimLeft,
}

impl Leftovers {
    /// Every combination that can be.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for lock in [LockLeft::StaleSeed, LockLeft::DeadOurs, LockLeft::Garbage] {
            for mutex in
                [MutexLeft::None, MutexLeft::OldSeed, MutexLeft::DeadOurs, MutexLeft::OldEmpty]
            {
                for reclaim in [ReclaimLeft::None, ReclaimLeft::OldSeed, ReclaimLeft::DeadOurs] {
                    all.push(Self { lock, mutex, reclaim });
                }
            }
        }
        all
    }

    /// The lock of a dead owner of ours, and nothing else.
    pub(crate) const DEAD_OWNER: Self =
        Self { lock: LockLeft::DeadOurs, mutex: MutexLeft::None, reclaim: ReclaimLeft::None };

    /// A stale lock, a dead mutex and a dead reclaim lock.
    pub(crate) const WORST: Self = Self {
        lock: LockLeft::StaleSeed,
        mutex: MutexLeft::DeadOurs,
        reclaim: ReclaimLeft::DeadOurs,
    };

    /// A scene with them in it.
    pub(crate) fn scene(self) -> Scene {
        let scene = Scene::new();
        self.leave_lock(&scene);
        self.leave_mutex(&scene);
        self.leave_reclaim(&scene);
        self.check(&scene);
        scene
    }

    fn leave_lock(self, scene: &Scene) {
        let path = scene.arena.lock();
        match self.lock {
            LockLeft::StaleSeed => scene.put_seed_lock(Duration::from_secs(31)),
            LockLeft::Garbage => fs::write(path, b"\xff\0\n").expect("because it is free"),
            LockLeft::DeadOurs => {
                let mut owner = Child::owner(&scene.arena);
                owner.kill();
            }
        }
    }

    fn leave_mutex(self, scene: &Scene) {
        let path = scene.arena.beside(".mutex");
        match self.mutex {
            MutexLeft::None => return,
            MutexLeft::DeadOurs => return die_at(scene, "Open(Judged,Lock)"),
            MutexLeft::OldSeed => put_seed_record(&path, Duration::from_secs(3600)),
            MutexLeft::OldEmpty => fs::write(&path, "").expect("because it is free"),
        }
        make_old(&path);
    }

    fn leave_reclaim(self, scene: &Scene) {
        let reclaim = scene.arena.beside(".mutex.reclaim");
        match self.reclaim {
            ReclaimLeft::None => {}
            ReclaimLeft::OldSeed => {
                fs::write(&reclaim, "").expect("because it is free");
                make_old(&reclaim);
            }
            ReclaimLeft::DeadOurs => {
                let mutex = scene.arena.beside(".mutex");
                let bait = self.mutex == MutexLeft::None;
                if bait {
                    fs::write(&mutex, "").expect("because it is free");
                    make_old(&mutex);
                }
                die_at(scene, "Look(Takeover)");
                if bait {
                    fs::remove_file(&mutex).expect("because nobody has removed it");
                }
            }
        }
    }

    /// A scene that is not what it says proves nothing.
    fn check(self, scene: &Scene) {
        let is_there = |suffix| fs::symlink_metadata(scene.arena.beside(suffix)).is_ok();
        assert!(is_there(""), "{self}: no lock");
        assert_eq!(is_there(".mutex"), self.mutex != MutexLeft::None, "{self}");
        assert_eq!(is_there(".mutex.reclaim"), self.reclaim != ReclaimLeft::None, "{self}");
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lock, mutex, reclaim } = self;
        write!(f, "lock {lock:?}, mutex {mutex:?}, reclaim {reclaim:?}")
    }
}

/// Has a contender kill itself just before this effect of its acquire.
fn die_at(scene: &Scene, effect: &str) {
    let mut victim = Child::contender(&scene.arena, &[]);
    victim.must(&format!("trap kill {effect} 1"));
    victim.say("acquire");
    victim.event("trap");
    assert!(matches!(victim.hear(), Heard::End), "{effect} did not kill it");
    victim.wait_end();
}
