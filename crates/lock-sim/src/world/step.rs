//! From one state to the next.

use lock_core::effect::{Effect, Event, Name, Slot, Wake};
use lock_core::time::Now;

use super::actor::{Actor, Deed, Fate, Note};
use super::death::Heirs;
use super::files::{Ino, Notice, Pid};
use super::holders::Whom;
use super::kernel::{Call, Caller};
use super::process::{Life, Process, SLOTS, Shared, Stirred, Watch, Work};
use super::{Action, World, begin};
use crate::scope::{TICK, Universe, ticks};
use crate::zoo::{Around, Said};

/// What the driver leaves open for who has just become owner.
const NEW_OWNERS: &[Slot] = &[Slot::Ticket, Slot::Ahead, Slot::Judged];

impl World {
    /// What follows from an action; nothing if it is not possible. In a merged scope the
    /// calls that only concern the caller itself follow at once.
    #[must_use]
    pub fn after(&self, universe: &Universe, action: Action) -> Option<Self> {
        let mut world = self.once(universe, action)?;
        if let Some(pid) = action.whose().filter(|_| universe.scope.merged) {
            // To choose is no call.
            if matches!(action, Action::Deed(..)) {
                world = world.step(universe, pid, None)?;
            }
            while world.foul.is_none() && world.is_private(universe, pid) {
                world = world.step(universe, pid, None)?;
            }
        }
        Some(world)
    }

    /// What follows from an action, and nothing more.
    #[must_use]
    pub fn once(&self, universe: &Universe, action: Action) -> Option<Self> {
        let mut world = self.clone();
        match action {
            Action::Tick => {
                world.pause_line(universe);
                world.budgets.ticks = world.budgets.ticks.checked_sub(1)?;
                world.clock.ticks += 1;
            }
            Action::SetWall(whose, forward) => {
                world.budgets.wall_steps = world.budgets.wall_steps.checked_sub(1)?;
                world.set_wall(whose, if forward { 1 } else { -1 })?;
            }
            Action::Suspend => world.suspend()?,
            Action::Hand(hand) => world.lay_hand_on(universe, hand)?,
            Action::Step(pid) => return world.step(universe, pid, None),
            Action::Fault(pid, refusal) => {
                world.budgets.faults = world.budgets.faults.checked_sub(1)?;
                let event = world.refuse(universe, pid, refusal)?;
                world.leave_line(pid);
                return world.step(universe, pid, Some(event));
            }
            Action::Cancel(pid) => {
                world.call(universe, pid).filter(Call::is_sleep)?;
                world.budgets.cancels = world.budgets.cancels.checked_sub(1)?;
                return world.step(universe, pid, Some(Event::Woken(Wake::Cancelled)));
            }
            Action::Wake(pid) => {
                world.naps(universe, pid).then_some(())?;
                return world.step(universe, pid, Some(Event::Woken(Wake::Due)));
            }
            Action::Doze(pid) => return world.doze(universe, pid),
            Action::Deed(pid, deed) => world.deed(universe, pid, deed)?,
            Action::Crash(pid) => {
                world.budgets.crashes = world.budgets.crashes.checked_sub(1)?;
                world.kill_process(universe, pid, Heirs::None)?;
            }
            Action::Orphan(pid) => {
                world.process(pid).filter(|process| world.leaves_work(universe, pid, process))?;
                world.budgets.orphans = world.budgets.orphans.checked_sub(1)?;
                world.kill_process(universe, pid, Heirs::Work)?;
            }
            Action::Outlive(pid) => {
                world.outlive(pid)?;
                return world.step(universe, pid, None);
            }
            Action::WorkEnds(pid) => world.end_work(pid)?,
            Action::Unlock(pid) => {
                world.unlock(pid)?;
                world.judge(universe);
            }
            Action::Return(pid) => {
                world.budgets.returns = world.budgets.returns.checked_sub(1)?;
                let ended = world.process(pid).filter(|process| process.life == Life::Ended)?;
                let round = ended.round + 1;
                let actor = begin(universe, world.now(ended), pid, round)?;
                let Process { unreleased, wall, offset, .. } = **ended;
                let process = Process { round, unreleased, ..Process::new(actor, wall, offset) };
                world.put(pid, process);
            }
        }
        Some(world)
    }

