//! `init`, `add`, `remove`, `install`: the commands that write roster, env files and units.
//!
//! Each makes a [`Draft`], which is a value, and shows it as a diff. With `--write` it makes
//! the draft under the home's setup lock, so that two of them never work from the same old
//! text, and carries it out: first the files that nothing refers to yet (env files), last
//! the one that makes them count (the roster). `file` says what a failure leaves: nothing.
//!
//! `remove` and `add --start` touch running agents as well, and do that under the restart lock.

mod add;
mod env_file;
mod env_merge;
mod error;
mod file;
mod first_roster;
mod init;
mod install;
mod remove;
mod systemctl;
mod units;

use std::time::Duration;

use camino::Utf8PathBuf;
use lock_fs::{Lock, Options, Policy, Released, Settings};

pub(crate) use self::add::add;
pub(crate) use self::error::SetupError;
pub(crate) use self::file::{Change, Kind};
pub(crate) use self::init::init;
pub(crate) use self::install::install;
pub(crate) use self::remove::remove;
pub(crate) use self::systemctl::Call;
use crate::error::Error;
use crate::home::Home;

/// What a command is about to do, or has done.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The command, as typed.
    pub(crate) command: &'static str,
    /// The files, in the order in which they are written.
    pub(crate) changes: Vec<Change>,
    /// The calls of systemctl that follow.
    pub(crate) calls: Vec<Call>,
    /// Units that the roster knows nothing of.
    pub(crate) strays: Vec<String>,
    /// Whether it is done.
    pub(crate) written: bool,
}

impl Draft {
    fn new(command: &'static str, changes: Vec<Change>) -> Self {
        Self { command, changes, calls: Vec::new(), strays: Vec::new(), written: false }
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.changes.iter().all(|change| change.kind() == Kind::Kept)
    }

    /// Refuses to write over what was not written by fleet, or was changed since; an env file
    /// never is, since a merge keeps what its user wrote.
    fn refuse_others(&self) -> Result<(), SetupError> {
        let is_other = |change: &&Change| !change.secret && change.kind() == Kind::Updated;
        let other = self.changes.iter().find(is_other).map(|change| change.path.clone());
        match (other, self.command) {
            (None, _) => Ok(()),
            (Some(path), "init") => Err(SetupError::Exists { path }),
            (Some(path), _) => Err(SetupError::UnitExists { path }),
        }
    }

    /// Makes the calls, then writes the files: what cannot be disabled stays in the roster.
    fn withdraw(mut self) -> Result<Self, Error> {
        self.calls.iter().try_for_each(|call| call.run(false))?;
        file::apply(&self.changes)?;
        self.written = true;
        Ok(self)
    }

    /// Writes the files, then makes the calls.
    fn carry_out(mut self) -> Result<Self, Error> {
        file::apply(&self.changes)?;
        let wrote = self.changes.iter().any(|change| change.kind() != Kind::Kept);
        self.calls.iter().try_for_each(|call| call.run(wrote))?;
        self.written = true;
        Ok(self)
    }
}

/// The draft, carried out if `write` says so.
fn drafted(
    home: &Home,
    command: &'static str,
    write: bool,
    draft: impl FnOnce() -> Result<Draft, Error>,
) -> Result<Draft, Error> {
    match write {
        true => alone(home, command, || draft()?.carry_out()),
        false => draft(),
    }
}

/// How long one of them waits for another; `remove` announces it in the restart lock.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// Does `work` while no other command writes to this home.
fn alone<T>(
    home: &Home,
    command: &'static str,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let path: Utf8PathBuf = home.setup_lock();
    let settings = Settings { wait_limit: Some(WAIT_LIMIT), ..Settings::default() };
    let policy = Policy::new(settings).map_err(Error::Policy)?;
    let options = Options { policy, command: format!("fleet {command}"), ..Options::default() };
    let guard = Lock::open(&path, options)?.acquire_quietly()?;
    let done = work()?;
    match guard.release()? {
        // A lock that was lost on the way cost nothing: no file is replaced that does not
        // say what the draft was made from.
        Released::Released | Released::AlreadyLost { .. } => Ok(done),
    }
}
