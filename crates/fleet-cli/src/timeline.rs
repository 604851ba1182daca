//! The ownerships that a journal tells of, each from its beginning to its end.
//!
//! Pure. A journal may lack lines: its writer was killed, or the oldest were put aside. So
//! the beginning of an ownership is known from its end as well, and its end from whoever
//! took over or came next.

use std::collections::HashMap;

use crate::journal::{Entry, GaveUp, Other, Reason, What};

/// An ownership, or an attempt at one. All times are milliseconds of the wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    /// The fencing token; none for an attempt.
    pub(crate) generation: Option<u64>,
    /// Whose it is.
    pub(crate) pid: u32,
    /// What that is, as a person would type it.
    pub(crate) command: String,
    /// When it began to wait, if it waited.
    pub(crate) waited_from: Option<u64>,
    /// When it began to own, or gave up.
    pub(crate) begun: u64,
    /// Why it could take over from a living or dead owner.
    pub(crate) took_over: Option<Reason>,
    /// The steps that were written down.
    pub(crate) steps: Vec<u64>,
    /// When its owner was last known to live.
    pub(crate) last_sign: u64,
    /// When it ended.
    pub(crate) ended: u64,
    /// How.
    pub(crate) ending: Ending,
}

/// How an ownership, or an attempt, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was given up, with this exit code of the work.
    Released(Option<u8>),
    /// It could not be given up as it should.
    Failed,
    /// Its owner died, or its lock was stale for another reason.
    Died(Reason),
    /// It was taken from a living owner.
    TakenOver(Reason),
    /// It was taken away on a person's order.
    Broken,
    /// Its owner found it lost; the journal does not say to whom.
    Lost,
    /// It goes on.
    Held,
    /// The journal does not say.
    Unknown,
    /// An attempt that came to nothing.
    GaveUp(GaveUp),
    /// An attempt that goes on.
    Waiting,
}

/// What is true now, beside what the journal says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Present {
    /// The time.
    pub(crate) now: u64,
    /// The token of the present owner.
    pub(crate) holder: Option<String>,
    /// Pids and start times of those who wait.
    pub(crate) waiting: Vec<(u32, u64)>,
}

/// The ownerships and attempts, in the order in which they began to own or gave up.
pub(crate) fn bars(entries: &[Entry], present: &Present) -> Vec<Bar> {
    let mut story = Story::default();
    for entry in entries {
        story.tell(entry);
    }
    story.end(present)
}

/// What has been told so far.
#[derive(Default)]
struct Story {
    bars: Vec<Bar>,
    /// Each ownership by its token.
    by_token: HashMap<String, usize>,
    /// Those that wait, by pid and start time.
    waiting: HashMap<(u32, u64), Bar>,
}

impl Story {
    fn tell(&mut self, entry: &Entry) {
        let at = entry.wall_ms;
        let before = |millis: &u64| at.saturating_sub(*millis);
        let caller = (entry.pid, entry.start_ticks);
        match &entry.what {
            What::Waiting { .. } => {
                let bar = Bar { waited_from: Some(at), ..bar(entry, at, Ending::Waiting) };
                self.waiting.insert(caller, bar);
            }
            // What came of it, the end of that ownership tells.
            What::Ends { .. } => {}
            What::Acquired { waited_ms } => {
                self.begin(entry, waited_ms, None);
            }
            What::TookOver { waited_ms, reason, from } => {
                let ending = match reason {
                    Reason::Silent | Reason::TimedOut => Ending::TakenOver(*reason),
                    dead => Ending::Died(*dead),
                };
                self.close_other(from.as_ref(), at, ending);
                self.begin(entry, waited_ms, Some(*reason));
            }
            What::Step { .. } => {
                if let Some(bar) = self.ownership(entry, at) {
                    bar.steps.push(at);
                }
            }
            What::Released { held_ms, exit } => {
                self.close(entry, before(held_ms), Ending::Released(*exit));
            }
            What::Failed { held_ms, .. } => self.close(entry, before(held_ms), Ending::Failed),
            What::Lost { held_ms, .. } => self.close(entry, before(held_ms), Ending::Lost),
            What::GaveUp { waited_ms, reason, .. } => {
                self.waiting.remove(&caller);
                let waited_from = Some(before(waited_ms));
                let bar = Bar { waited_from, ..bar(entry, at, Ending::GaveUp(*reason)) };
                self.bars.push(bar);
            }
            What::Broken { from } => self.close_other(from.as_ref(), at, Ending::Broken),
        }
    }

