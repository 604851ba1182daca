//! A process that wants the lock that it runs under itself.

use camino::Utf8Path;
use lock_fs::{Life, Lock};

use crate::error::Error;
use crate::processes::Process;

/// Tells the command of a `lock run`, and whatever that starts, which ownership it runs under.
pub(crate) const TOKEN: &str = "FLEET_LOCK_TOKEN";

/// Refuses to wait for `lock` where its owner waits for us: that would be to wait for our own end.
///
/// # Errors
///
/// When it is so.
pub(crate) fn refuse(lock: &Lock, path: &Utf8Path) -> Result<(), Error> {
    // What is wrong with the lock, the attempt itself will say.
    let Ok(status) = lock.status() else { return Ok(()) };
    let Some(owner) = status.owner().filter(|_| status.is_held()) else { return Ok(()) };
    let is_named = std::env::var_os(TOKEN).is_some_and(|token| *token == *owner.token.as_str());
    let is_visible = lock.process_of(owner) == Life::Running;
    if is_visible && is_waited_for_by(owner.pid, is_named) {
        return Err(Error::Nested { path: path.to_owned(), pid: owner.pid });
    }
    Ok(())
}

/// Whether the owner that is this process waits for us. It is our ancestor, in our session or
/// group; a descendant in a session of its own means to outlive it, as the agents of a restart do.
/// A `lock run` waits for its whole group, also for what has lost its parents; then the
/// environment names the ownership.
fn is_waited_for_by(pid: u32, is_named: bool) -> bool {
    let (Some(this), Some(owner)) = (Process::find(std::process::id()), Process::find(pid)) else {
        return false;
    };
    let mut line = std::iter::successors(Some(this), |process| Process::find(process.parent));
    let is_near = this.group == owner.group || this.session == owner.session;
    is_near && line.any(|process| process.parent == pid) || is_named && this.group == owner.group
}
