//! What a program may do with a guard that the library cannot keep it from: fork, and hand the
//! ticket's descriptor to a stranger.

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Runs this in a child that was forked and does not exec; what it told.
pub(crate) fn run(act: impl FnOnce() -> String) -> io::Result<String> {
    let (mut read, mut write) = io::pipe()?;
    if fork()? == 0 {
        let told = act();
        // The parent takes silence for a failure.
        let _ = write.write_all(told.as_bytes());
        exit();
    }
    drop(write);
    let mut told = String::new();
    read.read_to_string(&mut told)?;
    // The only child of this program that is not waited for by its starter.
    let _ = rustix::process::wait(rustix::process::WaitOptions::empty());
    Ok(told)
}

/// Hands a copy of a descriptor to whoever listens there.
pub(crate) fn send(fd: &OwnedFd, path: &str) -> io::Result<()> {
    let stream = UnixStream::connect(path)?;
    let fds = [fd.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let data = [IoSlice::new(b"x")];
    sendmsg(&stream, &data, &mut control, SendFlags::empty())?;
    Ok(())
}

#[expect(unsafe_code, reason = "a fork without exec is what is tested")]
fn fork() -> io::Result<i32> {
    // SAFETY: the child calls what a careless program would call, and leaves by `_exit`.
    let pid = unsafe { libc::fork() };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid) }
}

#[expect(unsafe_code, reason = "as a child must end that shares its parent's buffers")]
fn exit() -> ! {
    // SAFETY: it has no preconditions.
    unsafe { libc::_exit(0) }
}
