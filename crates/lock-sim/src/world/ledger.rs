//! What is true, kept beside what the processes believe, and held against the promises.

use lock_core::effect::{Effect, Event, Name, Slot};
use lock_core::machine::Reason;
use lock_core::record::Record;
use lock_core::verdict::Stale;

use super::World;
use super::actor::{Actor, Fate, Note};
use super::directory::is_queued;
use super::files::{Maker, Pid};
use super::kernel::{Call, Flock};
use super::process::{Facts, Life, Process, Reign, Stand, Those, Work};
use crate::property::Property;
use crate::scope::Universe;
use crate::zoo::Said;

impl World {
    /// Takes down what a performed call means.
    pub(super) fn observe(
        &mut self,
        universe: &Universe,
        pid: Pid,
        process: &mut Process,
        call: &Call,
        event: &Event,
        [mutex, lock]: [Option<Maker>; 2],
    ) {
        let Call::Core(effect) = call else {
            return;
        };
        let outside = !is_peer(process) && !process.truth.in_mutex;
        if outside && *event == Event::Done && changes_lock(effect) {
            self.cry(universe, Property::UnderMutex);
        }
        if !is_peer(process) && self.misuses_a_slot(pid, effect) {
            self.cry(universe, Property::OneCloseEach);
        }
        self.queue(pid, process, effect, event);
        sees_ends(process, effect, event);
        process.truth.doubt = process.truth.doubt.after(effect, event);
        self.sees_owner(universe, process, effect, event);
        match (effect, event) {
            // One that cannot be read is judged all the same.
            (Effect::Read(Slot::Judged), Event::Bytes(_) | Event::Failed(_)) => {
                let ino = process.fd(Slot::Judged).map(|fd| fd.ino);
                let inode = ino.and_then(|ino| self.files.inode(ino));
                process.truth.judged = inode.and_then(|inode| inode.maker);
            }
            (Effect::Look(Name::Lock), Event::Stat(_)) if is_peer(process) => {
                let inode = self.files.file(Name::Lock, pid);
                process.truth.judged = inode.and_then(|inode| inode.maker);
            }
            (Effect::Open { name: Name::Lock, .. }, Event::Absent) => process.truth.judged = None,
            (
                Effect::Link(_, Name::Mutex) | Effect::Rename { to: Name::Mutex, .. },
                Event::Done,
            ) => {
                process.truth.in_mutex = true;
            }
            (Effect::Create(_, Name::Mutex), Event::Done) if is_peer(process) => {
                process.truth.in_mutex = true;
            }
            // Where it is written when it has the name already.
            (Effect::Write(Slot::Mutex, _), Event::Done) => {
                let ino = process.fd(Slot::Mutex).map(|fd| fd.ino);
                let is_there = ino.is_some() && ino == self.files.lookup(Name::Mutex, pid);
                process.truth.in_mutex |= is_there;
            }
            // It gives up what it is in the mutex by, though the name may be left if that
            // could not be removed.
            (Effect::Unlock(Slot::Ticket | Slot::Mutex | Slot::Reclaim), _) => {
                process.truth.in_mutex = false;
            }
            (Effect::Unlink(Name::Mutex), Event::Done) => {
                self.left_mutex(universe, pid, process, mutex);
            }
            (Effect::Link(_, Name::Lock) | Effect::Rename { to: Name::Lock, .. }, Event::Done)
                if !is_peer(process) =>
            {
                self.takes(universe, pid, process);
            }
            (Effect::Write(Slot::Ticket, text), Event::Done) if !is_peer(process) => {
                self.wrote(process, text);
            }
            (Effect::Unlink(Name::Lock), Event::Done) => self.dropped(pid, process, lock),
            _ => {}
        }
    }

    /// Whether it opens over an open file, or closes what is not open. The process is still as it was
    /// before the call.
    fn misuses_a_slot(&self, pid: Pid, effect: &Effect) -> bool {
        let is_open = |slot| self.process(pid).is_some_and(|process| process.fd(slot).is_some());
        match *effect {
            Effect::Open { slot, .. } | Effect::Create(slot, _) | Effect::CreateAnonymous(slot) => {
                is_open(slot)
            }
            Effect::Close(slot) => !is_open(slot),
            _ => false,
        }
    }

    /// The mutex's name went, which led to a file of `owner`'s.
    fn left_mutex(
        &mut self,
        universe: &Universe,
        pid: Pid,
        process: &mut Process,
        owner: Option<Maker>,
    ) {
        if owner == Some(process.maker(pid)) {
            process.truth.in_mutex = false;
            return;
        }
        let leaving = matches!(&process.actor, Actor::Peer(peer) if peer.leaves_mutex());
        if leaving && owner.is_some_and(|owner| self.is_running(owner)) {
            self.cry(universe, Property::OwnMutex);
        }
        if leaving {
            process.truth.in_mutex = false;
        }
    }

