//! The command line: one variant per task, one module per variant.

use clap::{CommandFactory, Parser, Subcommand};

use crate::error::Error;
use crate::workspace::Workspace;
use crate::{bench, dist, faults, generate, patience, simulate, test, tidy, torture, tour};

/// Maintenance tasks of the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Args {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every check and every test, installing what they need
    Test {
        /// Arguments for the test runner, for example a test's name
        #[arg(last = true)]
        runner_args: Vec<String>,
    },
    /// Check the rules of the house that a compiler does not
    Tidy,
    /// Write anew what is generated: the schemas, the snapshot of every `--help`
    Generate,
    /// Build a tarball and a Debian package into target/dist
    Dist(dist::Options),
    /// Explore the lock's machines in a model world, and the control subjects that must fail
    Simulate(simulate::Options),
    /// Make every system call of the real programs fail, or its caller, and judge what comes of it
    Faults(faults::Options),
    /// Torment processes that share a lock, and judge what they did
    Torture(torture::Options),
    /// Copy a file system while processes use a lock on it, and let others go on with the copy
    Powerloss(torture::LossOptions),
    /// Run two commands under one lock by defaults, each longer than two minutes, in real time
    Patience,
    /// Measure the lock beside its peers, and say which goals hold
    Bench(bench::Options),
    /// Take the pictures of docs/tour.md from a real terminal
    Tour,
}

impl Args {
    /// Runs the task that was asked for, or lists the tasks.
    pub(crate) fn run(self) -> Result<(), Error> {
        match self.task {
            None => Self::command().print_help().map_err(Error::Output),
            Some(Task::Test { runner_args }) => test::run(&Workspace::locate(), &runner_args),
            Some(Task::Tidy) => tidy::run(&Workspace::locate()),
            Some(Task::Generate) => generate::run(&Workspace::locate()),
            Some(Task::Dist(options)) => dist::run(&Workspace::locate(), &options),
            Some(Task::Simulate(options)) => simulate::run(&Workspace::locate(), &options),
            Some(Task::Faults(options)) => faults::run(&Workspace::locate(), &options),
            Some(Task::Torture(options)) => torture::run(&Workspace::locate(), &options),
            Some(Task::Powerloss(options)) => torture::lose_power(&Workspace::locate(), &options),
            Some(Task::Patience) => patience::run(&Workspace::locate()),
            Some(Task::Bench(options)) => bench::run(&Workspace::locate(), &options),
            Some(Task::Tour) => tour::run(&Workspace::locate()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn arguments_after_two_dashes_are_the_runners() {
        let args = Args::parse_from(["xtask", "test", "--", "-p", "lock-core"]);
        let Some(Task::Test { runner_args }) = args.task else {
            panic!("another task was parsed: {:?}", args.task);
        };
        assert_eq!(runner_args, ["-p", "lock-core"]);
    }

    #[test]
    fn no_task_is_no_error() {
        assert!(Args::parse_from(["xtask"]).task.is_none());
    }
}
