//! Who came before whom.

use lock_core::effect::{Effect, Event, Name, Slot};

use super::World;
use super::directory::is_queued;
use super::files::Pid;
use super::process::{Life, Process, Stand, Those};
use crate::scope::Universe;

impl World {
    /// Takes down what a performed call means for the order in which contenders are served.
    pub(super) fn queue(
        &mut self,
        pid: Pid,
        process: &mut Process,
        effect: &Effect,
        event: &Event,
    ) {
        let clears = self.clears_another(pid, process);
        let truth = &mut process.truth;
        match (effect, event, truth.stand) {
            (Effect::Open { slot: Slot::Queue, .. }, _, Stand::Nowhere) => {
                truth.stand = Stand::Begun;
                truth.behind = self.placed();
            }
            (Effect::Link(Slot::Ticket, Name::Queued(_)), Event::Done, Stand::Begun) => {
                truth.stand = Stand::Placed;
            }
            // It gives its place up, and is about to end.
            (Effect::Unlink(Name::Queued(_)), Event::Done, Stand::Placed) if !clears => {
                truth.stand = Stand::Freed;
                self.is_served(pid);
            }
            _ => {}
        }
    }

    /// Whether a number that it removes is that of a dead waiter before it, which it has locked.
    fn clears_another(&self, pid: Pid, process: &Process) -> bool {
        let ahead = process.fd(Slot::Ahead).and_then(|fd| self.files.inode(fd.ino));
        ahead.is_some_and(|inode| inode.shared.contains(&(pid, Slot::Ahead)))
    }

    /// Those who have a place in the queue that counts.
    fn placed(&self) -> Those {
        let placed = self.everyone().filter(|(_, other)| other.truth.stand == Stand::Placed);
        placed.fold(Those::default(), |Those(bits), (pid, _)| Those(bits | bit(pid)))
    }

    /// Nobody is behind this one any more: it is owner, or has come to an end.
    pub(super) fn is_served(&mut self, pid: Pid) {
        let behind = self.everyone().filter(|(_, other)| other.truth.behind.0 & bit(pid) != 0);
        for other in behind.map(|(other, _)| other).collect::<Vec<_>>() {
            self.change(other, |process| process.truth.behind.0 &= !bit(pid));
        }
    }

    /// It is promised nothing any more, and bound to nothing.
    pub(super) fn leave_line(&mut self, pid: Pid) {
        self.is_served(pid);
        self.change(pid, |process| {
            process.truth.stand = Stand::Freed;
            process.truth.behind = Those::default();
        });
    }

    /// A long time passes: whoever could have made a call meanwhile was paused. If the first was,
    /// all behind it may pass it over, and after so long all at once. So they may while somebody
    /// has the mutex, paused there, not quite dead or a stranger: the first waits for that, and
    /// looks to those behind as if it were paused itself.
    pub(super) fn pause_line(&mut self, universe: &Universe) {
        let was_paused = |pid: Pid| {
            let process = self.process(pid);
            process.is_some_and(|process| self.could_go_on(universe, pid, process))
        };
        let is_blocked =
            self.files.file(Name::Mutex, 0).is_some() || self.line().next().is_some_and(was_paused);
        let placed = self.everyone().filter(|(_, process)| process.truth.stand == Stand::Placed);
        let freed: Vec<_> =
            placed.map(|(pid, _)| pid).filter(|pid| is_blocked || was_paused(*pid)).collect();
        for pid in freed {
            self.is_served(pid);
            self.change(pid, |process| process.truth.stand = Stand::Freed);
        }
    }

    /// Those who live and whose tickets have numbers, in order.
    fn line(&self) -> impl Iterator<Item = Pid> + '_ {
        let queued = self.files.names().filter(|(name, ..)| is_queued(*name));
        queued.filter_map(|(_, _, ino)| {
            let maker = self.files.inode(ino)?.maker?;
            let process = self.process(maker.pid)?;
            let is_there = process.life == Life::Running && process.round == maker.round;
            is_there.then_some(maker.pid)
        })
    }

    fn could_go_on(&self, universe: &Universe, pid: Pid, process: &Process) -> bool {
        let call = self.call(universe, pid);
        let effect = call.as_ref().and_then(|call| call.core());
        effect.is_some_and(|effect| {
            !matches!(effect, Effect::Sleep { .. }) || self.wake(process, effect).is_some()
        })
    }

    fn change(&mut self, pid: Pid, change: impl FnOnce(&mut Process)) {
        if let Some(process) = self.process(pid) {
            let mut process = Process::clone(process);
            change(&mut process);
            self.put(pid, process);
        }
    }
}

/// Whoever has no bit is not followed.
fn bit(pid: Pid) -> u64 {
    1_u64.checked_shl(pid.into()).unwrap_or_default()
}
