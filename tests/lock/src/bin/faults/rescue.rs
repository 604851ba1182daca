//! The one who comes while the subject is stopped.

use std::thread;
use std::time::{Duration, Instant};

use lock_fs::{
    Cancel, Error as LockError, Guard, Lock, Notice, OnTimeout, Options, Policy, Settings, Takeover,
};
use lock_tests::{Arena, is_dying};

use crate::error::Error;
use crate::life::PATIENCE;
use crate::outcome::Rescue;

/// How long to watch one that was killed and is still there.
const LATE: Duration = Duration::from_secs(1);

/// How long it waits: for an owner that it may replace, until that has been silent for long enough
/// by that owner's own setting.
const LIMIT: Duration = Duration::from_millis(40);
const LIMIT_TO_REPLACE: Duration = Duration::from_secs(5);

/// Comes, and gets the lock or says why not. Its thresholds are such that a stopped process
/// is past them as soon as it has stopped.
pub(crate) fn come(
    arena: &Arena,
    subject: u32,
    on_timeout: OnTimeout,
    may_replace: bool,
) -> Result<(Rescue, Option<Guard>), Error> {
    let settings = Settings {
        renew_every: Duration::from_millis(5),
        wait_limit: Some(if may_replace { LIMIT_TO_REPLACE } else { LIMIT }),
        poll: Duration::from_millis(10),
        grace: Duration::from_millis(50),
        on_timeout,
        ..Settings::with_stale_after(Duration::from_millis(20))
    };
    let policy = Policy::new(settings)?;
    let options = Options { policy, command: "rescuer".to_owned(), ..Options::default() };
    let lock = Lock::open(arena.lock(), options)?;
    let cancel = Cancel::new().map_err(Error::system("make", "a bell"))?;
    let mut from = None;
    let acquired = thread::scope(|scope| {
        let (over, bell) = (std::sync::mpsc::channel::<()>(), cancel.clone());
        scope.spawn(move || {
            // Ends with the acquire, or ends it.
            if over.1.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                bell.cancel();
            }
        });
        let acquired = lock.acquire(&cancel, &mut |notice| {
            if let Notice::TookOver(Takeover { from: Some(owner), .. }) = notice {
                from = Some(owner.pid);
            }
        });
        drop(over.0);
        acquired
    });
    Ok(match acquired {
        Ok(guard) if is_dying(subject) => (Rescue::Ended, Some(guard)),
        Ok(guard) if from == Some(subject) => (Rescue::TookOver, Some(guard)),
        Ok(guard) => (Rescue::Free, Some(guard)),
        Err(LockError::MutexHeld { holder, .. }) => {
            let named = holder.is_some_and(|holder| holder.pid == subject);
            (if named { Rescue::Held } else { Rescue::HeldByAnother }, None)
        }
        Err(LockError::TimedOut { owner: Some(owner), .. }) if owner.pid == subject => {
            (Rescue::Waited, None)
        }
        Err(LockError::TimedOut { .. }) => (Rescue::WaitedForAnother, None),
        // The kernel, and the tracer, may take a moment longer than the grace.
        Err(LockError::Survived { .. }) if dies_late(subject) => {
            return come(arena, subject, on_timeout, may_replace);
        }
        Err(LockError::Survived { .. }) => (Rescue::Survived, None),
        Err(error) => (Rescue::Failed(error.to_string()), None),
    })
}

/// Whether a process that was killed is on its way out by now.
fn dies_late(pid: u32) -> bool {
    let deadline = Instant::now() + LATE;
    while Instant::now() < deadline {
        if is_dying(pid) {
            return true;
        }
        // There is no event for it: the process is not ours to wait for here.
        thread::sleep(Duration::from_millis(1));
    }
    false
}
