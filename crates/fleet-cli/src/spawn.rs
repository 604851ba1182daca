//! The one module with `unsafe` in it: what a child process keeps of ours, and what not; and
//! whose session a process is in.

#![expect(unsafe_code, reason = "a child is prepared between fork and exec, on raw descriptors")]

use std::ffi::{CString, c_int};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{FdFlags, fcntl_setfd, read, writev};
use rustix::path::DecInt;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal, setsid};

use crate::replace::replace;

/// Starts a command whose life is tied to the lock: it keeps the ticket's descriptor, and
/// it dies with us.
///
/// Call this from the main thread. The kernel sends the death signal when the *thread* that
/// forked ends, and only the main thread lives as long as the process.
///
/// # Errors
///
/// What [`Command::spawn`] says.
pub(crate) fn spawn_under_lock(mut command: Command, ticket: BorrowedFd<'_>) -> io::Result<Child> {
    let ticket_number = ticket.as_raw_fd();
    let this_process = getpid();
    let prepare = move || {
        // SAFETY: `ticket` is borrowed until this function returns, and `command` runs this
        // closure only in `spawn` below; so the descriptor is open here.
        let ticket = unsafe { BorrowedFd::borrow_raw(ticket_number) };
        // Close-on-exec stays set in the parent: descriptor flags belong to the child's own
        // table, so no other child of ours can inherit the ticket by accident.
        fcntl_setfd(ticket, FdFlags::empty())?;
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // If the parent died between the fork and the line above, nobody will tell us. Then
        // we have another parent now, and must not run.
        if getppid() != Some(this_process) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure
    // makes three system calls, allocates nothing, takes no lock, and builds its errors
    // from a number.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// Where a process writes down who it is, before it is what it was started for.
#[derive(Debug)]
pub(crate) struct SelfRecord {
    /// The file.
    pub(crate) path: CString,
    /// Its name until it is whole.
    pub(crate) draft: CString,
    /// What comes before the process's id, between that and its start time, and after both.
    pub(crate) text: [Vec<u8>; 3],
}

/// Starts a command that leads a session of its own, and returns when it runs. Its process
/// has then written its record; if the draft is still there after a failure, it never did.
///
/// # Errors
///
/// What [`Command::spawn`] says.
pub(crate) fn spawn_recorded(command: &mut Command, record: SelfRecord) -> io::Result<Child> {
    let prepare = move || {
        setsid()?;
        record.write()
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure
    // makes system calls only, on memory that was prepared before the fork or is on the
    // stack; it allocates nothing, takes no lock, and builds its errors from a number or
    // from a constant.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

impl SelfRecord {
    /// Writes the record of this process whole. Must not allocate, see above.
    fn write(&self) -> io::Result<()> {
        let mut stat = [0; 1024];
        let file = open(c"/proc/self/stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let length = read(&file, &mut stat)?;
        let start = start_ticks(stat.get(..length).unwrap_or_default());
        let start = start.ok_or(io::ErrorKind::InvalidData)?;
        let pid = DecInt::new(getpid().as_raw_nonzero().get());
        let [before, between, after] = &self.text;
        let parts = [before, pid.as_bytes(), between, start, after].map(IoSlice::new);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let draft = open(self.draft.as_c_str(), flags, Mode::from_raw_mode(0o666))?;
        if writev(&draft, &parts)? < parts.iter().map(|part| part.len()).sum() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(replace(self.draft.as_c_str(), self.path.as_c_str())?)
    }
}

/// The digits of field 22 of a process's `stat`; the fields count from behind its name.
fn start_ticks(stat: &[u8]) -> Option<&[u8]> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let digits = stat.get(name_end..)?.split(|byte| *byte == b' ').nth(20)?;
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then_some(digits)
}

/// The session that a process is in, by the id of its leader; our own for 0. It is 0 itself
/// for kernel threads and where the leader is in another namespace, which is why this is not
/// rustix's, whose ids are never 0.
///
/// # Errors
///
/// When there is no such process, or a security module does not tell.
pub(crate) fn session_of(pid: u32) -> io::Result<u32> {
    // SAFETY: it is as the C library declares it; it takes and returns a number, and is sound
    // for each.
    unsafe extern "C" {
        safe fn getsid(pid: c_int) -> c_int;
    }
    let pid = c_int::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    u32::try_from(getsid(pid)).map_err(|_| io::Error::last_os_error())
}

/// The process group that we are in: 0 where its leader is in another pid namespace, which is why
/// this is not rustix's, whose ids are never 0.
pub(crate) fn own_group() -> u32 {
    // SAFETY: it is as the C library declares it; it takes nothing, returns a number, and never
    // fails.
    unsafe extern "C" {
        safe fn getpgrp() -> c_int;
    }
    getpgrp().unsigned_abs()
}

/// Marks every descriptor but the three standard ones to be closed by the next exec,
/// whoever opened it: an agent must not hold on to what its starter was given.
///
/// # Errors
///
/// When `/proc` is not mounted.
pub(crate) fn close_inherited_on_exec() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|number: &i32| *number > 2) else { continue };
        // SAFETY: the descriptor was open a moment ago, and this process, a launcher or a
        // command that has just begun, has one thread, which closes none here but the
        // listing's own at the end of the loop. Even a wrong number would only get EBADF from
        // the kernel.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
    }
    Ok(())
}
