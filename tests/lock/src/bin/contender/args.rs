//! What a contender is told when it is started.

use std::time::Duration;

use camino::Utf8PathBuf;
use clap::{Parser, ValueEnum};
use lock_fs::{Clock, OnTimeout, Policy, PolicyError, Settings};

/// Wants a lock, and does with it what it reads on stdin.
#[derive(Parser)]
pub(crate) struct Args {
    /// The experiment's directory.
    pub(crate) arena: Utf8PathBuf,
    /// A lock elsewhere than in the experiment's run directory.
    #[arg(long)]
    pub(crate) lock: Option<Utf8PathBuf>,
    /// Milliseconds, like all durations here.
    #[arg(long)]
    stale_after: Option<u64>,
    #[arg(long)]
    renew_every: Option<u64>,
    #[arg(long)]
    hang_after: Option<u64>,
    #[arg(long)]
    wait_limit: Option<u64>,
    #[arg(long)]
    mutex_patience: Option<u64>,
    #[arg(long)]
    poll: Option<u64>,
    #[arg(long)]
    grace: Option<u64>,
    #[arg(long)]
    on_timeout: Option<Choice>,
    /// Whether an owner agrees to be replaced while it lives.
    #[arg(long)]
    pub(crate) preemptible: bool,
    #[arg(long)]
    no_wait: bool,
    #[arg(long)]
    require_kernel_lock: bool,
    #[arg(long)]
    allow_timed: bool,
    /// How far the wall clock is off.
    #[arg(long, allow_negative_numbers = true)]
    wall_shift: Option<i64>,
    /// Hears of the clock while it waits, and tells of each wait.
    #[arg(long)]
    pub(crate) attentive: bool,
    /// How many threads start one child after the other all the while.
    #[arg(long, default_value_t = 0)]
    pub(crate) spawners: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Choice {
    Stop,
    Fail,
}

impl Args {
    /// The settings: the defaults, and what was given.
    pub(crate) fn policy(&self) -> Result<Policy, PolicyError> {
        let given = |ms: Option<u64>| ms.map(Duration::from_millis);
        let mut settings =
            given(self.stale_after).map_or_else(Settings::default, Settings::with_stale_after);
        settings.renew_every = given(self.renew_every).unwrap_or(settings.renew_every);
        settings.hang_after = given(self.hang_after).unwrap_or(settings.hang_after);
        settings.wait_limit = given(self.wait_limit);
        settings.mutex_patience = given(self.mutex_patience).unwrap_or(settings.mutex_patience);
        settings.poll = given(self.poll).unwrap_or(settings.poll);
        settings.grace = given(self.grace).unwrap_or(settings.grace);
        settings.no_wait = self.no_wait;
        settings.require_kernel_lock = self.require_kernel_lock;
        settings.allow_timed = self.allow_timed;
        settings.on_timeout = match self.on_timeout {
            Some(Choice::Stop) => OnTimeout::Stop,
            None | Some(Choice::Fail) => OnTimeout::Fail,
        };
        Policy::new(settings)
    }

    /// A clock that can be moved, and that is off to begin with if that was asked for.
    pub(crate) fn clock(&self) -> Clock {
        let clock = Clock::movable();
        clock.step_wall(self.wall_shift.unwrap_or(0));
        clock
    }
}
