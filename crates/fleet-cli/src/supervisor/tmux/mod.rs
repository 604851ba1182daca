//! The supervisor that needs only tmux: every agent is a session on the fleet's own server,
//! beside the holder, a session that keeps the server when no agent runs.
//!
//! What tells whether an agent runs is tmux. Its pane stays when its command ends
//! (`remain-on-exit`), so that one can still read what it wrote. A record is kept besides,
//! `fleet/run/agents/<name>.json` as for plain processes: it tells a stopped agent from one
//! that disappeared with its server, and finds processes that outlived their pane.
//!
//! Restarting the holder ends its server and every agent with it. On the user's default
//! server there are other sessions than ours, so there only the holder's session is ended.

pub(super) mod client;
mod look;
pub(crate) mod pane;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::client::{Pane, Tmux, exactly, session_name};
pub(super) use self::look::strangers;
use super::instance::{Instance, pids};
use super::words::Words;
use super::{
    Patience, Settled, Step, Supervisor, SupervisorError, SupervisorMissing, Target, Wait, stop,
    tool,
};
use crate::error;
use crate::home::Home;
use crate::interrupt::{Interrupt, Woken};
use crate::processes::Process;
use crate::roster::{Agent, Roster};

/// What the holder runs: nothing, without end.
const HOLDER_COMMAND: [&str; 2] = ["sleep", "infinity"];

/// How long a new holder may take to answer.
pub(super) const HOLDER_PATIENCE: Duration = Duration::from_secs(10);

/// How much of a pane may be blank before its last words.
const WORDS: u32 = 100;

/// How often to ask it.
const HOLDER_RETRY: Duration = Duration::from_millis(20);

/// The agents of one home, as sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    home: Home,
    tmux: Tmux,
    holder: String,
    patience: Patience,
    torn_down: Mutex<BTreeSet<String>>,
}

impl Sessions {
    /// A supervisor for the agents of `roster`.
    ///
    /// # Errors
    ///
    /// When tmux is not installed.
    pub(super) fn open(
        roster: &Roster,
        home: &Home,
        patience: Patience,
    ) -> Result<Self, SupervisorMissing> {
        if !tool::is_on_the_path(client::PROGRAM) {
            return Err(SupervisorMissing::Program {
                supervisor: "tmux",
                program: client::PROGRAM,
                roster: home.roster(),
            });
        }
        Ok(Self {
            home: home.clone(),
            tmux: Tmux::new(&roster.tmux, home.root()),
            holder: session_name(&roster.tmux.holder_session),
            patience,
            torn_down: Mutex::default(),
        })
    }

    fn stop_holder(&self, ticket: BorrowedFd<'_>) -> Result<Wait<'_>, SupervisorError> {
        let found = match self.tmux.panes() {
            Err(SupervisorError::ToolHangs { .. }) if self.tmux.is_ours() => {
                return self.kill_server();
            }
            found => found?,
        };
        let panes: Vec<&Pane> = match self.tmux.is_ours() {
            true => found.panes.iter().collect(),
            false => found.of(&self.holder).collect(),
        };
        if panes.is_empty() {
            return Ok(Box::new(|_, _| Ok(Settled::Already)));
        }
        if panes.iter().any(|pane| is_our_session(pane)) {
            return Err(SupervisorError::Inside { instead: "setsid fleet restart".to_owned() });
        }
        let mut runs = runs(&panes)?;
        if self.tmux.is_ours() {
            runs.extend(found.server.map(Instance::of).transpose()?);
            self.tmux.run(&["kill-server"], Some(ticket))?;
        } else {
            self.tmux.run(&["kill-session", "-t", &exactly(&self.holder)], Some(ticket))?;
        }
        let living = panes.iter().filter(|pane| pane.dead.is_none());
        self.torn_down().extend(living.map(|pane| pane.session.clone()));
        Ok(await_end(runs.into_iter().flatten().collect()))
    }

    /// Ends a server that does not answer. The kernel hangs up on what it had.
    fn kill_server(&self) -> Result<Wait<'_>, SupervisorError> {
        let Some(server) = self.tmux.server().map(Instance::of).transpose()?.flatten() else {
            return Ok(Box::new(|_, _| Ok(Settled::Already)));
        };
        Ok(Box::new(move |until, interrupt| {
            let soon = Instant::now() + stop::KILL_PATIENCE;
            stop::kill(&[server], until.min(soon), interrupt)
        }))
    }

