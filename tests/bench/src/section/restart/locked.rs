//! The lock that a restart holds, around commands that are not `fleet`'s, and its own time.

use std::time::{Duration, Instant};

use lock_fs::{Guard, Lock, Options, Released};

use super::home::Home;
use crate::error::Error;

/// Held by one restart.
pub(super) struct Locked {
    guard: Guard,
    spent: Duration,
}

impl Locked {
    /// Takes the lock of `home`, and lets `commands` run under it. Answers how many
    /// milliseconds of it all the lock took, and how many the rest.
    pub(super) fn run(
        home: &Home,
        commands: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(f64, f64), Error> {
        let begun = Instant::now();
        let lock = Lock::open(home.path("fleet/bare.lock"), Options::default()).map_err(refused)?;
        let guard = lock.acquire_quietly().map_err(refused)?;
        let mut held = Self { guard, spent: begun.elapsed() };
        commands(&mut held)?;
        let releasing = Instant::now();
        let released = held.guard.release().map_err(refused)?;
        if released != Released::Released {
            return Err(Error::Failure(format!("the lock around the commands: {released:?}")));
        }
        let spent = held.spent + releasing.elapsed();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        Ok((milliseconds(spent), milliseconds(begun.elapsed().saturating_sub(spent))))
    }

    /// Does something that nobody who took the lock over may have to suffer.
    pub(super) fn step(&mut self, work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let begun = Instant::now();
        let mut worked = Duration::ZERO;
        let done = self.guard.step("1/1 restarting", || {
            let begun = Instant::now();
            let done = work();
            worked = begun.elapsed();
            done
        });
        self.spent += begun.elapsed().saturating_sub(worked);
        done.map_err(refused)?
    }
}

fn refused(error: lock_fs::Error) -> Error {
    Error::Failure(format!("the lock around the commands: {error}"))
}
