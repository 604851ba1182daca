//! The clock that all processes share, and what a process has used of the processors.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[must_use]
pub fn now_ns() -> u64 {
    read(ClockId::Monotonic)
}

/// Sleeps until an instant, so that many start at once.
pub fn sleep_until_ns(instant: u64) {
    loop {
        let left = instant.saturating_sub(now_ns());
        if left == 0 {
            return;
        }
        thread::sleep(Duration::from_nanos(left));
    }
}

/// What this process and the children that it has waited for have used of the processors.
#[must_use]
pub fn cpu_ns() -> u64 {
    read(ClockId::ProcessCPUTime) + children_ns()
}

/// Of the children: in ticks of the clock, which is all that is written down of them.
fn children_ns() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    // `cutime` and `cstime` are the 16th and 17th field; the first after the name is the third.
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks * 1_000_000_000 / clock_ticks_per_second().max(1)
}

fn read(clock: ClockId) -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    let seconds = u64::try_from(tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen_and_rest_is_not() {
        let before = cpu_ns();
        while cpu_ns() < before + 2_000_000 {}
        let (used, now) = (cpu_ns(), now_ns());
        // The rest itself is what is measured.
        thread::sleep(Duration::from_millis(20));
        let (used, passed) = (cpu_ns() - used, now_ns() - now);
        assert!(used < passed / 2, "{used} of {passed}");
    }
}
