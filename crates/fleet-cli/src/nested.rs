//! Whoever wants the lock that it runs under itself.

use camino::Utf8Path;
use lock_fs::Lock;

use crate::error::Error;
use crate::processes::Process;

/// Tells the command of a `lock run`, and whatever that starts, which ownership it runs under.
pub(crate) const TOKEN: &str = "FLEET_LOCK_TOKEN";

/// Refuses to wait for `lock` where a `lock run` has it for a command that we are part of: that
/// would be to wait for our own end.
///
/// The variable alone does not say so, since a daemon keeps it. Nor does it that an ancestor
/// has the lock: a `fleet restart` releases it and leaves its agents.
///
/// # Errors
///
/// When it is so.
pub(crate) fn refuse(lock: &Lock, path: &Utf8Path) -> Result<(), Error> {
    let Some(token) = std::env::var_os(TOKEN) else { return Ok(()) };
    // What is wrong with the lock, the attempt itself will say.
    let Ok(status) = lock.status() else { return Ok(()) };
    let owner = status.owner().filter(|owner| *token == *owner.token.as_str());
    match owner {
        Some(owner) if status.is_held() && is_waited_for_by(owner.pid) => {
            Err(Error::Nested { path: path.to_owned(), pid: owner.pid })
        }
        _ => Ok(()),
    }
}

/// Whether the `lock run` that is this process waits for us: as it does for its group, and for
/// its command, which may wait for one in a group of its own (as `timeout` makes). Who has
/// gone to another session means to outlive it.
fn is_waited_for_by(pid: u32) -> bool {
    let (Some(this), Some(owner)) = (Process::find(std::process::id()), Process::find(pid)) else {
        return false;
    };
    let mut line = std::iter::successors(Some(this), |process| Process::find(process.parent));
    let mut descends = || line.any(|process| process.parent == pid);
    this.group == owner.group || this.session == owner.session && descends()
}
