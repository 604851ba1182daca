//! Carries out a plan under the lock: one fenced step after another, every agent attempted.
//!
//! Nothing here knows what a step does or how the lock works; both are traits, so the rules
//! (stop at the first lost lock, go on after a failed agent) are tested without either.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};

use crate::interrupt::Interrupt;
use crate::outcome::{Done, Ending, Event, Outcome, Place, Report, Turn};
use crate::plan::{HolderTurn, Plan};
use crate::supervisor::{Step, Supervisor, SupervisorError, Target, Wait};

/// The lock we hold, as far as a restart needs it.
pub(crate) trait Fence: Sync {
    /// Why a step was refused: the lock is lost, or cannot be checked.
    type Error: Send;

    /// Runs `work` under the lock's mutex, if the lock is still ours.
    ///
    /// # Errors
    ///
    /// When it is not; then `work` did not run.
    fn step(&self, label: &str, work: &mut dyn FnMut()) -> Result<(), Self::Error>;

    /// The lock's descriptor.
    fn ticket(&self) -> BorrowedFd<'_>;
}

/// Everything that a restart works with.
#[derive(Debug)]
pub(crate) struct Work<'a, S, F: Fence> {
    /// What to do.
    pub(crate) plan: &'a Plan<'a>,
    /// How it is done.
    pub(crate) supervisor: &'a S,
    /// What allows us to.
    pub(crate) fence: &'a F,
    /// What stops us early.
    pub(crate) interrupt: &'a Interrupt,
    /// How many agents at a time.
    pub(crate) jobs: NonZeroUsize,
}

impl<S: Supervisor, F: Fence> Work<'_, S, F> {
    /// Does it, telling `observe` about each turn.
    pub(crate) fn run(&self, observe: &mut dyn FnMut(Event<'_>)) -> Outcome<F::Error> {
        let shift = Shift { work: self, next: AtomicUsize::new(0), halt: Mutex::new(None) };
        let mut holder = None;
        if self.plan.holder == HolderTurn::First {
            holder = Some(shift.holder_turn());
        }
        // Agents that are started against a dead holder fail, one after the other.
        let in_vain = matches!(&holder, Some(Turn::Failed(_) | Turn::NotReached));
        let agents = if in_vain { shift.no_agents() } else { shift.agents(observe) };
        if self.plan.holder == HolderTurn::Last {
            holder = Some(shift.holder_turn());
        }
        Outcome { verb: self.plan.verb, holder, agents, ending: shift.ending() }
    }
}

/// One run of a plan: what the workers share.
struct Shift<'a, S, F: Fence> {
    work: &'a Work<'a, S, F>,
    next: AtomicUsize,
    halt: Mutex<Option<F::Error>>,
}

impl<S: Supervisor, F: Fence> Shift<'_, S, F> {
    fn agents(&self, observe: &mut dyn FnMut(Event<'_>)) -> Vec<Report> {
        let mut reports = self.no_agents();
        let (events, received) = channel();
        std::thread::scope(|scope| {
            for _ in 0..self.work.jobs.get().min(reports.len()) {
                let events = events.clone();
                scope.spawn(move || self.worker(&events));
            }
            drop(events);
            for (index, turn) in received {
                let Some(report) = reports.get_mut(index) else { continue };
                let place = self.place(index);
                match turn {
                    None => observe(Event::Began { place, agent: &report.agent }),
                    Some(turn) => {
                        report.turn = turn;
                        observe(Event::Ended { place, report });
                    }
                }
            }
        });
        reports
    }

    fn no_agents(&self) -> Vec<Report> {
        let agents = self.work.plan.agents.iter();
        let report = |name: &String| Report { agent: name.clone(), turn: Turn::NotReached };
        agents.map(|agent| report(&agent.name)).collect()
    }

    /// Takes one agent after the other until none is left or we have to halt.
    fn worker(&self, events: &Sender<(usize, Option<Turn>)>) {
        while !self.must_halt() {
            let index = self.next.fetch_add(1, Ordering::SeqCst);
            let Some(agent) = self.work.plan.agents.get(index) else { return };
            // The receiver lives as long as the scope we run in.
            let _ = events.send((index, None));
            let place = self.place(index);
            let label = format!("{place} {} {}", self.work.plan.verb.doing(), agent.name);
            let turn = self.turn(Target::Agent(agent), &label);
            let _ = events.send((index, Some(turn)));
        }
    }

    fn holder_turn(&self) -> Turn {
        if self.must_halt() {
            return Turn::NotReached;
        }
        let label = format!("{} the holder", self.work.plan.verb.doing());
        self.turn(Target::Holder, &label)
    }

    /// All steps for one target.
    fn turn(&self, target: Target<'_>, label: &str) -> Turn {
        let mut done = Done::default();
        for step in self.work.supervisor.steps(self.work.plan.verb) {
            if self.must_halt() {
                return done.cut_short();
            }
            let Some(fired) = self.fire(label, *step, target) else { return done.cut_short() };
            match fired.and_then(|wait| wait(self.work.interrupt)) {
                Ok(settled) => done.add(settled),
                Err(SupervisorError::Interrupted) => return Turn::CutShort { asked: true },
                Err(error) => return Turn::Failed(error),
            }
        }
        Turn::Done(done)
    }

    /// Fires a step; `None` if the fence did not let us.
    fn fire<'t>(
        &'t self,
        label: &str,
        step: Step,
        target: Target<'t>,
    ) -> Option<Result<Wait<'t>, SupervisorError>> {
        let mut fired = None;
        let mut work = || {
            let ticket = self.work.fence.ticket();
            fired = Some(self.work.supervisor.fire(step, target, ticket));
        };
        if let Err(refused) = self.work.fence.step(label, &mut work) {
            let mut halt = self.halt.lock().unwrap_or_else(PoisonError::into_inner);
            halt.get_or_insert(refused);
            // What was fired before the refusal still has to be waited for.
        }
        fired
    }

    fn must_halt(&self) -> bool {
        let halt = self.halt.lock().unwrap_or_else(PoisonError::into_inner);
        halt.is_some() || self.work.interrupt.signal().is_some()
    }

    fn ending(self) -> Ending<F::Error> {
        let halt = self.halt.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (halt, self.work.interrupt.signal()) {
            (Some(refused), _) => Ending::Refused(refused),
            (None, Some(signal)) => Ending::Interrupted(signal),
            (None, None) => Ending::Complete,
        }
    }

    fn place(&self, index: usize) -> Place {
        Place { number: index + 1, of: self.work.plan.agents.len() }
    }
}

#[cfg(test)]
mod tests;
