//! Calls of tmux, as lists of arguments.

use std::process::{Command, Output, Stdio};

use super::UnitError;
use crate::roster::{Agent, Tmux};

/// The server that the roster names.
#[derive(Clone, Debug)]
pub(super) struct Server {
    socket: Option<String>,
}

/// The first process of an agent's pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pane {
    /// Its process.
    pub(super) pid: i32,
    /// How that ended, if it has.
    pub(super) end: Option<End>,
}

/// How an agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With this status.
    Status(u8),
    /// By this signal.
    Signal(i32),
}

impl Server {
    /// The server of a fleet.
    pub(super) fn of(tmux: &Tmux) -> Self {
        Self { socket: tmux.socket_name.clone() }
    }

    /// For people: `the socket fleet`.
    pub(super) fn name(&self) -> String {
        match &self.socket {
            Some(socket) => format!("the socket {socket}"),
            None => "the default socket".to_owned(),
        }
    }

    /// tmux with its `-L`.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        if let Some(socket) = &self.socket {
            command.args(["-L", socket]);
        }
        // We may have been started inside of another server.
        command.env_remove("TMUX").env_remove("TMUX_PANE").stdin(Stdio::null());
        command
    }

    /// Whether it answers.
    pub(super) fn answers(&self) -> Result<bool, UnitError> {
        Ok(self.call(&["list-sessions"])?.status.success())
    }

    /// Makes the session of an agent, whose pane stays when its command has ended: only tmux
    /// knows how it ended.
    pub(super) fn new_session(&self, agent: &Agent, pane: &[&str]) -> Result<(), UnitError> {
        let target = target(&agent.name);
        let directory = agent.working_directory.as_str();
        let make = ["new-session", "-d", "-s", &agent.name, "-c", directory, "--"];
        // One call, so that the server does both before it looks at any process's end.
        let keep = [";", "set-option", "-w", "-t", &target, "remain-on-exit", "on"];
        let made = self.call(&[&make, pane, &keep].concat())?;
        match made.status.success() {
            true => Ok(()),
            false => {
                let said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
                Err(UnitError::NoSession(said))
            }
        }
    }

    /// The pane of an agent's session; `None` if there is no session.
    pub(super) fn pane(&self, agent: &str) -> Result<Option<Pane>, UnitError> {
        let format = "#{pane_pid} #{pane_dead} #{pane_dead_status} #{pane_dead_signal}";
        let shown = self.call(&["list-panes", "-t", &target(agent), "-F", format])?;
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        Ok(text.lines().next().filter(|_| shown.status.success()).and_then(Pane::read))
    }

    /// The last lines on the screen of an agent's session.
    pub(super) fn last_lines(&self, agent: &str, count: usize) -> Vec<String> {
        let captured = self.call(&["capture-pane", "-p", "-t", &target(agent)]);
        let text = captured.map(|output| output.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        // tmux itself adds a line about the end of the process.
        let said = |line: &&str| !line.trim().is_empty() && !line.starts_with("Pane is dead");
        let lines: Vec<&str> = text.lines().filter(said).collect();
        let last = lines.iter().skip(lines.len().saturating_sub(count));
        last.map(|line| line.trim_end().to_owned()).collect()
    }

    /// Ends an agent's session, if there is one.
    pub(super) fn end_session(&self, agent: &str) {
        // A session that is not there, or no server at all, is what we want.
        let _ = self.call(&["kill-session", "-t", &format!("={agent}")]);
    }

    /// Calls the server, and never starts one: a server that an agent's unit starts would
    /// end with that unit.
    fn call(&self, arguments: &[&str]) -> Result<Output, UnitError> {
        let mut command = self.command();
        command.arg("-N").args(arguments).output().map_err(UnitError::NoTmux)
    }
}

impl Pane {
    /// Reads `PID DEAD STATUS SIGNAL`, where the last two are there if they apply.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let pid = words.next()?.parse().ok()?;
        let dead = words.next()? == "1";
        let status = words.next().and_then(|word| word.parse().ok());
        let signal = words.next().and_then(|word| word.parse().ok());
        let end = match (status, signal) {
            (_, Some(signal)) => End::Signal(signal),
            (Some(status), None) => End::Status(status),
            (None, None) => End::Status(1),
        };
        Some(Self { pid, end: dead.then_some(end) })
    }
}

/// The one session of this very name.
fn target(agent: &str) -> String {
    format!("={agent}:")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::alive("42 0  ", Some(Pane { pid: 42, end: None }))]
    #[case::ended("42 1 3 ", Some(Pane { pid: 42, end: Some(End::Status(3)) }))]
    #[case::killed("42 1  9", Some(Pane { pid: 42, end: Some(End::Signal(9)) }))]
    #[case::old_tmux("42 1 ", Some(Pane { pid: 42, end: Some(End::Status(1)) }))]
    #[case::nothing("", None)]
    fn panes_are_read(#[case] line: &str, #[case] pane: Option<Pane>) {
        assert_eq!(Pane::read(line), pane);
    }
}
