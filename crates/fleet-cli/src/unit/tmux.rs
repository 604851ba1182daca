//! Calls of tmux, as lists of arguments.

use std::process::{Command, Output, Stdio};

use super::UnitError;
use crate::roster::{Agent, Tmux};
use crate::supervisor::{exactly, session_name, unexpanded};

/// The server that the roster names.
#[derive(Clone, Debug)]
pub(super) struct Server {
    socket: Option<String>,
}

/// The first process of an agent's pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pane {
    /// The server's process.
    pub(super) server: u32,
    /// Its own.
    pub(super) pid: i32,
    /// Whether that has ended.
    pub(super) dead: bool,
    /// How; tmux may hear of the end of the terminal before it hears of that of the process.
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
        let (session, target) = (session_name(&agent.name), target(&agent.name));
        let directory = unexpanded(&agent.working_directory);
        let make = ["new-session", "-d", "-s", &session, "-c", &directory, "--"];
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
        let format = "#{pid} #{pane_pid} #{pane_dead} #{pane_dead_status} #{pane_dead_signal}";
        let shown = self.call(&["list-panes", "-t", &target(agent), "-F", format])?;
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        Ok(text.lines().next().filter(|_| shown.status.success()).and_then(Pane::read))
    }

    /// The last lines on the screen of an agent's session.
    pub(super) fn last_lines(&self, agent: &str, count: usize) -> Vec<String> {
        // tmux's own line about the end has scrolled one out of the screen.
        let captured = self.call(&["capture-pane", "-p", "-S", "-100", "-t", &target(agent)]);
        let text = captured.map(|output| output.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let said = |line: &&str| !line.trim().is_empty() && !line.starts_with("Pane is dead");
        let lines: Vec<&str> = text.lines().filter(said).collect();
        let last = lines.iter().skip(lines.len().saturating_sub(count));
        last.map(|line| line.trim_end().to_owned()).collect()
    }

    /// Ends an agent's session, if there is one.
    pub(super) fn end_session(&self, agent: &str) {
        // A session that is not there, or no server at all, is what we want.
        let _ = self.call(&["kill-session", "-t", &exactly(&session_name(agent))]);
    }

    /// Calls the server, and never starts one: a server that an agent's unit starts would
    /// end with that unit.
    fn call(&self, arguments: &[&str]) -> Result<Output, UnitError> {
        let mut command = self.command();
        command.arg("-N").args(arguments).output().map_err(UnitError::NoTmux)
    }
}

impl Pane {
    /// Reads `SERVER PID DEAD STATUS SIGNAL`, where the last two are there if they apply.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let server = words.next()?.parse().ok()?;
        let pid = words.next()?.parse().ok()?;
        let dead = words.next()? == "1";
        let status = words.next().and_then(|word| word.parse().ok());
        let signal = words.next().and_then(|word| word.parse().ok());
        let end = match (status, signal) {
            (_, Some(signal)) => Some(End::Signal(signal)),
            (Some(status), None) => Some(End::Status(status)),
            (None, None) => None,
        };
        Some(Self { server, pid, dead, end })
    }
}

/// The one session of this very name.
fn target(agent: &str) -> String {
    format!("{}:", exactly(&session_name(agent)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::alive("7 42 0  ", false, None)]
    #[case::ended("7 42 1 3 ", true, Some(End::Status(3)))]
    #[case::killed("7 42 1  9", true, Some(End::Signal(9)))]
    #[case::not_heard_of_yet("7 42 1  ", true, None)]
    fn panes_are_read(#[case] line: &str, #[case] dead: bool, #[case] end: Option<End>) {
        assert_eq!(Pane::read(line), Some(Pane { server: 7, pid: 42, dead, end }));
        assert_eq!(Pane::read(""), None);
    }
}