    /// The sessions that ended with the holder.
    fn torn_down(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.torn_down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_holder(&self, ticket: BorrowedFd<'_>) -> Result<Wait<'_>, SupervisorError> {
        if self.tmux.panes()?.has(&self.holder) {
            return Ok(Box::new(|_, _| Ok(Settled::Already)));
        }
        let [program, argument] = HOLDER_COMMAND;
        let new = ["new-session", "-d", "-s", &self.holder, program, argument];
        self.tmux.run(&new, Some(ticket))?;
        Ok(Box::new(|until, interrupt| {
            await_answer(&self.tmux, &self.holder, until, interrupt)?;
            let pid = self.tmux.panes()?.of(&self.holder).next().map(|pane| pane.pid);
            Ok(Settled::Started { pid: pid.unwrap_or_default() })
        }))
    }

    fn stop<'a>(
        &'a self,
        agent: &Agent,
        ticket: BorrowedFd<'_>,
    ) -> Result<Wait<'a>, SupervisorError> {
        let session = session_name(&agent.name);
        let found = self.tmux.panes()?;
        let panes: Vec<&Pane> = found.of(&session).collect();
        if panes.iter().any(|pane| is_our_session(pane)) {
            return Err(SupervisorError::inside_session(&agent.name));
        }
        let mut runs: Vec<Instance> = runs(&panes)?.into_iter().flatten().collect();
        let path = self.home.instance(&agent.name);
        if let Some(mut record) = Instance::read(&path)? {
            // Written before the session is ended, so that we may die between the two.
            record.stopping = true;
            record.write(&path)?;
            match runs.iter_mut().find(|run| run.pid == record.pid) {
                // The record knows its members even when the leader has ended.
                Some(run) => *run = record,
                None if record.members()?.is_empty() => {}
                None => {
                    // It outlived its pane, so nobody has hung up on it.
                    stop::ask(std::slice::from_ref(&record))?;
                    runs.push(record);
                }
            }
        }
        if !panes.is_empty() {
            self.tmux.run(&["kill-session", "-t", &exactly(&session)], Some(ticket))?;
        }
        if !runs.is_empty() {
            return Ok(await_end(runs));
        }
        let settled = match self.torn_down().remove(&session) {
            true => Settled::Stopped { killed: false },
            false => Settled::Already,
        };
        Ok(Box::new(move |_, _| Ok(settled)))
    }

    fn start<'a>(
        &'a self,
        agent: &'a Agent,
        ticket: BorrowedFd<'_>,
    ) -> Result<Wait<'a>, SupervisorError> {
        let session = session_name(&agent.name);
        let found = self.tmux.panes()?;
        if !found.has(&self.holder) {
            return Err(SupervisorError::NoHolder { session: self.holder.clone() });
        }
        let pane = found.of(&session).next();
        if pane.is_some_and(|pane| pane.dead.is_none()) {
            return Ok(Box::new(|_, _| Ok(Settled::Already)));
        }
        let path = self.home.instance(&agent.name);
        if let Some(record) = Instance::read(&path)? {
            let members = record.members()?;
            if !members.is_empty() {
                let (name, pids) = (agent.name.clone(), pids(&members));
                return Err(SupervisorError::Leftover { name, pids });
            }
        }
        if pane.is_some() {
            // Only what it wrote is left of it.
            self.tmux.run(&["kill-session", "-t", &exactly(&session)], Some(ticket))?;
        }
        let pid = pane::make(&self.tmux, &self.home, agent, &session, ticket)?;
        Ok(Box::new(move |until, interrupt| self.settle(&session, pid, until, interrupt)))
    }

    /// Watches a new agent until it has lived long enough to count as started.
    fn settle(
        &self,
        session: &str,
        pid: u32,
        until: Instant,
        interrupt: &Interrupt,
    ) -> Result<Settled, SupervisorError> {
        watch(pid, until, interrupt)?;
        let found = self.tmux.after(pid)?;
        match found.of(session).find(|pane| pane.pid == pid) {
            Some(Pane { dead: None, .. }) => Ok(Settled::Started { pid }),
            Some(pane) => Err(ended_at_once(&self.tmux, pane)),
            None => Err(SupervisorError::EndedAtOnce {
                status: client::UNKNOWN_STATUS.to_owned(),
                words: Words::Unknown { why: format!("its session {session} is gone") },
            }),
        }
    }
}

