//! Reading a lock file into a snapshot.

use alloc::boxed::Box;
use core::time::Duration;

use crate::effect::{Effect, Event, Name, Share, Slot, Wake};
use crate::machine::{Context, Failure, Flow, Medium, Refusal};
use crate::record::{Arbitration, Detail, Record};
use crate::snapshot::{Defect, FileId, KernelLock, Life, Seen, Snapshot};
use crate::time::{Mono, Now};

/// Before a lock that was refused exclusively is asked for again, at least and at most.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Takes a snapshot. The lock file, if there is one, stays open in its slot, so that its inode
/// number cannot become another's while we rely on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Look {
    medium: Medium,
    slot: Slot,
    file: File,
    woken: Option<Wake>,
    at: At,
}

/// Whether a look found the very file that was open before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum File {
    /// It did. An equal inode number alone would not tell: those are reused.
    Same,
    /// Another file, or the first.
    New,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Looked {
    pub(crate) snapshot: Snapshot,
    pub(crate) file: File,
    /// What its pause was cut short by: a waiter that watches another file is told of that only once.
    pub(crate) woken: Option<Wake>,
}

/// Apart, because a machine is moved several times with each call that it makes.
type Content = Box<Result<Record, Defect>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    /// A file looked at before is still open: does the path still lead there?
    Again(FileId),
    /// It does not.
    Close,
    Open,
    /// What we have opened has lost its name meanwhile.
    CloseGone,
    Stat,
    Read(FileId),
    /// A record of ours is asked about in shared mode, because askers must not look like owners to
    /// each other. Anything else is asked exclusively, because a shared lock owns it too.
    Lock(FileId, Content),
    /// It was refused exclusively, perhaps because of another who asks: once more, after a pause.
    Pause(FileId, Content, Mono),
    LockAgain(FileId, Content),
    Unlock(FileId, Content),
    AskProcess(FileId, KernelLock, Content),
    AskCgroup(FileId, Content),
}

impl Look {
    /// With no file open yet.
    pub(crate) const fn new(medium: Medium) -> Self {
        Self::through(Slot::Judged, medium)
    }

    /// As a new one, but through another slot.
    pub(crate) const fn through(slot: Slot, medium: Medium) -> Self {
        Self { medium, slot, file: File::New, woken: None, at: At::Open }
    }

    /// With the file of an earlier look still open. If there is no lock file any more, it stays
    /// open, and is the same.
    pub(crate) const fn again(medium: Medium, open: FileId) -> Self {
        let (slot, file, woken) = (Slot::Judged, File::Same, None);
        Self { medium, slot, file, woken, at: At::Again(open) }
    }

    pub(crate) fn effect(&self) -> Effect {
        let slot = self.slot;
        match &self.at {
            At::Again(_) => Effect::Look(Name::Lock),
            At::Close | At::CloseGone => Effect::Close(slot),
            At::Open => Effect::Open { slot, name: Name::Lock, write: false },
            At::Stat => Effect::Stat(slot),
            At::Read(_) => Effect::Read(slot),
            At::Lock(_, content) if is_ours(content) => Effect::Lock(slot, Share::Shared),
            At::Lock(..) | At::LockAgain(..) => Effect::Lock(slot, Share::Exclusive),
            At::Pause(_, _, until) => Effect::Sleep { until: *until },
            At::Unlock(..) => Effect::Unlock(slot),
            At::AskProcess(_, _, content) => Effect::AskProcess {
                pid: record(content).map_or(0, |record| record.pid),
                birth: detail(content).map(|detail| detail.process).unwrap_or_default(),
            },
            At::AskCgroup(_, content) => {
                let cgroup = detail(content).and_then(|detail| detail.cgroup.clone());
                Effect::AskCgroup(cgroup.unwrap_or_default())
            }
        }
    }

