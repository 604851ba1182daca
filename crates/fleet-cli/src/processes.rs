//! What the kernel's process table says: the one reader of `/proc`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::Duration;

use lock_fs::ProcStat;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::{ClockId, clock_gettime};

use crate::spawn::session_of;

/// One process, named so that a later one with the same pid is not mistaken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its id, which the kernel gives away again once it is gone.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot: with the pid, unique within a boot.
    pub(crate) start_ticks: u64,
    /// Its parent's id.
    pub(crate) parent: u32,
    /// Its process group.
    pub(crate) group: u32,
    /// Its session.
    pub(crate) session: u32,
    /// The letter that `ps` shows for its state: `T` is stopped.
    pub(crate) state: char,
}

impl Process {
    /// The process `pid`, if there is one.
    pub(crate) fn find(pid: u32) -> Option<Self> {
        // A process can end while we look at it; then there is none.
        let ProcStat { state, parent, group, session, start } = ProcStat::of(pid).ok()?;
        Some(Self { pid, start_ticks: start, parent, group, session, state })
    }

    /// Whether `other` is the same one, at another time perhaps.
    pub(crate) const fn is(&self, other: &Self) -> bool {
        self.pid == other.pid && self.start_ticks == other.start_ticks
    }

    /// A descriptor that becomes readable when this very process ends.
    ///
    /// The pid may have been given to another process between our look and the open, so we
    /// look again: what has the pid and the start time *now* is what the descriptor is for.
    pub(crate) fn watch(&self) -> Option<OwnedFd> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw)?;
        let watch = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let now = Self::find(self.pid)?;
        (now.start_ticks == self.start_ticks).then_some(watch)
    }

    /// Sends a signal to this very process; one that has ended needs none.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.watch().map(|watch| pidfd_send_signal(watch, signal)) {
            None | Some(Ok(()) | Err(Errno::SRCH)) => Ok(()),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Whether its environment, as it was started, holds `variable=value`.
    pub(crate) fn was_started_with(&self, variable: &str, value: &str) -> bool {
        let wanted = format!("{variable}={value}");
        std::fs::read(format!("/proc/{}/environ", self.pid)).is_ok_and(|environ| {
            environ.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
        })
    }

    /// Whether it only waits to be reaped.
    pub(crate) const fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// When it started, by the boot clock.
    pub(crate) fn started(&self) -> Duration {
        let hertz = rustix::param::clock_ticks_per_second().max(1);
        Duration::from_millis(self.start_ticks.saturating_mul(1000) / hertz)
    }

    /// How long ago it started.
    pub(crate) fn uptime(&self) -> Duration {
        let now = clock_gettime(ClockId::Boottime);
        Duration::try_from(now).unwrap_or_default().saturating_sub(self.started())
    }
}

/// Every process of a session, zombies included.
///
/// # Errors
///
/// When `/proc` cannot be listed.
pub(crate) fn session(id: u32) -> io::Result<Vec<Process>> {
    // To ask for a process's session costs a small part of reading all that is known of it.
    let is_no_member = |pid: u32| match session_of(pid) {
        Ok(session) => session != id,
        // A security module may keep it from us. Then what `/proc` shows decides.
        Err(error) => Errno::from_io_error(&error) == Some(Errno::SRCH),
    };
    let members = pids()?.into_iter().filter(|pid| !is_no_member(*pid)).filter_map(Process::find);
    Ok(members.filter(|process| process.session == id).collect())
}

/// The session that we are in ourselves; none that we can see if it is another namespace's.
pub(crate) fn own_session() -> Option<u32> {
    session_of(0).ok().filter(|session| *session != 0)
}

/// Every process that we can see, zombies included.
///
/// # Errors
///
/// When `/proc` cannot be listed.
pub(crate) fn all() -> io::Result<Vec<Process>> {
    Ok(pids()?.into_iter().filter_map(Process::find).collect())
}

fn pids() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(pids)
}

/// A file of the kernel's, which does not say how long it is: with room for most of them, it
/// is read at once, not in ever larger pieces.
///
/// # Errors
///
/// When it cannot be read, or its process has ended.
pub(crate) fn text(path: &str) -> io::Result<String> {
    let mut text = String::with_capacity(4096);
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Names this boot of this machine.
///
/// # Errors
///
/// When `/proc` is not mounted.
pub(crate) fn boot_id() -> io::Result<&'static str> {
    /// No process sees two boots.
    static BOOT: OnceLock<String> = OnceLock::new();
    if let Some(id) = BOOT.get() {
        return Ok(id);
    }
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(BOOT.get_or_init(|| id.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    /// The session of its own is not that of the tests: a caller in another pid namespace may
    /// have made that one, and then it has no id that we can see.
    #[test]
    fn a_session_has_its_members_and_no_others() {
        let mut leader = Command::new("setsid")
            .args(["sh", "-c", "sleep 60 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut line = String::new();
        let stdout = leader.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("readable");
        let member = line.trim().parse::<u32>().expect("a pid");
        let found = session(leader.id()).expect("readable");
        let everyone = all().expect("readable");
        for process in &found {
            process.signal(Signal::KILL).expect("ours to end");
        }
        leader.wait().expect("ours to reap");
        let mut pids: Vec<u32> = found.iter().map(|process| process.pid).collect();
        pids.sort_unstable();
        let mut expected = [leader.id(), member];
        expected.sort_unstable();
        assert_eq!(pids, expected, "{found:?}");
        // Kernel threads, where we see any, are in none.
        assert!(everyone.iter().all(|process| {
            session_of(process.pid).is_ok_and(|session| session == process.session)
                || Process::find(process.pid).is_none_or(|now| now.session != process.session)
        }));
    }

    #[test]
    fn our_own_session_is_known_unless_it_is_another_namespaces() {
        let this = Process::find(std::process::id()).expect("we run");
        assert_eq!(own_session(), Some(this.session).filter(|session| *session != 0));
    }

    #[test]
    fn this_very_process_is_found() {
        let this = Process::find(std::process::id()).expect("we run");
        assert!(!this.is_zombie() && this.watch().is_some());
        let other = Process { start_ticks: this.start_ticks + 1, ..this };
        assert!(other.watch().is_none(), "a reused pid must not be mistaken");
    }
}
