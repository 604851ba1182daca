//! Writing to the journal, without ever being in the way of the lock.

use std::io::{self, ErrorKind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use lock_fs::{Clock, Generation, Host, Now, Token};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::{Errno, retry_on_intr};

use super::entry::{Entry, What};
use super::{LIMIT, older, path};
use crate::processes::Process;

/// How often a writer begins anew because its file was put aside under its hands. Each time
/// half a megabyte was written by others meanwhile, so once is rare.
const ROUNDS: usize = 8;

/// How many letters of a command line are kept.
const LONGEST_COMMAND: usize = 500;

/// The journal of one lock, as one process writes it.
#[derive(Debug)]
pub(crate) struct Journal {
    lock: Utf8PathBuf,
    host: Host,
    command: String,
    /// When this process started, once that is asked for.
    start_ticks: OnceLock<u64>,
    clock: Clock,
    /// Why a line could not be written: the first reason.
    problem: OnceLock<io::Error>,
    /// Whether somebody has been told.
    told: AtomicBool,
}

/// A line is missing from the journal.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the journal {path}: {why}; the work goes on without it")]
pub(crate) struct Problem {
    path: Utf8PathBuf,
    why: String,
}

impl Journal {
    /// The journal of the lock at `lock`; `command` is what others see us do.
    pub(crate) fn new(lock: &Utf8Path, host: &Host, command: String) -> Self {
        Self {
            lock: lock.to_owned(),
            host: host.clone(),
            command: command.chars().take(LONGEST_COMMAND).collect(),
            start_ticks: OnceLock::new(),
            clock: Clock::default(),
            problem: OnceLock::new(),
            told: AtomicBool::new(false),
        }
    }

    /// Writes down what happened, to an ownership if it did, and when. Where that fails, the
    /// work goes on; [`Journal::problem`] tells.
    pub(crate) fn write(&self, at: Now, ownership: Option<(&Token, Generation)>, what: What) {
        if let Err(problem) = self.line(at, ownership, what).and_then(|line| self.append(&line)) {
            // What went wrong first is what a person should see.
            let _ = self.problem.set(problem);
        }
    }

    /// Likewise, but only where there is a journal already: a path that cannot be a lock is to
    /// get none.
    pub(crate) fn add(&self, at: Now, what: What) {
        if std::fs::symlink_metadata(path(&self.lock)).is_ok() {
            self.write(at, None, what);
        }
    }

    /// Why a line could not be written. Tells only once.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let why = self.problem.get()?.to_string();
        let first = !self.told.swap(true, Ordering::Relaxed);
        first.then(|| Problem { path: path(&self.lock), why })
    }

    /// What the clocks say.
    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    fn line(
        &self,
        at: Now,
        ownership: Option<(&Token, Generation)>,
        what: What,
    ) -> io::Result<String> {
        let pid = std::process::id();
        let start_ticks = || Process::find(pid).map_or(0, |this| this.start_ticks);
        let entry = Entry {
            what,
            wall_ms: at.wall.0,
            boot_ms: at.boot.0,
            boot: self.host.boot.clone(),
            host: self.host.name.clone(),
            pid,
            start_ticks: *self.start_ticks.get_or_init(start_ticks),
            command: self.command.clone(),
            token: ownership.map(|(token, _)| token.to_string()),
            generation: ownership.map(|(_, generation)| generation.0),
        };
        let mut line = serde_json::to_string(&entry)?;
        line.push('\n');
        Ok(line)
    }

    fn append(&self, line: &str) -> io::Result<()> {
        for _ in 0..ROUNDS {
            let file = self.open()?;
            if self.put_aside(&file)? {
                continue;
            }
            if write_to(&file, line)? {
                return Ok(());
            }
        }
        Err(ErrorKind::ResourceBusy.into())
    }

    /// Opens the journal for appending; refuses whatever we would not have made ourselves.
    fn open(&self) -> io::Result<OwnedFd> {
        let path = path(&self.lock);
        let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let flags = OFlags::APPEND | OFlags::WRONLY | OFlags::CREATE | careful;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = retry_on_intr(|| rustix::fs::open(path.as_str(), flags, mode))?;
        let stat = retry_on_intr(|| rustix::fs::fstat(&file))?;
        let directory = retry_on_intr(|| rustix::fs::stat(parent(&self.lock).as_str()))?;
        let us = rustix::process::geteuid();
        if !is_ours(&stat, &directory, us) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        // Root restarts another's fleet; that user's own `fleet` must be able to go on with
        // the journal.
        if us.is_root() && stat.st_uid == 0 && stat.st_size == 0 && is_private(&directory) {
            let (user, group) = (Uid::from_raw(directory.st_uid), Gid::from_raw(directory.st_gid));
            retry_on_intr(|| rustix::fs::fchown(&file, Some(user), Some(group)))?;
        }
        Ok(file)
    }

    /// Renames a journal that is long enough; says whether the path leads elsewhere now.
    ///
    /// Whoever does so holds the file's kernel lock, and looks again whether it is still the
    /// journal: so of two that find it long, the second does not put the new one aside.
    fn put_aside(&self, file: &OwnedFd) -> io::Result<bool> {
        let stat = retry_on_intr(|| rustix::fs::fstat(file))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size < LIMIT {
            return Ok(false);
        }
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            // Another does it. What we write to the file stays with it.
            Err(Errno::WOULDBLOCK) if size < 2 * LIMIT => return Ok(false),
            Err(Errno::WOULDBLOCK) => return Err(ErrorKind::FileTooLarge.into()),
            // Without kernel locks, the second look has to do.
            Ok(()) | Err(_) => {}
        }
        let here = match rustix::fs::lstat(path(&self.lock).as_str()) {
            Ok(here) => here,
            Err(Errno::NOENT) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        };
        if (here.st_dev, here.st_ino) == (stat.st_dev, stat.st_ino) {
            let (from, to) = (path(&self.lock), older(&self.lock));
            rustix::fs::renameat(CWD, from.as_str(), CWD, to.as_str())?;
        }
        Ok(true)
    }
}

