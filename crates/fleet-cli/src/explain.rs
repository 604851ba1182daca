//! What a waiting process would do about a lock now, with everything that can be seen.
//!
//! The verdict is lock-core's own, on a real look; here are only the facts beside it.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use lock_fs::{
    Detail, Generation, Holders, Life, Lock, Now, Policy, Record, Stale, Status, Verdict,
};

use crate::journal;
use crate::processes::Process;

/// A transition takes microseconds: a mutex that one process holds for so long is held by one
/// that does not run.
const TRANSITION: Duration = Duration::from_millis(50);

/// A look at a lock, and around it.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// The lock.
    pub(crate) path: Utf8PathBuf,
    /// What a contender would go by.
    pub(crate) policy: Policy,
    /// What was seen, and the verdict; none where there is not even a directory.
    pub(crate) look: Option<Status>,
    /// The owner's process.
    pub(crate) process: Seen,
    /// Which processes have it kernel-locked.
    pub(crate) holders: Holders,
    /// Who is in the middle of a transition, and does not come out.
    pub(crate) stuck: Option<Stuck>,
    /// Who waits, as far as that is known.
    pub(crate) waiters: Vec<Waiter>,
}

/// Whoever holds the mutex, and holds it on.
#[derive(Debug)]
pub(crate) struct Stuck {
    /// What its ticket says.
    pub(crate) record: Record,
    /// Its process.
    pub(crate) process: Seen,
    /// The processes that have it kernel-locked.
    pub(crate) holders: Vec<u32>,
}

/// What can be seen of the process that wrote a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is there.
    Lives(Process),
    /// It ran here, and is not there any more.
    Gone,
    /// It does not say where it ran, or ran elsewhere.
    Elsewhere,
}

/// A process that waits for the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    /// Its id.
    pub(crate) pid: u32,
    /// What it is, as a person would type it.
    pub(crate) command: String,
    /// For how long it has waited.
    pub(crate) waited: Duration,
}

impl Explanation {
    /// Looks at a lock, as a contender that has waited so long for its owner.
    ///
    /// # Errors
    ///
    /// When something else stands at the path, or it cannot be read.
    pub(crate) fn of(
        lock: &Lock,
        path: &Utf8Path,
        policy: Policy,
        waited: Duration,
    ) -> Result<Self, lock_fs::Error> {
        let look = lock.status_after(waited)?;
        let process = look.owner().map_or(Seen::Elsewhere, |record| find(lock, record));
        let holders = match look.is_held() {
            true => lock.holders()?,
            false => Holders::default(),
        };
        Ok(Self {
            holders,
            path: path.to_owned(),
            policy,
            process,
            stuck: stuck(lock),
            waiters: waiters(lock, path, look.now).unwrap_or_default(),
            look: Some(look),
        })
    }

    /// There is no such lock, and no directory for one.
    pub(crate) fn of_nothing(path: &Utf8Path, policy: Policy) -> Self {
        let (path, process) = (path.to_owned(), Seen::Elsewhere);
        let holders = Holders::default();
        Self { path, policy, look: None, process, holders, stuck: None, waiters: Vec::new() }
    }

    /// The verdict.
    pub(crate) fn verdict(&self) -> Verdict {
        self.look.as_ref().map_or(Verdict::Free, |look| look.verdict)
    }

    /// The owner, if its file can be read.
    pub(crate) fn owner(&self) -> Option<&Record> {
        self.look.as_ref()?.owner()
    }

    /// Whether the owner can still be asked, or ended.
    pub(crate) fn owner_lives(&self) -> bool {
        is_owned(self.verdict())
    }

    /// Whether the owner is gone, and only processes that it has started keep the lock.
    pub(crate) fn only_work_lives(&self) -> bool {
        self.owner_lives() && matches!(self.process, Seen::Gone)
    }
}

/// Whether somebody keeps the lock with this verdict.
fn is_owned(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Free => false,
        Verdict::Stale(stale) => stale == Stale::Silent,
        Verdict::TimedOut(_) | Verdict::Wait { .. } => true,
    }
}

/// As [`Explanation::only_work_lives`].
pub(crate) fn only_work_lives(lock: &Lock, look: &Status) -> bool {
    let is_gone = |record| matches!(find(lock, record), Seen::Gone);
    is_owned(look.verdict) && look.owner().is_some_and(is_gone)
}

/// Who waits for the lock at `path`: first those who stand in its queue, in order; then, where
/// there is no queue, those of whom the journal says so and the kernel confirms it.
/// None where neither tells of anybody and the journal cannot be read.
pub(crate) fn waiters(lock: &Lock, path: &Utf8Path, now: Now) -> Option<Vec<Waiter>> {
    let waited = |since: lock_fs::Boot| now.boot.since(since);
    let mut waiters: Vec<Waiter> = Vec::new();
    for Record { pid, detail, .. } in lock.waiters() {
        let detail = detail.filter(|detail| detail.generation == Generation::default());
        waiters.extend(detail.map(|Detail { command, since, .. }| Waiter {
            pid,
            command,
            waited: waited(since),
        }));
    }
    match journal::history(path) {
        Err(_) if waiters.is_empty() => return None,
        Err(_) => {}
        Ok(history) => {
            for entry in history.waiters(&lock.host().boot) {
                if !waiters.iter().any(|waiter| waiter.pid == entry.pid) {
                    waiters.push(Waiter {
                        pid: entry.pid,
                        command: entry.command.clone(),
                        waited: waited(lock_fs::Boot(entry.boot_ms)),
                    });
                }
            }
        }
    }
    Some(waiters)
}

/// Looks for the process that wrote a record.
fn find(lock: &Lock, record: &Record) -> Seen {
    match lock.process_of(record) {
        Life::Running => Process::find(record.pid).map_or(Seen::Gone, Seen::Lives),
        Life::Ended => Seen::Gone,
        Life::Unknown => Seen::Elsewhere,
    }
}

fn stuck(lock: &Lock) -> Option<Stuck> {
    let first = lock.mutex_holder()?;
    // Nothing tells when a mutex was taken, so it is looked at twice.
    std::thread::sleep(TRANSITION);
    let record = lock.mutex_holder().filter(|record| record.token == first.token)?;
    let process = find(lock, &record);
    let holders = lock.mutex_holders().map(|holders| holders.pids).unwrap_or_default();
    Some(Stuck { record, process, holders })
}
