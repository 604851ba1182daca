//! The thread that keeps an ownership alive and notices when it is taken away.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::guard::Shared;
use crate::watch::{Cancel, Watcher, Woken};

/// How long an ownership must last before its ticket is watched. Most are over by then, and
/// closing a watch can take the kernel many milliseconds.
const PROBATION: Duration = Duration::from_millis(100);

/// Starts a guard's keeper. It ends with the ownership.
pub(crate) fn spawn(shared: &Arc<Shared>) -> io::Result<()> {
    let keeper = Keeper {
        shared: Arc::downgrade(shared),
        ended: shared.ended.clone(),
        every: shared.inner.options.policy.renew_every,
        watcher: Watcher::default(),
    };
    thread::Builder::new()
        .name("lock-keeper".into())
        .spawn(move || keeper.run())
        .map(drop)
}

/// Holds the guard's insides only while it does something with them, so that it never keeps
/// a lock alive by itself.
struct Keeper {
    shared: Weak<Shared>,
    ended: Cancel,
    every: Duration,
    watcher: Watcher,
}

impl Keeper {
    fn run(mut self) {
        let mut renewal = Instant::now() + self.every;
        let watching = Instant::now() + PROBATION;
        if self.sleep_until(watching.min(renewal)).is_none() || !self.start_watching() {
            return;
        }
        loop {
            let Some(woken) = self.sleep_until(renewal) else {
                return;
            };
            let due = woken == Woken::Due;
            if !self.attend(due) {
                return;
            }
            if due {
                renewal = Instant::now() + self.every;
            }
        }
    }

    /// Nothing, once the ownership has ended.
    fn sleep_until(&self, instant: Instant) -> Option<Woken> {
        let left = instant.saturating_duration_since(Instant::now());
        let woken = self.ended.wait(self.watcher.fd(), left);
        (woken != Woken::Cancelled).then_some(woken)
    }

    /// The watch first, then a look: a takeover in between must not go unnoticed.
    fn start_watching(&mut self) -> bool {
        let Some(shared) = self.shared.upgrade() else {
            return false;
        };
        shared.watch(&mut self.watcher);
        !shared.looks_lost() || shared.renew()
    }

    /// Renews when it is due, and when the ticket looks taken over, which is how that is
    /// found out for certain. Our own steps and renewals change the ticket's names too.
    fn attend(&mut self, due: bool) -> bool {
        let Some(shared) = self.shared.upgrade() else {
            return false;
        };
        self.watcher.what_changed();
        if due || shared.looks_lost() {
            shared.renew()
        } else {
            true
        }
    }
}
