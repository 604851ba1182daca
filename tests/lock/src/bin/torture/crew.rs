//! Worker processes: started, signalled, ended by their pids and no others.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lock_tests::history::{Recorder, What};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, waitid,
};

use crate::error::Error;

/// A process that ends with this.
pub(crate) struct Worker {
    pub(crate) name: String,
    process: Child,
}

impl Worker {
    /// Starts this very program as something else.
    pub(crate) fn start(name: String, args: &[&str]) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::system("find", "this program"))?;
        let mut command = Command::new(program);
        Self::spawn(name, command.args(args))
    }

    pub(crate) fn spawn(name: String, command: &mut Command) -> Result<Self, Error> {
        let process = command.stdin(Stdio::null()).spawn();
        let process = process.map_err(Error::system("start", &name))?;
        Ok(Self { name, process })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It fails only for one that has ended, of which `ended` tells.
        let _ = kill_process(Pid::from_child(&self.process), signal);
    }

    /// Kills it, and writes down when it still lived and when it did no more.
    pub(crate) fn kill(&mut self, recorder: &Recorder) -> Result<(), Error> {
        let failed = || Error::system("write the history of", "the conductor");
        recorder.note(0, What::Killed(self.name.clone())).map_err(failed())?;
        self.signal(Signal::KILL);
        if !self.ends_within(Duration::from_secs(20))? {
            return Err(Error::Needs { what: "a kernel that kills what it is told to kill" });
        }
        let _ = self.process.wait();
        recorder.note(0, What::Reaped(self.name.clone())).map_err(failed())
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.process.try_wait().map_err(Error::system("wait for", &self.name))
    }

    /// Waits until it has ended.
    pub(crate) fn ends_within(&self, limit: Duration) -> Result<bool, Error> {
        let process = pidfd_open(Pid::from_child(&self.process), PidfdFlags::empty());
        let process = process.map_err(Error::system("watch", &self.name))?;
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::system("watch", &self.name)(error)),
            }
        }
    }

    /// What the kernel says of it, thread by thread.
    pub(crate) fn state(&self) -> String {
        let tasks = format!("/proc/{}/task", self.pid());
        let threads = fs::read_dir(&tasks).into_iter().flatten().flatten();
        let threads = threads.map(|thread| {
            let read = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            let status = read("status");
            let state = status.lines().find(|line| line.starts_with("State")).unwrap_or("?");
            format!("  {state} in {} {}", read("wchan"), read("syscall").trim())
        });
        format!("{}\n{}", self.name, threads.collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A kill reaches a stopped process too.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits for the children that killed workers have left to us, until there are none.
pub(crate) fn bury_orphans() -> Result<(), Error> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    while Instant::now() < deadline {
        match waitid(WaitId::All, options) {
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Ok(Some(_)) => {}
            // There is no way to wait for all children with a deadline.
            Ok(None) | Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    Err(Error::Needs { what: "children that end by themselves" })
}

/// The text of every file of a directory, for whoever has to find out.
pub(crate) fn contents(directory: &Path) -> String {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = files.filter(|file| file.file_name() != "ballast");
    let texts = files.map(|file| {
        let text = fs::read(file.path()).unwrap_or_default();
        format!("{}:\n{}", file.path().display(), String::from_utf8_lossy(&text))
    });
    texts.collect()
}
