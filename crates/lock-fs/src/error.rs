//! What can go wrong, on which path, and what to do about it.

use std::fmt;
use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use lock_core::machine::Refusal;
use lock_core::record::Record;

/// Why a lock operation failed. Every message is one sentence that names the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path has no file name.
    #[error("{path} cannot be a lock: name a file, not a directory")]
    NotAFile {
        /// As given.
        path: Utf8PathBuf,
    },
    /// The names around the lock would not fit.
    #[error("{path} cannot be a lock: its file name is too long; use at most 211 bytes")]
    NameTooLong {
        /// As given.
        path: Utf8PathBuf,
    },
    /// The run directory could not be made.
    #[error("cannot create the directory {path}; create it, or choose another place for the lock")]
    CreateDirectory {
        /// The directory.
        path: Utf8PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Anyone may write to the run directory, and so exchange files in it.
    #[error(
        "{path} is writable by everyone, so no lock in it can be trusted; run `chmod o-w {path}`"
    )]
    UnsafeDirectory {
        /// The directory.
        path: Utf8PathBuf,
    },
    /// The lock is held, and waiting was not wanted.
    #[error("{path} is held{}; try again later, or wait for it", By(owner))]
    Busy {
        /// The lock.
        path: Utf8PathBuf,
        /// Who has it, if its file can be read.
        owner: Option<Box<Record>>,
    },
    /// The lock was held for as long as we cared to wait.
    #[error(
        "gave up on {path} after {}, held{}; wait longer, or take it away deliberately",
        seconds(waited),
        By(owner)
    )]
    TimedOut {
        /// The lock.
        path: Utf8PathBuf,
        /// How long we waited.
        waited: Duration,
        /// Who has it, if its file can be read.
        owner: Option<Box<Record>>,
    },
    /// A process is stopped in the middle of a transition. It is never robbed.
    #[error(
        "gave up on {path} after {}, held for a transition{} that does not go on; continue it with SIGCONT or end it",
        seconds(waited),
        By(holder)
    )]
    MutexHeld {
        /// The mutex.
        path: Utf8PathBuf,
        /// How long we waited.
        waited: Duration,
        /// Who holds it, if its file can be read.
        holder: Option<Box<Record>>,
    },
    /// The owner was to be ended, and still the lock is held.
    #[error("{path} is still held{}: {}", By(owner), Ended(signalled))]
    Survived {
        /// The lock.
        path: Utf8PathBuf,
        /// Who has it, if its file can be read.
        owner: Option<Box<Record>>,
        /// The processes that were sent a signal: none, if none of those that hold the lock may be
        /// ended from here.
        signalled: Vec<u32>,
    },
    /// The process that acquired the lock, or opened it, is another: this one was forked from it.
    #[error("{path} belongs to the process that this one was forked from; open it in this one")]
    Forked {
        /// The lock.
        path: Utf8PathBuf,
    },
    /// A step of this guard is under way in this very thread, and would wait for itself.
    #[error("a step of {path} cannot begin, nor share its descriptor, inside another one of it")]
    InsideStep {
        /// The lock.
        path: Utf8PathBuf,
    },
    /// The wait was cancelled.
    #[error("the wait for {path} was cancelled")]
    Cancelled {
        /// The lock.
        path: Utf8PathBuf,
    },
    /// The lock is not ours any more.
    #[error("lost {path}: {}", TakenBy(to))]
    Lost {
        /// The lock.
        path: Utf8PathBuf,
        /// Who has it now, if anybody.
        to: Option<Box<Record>>,
    },
    /// Something else stands where a lock file should.
    #[error(
        "{path} is {reason}, not a lock file; choose another path, or remove it if nobody needs it"
    )]
    Refused {
        /// Where.
        path: Utf8PathBuf,
        /// What stands there.
        reason: Refusal,
    },
    /// The kernel does not arbitrate on this file system, and the owner is not preemptible, or
    /// asked for a kernel lock.
    #[error(
        "{path} is on a file system without trustworthy kernel locks, so the work of two owners could overlap; choose a local one, or accept that with `allow_timed`"
    )]
    NoKernelLock {
        /// The lock.
        path: Utf8PathBuf,
    },
    /// The generation file was damaged.
    #[error(
        "{path} is damaged, so the next generation is unknown; if no fencing token of this lock matters any more, remove it"
    )]
    GenerationDamaged {
        /// The generation file.
        path: Utf8PathBuf,
    },
    /// The run directory is there, and takes no files: one of `/proc`, say.
    #[error("no file can be made in {path}; choose another place for the lock")]
    NoFiles {
        /// The directory.
        path: Utf8PathBuf,
    },
    /// The run directory vanished.
    #[error("the directory {path} was removed; create it again, then try again")]
    DirectoryGone {
        /// The directory.
        path: Utf8PathBuf,
    },
    /// The system refused a call.
    #[error("cannot {verb} {path}")]
    System {
        /// What was tried.
        verb: &'static str,
        /// On which path.
        path: Utf8PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn system(
        verb: &'static str,
        path: &Utf8Path,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::System { verb, path: path.to_owned(), source: source.into() }
    }
}

/// ` by pid 42 (fleet restart)`, or nothing if the file could not be read.
struct By<'a>(&'a Option<Box<Record>>);

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str(" by an unknown process"),
            Some(record) => write!(f, " by {}", Who(record)),
        }
    }
}

/// What was done to end an owner that is still there.
struct Ended<'a>(&'a [u32]);

impl fmt::Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(
                "no process that holds it can be ended from here, because it has written no record, \
                 belongs to another user or pid namespace, or cannot be seen",
            );
        }
        let pids: Vec<String> = self.0.iter().map(u32::to_string).collect();
        write!(
            f,
            "SIGTERM and SIGKILL did not end all that hold it; sent to pid {}",
            pids.join(", ")
        )
    }
}

struct TakenBy<'a>(&'a Option<Box<Record>>);

impl fmt::Display for TakenBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("its file is gone"),
            Some(record) => write!(f, "{} has it now", Who(record)),
        }
    }
}

/// An owner as a person would call it: `pid 42 on build-3 (fleet restart), generation 17`.
pub(crate) struct Who<'a>(pub(crate) &'a Record);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {}", self.0.pid)?;
        let Some(detail) = &self.0.detail else {
            return Ok(());
        };
        write!(f, " on {}", detail.host.name)?;
        if !detail.command.is_empty() {
            write!(f, " ({})", detail.command)?;
        }
        // A contender in the mutex has no generation yet.
        if detail.generation.0 > 0 {
            write!(f, ", generation {}", detail.generation)?;
        }
        Ok(())
    }
}

fn seconds(duration: &Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
