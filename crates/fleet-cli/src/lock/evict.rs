//! `lock break`.

use camino::Utf8Path;
use lock_fs::{Evicted, Generation, Lock, Options};

use crate::error::Error;
use crate::exit::Exit;
use crate::journal::{Journal, Other, What};
use crate::locking;
use crate::report::Screen;

/// What others see us do.
const COMMAND: &str = "fleet lock break";

/// Takes the lock at `path` away from an owner that is dead or preemptible; with `only`, from that
/// ownership.
///
/// # Errors
///
/// When it cannot be taken away.
pub(crate) fn evict(
    path: &Utf8Path,
    only: Option<u64>,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let (evicted, holders) = match locking::directory_exists(path) {
        true => {
            let options = Options { command: COMMAND.to_owned(), ..Options::default() };
            let lock = Lock::open(path, options)?;
            // Before the lock is taken away: after that they hold a file without a name.
            let holders = lock.holders().map(|holders| holders.pids).unwrap_or_default();
            let evicted = lock.evict(only.map(Generation))?;
            if let Evicted::Done(from) = &evicted {
                let journal = Journal::new(path, lock.host(), COMMAND.to_owned());
                let from = from.as_ref().map(Other::from);
                journal.write(journal.now(), None, What::Broken { from });
                screen.journal(journal.problem());
            }
            (evicted, holders)
        }
        false => (Evicted::WasFree, Vec::new()),
    };
    screen.evicted(path, &evicted, &holders);
    Ok(match evicted {
        Evicted::Done(_) | Evicted::WasFree => Exit::Done,
        Evicted::Other(_) | Evicted::Living(_) | Evicted::Unbreakable(_) => Exit::LockNotAcquired,
    })
}
