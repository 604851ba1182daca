//! Runs a machine on the answers that a traced process got.
//!
//! This is a driver like the one that ships, except that it performs nothing: what the machine
//! asks for must be the next call on the tape, and what that came to is what the machine is told.

use lock_core::effect::{Effect, Event};
use lock_core::machine::{Context, Flow, Machine};
use lock_core::time::Now;

use super::answer::{Trust, event};
use super::mismatch::{Mismatch, Pair, What};
use super::place::{Files, Place, Role};
use super::tape::{DRIFT_MS, Tape, Window};
use super::words;
use crate::strace::{Call, Outcome};

/// What a machine is replayed in.
pub(crate) struct Replay<'r, 'a> {
    pub(crate) tape: &'r mut Tape<'a>,
    pub(crate) place: &'r Place,
    pub(crate) files: &'r mut Files,
    pub(crate) context: &'r Context,
    pub(crate) trust: Trust,
    /// Which thread the machine runs on.
    pub(crate) thread: u32,
    /// What the machine is for, in a word.
    pub(crate) what: &'static str,
    pub(crate) pairs: &'r mut Vec<Pair>,
    /// How far the machine's clock may be off by now, in milliseconds.
    pub(crate) slack: u64,
    /// Whether it has had something watched.
    pub(crate) watches: bool,
}

