//! A process: what it runs, what it has open, and what is true of it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use lock_core::effect::{Effect, Event, Share, Slot, Wake};

use super::actor::{Actor, Deed};
use super::files::{Ino, Maker, Pid};
use crate::sketch::Sketch;
use crate::zoo::Peer;

/// A process, shared between the worlds in which it is the same.
#[derive(Clone, PartialEq, Eq)]
pub struct Shared(Arc<Sketched>);

#[derive(PartialEq, Eq)]
struct Sketched {
    sketch: Sketch,
    process: Process,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// What it runs.
    pub actor: Actor,
    /// Whether it runs.
    pub life: Life,
    /// What it has open, by slot.
    pub fds: [Option<Fd>; SLOTS.len()],
    /// Which inode it watches.
    pub watch: Option<Watch>,
    /// News of the watched inode that it has not slept on yet.
    pub pending: Option<Wake>,
    /// What changed since it last woke, so that a short nap is worth ending.
    pub stirred: Stirred,
    /// Which of its tries this is.
    pub round: u8,
    /// A bit for each of its tries that ended without letting go, and said so.
    pub unreleased: u8,
    /// How often its wall clock was set forward, less how often back.
    pub wall: i8,
    /// How many ticks its boot clock is off.
    pub offset: i8,
    /// What it has started outlives its step, or has outlived it, with its ticket inherited.
    pub children: bool,
    /// What the ledger knows of it.
    pub truth: Truth,
}

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// It runs, or is stopped: nothing tells the two apart but whose turn it is.
    Running,
    /// It was killed, its files are being closed, its kernel locks still stand.
    Dying,
    /// It has come to an end; its children still have its ticket open, kernel lock and all.
    Orphaned,
    /// It was killed.
    Dead,
    /// It did what it was for, or gave up.
    Ended,
}

/// What others have done that a nap may end for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stirred {
    /// Nothing.
    Nothing,
    /// A guard's name changed: a watcher has been told, others find out by looking.
    Names,
    /// A kernel lock fell, of which nobody is told.
    Locks,
}

/// An open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fd {
    /// Which inode.
    pub ino: Ino,
    /// Open for writing.
    pub write: bool,
}

/// A watch on an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Watch {
    /// Which inode.
    pub ino: Ino,
    /// Tells only of a writer's close, and of the last name's end.
    pub until_last: bool,
    /// The inode has lost its last name: the kernel has taken the watch away and said so.
    pub over: bool,
}

/// What is true of a process, whatever it believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Truth {
    /// It is owner.
    pub reign: Option<Reign>,
    /// Whose lock it last judged.
    pub judged: Option<Maker>,
    /// When it last wrote to its ticket.
    pub wrote: u8,
    /// It has the mutex.
    pub in_mutex: bool,
    /// It is in the middle of a fenced step.
    pub stepping: bool,
    /// Whether it believes what a lock file's kernel lock has told it.
    pub doubt: Doubt,
    /// How its work stands.
    pub work: Work,
    /// Which owner it last saw, and since when; only followed where an owner may be ended.
    pub saw: Option<Sight>,
    /// What was true of the living owner that it has just taken the lock from.
    pub broke: Option<Facts>,
    /// It has seen the end of the one before it, whose ticket may still be open.
    pub past_ahead: bool,
    /// The same of the lock file that it judged.
    pub past_judged: bool,
    /// How far it is with queueing.
    pub stand: Stand,
    /// Behind whom it came: they had a place in the queue before it began.
    pub behind: Those,
}

/// How far a contender is with asking for a kernel lock exclusively: another may just have asked as
/// well, so one that is refused asks once more after a short pause within its look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Doubt {
    /// It does not ask so, or has its answer.
    #[default]
    None,
    /// It pauses.
    Pauses,
    /// It asks for the last time.
    Asks,
}

/// How the work of an owner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Work {
    /// It has not been told that it is owner, or has begun to release.
    #[default]
    None,
    /// It is still to begin: what the owner before left behind goes on.
    Settling,
    /// It goes on as long as the owner does.
    Underway,
    /// A person has ordered that it does not count any more.
    Overruled,
}

/// An ownership as a waiter has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sight {
    /// Whose.
    pub owner: Maker,
    /// When it was first seen, in ticks.
    pub since: u8,
}

/// How far a contender is with queueing in this try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Stand {
    /// It has not looked at the queue yet.
    #[default]
    Nowhere,
    /// It has begun to look.
    Begun,
    /// It has a place there, and whoever begins now is served later.
    Placed,
    /// That is promised to it no more.
    Freed,
}

/// A bit for each of some contenders. A turn moves the bits, so no sketch can read them:
/// they are hashed apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Those(pub u64);

