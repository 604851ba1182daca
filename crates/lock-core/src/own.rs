//! A contender's or an owner's own ticket, as it goes into the mutex and out of it.

use crate::chores::Chores;
use crate::effect::{Name, Slot};
use crate::inside::Inside;
use crate::machine::{Context, Medium, Ownership};
use crate::queue::Place;
use crate::snapshot::FileId;
use crate::ticket::Fresh;
use crate::time::Now;

/// The ticket of one who wants to enter the mutex; open in [`Own::slot`] if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Own {
    who: Who,
    pub(crate) medium: Medium,
    id: Option<FileId>,
    fresh: Fresh,
}

/// An inode that can be given the names of roles, and where it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Linkable {
    pub(crate) id: FileId,
    pub(crate) slot: Slot,
}

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    /// A contender's: there is none yet, and a new one is needed whenever the last name of the
    /// old one is gone.
    Contender,
    /// A contender's that stands in the queue, under this number.
    Waiter(u64),
    /// An owner's: it is the lock. Once that has lost its name it can never be linked again.
    Owner,
    /// An owner's second one, which is the mutex and nothing else, for one stay in the mutex. It is
    /// never passed on, so it falls free with its maker. The first one is the lock, and was the
    /// mutex too before others inherited it.
    MutexOnly { lock: FileId },
}

impl Own {
    /// A contender's that is still to be made.
    pub(crate) const fn none(medium: Medium) -> Self {
        Self { who: Who::Contender, medium, id: None, fresh: Fresh::NEVER }
    }

    /// A waiter's.
    pub(crate) const fn waiting(place: Place) -> Self {
        let Place { medium, number, ticket, fresh } = place;
        Self { who: Who::Waiter(number), medium, id: Some(ticket), fresh }
    }

    /// An owner's, which was last written when it renewed; or if that is shared, another that is
    /// still to be made.
    pub(crate) fn owning(ownership: &Ownership) -> Self {
        let Ownership { medium, ticket, record, shared, .. } = ownership;
        if *shared && medium.has_links() {
            return Self { who: Who::MutexOnly { lock: *ticket }, ..Self::none(*medium) };
        }
        Self { who: Who::Owner, medium: *medium, id: Some(*ticket), fresh: Fresh::of(record) }
    }

    /// It has just been made and written.
    pub(crate) const fn made(self, id: FileId, now: Now) -> Self {
        Self { id: Some(id), fresh: Fresh::since(now), ..self }
    }

    /// Where it is open.
    pub(crate) fn slot(&self) -> Slot {
        match self.who {
            Who::MutexOnly { .. } => Slot::Mutex,
            Who::Contender | Who::Waiter(_) | Who::Owner => Slot::Ticket,
        }
    }

    /// Whether one has to be made first.
    pub(crate) const fn is_missing(&self) -> bool {
        self.medium.has_links() && self.id.is_none()
    }

    /// Whether it can be given names.
    pub(crate) fn is_ready(&self) -> bool {
        self.linkable().is_some()
    }

    /// In the queue, under this number.
    pub(crate) fn place(&self, number: u64) -> Option<Place> {
        let Self { medium, fresh, .. } = *self;
        self.id.map(|ticket| Place { medium, number, ticket, fresh })
    }

    /// The inode that roles are links to, where they are.
    pub(crate) fn linkable(&self) -> Option<Linkable> {
        let id = self.id.filter(|_| self.medium.has_links())?;
        Some(Linkable { id, slot: self.slot() })
    }

    /// The inode that means, if the mutex leads to it, that we are in the mutex already: we could
    /// not remove that name the last time.
    pub(crate) fn in_the_mutex(&self) -> Option<FileId> {
        match self.who {
            Who::MutexOnly { lock } => Some(lock),
            Who::Contender | Who::Waiter(_) | Who::Owner => self.linkable().map(|own| own.id),
        }
    }

    /// Whether it is to be touched before it is linked, which is then done.
    pub(crate) fn wants_touch(&mut self, context: &Context, now: Now) -> bool {
        self.linkable().is_some() && self.fresh.wants_touch(context, now)
    }

    /// Whether a name that it has lost was its last.
    pub(crate) fn is_spent_without_a_role(&self) -> bool {
        self.is_without_a_role() && self.medium == Medium::Anonymous
    }

    /// Whether it has had a name to lose before it came here: it cannot be linked any more then,
    /// while one that has never had a name can, unless the directory is gone.
    pub(crate) fn had_a_name(&self) -> bool {
        !self.is_without_a_role()
    }

    /// Whether it is of one who wants the lock.
    pub(crate) fn is_contenders(&self) -> bool {
        matches!(self.who, Who::Contender | Who::Waiter(_))
    }

    fn is_without_a_role(&self) -> bool {
        matches!(self.who, Who::Contender | Who::MutexOnly { .. })
    }

    /// In the mutex, by an inode of ours.
    pub(crate) fn inside(&self, mutex: FileId) -> Inside {
        self.within(Inside::new(self.medium, self.slot(), mutex))
    }

    /// The same by another way.
    pub(crate) fn within(&self, inside: Inside) -> Inside {
        let number = match self.who {
            Who::Waiter(number) => Some(number),
            Who::Contender | Who::Owner | Who::MutexOnly { .. } => None,
        };
        Inside { ticket: self.id, number, ..inside }
    }

    /// A ticket that was born with a name loses it as soon as it has a better one.
    pub(crate) fn drop_birth_name(&self) -> Chores {
        match (self.who, self.medium, self.id) {
            (Who::Contender | Who::MutexOnly { .. }, Medium::Linked, Some(id)) => {
                Chores::new().vacate(Name::Ticket, id)
            }
            _ => Chores::new(),
        }
    }

    /// The way out of the mutex for one that is about to drop its ticket, which may be the mutex.
    pub(crate) fn leave_to_drop(&self, inside: &Inside) -> Chores {
        match self.is_ready() {
            true => inside.vacate(),
            false => inside.leave(),
        }
    }

    /// A contender's goes, from the queue as well. An owner keeps its own.
    pub(crate) fn drop(&mut self) -> Chores {
        let chores = match self.who {
            Who::Owner => return Chores::new(),
            Who::Waiter(number) => Chores::new().forget(number),
            Who::Contender | Who::MutexOnly { .. } => self.drop_birth_name(),
        };
        let slot = self.slot();
        if let Who::Waiter(_) = self.who {
            self.who = Who::Contender;
        }
        match self.id.take() {
            Some(_) => chores.let_go(slot, self.medium),
            None => chores,
        }
    }
}
