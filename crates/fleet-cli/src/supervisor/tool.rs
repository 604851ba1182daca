//! Runs the programs that do the work for us: `systemctl`, `tmux`, `journalctl`.
//!
//! Arguments are a list, never a string for a shell. A program is given a few seconds; one
//! that hangs is ended.
//!
//! A program that changes something gets the lock's ticket as its stdin, which none of them
//! reads. So if `fleet` is killed meanwhile, the lock is held until the change is made, and
//! is let go when the program ends. A tmux server that the program starts does not keep
//! it: a server opens `/dev/null` in place of its standard descriptors, and only of those.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::BorrowedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::SupervisorError;

/// Milliseconds are usual. Contenders can wait for the lock's mutex longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a program must not be told: the lock that `lock run` holds is not its business, and
/// a tmux server would tell it to every agent.
pub(super) const LOCK_VARIABLES: [&str; 3] =
    ["FLEET_LOCK_TOKEN", "FLEET_LOCK_GENERATION", "FLEET_LOCK_PATH"];

/// What a program said, and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    /// How it ended.
    pub(super) status: ExitStatus,
    /// Its result.
    pub(super) out: String,
    /// Its complaints.
    pub(super) err: String,
}

/// Runs `program` with `arguments` to its end. `prepare` sets what else it needs.
///
/// # Errors
///
/// When it cannot be run, or hangs. That it failed is for the caller to see.
pub(super) fn run(
    program: &str,
    arguments: &[&str],
    ticket: Option<BorrowedFd<'_>>,
    prepare: impl FnOnce(&mut Command),
) -> Result<Said, SupervisorError> {
    let mut command = Command::new(program);
    command.args(arguments);
    for variable in LOCK_VARIABLES {
        command.env_remove(variable);
    }
    prepare(&mut command);
    match attend(&mut command, ticket) {
        Ok(Some(said)) => Ok(said),
        Ok(None) => {
            Err(SupervisorError::ToolHangs { command: shown(program, arguments), waited: PATIENCE })
        }
        Err(source) => Err(SupervisorError::Tool { command: shown(program, arguments), source }),
    }
}

impl Said {
    /// Itself, if the program says that it succeeded.
    ///
    /// # Errors
    ///
    /// With its complaint.
    pub(super) fn success(
        self,
        program: &str,
        arguments: &[&str],
    ) -> Result<Self, SupervisorError> {
        match self.status.success() {
            true => Ok(self),
            false => Err(SupervisorError::ToolFailed {
                command: shown(program, arguments),
                said: self.complaint(),
            }),
        }
    }

    /// What it said about its failure, in one line.
    pub(super) fn complaint(&self) -> String {
        let lines: Vec<&str> = self.err.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        if lines.is_empty() { self.status.to_string() } else { lines.join("; ") }
    }
}

/// A command line as one would type it, if no argument held a space.
pub(super) fn shown(program: &str, arguments: &[&str]) -> String {
    let words = std::iter::once(&program).chain(arguments);
    words.copied().collect::<Vec<_>>().join(" ")
}

/// Whether there is such a program on the `PATH`.
pub(super) fn is_on_the_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Runs a command to its end; `None` if that took too long. What it says goes to files in
/// memory, so that it never waits for us to read.
fn attend(command: &mut Command, ticket: Option<BorrowedFd<'_>>) -> io::Result<Option<Said>> {
    let (out, err) = (memory()?, memory()?);
    command.stdin(match ticket {
        Some(ticket) => Stdio::from(ticket.try_clone_to_owned()?),
        None => Stdio::null(),
    });
    command.stdout(out.try_clone()?).stderr(err.try_clone()?);
    let mut child = command.spawn()?;
    let ended = await_end(&child, Instant::now() + PATIENCE);
    if !matches!(ended, Ok(true)) {
        child.kill()?;
    }
    let status = child.wait()?;
    let said = Said { status, out: text(out)?, err: text(err)? };
    Ok(ended?.then_some(said))
}

/// Waits until a child has ended; false if that takes too long.
fn await_end(child: &Child, deadline: Instant) -> io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let ended = pidfd_open(pid.ok_or(io::ErrorKind::InvalidInput)?, PidfdFlags::empty())?;
    loop {
        let mut polled = [PollFd::new(&ended, PollFlags::IN)];
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok();
        match poll(&mut polled, left.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn memory() -> io::Result<File> {
    Ok(memfd_create("fleet", MemfdFlags::CLOEXEC)?.into())
}

fn text(mut file: File) -> io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Result<Said, SupervisorError> {
        run("sh", &["-c", script], None, |_| {})
    }

    #[test]
    fn a_program_is_heard_to_its_end() {
        let said = sh("echo out; echo err >&2; exit 3").expect("there is a shell");
        assert_eq!((said.out.as_str(), said.err.as_str()), ("out\n", "err\n"));
        assert_eq!(said.status.code(), Some(3));
        // More than a pipe would hold.
        let said = sh("head -c 200000 /dev/zero").expect("there is a shell");
        assert_eq!(said.out.len(), 200_000);
    }

    #[test]
    fn a_failure_is_quoted() {
        let said = sh("echo no >&2; echo way >&2; exit 3").expect("there is a shell");
        let error = said.success("sh", &["-c", "x"]).expect_err("it failed");
        assert_eq!(error.to_string(), "`sh -c x` failed: no; way");
        let error = sh("exit 3").expect("there is a shell").success("sh", &[]).expect_err("failed");
        assert_eq!(error.to_string(), "`sh` failed: exit status: 3");
    }

    #[test]
    fn an_absent_program_is_named() {
        let error = run("no-such-program", &["x"], None, |_| {}).expect_err("it is absent");
        assert_eq!(error.to_string(), "cannot run `no-such-program x`");
        assert!(!is_on_the_path("no-such-program") && is_on_the_path("sh"));
    }
}
