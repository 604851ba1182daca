//! How a process dies, and what it may leave behind that lives on.

use lock_core::effect::Slot;

use super::World;
use super::actor::{Actor, Fate};
use super::files::{Inode, Notice, Pid};
use super::process::{Life, Process, Truth, Work};
use crate::scope::Universe;

/// What becomes of the children that a process has started under the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heirs {
    /// There are none, or they die with it.
    None,
    /// They live on, with the ticket that they have inherited.
    Work,
}

impl World {
    /// A process dies with all its threads.
    pub(super) fn kill_process(
        &mut self,
        universe: &Universe,
        pid: Pid,
        heirs: Heirs,
    ) -> Option<()> {
        let process = universe.process_id(pid);
        let threads = self.everyone().map(|(other, _)| other);
        let threads = threads.filter(|other| universe.process_id(*other) == process);
        for thread in threads.collect::<Vec<_>>() {
            if self.kill(universe, thread, heirs).is_none() && thread == pid {
                return None;
            }
        }
        Some(())
    }

    /// The first moment of a death: files are closed, which watchers are told; the kernel's
    /// locks fall a hair later. A ticket that children have inherited stays open.
    fn kill(&mut self, universe: &Universe, pid: Pid, heirs: Heirs) -> Option<()> {
        // No signal comes between the two moments of a call.
        let whole = self.files.unlinker() != Some(pid);
        let process = self.process(pid).filter(|process| process.life == Life::Running && whole)?;
        let children = heirs == Heirs::Work && self.leaves_work(universe, pid, process);
        let inherited = process.fd(Slot::Ticket).filter(|_| children).map(|fd| fd.ino);
        let written = process.fds.iter().flatten().filter(|fd| fd.write);
        let closed = written.filter(|fd| Some(fd.ino) != inherited);
        let notices: Vec<_> = closed.map(|fd| Notice::Closed(fd.ino)).collect();
        let work = if children { process.truth.work } else { Work::None };
        let mut dying = Process {
            life: Life::Dying,
            round: process.round,
            unreleased: process.unreleased,
            fds: process.fds,
            children,
            truth: Truth { work, ..Truth::default() },
            ..Process::new(Actor::Gone(Fate::Killed), process.wall, process.offset)
        };
        if dying.fds.iter().all(Option::is_none) {
            dying.life = Life::Dead;
        }
        self.put(pid, dying);
        self.is_served(pid);
        self.notify(pid, &notices);
        Some(())
    }

    /// The second.
    pub(super) fn unlock(&mut self, pid: Pid) -> Option<()> {
        let process = self.process(pid).filter(|process| process.life == Life::Dying)?;
        let mut process = Process::clone(process);
        let mut notices = Vec::new();
        self.leave_to_the_dead(pid, &process);
        let (kept, life): (&[Slot], Life) = match process.children {
            true => (&[Slot::Ticket], Life::Orphaned),
            false => (&[], Life::Dead),
        };
        self.close_all(pid, &mut process, &mut notices, kept);
        // The watchers have been told already.
        notices.retain(|notice| matches!(notice, Notice::Unlocked | Notice::Freed(_)));
        process.life = life;
        self.put(pid, process);
        self.notify(pid, &notices);
        Some(())
    }

    /// The step that an owner now ends leaves a tool running.
    pub(super) fn outlive(&mut self, pid: Pid) -> Option<()> {
        self.budgets.orphans = self.budgets.orphans.checked_sub(1)?;
        let process = self.process(pid).filter(|process| process.truth.stepping)?;
        let process = Process { children: true, ..Process::clone(process) };
        self.put(pid, process);
        Some(())
    }

    /// An owner that has lost the lock ends while a tool of its step still runs.
    pub(super) fn end_before_children(
        &mut self,
        pid: Pid,
        process: &mut Process,
        fate: Fate,
        notices: &mut Vec<Notice>,
    ) {
        self.close_all(pid, process, notices, &[Slot::Ticket]);
        self.is_served(pid);
        let unreleased = process.unreleased | u8::from(fate == Fate::Unreleased) << process.round;
        let gone = Process::new(Actor::Gone(fate), process.wall, process.offset);
        *process = Process {
            life: Life::Orphaned,
            round: process.round,
            unreleased,
            fds: process.fds,
            children: true,
            truth: Truth { work: process.truth.work, ..Truth::default() },
            ..gone
        };
    }

    /// What a process had started ends. Where that was the last to have the ticket open, its lock
    /// falls in two moments as well: [`Self::unlock`] is the second.
    pub(super) fn end_work(&mut self, pid: Pid) -> Option<()> {
        let parent = self.process(pid).filter(|process| process.children)?;
        let mut process = Process::clone(parent);
        process.children = false;
        let orphaned = process.life == Life::Orphaned;
        let ticket = process.fd(Slot::Ticket).filter(|fd| orphaned && fd.write);
        if orphaned {
            process.life = Life::Dying;
        }
        // Of one that is being killed nothing else is left.
        if process.life == Life::Dying {
            process.truth.work = Work::None;
        }
        self.put(pid, process);
        let notices: Vec<_> = ticket.map(|fd| Notice::Closed(fd.ino)).into_iter().collect();
        self.notify(pid, &notices);
        Some(())
    }

    /// An empty reclaim lock that this one had locked in order to remove it is its own litter now:
    /// its maker, taken for dead while it was slow, has left it to this one.
    fn leave_to_the_dead(&mut self, pid: Pid, process: &Process) {
        let rival = process.fd(Slot::Rival).and_then(|fd| self.files.inode_mut(fd.ino));
        let is_locked = |inode: &&mut Inode| inode.exclusive == Some((pid, Slot::Rival));
        if let Some(inode) = rival.filter(is_locked).filter(|inode| inode.text.bytes().is_empty()) {
            inode.maker = Some(process.maker(pid));
        }
    }
}
