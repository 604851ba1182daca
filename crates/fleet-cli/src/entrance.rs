//! The way into a lock, as its journal has it.

use std::time::Duration;

use lock_fs::{Boot, Generation, Guard, Mono, Notice, Now, Record, Takeover};

use crate::journal::{GaveUp, Journal, Other, Problem, Reason, Signal, What};
use crate::locking::Acquired;
use crate::tenure::{Tenure, millis};

/// A contender that writes down how it fares.
#[derive(Debug)]
pub(crate) struct Entrance {
    journal: Journal,
    begun: Boot,
    /// Whether its wait is written down.
    waits: bool,
    /// Whom it has waited for first; everyone who had the lock after that one as well.
    since: Option<Generation>,
    /// Whom it took over from, why, and when.
    took_over: Option<(Takeover, Mono)>,
}

impl Entrance {
    /// One that begins now.
    pub(crate) fn new(journal: Journal) -> Self {
        let begun = journal.now().boot;
        Self { journal, begun, waits: false, since: None, took_over: None }
    }

    /// Something happened on the way.
    pub(crate) fn note(&mut self, notice: &Notice) {
        match notice {
            Notice::Waiting { owner, .. } => {
                // In line behind others it hears of few of them; their generations are larger.
                self.since = self.since.or(owner.as_deref().and_then(Record::generation));
                // Once is enough, or many that wait for many would fill the journal.
                if !std::mem::replace(&mut self.waits, true) {
                    let owner = owner.as_deref().map(Other::from);
                    self.journal.write(self.journal.now(), None, What::Waiting { owner });
                }
            }
            Notice::Signalled { pids, owner, signal } => {
                for target in pids {
                    let owner = owner.as_deref().map(Other::from);
                    let ends = What::Ends { target: *target, signal: Signal::from(*signal), owner };
                    self.journal.write(self.journal.now(), None, ends);
                }
            }
            Notice::TookOver(takeover) => {
                self.took_over = Some((takeover.clone(), self.journal.now().mono));
            }
            _ => {}
        }
    }

    /// It has the lock.
    pub(crate) fn succeeded(self, guard: Guard) -> Acquired {
        let now = self.journal.now();
        let waited_ms = self.waited_ms(now);
        // Some of it has passed while the old owner's processes were waited for.
        let takeover = self.took_over.map(|(mut takeover, at)| {
            takeover.in_flight = takeover.in_flight.saturating_sub(now.mono.since(at));
            takeover
        });
        let guard = Tenure::new(guard, self.journal, now);
        let (what, from) = match &takeover {
            None => (What::Acquired { waited_ms }, None),
            Some(takeover) => {
                let (reason, owner) = (Reason::from(takeover), takeover.from.as_deref());
                let from = owner.map(Other::from);
                (What::TookOver { waited_ms, reason, from }, owner.and_then(Record::generation))
            }
        };
        guard.begun(what);
        Acquired { guard, since: self.since, from, takeover }
    }

    /// It ends without the lock.
    pub(crate) fn failed(self, reason: GaveUp, owner: Option<&Record>) -> Option<Problem> {
        let now = self.journal.now();
        let waited_ms = self.waited_ms(now);
        let gave_up = What::GaveUp { waited_ms, reason, owner: owner.map(Other::from) };
        if reason == GaveUp::Error {
            // Where the lock itself could not be made, the journal's trouble is no news.
            self.journal.add(now, gave_up);
            return None;
        }
        self.journal.write(now, None, gave_up);
        self.journal.problem()
    }

    /// For how long it has tried.
    pub(crate) fn waited(&self) -> Duration {
        self.journal.now().boot.since(self.begun)
    }

    fn waited_ms(&self, now: Now) -> u64 {
        millis(now.boot.since(self.begun))
    }
}
