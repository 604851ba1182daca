//! How the programs of the experiments fail, and how they say so.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A file or a process did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
pub struct SystemError {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl SystemError {
    /// For `map_err`: what was tried, on what; as an error of the program's own.
    pub fn of<E: Into<io::Error>, T: From<Self>>(
        verb: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> T {
        let path = path.as_ref().to_owned();
        move |source| Self { verb, path, source: source.into() }.into()
    }
}

/// The end of a program: if it has failed, it says why, with all the causes, in one line.
pub fn exit(program: &str, outcome: Result<(), impl std::error::Error>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With stderr gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "{program}: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_said_with_its_cause() {
        let failed: SystemError = SystemError::of("read", "/tmp/x")(io::Error::other("it is gone"));
        assert_eq!(chain(&failed), "cannot read /tmp/x: it is gone");
    }
}