impl<'a> Replay<'_, 'a> {
    /// Runs the machine that `make` begins.
    pub(crate) fn run<M: Machine + Clone>(
        &mut self,
        make: impl Fn(Now) -> M,
    ) -> Result<M::Output, Mismatch> {
        let window = self.tape.window(self.thread);
        let mut flow = self.at_some_time(window, |now| Flow::Go(make(now)));
        loop {
            let machine = match flow {
                Flow::Go(machine) => machine,
                Flow::Done(output) => return Ok(output),
            };
            let effect = machine.effect(self.context);
            let event = self.answer(&effect)?;
            let window = self.tape.window(self.thread);
            flow = self
                .at_some_time(window, |now| machine.clone().step(self.context, now, event.clone()));
        }
    }

    /// The clocks are read without a system call. What they showed is in the next record that
    /// the thread writes, if it was read then; if not, it was read at some time in the window,
    /// as far as the clocks are known. Should the machine's way hinge on when, it was when that
    /// explains the next call.
    fn at_some_time<M: Machine, T>(
        &mut self,
        window: Window,
        flow: impl Fn(Now) -> Flow<M, T>,
    ) -> Flow<M, T> {
        let written = self.tape.records(self.thread).next().and_then(|record| {
            let renewed = record.detail.as_ref()?.renewed;
            Some(self.tape.read(record.stamp, renewed))
        });
        self.slack += window.to.saturating_sub(window.from) / 1000 + 1;
        let written = written.filter(|now| self.tape.shows(window, *now));
        let Window { from, to } = window;
        let drift = DRIFT_MS * 1000;
        let mut best = flow(written.unwrap_or(self.tape.now(from)));
        for at in [from, to, to + drift, from.saturating_sub(drift)] {
            let other = flow(self.tape.now(at));
            if self.fit(&other) > self.fit(&best) {
                best = other;
            }
        }
        best
    }

    /// How well this explains the next call: it asks for it, it is at its end, or neither.
    fn fit<M: Machine, T>(&self, flow: &Flow<M, T>) -> u8 {
        let Flow::Go(machine) = flow else {
            return 1;
        };
        let effect = machine.effect(self.context);
        let next = self.tape.peek(self.thread);
        if next.is_some_and(|call| self.is_asked_for(&effect, call)) { 2 } else { 0 }
    }

    fn is_asked_for(&self, effect: &Effect, call: &Call) -> bool {
        match effect {
            Effect::Sleep { .. } => call.name == "ppoll" || self.is_callers(call),
            Effect::Watch(_) if call.name == "inotify_init1" => true,
            effect => self.wanted(effect) == self.seen(call),
        }
    }

    /// Finds an effect's call on the tape; says what the machine is to be told.
    fn answer(&mut self, effect: &Effect) -> Result<Event, Mismatch> {
        match effect {
            Effect::Sleep { until } => self.sleep(effect, *until),
            Effect::AskProcess { pid, birth } => self.ask_process(effect, *pid, *birth),
            Effect::AskCgroup(_) => self.ask_cgroup(effect),
            Effect::ListHolders(_) => self.list_holders(effect),
            Effect::Signal { signal, .. } => self.signal(effect, *signal),
            Effect::Watch(_) => self.watch(effect),
            Effect::List(_) => self.list(effect),
            effect => self.one_call(effect),
        }
    }

    /// The rule: one effect is one call, made again only when a signal interrupted it.
    pub(crate) fn one_call(&mut self, effect: &Effect) -> Result<Event, Mismatch> {
        let wanted = self.wanted(effect);
        loop {
            let call = self.expect(effect, &wanted)?;
            let interrupted = match &call.outcome {
                Outcome::Interrupted => true,
                Outcome::Failed(error) => error == "EINTR" && !matches!(effect, Effect::Close(_)),
                Outcome::Returned(_) | Outcome::Never => false,
            };
            if interrupted {
                continue;
            }
            let event = event(effect, call, self.trust);
            let event = event.ok_or_else(|| self.mismatch(What::Outcome(call.clone())))?;
            self.remember(effect, call, &event);
            return Ok(event);
        }
    }

    /// Plays the next call of the thread, which must be this one.
    pub(crate) fn expect(&mut self, effect: &Effect, wanted: &str) -> Result<&'a Call, Mismatch> {
        let call = self.tape.peek(self.thread);
        let call = call.filter(|call| self.seen(call) == wanted);
        let call = call.ok_or_else(|| self.another(effect, wanted))?;
        self.play(effect, call);
        Ok(call)
    }

    /// Takes a call as what an effect was, or a part of it.
    pub(crate) fn play(&mut self, effect: &Effect, call: &Call) {
        let (seen, outcome) = (self.seen(call), call.outcome.clone());
        self.tape.play(call);
        let (what, effect) = (self.what, effect.clone());
        self.pairs.push(Pair { what, effect, call: seen, outcome, line: call.line });
    }

    /// Keeps the books of what is open and what is locked.
    fn remember(&mut self, effect: &Effect, call: &Call, event: &Event) {
        match (effect, event) {
            (
                Effect::CreateAnonymous(slot) | Effect::Create(slot, _) | Effect::Open { slot, .. },
                Event::Done,
            ) => {
                let opened = call.opened().and_then(|opened| opened.number);
                if let Some(number) = opened {
                    self.files.open(number, Role::Slot(*slot));
                }
            }
            (Effect::Lock(slot, _), Event::Done) => self.files.lock(*slot),
            (Effect::Unlock(slot), Event::Done) => self.files.unlock(*slot),
            (Effect::Close(slot), _) => self.files.close(Role::Slot(*slot)),
            _ => {}
        }
    }

    pub(crate) fn wanted(&self, effect: &Effect) -> String {
        words::wanted(effect, self.place, &self.context.token)
    }

    pub(crate) fn seen(&self, call: &Call) -> String {
        words::seen(call, self.place, self.files)
    }

    /// The next call is not the one that the effect is.
    pub(crate) fn another(&self, effect: &Effect, wanted: &str) -> Mismatch {
        let next = self.tape.peek(self.thread);
        self.mismatch(What::Another {
            machine: self.what,
            effect: effect.clone(),
            wanted: wanted.to_owned(),
            seen: next.map(|call| (self.seen(call), call.clone())),
        })
    }

    pub(crate) fn mismatch(&self, what: What) -> Mismatch {
        Mismatch::new(what, self.pairs)
    }
}
