//! Our lock, used as its documentation says.

use std::time::Duration;

use camino::Utf8Path;
use lock_bench_peer::{Failure, Subject};
use lock_fs::{Guard, Lock, Options, Policy, Released, Settings};

/// Longer than anything is held here, so that nobody's patience ends.
const MAX_WAIT: Duration = Duration::from_secs(3600);

pub(super) struct Ours {
    lock: Lock,
    guard: Option<Guard>,
}

impl Ours {
    pub(super) fn open(path: &Utf8Path) -> Result<Self, Failure> {
        let settings = Settings { max_wait: MAX_WAIT, ..Settings::default() };
        let command = "lock-bench".to_owned();
        let options = Options { policy: Policy::new(settings)?, command, ..Options::default() };
        Ok(Self { lock: Lock::open(path, options)?, guard: None })
    }
}

impl Subject for Ours {
    fn acquire(&mut self) -> Result<(), Failure> {
        self.guard = Some(self.lock.acquire_quietly()?);
        Ok(())
    }

    fn release(&mut self) -> Result<(), Failure> {
        let guard = self.guard.take().ok_or("nothing is held")?;
        match guard.release()? {
            Released::Released => Ok(()),
            Released::AlreadyLost { to } => Err(format!("it was lost, to {to:?}").into()),
        }
    }
}
