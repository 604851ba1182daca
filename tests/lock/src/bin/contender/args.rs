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
    max_wait: Option<u64>,
    #[arg(long)]
    poll: Option<u64>,
    #[arg(long)]
    grace: Option<u64>,
    #[arg(long)]
    on_timeout: Option<Choice>,
    #[arg(long)]
    no_wait: bool,
    #[arg(long)]
    require_kernel_lock: bool,
    /// How far the wall clock is off.
    #[arg(long, allow_negative_numbers = true)]
    wall_shift: Option<i64>,
    /// How many threads start one child after the other all the while.
    #[arg(long, default_value_t = 0)]
    pub(crate) spawners: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Choice {
    Break,
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
        settings.max_wait = given(self.max_wait).unwrap_or(settings.max_wait);
        settings.poll = given(self.poll).unwrap_or(settings.poll);
        settings.grace = given(self.grace).unwrap_or(settings.grace);
        settings.no_wait = self.no_wait;
        settings.require_kernel_lock = self.require_kernel_lock;
        settings.on_timeout = match self.on_timeout {
            None | Some(Choice::Break) => OnTimeout::Break,
            Some(Choice::Stop) => OnTimeout::Stop,
            Some(Choice::Fail) => OnTimeout::Fail,
        };
        Policy::new(settings)
    }

    /// The machine's clock, or one that is off.
    pub(crate) fn clock(&self) -> Clock {
        match self.wall_shift {
            None => Clock::default(),
            Some(ms) => {
                let clock = Clock::movable();
                clock.step_wall(ms);
                clock
            }
        }
    }
}
