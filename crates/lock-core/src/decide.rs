//! What a contender does about a verdict: its policy's say, and its memory of the wait.

use alloc::boxed::Box;

use crate::effect::Signal;
use crate::machine::{Context, Failure, Reason, Takeover};
use crate::policy::OnTimeout;
use crate::record::{Detail, Record, Token};
use crate::snapshot::Snapshot;
use crate::time::{Boot, Now};
use crate::verdict::{Patience, Verdict, judge};

/// A contender's mind: whom it waits for, since when, and what it has done about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mind {
    patience: Patience,
    /// Seldom any, and a contender's state is moved with every call that it makes.
    sentence: Option<Box<Sentence>>,
    waiting: Option<Waiting>,
}

/// Whom a contender waits for, for those who want to tell a person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Waiting {
    /// The owner, if its file can be read.
    pub owner: Option<Box<Record>>,
    /// Since when this contender has waited for it.
    pub since: Boot,
    /// When it will have waited long enough.
    pub until: Boot,
}

/// An owner, or a mutex's holder, that is being ended before its lock is taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sentence {
    pub(crate) pid: u32,
    pub(crate) since: Boot,
    pub(crate) token: Token,
    pub(crate) signal: Signal,
    /// When it should have worked.
    pub(crate) until: Boot,
}

/// What to do about a snapshot.
pub(crate) enum Decision {
    Take(Option<Takeover>),
    Wait { until: Boot },
    Signal(Sentence),
    GiveUp(Failure),
}

impl Mind {
    pub(crate) const fn new(now: Now) -> Self {
        Self { patience: Patience::new(now), sentence: None, waiting: None }
    }

    /// Whom it waits for, while it does.
    pub(crate) const fn waiting(&self) -> Option<&Waiting> {
        self.waiting.as_ref()
    }

    /// A signal was sent, or found nobody: the lock is then held by something that the
    /// owner left behind, or by a process that we cannot see. Wait and see, then try harder.
    pub(crate) fn signalled(&mut self, sentence: Sentence) {
        self.sentence = Some(Box::new(sentence));
    }

    /// The verdict, and what this contender's policy makes of it.
    pub(crate) fn decide(&mut self, context: &Context, now: Now, snapshot: &Snapshot) -> Decision {
        let Context { policy, here, .. } = context;
        let since = self.patience.since(policy, snapshot, now);
        let deadline = since.after(policy.max_wait);
        let from = snapshot.record().cloned().map(Box::new);
        self.waiting = None;
        let reason = match judge(policy, here, now, snapshot, since) {
            Verdict::Free => return Decision::Take(None),
            Verdict::Stale(stale) => Reason::Stale(stale),
            Verdict::TimedOut => Reason::TimedOut,
            Verdict::Wait { until } => {
                self.waiting = Some(Waiting { owner: from, since, until: deadline });
                return Decision::Wait { until };
            }
        };
        let dead = matches!(reason, Reason::Stale(stale) if !stale.owner_lives());
        match (policy.on_timeout, from) {
            (OnTimeout::Fail, owner) if !dead && now.boot >= deadline => {
                Decision::GiveUp(Failure::TimedOut { owner })
            }
            // Whoever means to give up rather than take over gains nothing from a silent
            // owner before its own time is up; that owner may yet come back.
            (OnTimeout::Fail, owner) if !dead => {
                self.waiting = Some(Waiting { owner, since, until: deadline });
                Decision::Wait { until: deadline }
            }
            (OnTimeout::Stop, owner) if !dead && policy.no_wait => {
                Decision::GiveUp(Failure::Busy { owner })
            }
            (OnTimeout::Stop, Some(owner)) if !dead => self.stop(context, now, owner),
            (OnTimeout::Stop, None) if !dead => Decision::GiveUp(Failure::Survived { owner: None }),
            (_, from) => Decision::Take(Some(Takeover { reason, from })),
        }
    }

    /// End the owner first, and take the lock only when the kernel says that it is gone.
    fn stop(&mut self, context: &Context, now: Now, owner: Box<Record>) -> Decision {
        match &self.sentence {
            Some(sentence) if sentence.token == owner.token && now.boot < sentence.until => {
                let (since, until) = (self.patience.began(), sentence.until);
                self.waiting = Some(Waiting { owner: Some(owner), since, until });
                Decision::Wait { until }
            }
            _ => match self.sentence_for(context, now, &owner) {
                Some(sentence) => Decision::Signal(sentence),
                None => Decision::GiveUp(Failure::Survived { owner: Some(owner) }),
            },
        }
    }

    /// The next thing to do to this owner: ask first, then kill; then there is nothing left.
    /// A pid means nothing on another host, and a peer's record does not say which it is. Our
    /// own would be the end of us: the owner is another thread of this process, or has the
    /// same pid in another pid namespace.
    pub(crate) fn sentence_for(
        &self,
        context: &Context,
        now: Now,
        owner: &Record,
    ) -> Option<Sentence> {
        let signal = match &self.sentence {
            Some(last) if last.token == owner.token => match last.signal {
                Signal::Term => Signal::Kill,
                Signal::Kill => return None,
            },
            _ => Signal::Term,
        };
        let here = |detail: &&Detail| detail.host == context.here && owner.pid != context.pid;
        let detail = owner.detail.as_ref().filter(here)?;
        Some(Sentence {
            pid: owner.pid,
            since: detail.since,
            token: owner.token.clone(),
            signal,
            until: now.boot.after(context.policy.grace),
        })
    }
}
