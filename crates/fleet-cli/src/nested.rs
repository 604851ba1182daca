//! A process that wants the lock that it runs under itself.

use lock_fs::{Life, Lock, Record};

use crate::processes::Process;

/// Tells the command of a `lock run`, and whatever that starts, which ownership it runs under.
pub(crate) const TOKEN: &str = "FLEET_LOCK_TOKEN";

/// Whether the owner of `lock` waits for us: to wait for it would be to wait for our own end.
pub(crate) fn waits_for_us(lock: &Lock, owner: &Record) -> bool {
    let is_named = std::env::var_os(TOKEN).is_some_and(|token| *token == *owner.token.as_str());
    lock.process_of(owner) == Life::Running && is_waited_for_by(owner.pid, is_named)
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
