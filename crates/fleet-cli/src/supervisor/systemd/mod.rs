//! The supervisor for fleets whose holder and agents are systemd's user units.
//!
//! A step is one job: it is enqueued under the lock's mutex (`--no-block`) and looked after
//! outside, until the manager has no job for the unit any more.
//!
//! An agent's unit may run the agent itself, or make a session on the holder's tmux server
//! and end (`Type=oneshot` with `RemainAfterExit=yes`, as Mosaic's do). Such a unit is
//! "active (exited)" whatever becomes of the agent, so then the pane of the session with the
//! agent's name tells.
//!
//! How long a unit may take to start and to stop, and whether it is killed then, its own settings
//! say (`limits`); as long we wait for it.

mod before;
mod greeting;
mod holder;
mod jobs;
mod limits;
mod log;
mod look;
mod manager;
mod together;
mod watch;

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use self::before::Before;
use self::limits::Limits;
pub(crate) use self::manager::Manager;
use self::manager::{Phase, Unit};
use super::tmux::client::{self, Pane, Tmux, session_name};
use super::{
    InFlight, Patience, Settled, Step, Supervisor, SupervisorError, SupervisorMissing, Target,
    Wait, WaitTogether, tmux, tool,
};
use crate::error;
use crate::home::Home;
use crate::interrupt::Interrupt;
use crate::plan::Verb;
use crate::processes::Process;
use crate::roster::{self, Agent, Roster};

/// The verb that ends what runs first.
const RESTART: &str = "restart";

/// How soon to look again for a job that is at work, at first and at last.
const FIRST_RETRY: Duration = Duration::from_millis(5);
const LAST_RETRY: Duration = Duration::from_millis(200);

/// The agents of one home, as units.
#[derive(Debug)]
pub(crate) struct Units<'r> {
    manager: Manager,
    tmux: Tmux,
    names: &'r roster::Units,
    agents: &'r [Agent],
    holder_session: String,
    patience: Patience,
    /// Whether we have restarted the holder: then every agent has been stopped with it, and
    /// what a unit looks like says nothing about before.
    holder_restarted: AtomicBool,
    /// When the holder that we have restarted was ready for agents, in the manager's microseconds.
    holder_ready: OnceLock<u64>,
    /// What has been asked already.
    limits: Mutex<BTreeMap<String, Limits>>,
}

impl<'r> Units<'r> {
    /// A supervisor for the agents of `roster`.
    ///
    /// # Errors
    ///
    /// When a program is not installed, or no manager answers.
    pub(super) fn open(
        roster: &'r Roster,
        home: &Home,
        patience: Patience,
    ) -> Result<Self, SupervisorMissing> {
        for program in [manager::PROGRAM, client::PROGRAM] {
            if !tool::is_on_the_path(program) {
                let (supervisor, roster) = ("systemd", home.roster());
                return Err(SupervisorMissing::Program { supervisor, program, roster });
            }
        }
        let manager = Manager::of_this_user();
        let said = match manager.answers() {
            Ok(Ok(())) => None,
            Ok(Err(said)) => Some(said),
            Err(problem) => Some(error::chain(&problem)),
        };
        if let Some(said) = said {
            return Err(SupervisorMissing::Manager { said, roster: home.roster() });
        }
        Ok(Self {
            manager,
            tmux: Tmux::new(&roster.tmux, home.root()),
            names: &roster.units,
            agents: &roster.agents,
            holder_session: session_name(&roster.tmux.holder_session),
            patience,
            holder_restarted: AtomicBool::new(false),
            holder_ready: OnceLock::new(),
            limits: Mutex::default(),
        })
    }

    fn unit_name(&self, target: Target<'_>) -> String {
        match target {
            Target::Holder => self.names.holder.clone(),
            Target::Agent(agent) => self.names.agent(&agent.name),
        }
    }

