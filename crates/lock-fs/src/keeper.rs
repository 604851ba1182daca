//! The thread that keeps ownerships alive and notices when one is taken away.
//!
//! There is one for each lock handle, not one for each guard: most ownerships are over
//! before anything is due, and starting a thread for each would cost more than the lock.
//! It starts with the first guard and ends when there has been none for a while; a handle
//! that was told to [`Lock::keep_later`] starts it when told to [`Lock::keep`].

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use lock_core::Glimpse;

use crate::error::Error;
use crate::guard::Shared;
use crate::lock::Lock;
use crate::watch::{Cancel, Watcher, Woken};

/// How often the keeper looks for new guards while there are any; so old an ownership has to
/// be before its ticket is watched.
const ROUND: Duration = Duration::from_millis(100);

/// How long the keeper looks away after a change, unless a renewal is due before. Each of the
/// owner's own steps names its ticket once more and takes that name away, which wakes the keeper
/// like a takeover; were it to look each time, it would be in the way of the next step: that made
/// 600 steps 4 times as dear.
const BLINK: Duration = Duration::from_millis(20);

/// How many rounds without a guard the thread lives on.
const LINGER: u32 = 10;

/// Looks after the guards of one lock handle.
#[derive(Debug)]
pub(crate) struct Keeper {
    desk: Arc<Desk>,
}

#[derive(Debug)]
struct Desk {
    wards: Mutex<Wards>,
    /// Wakes the thread.
    bell: Cancel,
    renew_every: Duration,
}

#[derive(Debug, Default)]
struct Wards {
    guards: Vec<Ward>,
    thread: Thread,
    /// Whether to leave them alone for now.
    later: bool,
}

/// What the thread is at, so that an acquire rings the bell only when it must.
#[derive(Debug, Default, PartialEq, Eq)]
enum Thread {
    #[default]
    Absent,
    /// It will look within a round anyway.
    Rounding,
    /// It sleeps until the next renewal.
    Asleep,
}

/// The keeper holds a guard's insides only while it does something with them, so that it
/// never keeps a lock alive by itself.
#[derive(Debug)]
struct Ward {
    guard: Weak<Shared>,
    renewal: Instant,
    watched: bool,
}

impl Keeper {
    pub(crate) fn new(renew_every: Duration) -> io::Result<Self> {
        let bell = Cancel::new()?;
        Ok(Self { desk: Arc::new(Desk { wards: Mutex::default(), bell, renew_every }) })
    }

    /// Looks after `guard` from now on.
    pub(crate) fn adopt(&self, guard: &Arc<Shared>) -> io::Result<()> {
        let desk = &self.desk;
        let mut wards = desk.wards();
        wards.guards.retain(|ward| ward.guard.strong_count() > 0);
        wards.guards.push(Ward {
            guard: Arc::downgrade(guard),
            renewal: Instant::now() + desk.renew_every,
            watched: false,
        });
        if wards.later { Ok(()) } else { desk.see_to(&mut wards) }
    }
}

impl Lock {
    /// Leaves guards alone until [`Lock::keep`]: till then nobody renews them, and a loss is
    /// found out by a step or the release only.
    ///
    /// For an owner that will know in a moment whether it has any use for the lock at all: to
    /// start the thread that renews takes as long as acquiring. Do nothing meanwhile that may
    /// take long: what is due by then is done as soon as there is a keeper, and a loss noticed a
    /// tenth of a second after that.
    pub fn keep_later(&self) {
        self.inner.keeper.desk.wards().later = true;
    }

    /// Looks after guards from now on, those there are and those to come.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had; then nothing has changed.
    pub fn keep(&self) -> Result<(), Error> {
        let desk = &self.inner.keeper.desk;
        let mut wards = desk.wards();
        if wards.later && !wards.guards.is_empty() {
            let path = || self.inner.directory().lock().to_owned();
            desk.see_to(&mut wards).map_err(|source| Error::system("renew", &path(), source))?;
        }
        wards.later = false;
        Ok(())
    }
}

impl Desk {
    /// Has the thread look within a round.
    fn see_to(self: &Arc<Self>, wards: &mut Wards) -> io::Result<()> {
        match wards.thread {
            Thread::Rounding => {}
            Thread::Asleep => self.bell.cancel(),
            Thread::Absent => {
                let desk = Arc::clone(self);
                let thread = thread::Builder::new().name("lock-keeper".into());
                thread.spawn(move || desk.run())?;
            }
        }
        wards.thread = Thread::Rounding;
        Ok(())
    }

    fn run(&self) {
        let mut watcher = Watcher::default();
        let mut idle = 0;
        let mut changed = false;
        loop {
            let now = Instant::now();
            let Some(limit) = self.plan(now, &mut idle) else {
                return;
            };
            if mem::take(&mut changed) {
                self.bell.wait(None, limit.min(BLINK));
                continue;
            }
            changed = self.bell.wait(watcher.fd(), limit) == Woken::Changed;
            self.bell.reset();
            watcher.what_changed();
            self.attend(&mut watcher);
        }
    }

