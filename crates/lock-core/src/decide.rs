//! What a contender does about a verdict: its policy's say, and its memory of the wait.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::effect::{Effect, Event, Signal, Slot};
use crate::machine::{Context, Failure, Reason, Takeover};
use crate::own::Own;
use crate::policy::{HURRIED_MUTEX_PATIENCE, OnTimeout};
use crate::record::{Inode, Record, Token};
use crate::snapshot::{FileId, KernelLock, Seen, Snapshot};
use crate::stall::Patience;
use crate::time::{Mono, Now};
use crate::verdict::{Counts, Limit, Observer, Verdict, judge, longest_sleep};

/// A contender's mind: whom it waits for, since when, and what it has done about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mind {
    observer: Observer,
    /// Seldom any, and a contender's state is moved with every call that it makes.
    sentence: Option<Box<Sentence>>,
    waiting: Option<Waiting>,
    /// How many stand before it in the queue.
    before: u32,
}

/// Whom a contender waits for, for those who want to tell a person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Waiting {
    /// The owner, if its file can be read.
    pub owner: Option<Box<Record>>,
    /// Since when this contender has waited for it.
    pub since: Mono,
    /// When the contender's own wait limit is over, if it has one.
    pub until: Option<Mono>,
    /// How many others wait before this one; fewer, if some have left since it counted them.
    pub before: u32,
}

/// An owner, or a mutex's holder, that is being ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sentence {
    pub(crate) pid: u32,
    pub(crate) token: Token,
    pub(crate) signal: Signal,
    /// When it should have worked.
    pub(crate) until: Mono,
    /// Which processes were sent one.
    pub(crate) signalled: Vec<u32>,
}

/// Where to go on after a signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Resume {
    /// The lock file's owner is being ended: wait for that.
    Wait { seen: FileId },
    /// The mutex's holder, whose file is open there, is being ended: try to enter again, with the
    /// same ticket.
    Enter(Own, Slot),
}

impl Resume {
    /// Where the file is open whose holders are signalled.
    pub(crate) const fn slot(&self) -> Slot {
        match self {
            Self::Wait { .. } => Slot::Judged,
            Self::Enter(_, slot) => *slot,
        }
    }
}

/// What to do about a snapshot.
pub(crate) enum Decision {
    Take(Option<Takeover>),
    /// Not before `until`, and not without a look for longer than `sleep`.
    Wait {
        until: Mono,
        sleep: Duration,
    },
    Signal(Sentence),
    GiveUp(Failure),
}

impl Mind {
    pub(crate) const fn new(now: Now) -> Self {
        Self { observer: Observer::new(now), sentence: None, waiting: None, before: 0 }
    }

    /// Whom it waits for, while it does.
    pub(crate) const fn waiting(&self) -> Option<&Waiting> {
        self.waiting.as_ref()
    }

    /// So many stand before it in the queue.
    pub(crate) const fn stands_behind(&mut self, before: u32) {
        self.before = before;
        if let Some(waiting) = &mut self.waiting {
            waiting.before = before;
        }
    }

    /// A sleep begins that ends at this instant, at the latest.
    pub(crate) fn sleeps(&mut self, now: Now, until: Mono) {
        self.observer.plan(now, until.since(now.mono));
    }

    /// A signal was sent: wait and see, then try harder. If no process could be sent one, the
    /// next look decides: they may just have ended.
    pub(crate) fn signalled(
        &mut self,
        context: &Context,
        now: Now,
        mut sentence: Sentence,
        signalled: &[u32],
    ) {
        if signalled.is_empty() {
            sentence.until = sentence.until.min(now.mono.after(context.policy.poll));
        }
        sentence.signalled.extend(signalled);
        self.sentence = Some(Box::new(sentence));
    }

    /// Whether this owner, or mutex's holder, is being ended.
    pub(crate) fn is_ending(&self, record: &Record) -> bool {
        self.sentence.as_ref().is_some_and(|sentence| sentence.token == record.token)
    }

    /// How long this contender waits for the mutex: its own limit ends that wait too.
    pub(crate) fn mutex_patience(&self, context: &Context) -> Patience {
        let policy = &context.policy;
        match (policy.no_wait, policy.wait_limit, policy.on_timeout) {
            (true, ..) => {
                let began = self.observer.limit_from(OnTimeout::Fail);
                Patience::Until { began, limit: HURRIED_MUTEX_PATIENCE }
            }
            (false, None, _) => Patience::PerHolder(Duration::MAX),
            (false, Some(limit), OnTimeout::Fail) => {
                Patience::Until { began: self.observer.limit_from(OnTimeout::Fail), limit }
            }
            (false, Some(limit), OnTimeout::Stop) => Patience::PerHolder(limit),
        }
    }

