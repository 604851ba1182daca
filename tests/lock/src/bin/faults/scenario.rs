//! The lives in which something happens: who does what, what is there before, who else is
//! about.

use std::fmt;

use crate::site::{Window, Work};

/// One life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// As the document calls it.
    pub(crate) name: &'static str,
    /// What happens in it.
    pub(crate) about: &'static str,
    pub(crate) subject: Subject,
    pub(crate) before: Before,
    pub(crate) other: Other,
    pub(crate) window: Window,
}

/// What it happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// `fleet lock run -- CMD`.
    Run,
    /// Likewise, and CMD gives the lock to another.
    RunUntilLost,
    /// Likewise with `--on-timeout stop`.
    RunAndStop,
    /// The thread that renews, while CMD waits for it.
    Renewal,
    /// `fleet restart`, of one agent.
    Restart,
    /// `fleet lock break`.
    Break,
    /// A process that uses the library and lives on: a contender of these tests.
    Library,
}

/// What is there when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Not even the directory.
    Nothing,
    /// The generation file of owners before.
    Used,
    /// A dead owner's lock.
    DeadOwner,
    /// That, and a dead breaker's mutex and takeover name, and a dead reaper's lock.
    Leftovers,
}

/// Who else is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    Nobody,
    /// A preemptible owner that is stopped.
    Silent,
    /// A living owner that is stopped.
    Ended,
    /// A living owner, whose lock goes when the subject has begun to wait.
    Owner,
    /// Likewise, and another that waits for it: that one gets the lock first.
    OwnerAndWaiter,
    /// A living process in the mutex, which goes when the subject has begun to wait.
    Holder,
    /// A living owner of another lock, to whom the subject loses its own.
    Successor,
}

impl Scenario {
    /// All lives, in the order of the document.
    pub(crate) const ALL: [Self; 14] = [
        Self {
            name: "First use",
            about: "`fleet lock run` where nothing is: the directory, the generation file, the \
                    lock, the command, the release.",
            subject: Subject::Run,
            before: Before::Nothing,
            other: Other::Nobody,
            window: Window::Whole,
        },
        Self {
            name: "Free",
            about: "`fleet lock run` of a free lock.",
            subject: Subject::Run,
            before: Before::Used,
            other: Other::Nobody,
            window: Window::Ticket(1),
        },
        Self {
            name: "Dead owner",
            about: "`fleet lock run` takes over from an owner that was killed.",
            subject: Subject::Run,
            before: Before::DeadOwner,
            other: Other::Nobody,
            window: Window::Ticket(1),
        },
        Self {
            name: "Leftovers",
            about: "`fleet lock run` after an owner, a breaker and a reaper were killed: it \
                    clears the dead reclaim lock, reaps the dead mutex, takes over.",
            subject: Subject::Run,
            before: Before::Leftovers,
            other: Other::Nobody,
            window: Window::Ticket(1),
        },
        Self {
            name: "Silent owner",
            about: "`fleet lock run` takes over from a preemptible owner that lives, is stopped and so \
                    does not renew: until it leaves the mutex as its successor.",
            subject: Subject::Run,
            before: Before::Used,
            other: Other::Silent,
            window: Window::UntilSearch,
        },
        Self {
            name: "Owner, ended first",
            about: "`fleet lock run --on-timeout stop` ends a living owner: to the signal.",
            subject: Subject::RunAndStop,
            before: Before::Used,
            other: Other::Ended,
            window: Window::UntilSignal,
        },
        Self {
            name: "Waiting for an owner",
            about: "`fleet lock run` waits for a living owner and is woken when its lock goes.",
            subject: Subject::Run,
            before: Before::Used,
            other: Other::Owner,
            window: Window::Ticket(1),
        },
        Self {
            name: "Waiting behind another",
            about: "`fleet lock run` waits behind another that waits for a living owner, and is \
                    woken when that other has had the lock.",
            subject: Subject::Run,
            before: Before::Used,
            other: Other::OwnerAndWaiter,
            window: Window::Ticket(1),
        },
        Self {
            name: "Waiting for the mutex",
            about: "`fleet lock run` waits for a living process in the mutex and is woken when \
                    that goes.",
            subject: Subject::Run,
            before: Before::Used,
            other: Other::Holder,
            window: Window::Ticket(1),
        },
        Self {
            name: "Release after a loss",
            about: "`fleet lock run` whose command gives the lock to another: the release \
                    finds out.",
            subject: Subject::RunUntilLost,
            before: Before::Used,
            other: Other::Successor,
            window: Window::Ticket(1),
        },
        Self {
            name: "Steps of a restart",
            about: "`fleet restart` of one agent; the holder's two steps are taken on the \
                    thread that is seen here.",
            subject: Subject::Restart,
            before: Before::Used,
            other: Other::Nobody,
            window: Window::Ticket(1),
        },
        Self {
            name: "Renewal",
            about: "The thread that renews, under `fleet lock run`: its first watch, and one \
                    renewal.",
            subject: Subject::Renewal,
            before: Before::Used,
            other: Other::Nobody,
            window: Window::Renewal,
        },
        Self {
            name: "Taking a lock away",
            about: "`fleet lock break` of a living preemptible owner's lock.",
            subject: Subject::Break,
            before: Before::Used,
            other: Other::Silent,
            window: Window::AfterSearch,
        },
        Self {
            name: "A process that lives on",
            about: "Acquire, step and release in a process that has done so before and does so \
                    again, and counts its descriptors.",
            subject: Subject::Library,
            before: Before::Used,
            other: Other::Nobody,
            window: Window::OneTicket(2),
        },
    ];

    /// A name for a directory.
    pub(crate) fn directory(&self) -> String {
        self.name.to_lowercase().replace([' ', ','], "-")
    }

    /// How its trace shows that the work has begun.
    pub(crate) const fn work(&self) -> Work {
        match self.subject {
            Subject::Run | Subject::RunAndStop => Work::Process,
            Subject::RunUntilLost => Work::Loses,
            Subject::Restart => Work::Thread,
            Subject::Library => Work::Witness,
            Subject::Renewal | Subject::Break => Work::None,
        }
    }
}

impl Other {
    /// Whether it has the lock until the subject takes or takes it away, or from when the subject
    /// loses it.
    pub(crate) const fn keeps_the_lock(self) -> bool {
        matches!(self, Self::Silent | Self::Ended | Self::Successor)
    }
}

impl Subject {
    /// The code that it ends with when nothing happens.
    pub(crate) const fn usual_code(self) -> i32 {
        match self {
            Self::RunUntilLost => 76,
            _ => 0,
        }
    }

    /// Whether errors are exit codes to it.
    pub(crate) const fn has_codes(self) -> bool {
        !matches!(self, Self::Library)
    }

    /// Whether it agrees to be replaced while it owns the lock.
    pub(crate) const fn is_preemptible(self) -> bool {
        matches!(self, Self::Restart)
    }

    /// Whether it does any work under the lock.
    pub(crate) const fn works(self) -> bool {
        !matches!(self, Self::Break)
    }

    /// Whether it loses the lock when nothing happens.
    pub(crate) const fn is_told(self) -> bool {
        matches!(self, Self::RunUntilLost)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run => "`lock run`",
            Self::RunUntilLost => "`lock run` that loses its lock",
            Self::RunAndStop => "`lock run --on-timeout stop`",
            Self::Renewal => "the keeper",
            Self::Restart => "`restart`",
            Self::Break => "`lock break`",
            Self::Library => "a caller of the library",
        })
    }
}
