//! Carries out a plan under the lock: one fenced step after another, every agent attempted
//! unless its pace says otherwise.
//!
//! Nothing here knows what a step does or how the lock works; both are traits, so the rules
//! (stop at the first lost lock, go on after a failed agent) are tested without either.

pub(crate) mod quiet;
mod together;

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::quiet::{LONGEST, Underway, Waits};
use crate::args::Rollout;
use crate::interrupt::Interrupt;
use crate::outcome::{Done, Ending, Event, Outcome, Place, Report, Turn};
use crate::plan::{HolderTurn, Plan, Verb};
use crate::standing::{Earlier, Mark, Who};
use crate::supervisor::{Settled, Step, Supervisor, SupervisorError, Target};

/// The lock we hold, as far as a restart needs it.
pub(crate) trait Fence: Sync {
    /// Why a step was refused: the lock is lost, or cannot be checked.
    type Error: Send;

    /// Whether it was a signal that ended the wait for the lock's mutex.
    fn is_interruption(error: &Self::Error) -> bool;

    /// Runs `work` under the lock's mutex, if the lock is still ours, and announces that no other
    /// step may follow for `quiet`.
    ///
    /// # Errors
    ///
    /// When it is not; then `work` did not run.
    fn step(&self, label: &str, quiet: Duration, work: &mut dyn FnMut())
    -> Result<(), Self::Error>;

    /// The lock's descriptor.
    fn ticket(&self) -> BorrowedFd<'_>;
}

/// Writes down how far everyone has come. Called inside fenced steps only.
pub(crate) trait Marks: Sync {
    /// All of `whom` have come so far.
    fn set(&self, whom: &[Who], mark: Mark);
}

/// How fast to go on, and when not to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How many agents at a time.
    pub(crate) jobs: NonZeroUsize,
    /// How many agents must come through before the others have their turns.
    pub(crate) canary: usize,
    /// How long to wait between the beginnings of two turns.
    pub(crate) stagger: Duration,
    /// Whether the first failure is the last turn.
    pub(crate) stop_on_failure: bool,
}

impl Pace {
    /// As the command line has it.
    pub(crate) fn new(jobs: NonZeroUsize, rollout: Rollout) -> Self {
        Self {
            jobs,
            canary: rollout.canary.map_or(0, NonZeroUsize::get),
            stagger: rollout.stagger.unwrap_or_default(),
            stop_on_failure: rollout.stop_on_failure,
        }
    }
}

/// Everything that a restart works with.
pub(crate) struct Work<'a, S: ?Sized, F: Fence> {
    /// What to do.
    pub(crate) plan: &'a Plan<'a>,
    /// How it is done.
    pub(crate) supervisor: &'a S,
    /// What allows us to.
    pub(crate) fence: &'a F,
    /// What stops us early.
    pub(crate) interrupt: &'a Interrupt,
    /// How fast.
    pub(crate) pace: Pace,
    /// Where it is written down how far we are.
    pub(crate) marks: &'a dyn Marks,
    /// What another has done of the plan, if we go on where it stopped. Then the holder is
    /// done as well.
    pub(crate) earlier: Option<&'a Earlier>,
}

impl<S: Supervisor + ?Sized, F: Fence> Work<'_, S, F> {
    /// Does it, telling `observe` about each turn.
    pub(crate) fn run(&self, observe: &mut dyn FnMut(Event<'_>)) -> Outcome<F::Error> {
        let shift = Shift {
            work: self,
            halt: Mutex::new(None),
            held_back: AtomicBool::new(false),
            next_turn: Mutex::new(None),
            waits: Waits::default(),
        };
        let mut holder = None;
        if self.plan.holder == HolderTurn::First {
            holder = Some(match self.earlier {
                Some(_) => Turn::Earlier,
                None => shift.holder_turn(),
            });
        }
        // Agents that are started against a dead holder fail, one after the other.
        let in_vain = matches!(&holder, Some(Turn::Failed(_) | Turn::NotReached));
        let agents = if in_vain { shift.no_agents() } else { shift.agents(observe) };
        if self.plan.holder == HolderTurn::Last {
            holder = Some(shift.holder_turn());
        }
        let ending = shift.ending();
        Outcome { verb: self.plan.verb, holder, agents, ending, unreleased: None }
    }
}

/// One run of a plan: what the workers share.
struct Shift<'a, S: ?Sized, F: Fence> {
    work: &'a Work<'a, S, F>,
    halt: Mutex<Option<F::Error>>,
    /// A turn failed, and the others are not to have theirs.
    held_back: AtomicBool,
    /// When the next turn may begin.
    next_turn: Mutex<Option<Instant>>,
    waits: Waits,
}

