//! Three clocks that cannot be mistaken for each other.
//!
//! Stamps and file times are *wall* time: they can be compared between hosts and with what
//! a peer wrote, and they jump. The ages that a record shows to people are *boot* time: it goes
//! on during suspend, and means nothing after a reboot, on another host or in another time
//! namespace. A process's own waits and deadlines are *monotonic* time, which stands still
//! during suspend; no instant of it is ever written down or compared with another process's.

use core::fmt;
use core::time::Duration;

/// Milliseconds since the Unix epoch, as the host believes them to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

/// Milliseconds of `CLOCK_BOOTTIME`: since this machine booted, suspend included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(pub u64);

/// Milliseconds of `CLOCK_MONOTONIC`, which stands still while the machine is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

/// One reading of the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now {
    /// For the stamps that other hosts and older peers can read.
    pub wall: Wall,
    /// For the ages that people are shown.
    pub boot: Boot,
    /// For every wait and deadline of this process.
    pub mono: Mono,
}

impl Wall {
    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Boot {
    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Mono {
    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The instant `wait` from this one. Rounds up to a whole millisecond, because waking
    /// a fraction early would find the verdict unchanged.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(millis_up(wait)))
    }
}

/// Without the part of a millisecond that a lock file does not hold.
pub(crate) fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn millis_up(duration: Duration) -> u64 {
    let whole = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let rest = u64::from(!duration.subsec_nanos().is_multiple_of(1_000_000));
    whole.saturating_add(rest)
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_lies_ahead_has_no_age() {
        assert_eq!(Boot(5).since(Boot(9)), Duration::ZERO);
        assert_eq!(Wall(9).since(Wall(5)), Duration::from_millis(4));
    }

    #[test]
    fn a_deadline_is_never_early() {
        assert_eq!(Mono(10).after(Duration::from_micros(1)), Mono(11));
        assert_eq!(Mono(10).after(Duration::from_millis(1)), Mono(11));
        assert_eq!(Mono(10).after(Duration::MAX), Mono(u64::MAX));
    }
}