impl Supervisor for Sessions {
    fn limit(&self, step: Step, targets: &[Target<'_>]) -> Duration {
        let limit = |target: &Target<'_>| match (target, step) {
            (_, Step::Stop) => stop::limit(self.patience.grace),
            (Target::Holder, Step::Start | Step::Restart) => HOLDER_PATIENCE,
            (Target::Agent(_), Step::Start | Step::Restart) => self.patience.settle,
        };
        targets.iter().map(limit).max().unwrap_or_default()
    }

    fn fire<'a>(
        &'a self,
        step: Step,
        target: Target<'a>,
        ticket: BorrowedFd<'_>,
    ) -> Result<Wait<'a>, SupervisorError> {
        match (target, step) {
            (Target::Holder, Step::Stop) => self.stop_holder(ticket),
            (Target::Holder, Step::Start | Step::Restart) => self.start_holder(ticket),
            (Target::Agent(agent), Step::Stop) => self.stop(agent, ticket),
            (Target::Agent(agent), Step::Start | Step::Restart) => self.start(agent, ticket),
        }
    }
}

/// Waits until no process of the runs is alive, whose terminals were hung up.
fn await_end(runs: Vec<Instance>) -> Wait<'static> {
    Box::new(move |until, interrupt| stop::await_end_after_hangup(&runs, until, interrupt))
}

/// Waits until the server answers for the holder's session, at most `until` then.
///
/// # Errors
///
/// When it does not, or a signal ends the wait.
pub(super) fn await_answer(
    tmux: &Tmux,
    holder: &str,
    until: Instant,
    interrupt: &Interrupt,
) -> Result<(), SupervisorError> {
    let begun = Instant::now();
    loop {
        let Err(said) = tmux.has_session(holder)? else { return Ok(()) };
        if Instant::now() >= until {
            let waited = until.saturating_duration_since(begun);
            return Err(SupervisorError::HolderSilent { said, waited });
        }
        pause(HOLDER_RETRY, interrupt)?;
    }
}

/// Waits until the process `pid` has ended, at most `until` then. A signal ends the wait
/// and is no failure: what was started has been started all the same.
///
/// # Errors
///
/// When the process cannot be watched.
pub(super) fn watch(
    pid: u32,
    until: Instant,
    interrupt: &Interrupt,
) -> Result<(), SupervisorError> {
    let watch = Process::find(pid).filter(|process| !process.is_zombie());
    let watch = watch.and_then(|process| process.watch());
    let Some(watch) = watch else { return Ok(()) };
    let problem = |source| SupervisorError::System { action: "watch the new process", source };
    let left = until.saturating_duration_since(Instant::now());
    let _: Woken = interrupt.wait(&[watch.as_fd()], left).map_err(problem)?;
    Ok(())
}

/// Sleeps a moment.
///
/// # Errors
///
/// When a signal tells us to stop waiting.
pub(super) fn pause(moment: Duration, interrupt: &Interrupt) -> Result<(), SupervisorError> {
    let problem = |source| SupervisorError::System { action: "wait", source };
    match interrupt.wait(&[], moment).map_err(problem)? {
        Woken::Interrupted => Err(SupervisorError::Interrupted),
        Woken::Ready | Woken::TimedOut => Ok(()),
    }
}

/// The process of a pane has ended too soon.
pub(super) fn ended_at_once(tmux: &Tmux, pane: &Pane) -> SupervisorError {
    let words = match tmux.text(pane.id, WORDS) {
        Ok(text) => Words::of(&text, format!("its tmux session {}", pane.session)),
        Err(problem) => Words::Unknown { why: error::chain(&problem) },
    };
    SupervisorError::EndedAtOnce { status: pane.dead.clone().unwrap_or_default(), words }
}

/// Whether we run in a pane, and would end with it.
pub(super) fn is_our_session(pane: &Pane) -> bool {
    let this = Process::find(std::process::id());
    this.is_some_and(|this| this.session == pane.pid)
}

/// The runs in `panes`; `None` for those that have ended.
fn runs(panes: &[&Pane]) -> Result<Vec<Option<Instance>>, SupervisorError> {
    panes.iter().map(|pane| Instance::of(pane.pid)).collect()
}
