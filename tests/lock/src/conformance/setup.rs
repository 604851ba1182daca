//! The calls on a lock's paths that are no effect, each with its reason. Anything else is one call
//! too many.
//!
//! They open the lock's directory, or hand the ticket's descriptor on. None of them is on a name
//! in the directory, and none changes what another contender can see.

use super::answer::Trust;
use super::place::{Files, Role};
use crate::strace::{Call, Outcome};

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

/// All of them.
pub const ALLOWED: [Allowed; 10] = [
    Allowed {
        call: "statx(AT_FDCWD, RUN, AT_STATX_SYNC_AS_STAT, STATX_ALL)",
        who: Who::Process,
        reason: "is there a directory?",
    },
    Allowed {
        call: "mkdir(RUN, 0700)",
        who: Who::Process,
        reason: "there is none: it is made, and those above it",
    },
    Allowed {
        call: "openat(AT_FDCWD, RUN, O_RDONLY|O_CLOEXEC|O_DIRECTORY)",
        who: Who::Process,
        reason: "every name is looked up from here, so that the directory cannot be exchanged",
    },
    Allowed {
        call: "fstat(dir)",
        who: Who::Process,
        reason: "who may write here, and whose files are trusted?",
    },
    Allowed { call: "fstatfs(dir)", who: Who::Process, reason: "may other hosts have mounted it?" },
    Allowed { call: "close(dir)", who: Who::Process, reason: "the lock's handle is dropped" },
    Allowed {
        call: "close(gone)",
        who: Who::Process,
        reason: "the directory was removed, and has been made and opened anew",
    },
    Allowed {
        call: "fcntl(ticket, F_DUPFD_CLOEXEC, 3)",
        who: Who::Process,
        reason: "a copy for the lock's work, which keeps the lock held if we are killed",
    },
    Allowed { call: "close(copy)", who: Who::Process, reason: "the work has its own by now" },
    Allowed {
        call: "fcntl(copy, F_SETFD, 0)",
        who: Who::Child,
        reason: "before exec: the work keeps its copy",
    },
];

/// What the standard library asks before each close when it is built with its own checks on.
/// It is passed over wherever it stands.
pub(super) const CHECK: Allowed = Allowed {
    call: "fcntl(…, F_GETFD)",
    who: Who::Process,
    reason: "only in builds with debug assertions: is the descriptor that is to be closed open?",
};

/// The one of these that a call is.
pub(crate) fn allowed(seen: &str, who: Who) -> Option<&'static Allowed> {
    ALLOWED.iter().find(|allowed| allowed.call == seen && allowed.who == who)
}

/// Keeps the books of what it opened or closed; says whose files are trusted, if that was asked.
pub(crate) fn remember(allowed: &Allowed, call: &Call, files: &mut Files) -> Option<Trust> {
    let opened = call.opened().and_then(|opened| opened.number);
    let name = call.name.as_str();
    match (name, opened) {
        ("openat", Some(number)) => files.open_directory(number),
        ("fcntl", Some(number)) => files.open(number, Role::Copy),
        ("close", _) => match allowed.call {
            "close(dir)" => files.close(Role::Directory),
            "close(gone)" => files.close(Role::Gone),
            _ => files.close(Role::Copy),
        },
        ("fstat", _) if matches!(call.outcome, Outcome::Returned(_)) => {
            return Trust::of_directory(call.arg(1));
        }
        _ => {}
    }
    None
}
