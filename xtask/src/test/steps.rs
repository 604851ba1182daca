//! One step of the run: a heading before it, its time after it, its name on its error.

use std::process::Command;
use std::time::Instant;

use crate::error::Error;
use crate::workspace::{describe, run, say};

/// A step that is a program.
pub(super) fn command(name: &'static str, command: Command) -> Result<(), Error> {
    say(&format!("== {name}: {}", describe(&command)))?;
    timed(name, || run(command))
}

/// A step that is a function.
pub(super) fn function(
    name: &'static str,
    work: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    say(&format!("== {name}"))?;
    timed(name, work)
}

/// The step that closes the run. It reports its own time, so nothing follows its output.
pub(super) fn last(name: &'static str, command: Command) -> Result<(), Error> {
    say(&format!("== {name}: {}", describe(&command)))?;
    run(command).map_err(|source| named(name, source))
}

fn timed(name: &'static str, work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    let start = Instant::now();
    work().map_err(|source| named(name, source))?;
    say(&format!("   {name}: {:.1} s\n", start.elapsed().as_secs_f64()))
}

fn named(step: &'static str, source: Error) -> Error {
    Error::Step { step, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::chain;

    #[test]
    fn a_failing_step_is_named() {
        let error = command("lies", Command::new("false")).expect_err("`false` fails");
        assert_eq!(chain(&error), "the step `lies` failed: `false` ended with exit status: 1");
    }

    #[test]
    fn a_step_that_works_is_no_error() {
        assert!(function("rest", || Ok(())).is_ok());
    }
}
