//! What is said while a lock is waited for.

use camino::Utf8Path;
use lock_fs::{Boot, Medium, Notice, Now, Record};

use super::{Screen, held, progress};
use crate::args::{LockOptions, OnTimeout};
use crate::duration::format;
use crate::journal::Signal;
use crate::owner::{self, Who};

/// Tells a person what a wait for a lock is about.
#[derive(Debug)]
pub(crate) struct Teller<'a> {
    screen: &'a mut Screen,
    path: &'a Utf8Path,
    options: &'a LockOptions,
    waiting: Option<Waiting>,
}

/// Whom we wait for, and until when.
#[derive(Debug)]
struct Waiting {
    owner: Option<Box<Record>>,
    until: Boot,
}

impl<'a> Teller<'a> {
    /// One for the lock at `path`.
    pub(crate) fn new(
        screen: &'a mut Screen,
        path: &'a Utf8Path,
        options: &'a LockOptions,
    ) -> Self {
        Self { screen, path, options, waiting: None }
    }

    /// Something happened.
    pub(crate) fn tell(&mut self, notice: Notice, now: Now) {
        let path = self.path;
        match notice {
            Notice::Waiting { owner, left, .. } => {
                self.waiting = Some(Waiting { owner, until: now.boot.after(left) });
                self.refresh(now);
            }
            Notice::Signalled { pid, owner, signal } => {
                let who = match owner.as_deref() {
                    None => format!("pid {pid}"),
                    owner => Who(owner).to_string(),
                };
                let signal = Signal::from(signal).name();
                self.screen.remark(&format!("sent {signal} to {who}, to end it and take {path}"));
            }
            Notice::TookOver(takeover) => {
                let (from, why) = (takeover.from.as_deref(), owner::why(takeover.reason));
                self.screen.remark(&format!("took {path} over from {} ({why})", Who(from)));
            }
            Notice::Fallback(medium) => {
                if let Some(lack) = lack(medium) {
                    self.screen.remark(&format!("{path} is on a file system {lack}"));
                }
            }
            // The list is open; what we do not know we cannot put into words.
            _ => {}
        }
    }

    /// Time has passed.
    pub(crate) fn refresh(&mut self, now: Now) {
        let Some(waiting) = &self.waiting else { return };
        let owner = waiting.owner.as_deref();
        let (left, then) = self.prospect(waiting, now);
        let held = owner.map(|record| held(record, now)).unwrap_or_default();
        let at = owner.map(progress).unwrap_or_default();
        let who = Who(owner);
        let line = if self.screen.is_live() {
            // What matters most comes first: a terminal may be too narrow for all of it.
            let lock = self.path.file_name().unwrap_or("the lock");
            format!("waiting up to {left} for {lock}{at}{held} by {who}")
        } else {
            format!("waiting for {}{held} by {who}{at}; in {left} {then}", self.path)
        };
        let subject = owner.map(|record| record.token.to_string());
        self.screen.waiting(&line, subject.unwrap_or_default());
    }

    /// How long nothing changes by itself, and what comes then.
    fn prospect(&self, waiting: &Waiting, now: Now) -> (String, &'static str) {
        let patience = waiting.until.since(now.boot);
        // A peer does not renew its stamp, so it is only a matter of time. Ours do.
        let peer = waiting.owner.as_deref().filter(|record| record.detail.is_none());
        let silence = peer.map(|record| owner::silent_for(record, now));
        let expiry = silence.map(|silence| self.options.stale_after.saturating_sub(silence));
        let (left, then) = match (expiry, self.options.on_timeout) {
            (Some(expiry), _) if expiry < patience => (expiry, "it counts as stale"),
            (_, OnTimeout::Break) => (patience, "we take it over, unless it gets on"),
            (_, OnTimeout::Stop) => (patience, "we end that process, unless it gets on"),
            (_, OnTimeout::Fail) => (patience, "we give up"),
        };
        (format(left), then)
    }
}

/// What the file system of a lock does not have.
const fn lack(medium: Medium) -> Option<&'static str> {
    match medium {
        Medium::Anonymous | Medium::Linked => None,
        Medium::Separate => {
            Some("without hard links, so the lock is judged by age while it is made")
        }
        Medium::Unarbitrated => Some(
            "whose kernel locks cannot be trusted, so the lock is judged by age alone; \
             --require-kernel-lock refuses this",
        ),
    }
}
