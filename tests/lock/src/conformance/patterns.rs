//! Listing, watching and sleeping are more than one call each. None of these calls is on a path of
//! the lock, nor on one of its files, except those that list the queue and the one that has a
//! file watched.

use lock_core::effect::{Effect, Event, Wake};
use lock_core::time::Mono;

use super::mismatch::{Mismatch, What};
use super::replay::Replay;
use super::setup;
use super::tape::DRIFT_MS;
use crate::strace::{Call, Outcome, descriptor, elements, field, text};

/// The calls that each of them is, for people, in the order of the table.
pub(super) const CALLS: [&str; 7] = [
    "`getdents64`, again and again until there is nothing more",
    "the first time `inotify_init1`; then `inotify_add_watch` on the open file",
    "`ppoll`; when woken, and where it can be cancelled, `ppoll` at once for whether it was; \
     else `read` of the watch's news, and again should there be more",
    "`pidfd_open`; `ppoll` at once for whether it has ended; its age in `/proc`; `close`",
    "`/proc/self/mountinfo`; `openat2` of `cgroup.events` below the cgroup mount",
    "`fstat`, for the inode's number; then, in `/proc`, the descriptors of every process",
    "the same; then for each holder `pidfd_open`, its namespace, user and descriptors in `/proc`, \
     and `pidfd_send_signal` if all of them fit",
];