    /// Becomes owner; whoever's lock it judged has been taken over from. Only that, if by a
    /// stranger's doing what it put there is not its own.
    fn takes(&mut self, universe: &Universe, pid: Pid, process: &mut Process) {
        let file = self.files.file(Name::Lock, pid);
        if file.and_then(|inode| inode.maker) != Some(process.maker(pid)) {
            self.break_owner(process.truth.judged);
            if !self.was_meddled_with(universe) {
                self.cry(universe, Property::OwnFile);
            }
            return;
        }
        if process.truth.behind != Those::default() {
            self.cry(universe, Property::FirstComeFirstServed);
        }
        process.truth.stand = Stand::Freed;
        self.is_served(pid);
        process.truth.broke = self.break_owner(process.truth.judged);
        // What counts is what its record says, and that was written a moment ago.
        process.truth.reign = Some(reign(process.truth.wrote));
        let generation = self
            .files
            .file(Name::Lock, pid)
            .and_then(|inode| Record::parse(inode.text.bytes()).ok())
            .and_then(|record| record.generation())
            .map_or(0, |generation| generation.0);
        if generation <= self.generation {
            self.cry(universe, Property::GenerationsGrow);
        }
        self.generation = self.generation.max(generation);
    }

    /// The lock's name went, which led to a file of `owner`'s: a release, an acquire that
    /// failed after it had published, or a person's order.
    ///
    /// That an acquire which removes its own lock ends its reign hides nothing: its machine
    /// has not told anybody that it is owner, and its outcome can only be a failure. What an
    /// owner does to its own lock on any other occasion, a renewal or a step, ends no reign,
    /// so it breaks the promise that an owner's file is there.
    fn dropped(&mut self, pid: Pid, process: &mut Process, owner: Option<Maker>) {
        match &process.actor {
            Actor::Ours(ours) if ours.evicts() => {
                self.break_owner(process.truth.judged);
                self.overrule(process.truth.judged);
            }
            Actor::Ours(ours)
                if owner == Some(process.maker(pid)) && (ours.acquires() || ours.releases()) =>
            {
                process.truth.reign = None;
            }
            Actor::Peer(peer) if peer.releases() => process.truth.reign = None,
            _ => {}
        }
    }

    pub(super) fn break_owner(&mut self, judged: Option<Maker>) -> Option<Facts> {
        let judged = judged?;
        let mut process = Process::clone(self.process(judged.pid)?);
        let ticks = self.clock.ticks;
        let reign = process.truth.reign.as_mut()?;
        if process.life != Life::Running || process.round != judged.round || reign.broken {
            return None;
        }
        reign.broken = true;
        let idle = (ticks - reign.progressed).saturating_sub(reign.quiet);
        let facts = Facts { silent: ticks - reign.renewed, idle };
        self.put(judged.pid, process);
        Some(facts)
    }

    /// Takes down what one of our machines says of itself.
    pub(super) fn noted(&mut self, universe: &Universe, process: &mut Process, note: &Note) {
        match note {
            Note::Acquired { reason, settles } => {
                match settles {
                    true => process.truth.work = Work::Settling,
                    false => Self::begins(process),
                }
                if process.truth.reign.is_none() {
                    self.cry(universe, Property::OwnFile);
                }
                if let (Some(reason), Some(facts)) = (reason, process.truth.broke.take()) {
                    self.check_takeover(universe, *reason, facts);
                }
            }
            Note::Steps(generation) => {
                process.truth.stepping = true;
                if let Some(reign) = &mut process.truth.reign {
                    reign.progressed = self.clock.ticks;
                    reign.quiet = universe.scope.rules.quiet;
                }
                let others_step = self.everyone().any(|(_, other)| other.truth.stepping);
                if others_step || *generation < self.stepped {
                    self.cry(universe, Property::StepsApart);
                }
                self.stepped = self.stepped.max(*generation);
            }
            Note::Settled => Self::begins(process),
            Note::Ended(..) => {}
        }
    }

    fn check_takeover(&mut self, universe: &Universe, reason: Reason, facts: Facts) {
        let rules = universe.scope.rules;
        match reason {
            // The victim was alive, or there would be no facts.
            Reason::Stale(Stale::Silent) if facts.silent >= rules.stale_after => {}
            Reason::Stale(Stale::Expired)
                if universe.scope.abilities.locks == Flock::Missing
                    && facts.silent >= rules.stale_after => {}
            Reason::Stale(_) => self.cry(universe, Property::RenewerFresh),
            Reason::TimedOut if facts.idle >= rules.hang_after => {}
            Reason::TimedOut => self.cry(universe, Property::PatienceKept),
        }
    }

