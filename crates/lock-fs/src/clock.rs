//! The one reader of the clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lock_core::time::{Boot, Mono, Now, Wall};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Where a lock takes the time from. Clones share their shifts.
///
/// [`Clock::default`] is the machine's own. The shifts are for tests of what hours or a
/// stepped wall clock do, without living through them.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    shift: Option<Arc<Shift>>,
}

#[derive(Debug, Default)]
struct Shift {
    wall: AtomicI64,
    boot: AtomicI64,
    mono: AtomicI64,
}

impl Clock {
    /// A clock that can be moved.
    #[must_use]
    pub fn movable() -> Self {
        Self { shift: Some(Arc::default()) }
    }

    /// Steps the wall clock by so many milliseconds, as an administrator or NTP would.
    pub fn step_wall(&self, ms: i64) {
        if let Some(shift) = &self.shift {
            shift.wall.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// Lets so many milliseconds pass at once, on all clocks. Sleepers do not notice.
    pub fn advance(&self, ms: i64) {
        self.suspend(ms);
        if let Some(shift) = &self.shift {
            shift.mono.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// Lets the machine have been suspended for so many milliseconds: the monotonic clock stood
    /// still.
    pub fn suspend(&self, ms: i64) {
        if let Some(shift) = &self.shift {
            shift.wall.fetch_add(ms, Ordering::Relaxed);
            shift.boot.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// Reads the clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        let (wall, boot) = (read(ClockId::Realtime), read(ClockId::Boottime));
        let mono = read(ClockId::Monotonic);
        let Some(shift) = &self.shift else {
            return Now { wall: Wall(wall), boot: Boot(boot), mono: Mono(mono) };
        };
        let moved = |ms: u64, by: &AtomicI64| ms.saturating_add_signed(by.load(Ordering::Relaxed));
        Now {
            wall: Wall(moved(wall, &shift.wall)),
            boot: Boot(moved(boot, &shift.boot)),
            mono: Mono(moved(mono, &shift.mono)),
        }
    }
}

/// In milliseconds; before the epoch counts as the epoch.
fn read(id: ClockId) -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(id);
    let seconds = u64::try_from(tv_sec).unwrap_or(0);
    let millis = u64::try_from(tv_nsec / 1_000_000).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(millis)
}
