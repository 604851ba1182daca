//! Our lock, used as its documentation says.

use camino::Utf8Path;
use lock_bench_peer::{Failure, Subject};
use lock_fs::{Guard, Lock, Options, Released};

pub(super) struct Ours {
    lock: Lock,
    guard: Option<Guard>,
}

impl Ours {
    pub(super) fn open(path: &Utf8Path) -> Result<Self, Failure> {
        let options = Options { command: "lock-bench".to_owned(), ..Options::default() };
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
