//! The main process of an agent's unit: makes its session, watches it, ends as it ends.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use sd_notify::NotifyState;

use super::tmux::{End, Server};
use super::{COMMAND, UnitError};
use crate::exit::Exit;
use crate::interrupt::{Interrupt, Woken};
use crate::processes::Process;
use crate::report;
use crate::roster::{Agent, Roster};
use crate::signals;
use crate::supervisor::argument;

/// How long an agent must live to count as started.
const SETTLE: Duration = Duration::from_millis(300);

/// How long an agent has after SIGTERM before its terminal hangs up; and then before we end
/// and systemd kills it. Together less than the unit's `TimeoutStopSec=`.
const GRACE: Duration = Duration::from_secs(5);

/// How long tmux may take to see that a process ended which the kernel says has ended.
const TMUX_PATIENCE: Duration = Duration::from_secs(5);

/// How soon to ask it again.
const TMUX_RETRY: Duration = Duration::from_millis(5);

/// How many of an agent's last lines go to the journal.
const LAST_LINES: usize = 10;

/// Longer than any agent lives; waiting again costs nothing.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Starts `agent` in its session and stays until it has ended.
pub(super) fn mind(roster: &Roster, agent: &Agent) -> Result<Exit, UnitError> {
    if agent.command.is_empty() {
        let (name, runtime) = (agent.name.clone(), agent.runtime.clone());
        return Err(UnitError::NoCommand { name, runtime });
    }
    agent.check_directory()?;
    let interrupt = Arc::new(Interrupt::new().map_err(failed("make a descriptor"))?);
    let tripped = Arc::clone(&interrupt);
    signals::listen(&signals::ENDING, move |signal| tripped.trip(signal.number))
        .map_err(failed("handle signals"))?;
    let server = Server::of(&roster.tmux);
    // What a minder left that was killed.
    server.end_session(&agent.name);
    let program = argument(&program()?);
    let minder = std::process::id().to_string();
    server.new_session(agent, &[&program, COMMAND, "pane", &agent.name, &minder])?;
    let mut minded = Minded { server, agent, interrupt: &interrupt, asked: false };
    minded.watch()
}

/// An agent in its session.
struct Minded<'a> {
    server: Server,
    agent: &'a Agent,
    interrupt: &'a Interrupt,
    /// Whether we were asked to end it.
    asked: bool,
}

impl Minded<'_> {
    fn watch(&mut self) -> Result<Exit, UnitError> {
        let Some(pane) = self.server.pane(&self.agent.name)? else { return self.ended() };
        let pid = Pid::from_raw(pane.pid).ok_or(UnitError::Called("a pid"))?;
        // It cannot be another process's number yet if tmux still knows it as running.
        let Ok(end) = pidfd_open(pid, PidfdFlags::empty()) else { return self.ended() };
        match self.server.pane(&self.agent.name)? {
            Some(now) if !now.dead && now.pid == pane.pid => {}
            _ => return self.ended(),
        }
        let wait = |patience| {
            self.interrupt.wait(&[end.as_fd()], patience).map_err(failed("watch the agent"))
        };
        let mut woken = wait(SETTLE)?;
        if woken == Woken::TimedOut {
            // A failure is that of a systemd that has gone; it will not start us again.
            let _ = sd_notify::notify(&[NotifyState::Ready]);
        }
        while woken == Woken::TimedOut {
            woken = wait(A_DAY)?;
        }
        if woken == Woken::Interrupted {
            self.asked = true;
            ask(pid, &end)?;
        }
        self.ended()
    }

    /// What the unit's end is, given the agent's.
    fn ended(&self) -> Result<Exit, UnitError> {
        let end = self.end()?;
        if self.asked {
            return Ok(Exit::Done);
        }
        let how = match end {
            Some(End::Status(status)) => format!("ended with status {status}"),
            Some(End::Signal(signal)) => format!("was ended by {}", signals::name(signal)),
            None => "is gone: its session was ended from outside".to_owned(),
        };
        report::plain(&format!("{} {how}", self.agent.name));
        for line in self.server.last_lines(&self.agent.name, LAST_LINES) {
            report::plain(&format!("| {line}"));
        }
        Ok(match end {
            Some(End::Status(status)) => Exit::Command(status),
            Some(End::Signal(signal)) => Exit::Signal(signal),
            None => Exit::SomeFailed,
        })
    }

    /// How the agent ended, as tmux saw it; `None` if its session is gone.
    fn end(&self) -> Result<Option<End>, UnitError> {
        let deadline = Instant::now() + TMUX_PATIENCE;
        loop {
            let Some(pane) = self.server.pane(&self.agent.name)? else { return Ok(None) };
            let has_all = pane.dead && pane.end.is_some();
            if has_all || self.asked || Instant::now() >= deadline {
                return Ok(pane.end);
            }
            // The kernel has told tmux, which has no event for us; and now and then tmux
            // misses it, keeps a zombie, and learns of its end only from the next signal.
            if let Some(server) = Process::find(pane.server) {
                let _ = server.signal(Signal::CHILD);
            }
            std::thread::sleep(TMUX_RETRY);
        }
    }
}

/// Asks an agent and its process group to end, and waits a while until it has. Who ignores
/// SIGTERM, as interactive shells do, is only told that the terminal hangs up.
fn ask(pid: Pid, end: &impl AsFd) -> Result<(), UnitError> {
    let number = pid.as_raw_nonzero().to_string();
    let is_heard = |signal: &Signal| !signals::ignored_by(&number, signal.as_raw());
    for signal in [Signal::TERM, Signal::HUP].into_iter().filter(is_heard) {
        // The leader of the pane's session leads this group, and lives until `end` says so.
        let _ = kill_process_group(pid, signal);
        let _ = kill_process_group(pid, Signal::CONT);
        let forgetful = Interrupt::new().map_err(failed("make a descriptor"))?;
        if forgetful.wait(&[end.as_fd()], GRACE).map_err(failed("watch the agent"))? == Woken::Ready
        {
            return Ok(());
        }
    }
    Ok(())
}

/// Where this program is. The unit names it by its whole path, behind which an upgrade may
/// have put another version; that one is right for a new agent.
fn program() -> Result<String, UnitError> {
    let called = std::env::args().next().filter(|called| called.starts_with('/'));
    match called {
        Some(called) => Ok(called),
        None => std::env::current_exe()
            .map(|path| path.to_string_lossy().into_owned())
            .map_err(failed("find this program")),
    }
}

fn failed(action: &'static str) -> impl Fn(std::io::Error) -> UnitError {
    move |source| UnitError::System { action, source }
}
