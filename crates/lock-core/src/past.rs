//! What was waited for and is over, but still open.
//!
//! Whoever closes an inode without a name last frees it, and that takes longer than most of the
//! calls of a hand-off. The maker is about to close it, too; so a waiter whose turn it is goes on
//! first, and closes when it has the lock behind it or something else to do. With two in turns
//! that was a fifth more owner changes, with eight a tenth.

use crate::chores::Chores;
use crate::effect::Slot;
use crate::snapshot::FileId;

/// The files of those who have left. They stay open until their slot is needed for another, and
/// when their waiter has become owner: what follows its release, or its first act, closes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Past {
    /// The ticket that was before ours in the queue, in [`Slot::Ahead`].
    pub(crate) ahead: bool,
    /// The lock file that is gone, in [`Slot::Judged`].
    pub(crate) judged: Option<FileId>,
}

impl Past {
    /// Closes it all; nothing to do, if there is none.
    pub(crate) fn close(&mut self) -> Chores {
        let Self { ahead, judged } = core::mem::take(self);
        let chores = match ahead {
            true => Chores::new().close(Slot::Ahead),
            false => Chores::new(),
        };
        match judged {
            Some(_) => chores.close(Slot::Judged),
            None => chores,
        }
    }
}