    /// How long to sleep; nothing, when there has been no guard for long enough.
    fn plan(&self, now: Instant, idle: &mut u32) -> Option<Duration> {
        let mut wards = self.wards();
        wards.guards.retain(|ward| ward.guard.upgrade().is_some_and(|guard| guard.is_owning()));
        *idle = if wards.guards.is_empty() { *idle + 1 } else { 0 };
        if *idle > LINGER {
            wards.thread = Thread::Absent;
            return None;
        }
        let renewal = wards.guards.iter().map(|ward| ward.renewal).min();
        let left = renewal.map(|at| at.saturating_duration_since(now));
        let settled = !wards.guards.is_empty() && wards.guards.iter().all(|ward| ward.watched);
        wards.thread = if settled { Thread::Asleep } else { Thread::Rounding };
        let longest = if settled { Duration::MAX } else { ROUND };
        Some(left.unwrap_or(ROUND).min(longest))
    }

    /// Watches, and renews what is due. A guard whose ticket looks taken over is renewed at
    /// once, for that is how a loss is found out for certain.
    fn attend(&self, watcher: &mut Watcher) {
        let now = Instant::now();
        let mut todo = Vec::new();
        for ward in &mut self.wards().guards {
            let Some(guard) = ward.guard.upgrade() else {
                continue;
            };
            let due = now >= ward.renewal;
            if due {
                ward.renewal = now + self.renew_every;
            }
            let first = !mem::replace(&mut ward.watched, true);
            todo.push((guard, first, due));
        }
        // Not while the wards are borrowed: a guard that is in the middle of a step lets
        // nobody else near it, and must not keep others from being adopted.
        for (guard, first, due) in todo {
            if guard.glance(first, watcher) == Glimpse::Replaced || due {
                guard.renew();
            }
        }
    }

    fn wards(&self) -> MutexGuard<'_, Wards> {
        self.wards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use lock_core::effect::Effect;
    use lock_core::policy::{Policy, Settings};

    use super::*;
    use crate::drive::Tracer;
    use crate::lock::Options;

    #[test]
    fn guards_are_left_alone_until_they_are_to_be_kept() {
        let directory = tempfile::tempdir().expect("because a temporary directory is needed");
        let path = camino::Utf8Path::from_path(directory.path()).expect("because it is UTF-8");
        let lock = Lock::open(path.join("lock"), Options::default()).expect("because it is there");
        let desk = Arc::clone(&lock.inner.keeper.desk);
        lock.keep_later();
        let guard = lock.acquire_quietly().expect("because it is free");
        assert_eq!(desk.wards().thread, Thread::Absent);
        lock.keep().expect("because there is a thread to be had");
        assert_ne!(desk.wards().thread, Thread::Absent);
        drop(guard);
        drop(lock.acquire_quietly().expect("because it is free again"));
    }

    #[test]
    fn steps_in_a_row_do_not_have_the_keeper_look_each_time() {
        let directory = tempfile::tempdir().expect("because a temporary directory is needed");
        let path = camino::Utf8Path::from_path(directory.path()).expect("because it is UTF-8");
        let (tracer, looks) = keepers_effects(|_| true);
        let options = Options { tracer: Some(tracer), ..Options::default() };
        let lock = Lock::open(path.join("lock"), options).expect("because it is there");
        let guard = lock.acquire_quietly().expect("because it is free");
        // The thread has a rhythm of its own; from its first look on, the ticket is watched.
        while looks.load(Ordering::SeqCst) == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        let (begun, before) = (Instant::now(), looks.load(Ordering::SeqCst));
        for _ in 0..1000 {
            guard.step("going on", || ()).expect("because it is ours");
        }
        let blinks = begun.elapsed().as_millis() / BLINK.as_millis();
        let found = looks.load(Ordering::SeqCst) - before;
        // One that was begun, the first in a blink, and one after each.
        assert!(u128::from(found) <= blinks + 2, "{found} looks in {blinks} blinks");
    }

    #[test]
    fn what_is_due_is_renewed_though_each_renewal_is_a_change() {
        let directory = tempfile::tempdir().expect("because a temporary directory is needed");
        let path = camino::Utf8Path::from_path(directory.path()).expect("because it is UTF-8");
        let (tracer, renewals) = keepers_effects(|effect| matches!(effect, Effect::Write(..)));
        let renew_every = BLINK / 10;
        let settings = Settings { renew_every, ..Settings::default() };
        let policy = Policy::new(settings).expect("because it renews often enough");
        let options = Options { tracer: Some(tracer), policy, ..Options::default() };
        let lock = Lock::open(path.join("lock"), options).expect("because it is there");
        let _guard = lock.acquire_quietly().expect("because it is free");
        let twenty_are_quick = || {
            let (begun, before) = (Instant::now(), renewals.load(Ordering::SeqCst));
            while renewals.load(Ordering::SeqCst) < before + 20 {
                thread::sleep(renew_every);
            }
            begun.elapsed() < BLINK * 10
        };
        // A busy machine may keep the thread from it, but not always.
        assert!((0..50).any(|_| twenty_are_quick()), "a blink came before each renewal");
    }

    /// Counts those effects that the keeper's thread performs.
    fn keepers_effects(
        counts: impl Fn(&Effect) -> bool + Send + Sync + 'static,
    ) -> (Tracer, Arc<AtomicU32>) {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let tracer = Tracer::new(move |effect| {
            if thread::current().name() == Some("lock-keeper") && counts(effect) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        (tracer, count)
    }
}