/// A worker's news of the agent at a place: its turn begins, or has ended so.
type News = (usize, Option<Turn>);

impl<S: Supervisor + ?Sized, F: Fence> Shift<'_, S, F> {
    fn agents(&self, observe: &mut dyn FnMut(Event<'_>)) -> Vec<Report> {
        let mut reports = self.no_agents();
        let places = reports.iter().enumerate();
        let left: Vec<_> = places
            .filter(|(_, report)| !matches!(report.turn, Turn::Earlier))
            .map(|(place, _)| place)
            .collect();
        let (first, rest) = left.split_at(self.work.pace.canary.min(left.len()));
        self.batch(first, &mut reports, observe);
        if reports.iter().any(|report| matches!(report.turn, Turn::Failed(_))) {
            self.held_back.fetch_or(!rest.is_empty(), Ordering::SeqCst);
        }
        self.batch(rest, &mut reports, observe);
        reports
    }

    /// The turns of the agents at `places`, some at a time.
    fn batch(&self, places: &[usize], reports: &mut [Report], observe: &mut dyn FnMut(Event<'_>)) {
        let mut tell = |(index, turn): News| {
            let Some(report) = reports.get_mut(index) else { return };
            let place = self.place(index);
            match turn {
                None => observe(Event::Began { place, agent: &report.agent }),
                Some(turn) => {
                    report.turn = turn;
                    observe(Event::Ended { place, report });
                }
            }
        };
        if let Some(step) = self.common_step() {
            return self.together(step, places, &mut tell);
        }
        let (events, received) = channel();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.work.pace.jobs.get().min(places.len()) {
                let (events, next) = (events.clone(), &next);
                scope.spawn(move || self.worker(places, next, &events));
            }
            drop(events);
            received.into_iter().for_each(tell);
        });
    }

    fn no_agents(&self) -> Vec<Report> {
        let is_done = |place| self.work.earlier.is_some_and(|by| by.done.contains(&place));
        let agents = self.work.plan.agents.iter().enumerate();
        let turn = |place| if is_done(place) { Turn::Earlier } else { Turn::NotReached };
        agents
            .map(|(place, agent)| Report { agent: agent.name.clone(), turn: turn(place) })
            .collect()
    }

    /// Takes one agent after the other until none is left or we have to halt.
    fn worker(&self, places: &[usize], next: &AtomicUsize, events: &Sender<News>) {
        while !self.must_halt() {
            let Some(index) = places.get(next.fetch_add(1, Ordering::SeqCst)) else { return };
            let Some(agent) = self.work.plan.agents.get(*index) else { return };
            let place = self.place(*index);
            self.await_turn(place, &agent.name);
            if self.must_halt() {
                return;
            }
            // The receiver lives as long as the scope we run in.
            let _ = events.send((*index, None));
            let names = Names { place: Some(place), name: &agent.name };
            let turn = self.turn(Who::Agent(*index), Target::Agent(agent), names);
            if self.work.pace.stop_on_failure && matches!(turn, Turn::Failed(_)) {
                self.hold_back();
            }
            let _ = events.send((*index, Some(turn)));
        }
    }

    /// Waits until the next turn may begin. The pause is announced as any wait is.
    fn await_turn(&self, place: Place, agent: &str) {
        if self.work.pace.stagger.is_zero() {
            return;
        }
        let now = Instant::now();
        let mut next_turn = self.next_turn.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next_turn.map_or(now, |turn| turn.max(now));
        *next_turn = turn.checked_add(self.work.pace.stagger);
        drop(next_turn);
        let label = format!("{place} waiting to go on with {agent}");
        loop {
            let left = turn.saturating_duration_since(Instant::now());
            if left.is_zero() || self.must_halt() {
                return;
            }
            // A pause that is too long to be announced is made in parts.
            if let Some(pause) = self.begin_wait(&label, left, &mut || {}) {
                let left = pause.until.saturating_duration_since(Instant::now());
                // What ends the pause is looked at when it is over.
                let _ = self.work.interrupt.wait(&[], left);
            }
        }
    }

    fn holder_turn(&self) -> Turn {
        if self.must_halt() {
            return Turn::NotReached;
        }
        self.turn(Who::Holder, Target::Holder, Names { place: None, name: "the holder" })
    }

    /// All steps for one target.
    fn turn(&self, who: Who, target: Target<'_>, names: Names<'_>) -> Turn {
        let verb = self.work.plan.verb;
        let mut done = Done::default();
        for step in self.work.supervisor.steps(verb) {
            if self.must_halt() {
                return done.cut_short();
            }
            let label = names.after(verb.doing());
            let Some(ended) = self.carry_out(&label, who, *step, target) else {
                return done.cut_short();
            };
            match ended {
                Ok(settled) => done.add(settled),
                Err(SupervisorError::Interrupted) => {
                    return Turn::CutShort { asked: Some(*step) };
                }
                Err(error) => {
                    let label = names.after("failed");
                    self.fenced(&label, &mut || self.work.marks.set(&[who], Mark::Failed));
                    return Turn::Failed(error);
                }
            }
        }
        if !self.is_unwatched() {
            let label = names.after(verb.done());
            self.fenced(&label, &mut || self.work.marks.set(&[who], Mark::Done));
        }
        Turn::Done(done)
    }

    /// Whether a signal has ended the watch over who was started. It was up when we looked; but
    /// whoever goes on for us shall not count on that.
    fn is_unwatched(&self) -> bool {
        self.work.plan.verb != Verb::Stop && self.work.interrupt.signal().is_some()
    }

    /// Fires a step and waits for its end; `None` if the fence did not let us.
    fn carry_out(
        &self,
        label: &str,
        who: Who,
        step: Step,
        target: Target<'_>,
    ) -> Option<Result<Settled, SupervisorError>> {
        let limit = self.work.supervisor.limit(step, &[target]);
        let mut fired = None;
        let underway = self.begin_wait(label, limit, &mut || {
            self.work.marks.set(&[who], Mark::Begun);
            let ticket = self.work.fence.ticket();
            fired = Some(self.work.supervisor.fire(step, target, ticket));
        })?;
        Some(fired?.and_then(|wait| wait(underway.until, self.work.interrupt)))
    }

    /// A fenced step that begins a wait of at most `limit`, once `work` is done. `None` if it is
    /// refused.
    fn begin_wait(
        &self,
        label: &str,
        limit: Duration,
        work: &mut dyn FnMut(),
    ) -> Option<Underway<'_>> {
        let limit = limit.min(LONGEST);
        let mut underway = None;
        // What was fired before a refusal still has to be waited for.
        self.step(label, limit, &mut || {
            work();
            underway = Some(self.waits.begin(limit));
        });
        underway
    }

    /// A fenced step that no wait follows.
    fn fenced(&self, label: &str, work: &mut dyn FnMut()) {
        self.step(label, Duration::ZERO, work);
    }

    /// A fenced step. If it is refused, no further turn begins; a signal sees to that itself.
    fn step(&self, label: &str, limit: Duration, work: &mut dyn FnMut()) {
        let _turn = self.waits.turn();
        let quiet = self.waits.quiet(limit);
        if let Err(refused) = self.work.fence.step(label, quiet, work)
            && !F::is_interruption(&refused)
        {
            let mut halt = self.halt.lock().unwrap_or_else(PoisonError::into_inner);
            halt.get_or_insert(refused);
        }
    }

    fn hold_back(&self) {
        self.held_back.store(true, Ordering::SeqCst);
    }

    fn must_halt(&self) -> bool {
        let halt = self.halt.lock().unwrap_or_else(PoisonError::into_inner);
        halt.is_some()
            || self.held_back.load(Ordering::SeqCst)
            || self.work.interrupt.signal().is_some()
    }

    fn ending(self) -> Ending<F::Error> {
        let halt = self.halt.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (halt, self.work.interrupt.signal()) {
            (Some(refused), _) => Ending::Refused(refused),
            (None, Some(signal)) => Ending::Interrupted(signal),
            (None, None) if self.held_back.into_inner() => Ending::HeldBack,
            (None, None) => Ending::Complete,
        }
    }

    fn place(&self, index: usize) -> Place {
        Place { number: index + 1, of: self.work.plan.agents.len() }
    }
}

/// What a turn is called in the lock.
#[derive(Clone, Copy)]
struct Names<'a> {
    place: Option<Place>,
    name: &'a str,
}

impl Names<'_> {
    /// `3/60 restarting coder-3`.
    fn after(self, verb: &str) -> String {
        let name = self.name;
        match self.place {
            Some(place) => format!("{place} {verb} {name}"),
            None => format!("{verb} {name}"),
        }
    }
}

#[cfg(test)]
mod tests;