    fn begin(&mut self, entry: &Entry, waited_ms: &u64, took_over: Option<Reason>) {
        let at = entry.wall_ms;
        self.waiting.remove(&(entry.pid, entry.start_ticks));
        let waited_from = (*waited_ms > 0).then(|| at.saturating_sub(*waited_ms));
        self.push(entry, Bar { waited_from, took_over, ..bar(entry, at, Ending::Unknown) });
    }

    fn push(&mut self, entry: &Entry, bar: Bar) {
        if let Some(token) = &entry.token {
            self.by_token.insert(token.clone(), self.bars.len());
            self.bars.push(bar);
        }
    }

    /// The ownership that a line is about; if its first line is missing, it began then.
    fn ownership(&mut self, entry: &Entry, begun: u64) -> Option<&mut Bar> {
        let token = entry.token.as_ref()?;
        if !self.by_token.contains_key(token) {
            self.push(entry, bar(entry, begun, Ending::Unknown));
        }
        let bar = self.bars.get_mut(*self.by_token.get(token)?)?;
        bar.ended = bar.ended.max(entry.wall_ms);
        bar.last_sign = bar.ended;
        Some(bar)
    }

    /// An owner tells its own end. If it had been told before, that was the true one.
    fn close(&mut self, entry: &Entry, begun: u64, ending: Ending) {
        let open = |bar: &Bar| bar.ending == Ending::Unknown;
        let known = entry.token.as_ref().and_then(|token| self.by_token.get(token));
        let over = known.and_then(|index| self.bars.get(*index)).is_some_and(|bar| !open(bar));
        if over {
            return;
        }
        if let Some(bar) = self.ownership(entry, begun) {
            bar.ending = ending;
        }
    }

    /// Somebody else tells an owner's end.
    fn close_other(&mut self, owner: Option<&Other>, at: u64, ending: Ending) {
        let index = owner.and_then(|owner| self.by_token.get(&owner.token));
        if let Some(bar) = index.and_then(|index| self.bars.get_mut(*index)) {
            (bar.ended, bar.ending) = (at.max(bar.begun), ending);
            // The dead say nothing of when; the others lived, or they would have died.
            if !matches!(ending, Ending::Died(_)) {
                bar.last_sign = bar.ended;
            }
        }
    }

    fn end(mut self, present: &Present) -> Vec<Bar> {
        let holder = present.holder.as_ref().and_then(|token| self.by_token.get(token));
        if let Some(bar) = holder.and_then(|index| self.bars.get_mut(*index)) {
            (bar.ended, bar.ending) = (present.now.max(bar.begun), Ending::Held);
            bar.last_sign = bar.ended;
        }
        let mut waiting: Vec<_> =
            self.waiting.into_iter().filter(|(id, _)| present.waiting.contains(id)).collect();
        waiting.sort_by_key(|(_, bar)| (bar.begun, bar.pid));
        let now = |(_, bar): (_, Bar)| Bar { begun: present.now, ended: present.now, ..bar };
        self.bars.extend(waiting.into_iter().map(now));
        self.bars
    }
}

fn bar(entry: &Entry, begun: u64, ending: Ending) -> Bar {
    Bar {
        generation: entry.generation,
        pid: entry.pid,
        command: entry.command.clone(),
        waited_from: None,
        begun,
        took_over: None,
        steps: Vec::new(),
        last_sign: begun,
        ended: begun,
        ending,
    }
}

impl Bar {
    /// When it is first seen.
    pub(crate) fn start(&self) -> u64 {
        self.waited_from.unwrap_or(self.begun).min(self.begun)
    }

