//! What can end a matrix.

use std::io;
use std::path::{Path, PathBuf};

use lock_tests::SystemError;

/// Why a matrix, or a part in one, came to no good end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Cells are red; the report shows them.
    #[error("{count} of {of} runs went otherwise than documented, shown above; they are kept in {}", kept.display())]
    Red {
        /// How many.
        count: usize,
        /// Of how many.
        of: usize,
        /// Where everything that was left by them still is.
        kept: PathBuf,
    },
    /// A call on the lock's paths that the matrix has no name for.
    #[error("nobody has a name for this call: {0}")]
    UnknownCall(String),
    /// What strace wrote is not understood.
    #[error(transparent)]
    Listing(#[from] lock_tests::strace::Malformed),
    /// A scenario makes now these calls and now those, so no call can be named by its place.
    #[error("{scenario} does not make the same calls twice:\n{one}\n{other}")]
    Unsteady {
        /// Which.
        scenario: &'static str,
        /// The calls of one run.
        one: String,
        /// Those of another.
        other: String,
    },
    /// A row of the rules that no call of any scenario meets.
    #[error("no call meets rule {number}, so nothing shows whether it is right")]
    IdleRule {
        /// From 1.
        number: usize,
    },
    /// A part of a scenario did not do what it is there for.
    #[error("{what}: {how}")]
    Part {
        /// Which.
        what: &'static str,
        /// What it did instead.
        how: String,
    },
    /// The lock failed where nothing was done to it.
    #[error("the lock failed")]
    Lock(#[from] lock_fs::Error),
    /// The settings of a contender do not fit together.
    #[error("the settings do not fit together")]
    Policy(#[from] lock_fs::PolicyError),
    /// A file or a process of ours.
    #[error(transparent)]
    System(#[from] SystemError),
    /// Something is needed that is not there.
    #[error("this needs {what}")]
    Needs {
        /// What.
        what: String,
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
