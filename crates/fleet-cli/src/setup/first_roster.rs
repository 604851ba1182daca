//! The roster that `fleet init` writes: short, commented, and one that starts as it is.

use crate::roster::SupervisorKind;

/// The text of a first roster.
pub(super) fn text(supervisor: SupervisorKind) -> String {
    let parts = match supervisor {
        SupervisorKind::Systemd => [SYSTEMD, TMUX, SESSIONS],
        SupervisorKind::Tmux => [PLAIN_TMUX, TMUX, SESSIONS],
        SupervisorKind::Process => [PROCESS, "", PROCESSES],
    };
    [HEAD, &parts.concat(), AGENTS].concat()
}

const HEAD: &str = "\
# The fleet: which agents there are, and how each is run. `fleet restart` goes from top to
# bottom. `fleet schema roster` prints the JSON schema of this file.
version: 1
transport: tmux
";

const SYSTEMD: &str = "
# Each agent is a user unit, mosaic-agent@NAME.service, in a tmux session of its own;
# `fleet install` writes and enables the units. The others are `tmux` and `process`.
supervisor: systemd
";

const PLAIN_TMUX: &str = "
# Each agent is a session of one tmux server. The others are `systemd` and `process`.
supervisor: tmux
";

const PROCESS: &str = "
# Each agent is a process with a log file. The others are `systemd` and `tmux`.
supervisor: process
";

const TMUX: &str = "
tmux:
  # The fleet's own tmux server: `tmux -L fleet attach -t NAME` shows an agent.
  socket_name: fleet
  # The session that keeps the server up while no agent runs.
  holder_session: _holder
";

const SESSIONS: &str = "
defaults:
  # Where agents start. `~` is your home; a relative path starts at the fleet's.
  working_directory: \"~\"

runtimes:
  # What an agent of this runtime runs: a list of arguments, not a line for a shell. In
  # them {name}, {runtime}, {working_directory} and {home} are filled in.
  shell:
    command: [/bin/sh, -i]
  # claude:
  #   command: [claude]
  # codex:
  #   command: [codex]
";

const PROCESSES: &str = "
defaults:
  # Where agents start. `~` is your home; a relative path starts at the fleet's.
  working_directory: \"~\"

runtimes:
  # What an agent of this runtime runs: a list of arguments, not a line for a shell. In
  # them {name}, {runtime}, {working_directory} and {home} are filled in.
  shell:
    command: [/bin/sh, -c, 'while :; do echo \"{name} is alive\"; sleep 60; done']
  # mine:
  #   command: [my-agent, --name, '{name}']
";

const AGENTS: &str = "
# More of them: fleet add NAME --runtime RUNTIME
agents:
  - name: agent-1
    runtime: shell
";