/// Writes a line at the end; says whether it will be found there. A file that was put aside
/// twice since it was opened has no name any more, and the line is gone with it.
fn write_to(file: &OwnedFd, line: &str) -> io::Result<bool> {
    let written = retry_on_intr(|| rustix::io::write(file, line.as_bytes()))?;
    if written < line.len() {
        return Err(Errno::NOSPC.into());
    }
    Ok(retry_on_intr(|| rustix::fs::fstat(file))?.st_nlink > 0)
}

fn parent(lock: &Utf8Path) -> &Utf8Path {
    lock.parent().filter(|parent| !parent.as_str().is_empty()).unwrap_or(Utf8Path::new("."))
}

/// A plain file with one name, of somebody who has a business here: as the lock has it.
fn is_ours(file: &Stat, directory: &Stat, us: Uid) -> bool {
    let plain = FileType::from_raw_mode(file.st_mode).is_file() && file.st_nlink <= 1;
    let us = us.as_raw();
    let of_ours =
        file.st_uid == us || is_private(directory) && [0, directory.st_uid].contains(&file.st_uid);
    plain && of_ours
}

/// Whether only its owner, and a group it trusts, may write to a directory.
fn is_private(directory: &Stat) -> bool {
    !Mode::from_raw_mode(directory.st_mode).contains(Mode::WOTH)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn journal() -> (tempfile::TempDir, Journal) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let lock = Utf8PathBuf::try_from(directory.path().join("x.lock")).expect("UTF-8");
        let host = Host { name: "here".to_owned(), boot: "boot".to_owned() };
        let journal = Journal::new(&lock, &host, "a".to_owned());
        (directory, journal)
    }

    fn fill(journal: &Journal, first: &str) {
        let rest = usize::try_from(LIMIT).expect("it fits") - first.len();
        fs::write(path(&journal.lock), format!("{first}{}", "\n".repeat(rest))).expect("written");
    }

    #[test]
    fn of_two_that_find_it_long_the_second_leaves_the_new_one_alone() {
        let (_directory, journal) = journal();
        fill(&journal, "old");
        let (first, second) = (journal.open().expect("opened"), journal.open().expect("opened"));
        assert!(journal.put_aside(&first).expect("renamed"));
        drop(first);
        journal.append("new\n").expect("written");
        assert!(journal.put_aside(&second).expect("looked"), "it has to open it anew");
        let text = |path| fs::read_to_string(path).expect("it is there");
        assert_eq!(text(path(&journal.lock)), "new\n");
        assert!(text(older(&journal.lock)).starts_with("old"));
    }

    #[test]
    fn a_line_in_a_file_that_was_put_aside_is_there_until_that_goes() {
        let (_directory, journal) = journal();
        fill(&journal, "old");
        let (slow, slower) = (journal.open().expect("opened"), journal.open().expect("opened"));
        journal.append("new\n").expect("written");
        assert!(write_to(&slow, "slow\n").expect("written"));
        assert!(fs::read_to_string(older(&journal.lock)).expect("there").ends_with("slow\n"));
        fill(&journal, "newer");
        journal.append("newest\n").expect("written");
        assert!(!write_to(&slower, "slower\n").expect("written"), "nobody would find it");
    }
}
