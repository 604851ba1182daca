//! Several units restarted in one step: one order for all of them, and one look at a time for
//! all that are not done yet. It costs the manager little more than one unit does.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::manager::{Phase, Unit};
use super::{Before, FIRST_RETRY, LAST_RETRY, RESTART, Units, earlier, look};
use crate::interrupt::{Interrupt, Woken};
use crate::processes::Process;
use crate::roster::Agent;
use crate::supervisor::tmux::client::{Pane, Panes, session_name};
use crate::supervisor::{
    Ended, Settled, Step, Supervisor, SupervisorError, Target, WaitTogether, tmux,
};

/// What part of the time that it has taken so far passes until the next look. So a look comes
/// late by at most that much, and the manager is not asked all the time.
const PART: u32 = 8;

/// How the step of the agent at a place ended.
type End = (usize, Result<Settled, SupervisorError>);

/// A unit whose restart is under way.
struct Pending<'a> {
    place: usize,
    agent: &'a Agent,
    name: String,
    /// What it looked like last while the manager was at work on it; when the step was fired, it
    /// had a job if that was ordered.
    seen: Unit,
    /// Whether what it is for ran before.
    ran: bool,
    up: Option<Up>,
}

/// A unit that is up, as it was found.
struct Up {
    unit: Unit,
    /// Where its agent is, if it runs no process itself.
    pane: Option<Pane>,
    /// Until then its agent must live.
    until: Instant,
}

impl Up {
    fn pid(&self) -> Option<u32> {
        self.unit.main_pid.or(self.pane.as_ref().map(|pane| pane.pid))
    }
}

