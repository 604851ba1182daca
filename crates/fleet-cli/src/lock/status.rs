//! `lock status` and `lock explain`.

use std::time::Duration;

use camino::Utf8Path;
use lock_fs::{Lock, Options, Verdict};

use crate::args::LockOptions;
use crate::error::Error;
use crate::exit::Exit;
use crate::explain::{self, Explanation};
use crate::locking::{self, Terms};
use crate::report::Screen;

/// Shows who holds the lock at `path`, and who waits for it.
///
/// # Errors
///
/// When it cannot be looked at.
pub(crate) fn status(path: &Utf8Path, screen: &mut Screen) -> Result<Exit, Error> {
    if !locking::directory_exists(path) {
        screen.lock_status(path, None, Some(&[]), &[], false);
        return Ok(Exit::Done);
    }
    let lock = Lock::open(path, Options::default())?;
    let look = lock.status()?;
    let waiters = explain::waiters(&lock, path, look.now);
    let only_work_lives = explain::only_work_lives(&lock, &look);
    let holders = match look.is_held() {
        true => lock.holders()?.pids,
        false => Vec::new(),
    };
    let look = (look.verdict != Verdict::Free).then_some(look);
    screen.lock_status(path, look.as_ref(), waiters.as_deref(), &holders, only_work_lives);
    Ok(Exit::Done)
}

/// Shows what a process with these options that begins to wait now would do about the lock.
///
/// # Errors
///
/// When it cannot be looked at, or the options do not fit together.
pub(crate) fn explain(
    path: &Utf8Path,
    options: &LockOptions,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let terms = Terms::of_command(options, false)?;
    let policy = terms.policy;
    let explanation = match locking::directory_exists(path) {
        false => Explanation::of_nothing(path, policy),
        true => {
            let lock = locking::open(path, terms, String::new())?;
            Explanation::of(&lock, path, policy, Duration::ZERO)?
        }
    };
    screen.explanation(&explanation);
    Ok(Exit::Done)
}
