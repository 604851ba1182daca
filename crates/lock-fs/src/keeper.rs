//! The thread that keeps ownerships alive and notices when one is taken away.
//!
//! There is one for each lock handle, not one for each guard: most ownerships are over
//! before anything is due, and starting a thread for each would cost more than the lock.
//! It starts with the first guard and ends when there has been none for a while.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use lock_core::{Glance, Glimpse};

use crate::guard::Shared;
use crate::watch::{Cancel, Watcher};

/// How often the keeper looks for new guards while there are any; so old an ownership has to
/// be before its ticket is watched.
const ROUND: Duration = Duration::from_millis(100);

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
        match wards.thread {
            Thread::Rounding => {}
            Thread::Asleep => desk.bell.cancel(),
            Thread::Absent => {
                let desk = Arc::clone(desk);
                let thread = thread::Builder::new().name("lock-keeper".into());
                thread.spawn(move || desk.run())?;
            }
        }
        wards.thread = Thread::Rounding;
        Ok(())
    }
}

impl Desk {
    fn run(&self) {
        let mut watcher = Watcher::default();
        let mut idle = 0;
        loop {
            let now = Instant::now();
            let Some(limit) = self.plan(now, &mut idle) else {
                return;
            };
            self.bell.wait(watcher.fd(), limit);
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
            let glance = if ward.watched { Glance::again() } else { Glance::first() };
            ward.watched = true;
            todo.push((guard, glance, due));
        }
        // Not while the wards are borrowed: a guard that is in the middle of a step lets
        // nobody else near it, and must not keep others from being adopted.
        for (guard, glance, due) in todo {
            if guard.glance(glance, watcher) == Glimpse::Nameless || due {
                guard.renew();
            }
        }
    }

    fn wards(&self) -> MutexGuard<'_, Wards> {
        self.wards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