    /// Takes down what a control subject says of itself.
    pub(super) fn said(&mut self, universe: &Universe, process: &mut Process, said: Said) {
        match said {
            Said::Breaks(reason) => {
                let Some(facts) = self.break_owner(process.truth.judged) else {
                    return;
                };
                match reason {
                    // Its rules ask nothing of an owner that this one has not done.
                    Reason::Stale(_) => self.cry(universe, Property::RenewerFresh),
                    Reason::TimedOut if facts.idle < universe.scope.rules.limit() => {
                        self.cry(universe, Property::PatienceKept);
                    }
                    Reason::TimedOut => {}
                }
            }
            Said::Owns => {
                process.truth.reign = Some(reign(self.clock.ticks));
                process.truth.work = Work::Underway;
            }
            Said::Holds => self.holds(process),
            Said::Ends(_) => {}
        }
    }

    /// Holds the new state against the promises.
    pub(super) fn judge(&mut self, universe: &Universe) {
        let owners = self.everyone().filter(|(_, process)| process.is_unbroken_owner());
        if owners.count() > 1 {
            self.cry(universe, Property::OneOwner);
        }
        let lock = self.files.file(Name::Lock, 0).and_then(|inode| inode.maker);
        let robbed = self
            .everyone()
            .any(|(pid, process)| process.is_unbroken_owner() && lock != Some(process.maker(pid)));
        if robbed {
            self.cry(universe, Property::OwnFile);
        }
        if self.everyone().any(|(pid, process)| self.sleeps_on(universe, pid, process)) {
            self.cry(universe, Property::NoLostWake);
        }
        if self.everyone().filter(|(_, process)| process.truth.in_mutex).count() > 1 {
            self.cry(universe, Property::OneInMutex);
        }
        self.judge_work(universe);
        if self.is_over() && !self.was_refused(universe) && self.has_litter(universe) {
            self.cry(universe, Property::NothingLeft);
        }
    }

    /// Whether everyone has come to an end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.everyone().all(|(_, process)| matches!(process.life, Life::Dead | Life::Ended))
    }

    /// Names that lead to a file of someone who was not killed, nor said that it could not
    /// let go: such files are unlocked, and the next contender takes them for dead. So it does
    /// with a number that one who passed another over had just given it when it was killed.
    fn has_litter(&self, universe: &Universe) -> bool {
        let began = universe.scope.budgets;
        let left = self.budgets;
        let killed = began.crashes > left.crashes || began.orphans > left.orphans;
        let passed = began.ticks > left.ticks && killed;
        self.files
            .names()
            .filter(|(name, ..)| *name != Name::Generation && !(passed && is_queued(*name)))
            .filter_map(|(_, _, ino)| self.files.inode(ino)?.maker)
            .any(|maker| !self.was_stopped(maker))
    }

    fn was_stopped(&self, maker: Maker) -> bool {
        self.process(maker.pid).is_some_and(|process| {
            let killed = process.actor == Actor::Gone(Fate::Killed);
            (killed && process.round == maker.round) || process.unreleased >> maker.round & 1 == 1
        })
    }

    fn is_running(&self, maker: Maker) -> bool {
        let process = self.process(maker.pid);
        process.is_some_and(|process| process.round == maker.round && process.life == Life::Running)
    }

    /// The first promise broken counts, if the scope asks for it.
    pub(super) fn cry(&mut self, universe: &Universe, property: Property) {
        if self.foul.is_none() && universe.scope.properties.contains(&property) {
            self.foul = Some(property);
        }
    }
}

/// What has no name any more, and was seen so, is waited for no more, though it is still open.
fn sees_ends(process: &mut Process, effect: &Effect, event: &Event) {
    let judges = process.fd(Slot::Judged).is_some();
    let truth = &mut process.truth;
    match (effect, event) {
        (Effect::Close(Slot::Ahead), _) => truth.past_ahead = false,
        (Effect::Close(Slot::Judged), _) => truth.past_judged = false,
        (Effect::Stat(Slot::Ahead), Event::Stat(stat)) => truth.past_ahead = stat.links == 0,
        (Effect::Look(Name::Lock), Event::Absent) => truth.past_judged = judges,
        _ => {}
    }
}

/// Whether it makes the lock's name lead elsewhere.
const fn changes_lock(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Link(_, Name::Lock)
            | Effect::Rename { to: Name::Lock, .. }
            | Effect::Unlink(Name::Lock)
    )
}

const fn reign(since: u8) -> Reign {
    Reign { broken: false, overruled: false, renewed: since, progressed: since, quiet: 0 }
}

const fn is_peer(process: &Process) -> bool {
    matches!(process.actor, Actor::Peer(_))
}