    /// Looks at a target before its step. Refuses one that there is nothing to do about.
    fn before<'a>(&self, target: Target<'a>) -> Result<Before<'a>, SupervisorError> {
        let unit = self.manager.look(&self.unit_name(target))?.loaded()?;
        let pane = match target {
            Target::Agent(agent) if unit.may_have_a_pane() => self.pane(agent)?,
            _ => None,
        };
        Ok(Before { target, unit, pane })
    }

    fn pane(&self, agent: &Agent) -> Result<Option<Pane>, SupervisorError> {
        Ok(self.tmux.panes()?.of(&session_name(&agent.name)).next().cloned())
    }

    fn stop(
        &self,
        before: Before<'_>,
        ticket: BorrowedFd<'_>,
    ) -> Result<Wait<'_>, SupervisorError> {
        before.refuse_if_inside()?;
        let unit = before.unit;
        if matches!(unit.phase, Phase::Inactive | Phase::Failed) && !unit.has_job {
            return Ok(Box::new(|_, _| Ok(Settled::Already)));
        }
        self.manager.order("stop", &[&unit.name], ticket)?;
        let pane = before.pane.filter(|pane| pane.dead.is_none());
        let after_job = self.after_job(Step::Stop, before.target);
        Ok(Box::new(move |until, interrupt| {
            let after = self.await_job(&unit.name, earlier(until, after_job), interrupt)?;
            if !matches!(after.phase, Phase::Inactive | Phase::Failed) {
                return Err(SupervisorError::RunsAgain { unit: after.name });
            }
            if let Some(pane) = pane {
                Self::await_pane_end(&pane, until, interrupt)?;
            }
            Ok(Settled::Stopped { killed: after.result == "timeout" })
        }))
    }

    /// A unit can be stopped and its session go on: then the agent was not stopped.
    fn await_pane_end(
        pane: &Pane,
        until: Instant,
        interrupt: &Interrupt,
    ) -> Result<(), SupervisorError> {
        tmux::watch(pane.pid, until, interrupt)?;
        match Process::find(pane.pid).filter(|process| process.session == pane.pid) {
            Some(process) if !process.is_zombie() => {
                Err(SupervisorError::Outlives { session: pane.session.clone(), pid: pane.pid })
            }
            _ => Ok(()),
        }
    }

    fn start<'a>(
        &'a self,
        before: &Before<'a>,
        ticket: BorrowedFd<'_>,
    ) -> Result<Wait<'a>, SupervisorError> {
        let verb = match (before.runs(), before.target) {
            (true, Target::Agent(_)) => return Ok(Box::new(|_, _| Ok(Settled::Already))),
            (true, Target::Holder) => {
                // A new one would tear the agents down, which nobody asked for.
                return Ok(Box::new(move |_, interrupt| {
                    let now = Instant::now();
                    tmux::await_answer(&self.tmux, &self.holder_session, now, interrupt)?;
                    Ok(Settled::Already)
                }));
            }
            // To the manager it runs, though the agent has ended.
            (false, _) if before.unit.phase == Phase::Active => RESTART,
            (false, _) => "start",
        };
        self.run_anew(verb, before, ticket)
    }

    /// Has the manager start a unit, and waits until what it is for runs.
    fn run_anew<'a>(
        &'a self,
        verb: &str,
        before: &Before<'a>,
        ticket: BorrowedFd<'_>,
    ) -> Result<Wait<'a>, SupervisorError> {
        self.forgive(verb, before)?;
        let is_new_holder = verb == RESTART && matches!(before.target, Target::Holder);
        let old = if is_new_holder && self.tmux.is_ours() { self.tmux.server() } else { None };
        self.manager.order(verb, &[&before.unit.name], ticket)?;
        let ran = before.runs() || self.has_restarted_the_holder();
        if is_new_holder {
            self.holder_restarted.store(true, Ordering::SeqCst);
        }
        let (name, up) = (before.unit.name.clone(), self.await_up(before, ran));
        Ok(Box::new(move |until, interrupt| {
            if let Some(old) = old {
                self.await_new_server(old, &name, until, interrupt)?;
            }
            up(until, interrupt)
        }))
    }

    /// A restart of the holder is one of agents as well, which may have been as frequent lately.
    fn forgive(&self, verb: &str, before: &Before<'_>) -> Result<(), SupervisorError> {
        let agents = match before.target {
            Target::Holder if verb == RESTART => self.agents,
            _ => &[],
        };
        let agents: Vec<_> = agents.iter().map(|agent| self.names.agent(&agent.name)).collect();
        let units = std::iter::once(&before.unit.name).chain(&agents).map(String::as_str);
        self.manager.forgive(&units.collect::<Vec<_>>())
    }

    fn has_restarted_the_holder(&self) -> bool {
        self.holder_restarted.load(Ordering::SeqCst)
    }

    /// Whether the holder's restart has the manager start the agent anyway, at this moment. An
    /// order to restart would end that start halfway, and what the unit has made by then, its
    /// session, would be in the way of the next.
    fn comes_with_the_holder(&self, before: &Before<'_>) -> bool {
        self.has_restarted_the_holder()
            && before.unit.has_job
            && before.unit.phase != Phase::Deactivating
    }

    /// Whether the holder's restart has had the manager start the agent anew, once the holder was
    /// ready. To restart it again would only cost it what it has begun.
    fn has_come_with_the_holder(&self, before: &Before<'_>) -> bool {
        let since = |ready: &u64| before.unit.started.is_some_and(|started| started >= *ready);
        before.runs() && self.holder_ready.get().is_some_and(since)
    }

    /// Waits until what a unit is for runs; `ran` says whether it has before.
    fn await_up<'a>(&'a self, before: &Before<'a>, ran: bool) -> Wait<'a> {
        let (target, name) = (before.target, before.unit.name.clone());
        let after_job = self.after_job(Step::Start, target);
        Box::new(move |until, interrupt| {
            let unit = self.await_job(&name, earlier(until, after_job), interrupt)?;
            if unit.phase != Phase::Active {
                return Err(self.not_up(&unit));
            }
            let pid = match target {
                Target::Holder => {
                    let pid = self.settle_holder(&unit, until, interrupt)?;
                    if let Some(ready) = unit.ready().filter(|_| self.has_restarted_the_holder()) {
                        self.holder_ready.get_or_init(|| ready);
                    }
                    pid
                }
                Target::Agent(agent) => self.settle(&unit, agent, until, interrupt)?,
            };
            Ok(if ran { Settled::Restarted { pid } } else { Settled::Started { pid } })
        })
    }

    /// Waits until the manager has no job for the unit any more.
    fn await_job(
        &self,
        name: &str,
        until: Instant,
        interrupt: &Interrupt,
    ) -> Result<Unit, SupervisorError> {
        let begun = Instant::now();
        let mut retry = FIRST_RETRY;
        loop {
            let unit = self.manager.look(name)?;
            if !unit.is_at_work() {
                return Ok(unit);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(unit.still_at_work(begun.elapsed()));
            }
            tmux::pause(retry.min(left), interrupt)?;
            retry = LAST_RETRY.min(retry * 2);
        }
    }

    /// A unit was to run, and does not.
    fn not_up(&self, unit: &Unit) -> SupervisorError {
        SupervisorError::NotUp {
            unit: unit.name.clone(),
            how: unit.ending(),
            words: log::last_words(&self.manager, unit),
        }
    }

    /// The process `pid` of a unit ran and has ended.
    fn ended_at_once(&self, unit: &Unit, pid: u32) -> SupervisorError {
        let last = unit.last.filter(|last| last.pid == pid);
        SupervisorError::EndedAtOnce {
            status: last.map_or_else(|| unit.ending(), |last| last.to_string()),
            words: log::last_words(&self.manager, unit),
        }
    }
}

