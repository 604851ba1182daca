//! What can end a measurement.

use std::io;

use camino::Utf8PathBuf;

/// Why a measurement came to no good end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file or a process of ours.
    #[error("cannot {verb} {what}")]
    System {
        /// What was tried.
        verb: &'static str,
        /// On what.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A peer answered that it failed, or with something else than it was asked for.
    #[error("{peer} was told `{told}` and answered `{answer}`")]
    Peer {
        /// Which.
        peer: String,
        /// The command.
        told: String,
        /// What it said.
        answer: String,
    },
    /// A peer said nothing in time.
    #[error("{peer} did not answer to `{told}` within {seconds} s")]
    Silent {
        /// Which.
        peer: String,
        /// The command.
        told: String,
        /// How long it had.
        seconds: u64,
    },
    /// A peer ended.
    #[error("{peer} ended; it said: {complaint}")]
    Ended {
        /// Which.
        peer: String,
        /// The last of its standard error.
        complaint: String,
    },
    /// A program failed.
    #[error("`{command}` failed: {complaint}")]
    Program {
        /// The command line.
        command: String,
        /// How, or what it said.
        complaint: String,
    },
    /// A lock did what a lock must not; no figure of it means anything then.
    #[error("{0}")]
    Broken(String),
    /// A listing of strace's that cannot be replayed.
    #[error("{path} cannot be replayed: {reason}")]
    Listing {
        /// The listing.
        path: Utf8PathBuf,
        /// Why.
        reason: String,
    },
    /// A plot could not be drawn.
    #[error("cannot draw {path}: {reason}")]
    Plot {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        reason: String,
    },
    /// The peer's own side failed.
    #[error("{0}")]
    Failure(String),
}

impl Error {
    /// For `map_err`: what was tried, on what.
    pub(crate) fn system<E: Into<io::Error>>(
        verb: &'static str,
        what: impl AsRef<str>,
    ) -> impl FnOnce(E) -> Self {
        let what = what.as_ref().to_owned();
        move |source| Self::System { verb, what, source: source.into() }
    }
}

/// The message of `error` and of its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
