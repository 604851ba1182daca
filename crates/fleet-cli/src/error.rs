//! Why a command could not be carried out, and with which code it ends.

use std::io::{self, ErrorKind};

use camino::Utf8PathBuf;
use lock_fs::PolicyError;

use crate::documents::DocumentError;
use crate::exit::Exit;
use crate::explain::Explanation;
use crate::home::HomeError;
use crate::journal::JournalError;
use crate::lock::doctor::DoctorError;
use crate::plan::UnknownAgent;
use crate::roster::RosterError;
use crate::setup::SetupError;
use crate::supervisor::{LookError, SupervisorError, SupervisorMissing};

/// Whatever ends a command before its work is done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The roster cannot be used.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// A name that is not in the roster.
    #[error(transparent)]
    UnknownAgent(#[from] UnknownAgent),
    /// The roster's supervisor is not there.
    #[error(transparent)]
    SupervisorMissing(#[from] SupervisorMissing),
    /// Files cannot be written, or not so.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A manual page or a schema cannot be had.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// There is nothing to look at.
    #[error(transparent)]
    Look(#[from] LookError),
    /// The lock options do not fit together.
    #[error("the lock options cannot be used: {}", with_flags(.0))]
    Policy(PolicyError),
    /// The lock.
    #[error(transparent)]
    Lock(lock_fs::Error),
    /// The lock's file system cannot be trusted, and the owner is not preemptible or asked for that.
    #[error(
        "{path} is on a file system without trustworthy kernel locks, where two owners' work could \
         overlap; choose a local one, or accept that (`fleet lock run --allow-timed`, or any other \
         command without --require-kernel-lock)"
    )]
    NoKernelLock {
        /// The lock.
        path: Utf8PathBuf,
    },
    /// The lock is kept for us already, and we want it once more.
    #[error(
        "{path} is held by a process that this one runs under (pid {pid}), and would not come free \
         before this one ends; do without the inner lock, or run this outside"
    )]
    Nested {
        /// The lock.
        path: Utf8PathBuf,
        /// Who has it.
        pid: u32,
    },
    /// The lock is another's, and stays so.
    #[error("{cause}")]
    NotAcquired {
        /// What ended the attempt; one of those that [`Exit::LockNotAcquired`] stands for.
        cause: lock_fs::Error,
        /// What there is to know about the lock.
        explanation: Box<Explanation>,
    },
    /// What the last owner had started goes on, so nothing new may be begun.
    #[error(
        "nothing was begun: {what}, which the last owner of {path} ordered, goes on although it \
         was cancelled; `systemctl --user list-jobs` shows what it waits for"
    )]
    Unsettled {
        /// The lock.
        path: Utf8PathBuf,
        /// What goes on.
        what: String,
    },
    /// Whether what the last owner had started goes on is not known.
    #[error("nothing was begun: cannot find out what the last owner of {path} left in flight")]
    InFlight {
        /// The lock.
        path: Utf8PathBuf,
        /// Why.
        source: SupervisorError,
    },
    /// A file that was to be the lock is something else.
    #[error("{path} is no lock file, and as one it would be lost; name another path, or remove it")]
    NoLock {
        /// The file.
        path: Utf8PathBuf,
    },
    /// The lock's journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A picture cannot be written.
    #[error("cannot write the picture {path}; choose another place for it")]
    Picture {
        /// Where.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory cannot be tried.
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    /// The work is done, and its lock is still there.
    #[error("{path} could not be released; the next contender makes up for that")]
    Unreleased {
        /// The lock.
        path: Utf8PathBuf,
        /// Why.
        source: lock_fs::Error,
    },
    /// A signal ended the wait for the lock.
    #[error("{} ended the wait for {path}; nothing was done", crate::signals::name(*.signal))]
    WaitInterrupted {
        /// The lock.
        path: Utf8PathBuf,
        /// The signal.
        signal: i32,
    },
    /// Signals cannot be handled, so a lock could not be released when one comes.
    #[error("cannot prepare to handle signals")]
    Signals(#[source] io::Error),
    /// What we were given by our starter cannot be kept from what we start.
    #[error("cannot close inherited descriptors on exec")]
    Descriptors(#[source] io::Error),
    /// `lock run`: its command cannot be started.
    #[error("cannot run `{program}`")]
    Run {
        /// The command.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// `lock run`: its command was started but cannot be watched.
    #[error("cannot watch `{program}`")]
    Watch {
        /// The command.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Where the lock would name one of its options, ours names the flag.
impl From<lock_fs::Error> for Error {
    fn from(error: lock_fs::Error) -> Self {
        match error {
            lock_fs::Error::NoKernelLock { path } => Self::NoKernelLock { path },
            error => Self::Lock(error),
        }
    }
}

impl Error {
    /// The code that the command ends with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Home(HomeError::Unknown | HomeError::Empty | HomeError::NotText(_)) => {
                Exit::Usage
            }
            Self::Home(HomeError::Current { source, .. }) => io_exit(source),
            Self::Roster(RosterError::Read { source, .. }) => io_exit(source),
            Self::Roster(_) => Exit::RosterInvalid,
            Self::Document(DocumentError::Write { source, .. }) => io_exit(source),
            Self::Document(DocumentError::NoPage { .. }) => Exit::Usage,
            Self::UnknownAgent(_) | Self::Policy(_) | Self::Nested { .. } => Exit::Usage,
            Self::Setup(error) => error.exit(),
            Self::SupervisorMissing(_) => Exit::SupervisorMissing,
            Self::Look(LookError::NoTerminal { .. } | LookError::NotOnATerminal { .. }) => {
                Exit::Usage
            }
            Self::Look(LookError::Supervisor(SupervisorError::Io { source, .. })) => {
                io_exit(source)
            }
            Self::Look(LookError::Supervisor(_)) => Exit::Io,
            Self::Look(LookError::NoSession { .. } | LookError::NoLog { .. }) => Exit::SomeFailed,
            Self::Lock(error) | Self::NotAcquired { cause: error, .. } => lock_exit(error),
            Self::Journal(JournalError { source, .. })
            | Self::Doctor(DoctorError { source, .. }) => io_exit(source),
            Self::Unreleased { source, .. } => release_exit(source),
            Self::Unsettled { .. } => Exit::LockNotAcquired,
            Self::InFlight { .. } => Exit::Io,
            Self::NoLock { .. } | Self::NoKernelLock { .. } => Exit::CannotCreate,
            Self::WaitInterrupted { signal, .. } => Exit::Signal(*signal),
            Self::Picture { source, .. } => match io_exit(source) {
                Exit::Permission => Exit::Permission,
                _ => Exit::CannotCreate,
            },
            Self::Signals(source) | Self::Descriptors(source) | Self::Watch { source, .. } => {
                io_exit(source)
            }
            Self::Run { source, .. } => run_exit(source),
        }
    }
}

/// What is wrong with a setting of the lock, by the name of the flag that it comes from.
fn with_flags(error: &PolicyError) -> String {
    let flag = |setting| match setting {
        // Nobody sets it: it follows from the other.
        "renew_every" => "a third of --stale-after, how often an owner renews,".to_owned(),
        "wait_limit" => "--max-wait".to_owned(),
        setting => format!("--{}", setting.replace('_', "-")),
    };
    let text = error.to_string();
    match error {
        PolicyError::TooShort { setting } | PolicyError::TooLong { setting } => {
            text.replace(setting, &flag(setting))
        }
        PolicyError::StopWithoutLimit => {
            "--on-timeout stop needs --max-wait: without a limit the wait never ends".to_owned()
        }
        // No flags lead to them.
        PolicyError::RenewsTooSeldom { .. }
        | PolicyError::WaitsAndDoesNot
        | PolicyError::TimedAndKernelLock => text,
    }
}

/// The code for an error of the lock.
pub(crate) fn lock_exit(error: &lock_fs::Error) -> Exit {
    use lock_fs::Error as Lock;
    match error {
        Lock::NotAFile { .. } | Lock::NameTooLong { .. } => Exit::Usage,
        Lock::Busy { .. }
        | Lock::TimedOut { .. }
        | Lock::MutexHeld { .. }
        | Lock::Survived { .. } => Exit::LockNotAcquired,
        Lock::Lost { .. } => Exit::LockLost,
        Lock::UnsafeDirectory { .. } => Exit::Permission,
        Lock::Refused { .. } | Lock::NoKernelLock { .. } | Lock::NoFiles { .. } => {
            Exit::CannotCreate
        }
        Lock::CreateDirectory { source, .. } | Lock::System { verb: "create", source, .. } => {
            match io_exit(source) {
                Exit::Permission => Exit::Permission,
                _ => Exit::CannotCreate,
            }
        }
        Lock::System { source, .. } => io_exit(source),
        // The list is open, and what else there is concerns files.
        _ => Exit::Io,
    }
}

/// The code for an error of a release: whatever it is, the lock had been acquired.
fn release_exit(error: &lock_fs::Error) -> Exit {
    match lock_exit(error) {
        Exit::LockNotAcquired => Exit::Io,
        exit => exit,
    }
}

fn io_exit(error: &io::Error) -> Exit {
    match error.kind() {
        ErrorKind::PermissionDenied => Exit::Permission,
        ErrorKind::ReadOnlyFilesystem => Exit::CannotCreate,
        _ => Exit::Io,
    }
}

/// As shells have it: 127 for what is not there, 126 for what cannot be executed.
fn run_exit(error: &io::Error) -> Exit {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Exit::NotFound,
        ErrorKind::WouldBlock | ErrorKind::OutOfMemory => Exit::Io,
        _ => Exit::NotExecutable,
    }
}

/// An error and everything that led to it, as one sentence.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        sentence.push_str(": ");
        sentence.push_str(&cause.to_string());
        source = cause.source();
    }
    sentence
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn refused(verb: &'static str, kind: ErrorKind) -> lock_fs::Error {
        lock_fs::Error::System { verb, path: "/run/x.lock".into(), source: kind.into() }
    }

    /// What cannot be created says so with the code for it, whatever the reason; except
    /// permission, which says more.
    #[rstest]
    #[case::full("create", ErrorKind::StorageFull, Exit::CannotCreate)]
    #[case::broken("create", ErrorKind::Other, Exit::CannotCreate)]
    #[case::denied("create", ErrorKind::PermissionDenied, Exit::Permission)]
    #[case::full_later("write", ErrorKind::StorageFull, Exit::Io)]
    #[case::denied_later("write", ErrorKind::PermissionDenied, Exit::Permission)]
    fn a_refused_call_has_the_code_of_what_it_was_for(
        #[case] verb: &'static str,
        #[case] kind: ErrorKind,
        #[case] exit: Exit,
    ) {
        assert_eq!(lock_exit(&refused(verb, kind)), exit);
    }

    #[test]
    fn a_lock_that_insists_in_vain_names_the_flag() {
        let error = Error::from(lock_fs::Error::NoKernelLock { path: "/net/x.lock".into() });
        assert_eq!(error.exit(), Exit::CannotCreate);
        let text = error.to_string();
        assert!(text.contains("--allow-timed") && text.contains("--require-kernel-lock"), "{text}");
    }

    /// Whoever releases has had the lock: 75 would say the contrary.
    #[test]
    fn a_release_never_says_that_the_lock_was_not_acquired() {
        let waited = std::time::Duration::ZERO;
        let path: Utf8PathBuf = "/run/x.lock".into();
        let held = lock_fs::Error::MutexHeld { path: path.clone(), waited, holder: None };
        assert_eq!(Error::Unreleased { path, source: held }.exit(), Exit::Io);
    }
}
