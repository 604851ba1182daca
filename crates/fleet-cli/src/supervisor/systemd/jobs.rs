//! What the manager has still to do for a fleet's units, no matter which process ordered it.

use crate::supervisor::{InFlight, SupervisorError};

use super::manager::Manager;

const LIST: [&str; 5] = ["--user", "list-jobs", "--no-legend", "--plain", "--full"];

impl Manager {
    /// The jobs for these units.
    ///
    /// # Errors
    ///
    /// When the manager cannot be asked.
    pub(super) fn jobs(&self, units: &[String]) -> Result<Vec<InFlight>, SupervisorError> {
        Ok(parse(&self.run(&LIST)?, units))
    }

    /// Has the manager give up jobs; those that are done meanwhile are not missed.
    ///
    /// # Errors
    ///
    /// When systemctl cannot be run, or hangs.
    pub(super) fn cancel(&self, jobs: &[InFlight]) -> Result<(), SupervisorError> {
        let numbers: Vec<_> = jobs.iter().map(|job| job.number.to_string()).collect();
        let numbers = numbers.iter().map(String::as_str);
        let arguments: Vec<_> = ["--user", "cancel", "--"].into_iter().chain(numbers).collect();
        match self.run(&arguments) {
            // It says so of a job that is gone; the next look tells what is left.
            Err(SupervisorError::ToolFailed { .. }) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Lines of `JOB UNIT TYPE STATE`.
fn parse(text: &str, units: &[String]) -> Vec<InFlight> {
    let job = |line: &str| {
        let mut words = line.split_whitespace();
        let number = words.next()?.parse().ok()?;
        let unit = words.next().filter(|unit| units.iter().any(|other| other == unit))?;
        Some(InFlight { number, unit: unit.to_owned(), verb: words.next()?.to_owned() })
    };
    let mut jobs: Vec<_> = text.lines().filter_map(job).collect();
    jobs.sort_by_key(|job| job.number);
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_jobs_of_these_units_are_seen() {
        let text = "  17 a.service restart running\n\n 18 b.service start waiting\nNo jobs.\n";
        let job = InFlight { number: 18, unit: "b.service".into(), verb: "start".into() };
        assert_eq!(parse(text, &["b.service".to_owned(), "c.service".to_owned()]), [job]);
    }
}
