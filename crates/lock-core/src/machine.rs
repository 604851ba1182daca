//! What every machine has in common, and the driver's contract.
//!
//! A driver owns a machine and repeats: ask [`Machine::effect`], perform it, read the clock,
//! feed the [`Event`] to [`Machine::step`]; until the machine is [`Flow::Done`]. Effects of
//! one machine never overlap; those of different machines may interleave in any way. A driver
//! makes no call on the lock's files that is not an effect. So when a machine is done, what it
//! has left open is let go of by another, [`Chores::letting_go`], except what an owner needs:
//! its ticket, in the middle of a step its mutex, and until its first act what it has waited
//! for. Only a machine that is dropped half way is cleared up after without one: the driver
//! lets go of every slot, unlocks first, then closes. That is also what the kernel does when a
//! process dies, and each machine is safe against it at every effect.
//!
//! [`Chores::letting_go`]: crate::Chores::letting_go

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use core::time::Duration;

use crate::effect::{Effect, Errno, Event, Name};
use crate::policy::Policy;
use crate::record::{Arbitration, Birth, Generation, Host, Inode, Record, Terms, Token};
use crate::snapshot::{FileId, Kind};
use crate::time::{Now, whole_millis};
use crate::verdict::Stale;

/// A sans-IO state machine: each state wants one effect.
pub trait Machine: Sized {
    /// What the machine is for.
    type Output;

    /// What has to be done now.
    fn effect(&self, context: &Context) -> Effect;

    /// Consumes the state and what came of its effect.
    fn step(self, context: &Context, now: Now, event: Event) -> Flow<Self, Self::Output>;
}

/// Where a step leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Flow<M, T> {
    /// On: the machine wants another effect.
    Go(M),
    /// The machine has come to its end.
    Done(T),
}

/// What a machine must know beside what it sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Context {
    /// The settings.
    pub policy: Policy,
    /// Where we run.
    pub here: Host,
    /// Our process id.
    pub pid: u32,
    /// Names the ownership that we try for, or have.
    pub token: Token,
    /// Tells our process from later ones with the same id.
    pub birth: Birth,
    /// What we are, as a person would type it.
    pub command: String,
    /// Whether we agree to be replaced while we live.
    pub preemptible: bool,
    /// What the file system offers, as far as known.
    pub medium: Medium,
}

/// How roles are taken, best first. A machine that meets an unsupported call goes one down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Medium {
    /// A ticket is born without a name and each role is a hard link to it.
    Anonymous,
    /// No `O_TMPFILE`: a ticket is born under a temporary name, then linked.
    Linked,
    /// No hard links: each role is a file of its own, created exclusively, then locked,
    /// then written; while it is empty and unlocked it is judged by its mtime.
    Separate,
    /// No kernel locks: as `Separate`, everything judged by age. All that can be promised
    /// here is what the original promised.
    Unarbitrated,
}

/// An ownership: what its holder needs to renew, step and release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ownership {
    /// Our ticket's inode, which `<lock>` leads to for as long as we own it.
    pub ticket: FileId,
    /// What the lock file says now.
    pub record: Box<Record>,
    /// The same as it was last written: a file that still says so needs no reading of its lines,
    /// and a rewrite never gets shorter.
    pub text: String,
    /// How roles are taken here.
    pub medium: Medium,
    /// Whether others may have inherited the ticket's descriptor. Then the ticket arbitrates the
    /// lock and nothing else: if it were the mutex as well, what a killed owner leaves behind
    /// would keep the mutex.
    pub shared: bool,
}

/// What a contender has become owner of, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acquired {
    /// What it takes to renew and release it.
    pub ownership: Ownership,
    /// From whom it was taken, if it was not free.
    pub takeover: Option<Takeover>,
}

/// Whom an ownership was taken from, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Takeover {
    /// Why that was allowed.
    pub reason: Reason,
    /// What the lock file said, if it could be read.
    pub from: Option<Box<Record>>,
    /// For how long what a preemptible owner has started may still be in flight: what is left of
    /// the quiet that it announced; zero after a hang.
    pub in_flight: Duration,
    /// Whether some process still has the old inode kernel-locked.
    pub is_held: bool,
    /// The inode that whatever may still be in flight has kernel-locked: the old one, or if the old
    /// owner was still waiting for what the owner before it had started, that one's.
    pub after: Option<Inode>,
}

/// Why a lock was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It was stale.
    Stale(Stale),
    /// Its owner lives and is preemptible, and took no step within its quiet and `hang_after`.
    TimedOut,
}

/// Why a machine ended without what it was for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// The owner is alive, and waiting was not wanted.
    #[error("the lock is held")]
    Busy {
        /// Who has it, if its file can be read.
        owner: Option<Box<Record>>,
    },
    /// The owner is alive, and the wait limit is over.
    #[error("timed out waiting for the owner")]
    TimedOut {
        /// Who has it, if its file can be read.
        owner: Option<Box<Record>>,
    },
    /// Whoever holds the mutex lives but does not let go: it is stopped.
    #[error("the mutex is held by a process that does not let go")]
    MutexHeld {
        /// Who holds it, if its file can be read.
        holder: Option<Box<Record>>,
    },
    /// The owner was to be ended, and did not end.
    #[error("the owner could not be ended")]
    Survived {
        /// Who has it, if its file can be read.
        owner: Option<Box<Record>>,
        /// The processes that were sent a signal: none, if none of those that hold the lock may be
        /// signalled from here.
        signalled: Vec<u32>,
    },
    /// The wait was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// Something that is no lock file of ours stands at one of the paths.
    #[error("{reason} stands at the path")]
    Refused {
        /// Where.
        name: Name,
        /// What it is.
        reason: Refusal,
    },
    /// There are no kernel locks here, and the policy asks for them or the owner is not
    /// preemptible.
    #[error("the file system has no kernel locks")]
    NoKernelLock,
    /// The generation file does not hold what it should.
    #[error("the generation file is damaged")]
    GenerationDamaged,
    /// The directory vanished.
    #[error("the run directory is gone")]
    DirectoryGone,
    /// The system refused a call.
    #[error("{verb} failed")]
    System {
        /// What was tried.
        verb: &'static str,
        /// On which path, where it had one.
        name: Option<Name>,
        /// The system's reason.
        errno: Errno,
    },
}

