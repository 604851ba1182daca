//! One process from its start to its end: which machine is behind each call.
//!
//! What the process was to do is known, so each machine of its own begins in turn, when the one
//! before is done and some thread makes the next call on the lock. The keeper's machines are
//! told by their first call, for they come when their time has come.

use std::collections::VecDeque;
use std::time::Duration;

use lock_core::effect::{Effect, Event, Name, Slot};
use lock_core::machine::{Context, Failure, Machine, Medium, Ownership, Takeover};
use lock_core::record::{Generation, Token};
use lock_core::time::Now;
use lock_core::{
    Acquire, Chores, Evict, Glance, Glimpse, Held, Hold, Inspect, Peek, Settle, Settled, Waiters,
};

use super::answer::Trust;
use super::mismatch::{Mismatch, What};
use super::place::{Files, Place};
use super::processes;
use super::replay::Replay;
use super::report::{End, Report};
use super::setup::{self, Who};
use super::tape::{Ahead, Tape, record};
use super::words;
use super::{Act, Subject};
use crate::strace::{self, Call};

const NEW_OWNERS: &[Slot] = &[Slot::Ticket, Slot::Ahead, Slot::Judged];
const OWNERS: &[Slot] = &[Slot::Ticket];
/// What a new owner announces while it waits for what the last one has started, and how much
/// longer than its longest wait.
const SETTLING: &str = "waiting for what the last owner has started";
const MARGIN: Duration = Duration::from_secs(10);
const STEPPERS: &[Slot] = &[Slot::Ticket, Slot::Mutex, Slot::Reclaim, Slot::Ahead, Slot::Judged];

/// A process as far as it has been explained.
pub(crate) struct Session<'a> {
    place: Place,
    tape: Tape<'a>,
    files: Files,
    trust: Option<Trust>,
    acts: VecDeque<Act>,
    context: Context,
    ownership: Option<Ownership>,
    /// The way out of a step, and the thread that is in it.
    leave: Option<(u32, Chores)>,
    /// The lock is not its ticket any more, and the next renewal must say so.
    replaced: bool,
    /// The directory has been opened anew once, as an acquire does when it is gone.
    reopened: bool,
    report: Report,
}

impl<'a> Session<'a> {
    pub(crate) fn new(subject: &Subject, calls: &'a [Call], ahead: Ahead) -> Self {
        let place = Place::new(&subject.lock);
        let tape = Tape::new(calls, &place, ahead);
        let context = Context {
            policy: subject.policy,
            here: subject.host.clone(),
            pid: tape.process(),
            token: unknown(),
            birth: processes::birth(calls),
            command: subject.command.clone(),
            preemptible: subject.preemptible,
            medium: Medium::Anonymous,
        };
        Self {
            place,
            tape,
            files: Files::default(),
            trust: None,
            acts: subject.acts.iter().cloned().collect(),
            context,
            ownership: None,
            leave: None,
            replaced: false,
            reopened: false,
            report: Report::default(),
        }
    }

    /// Explains every call on the lock, to the end.
    pub(crate) fn run(mut self) -> Result<Report, Mismatch> {
        while let Some(call) = self.tape.next_concerning() {
            match self.is_set_up(call) {
                true => self.tape.play(call),
                false if self.tape.is_child(call.thread) => return Err(self.unasked(call)),
                false => self.machine(call)?,
            }
        }
        // Whoever owns nothing has nothing to step through or to release.
        let does_nothing = |act: &Act| matches!(act, Act::Step(_) | Act::Release);
        let owns = self.ownership.is_some();
        let mut undone = self.acts.iter().filter(|act| **act != Act::Steps);
        let undone = undone.find(|act| owns || !does_nothing(act));
        let left = self.files.names();
        match (undone, &self.leave, left.is_empty()) {
            (Some(act), ..) => Err(self.mismatch(What::Undone(act.to_string()))),
            (_, Some(_), _) => Err(self.mismatch(What::Undone("the end of the step".to_owned()))),
            (.., false) => Err(self.mismatch(What::LeftOpen(left))),
            _ if self.replaced => Err(self.mismatch(What::NotRenewed)),
            _ => Ok(self.report),
        }
    }