impl Supervisor for Units<'_> {
    fn steps(&self, verb: Verb) -> &'static [Step] {
        match verb {
            Verb::Restart => &[Step::Restart],
            Verb::Start => &[Step::Start],
            Verb::Stop => &[Step::Stop],
        }
    }

    fn limit(&self, step: Step, targets: &[Target<'_>]) -> Duration {
        let after = targets.iter().map(|target| self.after_job(step, *target)).max();
        self.jobs_limit(step, targets).saturating_add(after.unwrap_or_default())
    }

    fn in_flight(&self, agents: &[String]) -> Result<Vec<InFlight>, SupervisorError> {
        let units = agents.iter().map(|agent| self.names.agent(agent));
        self.manager.jobs(&units.chain([self.names.holder.clone()]).collect::<Vec<_>>())
    }

    fn cancel(&self, in_flight: &[InFlight]) -> Result<(), SupervisorError> {
        self.manager.cancel(in_flight)
    }

    fn fire<'a>(
        &'a self,
        step: Step,
        target: Target<'a>,
        ticket: BorrowedFd<'_>,
    ) -> Result<Wait<'a>, SupervisorError> {
        let before = self.before(target)?;
        match step {
            Step::Stop => self.stop(before, ticket),
            Step::Start => self.start(&before, ticket),
            Step::Restart => {
                before.refuse_if_inside()?;
                match before.target {
                    Target::Agent(agent) if self.has_come_with_the_holder(&before) => {
                        Ok(self.await_settled(before.unit, agent))
                    }
                    _ if self.comes_with_the_holder(&before) => Ok(self.await_up(&before, true)),
                    _ => self.run_anew(RESTART, &before, ticket),
                }
            }
        }
    }

    fn joins(&self, step: Step) -> bool {
        step == Step::Restart
    }

    fn fire_together<'a>(
        &'a self,
        _step: Step,
        agents: &[&'a Agent],
        ticket: BorrowedFd<'_>,
    ) -> WaitTogether<'a> {
        self.restart_together(agents, ticket)
    }
}

/// So much before an instant.
fn earlier(until: Instant, by: Duration) -> Instant {
    until.checked_sub(by).unwrap_or(until)
}
