//! How an agent is started so that no crash can lose sight of it.
//!
//! An agent that runs but is written down nowhere would be started a second time. Whoever
//! starts it cannot write down its pid before it runs, and may be killed right after. So
//! the agent writes its own record: `fleet` starts itself again as a *launcher*, which
//! becomes the leader of a new session, writes down its own pid and start time, and only
//! then executes the agent's command. Both numbers survive the execution.
//!
//! Until the record is written, the launcher keeps the lock's ticket open. If `fleet` is
//! killed in between, the kernel holds the lock until the agent can be seen.
//!
//! The launcher's standard descriptors carry what it needs, so that nothing has to be
//! inherited by number: 0 is the pipe on which it reports a failure (its end is the good
//! news), 1 is the ticket, 2 is the agent's log. The command gets `/dev/null`, the log and
//! the log, and no other descriptor.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error;
use crate::exit::Exit;
use crate::home::Home;
use crate::roster::Agent;
use crate::supervisor::SupervisorError;
use crate::supervisor::instance::{Instance, RUN_VARIABLE, create_parent, new_run};
use crate::supervisor::tool::LOCK_VARIABLES;

/// The first argument that makes `fleet` a launcher; the others are where to write the
/// record, and the agent's command. No command line for people, so clap does not know it.
pub(crate) const COMMAND: &str = "__launch";

/// A launcher works for a few milliseconds; one that takes this long is stuck.
const LAUNCH_PATIENCE: Duration = Duration::from_secs(10);

/// An agent that has just begun to run.
#[derive(Debug)]
pub(super) struct Launched {
    /// Its process, a child of ours.
    pub(super) child: Child,
    /// How long its log was before.
    pub(super) log_start: u64,
}

/// Starts `agent` and returns when its record is written and its command runs.
///
/// # Errors
///
/// Why it does not run.
pub(super) fn launch(
    home: &Home,
    agent: &Agent,
    ticket: BorrowedFd<'_>,
) -> Result<Launched, SupervisorError> {
    if !agent.working_directory.is_dir() {
        return Err(SupervisorError::NoDirectory { path: agent.working_directory.clone() });
    }
    let record = home.instance(&agent.name);
    let log_path = home.log(&agent.name);
    create_parent(&log_path)?;
    let log = open_log(&log_path)?;
    let log_start = log.metadata().map_err(|e| failed("look at", &log_path, e))?.len();
    let system = |action| move |source: io::Error| SupervisorError::System { action, source };
    let (report, launcher_end) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|e| system("make a pipe")(e.into()))?;
    let ticket = ticket.try_clone_to_owned().map_err(system("copy the lock's descriptor"))?;

    let mut command = launcher(home, agent, &record);
    command.stdin(launcher_end).stdout(ticket).stderr(log);
    let mut child = command.spawn().map_err(|e| failed("start in", &agent.working_directory, e))?;
    // The command keeps our copies of the launcher's descriptors, and the report does not
    // end while one of them is open.
    drop(command);

    match read_report(report) {
        Ok(problem) if problem.is_empty() => Ok(Launched { child, log_start }),
        Ok(problem) => {
            // It is about to end, or has; not waiting would leave a zombie.
            let _ = child.wait();
            Err(SupervisorError::NotLaunched { problem })
        }
        Err(source) => {
            let _ = child.kill().and_then(|()| child.wait());
            Err(system("wait for the launcher")(source))
        }
    }
}

/// The other side: this process becomes the agent, or says why it cannot.
pub(crate) fn become_agent(arguments: impl Iterator<Item = OsString>) -> Exit {
    let Ok(mut report) = io::stdin().as_fd().try_clone_to_owned().map(File::from) else {
        return Exit::Io;
    };
    match try_become(arguments) {
        Ok(never) => match never {},
        Err(problem) => {
            // Nobody is left to be told when this fails.
            let _ = report.write_all(error::chain(&problem).as_bytes());
            Exit::NotFound
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error("cannot run `{program}`")]
    Exec { program: String, source: io::Error },
    #[error("cannot start a session of its own")]
    Session(#[source] io::Error),
    #[error(transparent)]
    Record(#[from] SupervisorError),
    #[error("the launcher was called without {0}")]
    Called(&'static str),
    #[error("cannot prepare its descriptors")]
    Descriptors(#[source] io::Error),
}

fn try_become(mut arguments: impl Iterator<Item = OsString>) -> Result<Infallible, LaunchError> {
    let record = arguments.next().and_then(|record| record.into_string().ok());
    let record = record.map(Utf8PathBuf::from).ok_or(LaunchError::Called("a record"))?;
    let program = arguments.next().ok_or(LaunchError::Called("a command"))?;
    let run = std::env::var(RUN_VARIABLE).map_err(|_| LaunchError::Called(RUN_VARIABLE))?;
    rustix::process::setsid().map_err(|e| LaunchError::Session(e.into()))?;
    let arguments: Vec<OsString> = arguments.collect();
    let text = |word: &OsString| word.to_string_lossy().into_owned();
    let command = std::iter::once(&program).chain(&arguments).map(text).collect();
    let directory = std::env::current_dir().ok().and_then(|path| path.try_into().ok());
    let instance = Instance { command, directory, ..Instance::this_process(run)? };
    instance.write(&record)?;

    crate::spawn::close_inherited_on_exec().map_err(LaunchError::Descriptors)?;
    let log = io::stderr().as_fd().try_clone_to_owned().map_err(LaunchError::Descriptors)?;
    let source = Command::new(&program).args(arguments).stdin(Stdio::null()).stdout(log).exec();
    Err(LaunchError::Exec { program: program.to_string_lossy().into_owned(), source })
}

fn launcher(home: &Home, agent: &Agent, record: &Utf8Path) -> Command {
    // Not the path of our executable: an upgrade may have put another version there.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("fleet")
        .args([COMMAND, record.as_str()])
        .args(&agent.command)
        .current_dir(&agent.working_directory)
        .envs(&agent.env)
        .env("FLEET_AGENT", &agent.name)
        .env("FLEET_HOME", home.root())
        .env(RUN_VARIABLE, new_run());
    for variable in LOCK_VARIABLES {
        command.env_remove(variable);
    }
    command
}

/// What the launcher says until it lets go of the pipe: nothing, if all is well.
fn read_report(report: OwnedFd) -> io::Result<String> {
    let deadline = Instant::now() + LAUNCH_PATIENCE;
    let mut report = File::from(report);
    let mut said = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok();
        let mut polled = [PollFd::new(&report, PollFlags::IN)];
        match poll(&mut polled, left.as_ref()) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match report.read(&mut chunk)? {
            0 => return Ok(String::from_utf8_lossy(&said).into_owned()),
            length => said.extend_from_slice(chunk.get(..length).unwrap_or_default()),
        }
    }
}

fn open_log(path: &Utf8Path) -> Result<File, SupervisorError> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options.open(path).map_err(|e| failed("open the log", path, e))
}

fn failed(action: &'static str, path: &Utf8Path, source: io::Error) -> SupervisorError {
    SupervisorError::Io { action, path: path.to_owned(), source }
}