    /// Whether a call needs no effect; then it is remembered for what it opens or closes.
    fn is_set_up(&mut self, call: &Call) -> bool {
        let who = match self.tape.is_child(call.thread) {
            true => Who::Child,
            false => Who::Process,
        };
        let seen = words::seen(call, &self.place, &self.files);
        let Some(allowed) = setup::allowed(&seen, who) else {
            return false;
        };
        self.trust = setup::remember(allowed, call, &mut self.files).or(self.trust);
        if allowed.shares_ticket()
            && let Some(ownership) = &mut self.ownership
        {
            ownership.shared = true;
        }
        self.report.set_up.push((seen, allowed.reason));
        true
    }

    /// The machine of which this is the first call.
    fn machine(&mut self, first: &Call) -> Result<(), Mismatch> {
        let thread = first.thread;
        self.tape.wind_to(first);
        if self.tape.is_keeper(thread) {
            return self.keeper(thread, first);
        }
        if let Some((stepping, leave)) = self.leave.take() {
            if stepping != thread {
                return Err(self.unasked(first));
            }
            let left = self.replay("step's end", thread, |_| leave.clone())?;
            self.report.ends.push(End::Left(left));
            return self.let_go_but(OWNERS, thread);
        }
        if self.acts.front() == Some(&Act::Steps)
            && let Some((label, quiet)) = self.step_ahead(thread)
        {
            return self.step(thread, &label, quiet);
        }
        match self.next_act() {
            Some(Act::Acquire) => self.acquire(thread),
            Some(Act::Inspect) => self.inspect(thread, false),
            Some(Act::Holders) => self.inspect(thread, true),
            Some(Act::Peek) => self.peek(thread, false),
            Some(Act::MutexHolders) => self.peek(thread, true),
            Some(Act::Waiters) => self.waiters(thread),
            Some(Act::Evict(only)) => self.evict(thread, only),
            Some(Act::Step(label)) => self.step(thread, &label, Duration::ZERO),
            Some(Act::Release) => self.hold("release", thread, Hold::release),
            Some(Act::Steps) | None => Err(self.unasked(first)),
        }
    }

    /// What comes next of what it was to do.
    fn next_act(&mut self) -> Option<Act> {
        if self.acts.front() == Some(&Act::Steps) {
            self.acts.pop_front();
        }
        self.acts.pop_front()
    }

    /// The step that a thread is about to take and the quiet that it announces, if it is not about
    /// to release: a step writes before anything is unlinked. What has no generation is no owner's
    /// record, but its mutex's.
    fn step_ahead(&self, thread: u32) -> Option<(String, Duration)> {
        let ahead = self.tape.rest(thread).take_while(|call| call.name != "unlinkat");
        let details = ahead.filter_map(|call| record(call)?.detail);
        let detail = details.into_iter().find(|detail| detail.generation > Generation(0))?;
        Some((detail.progress.phrase, detail.terms.quiet))
    }

    fn step(&mut self, thread: u32, label: &str, quiet: Duration) -> Result<(), Mismatch> {
        self.hold("step", thread, |context, now, ownership| {
            Hold::step(context, now, ownership, label, quiet)
        })
    }

    /// What the keeper does of itself: a glance at the ticket, or a renewal.
    fn keeper(&mut self, thread: u32, first: &Call) -> Result<(), Mismatch> {
        let seen = words::seen(first, &self.place, &self.files);
        let Some(ticket) = self.ownership.as_ref().map(|ownership| ownership.ticket) else {
            return Err(self.unasked(first));
        };
        let looks = words::wanted(&Effect::Look(Name::Lock), &self.place, &self.context.token);
        let glance = match seen.as_str() {
            seen if seen.starts_with("inotify_add_watch(") => Glance::first(ticket),
            seen if seen == looks => Glance::again(ticket),
            _ => return self.hold("renew", thread, Hold::renew),
        };
        if self.replaced {
            return Err(self.mismatch(What::NotRenewed));
        }
        let glimpse = self.replay("glance", thread, |_| glance.clone())?;
        self.replaced = glimpse == Glimpse::Replaced;
        self.report.ends.push(End::Glanced(glimpse));
        Ok(())
    }

