//! The model world: files, processes, clocks, and what has been seen to go wrong.

mod actor;
mod canon;
mod cause;
mod clock;
mod death;
mod directory;
mod fault;
mod files;
mod hand;
mod holders;
mod kernel;
mod ledger;
mod line;
mod merge;
mod process;
mod step;
mod text;
mod told;
mod work;

use lock_core::effect::{Effect, Event, Name, Wake};
use lock_core::time::Now;

pub use actor::{Actor, Deed, Fate, Note, Ours, Plan};
pub use clock::Clock;
pub use fault::Refusal;
pub use files::{Files, Ino, Inode, Maker, Notice, Outcome, Pid, file_id};
pub use hand::Hand;
pub use kernel::{Abilities, Call, Flock};
pub use process::{
    Facts, Fd, Life, Process, Reign, SLOTS, Shared, Sight, Stand, Stirred, Those, Truth, Watch,
    Work,
};
pub use text::Text;

use crate::property::Property;
use crate::scope::{Budgets, Member, ROUNDS, TICK, Universe, clocks};
use crate::zoo::{Around, Peer};

/// A state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The directory.
    pub files: Files,
    /// Who takes part.
    pub processes: Vec<Shared>,
    /// The clocks.
    pub clock: Clock,
    /// What may still happen.
    pub budgets: Budgets,
    /// The largest generation that anyone has owned with.
    pub generation: u64,
    /// The largest generation that has taken a step.
    pub stepped: u64,
    /// A promise that the last step broke.
    pub foul: Option<Property>,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A process makes its next call.
    Step(Pid),
    /// The same, but the system refuses.
    Fault(Pid, Refusal),
    /// An owner does something of its own will.
    Deed(Pid, Deed),
    /// A process is killed: its files begin to be closed.
    Crash(Pid),
    /// The same, and what it has started lives on with the ticket that it has inherited.
    Orphan(Pid),
    /// An owner ends its step, and a tool that it has started there runs on with its ticket.
    Outlive(Pid),
    /// What a process had started ends.
    WorkEnds(Pid),
    /// The kernel drops the locks of a killed process.
    Unlock(Pid),
    /// A short nap ends by itself. Exploring leaves that out, unless the scope is restless:
    /// without a change it leads back to where it began, or to a longer nap.
    Wake(Pid),
    /// The short naps of one that waits for the lock end one after the other, until it sleeps for
    /// long. Nothing comes between them: what could is a step of its own before the first.
    Doze(Pid),
    /// A sleeper is cancelled.
    Cancel(Pid),
    /// One that has ended tries again.
    Return(Pid),
    /// A tick of the clocks.
    Tick,
    /// The machine is suspended for long.
    Suspend,
    /// A wall clock is set forward, or back: someone's, or the file system's.
    SetWall(Option<Pid>, bool),
    /// Somebody does something to the files by hand.
    Hand(Hand),
}

impl World {
    /// The states to start from.
    #[must_use]
    pub fn starts(universe: &Universe) -> Vec<Self> {
        let leftovers = universe.scope.leftovers.iter();
        let starts = leftovers.map(|leftover| Self::start(universe, leftover.files()));
        starts.map(|world| world.settled(universe)).collect()
    }

    fn settled(mut self, universe: &Universe) -> Self {
        for pid in 0..universe.scope.settled {
            while self.call(universe, pid).is_some() && !self.is_asleep(universe, pid) {
                match self.once(universe, Action::Step(pid)) {
                    Some(world) => self = world,
                    None => break,
                }
            }
            if self.dozes(universe, pid) {
                self = self.once(universe, Action::Doze(pid)).unwrap_or(self);
            }
        }
        self
    }

    fn start(universe: &Universe, files: Files) -> Self {
        let clock = Clock::default();
        let crew = 0..Pid::try_from(universe.scope.crew.len()).unwrap_or(Pid::MAX);
        // The generation file, where there is one, says 5.
        let used = files.lookup(Name::Generation, 0).is_some();
        Self {
            files,
            processes: crew
                .filter_map(|pid| {
                    let wall = universe.skew(pid);
                    let offset = universe.offset(pid);
                    let actor = begin(universe, clocks(clock, wall, offset), pid, 0)?;
                    Some(Shared::new(Process::new(actor, wall, offset)))
                })
                .collect(),
            clock,
            budgets: universe.scope.budgets,
            generation: if used { 5 } else { 0 },
            stepped: 0,
            foul: None,
        }
    }

