//! The turns of several agents in one step, where the supervisor has a way to do that.

use super::{Fence, News, Shift};
use crate::outcome::{Done, Turn};
use crate::roster::Agent;
use crate::standing::{Mark, Who};
use crate::supervisor::{Settled, Step, Supervisor, SupervisorError, Target};

/// How the step of the agent at a place of the plan ended.
type End = (usize, Result<Settled, SupervisorError>);

impl<S: Supervisor + ?Sized, F: Fence> Shift<'_, S, F> {
    /// The step that is all of a turn and better fired for as many at once as we may work on. A
    /// pause between two turns leaves no two to begin at once.
    pub(super) fn common_step(&self) -> Option<Step> {
        let pace = self.work.pace;
        match self.work.supervisor.steps(self.work.plan.verb) {
            [step] if pace.jobs.get() > 1 && pace.stagger.is_zero() => {
                self.work.supervisor.joins(*step).then_some(*step)
            }
            _ => None,
        }
    }

    /// The turns of the agents at `places`, so many at a time as we may work on.
    pub(super) fn together(&self, step: Step, places: &[usize], tell: &mut dyn FnMut(News)) {
        for places in places.chunks(self.work.pace.jobs.get()) {
            if self.must_halt() {
                return;
            }
            self.turns(step, places, tell);
        }
    }

    fn turns(&self, step: Step, places: &[usize], tell: &mut dyn FnMut(News)) {
        let find = |place: &usize| Some((*place, *self.work.plan.agents.get(*place)?));
        let (places, agents): (Vec<usize>, Vec<&Agent>) = places.iter().filter_map(find).unzip();
        places.iter().for_each(|place| tell((*place, None)));
        let everyone: Vec<_> = places.iter().map(|place| Who::Agent(*place)).collect();
        let targets: Vec<_> = agents.iter().map(|agent| Target::Agent(agent)).collect();
        let limit = self.work.supervisor.limit(step, &targets);
        let mut fired = None;
        let label = self.label(&places, self.work.plan.verb.doing());
        let underway = self.begin_wait(&label, limit, &mut || {
            self.work.marks.set(&everyone, Mark::Begun);
            let ticket = self.work.fence.ticket();
            fired = Some(self.work.supervisor.fire_together(step, &agents, ticket));
        });
        match (fired, underway) {
            (Some(wait), Some(underway)) => {
                wait(underway.until, self.work.interrupt, &mut |ends| {
                    let place = |(index, end)| Some((*places.get(index)?, end));
                    self.end(step, ends.into_iter().filter_map(place).collect(), tell);
                });
            }
            _ => places.iter().for_each(|place| tell((*place, Some(Turn::NotReached)))),
        }
    }

    /// Some turns have come to their end.
    fn end(&self, step: Step, ends: Vec<End>, tell: &mut dyn FnMut(News)) {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for (place, end) in &ends {
            match end {
                Ok(_) => done.push(*place),
                Err(SupervisorError::Interrupted) => {}
                Err(_) => failed.push(*place),
            }
        }
        if !self.is_unwatched() {
            self.mark(&done, self.work.plan.verb.done(), Mark::Done);
        }
        self.mark(&failed, "failed", Mark::Failed);
        if self.work.pace.stop_on_failure && !failed.is_empty() {
            self.hold_back();
        }
        for (place, end) in ends {
            let turn = match end {
                Ok(settled) => {
                    let mut done = Done::default();
                    done.add(settled);
                    Turn::Done(done)
                }
                Err(SupervisorError::Interrupted) => Turn::CutShort { asked: Some(step) },
                Err(problem) => Turn::Failed(problem),
            };
            tell((place, Some(turn)));
        }
    }

    fn mark(&self, places: &[usize], word: &str, mark: Mark) {
        if !places.is_empty() {
            let whom: Vec<_> = places.iter().map(|place| Who::Agent(*place)).collect();
            let label = self.label(places, word);
            self.fenced(&label, &mut || self.work.marks.set(&whom, mark));
        }
    }

    /// `3/60 restarting coder-3` for one, `4/60 restarting coder-4 and 7 others` for more.
    fn label(&self, places: &[usize], word: &str) -> String {
        let Some((first, others)) = places.split_first() else { return word.to_owned() };
        let name = self.work.plan.agents.get(*first).map_or("", |agent| agent.name.as_str());
        let place = self.place(*first);
        match others.len() {
            0 => format!("{place} {word} {name}"),
            1 => format!("{place} {word} {name} and another"),
            more => format!("{place} {word} {name} and {more} others"),
        }
    }
}
