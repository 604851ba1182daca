//! How an agent comes into its pane.
//!
//! A command line can be read by every user of the machine while it runs, and an agent's
//! variables may be secrets. So tmux is given none of them: it starts `fleet` again, which
//! reads the roster and the env file itself, in the pane, and then executes the agent's
//! command. That also gives the command a checked directory, no descriptor of ours, and a
//! plain sentence in the pane if it cannot be run.

use std::convert::Infallible;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::client::{Tmux, argument, unexpanded};
use crate::error;
use crate::exit::Exit;
use crate::home::{Environment, Home, HomeError};
use crate::roster::{self, Agent, RosterError};
use crate::supervisor::instance::{Instance, RUN_VARIABLE, new_run};
use crate::supervisor::{SupervisorError, tool};

/// The first argument that makes `fleet` become the agent of its pane. No command line for
/// people, so clap does not know it.
pub(crate) const COMMAND: &str = "__pane";

/// Names the agent to everything that runs in its session.
const AGENT_VARIABLE: &str = "FLEET_AGENT";

/// Long enough for tmux to read a line.
const READING_TIME: Duration = Duration::from_millis(50);

/// Makes the agent's session, and returns the process in its pane.
///
/// # Errors
///
/// When tmux does not make it.
pub(super) fn make(
    tmux: &Tmux,
    home: &Home,
    agent: &Agent,
    session: &str,
    ticket: BorrowedFd<'_>,
) -> Result<u32, SupervisorError> {
    agent.check_directory()?;
    let run = new_run();
    let fleet = this_program()?;
    let directory = unexpanded(&agent.working_directory);
    let variables = [
        format!("{AGENT_VARIABLE}={}", agent.name),
        argument(&format!("FLEET_HOME={}", home.root())),
        format!("{RUN_VARIABLE}={run}"),
    ];
    let mut new = vec!["new-session", "-d", "-P", "-F", "#{pane_pid}", "-s", session];
    new.extend(["-c", &directory]);
    new.extend(variables.iter().flat_map(|variable| ["-e", variable.as_str()]));
    new.extend([fleet.as_str(), COMMAND]);
    // In the same call, so that the pane cannot be gone before.
    let window = format!("={session}:");
    new.extend([";", "set-option", "-w", "-t", &window, "remain-on-exit", "on"]);
    let said = tmux.run(&new, Some(ticket))?;
    let pid = said.out.trim().parse().map_err(|_| SupervisorError::ToolFailed {
        command: "tmux new-session".to_owned(),
        said: format!("it did not say which process it started, but {:?}", said.out),
    })?;
    // If we are killed before this is written, the session itself tells of the agent.
    if let Some(instance) = Instance::of(pid)? {
        let command = agent.command.clone();
        let directory = Some(agent.working_directory.clone());
        let instance = Instance { run, command, directory, ..instance };
        instance.write(&home.instance(&agent.name))?;
    }
    Ok(pid)
}

/// The other side: this process becomes the agent, or says in the pane why it cannot.
pub(crate) fn become_agent() -> Exit {
    match try_become() {
        Ok(never) => match never {},
        Err(problem) => {
            // Nobody is left to be told when this fails.
            let _ = writeln!(io::stderr(), "fleet: {}", error::chain(&problem));
            // What a process writes right before its end, tmux may never read.
            std::thread::sleep(READING_TIME);
            Exit::NotFound
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum PaneError {
    #[error("{} is not set", .0)]
    Called(&'static str),
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Roster(#[from] RosterError),
    #[error("there is no agent `{0}` in the roster any more")]
    Gone(String),
    #[error("cannot start in {path}")]
    Directory { path: Utf8PathBuf, source: io::Error },
    #[error("cannot prepare its descriptors")]
    Descriptors(#[source] io::Error),
    #[error("cannot run `{program}`")]
    Exec { program: String, source: io::Error },
}

fn try_become() -> Result<Infallible, PaneError> {
    let variable = |name| std::env::var(name).map_err(|_| PaneError::Called(name));
    let (name, run) = (variable(AGENT_VARIABLE)?, variable(RUN_VARIABLE)?);
    let home = Home::find(None, &Environment::read())?;
    let mut roster = roster::load(&home)?;
    roster.read_env_files(&home, std::slice::from_ref(&name))?;
    let agent = roster.agents.iter().find(|agent| agent.name == name);
    let agent = agent.ok_or_else(|| PaneError::Gone(name.clone()))?;
    let path = &agent.working_directory;
    std::env::set_current_dir(path)
        .map_err(|source| PaneError::Directory { path: path.clone(), source })?;
    crate::spawn::close_inherited_on_exec().map_err(PaneError::Descriptors)?;

    let (program, arguments) =
        agent.command.split_first().ok_or_else(|| PaneError::Gone(name.clone()))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(&agent.env)
        .env(AGENT_VARIABLE, &name)
        .env("FLEET_HOME", home.root())
        .env(RUN_VARIABLE, run);
    for variable in tool::LOCK_VARIABLES {
        command.env_remove(variable);
    }
    Err(PaneError::Exec { program: program.clone(), source: command.exec() })
}

/// Where a later process finds the program that we are.
fn this_program() -> Result<String, SupervisorError> {
    let path = std::env::current_exe()
        .map_err(|source| SupervisorError::System { action: "find our own program", source })?;
    match path.to_str() {
        Some(path) if std::fs::exists(path).unwrap_or(false) => Ok(argument(path)),
        // An upgrade has removed it, or it has no name as text. The kernel still has it.
        _ => Ok(format!("/proc/{}/exe", std::process::id())),
    }
}
