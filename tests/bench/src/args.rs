//! What the harness and its peers are told.

use camino::Utf8PathBuf;
use clap::{Args, Parser, ValueEnum};

/// Measures the lock beside its peers.
#[derive(Parser)]
pub(crate) enum Command {
    /// Measure
    Run(RunArgs),
    /// Be a peer
    #[command(hide = true)]
    Peer(PeerArgs),
}

#[derive(Args, Default)]
pub(crate) struct RunArgs {
    /// Only these
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) section: Vec<Part>,
    /// Only subjects whose name has one of these in it; ours is always there
    #[arg(long, value_delimiter = ',')]
    pub(crate) subject: Vec<String>,
    /// The `fleet` to measure [default: the one beside this program]
    #[arg(long)]
    pub(crate) fleet: Option<Utf8PathBuf>,
    /// Just long enough to see that it works; the figures mean little
    #[arg(long)]
    pub(crate) quick: bool,
    /// A directory to draw the plots of what is measured into
    #[arg(long)]
    pub(crate) plots: Option<Utf8PathBuf>,
    /// A page to write the figures to, with the plots in a directory of its name beside it; it
    /// must be the whole run
    #[arg(long, conflicts_with_all = ["section", "subject", "quick"])]
    pub(crate) write: Option<Utf8PathBuf>,
}

/// A part of the run, in the order of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Acquire and release with nobody in the way
    Uncontended,
    /// The system calls of such a cycle
    Calls,
    /// A program run under the lock
    Command,
    /// From a release to a waiter's having it
    HandOff,
    /// From a holder's death to a waiter's having it
    Crash,
    /// Many that want it all the time
    Contended,
    /// Whether all get their turns
    Fair,
    /// What waiters cost that only wait
    Idle,
    /// Many breakers of one stale lock
    Stampede,
    /// A whole fleet restarted under it
    Restart,
    /// How much the simulator explores
    Simulator,
}

#[derive(Args)]
pub(crate) struct PeerArgs {
    /// Which
    pub(crate) name: String,
    /// The lock it wants
    pub(crate) lock: Utf8PathBuf,
    /// The `fleet` to call
    #[arg(long)]
    pub(crate) fleet: Option<Utf8PathBuf>,
    /// What strace saw of the cycles to be replayed
    #[arg(long)]
    pub(crate) listing: Option<Utf8PathBuf>,
}