    fn acquire(&mut self, thread: u32) -> Result<(), Mismatch> {
        self.begin(thread);
        let context = self.context.clone();
        let outcome = self.replay("acquire", thread, |now| Acquire::new(&context, now))?;
        let kept = if outcome.is_ok() { NEW_OWNERS } else { &[] };
        self.let_go_but(kept, thread)?;
        // The directory is opened anew and everything tried again, once.
        if matches!(outcome, Err(Failure::DirectoryGone)) && !self.reopened {
            self.reopened = true;
            self.acts.push_front(Act::Acquire);
        }
        if let Ok(acquired) = &outcome {
            self.ownership = Some(acquired.ownership.clone());
        }
        let takeover = outcome.as_ref().ok().and_then(|acquired| acquired.takeover.clone());
        self.report.ends.push(End::Acquired(outcome));
        match takeover {
            Some(takeover) => self.settle(thread, &takeover),
            None => Ok(()),
        }
    }

    /// An owner that has replaced a preemptible one waits for what that one has started, and says so
    /// in a step if it is preemptible itself. Else it leaves the lock as a dead owner's.
    fn settle(&mut self, thread: u32, takeover: &Takeover) -> Result<(), Mismatch> {
        let begins = self.tape.now(self.tape.window(thread).from);
        let settle = Settle::after(&self.context, takeover, begins);
        let Some(settle) = settle else { return Ok(()) };
        if self.context.preemptible {
            self.wind_on(thread);
            let quiet = takeover.in_flight + self.context.policy.grace * 2 + MARGIN;
            self.step(thread, SETTLING, quiet)?;
            if let Some((_, leave)) = self.leave.take() {
                let left = self.replay("step's end", thread, |_| leave.clone())?;
                self.report.ends.push(End::Left(left));
                self.let_go_but(NEW_OWNERS, thread)?;
            }
        }
        self.wind_on(thread);
        let settled = self.replay("settle", thread, |_| settle.clone())?;
        let is_quiet = settled == Ok(Settled::Quiet);
        self.report.ends.push(End::Settled(settled));
        self.wind_on(thread);
        if is_quiet {
            self.let_the_keeper_go_first(thread)?;
            if let Some(ownership) = &mut self.ownership {
                ownership.settled();
            }
            return self.hold("renew", thread, Hold::renew);
        }
        self.ownership = None;
        self.let_go_but(&[], thread)
    }

    /// What the keeper did before the thread's next call on the lock.
    fn let_the_keeper_go_first(&mut self, thread: u32) -> Result<(), Mismatch> {
        while let Some(call) = self.tape.next_concerning()
            && call.thread != thread
            && self.tape.is_keeper(call.thread)
        {
            self.machine(call)?;
        }
        Ok(())
    }

    /// To the thread's next call on the lock.
    fn wind_on(&mut self, thread: u32) {
        let next = self.tape.rest(thread).find(|call| self.tape.concerns(call));
        if let Some(next) = next {
            self.tape.wind_to(next);
        }
    }

    fn inspect(&mut self, thread: u32, holders: bool) -> Result<(), Mismatch> {
        self.begin(thread);
        let context = self.context.clone();
        let outcome = self.replay("inspect", thread, |_| Inspect::new(&context))?;
        self.report.ends.push(End::Inspected(outcome));
        if holders {
            self.list_holders(Slot::Judged, thread)?;
        }
        self.let_go_but(&[], thread)
    }

    fn peek(&mut self, thread: u32, holders: bool) -> Result<(), Mismatch> {
        let seen = self.replay("peek", thread, |_| Peek::new())?;
        self.report.ends.push(End::Peeked(seen));
        if holders {
            self.list_holders(Slot::Guard, thread)?;
        }
        self.let_go_but(&[], thread)
    }

    /// The processes that have this file locked, if it is open.
    fn list_holders(&mut self, slot: Slot, thread: u32) -> Result<(), Mismatch> {
        if !self.files.has(slot) {
            return Ok(());
        }
        let effect = Effect::ListHolders(slot);
        let (trust, context) = self.replayable()?;
        let found = self.replay_in("holders", thread, trust, &context).list_holders(&effect)?;
        if let Event::Holders(pids) = found {
            self.report.ends.push(End::Holders(pids.len()));
        }
        Ok(())
    }

