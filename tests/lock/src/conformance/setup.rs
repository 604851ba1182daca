//! The calls on a lock's paths that are no effect, each with its reason. Anything else is one call
//! too many.
//!
//! They open the lock's directory, or hand the ticket's descriptor on. None of them is on a name
//! in the directory, and none changes what another contender can see.

use super::answer::Trust;
use super::place::{Files, Role};
use crate::strace::{Call, Outcome, descriptor};

/// Who makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The process itself.
    Process,
    /// One that it has started: between fork and exec, or afterwards.
    Child,
}

/// A call that needs no effect.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// The call; `RUN` is the lock's directory.
    pub call: &'static str,
    /// Who may make it.
    pub who: Who,
    /// Why it is made.
    pub reason: &'static str,
}

const fn ours(call: &'static str, reason: &'static str) -> Allowed {
    Allowed { call, who: Who::Process, reason }
}

const fn childs(call: &'static str, reason: &'static str) -> Allowed {
    Allowed { call, who: Who::Child, reason }
}

const LOOKS_AT_DIRECTORY: &str = "newfstatat(AT_FDCWD, RUN, 0)";
const SHARES_TICKET: &str = "fcntl(ticket, F_DUPFD_CLOEXEC, 3)";

/// All of them.
pub const ALLOWED: [Allowed; 15] = [
    ours("statx(AT_FDCWD, RUN, AT_STATX_SYNC_AS_STAT, STATX_ALL)", "is there a directory?"),
    ours("mkdir(RUN, 0700)", "there is none: it is made, after those above it"),
    ours(
        "openat(AT_FDCWD, RUN, O_RDONLY|O_CLOEXEC|O_DIRECTORY)",
        "names are looked up from here, so that the directory cannot be exchanged under us",
    ),
    ours("fstat(dir)", "who may write here, and whose files are trusted?"),
    ours("fstatfs(dir)", "may other hosts have mounted it?"),
    ours("close(dir)", "the lock's handle is dropped"),
    ours(LOOKS_AT_DIRECTORY, "fleet's journal: whose is the directory?"),
    ours("close(gone)", "the directory was removed, and has been made and opened anew"),
    ours(SHARES_TICKET, "a copy for the lock's work, which keeps the lock held if we are killed"),
    ours("fcntl(copy, F_DUPFD_CLOEXEC, 3)", "another copy, for one child"),
    ours("close(copy)", "the child has its own by now"),
    childs("fcntl(copy, F_SETFD, 0)", "before exec: the command under the lock keeps its copy"),
    childs("dup2(copy, 1)", "before exec: whoever starts an agent has its copy as its stdout"),
    childs("poll([0, 1, 2], 3, 0)", "the standard library, at a start: are the three open?"),
    childs("dup2(other, 1)", "the agent gets its log in the copy's place: it keeps no lock"),
];

/// What the standard library asks before each close when it is built with its own checks on.
/// It is passed over wherever it stands.
pub(super) const CHECK: Allowed = Allowed {
    call: "fcntl(…, F_GETFD)",
    who: Who::Process,
    reason: "only in builds with debug assertions: is the descriptor that is to be closed open?",
};

impl Allowed {
    /// Whether the ticket's descriptor can be inherited from then on: the ticket is never the mutex
    /// again.
    pub(crate) fn shares_ticket(&self) -> bool {
        self.call == SHARES_TICKET
    }
}

/// The one of these that a call is.
pub(crate) fn allowed(seen: &str, who: Who) -> Option<&'static Allowed> {
    ALLOWED.iter().find(|allowed| allowed.call == seen && allowed.who == who)
}

/// Whether the caller of the lock may make this call when it is told that it waits.
pub(crate) fn is_callers(seen: &str) -> bool {
    seen == LOOKS_AT_DIRECTORY
}

/// Keeps the books of what the process opened or closed by it; says whose files are trusted, if
/// that was asked.
pub(crate) fn remember(allowed: &Allowed, call: &Call, files: &mut Files) -> Option<Trust> {
    if allowed.who == Who::Child {
        return None;
    }
    let opened = call.opened().and_then(|opened| opened.number);
    match (call.name.as_str(), opened) {
        ("openat", Some(number)) => files.open_directory(number),
        ("fcntl", Some(number)) => files.open(number, Role::Copy),
        ("close", _) => {
            if let Some(number) = descriptor(call.arg(0)).and_then(|closed| closed.number) {
                files.close_number(number);
            }
        }
        ("fstat", _) if matches!(call.outcome, Outcome::Returned(_)) => {
            return Trust::of_directory(call.arg(1));
        }
        _ => {}
    }
    None
}