    /// A process.
    #[must_use]
    pub fn process(&self, pid: Pid) -> Option<&Shared> {
        self.processes.get(usize::from(pid))
    }

    /// Everyone with their number.
    pub fn everyone(&self) -> impl Iterator<Item = (Pid, &Shared)> {
        (0..Pid::MAX).zip(&self.processes)
    }

    /// The call that a running process wants made.
    #[must_use]
    pub fn call(&self, universe: &Universe, pid: Pid) -> Option<Call> {
        let process = self.process(pid).filter(|process| process.life == Life::Running)?;
        let context = universe.context(pid, process.round)?;
        match &process.actor {
            Actor::Ours(ours) => ours.effect(context).map(Call::Core),
            Actor::Peer(peer) => {
                let living = self.living(universe);
                let now = self.now(process);
                let me = context;
                let limit = u64::from(universe.scope.rules.limit()) * TICK;
                peer.call(&Around { me, now, living: &living, limit })
            }
            Actor::Gone(_) => None,
        }
    }

    /// The process ids that are in use.
    fn living(&self, universe: &Universe) -> Vec<u32> {
        let running = self.everyone().filter(|(_, process)| process.life == Life::Running);
        running.map(|(pid, _)| universe.process_id(pid)).collect()
    }

    /// What a sleep would end with now; nothing if it goes on.
    fn wake(&self, process: &Process, effect: &Effect) -> Option<Event> {
        let Effect::Sleep { until } = effect else {
            return None;
        };
        let left = self.left(process, *until);
        if process.pauses() {
            return Some(Event::Woken(process.pending.unwrap_or(Wake::Due)));
        }
        // A nap that ends without anything having changed leads back to itself; one that
        // ends for a change which the watch tells of anyway, to where the watch leads.
        let stirred = match process.is_watching() {
            true if left > SETTLE => process.stirred == Stirred::Locks,
            _ => process.stirred != Stirred::Nothing,
        };
        let due = left == 0 || (left < TICK / 2 && stirred);
        process.pending.or(due.then_some(Wake::Due)).map(Event::Woken)
    }

    /// Whether a process sleeps until an instant that lies ahead.
    #[must_use]
    pub fn is_asleep(&self, universe: &Universe, pid: Pid) -> bool {
        self.sleep_left(universe, pid).is_some_and(|left| left > 0)
    }

    /// Whether a call must wait until another has done with the directory.
    fn is_blocked(&self, pid: Pid, call: &Call) -> bool {
        let other = self.files.torn().filter(|(_, unlinker)| *unlinker != pid);
        other.is_some_and(|(name, unlinker)| {
            let torn = self.files.lookup(name, unlinker);
            call.changes_directory_of(name) || torn.is_some_and(|ino| self.links(pid, call, ino))
        })
    }

    /// Whether it gives this inode a name or takes one away, in whichever directory: only
    /// one can do that at a time.
    fn links(&self, pid: Pid, call: &Call, ino: Ino) -> bool {
        match call {
            Call::Core(Effect::Link(slot, _)) => {
                self.process(pid).and_then(|process| process.fd(*slot)).map(|fd| fd.ino)
                    == Some(ino)
            }
            Call::Core(Effect::Unlink(name)) => self.files.lookup(*name, pid) == Some(ino),
            _ => false,
        }
    }

    /// Whether a process takes a nap that may end by itself.
    #[must_use]
    pub fn naps(&self, universe: &Universe, pid: Pid) -> bool {
        self.sleep_left(universe, pid).is_some_and(|left| left < TICK / 2)
    }

