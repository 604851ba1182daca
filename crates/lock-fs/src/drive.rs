//! Runs a machine: performs each effect it asks for and tells it what came of it.

use std::fmt;
use std::sync::Arc;

use lock_core::Chores;
use lock_core::effect::{Effect, Event, Signal, Slot};
use lock_core::machine::{Context, Flow, Machine};

use crate::clock::Clock;
use crate::disk::Disk;
use crate::holders::{self, Target};
use crate::watch::{Cancel, Interest, Watcher};
use crate::{cgroup, process};

/// Is shown every effect before it is performed: for tracing, and for tests that stop a
/// process at a chosen call. It must not use the lock.
#[derive(Clone)]
pub struct Tracer(Arc<dyn Fn(&Effect) + Send + Sync>);

impl Tracer {
    /// Calls `show` before each effect.
    pub fn new(show: impl Fn(&Effect) + Send + Sync + 'static) -> Self {
        Self(Arc::new(show))
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracer")
    }
}

/// What may be told of a machine while it runs.
pub(crate) enum Told<'m, M> {
    /// It is about to sleep.
    Sleeps(&'m M),
    /// It has sent these processes a signal.
    Signalled(&'m [u32], Signal),
}

/// What a machine runs in.
pub(crate) struct Driver<'a> {
    pub(crate) clock: &'a Clock,
    pub(crate) tracer: Option<&'a Tracer>,
    pub(crate) watcher: &'a mut Watcher,
    pub(crate) cancel: &'a Cancel,
}

impl Driver<'_> {
    /// Runs `machine` to its end, and tells of it meanwhile.
    pub(crate) fn run<M: Machine>(
        &mut self,
        mut machine: M,
        context: &Context,
        disk: &mut Disk,
        mut tell: impl FnMut(Told<'_, M>),
    ) -> M::Output {
        loop {
            let effect = machine.effect(context);
            if let Some(Tracer(show)) = self.tracer {
                show(&effect);
            }
            let event = match effect {
                Effect::Sleep { until } => {
                    tell(Told::Sleeps(&machine));
                    let limit = until.since(self.clock.now().mono);
                    self.watcher.sleep(limit, self.cancel)
                }
                Effect::Watch(slot) => {
                    let interest = match slot {
                        Slot::Ahead => Interest::End,
                        _ => Interest::NamesAndClose,
                    };
                    self.watcher.watch(disk.file(slot), interest)
                }
                Effect::AskProcess { pid, birth } => process::ask(pid, birth),
                Effect::AskCgroup(ref name) => cgroup::ask(name),
                Effect::ListHolders(slot) => holders::list(disk.file(slot)),
                Effect::ListHoldersOf(inode) => holders::list_of(inode),
                Effect::Signal { slot, first, spared, signal } => {
                    let directory_owner = disk.directory_owner();
                    let alone = slot != Slot::Judged;
                    let target = Target { first, spared, alone, directory_owner };
                    let event = holders::signal(disk.file(slot), target, signal);
                    if let Event::Holders(pids) = &event
                        && !pids.is_empty()
                    {
                        tell(Told::Signalled(pids, signal));
                    }
                    event
                }
                file => disk.perform(&file),
            };
            machine = match machine.step(context, self.clock.now(), event) {
                Flow::Go(machine) => machine,
                Flow::Done(output) => return output,
            };
        }
    }

    /// As [`Driver::run`], for machines that nobody wants to hear of.
    pub(crate) fn finish<M: Machine>(
        &mut self,
        machine: M,
        context: &Context,
        disk: &mut Disk,
    ) -> M::Output {
        self.run(machine, context, disk, |_| {})
    }

    /// Lets go of what machines have left open, except for these slots.
    pub(crate) fn let_go_but(&mut self, kept: &[Slot], context: &Context, disk: &mut Disk) {
        if let Some(chores) = Chores::letting_go(disk.left_open(kept)) {
            // An unlock that fails leaves it to the close, which tells nobody either.
            let _ = self.finish(chores, context, disk);
        }
    }
}

/// What a new owner keeps open: its ticket, and for now what it waited for, whose closing would
/// hold up its work.
pub(crate) const NEW_OWNERS: &[Slot] = &[Slot::Ticket, Slot::Ahead, Slot::Judged];

/// What an owner keeps open between two machines.
pub(crate) const OWNERS: &[Slot] = &[Slot::Ticket];

/// And in the middle of a step: without hard links the mutex is a file of its own, and what was
/// waited for is not closed in the mutex.
pub(crate) const STEPPERS: &[Slot] =
    &[Slot::Ticket, Slot::Mutex, Slot::Reclaim, Slot::Ahead, Slot::Judged];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_that_are_not_about_files_never_reach_the_disk() {
        let directory = tempfile::tempdir().expect("because a temporary directory is needed");
        let lock = camino::Utf8Path::from_path(directory.path())
            .expect("because temporary paths are UTF-8")
            .join("lock");
        let directory = crate::paths::Directory::open(&lock).expect("because it exists");
        let mut disk = Disk::new(Arc::new(directory), "t", std::process::id());
        let event = disk.perform(&Effect::Sleep { until: lock_core::time::Mono(0) });
        assert!(matches!(event, Event::Failed(_)));
    }
}
