//! What a command under the lock consists of: itself, and what it started, as long as that
//! stays in our process group.
//!
//! The command shares our group, so that a terminal treats it as if we were not there. Of the
//! group, only what descends from us is the command's: a pipeline's other members and the
//! script that called us are in it too. We are the reaper of our descendants, so one whose
//! parent has ended is our own child, and none of them can get out of sight.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, set_child_subreaper, waitid, waitpid,
};

use crate::processes::{self, Process};
use crate::spawn::own_group;

/// How often to look again for processes that were being born while others were signalled.
const ROUNDS: usize = 16;

/// How long to wait for what gives no sign, at first and at most.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(250);

/// The command's processes.
#[derive(Debug)]
pub(super) struct Group {
    id: u32,
    /// Children that we had before: whoever becomes us by `exec` leaves them to us.
    strangers: Vec<Process>,
}

impl Group {
    /// Ours, before the command is started.
    ///
    /// # Errors
    ///
    /// When the kernel will not make us a reaper.
    pub(super) fn new() -> io::Result<Self> {
        set_child_subreaper(Some(getpid()))?;
        let any = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let strangers = match waitid(WaitId::All, any) {
            Err(Errno::CHILD) => Vec::new(),
            _ => processes::all()?.into_iter().filter(is_our_child).collect(),
        };
        Ok(Self { id: own_group(), strangers })
    }

    /// Sends a signal to all of it; `command` is the command itself, wherever it has gone.
    pub(super) fn signal(&self, command: Pid, signal: Signal) {
        let mut told = HashSet::new();
        for _ in 0..ROUNDS {
            let members = self.members(Some(command)).unwrap_or_default();
            let id = |member: &Process| (member.pid, member.start_ticks);
            let new: Vec<_> = members.iter().filter(|member| told.insert(id(member))).collect();
            if new.is_empty() {
                return;
            }
            for member in new {
                // It may just have ended, or have become another user's.
                let _ = member.signal(signal);
            }
        }
    }

    /// Waits until all of it has ended, or left the group. The command itself has been waited
    /// for.
    ///
    /// # Errors
    ///
    /// When the processes cannot be watched.
    pub(super) fn outlast(&self) -> io::Result<()> {
        let mut pause = SHORTEST;
        while !self.is_over()? {
            // Nobody tells when a process leaves a group, so there is a limit to the wait.
            let member = self.members(None)?.into_iter().next();
            match outlast(member, pause)? {
                true => pause = SHORTEST,
                false => pause = LONGEST.min(pause * 2),
            }
        }
        Ok(())
    }

    /// Whether all of it has ended, or left the group.
    ///
    /// # Errors
    ///
    /// As [`Group::outlast`].
    pub(super) fn is_over(&self) -> io::Result<bool> {
        if !self.strangers.is_empty() {
            // A process that is born while we look is seen the second time.
            return Ok(self.members(None)?.is_empty() && self.members(None)?.is_empty());
        }
        // All children that we have in this group, and may yet get, are the command's.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        loop {
            match waitid(WaitId::Pgid(None), ended) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return Ok(false),
                Err(Errno::CHILD) => return Ok(true),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// The command's processes that live: our descendants in our group, the command first.
    fn members(&self, command: Option<Pid>) -> io::Result<Vec<Process>> {
        let all = processes::all()?;
        let group = self.id;
        let command = command.map(number);
        let mut family = vec![std::process::id()];
        let mut members = Vec::new();
        while let Some(parent) = family.pop() {
            let children = all.iter().filter(|process| process.parent == parent);
            for child in children.filter(|child| !self.is_strange(child)) {
                family.push(child.pid);
                if child.group == group || Some(child.pid) == command {
                    members.push(*child);
                }
            }
        }
        members.retain(|member| !member.is_zombie());
        members.sort_by_key(|member| Some(member.pid) != command);
        Ok(members)
    }

    fn is_strange(&self, child: &Process) -> bool {
        let id = |process: &Process| (process.pid, process.start_ticks);
        self.strangers.iter().any(|stranger| id(stranger) == id(child))
    }
}

/// Waits for the end of one process, at most so long; says whether it has ended, and reaps
/// it if it is our child.
fn outlast(member: Option<Process>, limit: Duration) -> io::Result<bool> {
    let watch = member.and_then(|member| member.watch());
    let mut fds: Vec<_> =
        watch.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)).collect();
    let limit = Timespec::try_from(limit).ok();
    let ended = retry_on_intr(|| poll(&mut fds, limit.as_ref()))? > 0;
    let pid = member.and_then(|member| i32::try_from(member.pid).ok()).and_then(Pid::from_raw);
    if let (true, Some(pid)) = (ended, pid) {
        // Whoever is not ours is its parent's to reap.
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
    Ok(ended)
}

fn is_our_child(process: &Process) -> bool {
    process.parent == std::process::id()
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}