    fn waiters(&mut self, thread: u32) -> Result<(), Mismatch> {
        let seen = self.replay("waiters", thread, |_| Waiters::new())?;
        self.report.ends.push(End::Waiters(seen.len()));
        self.let_go_but(&[], thread)
    }

    fn evict(&mut self, thread: u32, only: Option<Generation>) -> Result<(), Mismatch> {
        self.begin(thread);
        let context = self.context.clone();
        let outcome = self.replay("evict", thread, |_| Evict::new(&context, only))?;
        self.report.ends.push(End::Evicted(outcome));
        self.let_go_but(&[], thread)
    }

    /// An act of the owner.
    fn hold(
        &mut self,
        what: &'static str,
        thread: u32,
        make: impl Fn(&Context, Now, Ownership) -> Hold,
    ) -> Result<(), Mismatch> {
        let context = self.context.clone();
        let Some(ownership) = self.ownership.clone() else {
            let first = self.tape.next_concerning();
            return Err(first.map_or_else(
                || self.mismatch(What::Undone(what.to_owned())),
                |first| self.unasked(first),
            ));
        };
        let outcome = self.replay(what, thread, |now| make(&context, now, ownership.clone()))?;
        self.replaced = false;
        let kept = match &outcome {
            Ok(Held::Renewed(ownership)) => {
                self.ownership = Some(ownership.clone());
                OWNERS
            }
            Ok(Held::Stepping { ownership, leave }) => {
                self.ownership = Some(ownership.clone());
                self.leave = Some((thread, leave.clone()));
                STEPPERS
            }
            Ok(held @ (Held::Released | Held::Lost { .. })) => {
                let is_shared = self.ownership.take().is_some_and(|ownership| ownership.shared);
                if is_shared && matches!(held, Held::Lost { .. }) {
                    // Its kernel lock is left to those who have inherited it.
                    self.files.unlock(Slot::Ticket);
                }
                &[]
            }
            Err(_) if what == "release" => {
                self.ownership = None;
                &[]
            }
            Err(_) => OWNERS,
        };
        self.report.ends.push(End::Held(outcome));
        self.let_go_but(kept, thread)
    }

    /// A new contender, whose token is in whatever it first writes or creates.
    fn begin(&mut self, thread: u32) {
        let token = self.tape.rest(thread).find_map(|call| match call.name.as_str() {
            "openat" => {
                let file = strace::text(call.arg(1))?;
                self.place.token(std::str::from_utf8(&file).ok()?)
            }
            _ => record(call).map(|record| record.token),
        });
        self.context.token = token.unwrap_or_else(unknown);
    }

    fn let_go_but(&mut self, kept: &[Slot], thread: u32) -> Result<(), Mismatch> {
        match Chores::letting_go(self.files.left_open(kept)) {
            None => Ok(()),
            Some(chores) => self.replay("let go", thread, |_| chores.clone()).map(|_| ()),
        }
    }

    fn replay<M: Machine + Clone>(
        &mut self,
        what: &'static str,
        thread: u32,
        make: impl Fn(Now) -> M,
    ) -> Result<M::Output, Mismatch> {
        let (trust, context) = self.replayable()?;
        self.replay_in(what, thread, trust, &context).run(make)
    }

    fn replayable(&self) -> Result<(Trust, Context), Mismatch> {
        let trust = self.trust.ok_or_else(|| self.mismatch(What::NoDirectory))?;
        Ok((trust, self.context.clone()))
    }

    fn replay_in<'r>(
        &'r mut self,
        what: &'static str,
        thread: u32,
        trust: Trust,
        context: &'r Context,
    ) -> Replay<'r, 'a> {
        Replay {
            tape: &mut self.tape,
            place: &self.place,
            files: &mut self.files,
            context,
            trust,
            thread,
            what,
            pairs: &mut self.report.pairs,
            slack: 0,
            watches: false,
        }
    }

    fn unasked(&self, call: &Call) -> Mismatch {
        let seen = words::seen(call, &self.place, &self.files);
        self.mismatch(What::Unasked { seen, call: call.clone() })
    }

    fn mismatch(&self, what: What) -> Mismatch {
        Mismatch::new(what, &self.report.pairs)
    }
}

/// The token of a contender that got nowhere, and so has written none.
fn unknown() -> Token {
    Token::from(uuid::Uuid::nil())
}