    /// One call of one process, performed or answered with `instead`.
    fn step(mut self, universe: &Universe, pid: Pid, instead: Option<Event>) -> Option<Self> {
        let mut process = Process::clone(self.process(pid)?);
        let now = self.now(&process);
        let Some(call) = self.call(universe, pid) else {
            let Actor::Ours(ours) = process.actor else {
                return None;
            };
            process.actor = Actor::Ours(ours.leave_step());
            process.truth.stepping = false;
            self.put(pid, process);
            return Some(self);
        };
        if self.is_blocked(pid, &call) {
            return None;
        }
        let [mutex, lock] = [Name::Mutex, Name::Lock]
            .map(|name| self.files.file(name, pid).and_then(|inode| inode.maker));
        let mut notices = Vec::new();
        if let Some(name) = self.tears(universe, pid, &call).filter(|_| instead.is_none()) {
            self.files.tear(name, pid, &mut notices);
            self.notify(pid, &notices);
            return Some(self);
        }
        let event = match instead {
            Some(event) => event,
            None => self.perform(universe, pid, &mut process, &call, &mut notices)?,
        };
        // A signal ends another at once, and that may be news to the sender.
        process.pending = self.process(pid)?.pending;
        if matches!(event, Event::Woken(_)) {
            process.pending = None;
            process.stirred = Stirred::Nothing;
        }
        self.observe(universe, pid, &mut process, &call, &event, [mutex, lock]);
        self.advance(universe, pid, process, now, event, &mut notices)?;
        self.notify(pid, &notices);
        self.judge(universe);
        Some(self)
    }

    /// The name that the call only begins to unlink.
    pub(crate) fn tears(&self, universe: &Universe, pid: Pid, call: &Call) -> Option<Name> {
        let whole = !universe.scope.torn || self.files.unlinker().is_some();
        let name = call.unlinks().filter(|_| !whole)?;
        self.files.lookup(name, pid).map(|_| name)
    }

    fn perform(
        &mut self,
        universe: &Universe,
        pid: Pid,
        process: &mut Process,
        call: &Call,
        notices: &mut Vec<Notice>,
    ) -> Option<Event> {
        match call {
            Call::Core(effect @ Effect::Sleep { .. }) => self.wake(process, effect),
            Call::Core(Effect::AskProcess { pid, .. }) => Some(self.ask_process(universe, *pid)),
            Call::Core(Effect::ListHolders(slot)) => {
                let file = process.fd(*slot).map(|fd| fd.ino);
                Some(self.list_holders(universe, file))
            }
            Call::Core(Effect::ListHoldersOf(inode)) => {
                let is_nameless =
                    |ino: &Ino| self.files.inode(*ino).is_some_and(|one| one.links == 0);
                let file = Ino::try_from(inode.number).ok().filter(is_nameless);
                Some(self.list_holders(universe, file))
            }
            Call::Core(Effect::Signal { slot, first, spared, signal }) => {
                let whom = Whom { slot: *slot, first: *first, spared: *spared };
                Some(self.signal(universe, (pid, process), whom, *signal))
            }
            call => {
                let wall = self.wall();
                let abilities = universe.scope.abilities;
                let files = &mut self.files;
                Some(Caller { files, process, pid, abilities, wall, notices }.perform(call))
            }
        }
    }

    /// Gives the actor its event and the ledger its due.
    fn advance(
        &mut self,
        universe: &Universe,
        pid: Pid,
        mut process: Process,
        now: Now,
        event: Event,
        notices: &mut Vec<Notice>,
    ) -> Option<()> {
        let context = universe.context(pid, process.round)?;
        match std::mem::replace(&mut process.actor, Actor::Gone(Fate::GaveUp)) {
            Actor::Ours(ours) => {
                let (next, note) = ours.step(context, now, event);
                if let Some(ours) = next {
                    process.actor = Actor::Ours(ours);
                }
                match note {
                    Some(Note::Ended(fate, failure)) => {
                        self.ended(universe, &process, fate, failure.as_ref());
                        self.end(pid, &mut process, fate, notices);
                    }
                    Some(note) => {
                        if matches!(note, Note::Acquired { .. }) {
                            self.close_all(pid, &mut process, notices, NEW_OWNERS);
                        }
                        self.noted(universe, &mut process, &note);
                    }
                    None => {}
                }
            }
            Actor::Peer(peer) => {
                let living = self.living(universe);
                let limit = u64::from(universe.scope.rules.limit()) * TICK;
                let around = Around { me: context, now, living: &living, limit };
                let (peer, said) = peer.step(&around, &event);
                process.actor = Actor::Peer(peer);
                match said {
                    Some(Said::Ends(fate)) => self.end(pid, &mut process, fate, notices),
                    Some(said) => self.said(universe, &mut process, said),
                    None => {}
                }
            }
            Actor::Gone(_) => return None,
        }
        self.put(pid, process);
        Some(())
    }

