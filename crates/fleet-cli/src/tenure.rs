//! An ownership of a lock that is written down: its guard, and its lines in the journal.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_fs::{Boot, Generation, Guard, Loss, Now, Record, Released, Token};

use crate::exit::Exit;
use crate::journal::{Journal, Other, Problem, What};

/// How soon after a step another may be written down. It doubles with each, so an ownership
/// writes few lines however long it takes.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A lock that we hold. When it is dropped the lock is released, and that is written down.
#[derive(Debug)]
#[must_use = "the lock is released as soon as it is dropped"]
pub(crate) struct Tenure {
    // Dropped in this order: what is written down last is what became of the guard.
    guard: Guard,
    log: Arc<Log>,
}

/// An ownership's part of the journal.
#[derive(Debug)]
pub(crate) struct Log {
    journal: Journal,
    token: Token,
    generation: Generation,
    loss: Loss,
    since: Now,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    steps: u64,
    /// When the next step may be written down, and how long after it the one after that.
    next: Boot,
    pause: Duration,
    /// Whether its end is written down.
    ended: bool,
}

impl Tenure {
    /// The tenure that begins with `guard`. Writes nothing: whoever acquired knows how.
    pub(crate) fn new(guard: Guard, journal: Journal, since: Now) -> Self {
        let state = State { steps: 0, next: since.boot, pause: FIRST_PAUSE, ended: false };
        let log = Arc::new(Log {
            token: guard.token().clone(),
            generation: guard.generation(),
            loss: guard.loss(),
            journal,
            since,
            state: Mutex::new(state),
        });
        Self { guard, log }
    }

    /// Where it is written down.
    pub(crate) fn log(&self) -> Arc<Log> {
        Arc::clone(&self.log)
    }

    /// What kept a line out of the journal, if something did and nobody has been told.
    pub(crate) fn problem(&self) -> Option<Problem> {
        self.log.journal.problem()
    }

    /// Writes down how it began.
    pub(crate) fn begun(&self, what: What) {
        self.log.write(self.log.since, what);
    }

    /// Does `work` in a step, as [`Guard::begin_step`] has it; written down now and then.
    ///
    /// # Errors
    ///
    /// As [`Guard::begin_step`]; then `work` was not done. Should only leaving the mutex fail, it
    /// was.
    pub(crate) fn step<T>(
        &self,
        label: &str,
        quiet: Duration,
        work: impl FnOnce() -> T,
    ) -> Result<T, lock_fs::Error> {
        let stepped = self.guard.begin_step(label, quiet).and_then(|step| {
            let done = work();
            step.leave().map(|()| done)
        });
        if stepped.is_ok() {
            self.log.stepped(label);
        }
        if let Err(lock_fs::Error::Lost { to, .. }) = &stepped {
            self.log.lost(to.as_deref());
        }
        stepped
    }

    /// As [`Guard::release`], and written down; `exit` is the work's. Tells also what kept a
    /// line out of the journal.
    pub(crate) fn release(
        self,
        exit: Option<Exit>,
    ) -> (Result<Released, lock_fs::Error>, Option<Problem>) {
        let Self { guard, log } = self;
        let now = log.journal.now();
        let held_ms = log.held_ms(now);
        let released = guard.release();
        log.end(
            now,
            match &released {
                Ok(Released::Released) => What::Released { held_ms, exit: exit.map(Exit::code) },
                Ok(Released::AlreadyLost { to }) => {
                    What::Lost { held_ms, to: to.as_deref().map(Other::from) }
                }
                Err(error) => What::Failed { held_ms, problem: crate::error::chain(error) },
            },
        );
        (released, log.journal.problem())
    }
}

impl Deref for Tenure {
    type Target = Guard;

    fn deref(&self) -> &Guard {
        &self.guard
    }
}

impl Log {
    /// Writes down that the lock is lost, if it is not written yet.
    pub(crate) fn lost(&self, to: Option<&Record>) {
        let now = self.journal.now();
        self.end(now, What::Lost { held_ms: self.held_ms(now), to: to.map(Other::from) });
    }

    fn write(&self, at: Now, what: What) {
        self.journal.write(at, Some((&self.token, self.generation)), what);
    }

    fn held_ms(&self, now: Now) -> u64 {
        millis(now.boot.since(self.since.boot))
    }

    fn stepped(&self, label: &str) {
        let now = self.journal.now();
        let steps = {
            let mut state = self.state();
            state.steps += 1;
            if now.boot < state.next {
                return;
            }
            state.next = Boot(now.boot.0.saturating_add(millis(state.pause)));
            state.pause *= 2;
            state.steps
        };
        self.write(now, What::Step { steps, phrase: label.to_owned() });
    }

    /// Writes down the end, which comes once.
    fn end(&self, at: Now, what: What) {
        if !std::mem::replace(&mut self.state().ended, true) {
            self.write(at, what);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let now = self.journal.now();
        let held_ms = self.held_ms(now);
        self.end(
            now,
            match self.loss.is_lost() {
                true => What::Lost { held_ms, to: None },
                false => What::Released { held_ms, exit: None },
            },
        );
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
