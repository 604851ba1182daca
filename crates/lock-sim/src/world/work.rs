//! What is done under the lock: when it begins, when it ends, and that no two of it overlap.

use lock_core::effect::{Effect, Event, Name, Slot};
use lock_core::policy::OnTimeout;

use super::World;
use super::files::{Ino, Maker, Pid};
use super::holders::Holder;
use super::process::{Life, Process, Shared, Sight, Work};
use crate::property::Property;
use crate::scope::Universe;

impl World {
    /// Whether a process that is killed now leaves children which have inherited its ticket: an
    /// owner that has not consented to be replaced has started its work when it was told that
    /// it is owner; one that has, in its step, whose tools may outlive that.
    pub(super) fn leaves_work(&self, universe: &Universe, pid: Pid, process: &Process) -> bool {
        process.life == Life::Running
            && matches!(process.truth.work, Work::Underway | Work::Overruled)
            && process.fd(Slot::Ticket).is_some()
            && universe.shares(pid)
            && (process.truth.stepping || process.children || !universe.is_preemptible(pid))
    }

    /// The work of an owner that has just been told that it is one, or that nothing is in flight
    /// any more of the one before.
    pub(super) fn begins(process: &mut Process) {
        process.truth.work = match process.truth.reign.is_some_and(|reign| reign.overruled) {
            true => Work::Overruled,
            false => Work::Underway,
        };
    }

    /// A kernel lock is a claim to the lock only where the lock's name leads to the file.
    pub(super) fn holds(&self, process: &mut Process) {
        let held = process.fd(Slot::Ticket).map(|fd| fd.ino);
        if held.is_some() && held == self.files.lookup(Name::Lock, 0) {
            process.truth.work = Work::Underway;
        }
    }

    /// Whether work of this process goes on.
    fn is_at_work(universe: &Universe, pid: Pid, process: &Process) -> bool {
        let in_a_step = process.truth.stepping || process.children;
        process.truth.work == Work::Underway && (in_a_step || !universe.is_preemptible(pid))
    }

    /// By a person's order the work of this owner does not count any more.
    pub(super) fn overrule(&mut self, owner: Option<Maker>) {
        let Some(Maker { pid, round }) = owner else {
            return;
        };
        let process = self.process(pid).filter(|process| process.round == round);
        let Some(mut process) = process.map(|process| Process::clone(process)) else {
            return;
        };
        if let Some(reign) = &mut process.truth.reign {
            reign.overruled = true;
        }
        if process.truth.work == Work::Underway {
            process.truth.work = Work::Overruled;
        }
        self.put(pid, process);
    }

    /// Holds the new state against what is promised of work.
    pub(super) fn judge_work(&mut self, universe: &Universe) {
        let works = |(pid, process): &(Pid, &Shared)| Self::is_at_work(universe, *pid, process);
        let is_robbed = universe.scope.budgets.robberies > self.budgets.robberies;
        if !is_robbed && self.everyone().filter(works).count() > 1 {
            self.cry(universe, Property::WorkApart);
        }
        if [Name::Mutex, Name::Reclaim].into_iter().any(|guard| self.is_kept_by_orphans(guard)) {
            self.cry(universe, Property::MutexFallsFree);
        }
    }

    fn is_kept_by_orphans(&self, guard: Name) -> bool {
        let holder = self.files.file(guard, 0).and_then(|inode| inode.exclusive);
        let holder = holder.and_then(|(pid, _)| self.process(pid));
        holder.is_some_and(|holder| holder.life == Life::Orphaned)
    }

    /// Takes down which owner a contender that may end one has seen, and when for the first time.
    pub(super) fn sees_owner(
        &self,
        universe: &Universe,
        process: &mut Process,
        effect: &Effect,
        event: &Event,
    ) {
        let (Effect::Read(Slot::Judged), Event::Bytes(_)) = (effect, event) else {
            return;
        };
        if universe.scope.rules.on_timeout != OnTimeout::Stop {
            return;
        }
        let inode = process.fd(Slot::Judged).and_then(|fd| self.files.inode(fd.ino));
        let saw = process.truth.saw.map(|sight| sight.owner);
        // One that is just about to release is still the same.
        let is_owner = |maker: &Maker| saw == Some(*maker) || self.owns(*maker);
        let owner = inode.and_then(|inode| inode.maker).filter(is_owner);
        if saw != owner {
            process.truth.saw = owner.map(|owner| Sight { owner, since: self.clock.ticks });
        }
    }

    fn owns(&self, maker: Maker) -> bool {
        let process = self.process(maker.pid).filter(|process| process.round == maker.round);
        process.is_some_and(|process| process.truth.reign.is_some() || process.children)
    }

    /// Before a signal is sent: an owner outside the mutex, or what it has left, may only be ended
    /// by a contender that has waited its whole limit for it. A new owner ends what the one before
    /// has left in flight, and no contender.
    pub(super) fn check_limit(
        &mut self,
        universe: &Universe,
        sender: &Process,
        (slot, file): (Slot, Option<Ino>),
        holder: Holder,
    ) {
        let (pid, is_left) = match holder {
            Holder::Itself(pid) => (pid, false),
            Holder::Children(pid) => (pid, true),
        };
        let Some(target) =
            self.process(pid).filter(|target| is_left || target.life == Life::Running)
        else {
            return;
        };
        let sight = sender.truth.saw.filter(|sight| sight.owner == target.maker(pid));
        let limit = universe.scope.rules.limit();
        let has_waited = sight.is_some_and(|sight| self.clock.ticks - sight.since >= limit);
        let may = match slot {
            Slot::Guard | Slot::Rival => target.has_locked_its_own(file),
            _ if sender.truth.work == Work::Settling => is_left,
            _ => has_waited || target.truth.in_mutex,
        };
        if !may {
            self.cry(universe, Property::EndedAfterWholeLimit);
        }
    }
}
