//! Everything that can stop a task.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a task stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A part of a longer task failed; the source says how.
    #[error("the step `{step}` failed")]
    Step {
        /// The step's name, as in its heading.
        step: &'static str,
        /// What stopped the step.
        source: Box<Error>,
    },
    /// A program could not be started.
    #[error("failed to start `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A program ran and reported failure.
    #[error("`{command}` ended with {status}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A file of the workspace could not be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Something that was built is not as it should be.
    #[error("{} is not fit to ship: {problem}", what.display())]
    Unfit {
        /// The file.
        what: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Standard output could not be written.
    #[error("failed to write to standard output")]
    Output(#[source] io::Error),
    /// Programs that the tests call are absent and may not be installed from here.
    #[error("missing {programs}; install with: apt-get install {packages}")]
    MissingPrograms {
        /// The programs, each with what needs it.
        programs: String,
        /// The Debian packages that have them.
        packages: String,
    },
    /// Files break the rules that `tidy` checks; they are listed on standard output.
    #[error("{count} {} of the house rules, listed above", if *count == 1 { "violation" } else { "violations" })]
    Untidy {
        /// How many.
        count: usize,
    },
}

/// The message of `error` and of its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_one_sentence() {
        let error = Error::Step { step: "tidy", source: Box::new(Error::Untidy { count: 2 }) };
        assert_eq!(
            chain(&error),
            "the step `tidy` failed: 2 violations of the house rules, listed above"
        );
    }
}