impl Units<'_> {
    /// Fires the restart of `agents`; one by one if they cannot even be looked at together, for
    /// each to have its own problem.
    pub(super) fn restart_together<'a>(
        &'a self,
        agents: &[&'a Agent],
        ticket: BorrowedFd<'_>,
    ) -> WaitTogether<'a> {
        let Some((pending, refused)) = self.order_together(agents, ticket) else {
            return self.fire_each(Step::Restart, agents, ticket);
        };
        Box::new(move |until, interrupt, ended| {
            if !refused.is_empty() {
                ended(refused);
            }
            self.await_all(pending, until, interrupt, ended);
        })
    }

    /// Orders the restart of `agents`. Returns those that it is under way for, and why it is not
    /// for the others; nothing if nothing has been ordered.
    fn order_together<'a>(
        &self,
        agents: &[&'a Agent],
        ticket: BorrowedFd<'_>,
    ) -> Option<(Vec<Pending<'a>>, Vec<End>)> {
        let names: Vec<_> = agents.iter().map(|agent| self.names.agent(&agent.name)).collect();
        let units = self.show_all(names.iter().map(String::as_str))?;
        let panes = match units.iter().any(Unit::may_have_a_pane) {
            true => self.tmux.panes().ok()?,
            false => Panes::default(),
        };
        let (mut pending, mut refused, mut orders) = (Vec::new(), Vec::new(), Vec::new());
        let agents = agents.iter().zip(units).zip(names).enumerate();
        for (place, ((agent, unit), name)) in agents {
            let target = Target::Agent(agent);
            let pane = match unit.may_have_a_pane() {
                true => panes.of(&session_name(&agent.name)).next().cloned(),
                false => None,
            };
            let before = unit.loaded().map(|unit| Before { target, unit, pane });
            match before.and_then(|before| before.refuse_if_inside().map(|()| before)) {
                Ok(before) => {
                    let comes = self.comes_with_the_holder(&before)
                        || self.has_come_with_the_holder(&before);
                    let ran = comes || before.runs() || self.has_restarted_the_holder();
                    let mut seen = before.unit;
                    if !comes {
                        orders.push(name.clone());
                        seen.has_job = true;
                    }
                    pending.push(Pending { place, agent, name, seen, ran, up: None });
                }
                Err(problem) => refused.push((place, Err(problem))),
            }
        }
        let mut refusals = self.order_all(&orders, ticket).ok()?;
        pending.retain(|one| match refusals.iter().position(|(name, _)| *name == one.name) {
            Some(index) => {
                refused.push((one.place, Err(refusals.swap_remove(index).1)));
                false
            }
            None => true,
        });
        Some((pending, refused))
    }

    /// Orders the restart of units. If the manager refuses for one, it is asked for each alone,
    /// to learn for which; to restart a unit that is being restarted is no more work.
    fn order_all(
        &self,
        names: &[String],
        ticket: BorrowedFd<'_>,
    ) -> Result<Vec<(String, SupervisorError)>, SupervisorError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<_> = names.iter().map(String::as_str).collect();
        self.manager.forgive(&all)?;
        match self.manager.order(RESTART, &all, ticket) {
            Ok(()) => return Ok(Vec::new()),
            // So it would for each, and all the while others wait for the mutex.
            Err(SupervisorError::ToolHangs { command, waited }) => {
                let hangs = || SupervisorError::ToolHangs { command: command.clone(), waited };
                return Ok(names.iter().map(|name| (name.clone(), hangs())).collect());
            }
            Err(_) => {}
        }
        let refusal = |name: &String| {
            let ordered = self.manager.order(RESTART, &[name], ticket);
            ordered.err().map(|problem| (name.clone(), problem))
        };
        Ok(names.iter().filter_map(refusal).collect())
    }

    /// Looks until all are up and have lived long enough, or are not going to; those that the
    /// manager is still at work on when only the time to settle is left are given up. After a signal
    /// there is one look more: what is up has been restarted all the same.
    fn await_all(
        &self,
        mut pending: Vec<Pending<'_>>,
        until: Instant,
        interrupt: &Interrupt,
        ended: &mut Ended<'_>,
    ) {
        let begun = Instant::now();
        let jobs_until = earlier(until, self.patience.settle);
        let mut woken = Woken::Ready;
        // A look right after the order would only show that there is a job, and those without an
        // order were looked at just now.
        let seen = pending.iter().map(|one| one.seen.clone()).collect();
        let mut look = Some((begun, seen));
        loop {
            let judged = look.and_then(|(looked, units)| self.judge(&mut pending, units, looked));
            let mut done = judged.unwrap_or_else(|| self.await_each(&pending, until, interrupt));
            if Instant::now() >= jobs_until {
                done.extend(given_up(&pending, &done, begun.elapsed()));
            }
            pending.retain(|one| done.iter().all(|(place, _)| *place != one.place));
            if !done.is_empty() {
                ended(done);
            }
            if pending.is_empty() {
                return;
            }
            if woken == Woken::Interrupted {
                let cut = |one: &Pending<'_>| (one.place, Err(SupervisorError::Interrupted));
                return ended(pending.iter().map(cut).collect());
            }
            woken = self.rest(&pending, begun, jobs_until, interrupt);
            if woken == Woken::Interrupted {
                let now = Instant::now();
                pending.iter_mut().filter_map(|one| one.up.as_mut()).for_each(|up| up.until = now);
            }
            look = self.look_at_all(&mut pending);
        }
    }

    /// One look at all of them, and its time; nothing if there is no such look to be had.
    fn look_at_all(&self, pending: &mut [Pending<'_>]) -> Option<(Instant, Vec<Unit>)> {
        let looked = Instant::now();
        // Seen to have ended before the manager is asked, so that it has heard of it.
        for up in pending.iter_mut().filter_map(|one| one.up.as_mut()).filter(|up| has_ended(up)) {
            up.until = looked;
        }
        Some((looked, self.show_all(pending.iter().map(|one| one.name.as_str()))?))
    }

    /// Those whose step, as a look shows, has come to its end; nothing if tmux cannot be asked.
    fn judge(
        &self,
        pending: &mut [Pending<'_>],
        units: Vec<Unit>,
        looked: Instant,
    ) -> Option<Vec<End>> {
        let is_up = |unit: &Unit| !unit.is_at_work() && unit.phase == Phase::Active;
        // Only then is there something to be found in them.
        let panes = match units.iter().any(is_up) {
            true => self.tmux.panes().ok()?,
            false => Panes::default(),
        };
        let ends = pending.iter_mut().zip(units).map(|(one, unit)| {
            Some((one.place, self.look_at(one, unit, &panes, looked).transpose()?))
        });
        Some(ends.flatten().collect())
    }

    /// What a look tells about one of them; nothing as long as it is under way.
    fn look_at(
        &self,
        one: &mut Pending<'_>,
        unit: Unit,
        panes: &Panes,
        looked: Instant,
    ) -> Result<Option<Settled>, SupervisorError> {
        let pane = || panes.of(&session_name(&one.agent.name)).next().cloned();
        if one.up.is_none() {
            if unit.is_at_work() {
                one.seen = unit;
                return Ok(None);
            }
            if unit.phase != Phase::Active {
                return Err(self.not_up(&unit));
            }
            let pane = if unit.main_pid.is_none() { pane() } else { None };
            // It was up when we looked, and that is enough for who has no patience.
            one.up = Some(Up { unit: unit.clone(), pane, until: looked + self.patience.settle });
        }
        let Some(up) = one.up.as_ref().filter(|up| up.until <= looked) else {
            return Ok(None);
        };
        let pid = match (up.unit.main_pid, &up.pane) {
            (Some(pid), _) if unit.main_pid == Some(pid) && unit.phase == Phase::Active => {
                pane().and_then(|pane| look::of_unit(&unit, &pane)).unwrap_or(pid)
            }
            (Some(pid), _) => return Err(self.ended_at_once(&unit, pid)),
            (None, Some(pane)) => self.in_its_pane(&unit, pane, panes)?,
            (None, None) => return Err(nothing_runs(&unit, one.agent)),
        };
        Ok(Some(if one.ran { Settled::Restarted { pid } } else { Settled::Started { pid } }))
    }

    /// The process of a pane that was there before.
    fn in_its_pane(&self, unit: &Unit, pane: &Pane, panes: &Panes) -> Result<u32, SupervisorError> {
        let is_alive = Process::find(pane.pid).is_some_and(|process| !process.is_zombie());
        let after = if is_alive { None } else { Some(self.tmux.after(pane.pid)?) };
        let panes = after.as_ref().unwrap_or(panes);
        match panes.panes.iter().find(|now| now.id == pane.id) {
            Some(Pane { dead: None, .. }) => Ok(pane.pid),
            Some(pane) => Err(tmux::ended_at_once(&self.tmux, pane)),
            None => Err(SupervisorError::NothingRuns {
                unit: unit.name.clone(),
                sub: unit.sub.clone(),
                session: pane.session.clone(),
            }),
        }
    }

    /// Waits until there may be something new to see.
    fn rest(
        &self,
        pending: &[Pending<'_>],
        begun: Instant,
        jobs_until: Instant,
        interrupt: &Interrupt,
    ) -> Woken {
        let ups: Vec<&Up> = pending.iter().filter_map(|one| one.up.as_ref()).collect();
        let watch = |up: &&Up| Process::find(up.pid()?)?.watch();
        let watches: Vec<OwnedFd> = ups.iter().filter_map(watch).collect();
        let watched: Vec<_> = watches.iter().map(AsFd::as_fd).collect();
        let mut pause = (begun.elapsed() / PART).clamp(FIRST_RETRY, LAST_RETRY);
        let now = Instant::now();
        let settled = ups.iter().map(|up| up.until.saturating_duration_since(now));
        // With nothing else to look for, the next moment of interest is known.
        if ups.len() == pending.len() {
            pause = settled.max().unwrap_or(pause);
        } else {
            pause = pause.min(jobs_until.saturating_duration_since(now));
        }
        // Without a wait we would only look more often.
        interrupt.wait(&watched, pause.max(Duration::from_millis(1))).unwrap_or(Woken::TimedOut)
    }

    /// As many as asked for, or nothing.
    fn show_all<'n>(&self, names: impl Iterator<Item = &'n str>) -> Option<Vec<Unit>> {
        let names: Vec<_> = names.collect();
        self.manager.show(&names).ok().filter(|units| units.len() == names.len())
    }

    /// They cannot be looked at together: so one by one, for each to have its own problem.
    fn await_each(
        &self,
        pending: &[Pending<'_>],
        until: Instant,
        interrupt: &Interrupt,
    ) -> Vec<End> {
        let end = |one: &Pending<'_>| {
            let unit = Unit { name: one.name.clone(), ..Unit::default() };
            let before = Before { target: Target::Agent(one.agent), unit, pane: None };
            (one.place, self.await_up(&before, one.ran)(until, interrupt))
        };
        pending.iter().map(end).collect()
    }
}

/// Those that are not up, and for which no more time is left.
fn given_up(pending: &[Pending<'_>], done: &[End], waited: Duration) -> Vec<End> {
    let is_done = |place| done.iter().any(|(other, _)| *other == place);
    let left = pending.iter().filter(|one| one.up.is_none() && !is_done(one.place));
    left.map(|one| (one.place, Err(one.seen.still_at_work(waited)))).collect()
}

fn has_ended(up: &Up) -> bool {
    let process = up.pid().and_then(Process::find);
    process.is_none_or(|process| process.is_zombie())
}

fn nothing_runs(unit: &Unit, agent: &Agent) -> SupervisorError {
    SupervisorError::NothingRuns {
        unit: unit.name.clone(),
        sub: unit.sub.clone(),
        session: session_name(&agent.name),
    }
}
