//! Reading a lock file into a snapshot.

use crate::effect::{Effect, Event, Name, Share, Slot};
use crate::machine::{Failure, Flow, Medium, Refusal};
use crate::record::Record;
use crate::snapshot::{Defect, FileId, KernelLock, Seen, Snapshot};

/// Takes a snapshot. The lock file, if there is one, stays open in its slot, so that its inode
/// number cannot become another's while we rely on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Look {
    medium: Medium,
    slot: Slot,
    file: File,
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
}

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
    /// Asked in shared mode, because askers must not look like owners to each other.
    Lock(FileId),
    Unlock(FileId),
    Read(FileId, KernelLock),
}

impl Look {
    /// With no file open yet.
    pub(crate) const fn new(medium: Medium) -> Self {
        Self { medium, slot: Slot::Judged, file: File::New, at: At::Open }
    }

    /// As a new one, but through another slot.
    pub(crate) const fn through(slot: Slot, medium: Medium) -> Self {
        Self { slot, ..Self::new(medium) }
    }

    /// With the file of an earlier look still open. If there is no lock file any more, it stays
    /// open, and is the same.
    pub(crate) const fn again(medium: Medium, open: FileId) -> Self {
        Self { medium, slot: Slot::Judged, file: File::Same, at: At::Again(open) }
    }

    pub(crate) fn effect(&self) -> Effect {
        let slot = self.slot;
        match self.at {
            At::Again(_) => Effect::Look(Name::Lock),
            At::Close | At::CloseGone => Effect::Close(slot),
            At::Open => Effect::Open { slot, name: Name::Lock, write: false },
            At::Stat => Effect::Stat(slot),
            At::Lock(_) => Effect::Lock(slot, Share::Shared),
            At::Unlock(_) => Effect::Unlock(slot),
            At::Read(..) => Effect::Read(slot),
        }
    }

    pub(crate) fn step(mut self, event: &Event) -> Flow<Self, Result<Looked, Failure>> {
        self.at = match (&self.at, event) {
            (At::Again(id), event) if event.leads_to(*id) => self.arbitrate(*id),
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
                None => self.arbitrate(stat.id),
            },
            (At::Lock(id), Event::Done) => At::Unlock(*id),
            (At::Lock(id), Event::Busy) => At::Read(*id, KernelLock::Held),
            (At::Lock(id), Event::Unsupported) => At::Read(*id, KernelLock::Unknown),
            (At::Unlock(id), _) => At::Read(*id, KernelLock::Free),
            (At::Read(id, kernel), Event::Bytes(bytes)) => {
                let content = Record::parse(bytes).map_err(Defect::from);
                return self.seen(*id, *kernel, content);
            }
            (At::Read(id, kernel), Event::Failed(errno)) => {
                return self.seen(*id, *kernel, Err(Defect::Unreadable(errno.0)));
            }
            (_, event) => return Flow::Done(Err(Failure::of(&self.effect(), event))),
        };
        Flow::Go(self)
    }

    const fn arbitrate(&self, id: FileId) -> At {
        match self.medium.has_kernel_locks() {
            true => At::Lock(id),
            false => At::Read(id, KernelLock::Unknown),
        }
    }

    fn seen(
        &self,
        id: FileId,
        kernel: KernelLock,
        content: Result<Record, Defect>,
    ) -> Flow<Self, Result<Looked, Failure>> {
        self.done(Snapshot::Present(Seen { id, kernel, content }))
    }

    const fn done(&self, snapshot: Snapshot) -> Flow<Self, Result<Looked, Failure>> {
        Flow::Done(Ok(Looked { snapshot, file: self.file }))
    }
}
