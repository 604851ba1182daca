//! Being in the mutex, and getting out of it.

use crate::chores::Chores;
use crate::effect::{Name, Slot};
use crate::machine::Medium;
use crate::snapshot::FileId;

/// In the mutex: what is needed to get out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Inside {
    pub(crate) medium: Medium,
    /// Our ticket; without links a contender has none yet.
    pub(crate) ticket: Option<FileId>,
    /// The ticket's number in the queue, if it stands there.
    pub(crate) number: Option<u64>,
    /// The inode that the mutex leads to.
    pub(crate) mutex: FileId,
    /// Where that inode is open.
    pub(crate) slot: Slot,
}

impl Inside {
    /// By a mutex that was claimed with the inode in `own`, or without hard links with a file
    /// of its own.
    pub(crate) const fn new(medium: Medium, own: Slot, mutex: FileId) -> Self {
        let slot = if medium.has_links() { own } else { Slot::Mutex };
        Self { medium, ticket: None, number: None, mutex, slot }
    }

    /// By a reclaim lock that became the mutex.
    pub(crate) const fn by_reaping(medium: Medium, own: Slot, mutex: FileId) -> Self {
        let slot = if medium.has_links() { own } else { Slot::Reclaim };
        Self { medium, ticket: None, number: None, mutex, slot }
    }

    /// The way out of the mutex.
    pub(crate) fn leave(&self) -> Chores {
        self.vacate().then(self.let_go())
    }

    /// Its first half: the name goes, and with it we are out.
    pub(crate) fn vacate(&self) -> Chores {
        Chores::new().vacate(Name::Mutex, self.mutex)
    }

    /// Its second: the file goes, where it is none but the mutex.
    pub(crate) fn let_go(&self) -> Chores {
        match self.slot {
            Slot::Ticket => Chores::new(),
            slot => Chores::new().let_go(slot, self.medium),
        }
    }

    /// The way out for a new owner: whoever is next in the queue need not find us there.
    pub(crate) fn vacate_as_owner(&self) -> Chores {
        self.number.into_iter().fold(Chores::new(), Chores::forget).then(self.vacate())
    }

    /// The way out for a contender that does not become owner yet. A ticket that stands in
    /// the queue stays there; any other has lost its last name, and is of no more use.
    pub(crate) fn step_back(&self) -> Chores {
        match self.number {
            Some(_) => self.leave(),
            None => self.abandon(),
        }
    }

    /// The way out for a contender that does not become owner.
    pub(crate) fn abandon(&self) -> Chores {
        let chores = self.leave();
        match self.ticket {
            Some(_) if self.medium.has_links() => {
                let chores = self.number.into_iter().fold(chores, Chores::forget);
                chores.let_go(Slot::Ticket, self.medium)
            }
            _ => chores,
        }
    }
}
