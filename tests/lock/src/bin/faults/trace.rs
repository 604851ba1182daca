//! The system calls of one thread, as strace writes them down.

use lock_tests::strace::{self, Outcome};

use crate::error::Error;
use crate::what::{Matter, Place, What};

/// How strace is to write one thread down, so that it can be read back. It says how the thread
/// ended, which tells that the listing is whole.
pub(crate) const OPTIONS: [&str; 7] = ["-q", "-ttt", "-T", "-y", "-v", "-s", "8192"];

/// How strace says that it is done.
pub(crate) const END: &str = " +++ ";

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// Which of the thread's calls of that name, from 1: that is what strace counts.
    pub(crate) nth: u32,
    /// What it is about; nothing if it is no row of the matrix.
    pub(crate) what: Option<What>,
    pub(crate) succeeded: bool,
    /// Whether it makes a process, not a thread.
    pub(crate) forks: bool,
}

/// Reads a listing of one thread.
///
/// # Errors
///
/// When there is a call on the lock's paths that nobody has a name for.
pub(crate) fn parse(listing: &str, place: &Place<'_>) -> Result<Vec<Call>, Error> {
    // Of a single thread strace does not say which it is.
    let listing: String = listing.lines().map(|line| format!("1 {line}\n")).collect();
    let mut calls: Vec<Call> = Vec::new();
    for call in strace::parse(&listing)? {
        let what = match place.describe(&call) {
            Matter::Row(what) => Some(what),
            Matter::Beside => None,
            Matter::Unknown => return Err(Error::UnknownCall(call.to_string())),
        };
        let makes = matches!(call.name.as_str(), "clone" | "clone3" | "vfork");
        let before = calls.iter().filter(|other| other.name == call.name).count();
        calls.push(Call {
            nth: u32::try_from(before + 1).unwrap_or(u32::MAX),
            what,
            succeeded: matches!(call.outcome, Outcome::Returned(_)),
            forks: makes && !call.arguments.contains("CLONE_THREAD"),
            name: call.name,
        });
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { run: "/t/run", lock: "x.lock" };

    #[test]
    fn calls_are_counted_by_name() {
        let listing = r#"1.000000 linkat(AT_FDCWD</a>, "/proc/self/fd/9", 3</t/run>, "x.lock.mutex", 0) = 0 <0.000010>
1.000001 --- SIGSTOP {si_signo=SIGSTOP, si_code=SI_KERNEL} ---
1.000002 unlinkat(3</t/run>, "x.lock.mutex", 0)    = -1 EIO (Input/output error) (INJECTED) <0.000010>
1.000003 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 7 <0.000010>
1.000004 clone3({flags=CLONE_VM|CLONE_THREAD, exit_signal=0}, 88) = 8 <0.000010>
1.000005 linkat(AT_FDCWD</a>, "/proc/self/fd/9", 3</t/run>, "x.lock", 0) = ?
1.000006 +++ killed by SIGKILL +++
"#;
        let calls = parse(listing, &PLACE).expect("because every call has a name");
        let words = calls.iter().map(|call| {
            let what = call.what.map(|what| what.to_string()).unwrap_or_default();
            format!("{} {} {what} {} {}", call.name, call.nth, call.succeeded, call.forks)
        });
        let expected = [
            "linkat 1 link mutex true false",
            "unlinkat 1 remove mutex false false",
            "clone 1  true true",
            "clone3 1  true false",
            "linkat 2 link lock false false",
        ];
        assert_eq!(words.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_call_on_the_locks_paths_escapes() {
        let line = "1.000000 fchmod(9</t/run/#1>(deleted), 0644) = 0 <0.000010>";
        assert!(matches!(parse(line, &PLACE), Err(Error::UnknownCall(_))));
    }
}
