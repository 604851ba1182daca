//! `lock status` and `lock explain`.

use std::time::Duration;

use camino::Utf8Path;
use lock_fs::{Lock, Options, Verdict};

use crate::args::LockOptions;
use crate::error::Error;
use crate::exit::Exit;
use crate::explain::{self, Explanation};
use crate::locking;
use crate::report::Screen;

/// Shows who holds the lock at `path`, and who waits for it.
///
/// # Errors
///
/// When it cannot be looked at.
pub(crate) fn status(path: &Utf8Path, screen: &mut Screen) -> Result<Exit, Error> {
    if !locking::directory_exists(path) {
        screen.lock_status(path, None, Some(&[]), false);
        return Ok(Exit::Done);
    }
    let lock = Lock::open(path, Options::default())?;
    let look = lock.status()?;
    let waiters = explain::waiters(&lock, path, look.now);
    let only_work_lives = explain::only_work_lives(&lock, &look);
    let look = (look.verdict != Verdict::Free).then_some(look);
    screen.lock_status(path, look.as_ref(), waiters.as_deref(), only_work_lives);
    Ok(Exit::Done)
}

/// Shows what a contender with these options would make of the lock at `path` now.
///
/// # Errors
///
/// When it cannot be looked at, or the options do not fit together.
pub(crate) fn explain(
    path: &Utf8Path,
    options: &LockOptions,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let policy = locking::policy(options)?;
    let explanation = match locking::directory_exists(path) {
        false => Explanation::of_nothing(path, policy),
        true => {
            let lock = locking::open(path, options, String::new())?;
            Explanation::of(&lock, path, policy, Duration::ZERO)?
        }
    };
    screen.explanation(&explanation);
    Ok(Exit::Done)
}
