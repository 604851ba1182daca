//! A program that knows nothing of this lock: `flock(1)`, `tail`, a process that is in nobody's way.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// A process that ends with the test.
pub(crate) struct Stranger(Child);

impl Stranger {
    pub(crate) fn start(command: &[&str]) -> Self {
        let (program, args) = command.split_first().expect("because it is a program");
        let child = Command::new(program).args(args).stdin(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// `flock(1)`, which becomes the program that it runs, so that there is one process that has the
    /// lock. `how` is its options, and what stands before it who runs it.
    pub(crate) fn flock(before: &[&str], how: &[&str], file: &Utf8Path) -> Self {
        let rest = [&["flock", "--no-fork"], how, &[file.as_str(), "sleep", "60"]].concat();
        let stranger = Self::start(&[before, &rest].concat());
        stranger.until_it_has_locked();
        stranger
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.0.try_wait().expect("because it is our child").is_none()
    }

    /// Ends it as the kernel would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    fn until_it_has_locked(&self) {
        let deadline = Instant::now() + PATIENCE;
        let has_locked = || {
            let descriptors = fs::read_dir(format!("/proc/{}/fdinfo", self.pid())).ok()?;
            let shows = |path| fs::read_to_string(path).is_ok_and(|info| info.contains("FLOCK"));
            descriptors.flatten().any(|entry| shows(entry.path())).then_some(())
        };
        while has_locked().is_none() {
            assert!(Instant::now() < deadline, "{} has not locked anything", self.pid());
            // Nothing tells of a lock.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            // It fails only for one that has ended and was waited for.
            let _ = kill_process(pid, Signal::CONT);
        }
        self.kill();
    }
}
