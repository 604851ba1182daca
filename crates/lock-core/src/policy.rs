//! The settings of a lock, checked once.

use core::time::Duration;

/// What to do when the wait limit is over and the owner lives. A dead owner is always replaced,
/// and a preemptible one that hangs is replaced whatever this says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnTimeout {
    /// Give up, naming the owner.
    #[default]
    Fail,
    /// End the owner's processes (SIGTERM, then SIGKILL). The limit is counted anew for each
    /// ownership, and ending an owner gives no right to the lock: the first in line takes it.
    Stop,
}

/// The settings as a user gives them. [`Policy::new`] checks that they fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// A *preemptible* owner that has not renewed for this long counts as hung; default 30 s. Of
    /// the owner's and the contender's setting the larger one counts.
    pub stale_after: Duration,
    /// How often an owner renews; default a third of `stale_after`.
    pub renew_every: Duration,
    /// How long a *preemptible* owner may go without a step past the quiet that it announced;
    /// default 2 minutes. Of the owner's and the contender's setting the larger one counts.
    pub hang_after: Duration,
    /// How long a contender waits, from its start, for the lock and for its mutex; `None`, the
    /// default, is as long as it takes.
    pub wait_limit: Option<Duration>,
    /// What to do then.
    pub on_timeout: OnTimeout,
    /// Do not wait for a living owner at all.
    pub no_wait: bool,
    /// How long a renewal, a step, a release or a forced release waits for a mutex whose holder
    /// does not let go; default 2 minutes.
    pub mutex_patience: Duration,
    /// How often to look where the kernel cannot wake us; default 250 ms.
    pub poll: Duration,
    /// The longest sleep between two attempts at the mutex, jitter aside; default 20 ms.
    pub mutex_retry: Duration,
    /// With [`OnTimeout::Stop`]: how long the owner has after SIGTERM, and again after
    /// SIGKILL; default 5 s.
    pub grace: Duration,
    /// Refuse to work where the kernel cannot arbitrate, even for a preemptible owner.
    pub require_kernel_lock: bool,
    /// Work where the kernel cannot arbitrate although this owner is not preemptible: its work
    /// may then overlap with another's.
    pub allow_timed: bool,
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
    /// An owner can only be ended once a limit is over.
    #[error("on_timeout stop needs a wait_limit: without one the wait for the owner never ends")]
    StopWithoutLimit,
    /// A contender that does not wait has no limit to wait for.
    #[error("no_wait and wait_limit exclude each other: set one of them")]
    WaitsAndDoesNot,
    /// One asks for kernel locks, the other does without.
    #[error("require_kernel_lock and allow_timed exclude each other: set one of them")]
    TimedAndKernelLock,
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
pub(crate) const HURRIED_MUTEX_PATIENCE: Duration = Duration::from_secs(1);

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
            hang_after: Duration::from_secs(120),
            wait_limit: None,
            on_timeout: OnTimeout::Fail,
            no_wait: false,
            mutex_patience: Duration::from_secs(120),
            poll: Duration::from_millis(250),
            mutex_retry: Duration::from_millis(20),
            grace: Duration::from_secs(5),
            require_kernel_lock: false,
            allow_timed: false,
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
        let Settings { stale_after, renew_every, wait_limit, .. } = settings;
        let durations = [
            ("stale_after", stale_after),
            ("renew_every", renew_every),
            ("hang_after", settings.hang_after),
            ("wait_limit", wait_limit.unwrap_or(SHORTEST)),
            ("mutex_patience", settings.mutex_patience),
            ("poll", settings.poll),
            ("mutex_retry", settings.mutex_retry),
            ("grace", settings.grace),
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
        match settings {
            Settings { on_timeout: OnTimeout::Stop, wait_limit: None, no_wait: false, .. } => {
                Err(PolicyError::StopWithoutLimit)
            }
            Settings { no_wait: true, wait_limit: Some(_), .. } => {
                Err(PolicyError::WaitsAndDoesNot)
            }
            Settings { require_kernel_lock: true, allow_timed: true, .. } => {
                Err(PolicyError::TimedAndKernelLock)
            }
            settings => Ok(Self(settings)),
        }
    }

    /// How long an owner that is to end waits for such a mutex before it lets go without it.
    #[must_use]
    pub fn hurried_mutex_patience(&self) -> Duration {
        HURRIED_MUTEX_PATIENCE.min(self.0.mutex_patience)
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
            Settings { hang_after: bad, ..good },
            Settings { wait_limit: Some(bad), ..good },
            Settings { mutex_patience: bad, ..good },
            Settings { poll: bad, ..good },
            Settings { mutex_retry: bad, ..good },
            Settings { grace: bad, ..good },
        ] {
            assert!(Policy::new(settings).is_err(), "{settings:?}");
        }
    }
    #[rstest]
    #[case::ended_without_a_limit(
        Settings { on_timeout: OnTimeout::Stop, ..Settings::default() },
        PolicyError::StopWithoutLimit
    )]
    #[case::a_limit_for_no_wait(
        Settings { no_wait: true, wait_limit: Some(MS), ..Settings::default() },
        PolicyError::WaitsAndDoesNot
    )]
    #[case::with_and_without_kernel_locks(
        Settings { require_kernel_lock: true, allow_timed: true, ..Settings::default() },
        PolicyError::TimedAndKernelLock
    )]
    fn a_combination_that_cannot_work_is_refused(
        #[case] settings: Settings,
        #[case] reason: PolicyError,
    ) {
        assert_eq!(Policy::new(settings), Err(reason));
    }
}