    pub(crate) fn step(
        mut self,
        context: &Context,
        now: Now,
        event: &Event,
    ) -> Flow<Self, Result<Looked, Failure>> {
        let failed = Failure::of(&self.effect(), event);
        let at = core::mem::replace(&mut self.at, At::Open);
        self.at = match (at, event) {
            (At::Again(id), event) if event.leads_to(id) => At::Read(id),
            (At::Again(_), Event::Absent) => return self.done(Snapshot::Absent),
            (At::Again(_), Event::Stat(_)) => {
                self.file = File::New;
                At::Close
            }
            (At::Close, _) => At::Open,
            (At::CloseGone, _) => return self.done(Snapshot::Absent),
            (At::Open, Event::Absent) => return self.done(Snapshot::Absent),
            (At::Open, Event::Done) => At::Stat,
            // The kernel counts a name off a moment before it can no longer be found. To wait
            // for such a file would be to look again and again until that moment is over.
            (At::Stat, Event::Stat(stat)) if stat.links == 0 => At::CloseGone,
            (At::Stat, Event::Stat(stat)) => match Refusal::of(stat.kind, stat.foreign) {
                Some(reason) => {
                    return Flow::Done(Err(Failure::Refused { name: Name::Lock, reason }));
                }
                None => At::Read(stat.id),
            },
            (At::Read(id), Event::Bytes(bytes)) => {
                let content = Record::parse(bytes).map_err(Defect::from);
                return self.read(context, id, Box::new(content));
            }
            (At::Read(id), Event::Failed(errno)) => {
                return self.read(context, id, Box::new(Err(Defect::Unreadable(errno.0))));
            }
            (At::Lock(id, content) | At::LockAgain(id, content), Event::Done) => {
                At::Unlock(id, content)
            }
            (At::Lock(id, content), Event::Busy) if !is_ours(&content) => {
                let pause = SHORTEST_PAUSE
                    + (LONGEST_PAUSE - SHORTEST_PAUSE) * context.salt(now.mono.0 as u8) / 256;
                At::Pause(id, content, now.mono.after(pause))
            }
            (At::Pause(id, content, _), event) => {
                self.woken = match event {
                    Event::Woken(wake @ (Wake::Changed | Wake::Closed)) => Some(*wake),
                    _ => None,
                };
                At::LockAgain(id, content)
            }
            (At::Lock(id, content) | At::LockAgain(id, content), Event::Busy) => {
                return self.judged(context, id, KernelLock::Held, content);
            }
            (At::Lock(id, content) | At::LockAgain(id, content), Event::Unsupported) => {
                return self.judged(context, id, KernelLock::Unknown, content);
            }
            (At::Unlock(id, content), _) => {
                return self.judged(context, id, KernelLock::Free, content);
            }
            (At::AskProcess(id, kernel, content), event) => {
                return self.seen(id, kernel, content, answer(event), Life::Unknown);
            }
            (At::AskCgroup(id, content), event) => {
                return self.seen(id, KernelLock::Free, content, Life::Unknown, answer(event));
            }
            (_, _) => return Flow::Done(Err(failed)),
        };
        Flow::Go(self)
    }

    /// The record is read before the kernel is asked: a record of ours that is read from a locked
    /// inode was written by the process that holds it, and asking decides nothing about its content.
    fn read(
        mut self,
        context: &Context,
        id: FileId,
        content: Content,
    ) -> Flow<Self, Result<Looked, Failure>> {
        if !self.medium.has_kernel_locks() {
            return self.judged(context, id, KernelLock::Unknown, content);
        }
        self.at = At::Lock(id, content);
        Flow::Go(self)
    }

    /// What the kernel says is known. Where that is not enough, the process or the cgroup is asked
    /// about, if the record is of this machine and boot.
    fn judged(
        mut self,
        context: &Context,
        id: FileId,
        kernel: KernelLock,
        content: Content,
    ) -> Flow<Self, Result<Looked, Failure>> {
        let here = detail(&content).filter(|detail| detail.host == context.here);
        let asks_process = |detail: &Detail| {
            let is_timed = detail.arbitration == Arbitration::Timed;
            let is_preemptible = detail.terms.preemptible && kernel == KernelLock::Held;
            let is_known = detail.process.start != 0 && detail.process.pidns == context.birth.pidns;
            is_known && (is_timed || is_preemptible || kernel == KernelLock::Unknown)
        };
        let asks_cgroup = |detail: &Detail| detail.cgroup.is_some() && kernel == KernelLock::Free;
        if here.is_some_and(asks_process) {
            self.at = At::AskProcess(id, kernel, content);
        } else if here.is_some_and(asks_cgroup) {
            self.at = At::AskCgroup(id, content);
        } else {
            return self.seen(id, kernel, content, Life::Unknown, Life::Unknown);
        }
        Flow::Go(self)
    }

    fn seen(
        &self,
        id: FileId,
        kernel: KernelLock,
        content: Content,
        process: Life,
        cgroup: Life,
    ) -> Flow<Self, Result<Looked, Failure>> {
        self.done(Snapshot::Present(Seen { id, kernel, process, cgroup, content: *content }))
    }

    fn done(&self, snapshot: Snapshot) -> Flow<Self, Result<Looked, Failure>> {
        Flow::Done(Ok(Looked { snapshot, file: self.file, woken: self.woken }))
    }
}

fn record(content: &Content) -> Option<&Record> {
    (**content).as_ref().ok()
}

fn detail(content: &Content) -> Option<&Detail> {
    record(content)?.detail.as_ref()
}

/// A record of ours: its kernel lock is exclusive.
fn is_ours(content: &Content) -> bool {
    detail(content).is_some()
}

/// A process that cannot be asked about is counted like one elsewhere; of a cgroup that cannot be,
/// the kernel lock alone speaks.
const fn answer(event: &Event) -> Life {
    match event {
        Event::Done => Life::Running,
        Event::Absent => Life::Ended,
        _ => Life::Unknown,
    }
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
