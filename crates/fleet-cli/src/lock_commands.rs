//! `lock status` and `lock break`.

use camino::Utf8Path;
use lock_fs::{Evicted, Generation, Lock, Options};

use crate::error::Error;
use crate::exit::Exit;
use crate::locking;
use crate::report::Screen;

/// Shows who holds the lock at `path`.
///
/// # Errors
///
/// When it cannot be looked at.
pub(crate) fn status(path: &Utf8Path, screen: &mut Screen) -> Result<Exit, Error> {
    let look = locking::look(path)?;
    screen.lock_status(path, look.as_ref());
    Ok(Exit::Done)
}

/// Takes the lock at `path` away; with `only`, if it is still that ownership.
///
/// # Errors
///
/// When it cannot be taken away.
pub(crate) fn break_lock(
    path: &Utf8Path,
    only: Option<u64>,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let evicted = match locking::directory_exists(path) {
        true => {
            let options = Options { command: "fleet lock break".to_owned(), ..Options::default() };
            Lock::open(path, options)?.evict(only.map(Generation))?
        }
        false => Evicted::WasFree,
    };
    screen.evicted(path, &evicted);
    Ok(match evicted {
        Evicted::Done(_) | Evicted::WasFree => Exit::Done,
        Evicted::Other(_) => Exit::LockNotAcquired,
    })
}