    /// Everything that can happen next.
    pub fn actions(&self, universe: &Universe, actions: &mut Vec<Action>) {
        if self.foul.is_some() {
            return;
        }
        for (pid, _) in self.everyone() {
            self.actions_for(universe, pid, actions);
        }
        if self.everyone().all(|(_, process)| process.life != Life::Running) {
            return;
        }
        if self.budgets.ticks > 0 {
            actions.push(Action::Tick);
        }
        if self.budgets.suspends > 0 {
            actions.push(Action::Suspend);
        }
        if self.budgets.wall_steps > 0 {
            let running = self.everyone().filter(|(_, process)| process.life == Life::Running);
            for whose in running.map(|(pid, _)| Some(pid)).chain([None]) {
                actions.extend([true, false].map(|forward| Action::SetWall(whose, forward)));
            }
        }
        if self.budgets.hands > 0 || self.budgets.robberies > 0 {
            actions.extend(self.hands().map(Action::Hand));
        }
    }

    /// Everything that one process can do next, or that can happen to it.
    pub fn actions_for(&self, universe: &Universe, pid: Pid, actions: &mut Vec<Action>) {
        let Some(process) = self.process(pid) else {
            return;
        };
        match process.life {
            Life::Running => self.actions_of(universe, pid, process, actions),
            Life::Dying => actions.push(Action::Unlock(pid)),
            Life::Orphaned => actions.push(Action::WorkEnds(pid)),
            Life::Ended if self.can_return(pid) => actions.push(Action::Return(pid)),
            Life::Dead | Life::Ended => {}
        }
    }

    /// Whether one that has ended may come again.
    #[must_use]
    pub fn can_return(&self, pid: Pid) -> bool {
        let process = self.process(pid);
        self.budgets.returns > 0
            && process
                .is_some_and(|process| process.life == Life::Ended && process.round + 1 < ROUNDS)
    }

    fn actions_of(
        &self,
        universe: &Universe,
        pid: Pid,
        process: &Process,
        actions: &mut Vec<Action>,
    ) {
        let midway = self.files.unlinker() == Some(pid);
        if process.children {
            actions.push(Action::WorkEnds(pid));
        }
        match self.call(universe, pid) {
            Some(Call::Core(effect @ Effect::Sleep { .. })) => {
                if self.wake(process, &effect).is_some() {
                    actions.push(Action::Step(pid));
                } else if universe.scope.restless && self.naps(universe, pid) {
                    actions.push(Action::Wake(pid));
                } else if self.dozes(universe, pid) {
                    actions.push(Action::Doze(pid));
                }
                // A cancel stays until it is heard, and in a pause it is not.
                if self.budgets.cancels > 0 && !process.pauses() {
                    actions.push(Action::Cancel(pid));
                }
            }
            Some(call) if self.is_blocked(pid, &call) => {}
            Some(call) => {
                actions.push(Action::Step(pid));
                if self.budgets.faults > 0 && !midway {
                    let refusals = Refusal::of(&call).iter();
                    actions.extend(refusals.map(|refusal| Action::Fault(pid, *refusal)));
                }
            }
            None => match &process.actor {
                Actor::Ours(ours) if ours.is_stepping() => {
                    actions.push(Action::Step(pid));
                    if self.budgets.orphans > 0 && !process.children {
                        actions.push(Action::Outlive(pid));
                    }
                }
                Actor::Ours(ours) => {
                    let deeds = ours.deeds().into_iter();
                    let deeds = deeds.filter(|deed| process.may(*deed));
                    actions.extend(deeds.map(|deed| Action::Deed(pid, deed)));
                }
                Actor::Peer(_) => actions.push(Action::Deed(pid, Deed::Release)),
                Actor::Gone(_) => {}
            },
        }
        if self.budgets.crashes > 0 && !midway {
            actions.push(Action::Crash(pid));
        }
        if self.budgets.orphans > 0 && !midway && self.leaves_work(universe, pid, process) {
            actions.push(Action::Orphan(pid));
        }
    }
}

/// Longer than the naps a machine takes while a writer's lock is about to fall.
const SETTLE: u64 = 5;

/// What a process begins with.
fn begin(universe: &Universe, now: Now, pid: Pid, round: u8) -> Option<Actor> {
    let member = universe.scope.crew.get(usize::from(pid))?;
    Some(match member {
        Member::Ours(plan) => Actor::Ours(Ours::new(universe.context(pid, round)?, now, *plan)),
        Member::Peer(kind) => Actor::Peer(Peer::new(*kind, now)),
    })
}
