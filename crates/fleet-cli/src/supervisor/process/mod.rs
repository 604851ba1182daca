//! The supervisor that needs nothing installed: every agent is a plain process.
//!
//! An agent leads a session of its own, so it survives the `fleet` that started it and
//! everything it starts can be found. Its record is `fleet/run/agents/<name>.json`, its
//! output is appended to `fleet/run/logs/<name>.log`. It counts as the same process only
//! while pid, start time and boot agree.
//!
//! There is no holder: agents live in no common process, so every step for the holder has
//! already been done.

mod launch;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use self::launch::Launched;
use super::instance::{Instance, pids};
use super::words::Words;
use super::{
    Look, LookError, Patience, Settled, Sight, State, Step, Stranger, Supervisor, SupervisorError,
    Survey, Target, View, Wait, instance, look, stop,
};
use crate::home::Home;
use crate::interrupt::{Interrupt, Woken};
use crate::processes;
use crate::roster::Agent;

/// The agents of one home, as processes.
#[derive(Debug)]
pub(crate) struct Processes {
    home: Home,
    patience: Patience,
    /// The agents that this very `fleet` started: its children until it ends, so it has to
    /// reap those that end before.
    children: Mutex<Vec<Child>>,
    /// The runs that we saw the end of. Nobody can join a session, so one that had no member
    /// left has none for ever.
    ended: Mutex<BTreeSet<String>>,
}

impl Processes {
    /// A supervisor for the agents of `home`.
    pub(crate) fn new(home: Home, patience: Patience) -> Self {
        Self { home, patience, children: Mutex::default(), ended: Mutex::default() }
    }

