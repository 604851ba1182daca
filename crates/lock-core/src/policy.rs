//! The settings of a lock, checked once.

use core::time::Duration;

/// What to do with a *living* owner whose time is up. A dead one is always replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnTimeout {
    /// Take the lock away; the old owner is told at its next step or renewal.
    #[default]
    Break,
    /// End the old owner's process first (SIGTERM, then SIGKILL), and take the lock only
    /// when the kernel says that it is gone.
    Stop,
    /// Give up, naming the owner.
    Fail,
}

/// The settings as a user gives them. [`Policy::new`] checks that they fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// An owner that has not renewed for this long counts as hung; default 30 s.
    pub stale_after: Duration,
    /// How often an owner renews; default a third of `stale_after`.
    pub renew_every: Duration,
    /// How long to wait for one owner that makes no progress; default 120 s.
    pub max_wait: Duration,
    /// What to do then.
    pub on_timeout: OnTimeout,
    /// Do not wait for a living owner at all.
    pub no_wait: bool,
    /// How often to look where the kernel cannot wake us; default 250 ms.
    pub poll: Duration,
    /// The longest sleep between two attempts at the mutex, jitter aside; default 20 ms.
    pub mutex_retry: Duration,
    /// With [`OnTimeout::Stop`]: how long the owner has after SIGTERM, and again after
    /// SIGKILL; default 5 s.
    pub grace: Duration,
    /// Refuse to work where the kernel cannot arbitrate, instead of falling back.
    pub require_kernel_lock: bool,
}

/// Checked settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy(Settings);

/// Why settings do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A duration that must not be zero is.
    #[error("{setting} must be at least 1 ms")]
    TooShort {
        /// Which one.
        setting: &'static str,
    },
    /// Renewing this seldom, a healthy owner would look hung.
    #[error(
        "renew_every ({renew_every:?}) must be at most half of stale_after ({stale_after:?}): one late renewal would cost a healthy owner its lock"
    )]
    RenewsTooSeldom {
        /// As given.
        renew_every: Duration,
        /// As given.
        stale_after: Duration,
    },
    /// A duration beyond what the clocks can count.
    #[error("{setting} must be at most {} days", LONGEST.as_secs() / 86_400)]
    TooLong {
        /// Which one.
        setting: &'static str,
    },
}

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// A mutex is held for a few file operations, so one that stays busy this long has a holder
/// that is stopped, even for whoever does not wait for the lock itself.
const HURRIED_MUTEX_PATIENCE: Duration = Duration::from_secs(1);

impl Default for Settings {
    fn default() -> Self {
        Self::with_stale_after(Duration::from_secs(30))
    }
}

impl Settings {
    /// The defaults around another staleness threshold: renewal every third of it.
    #[must_use]
    pub fn with_stale_after(stale_after: Duration) -> Self {
        Self {
            stale_after,
            renew_every: stale_after / 3,
            max_wait: Duration::from_secs(120),
            on_timeout: OnTimeout::Break,
            no_wait: false,
            poll: Duration::from_millis(250),
            mutex_retry: Duration::from_millis(20),
            grace: Duration::from_secs(5),
            require_kernel_lock: false,
        }
    }
}

impl Policy {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// Nothing is corrected silently: a combination that cannot work is refused with the
    /// reason.
    pub fn new(settings: Settings) -> Result<Self, PolicyError> {
        let Settings { stale_after, renew_every, max_wait, poll, mutex_retry, grace, .. } =
            settings;
        let durations = [
            ("stale_after", stale_after),
            ("renew_every", renew_every),
            ("max_wait", max_wait),
            ("poll", poll),
            ("mutex_retry", mutex_retry),
            ("grace", grace),
        ];
        for (setting, duration) in durations {
            if duration < SHORTEST {
                return Err(PolicyError::TooShort { setting });
            }
            if duration > LONGEST {
                return Err(PolicyError::TooLong { setting });
            }
        }
        if renew_every > stale_after / 2 {
            return Err(PolicyError::RenewsTooSeldom { renew_every, stale_after });
        }
        Ok(Self(settings))
    }

    /// How long a contender waits for a mutex whose holder does not let go.
    #[must_use]
    pub const fn mutex_patience(&self) -> Duration {
        if self.0.no_wait { HURRIED_MUTEX_PATIENCE } else { self.0.max_wait }
    }

    /// How long an owner that is to end waits for such a mutex before it lets go without it.
    #[must_use]
    pub fn hurried_mutex_patience(&self) -> Duration {
        HURRIED_MUTEX_PATIENCE.min(self.0.max_wait)
    }
}

impl core::ops::Deref for Policy {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_defaults_pass_their_own_check() {
        assert_eq!(Policy::new(Settings::default()), Ok(Policy::default()));
    }

    #[rstest]
    #[case::at_the_limit(6 * MS, 3 * MS, true)]
    #[case::past_the_limit(6 * MS, 4 * MS, false)]
    #[case::longer_than_stale(6 * MS, 9 * MS, false)]
    fn renewal_must_fit_twice_into_the_threshold(
        #[case] stale_after: Duration,
        #[case] renew_every: Duration,
        #[case] fits: bool,
    ) {
        let settings = Settings { stale_after, renew_every, ..Settings::default() };
        assert_eq!(Policy::new(settings).is_ok(), fits);
    }

    #[rstest]
    #[case::zero(Duration::ZERO)]
    #[case::too_fine(Duration::from_nanos(1))]
    #[case::endless(Duration::MAX)]
    fn impossible_durations_are_refused_wherever_they_stand(#[case] bad: Duration) {
        let good = Settings::default();
        for settings in [
            Settings { stale_after: bad, ..good },
            Settings { renew_every: bad, ..good },
            Settings { max_wait: bad, ..good },
            Settings { poll: bad, ..good },
            Settings { mutex_retry: bad, ..good },
            Settings { grace: bad, ..good },
        ] {
            assert!(Policy::new(settings).is_err(), "{settings:?}");
        }
    }
}
