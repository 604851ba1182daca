//! The one module with `unsafe` in it: what a child process keeps of ours, and what not.

#![expect(unsafe_code, reason = "a child is prepared between fork and exec, on raw descriptors")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

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