/// What stands where a lock file should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// A directory.
    #[error("a directory")]
    Directory,
    /// A symbolic link.
    #[error("a symbolic link")]
    Symlink,
    /// FIFO, socket or device.
    #[error("a special file")]
    Special,
    /// Another user's file.
    #[error("another user's file")]
    Foreign,
}

impl Reason {
    /// Whether the owner may still be running.
    #[must_use]
    pub const fn owner_lives(self) -> bool {
        match self {
            Self::Stale(stale) => stale.owner_lives(),
            Self::TimedOut => true,
        }
    }
}

impl Context {
    /// The record of a new ticket.
    #[must_use]
    pub fn record(&self, now: Now) -> Record {
        let mut record =
            Record::new(self.pid, self.token.clone(), self.here.clone(), &self.command, now);
        if let Some(detail) = &mut record.detail {
            detail.process = self.birth;
            detail.terms = self.terms();
        }
        record
    }

    /// The same for a medium: a record without a kernel lock must not claim one.
    #[must_use]
    pub fn record_on(&self, medium: Medium, now: Now) -> Record {
        let mut record = self.record(now);
        if let (false, Some(detail)) = (medium.has_kernel_locks(), &mut record.detail) {
            detail.arbitration = Arbitration::Timed;
        }
        record
    }

    /// Below 256, and another for each contender and each of its tries: so that contenders which
    /// collide do not collide again.
    pub(crate) fn salt(&self, tries: u8) -> u32 {
        self.token
            .as_str()
            .bytes()
            .fold(u32::from(tries), |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)))
            % 256
    }

    /// In whole milliseconds, so that the record is read back as it was made.
    fn terms(&self) -> Terms {
        Terms {
            preemptible: self.preemptible,
            quiet: Duration::ZERO,
            renew: whole_millis(self.policy.renew_every),
            stale_after: whole_millis(self.policy.stale_after),
            hang_after: whole_millis(self.policy.hang_after),
        }
    }

    /// Whether an owner of ours may not work on this medium.
    #[must_use]
    pub fn refuses(&self, medium: Medium) -> bool {
        let may_be_timed = self.preemptible || self.policy.allow_timed;
        !medium.has_kernel_locks() && (self.policy.require_kernel_lock || !may_be_timed)
    }
}

impl Medium {
    /// Whether a role is a hard link to the ticket.
    #[must_use]
    pub const fn has_links(self) -> bool {
        matches!(self, Self::Anonymous | Self::Linked)
    }

    /// Whether the kernel arbitrates.
    #[must_use]
    pub const fn has_kernel_locks(self) -> bool {
        !matches!(self, Self::Unarbitrated)
    }
}

impl Ownership {
    /// Nothing of the owner before is in flight any more. The next renewal writes that down.
    pub fn settled(&mut self) {
        if let Some(detail) = &mut self.record.detail {
            detail.after = None;
        }
    }

    /// The ownership's fencing token.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.record.generation().unwrap_or_default()
    }

    /// Whether a lock file that says this is ours.
    pub(crate) fn is_said_by(&self, bytes: &[u8]) -> bool {
        let is_ours = |record: Record| record.token == self.record.token;
        bytes == self.text.as_bytes() || Record::parse(bytes).is_ok_and(is_ours)
    }
}

impl Failure {
    /// The failure that an event which a machine has no other use for amounts to.
    pub(crate) fn of(effect: &Effect, event: &Event) -> Self {
        const ENOENT: i32 = 2;
        const EEXIST: i32 = 17;
        const EAGAIN: i32 = 11;
        const EOPNOTSUPP: i32 = 95;
        const EIO: i32 = 5;
        const EISDIR: i32 = 21;
        let errno = match event {
            Event::Symlink => {
                let name = effect.name().unwrap_or(Name::Lock);
                return Self::Refused { name, reason: Refusal::Symlink };
            }
            Event::Failed(Errno(EISDIR)) if matches!(effect, Effect::Open { .. }) => {
                let name = effect.name().unwrap_or(Name::Lock);
                return Self::Refused { name, reason: Refusal::Directory };
            }
            Event::Failed(errno) => *errno,
            Event::Absent => Errno(ENOENT),
            Event::Exists => Errno(EEXIST),
            Event::Busy => Errno(EAGAIN),
            Event::Unsupported => Errno(EOPNOTSUPP),
            // A driver that answers a call with another call's event is broken; that must
            // end the acquire, not the process.
            Event::Done
            | Event::Stat(_)
            | Event::Bytes(_)
            | Event::Listed(_)
            | Event::Holders(_)
            | Event::Woken(_) => Errno(EIO),
        };
        Self::System { verb: effect.verb(), name: effect.name(), errno }
    }
}

impl Refusal {
    /// Why a thing of this kind cannot be a lock file, if it cannot.
    pub(crate) const fn of(kind: Kind, foreign: bool) -> Option<Self> {
        match (kind, foreign) {
            (Kind::Directory, _) => Some(Self::Directory),
            (Kind::Symlink, _) => Some(Self::Symlink),
            (Kind::Other, _) => Some(Self::Special),
            (Kind::File, true) => Some(Self::Foreign),
            (Kind::File, false) => None,
        }
    }
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
