//! How an agent is started so that no crash can lose sight of it.
//!
//! An agent that runs but is written down nowhere would be started a second time. Whoever
//! starts it cannot write down its pid before it runs, and may be killed right after. So
//! the agent writes its own record: between fork and exec its process becomes the leader of
//! a new session, writes down its own pid and start time, and only then executes the agent's
//! command. Both numbers survive the execution.
//!
//! Until then the process has a copy of every descriptor of ours, the lock's ticket among
//! them. If `fleet` is killed in between, the kernel holds the lock until the agent can be
//! seen. The execution closes all but the three standard ones: the command gets `/dev/null`,
//! its log and its log.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};

use camino::Utf8Path;

use crate::home::Home;
use crate::roster::Agent;
use crate::spawn::spawn_recorded;
use crate::supervisor::SupervisorError;
use crate::supervisor::instance::{Instance, RUN_VARIABLE, create_parent, draft, new_run};
use crate::supervisor::tool::LOCK_VARIABLES;

/// An agent that has just begun to run.
#[derive(Debug)]
pub(super) struct Launched {
    /// Its process, a child of ours.
    pub(super) child: Child,
    /// How long its log was before.
    pub(super) log_start: u64,
}

/// Starts `agent` and returns when its record is written and its command runs. Called under
/// the lock's mutex, with a ticket that is closed by an exec.
///
/// # Errors
///
/// Why it does not run.
pub(super) fn launch(home: &Home, agent: &Agent) -> Result<Launched, SupervisorError> {
    agent.check_directory()?;
    let log_path = home.log(&agent.name);
    create_parent(&log_path)?;
    let log = open_log(&log_path)?;
    let log_start = log.metadata().map_err(|e| failed("look at", &log_path, e))?.len();
    let copy = log.try_clone().map_err(|e| failed("copy the descriptor of", &log_path, e))?;

    let (path, run) = (home.instance(&agent.name), new_run());
    let real = agent.working_directory.canonicalize_utf8().ok();
    let record = Instance::to_be_written(run.clone(), agent.command.clone(), real, &path)?;
    let mut command = command(home, agent, &run);
    command.stdin(Stdio::null()).stdout(log).stderr(copy);
    match spawn_recorded(&mut command, record) {
        Ok(child) => Ok(Launched { child, log_start }),
        Err(source) if draft(&path).exists() => Err(failed("write", &path, source)),
        Err(source) => {
            can_begin(&draft(&path))?;
            let program = command.get_program().to_string_lossy().into_owned();
            Err(SupervisorError::NotLaunched { program, source })
        }
    }
}

/// Whether a record could be begun there. The process that was to write it could only say with
/// which error it failed, and not in what.
fn can_begin(draft: &Utf8Path) -> Result<(), SupervisorError> {
    File::create(draft).map_err(|e| failed("write", draft, e))?;
    fs::remove_file(draft).map_err(|e| failed("remove", draft, e))
}

fn command(home: &Home, agent: &Agent, run: &str) -> Command {
    // The roster's check sees to it that there is one.
    let mut words = agent.command.iter();
    let mut command = Command::new(words.next().map_or("", String::as_str));
    command
        .args(words)
        .current_dir(&agent.working_directory)
        .envs(&agent.env)
        .env("FLEET_AGENT", &agent.name)
        .env("FLEET_HOME", home.root())
        .env(RUN_VARIABLE, run);
    for variable in LOCK_VARIABLES {
        command.env_remove(variable);
    }
    command
}

fn open_log(path: &Utf8Path) -> Result<File, SupervisorError> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options.open(path).map_err(|e| failed("open the log", path, e))
}

fn failed(action: &'static str, path: &Utf8Path, source: io::Error) -> SupervisorError {
    SupervisorError::Io { action, path: path.to_owned(), source }
}