impl<'a> Replay<'_, 'a> {
    /// A directory is told in parts, and an empty part is the end.
    pub(super) fn list(&mut self, effect: &Effect) -> Result<Event, Mismatch> {
        let mut all = Vec::new();
        loop {
            let event = self.one_call(effect)?;
            let last = self.pairs.last().map(|pair| &pair.outcome);
            let is_end = last.is_some_and(|last| *last == Outcome::Returned("0".to_owned()));
            match event {
                Event::Listed(_) if is_end => return Ok(Event::Listed(all)),
                Event::Listed(more) => all.extend(more),
                failed => return Ok(failed),
            }
        }
    }

    pub(super) fn watch(&mut self, effect: &Effect) -> Result<Event, Mismatch> {
        if self.next_is("inotify_init1").is_some() {
            let call = self.expect(effect, "inotify_init1(IN_NONBLOCK|IN_CLOEXEC)")?;
            if matches!(call.outcome, Outcome::Failed(_)) {
                return Ok(Event::Unsupported);
            }
        }
        let event = self.one_call(effect)?;
        self.watches |= event == Event::Done;
        Ok(event)
    }

    pub(super) fn sleep(&mut self, effect: &Effect, until: Mono) -> Result<Event, Mismatch> {
        self.skip_what_the_caller_does();
        let before = self.tape.window(self.thread).from;
        let wanted = "ppoll(the cancel, if it can be, and the news, if there is a watch; until)";
        let sleeps = self.expect_named(effect, "ppoll", wanted)?;
        // What is left was reckoned some time in between.
        self.slack += sleeps.began.saturating_sub(before) / 1000;
        let polled = Polled::by(sleeps).filter(|polled| polled.news || !self.watches);
        let polled = polled.ok_or_else(|| self.mismatch(What::Polled(sleeps.clone())))?;
        self.check_limit(sleeps, until)?;
        let mut last = sleeps;
        // The kernel goes on by itself after a stop.
        while last.outcome == Outcome::Interrupted
            && let Some(again) = self.next_is("restart_syscall").or_else(|| self.next_is("ppoll"))
        {
            self.play(effect, again);
            last = again;
        }
        if last.number() == Some(0) {
            return Ok(Event::Woken(Wake::Due));
        }
        if polled.cancel && last.number().is_some() && self.is_cancelled(effect)? {
            return Ok(Event::Woken(Wake::Cancelled));
        }
        let wake = match polled.news {
            true => self.news(effect)?,
            false => Wake::Changed,
        };
        Ok(Event::Woken(wake))
    }

    /// Whoever waits is told of it before each sleep, and may look things up and write them
    /// down; only not on the lock's paths.
    fn skip_what_the_caller_does(&mut self) {
        while let Some(call) = self.tape.peek(self.thread)
            && self.is_callers(call)
        {
            self.tape.play(call);
        }
    }

    /// Whether a call before a sleep is not yet the sleep.
    pub(super) fn is_callers(&self, call: &Call) -> bool {
        let is_waiters = call.arguments.contains("<anon_inode:inotify>")
            || (call.name == "ppoll" && Polled::by(call).is_some());
        match self.tape.concerns(call) {
            true => setup::is_callers(&self.seen(call)),
            false => !is_waiters,
        }
    }

    /// What the watch tells; a read that may not have had room for all is followed by another.
    fn news(&mut self, effect: &Effect) -> Result<Wake, Mismatch> {
        let mut wake = Wake::Changed;
        loop {
            let read = self.expect(effect, "read(inotify, 4096)")?;
            let news = text(read.arg(1)).filter(|_| read.number() > Some(0));
            if news.is_some_and(|news| tells_of_a_close(&news)) {
                wake = Wake::Closed;
            }
            if read.number() <= Some(4096 - 272) {
                return Ok(wake);
            }
        }
    }

    fn is_cancelled(&mut self, effect: &Effect) -> Result<bool, Mismatch> {
        let asks = self.expect_named(effect, "ppoll", "ppoll(the cancel, at once)")?;
        let at_once = asks.arg(2) == "{tv_sec=0, tv_nsec=0}";
        match Polled::by(asks) {
            Some(Polled { cancel: true, news: false }) if at_once => Ok(asks.number() != Some(0)),
            _ => Err(self.mismatch(What::Polled(asks.clone()))),
        }
    }

    /// The limit must be what is left until the deadline, as near as the clocks are known.
    fn check_limit(&self, sleeps: &Call, until: Mono) -> Result<(), Mismatch> {
        let limit = field(sleeps.arg(2), "tv_sec").zip(field(sleeps.arg(2), "tv_nsec"));
        let limit = limit.and_then(|(seconds, nanos)| {
            let (seconds, nanos): (u64, u64) = (seconds.parse().ok()?, nanos.parse().ok()?);
            Some(seconds * 1000 + nanos / 1_000_000)
        });
        let began = self.tape.now(sleeps.began).mono.0;
        let slack = self.slack + DRIFT_MS;
        let fits = limit.is_some_and(|limit| {
            let end = began + limit;
            end.abs_diff(until.0) <= slack || (limit == 0 && until.0 <= began + slack)
        });
        let left = until.0.saturating_sub(began);
        fits.then_some(()).ok_or_else(|| self.mismatch(What::Limit(sleeps.clone(), left)))
    }

    pub(super) fn next_is(&self, name: &str) -> Option<&'a Call> {
        self.tape.peek(self.thread).filter(|call| call.name == name)
    }

    pub(super) fn expect_named(
        &mut self,
        effect: &Effect,
        name: &str,
        wanted: &str,
    ) -> Result<&'a Call, Mismatch> {
        let call = self.next_is(name).ok_or_else(|| self.another(effect, wanted))?;
        self.play(effect, call);
        Ok(call)
    }
}

/// What a `ppoll` waits for.
struct Polled {
    cancel: bool,
    news: bool,
}

impl Polled {
    /// Nothing, if it waits for anything else.
    fn by(call: &Call) -> Option<Self> {
        let mut polled = Self { cancel: false, news: false };
        for fd in elements(call.arg(0)) {
            let file = field(fd, "fd").and_then(descriptor)?;
            let readable = field(fd, "events") == Some("POLLIN");
            match file.path.as_str() {
                "anon_inode:[eventfd]" if readable => polled.cancel = true,
                "anon_inode:inotify" if readable => polled.news = true,
                _ => return None,
            }
        }
        Some(polled)
    }
}

/// Whether one of the events in a buffer from inotify is `IN_CLOSE_WRITE`.
fn tells_of_a_close(mut news: &[u8]) -> bool {
    const CLOSE_WRITE: u32 = 8;
    while let Some((header, rest)) = news.split_first_chunk::<16>() {
        let [_, _, _, _, m0, m1, m2, m3, _, _, _, _, l0, l1, l2, l3] = *header;
        if u32::from_ne_bytes([m0, m1, m2, m3]) & CLOSE_WRITE != 0 {
            return true;
        }
        let name = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        news = rest.get(name..).unwrap_or_default();
    }
    false
}
