//! How an attempt at the mutex ends.

use alloc::boxed::Box;
use core::time::Duration;

use crate::effect::Slot;
use crate::inside::Inside;
use crate::own::Own;
use crate::record::Record;

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Entry {
    /// We are in the mutex.
    Entered(Inside),
    /// Another is there; we have a ticket to stand in the queue with.
    Crowded(Own),
    /// Another is in the way that has not let go for so long, and our policy is to end it.
    Stuck { own: Own, holder: Holder, waited: Duration },
    /// Our ticket has no name left: we were the owner, or stood in the queue, and are not any more.
    Lost,
}

/// Who is in the way, and where its file is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Holder {
    pub(crate) slot: Slot,
    pub(crate) record: Box<Record>,
}