    /// Whether it ever owned the lock.
    pub(crate) const fn is_ownership(&self) -> bool {
        !matches!(self.ending, Ending::GaveUp(_) | Ending::Waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(wall_ms: u64, token: u64, what: What) -> Entry {
        let of_one = token > 0;
        Entry {
            what,
            wall_ms,
            boot_ms: wall_ms,
            boot: "boot".to_owned(),
            host: "here".to_owned(),
            pid: 40 + u32::try_from(token).expect("small"),
            start_ticks: token,
            command: "work".to_owned(),
            token: of_one.then(|| format!("t{token}")),
            generation: of_one.then_some(token),
        }
    }

    fn other(token: u64) -> Option<Other> {
        let token = format!("t{token}");
        Some(Other { pid: 1, token, generation: None, host: None, command: None })
    }

    fn spans(bars: &[Bar]) -> Vec<(Option<u64>, u64, u64, Ending)> {
        bars.iter().map(|bar| (bar.waited_from, bar.begun, bar.ended, bar.ending)).collect()
    }

    #[test]
    fn one_after_the_other() {
        let entries = [
            entry(100, 1, What::Acquired { waited_ms: 0 }),
            entry(150, 1, What::Step { steps: 1, phrase: String::new() }),
            entry(300, 1, What::Released { held_ms: 200, exit: Some(0) }),
            entry(301, 2, What::Acquired { waited_ms: 151 }),
        ];
        let present = Present { now: 400, holder: Some("t2".to_owned()), waiting: vec![] };
        let bars = bars(&entries, &present);
        assert_eq!(
            spans(&bars),
            [(None, 100, 300, Ending::Released(Some(0))), (Some(150), 301, 400, Ending::Held)]
        );
        assert_eq!((bars[0].steps.as_slice(), bars[0].last_sign), (&[150][..], 300));
    }

    /// The old owner finds out late; until then nobody knew better than the taker.
    #[test]
    fn a_takeover_ends_the_other() {
        let taken = What::TookOver { waited_ms: 50, reason: Reason::Silent, from: other(1) };
        let killed = What::TookOver { waited_ms: 0, reason: Reason::OwnerDied, from: other(2) };
        let entries = [
            entry(100, 1, What::Acquired { waited_ms: 0 }),
            entry(200, 2, taken),
            entry(250, 1, What::Lost { held_ms: 150, to: other(2) }),
            entry(300, 3, killed),
            entry(400, 3, What::Released { held_ms: 100, exit: None }),
        ];
        let bars = bars(&entries, &Present::default());
        assert_eq!(
            spans(&bars),
            [
                (None, 100, 200, Ending::TakenOver(Reason::Silent)),
                (Some(150), 200, 300, Ending::Died(Reason::OwnerDied)),
                (None, 300, 400, Ending::Released(None)),
            ]
        );
        let signs: Vec<_> = bars.iter().map(|bar| bar.last_sign).collect();
        assert_eq!(signs, [200, 200, 400], "nobody knows when the second died");
    }

    #[test]
    fn a_beginning_or_an_end_may_be_missing() {
        let entries = [
            entry(300, 1, What::Released { held_ms: 200, exit: Some(1) }),
            entry(400, 2, What::Acquired { waited_ms: 0 }),
            entry(450, 2, What::Step { steps: 1, phrase: String::new() }),
            entry(500, 3, What::Lost { held_ms: 20, to: None }),
        ];
        assert_eq!(
            spans(&bars(&entries, &Present::default())),
            [
                (None, 100, 300, Ending::Released(Some(1))),
                (None, 400, 450, Ending::Unknown),
                (None, 480, 500, Ending::Lost),
            ]
        );
    }

    #[test]
    fn an_order_ends_it_and_attempts_are_told_too() {
        let entries = [
            entry(100, 1, What::Acquired { waited_ms: 0 }),
            Entry { pid: 7, ..entry(120, 0, What::Waiting { owner: None }) },
            Entry { pid: 8, ..entry(130, 0, What::Waiting { owner: None }) },
            entry(150, 0, What::GaveUp { waited_ms: 9, reason: GaveUp::Busy, owner: None }),
            entry(200, 0, What::Broken { from: other(1) }),
            entry(300, 1, What::Lost { held_ms: 200, to: None }),
        ];
        let present = Present { now: 500, holder: None, waiting: vec![(7, 0)] };
        assert_eq!(
            spans(&bars(&entries, &present)),
            [
                (None, 100, 200, Ending::Broken),
                (Some(141), 150, 150, Ending::GaveUp(GaveUp::Busy)),
                (Some(120), 500, 500, Ending::Waiting),
            ]
        );
    }
}
