//! What can end a torture.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use lock_tests::SystemError;

/// Why a torture, or a part in one, came to no good end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Something that must not be was in the history; the report shows it.
    #[error("{count} violations, shown above; the histories are in {}", kept.display())]
    Violations {
        /// How many.
        count: usize,
        /// Where everything that was written down still is.
        kept: PathBuf,
    },
    /// A worker did not end when it should have.
    #[error("{name} hangs; the histories are in {}:\n{state}", kept.display())]
    Hangs {
        /// Which.
        name: String,
        /// Where everything that was written down still is.
        kept: PathBuf,
        /// What the kernel says of it, and what is in the lock's directory.
        state: String,
    },
    /// A worker that nobody killed ended otherwise than well.
    #[error("{name} ended with {status}; the histories are in {}", kept.display())]
    Crashed {
        /// Which.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Where everything that was written down still is.
        kept: PathBuf,
    },
    /// A history that nobody can have written.
    #[error("a history makes no sense: {0}")]
    History(String),
    /// The lock failed where nothing was done to it.
    #[error("the lock failed")]
    Lock(#[from] lock_fs::Error),
    /// The settings of a worker do not fit together.
    #[error("the settings do not fit together")]
    Policy(#[from] lock_fs::PolicyError),
    /// A file or a process of ours.
    #[error(transparent)]
    System(#[from] SystemError),
    /// A program failed.
    #[error("`{command}` failed: {complaint}")]
    Program {
        /// The command line.
        command: String,
        /// How, or what it said.
        complaint: String,
    },
    /// Something is needed that is not there.
    #[error("this needs {what}")]
    Needs {
        /// What.
        what: &'static str,
    },
}

impl Error {
    /// For `map_err`: what was tried, on what.
    pub(crate) fn system<E: Into<io::Error>>(
        verb: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> Self {
        SystemError::of(verb, path)
    }
}