impl Hash for Those {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// An ownership; instants are in ticks of the boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reign {
    /// Another has taken over from it.
    pub broken: bool,
    /// That was a person's order.
    pub overruled: bool,
    /// When it last renewed.
    pub renewed: u8,
    /// When it last got on, or began.
    pub progressed: u8,
    /// For how long it announced then that it would be quiet, in ticks.
    pub quiet: u8,
}

/// What was true of a living owner when the lock was taken from it, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Facts {
    /// How long it had not renewed.
    pub silent: u8,
    /// How long it had not got on, past the quiet that it announced.
    pub idle: u8,
}

/// Every slot.
pub const SLOTS: [Slot; 9] = [
    Slot::Ticket,
    Slot::Mutex,
    Slot::Reclaim,
    Slot::Judged,
    Slot::Guard,
    Slot::Rival,
    Slot::Generation,
    Slot::Queue,
    Slot::Ahead,
];

impl Doubt {
    pub(super) const fn after(self, effect: &Effect, event: &Event) -> Self {
        match (self, effect, event) {
            (
                Self::None,
                Effect::Lock(Slot::Judged | Slot::Guard, Share::Exclusive),
                Event::Busy,
            ) => Self::Pauses,
            (Self::Pauses, Effect::Sleep { .. }, _) => Self::Asks,
            _ => Self::None,
        }
    }
}

impl Process {
    /// A process that begins with this, its clocks set so.
    #[must_use]
    pub fn new(actor: Actor, wall: i8, offset: i8) -> Self {
        Self {
            actor,
            life: Life::Running,
            fds: [None; SLOTS.len()],
            watch: None,
            pending: None,
            stirred: Stirred::Nothing,
            round: 0,
            unreleased: 0,
            wall,
            offset,
            children: false,
            truth: Truth::default(),
        }
    }

    /// What a slot has open.
    #[must_use]
    pub fn fd(&self, slot: Slot) -> Option<Fd> {
        let place = SLOTS.iter().position(|other| *other == slot)?;
        self.fds.get(place).copied().flatten()
    }

    pub(crate) fn set_fd(&mut self, slot: Slot, fd: Option<Fd>) {
        let place = SLOTS.iter().position(|other| *other == slot);
        if let Some(place) = place.and_then(|place| self.fds.get_mut(place)) {
            *place = fd;
        }
    }

    /// Whose the files are that it makes now.
    #[must_use]
    pub const fn maker(&self, pid: Pid) -> Maker {
        Maker { pid, round: self.round }
    }

    /// Whether a file is one that it has made, and not one that it only asks about.
    #[must_use]
    pub fn has_locked_its_own(&self, file: Option<Ino>) -> bool {
        let own = [Slot::Ticket, Slot::Mutex, Slot::Reclaim];
        own.into_iter().any(|slot| file.is_some() && self.fd(slot).map(|fd| fd.ino) == file)
    }

    /// Whether it would be told of a change to what it waits for.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        [Slot::Guard, Slot::Judged].into_iter().any(|slot| self.waits_for(slot))
    }

    /// Whether it watches what it has open there, and has not seen the end of it.
    #[must_use]
    pub fn waits_for(&self, slot: Slot) -> bool {
        let is_past = match slot {
            Slot::Ahead => self.truth.past_ahead,
            Slot::Judged => self.truth.past_judged,
            _ => false,
        };
        !is_past && self.watches(slot)
    }

    /// Whether it has begun to watch what it has open there.
    #[must_use]
    pub fn watches(&self, slot: Slot) -> bool {
        self.watch.is_some_and(|watch| self.fd(slot).is_some_and(|fd| fd.ino == watch.ino))
    }

    /// Whether an owner may do this yet: its release waits for its own tools.
    #[must_use]
    pub fn may(&self, deed: Deed) -> bool {
        match deed {
            Deed::Renew | Deed::Step => true,
            Deed::Release => !self.children,
        }
    }

    /// Whether its sleep is only a pause within a look.
    #[must_use]
    pub fn pauses(&self) -> bool {
        self.truth.doubt == Doubt::Pauses
    }

    /// Whether it is `flock(1)`: no watcher is told of anything that it does.
    #[must_use]
    pub const fn is_foreign(&self) -> bool {
        matches!(self.actor, Actor::Peer(Peer::Foreign(_)))
    }

    /// Owner, and nobody has taken over.
    #[must_use]
    pub fn is_unbroken_owner(&self) -> bool {
        self.truth.reign.is_some_and(|reign| !reign.broken)
    }
}

impl Shared {
    pub(crate) fn new(process: Process) -> Self {
        Self(Arc::new(Sketched { sketch: Sketch::of(&process), process }))
    }

    /// What to hash it by.
    pub(crate) fn sketch(&self) -> &Sketch {
        &self.0.sketch
    }
}

impl Deref for Shared {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0.process
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.process.fmt(f)
    }
}

impl Hash for Shared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.sketch().plain());
        state.write_u64(self.truth.behind.0);
    }
}
