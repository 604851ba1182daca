//! The command lines for those who only look.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::args::Output;
use crate::{duration, usage};

/// The commands that look at agents and change nothing.
#[derive(Debug, Subcommand)]
pub(crate) enum LookCommand {
    /// Show each agent from all sides: unit, pane, process, heartbeat, and what is odd about it
    ///
    /// Flags: dead (it ended by itself), suspended, drift (it runs otherwise than the roster says),
    /// not enabled (its unit does not start at boot), other pid (its heartbeat is another
    /// process's). What looks like an agent and is not in the roster comes last, as unmanaged.
    Ps(Ps),
    /// Check that every agent really runs: its process is alive, its pane not dead
    ///
    /// An agent whose unit is merely "active (exited)" does not run. Exits with 1 if one does
    /// not, or if the holder does not answer; with 74 or 77 if one cannot be looked at.
    Verify {
        /// The agents [default: the whole fleet]
        #[arg(value_name = "AGENT")]
        agents: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Show what an agent wrote
    ///
    /// From its log file, its unit's journal or its tmux pane, whichever it writes to.
    Logs(Logs),
    /// Attach this terminal to an agent's tmux session
    Attach {
        /// The agent
        #[arg(value_name = "AGENT")]
        agent: String,
        /// Only look on: no key reaches the agent
        #[arg(short, long)]
        read_only: bool,
    },
}

/// `ps`.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Look again and again: in place on a terminal, else one picture after the other
    #[arg(long)]
    pub(crate) watch: bool,

    /// How often to look
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration::parse)]
    #[arg(requires = "watch")]
    pub(crate) every: Duration,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// `logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The agent
    #[arg(value_name = "AGENT")]
    pub(crate) agent: String,

    /// How many lines, counted from the end
    #[arg(short = 'n', long, value_name = "N", default_value = "20", value_parser = usage::number::<u32>)]
    pub(crate) lines: u32,

    /// Go on with what it writes from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
}

impl LookCommand {
    /// Whether the result is wanted as JSON.
    pub(crate) const fn json(&self) -> bool {
        match self {
            Self::Ps(ps) => ps.output.json,
            Self::Verify { output, .. } => output.json,
            Self::Logs(_) | Self::Attach { .. } => false,
        }
    }
}