    fn stop(&self, agent: &Agent) -> Result<Wait<'_>, SupervisorError> {
        self.reap();
        let record = self.home.instance(&agent.name);
        let Some(mut instance) = Instance::read(&record)? else {
            return Ok(Box::new(|_, _| Ok(Settled::Already)));
        };
        // A run whose leader lives has a member, and its session is the one of this number; so
        // there is no need to look for members in the whole table.
        let leader = instance.living_leader()?;
        let (is_inside, is_over) = match leader {
            Some(_) => (processes::own_session() == Some(instance.pid), false),
            None => {
                let members = instance.members()?;
                let this = std::process::id();
                (members.iter().any(|process| process.pid == this), members.is_empty())
            }
        };
        if is_inside {
            return Err(SupervisorError::inside_session(&agent.name));
        }
        // Written before the signal: if we die between the two, the agent shows as
        // "stopping" and runs, and the next stop or restart tries again.
        instance.stopping = true;
        instance.write(&record)?;
        if is_over {
            self.has_ended(instance.run);
            return Ok(Box::new(|_, _| Ok(Settled::Already)));
        }
        let asked = stop::ask_first(instance, leader)?;
        Ok(Box::new(move |until, interrupt| {
            let settled = stop::await_end_of_all(&asked, until, interrupt);
            if settled.is_ok() {
                self.has_ended(asked.into_run());
            }
            self.reap();
            settled
        }))
    }

    fn start<'a>(&'a self, agent: &'a Agent) -> Result<Wait<'a>, SupervisorError> {
        self.reap();
        if let Some(instance) = Instance::read(&self.home.instance(&agent.name))?
            && !self.ended().contains(&instance.run)
        {
            let members = instance.members()?;
            match (instance.leader(&members), instance.stopping) {
                (Some(_), false) => return Ok(Box::new(|_, _| Ok(Settled::Already))),
                (Some(_), true) => {
                    let name = agent.name.clone();
                    return Err(SupervisorError::StillEnding { name, pid: instance.pid });
                }
                (None, _) => {}
            }
            if !members.is_empty() {
                let (name, pids) = (agent.name.clone(), pids(&members));
                return Err(SupervisorError::Leftover { name, pids });
            }
        }
        let launched = launch::launch(&self.home, agent)?;
        Ok(Box::new(move |until, interrupt| self.settle(agent, launched, until, interrupt)))
    }

    /// Watches a new agent until it has lived long enough to count as started.
    fn settle(
        &self,
        agent: &Agent,
        launched: Launched,
        until: Instant,
        interrupt: &Interrupt,
    ) -> Result<Settled, SupervisorError> {
        let Launched { mut child, log_start } = launched;
        let pid = child.id();
        // A child of ours keeps its number until we reap it.
        let watch = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok();
        let watched: Vec<_> = watch.iter().map(AsFd::as_fd).collect();
        // Only the time matters: if a signal ends the wait, the agent has been started all
        // the same.
        let left = until.saturating_duration_since(Instant::now());
        let _: Woken = interrupt.wait(&watched, left).map_err(|source| {
            SupervisorError::System { action: "watch the new process", source }
        })?;
        let ended = child
            .try_wait()
            .map_err(|source| SupervisorError::System { action: "wait for a child", source })?;
        if let Some(status) = ended {
            let words = Words::in_log(&self.home.log(&agent.name), log_start);
            return Err(SupervisorError::EndedAtOnce { status: status.to_string(), words });
        }
        self.children.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        Ok(Settled::Started { pid })
    }

    /// What the record of an agent tells.
    fn sight(&self, agent: &Agent) -> Sight {
        let record = Instance::read(&self.home.instance(&agent.name));
        let look = |record: Option<Instance>| match record {
            Some(record) => Ok((record.state()?, record.drift(agent))),
            None => Ok((State::Stopped, Vec::new())),
        };
        let (state, drift) =
            record.and_then(look).unwrap_or_else(|problem| (State::unknown(&problem), Vec::new()));
        let drift = if matches!(state, State::Running { .. }) { drift } else { Vec::new() };
        Sight { state, unit: None, pane: None, drift }
    }

    fn has_ended(&self, run: String) {
        self.ended().insert(run);
    }

    fn ended(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves no zombie behind while we run.
    fn reap(&self) {
        // Most have ended none, and one call tells; so many agents do not take many times many.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if !matches!(waitid(WaitId::All, look), Ok(Some(_))) {
            return;
        }
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

impl Supervisor for Processes {
    fn limit(&self, step: Step, targets: &[Target<'_>]) -> Duration {
        match step {
            _ if targets.iter().all(|target| matches!(target, Target::Holder)) => Duration::ZERO,
            Step::Stop => stop::limit(self.patience.grace),
            Step::Start | Step::Restart => self.patience.settle,
        }
    }

    fn fire<'a>(
        &'a self,
        step: Step,
        target: Target<'a>,
        _ticket: BorrowedFd<'_>,
    ) -> Result<Wait<'a>, SupervisorError> {
        match (target, step) {
            (Target::Holder, _) => Ok(Box::new(|_, _| Ok(Settled::Already))),
            (Target::Agent(agent), Step::Stop) => self.stop(agent),
            (Target::Agent(agent), Step::Start | Step::Restart) => self.start(agent),
        }
    }
}

impl Look for Processes {
    fn states(&self, agents: &[Agent]) -> Vec<State> {
        agents.iter().map(|agent| self.sight(agent).state).collect()
    }

    fn survey(&self, agents: &[Agent]) -> Survey {
        let known: BTreeSet<&str> = agents.iter().map(|agent| agent.name.as_str()).collect();
        let left = |name: &String| {
            let record = Instance::read(&self.home.instance(name)).ok().flatten();
            record.is_some_and(|record| record.members().is_ok_and(|left| !left.is_empty()))
        };
        let names = instance::recorded(&self.home.instances());
        let strangers = names.into_iter().filter(|name| !known.contains(name.as_str()));
        Survey {
            holder: None,
            agents: agents.iter().map(|agent| self.sight(agent)).collect(),
            strangers: strangers
                .filter(left)
                .map(|name| Stranger { name, kind: "process" })
                .collect(),
        }
    }

    fn view(&self, agent: &Agent, lines: u32, follow: bool) -> Result<View, LookError> {
        let path = self.home.log(&agent.name);
        match look::is_readable(&path)? || follow {
            true => Ok(look::tail(&path, lines, follow)),
            false => Err(LookError::NoLog { name: agent.name.clone(), path }),
        }
    }

    fn terminal(&self, agent: &Agent, _read_only: bool) -> Result<Command, LookError> {
        Err(LookError::NoTerminal { name: agent.name.clone() })
    }
}