    /// The verdict, and what this contender's policy makes of it. Counts as a look.
    pub(crate) fn decide(&mut self, context: &Context, now: Now, snapshot: &Snapshot) -> Decision {
        let Context { policy, here, .. } = context;
        let counts = self.observer.look(policy, snapshot, now);
        let from = snapshot.record().cloned().map(Box::new);
        self.waiting = None;
        let sleep = longest_sleep(policy, snapshot);
        match judge(policy, here, now, snapshot, &counts) {
            Verdict::Free => Decision::Take(None),
            Verdict::Stale(stale) => {
                Decision::Take(Some(takeover(Reason::Stale(stale), snapshot, &counts)))
            }
            Verdict::TimedOut(Limit::Owner) => {
                Decision::Take(Some(takeover(Reason::TimedOut, snapshot, &counts)))
            }
            Verdict::Wait { until } => {
                self.waits_for(context, from);
                Decision::Wait { until, sleep }
            }
            Verdict::TimedOut(Limit::Waiter) => match policy.on_timeout {
                OnTimeout::Fail => Decision::GiveUp(Failure::TimedOut { owner: from }),
                OnTimeout::Stop => self.stop(context, now, snapshot, from, sleep),
            },
        }
    }

    fn waits_for(&mut self, context: &Context, owner: Option<Box<Record>>) {
        let from = self.observer.limit_from(context.policy.on_timeout);
        self.waiting = Some(Waiting {
            owner,
            since: self.observer.since(),
            until: context.policy.wait_limit.map(|limit| from.after(limit)),
            before: self.before,
        });
    }

    /// End the owner. Only one whose record is ours, and which the kernel says is there.
    fn stop(
        &mut self,
        context: &Context,
        now: Now,
        snapshot: &Snapshot,
        owner: Option<Box<Record>>,
        sleep: Duration,
    ) -> Decision {
        let is_held = matches!(snapshot, Snapshot::Present(Seen { kernel: KernelLock::Held, .. }));
        let Some(owner) = owner.filter(|owner| is_held && owner.detail.is_some()) else {
            let owner = snapshot.record().cloned().map(Box::new);
            return Decision::GiveUp(Failure::Survived { owner, signalled: Vec::new() });
        };
        match &self.sentence {
            Some(sentence) if sentence.token == owner.token && now.mono < sentence.until => {
                let until = sentence.until;
                self.waits_for(context, Some(owner));
                Decision::Wait { until, sleep: sleep.min(context.policy.poll) }
            }
            _ => match self.sentence_for(context, now, &owner) {
                Ok(sentence) => Decision::Signal(sentence),
                Err(signalled) => {
                    Decision::GiveUp(Failure::Survived { owner: Some(owner), signalled })
                }
            },
        }
    }

    /// The next thing to do to this owner: ask first, then kill; then there is nothing left, and
    /// these processes were sent a signal.
    pub(crate) fn sentence_for(
        &self,
        context: &Context,
        now: Now,
        owner: &Record,
    ) -> Result<Sentence, Vec<u32>> {
        let (signal, signalled) = match &self.sentence {
            Some(last) if last.token == owner.token => match last.signal {
                Signal::Term if last.signalled.is_empty() => return Err(Vec::new()),
                Signal::Term => (Signal::Kill, last.signalled.clone()),
                Signal::Kill => return Err(last.signalled.clone()),
            },
            _ => (Signal::Term, Vec::new()),
        };
        Ok(Sentence {
            pid: owner.pid,
            token: owner.token.clone(),
            signal,
            until: now.mono.after(context.policy.grace),
            signalled,
        })
    }
}

/// A takeover, with what the old owner may have left in flight.
fn takeover(reason: Reason, snapshot: &Snapshot, counts: &Counts) -> Takeover {
    let from = snapshot.record().cloned().map(Box::new);
    let terms = from.as_ref().and_then(|record| record.detail.as_ref()).map(|detail| detail.terms);
    let quiet = terms.filter(|terms| terms.preemptible).map_or(Duration::ZERO, |terms| terms.quiet);
    let in_flight = match reason {
        Reason::Stale(_) => quiet.saturating_sub(counts.idle.passed()),
        Reason::TimedOut => Duration::ZERO,
    };
    let held = match snapshot {
        Snapshot::Present(Seen { kernel: KernelLock::Held, id, .. }) => Some(*id),
        _ => None,
    };
    let inherited = from.as_ref().and_then(|record| record.detail.as_ref()?.after);
    let living = from.as_ref().filter(|_| reason.owner_lives());
    let spared = living.map_or(0, |record| record.pid);
    let own = held.map(|FileId { device, inode }| Inode { device, number: inode, spared });
    Takeover { reason, from, in_flight, is_held: held.is_some(), after: inherited.or(own) }
}

impl Sentence {
    /// The signal to whatever has this file locked.
    pub(crate) const fn effect(&self, slot: Slot) -> Effect {
        Effect::Signal { slot, first: self.pid, spared: false, signal: self.signal }
    }

    /// Who was sent it, or why that failed.
    pub(crate) fn sent(&self, slot: Slot, event: &Event) -> Result<Vec<u32>, Failure> {
        match event {
            Event::Holders(pids) => Ok(pids.clone()),
            Event::Absent => Ok(Vec::new()),
            event => Err(Failure::of(&self.effect(slot), event)),
        }
    }
}

#[cfg(test)]
#[path = "stop_tests.rs"]
mod stop_tests;
