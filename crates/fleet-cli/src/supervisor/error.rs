//! What can go wrong with a step, each as one sentence that says what to do.

use std::io;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::words::Words;
use crate::roster::NoDirectory;

/// Why a step failed, or an agent cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SupervisorError {
    /// The directory to start in is not there, or closed to us.
    #[error(transparent)]
    NoDirectory(#[from] NoDirectory),
    /// The command cannot be run at all.
    #[error("cannot run `{program}`")]
    NotLaunched {
        /// Its program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// What is written down about an agent's run makes no sense, and it may run.
    #[error("{path} is damaged; end what still runs of the agent, and remove that file")]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The command ran and ended before it could be called started.
    #[error("it ended at once, with {status}; {words}")]
    EndedAtOnce {
        /// As the system describes it.
        status: String,
        /// The last lines it wrote.
        words: Words,
    },
    /// Processes of the last run are in the way of a new one.
    #[error(
        "its last run ended but left processes behind ({}); `fleet restart {name}` ends them",
        join(.pids)
    )]
    Leftover {
        /// The agent.
        name: String,
        /// The processes.
        pids: Vec<u32>,
    },
    /// It was asked to end and has not yet.
    #[error("it is still ending (process {pid}); `fleet restart {name}` waits for it")]
    StillEnding {
        /// The agent.
        name: String,
        /// Its process.
        pid: u32,
    },
    /// Stopping it would end us in the middle.
    #[error("this very `fleet` runs inside it and would end with it; run `{instead}` instead")]
    Inside {
        /// How to run a `fleet` that is not inside.
        instead: String,
    },
    /// Not even SIGKILL ended it.
    #[error("it is still there {} after SIGKILL (processes {})",
        crate::duration::format(*.waited), join(.pids))]
    Immortal {
        /// The processes.
        pids: Vec<u32>,
        /// How long we waited.
        waited: Duration,
    },
    /// There is nothing that the agent could live in.
    #[error(
        "the holder does not run (there is no tmux session `{session}`); \
         `fleet start` without a name starts it, and what else does not run"
    )]
    NoHolder {
        /// The holder's session.
        session: String,
    },
    /// The holder was started and is of no use.
    #[error(
        "no tmux server answers for it ({said}), waited {}; `fleet restart` makes a new one",
        crate::duration::format(*.waited)
    )]
    HolderSilent {
        /// What tmux said last.
        said: String,
        /// How long we waited.
        waited: Duration,
    },
    /// Systemd knows no such unit, or cannot use its file.
    #[error(
        "its unit {unit} is {load}; put its file into ~/.config/systemd/user and run \
         `systemctl --user daemon-reload`"
    )]
    NoUnit {
        /// The unit.
        unit: String,
        /// What systemd says of its file.
        load: String,
    },
    /// The unit was to run, and does not.
    #[error("its unit {unit} did not come up ({how}); {words}")]
    NotUp {
        /// The unit.
        unit: String,
        /// How it ended.
        how: String,
        /// The last lines it wrote.
        words: Words,
    },
    /// The manager takes longer than the unit's settings allow.
    #[error(
        "its unit {unit} is still {state} after {}, longer than its settings allow; \
         `systemctl --user status {unit}` shows what it is waiting for",
        crate::duration::format(*.waited)
    )]
    StillAtWork {
        /// The unit.
        unit: String,
        /// Its state in detail.
        state: String,
        /// How long we waited.
        waited: Duration,
    },
    /// The unit was to end, and runs.
    #[error("its unit {unit} was stopped and runs again; find out who started it")]
    RunsAgain {
        /// The unit.
        unit: String,
    },
    /// The unit is content, but there is no agent.
    #[error(
        "its unit {unit} is active ({sub}), but runs no process, and tmux has no session \
         `{session}` on the fleet's socket"
    )]
    NothingRuns {
        /// The unit.
        unit: String,
        /// The unit's state in detail.
        sub: String,
        /// The session that the agent should be in.
        session: String,
    },
    /// The unit is content, but the agent goes on.
    #[error(
        "its unit is stopped, but process {pid} of its tmux session `{session}` runs on; \
         look at the unit's ExecStop="
    )]
    Outlives {
        /// The agent's session.
        session: String,
        /// The agent's process.
        pid: u32,
    },
    /// A program that does the work for us cannot be run.
    #[error("cannot run `{command}`")]
    Tool {
        /// Its command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program that does the work for us failed.
    #[error("`{command}` failed: {said}")]
    ToolFailed {
        /// Its command line.
        command: String,
        /// What it said, or how it ended.
        said: String,
    },
    /// A program that does the work for us hangs.
    #[error("`{command}` did not answer for {} and was ended", crate::duration::format(*.waited))]
    ToolHangs {
        /// Its command line.
        command: String,
        /// How long we waited.
        waited: Duration,
    },
    /// A signal told us to stop waiting.
    #[error("interrupted while waiting for it to end")]
    Interrupted,
    /// A system call failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What we were about to do.
        action: &'static str,
        /// To which file.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A system call that concerns no file failed.
    #[error("cannot {action}")]
    System {
        /// What we were about to do.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl SupervisorError {
    /// We are in the session of `agent`.
    pub(super) fn inside_session(agent: &str) -> Self {
        Self::Inside { instead: format!("setsid fleet restart {agent}") }
    }
}

/// What the roster's supervisor needs is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SupervisorMissing {
    /// A program.
    #[error(
        "the supervisor `{supervisor}` needs the program `{program}`, which is not on the PATH; \
         install it, or choose another `supervisor` in {roster}"
    )]
    Program {
        /// As the roster has it.
        supervisor: &'static str,
        /// What is not there.
        program: &'static str,
        /// Where the supervisor is chosen.
        roster: Utf8PathBuf,
    },
    /// The user's service manager.
    #[error(
        "the supervisor `systemd` needs a user manager, and none answers ({said}); log in as this \
         user, or have `loginctl enable-linger` keep one, or choose another `supervisor` in {roster}"
    )]
    Manager {
        /// What systemctl said.
        said: String,
        /// Where the supervisor is chosen.
        roster: Utf8PathBuf,
    },
}

fn join(pids: &[u32]) -> String {
    pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
