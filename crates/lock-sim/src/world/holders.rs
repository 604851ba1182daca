//! Which processes run, which have an inode kernel-locked, and what a signal to those does.

use lock_core::effect::{Event, Signal, Slot};

use super::World;
use super::death::Heirs;
use super::files::{Ino, Pid};
use super::process::{Life, Process};
use crate::scope::Universe;
use crate::sketch::children;

/// A process of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    /// A contender.
    Itself(Pid),
    /// What a contender has started: it has inherited the ticket and nothing else.
    Children(Pid),
}

impl World {
    /// Whether a process runs. One that is being killed does until its files are closed.
    pub(super) fn ask_process(&self, universe: &Universe, process_id: u32) -> Event {
        let runs = self.everyone().any(|(pid, process)| {
            let runs = matches!(process.life, Life::Running | Life::Dying);
            runs && universe.process_id(pid) == process_id
        });
        if runs { Event::Done } else { Event::Absent }
    }

    /// Those that have a file kernel-locked: for themselves, or in whatever way.
    fn holders(&self, file: Option<Ino>, exclusively: bool) -> Vec<Holder> {
        let inode = file.and_then(|ino| self.files.inode(ino));
        let shared = inode.into_iter().flat_map(|inode| &inode.shared).filter(|_| !exclusively);
        let locks = inode.and_then(|inode| inode.exclusive.as_ref()).into_iter().chain(shared);
        let mut holders = Vec::new();
        for (pid, slot) in locks {
            let Some(holder) = self.process(*pid) else {
                continue;
            };
            if matches!(holder.life, Life::Running | Life::Dying) {
                holders.push(Holder::Itself(*pid));
            }
            if holder.children && *slot == Slot::Ticket {
                holders.push(Holder::Children(*pid));
            }
        }
        holders.sort_unstable();
        holders.dedup();
        holders
    }

    /// Answers a question for them.
    pub(super) fn list_holders(&self, universe: &Universe, file: Option<Ino>) -> Event {
        Event::Holders(process_ids(universe, self.holders(file, false)))
    }

    /// Signals those that have it for themselves, but not the sender: others only ask. A contender ignores SIGTERM, as one that is stopped or
    /// hangs would; what it has started ends.
    pub(super) fn signal(
        &mut self,
        universe: &Universe,
        (sender, process): (Pid, &Process),
        slot: Slot,
        spared: Option<u32>,
        signal: Signal,
    ) -> Event {
        let file = process.fd(slot).map(|fd| fd.ino);
        let mut holders = self.holders(file, true);
        holders.retain(|holder| match holder {
            Holder::Itself(pid) => {
                let process_id = universe.process_id(*pid);
                process_id != universe.process_id(sender) && spared != Some(process_id)
            }
            Holder::Children(_) => true,
        });
        for holder in &holders {
            self.check_limit(universe, process, (slot, file), *holder);
            match (*holder, signal) {
                (Holder::Itself(_), Signal::Term) => {}
                (Holder::Itself(pid), Signal::Kill) => {
                    let _ = self.kill_process(universe, pid, Heirs::None);
                }
                (Holder::Children(pid), _) => {
                    let _ = self.end_work(pid);
                }
            }
        }
        Event::Holders(process_ids(universe, holders))
    }
}

fn process_ids(universe: &Universe, holders: Vec<Holder>) -> Vec<u32> {
    let ids = holders.into_iter().map(|holder| match holder {
        Holder::Itself(pid) => universe.process_id(pid),
        Holder::Children(pid) => children(universe.process_id(pid)),
    });
    let mut ids = ids.collect::<Vec<_>>();
    ids.sort_unstable();
    ids.dedup();
    ids
}
