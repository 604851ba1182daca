//! The command line, as clap reads it.

pub(crate) mod setup;

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::time::Duration;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::documents::{ManArgs, SchemaArgs};
use crate::lock::args::{LockCommand, LockRun};
use crate::look::args::LookCommand;
use crate::{duration, exit, usage, version};

/// Restart a fleet of long-lived agents, one restart at a time.
#[derive(Debug, Parser)]
#[command(name = "fleet", version, long_version = version::LONG, max_term_width = 100, after_help = exit::HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) home: HomeOption,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Whose fleet.
#[derive(Debug, Args)]
pub(crate) struct HomeOption {
    /// The fleet's home [default: $FLEET_HOME, $MOSAIC_HOME, then ~/.config/mosaic]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<Utf8PathBuf>,
}

/// `fleet lock run` as if there were nothing else.
#[derive(Debug, Parser)]
struct Lone {
    #[command(flatten)]
    home: HomeOption,
    #[command(flatten)]
    run: LockRun,
}

impl Cli {
    /// Reads a command line.
    ///
    /// `lock run` is what scripts call in loops, and to describe all the other commands to
    /// clap took 0.18 of its 2.5 ms. So it is tried alone first; a line that does not fit, or
    /// asks for help, is read by the whole definition.
    ///
    /// # Errors
    ///
    /// What is wrong with it; or the help, if that is asked for.
    pub(crate) fn read(line: &[OsString]) -> Result<Self, clap::Error> {
        if let [_, lock, words @ ..] = line
            && lock == "lock"
            && words.first().map(OsString::as_os_str) == Some(OsStr::new("run"))
            && let Ok(Lone { home, run }) = Lone::try_parse_from(words)
        {
            return Ok(Self { home, command: Command::Lock(LockCommand::Run(run)) });
        }
        Self::try_parse_from(line)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Restart the fleet, or some of its agents
    ///
    /// Takes the restart lock, restarts the holder (for the whole fleet only) and then the
    /// agents in roster order, and releases the lock. Every agent is attempted, unless the
    /// rollout options hold the fleet back.
    Restart {
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        grace: Grace,
        #[command(flatten)]
        settle: Settle,
        #[command(flatten)]
        rollout: Rollout,
        #[command(flatten)]
        others: Others,
    },
    /// Start what does not run
    ///
    /// The holder first (for the whole fleet only), then the agents in roster order.
    Start {
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        settle: Settle,
        #[command(flatten)]
        rollout: Rollout,
    },
    /// Stop what runs
    ///
    /// The agents in reverse roster order, then the holder (for the whole fleet only). Every
    /// one of them is attempted, whatever fails before.
    Stop {
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        grace: Grace,
    },
    /// Show the state of each agent, and who restarts the fleet now
    Status {
        #[command(flatten)]
        output: Output,
    },
    #[command(flatten)]
    Look(LookCommand),
    /// Write a first roster, its env files and the run directory
    ///
    /// Shows what would be written; --write does it. Env files keep what you wrote into them.
    Init(setup::Init),
    /// Add an agent to the roster
    ///
    /// Shows what would be written; --write does it. Everything else in the roster, comments
    /// and layout too, stays as it is.
    Add(setup::Add),
    /// Stop an agent and take it out of the roster
    ///
    /// Shows what would be written; --write does it, under the restart lock. An agent that
    /// cannot be stopped stays in the roster. Its env file is kept.
    Remove(setup::Remove),
    /// Write and enable the systemd units of the fleet
    ///
    /// Shows what would be written; --write does it. Does only what is not so already, and
    /// brings the agents' env files up to date. Starts nothing: `fleet start` does.
    Install(setup::Install),
    /// Use the restart lock, or any other, directly
    #[command(subcommand)]
    Lock(LockCommand),
    /// Print the completions for a shell
    ///
    /// Load the script into the shell, or put it where the shell looks for it. It asks `fleet`
    /// itself at each TAB, and so offers the agents of the roster too.
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print a manual page, or write all of them
    Man(ManArgs),
    /// Print the JSON schema of the roster, or of what a command reports with --json
    ///
    /// The schema says which keys there are, what they mean, and which are always there. A
    /// later version may report more keys: ignore those that you do not know.
    Schema(SchemaArgs),
}

/// A command that changes the fleet.
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// The agents [default: the whole fleet]
    #[arg(value_name = "AGENT")]
    pub(crate) agents: Vec<String>,

    /// How many agents to work on at a time
    #[arg(long, value_name = "N", default_value = "1", value_parser = usage::at_least_one)]
    pub(crate) jobs: NonZeroUsize,

    #[command(flatten)]
    pub(crate) output: Output,

