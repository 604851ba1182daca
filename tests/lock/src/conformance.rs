//! Whether the program makes the calls that the machines ask for, and no others.
//!
//! A process is traced (`strace`), and the machines of `lock-core` are run once more, on the
//! answers that the kernel gave to that process: what a machine asks for must be the very next call
//! that the thread made, and what that call came to is what the machine is told. So nothing of
//! the process's own account is believed, and it need not know that it is watched.
//!
//! * **Compared**: every call on a path of the lock, on a descriptor of one of its files or of its
//!   directory, by any thread and any child: its name, its arguments, the bytes it writes; and in the
//!   middle of a machine every call of the thread that has to do with files at all. A call more, a
//!   call less, another order, another argument: each is a [`Mismatch`].
//! * **Not compared**: numbers of descriptors (the kernel's choice; it is checked that each is the
//!   one that was opened for that purpose), and which of the calls in `IN_BETWEEN` stand between two
//!   effects. The `fcntl(F_GETFD)` of a debug build is passed over.
//! * **Recovered**: the process reads its clocks without a system call. What they showed is taken
//!   from the next record that it writes, and must lie between the two calls around the
//!   reading, to the millisecond of the wall clock; the record is then compared to the last byte.
//!   Readings that end up in no record are taken to be at one end of that span, or
//!   `DRIFT_MS` beyond it, whichever leads to the call that was made. The limit
//!   of a sleep must agree with the deadline as exactly as that allows. The random token is
//!   taken from the first record too.
//! * **Needs no effect**: what is in [`ALLOWED`], each with its reason, outside of machines only.
//! * **More than one call**: `List`, `Watch`, `Sleep` and what asks about processes, as `patterns` and
//!   `processes` say; none of them touches a file of the lock otherwise than to list the queue, to
//!   watch a ticket, or to learn its inode's number.

mod answer;
mod document;
mod mismatch;
mod patterns;
mod place;
mod processes;
mod replay;
mod report;
mod session;
mod setup;
mod tape;
mod words;

use std::fmt;

use camino::Utf8PathBuf;
use lock_core::record::Generation;
use lock_fs::{Host, Policy};
use rustix::time::{ClockId, Timespec, clock_gettime};

pub use document::{cycle, effects, set_up};
pub use mismatch::{Mismatch, Pair, What};
pub use place::Place;
pub use report::{End, Report};
pub use setup::{ALLOWED, Allowed, Who};

use crate::strace::Call;
use session::Session;
use tape::Ahead;

/// A process, and what it was to do.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its lock, by an absolute path.
    pub lock: Utf8PathBuf,
    /// Its settings.
    pub policy: Policy,
    /// What it calls itself in its record.
    pub command: String,
    /// Whether it agrees to be replaced while it lives.
    pub preemptible: bool,
    /// Where it ran.
    pub host: Host,
    /// What it was to do with the lock, in order.
    pub acts: Vec<Act>,
}

/// Something to do with a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Become owner.
    Acquire,
    /// Take a fenced step of this name.
    Step(String),
    /// Take fenced steps, as many as there are. Their names are taken from what they write.
    Steps,
    /// Give the lock up.
    Release,
    /// Look at it.
    Inspect,
    /// Look which processes have it kernel-locked.
    Holders,
    /// Look who stands in its mutex.
    Peek,
    /// The same, and which processes have that kernel-locked.
    MutexHolders,
    /// Look who stands in its queue.
    Waiters,
    /// Take it away; with a number, if it is still that ownership.
    Evict(Option<Generation>),
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquire => f.write_str("acquire"),
            Self::Step(label) => write!(f, "step {label}"),
            Self::Steps => f.write_str("steps"),
            Self::Release => f.write_str("release"),
            Self::Inspect => f.write_str("inspect"),
            Self::Holders => f.write_str("holders"),
            Self::Peek => f.write_str("peek"),
            Self::MutexHolders => f.write_str("mutex holders"),
            Self::Waiters => f.write_str("waiters"),
            Self::Evict(_) => f.write_str("evict"),
        }
    }
}

/// The machine that we run on, in this boot, as a contender knows it.
///
/// # Errors
///
/// When `/proc` is not mounted.
pub fn this_host() -> std::io::Result<Host> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(Host { name, boot: boot.trim().to_owned() })
}

/// Explains a trace of this machine, in this boot, that is only just over.
///
/// # Errors
///
/// When the machines do not explain it; where, and by what call.
pub fn check(subject: &Subject, calls: &[Call]) -> Result<Report, Mismatch> {
    Session::new(subject, calls, ahead_of_wall()).run()
}

fn ahead_of_wall() -> Ahead {
    let micros = |id| {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(id);
        tv_sec * 1_000_000 + tv_nsec / 1000
    };
    let wall = micros(ClockId::Realtime);
    Ahead { boot: micros(ClockId::Boottime) - wall, mono: micros(ClockId::Monotonic) - wall }
}
