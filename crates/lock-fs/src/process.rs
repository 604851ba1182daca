//! Ending an owner's process, and no other.

use lock_core::effect::{Errno, Event, Signal};
use lock_core::time::Boot;
use rustix::io::{self, Errno as Os, retry_on_intr};
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
    match send(pid, since, signal) {
        Ok(true) => Event::Done,
        Ok(false) | Err(Os::SRCH | Os::NOENT) => Event::Absent,
        Err(errno) => Event::Failed(Errno(errno.raw_os_error())),
    }
}

/// Whether the process is old enough to be the owner, and was signalled.
fn send(pid: Pid, since: Boot, signal: Signal) -> io::Result<bool> {
    // The descriptor first: from here on it is this process or none, whatever becomes of
    // the number, so that what /proc says cannot be another's by the time of the signal.
    let process = retry_on_intr(|| pidfd_open(pid, PidfdFlags::empty()))?;
    if started(pid)? > since.0.saturating_add(SLACK_MS) {
        return Ok(false);
    }
    let signal = match signal {
        Signal::Term => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
    };
    retry_on_intr(|| pidfd_send_signal(&process, signal))?;
    Ok(true)
}

/// When a process started, in milliseconds of the boot clock. That this cannot be read does
/// not mean that there is no such process.
fn started(pid: Pid) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let stat = stat.map_err(|error| Os::from_io_error(&error).unwrap_or(Os::IO))?;
    // The name in parentheses may hold anything, so count from the last one.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().nth(19).and_then(|ticks| ticks.parse::<u64>().ok());
    let ticks = ticks.ok_or(Os::IO)?;
    Ok(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second())
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
