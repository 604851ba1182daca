//! Ending an owner's process, and no other.

use lock_core::effect::{Errno, Event, Signal};
use lock_core::time::Boot;
use rustix::io::Errno as Os;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

/// How far apart the kernel's note of a process's start and our own clock reading may lie:
/// the kernel counts in ticks of 10 ms.
const SLACK_MS: u64 = 100;

/// Signals the process, unless it is younger than the ownership: then its pid has been
/// reused, and the owner is gone.
pub(crate) fn signal(pid: u32, since: Boot, signal: Signal) -> Event {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Event::Absent;
    };
    // The descriptor first: from here on it is this process or none, whatever becomes of
    // the number, so that what /proc says cannot be another's by the time of the signal.
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Os::SRCH) => return Event::Absent,
        Err(errno) => return Event::Failed(Errno(errno.raw_os_error())),
    };
    if started(pid).is_none_or(|start| start > since.0.saturating_add(SLACK_MS)) {
        return Event::Absent;
    }
    let signal = match signal {
        Signal::Term => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
    };
    match pidfd_send_signal(process, signal) {
        Ok(()) => Event::Done,
        Err(Os::SRCH) => Event::Absent,
        Err(errno) => Event::Failed(Errno(errno.raw_os_error())),
    }
}

/// When a process started, in milliseconds of the boot clock.
fn started(pid: Pid) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name in parentheses may hold anything, so count from the last one.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    Some(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_younger_process_is_left_alone() {
        let me = rustix::process::getpid();
        let born = started(me).expect("because /proc is mounted");
        let before = Boot(born.saturating_sub(SLACK_MS + 1));
        let pid = std::process::id();
        assert_eq!(signal(pid, before, Signal::Kill), Event::Absent);
    }

    #[test]
    fn nobody_has_a_pid_beyond_the_kernels() {
        assert_eq!(signal(u32::MAX, Boot(u64::MAX), Signal::Kill), Event::Absent);
        assert_eq!(signal(0, Boot(u64::MAX), Signal::Kill), Event::Absent);
    }
}
