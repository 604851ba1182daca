//! What the contenders, their peers and the tests agree on: where things lie, what time it
//! is, and how two that work at the same time are caught.

mod arena;
pub mod checker;
pub mod conformance;
mod dice;
pub mod document;
mod failure;
pub mod history;
mod section;
pub mod strace;

pub use arena::{Arena, names_in};
pub use dice::Dice;
pub use failure::{SystemError, exit};
pub use section::{Begun, Interval, Work, intervals, is_dying};

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of the boot clock, which all processes of the machine share.
#[must_use]
pub fn now_ns() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(tv_nsec).unwrap_or(0)
}

/// Sleeps until an instant of the boot clock, so that many start at once.
pub fn sleep_until_ns(instant: u64) {
    loop {
        let left = instant.saturating_sub(now_ns());
        if left == 0 {
            return;
        }
        std::thread::sleep(Duration::from_nanos(left));
    }
}
