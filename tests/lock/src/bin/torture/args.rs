//! What each part in a torture is told.

use std::path::PathBuf;

use camino::Utf8PathBuf;
use clap::{Args, Parser};

/// Torments the lock.
#[derive(Parser)]
pub(crate) enum Command {
    /// Torment workers and judge what they did
    Run(RunArgs),
    /// Copy a file system while workers use it, and go on with the copy
    Powerloss(PowerlossArgs),
    /// Loop acquire, work, release
    #[command(hide = true)]
    Worker(WorkerArgs),
    /// Work for a worker, with its ticket
    #[command(hide = true)]
    Child(ChildArgs),
    /// Be the first after a power loss
    #[command(hide = true)]
    Recovery(RecoveryArgs),
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// How long; half a minute is 0.5
    #[arg(long, default_value_t = 1.0)]
    pub(crate) minutes: f64,
    /// How many workers at once
    #[arg(long, default_value_t = 8)]
    pub(crate) contenders: u32,
    /// Replays the choices of a run; a new one if it is not given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// A document to write the figures into
    #[arg(long)]
    pub(crate) write: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct PowerlossArgs {
    /// How many copies to make
    #[arg(long, default_value_t = 50)]
    pub(crate) copies: u32,
    /// How many workers at once
    #[arg(long, default_value_t = 6)]
    pub(crate) contenders: u32,
    /// Replays the choices of a run; a new one if it is not given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// A document to write the figures into
    #[arg(long)]
    pub(crate) write: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct WorkerArgs {
    #[arg(long)]
    pub(crate) lock: Utf8PathBuf,
    /// The directory of the histories.
    #[arg(long)]
    pub(crate) history: PathBuf,
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) seed: u64,
    /// The instant of the boot clock at which it ends.
    #[arg(long)]
    pub(crate) until: u64,
    /// How many sections it does at most.
    #[arg(long, default_value_t = u64::MAX)]
    pub(crate) sections: u64,
    /// Only the shortest sections, so that generations are used up quickly.
    #[arg(long)]
    pub(crate) quick: bool,
}

#[derive(Args)]
pub(crate) struct ChildArgs {
    #[arg(long)]
    pub(crate) history: PathBuf,
    #[arg(long)]
    pub(crate) generation: u64,
    #[arg(long)]
    pub(crate) lasts_ms: u64,
    /// The parent with which it dies.
    #[arg(long)]
    pub(crate) tied_to: Option<i32>,
}

#[derive(Args)]
pub(crate) struct RecoveryArgs {
    #[arg(long)]
    pub(crate) lock: Utf8PathBuf,
    #[arg(long)]
    pub(crate) history: PathBuf,
    #[arg(long)]
    pub(crate) seed: u64,
}
