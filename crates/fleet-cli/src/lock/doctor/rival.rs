//! A second process that locks a file, so that a lock can be tried between two.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use camino::Utf8Path;
use rustix::fs::{FlockOperation, flock};

use super::Lack;
use crate::exit::Exit;

/// The first argument that makes `fleet` such a process; the other is the file. No command
/// line for people, so clap does not know it.
pub(crate) const COMMAND: &str = "__hold";

/// The process, with the file locked; killed when dropped.
pub(super) struct Rival {
    child: Child,
    /// Its end is the sign to end.
    stdin: Option<ChildStdin>,
}

impl Rival {
    /// Starts one, and returns when it has locked the file.
    pub(super) fn new(file: &Utf8Path) -> Result<Self, Lack> {
        let mut child = Command::new("/proc/self/exe")
            .arg0("fleet")
            .args([COMMAND, file.as_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Lack::of("starting a second process"))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let rival = Self { child, stdin };
        let mut said = [0; 1];
        let read = stdout.map_or(Ok(0), |mut stdout| stdout.read(&mut said));
        match read.map_err(Lack::of("waiting for a second process"))? {
            1 => Ok(rival),
            _ => Err(Lack::Torn("a second process cannot lock a file")),
        }
    }

    /// Has it let go and end.
    pub(super) fn end(mut self) -> Result<(), Lack> {
        drop(self.stdin.take());
        self.child.wait().map(|_| ()).map_err(Lack::of("waiting for a second process"))
    }

    /// Kills it.
    pub(super) fn kill(mut self) -> Result<(), Lack> {
        self.child.kill().map_err(Lack::of("killing a second process"))
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        // It may have ended; otherwise there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Locks the file, says so, and waits for the end of stdin.
pub(crate) fn become_rival(mut arguments: impl Iterator<Item = OsString>) -> Exit {
    let mut hold = || -> io::Result<()> {
        let path = arguments.next().ok_or(io::ErrorKind::InvalidInput)?;
        let file = File::options().write(true).open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        io::stdout().write_all(b"+")?;
        io::stdout().flush()?;
        io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    };
    if hold().is_ok() { Exit::Done } else { Exit::Io }
}