    fn deed(&mut self, universe: &Universe, pid: Pid, deed: Deed) -> Option<()> {
        let process = self.process(pid).filter(|process| process.may(deed))?;
        let mut process = Process::clone(process);
        let context = universe.context(pid, process.round)?;
        let now = self.now(&process);
        process.actor = match process.actor {
            Actor::Ours(ours) => {
                let quiet = ticks(universe.scope.rules.quiet);
                Actor::Ours(ours.begin(context, now, deed, quiet)?)
            }
            Actor::Peer(peer) => Actor::Peer(peer.release()),
            Actor::Gone(_) => return None,
        };
        if deed == Deed::Release {
            process.truth.work = Work::None;
        }
        self.put(pid, process);
        Some(())
    }

    /// The driver lets go of what a machine that is done has left open.
    pub(super) fn close_all(
        &mut self,
        pid: Pid,
        process: &mut Process,
        notices: &mut Vec<Notice>,
        keep: &[Slot],
    ) {
        let abilities = super::Abilities::ALL;
        let files = &mut self.files;
        let mut caller = Caller { files, process, pid, abilities, wall: 0, notices };
        for slot in SLOTS.into_iter().filter(|slot| !keep.contains(slot)) {
            caller.close(slot);
        }
    }

    fn end(&mut self, pid: Pid, process: &mut Process, fate: Fate, notices: &mut Vec<Notice>) {
        if process.children {
            return self.end_before_children(pid, process, fate, notices);
        }
        self.close_all(pid, process, notices, &[]);
        self.is_served(pid);
        let unreleased = process.unreleased | u8::from(fate == Fate::Unreleased) << process.round;
        let ended = Process::new(Actor::Gone(fate), process.wall, process.offset);
        *process = Process { life: Life::Ended, round: process.round, unreleased, ..ended };
    }

    pub(super) fn put(&mut self, pid: Pid, process: Process) {
        if let Some(place) = self.processes.get_mut(usize::from(pid)) {
            *place = Shared::new(process);
        }
    }

    /// Tells the others what they can notice.
    pub(super) fn notify(&mut self, from: Pid, notices: &[Notice]) {
        if notices.is_empty() {
            return;
        }
        let stirs = stirs(notices);
        for (pid, place) in (0..Pid::MAX).zip(&mut self.processes) {
            let process: &Process = place;
            if process.life != Life::Running {
                continue;
            }
            let news = process.watch.and_then(|watch| news(notices, watch));
            let pending = match (process.pending, news) {
                (Some(Wake::Closed), _) | (_, Some(Wake::Closed)) => Some(Wake::Closed),
                (pending, news) => news.or(pending),
            };
            let stirred = match pid == from {
                true => process.stirred,
                false => process.stirred.max(stirs),
            };
            let watch = process.watch.filter(|on| !notices.contains(&Notice::Freed(on.ino)));
            let watch = watch.map(|on| {
                let over = on.over || notices.contains(&Notice::Gone(on.ino));
                Watch { over, ..on }
            });
            let same = pending == process.pending && stirred == process.stirred;
            if !same || watch != process.watch {
                *place = Shared::new(Process { pending, stirred, watch, ..process.clone() });
            }
        }
    }
}

fn stirs(notices: &[Notice]) -> Stirred {
    let stirs = notices.iter().map(|notice| match notice {
        Notice::Changed(_) | Notice::Gone(_) | Notice::Closed(_) | Notice::Freed(_) => {
            Stirred::Nothing
        }
        Notice::Renamed => Stirred::Names,
        Notice::Unlocked => Stirred::Locks,
    });
    stirs.max().unwrap_or(Stirred::Nothing)
}

fn news(notices: &[Notice], Watch { ino, until_last, over }: Watch) -> Option<Wake> {
    if over {
        return None;
    }
    if notices.contains(&Notice::Closed(ino)) {
        return Some(Wake::Closed);
    }
    let changed = !until_last && notices.contains(&Notice::Changed(ino));
    (changed || notices.contains(&Notice::Gone(ino))).then_some(Wake::Changed)
}

impl World {
    /// What would come of a process's next call, without making it.
    #[must_use]
    pub fn event(&self, universe: &Universe, pid: Pid) -> Option<Event> {
        let mut world = self.clone();
        let mut process = Process::clone(self.process(pid)?);
        let call = self.call(universe, pid)?;
        world.perform(universe, pid, &mut process, &call, &mut Vec::new())
    }

    /// Whether an action ends a sleep because its time has come. One that ends because there
    /// is news is no rest: two sleepers could wake each other for ever.
    #[must_use]
    pub fn is_rest(&self, universe: &Universe, action: Action) -> bool {
        matches!(action, Action::Step(pid)
            if self.call(universe, pid).is_some_and(|call| call.is_sleep())
                && self.process(pid).is_some_and(|process| process.pending.is_none()))
    }
}