    #[command(flatten)]
    pub(crate) lock: LockOptions,
}

impl Change {
    /// One agent's.
    pub(crate) fn of_one(agent: &str, output: Output, lock: &LockOptions) -> Self {
        Self { agents: vec![agent.to_owned()], jobs: NonZeroUsize::MIN, output, lock: lock.clone() }
    }
}

/// How long to wait for an agent that stops.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = None::<&str>)]
pub(crate) struct Grace {
    /// How long an agent has to end before it is killed [systemd: as the unit says]
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub(crate) grace: Duration,
}

/// How long to watch an agent that starts.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = None::<&str>)]
pub(crate) struct Settle {
    /// How long an agent must run to count as started
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = duration::parse)]
    pub(crate) settle: Duration,
}

/// How fast to go through the fleet, and what holds it back.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Rollout options")]
pub(crate) struct Rollout {
    /// Go on to the others only if the first N agents come up
    #[arg(long, value_name = "N", value_parser = usage::at_least_one)]
    pub(crate) canary: Option<NonZeroUsize>,

    /// Wait so long between the turns of two agents
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) stagger: Option<Duration>,

    /// Leave the others alone when an agent fails
    #[arg(long)]
    pub(crate) stop_on_failure: bool,
}

/// What to make of another restart.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Other restarts")]
pub(crate) struct Others {
    /// Skip what the last restart has done [default: only after taking over from one that
    /// asked for the same and died or hung less than 10 minutes ago]
    #[arg(long, conflicts_with = "no_resume")]
    pub(crate) resume: bool,

    /// Restart everything, whatever another has done
    #[arg(long)]
    pub(crate) no_resume: bool,

    /// If a restart that asked for the same runs already, wait for it and exit with its code; do the
    /// rest of one that stops before its end
    #[arg(long, conflicts_with = "no_wait")]
    pub(crate) join: bool,
}

/// How a command reports.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Output {
    /// Report as JSON on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// How to wait for a lock.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Lock options")]
pub(crate) struct LockOptions {
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    #[arg(help = "Give up after waiting so long, with exit code 75 [default: 10m]")]
    pub(crate) max_wait: Option<Duration>,

    /// What to do about a living owner when --max-wait is over [default: fail]
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_timeout: Option<OnTimeout>,

    /// Do not wait for a living owner: exit 75 at once
    #[arg(long)]
    pub(crate) no_wait: bool,

    /// After how long without a renewal a restart counts as hung, and may be replaced
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub(crate) stale_after: Duration,

    /// How long past its announced quiet a restart may take no step before it counts as hung
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    pub(crate) hang_after: Duration,

    /// Refuse to work where the kernel cannot arbitrate, as on some network file systems
    #[arg(long)]
    pub(crate) require_kernel_lock: bool,
}

/// What to do about a living owner when the wait limit is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnTimeout {
    /// Give up: exit 75
    Fail,
    /// End the processes that hold the lock, then wait for it
    Stop,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// What the short way makes of a line is what the whole definition does.
    #[rstest]
    #[case("fleet lock run -- true")]
    #[case("fleet lock run --lock x --home=h --max-wait 3s -E 9 --no-wait -- a -b --home c")]
    #[case("fleet --home h lock run --kill-on-loss TERM --no-wait-group -- true")]
    #[case("fleet lock run --help")]
    #[case("fleet lock run --version")]
    #[case("fleet lock run true")]
    #[case("fleet lock run --max-wait x -- true")]
    #[case("fleet lock run --json -- true")]
    #[case("fleet lock --home h run -- true")]
    #[case("fleet lock status")]
    #[case("fleet lock")]
    #[case("fleet")]
    fn a_line_is_read_in_one_way(#[case] line: &str) {
        let words: Vec<_> = line.split(' ').map(OsString::from).collect();
        let shown = |cli: Result<Cli, clap::Error>| match cli {
            Ok(cli) => format!("{cli:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown(Cli::read(&words)), shown(Cli::try_parse_from(&words)));
    }

    /// What each `--help` says, in one text to read through.
    #[test]
    fn the_help_of_every_command() {
        let mut whole = Cli::command();
        whole.build();
        let mut text = String::new();
        let mut pending = vec![whole];
        while let Some(command) = pending.pop() {
            let mut command = command.term_width(100);
            let name = command.get_bin_name().unwrap_or("fleet").to_owned();
            let subcommands = command.get_subcommands().filter(|sub| sub.get_name() != "help");
            let subcommands: Vec<_> = subcommands.cloned().collect();
            pending.extend(subcommands.into_iter().rev());
            let help = command.render_long_help();
            text.push_str(&format!("===== {name} --help\n{help}\n"));
        }
        insta::assert_snapshot!(text);
    }
}
