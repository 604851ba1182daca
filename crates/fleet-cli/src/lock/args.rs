//! The command lines of the lock's own commands.

use std::ffi::OsString;

use camino::Utf8PathBuf;
use clap::{Arg, Args, Subcommand};
use rustix::process::Signal;

use crate::args::{LockOptions, Output};
use crate::moment::{self, Since};
use crate::{exit, signals, usage};

/// The lock's own commands.
#[derive(Debug, Subcommand)]
pub(crate) enum LockCommand {
    /// Run a command under a lock
    ///
    /// Waits for the lock, runs CMD, and releases the lock when CMD and everything that it
    /// left in our process group have ended. No other command gets the lock before that, however
    /// long CMD works, stands still or is stopped; the one way to take the lock from it is
    /// `fleet lock break --generation`, and its work goes on then.
    ///
    /// CMD shares our process group, so it has the terminal, and Ctrl-C and Ctrl-Z reach it, as if
    /// it had been called directly; any other signal that we get is passed on to it and to what it
    /// started. If this process is killed, CMD is killed too; what CMD has started keeps the lock
    /// for as long as it runs.
    #[command(after_help = exit::LOCK_RUN_HELP)]
    Run(LockRun),
    /// Show who holds a lock, since when and doing what, and who waits for it
    Status {
        #[command(flatten)]
        lock: LockPath,
        #[command(flatten)]
        output: Output,
    },
    /// Show what a waiting process would do about a lock now, on what evidence, and what to type
    ///
    /// The verdict is that of a process with these lock options that begins to wait now.
    #[command(mut_arg("max_wait", without_limit))]
    Explain {
        #[command(flatten)]
        lock: LockPath,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        options: LockOptions,
    },
    /// Show what became of a lock: who had it, took it over, waited for it
    ///
    /// Reads the journal that `fleet` keeps beside the lock, LOCK.journal. It is bounded: the
    /// oldest lines go first.
    History(HistoryArgs),
    /// Try whether a directory has what a lock needs
    ///
    /// Tries it for real, in a temporary directory there: kernel locks between two processes,
    /// nameless files, links, renames, events, clocks, room. Says which guarantees hold and what
    /// a lock does without the others. Exits with 0 if all hold, with 1 if one does not.
    Doctor {
        /// The directory [default: the one of the home's restart lock]
        #[arg(value_name = "DIR")]
        directory: Option<Utf8PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Take a lock away from its owner
    ///
    /// The owner is not ended; it is told that it lost the lock. A `fleet restart` then stops
    /// before its next step. A living owner of another kind has not agreed to that: its work goes
    /// on, beside the next owner's. So it is left alone, with exit code 75, unless --generation
    /// names the ownership.
    Break {
        #[command(flatten)]
        lock: LockPath,
        /// Only if it is still this ownership; `fleet lock status` shows its number
        #[arg(long, value_name = "N", value_parser = usage::number::<u64>)]
        generation: Option<u64>,
        #[command(flatten)]
        output: Output,
    },
}

/// Only what restarts agents gives up by itself.
fn without_limit(arg: Arg) -> Arg {
    arg.help("Give up after waiting so long, with exit code 75 [default: wait as long as it takes]")
}

/// Which lock.
#[derive(Clone, Debug, Args)]
pub(crate) struct LockPath {
    /// The lock file [default: the home's restart lock]
    #[arg(long, value_name = "PATH")]
    pub(crate) lock: Option<Utf8PathBuf>,
}

/// `lock run`.
#[derive(Debug, Args)]
#[command(mut_arg("max_wait", without_limit), mut_arg("on_timeout", |arg| arg.requires("max_wait")))]
pub(crate) struct LockRun {
    #[command(flatten)]
    pub(crate) lock: LockPath,

    /// Send CMD, and what it started, this signal at once if the lock is lost
    #[arg(long, value_name = "SIGNAL", value_parser = signals::parse)]
    pub(crate) kill_on_loss: Option<Signal>,

    /// Release the lock as soon as CMD itself has ended, whatever it leaves running
    #[arg(long)]
    pub(crate) no_wait_group: bool,

    /// Run CMD even where the kernel cannot arbitrate: its work may then overlap with another's
    #[arg(long, conflicts_with = "require_kernel_lock")]
    pub(crate) allow_timed: bool,

    /// Exit with this code instead of 75 if the lock could not be acquired
    #[arg(short = 'E', long, value_name = "N")]
    pub(crate) conflict_exit_code: Option<u8>,

    /// The command and its arguments
    #[arg(value_name = "CMD", last = true, required = true)]
    pub(crate) command: Vec<OsString>,

    #[command(flatten)]
    pub(crate) options: LockOptions,
}

/// `lock history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) lock: LockPath,

    /// Only what happened since then: a time, as in `2026-05-01 14:30`, or how long ago, as
    /// in `90m`
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    pub(crate) since: Option<Since>,

    /// Draw it: one bar for each ownership, waiting in grey, takeovers and losses marked
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<Utf8PathBuf>,

    /// Only the latest N transitions
    #[arg(short = 'n', long = "lines", value_name = "N", value_parser = usage::number::<usize>)]
    pub(crate) lines: Option<usize>,

    #[command(flatten)]
    pub(crate) output: Output,
}

impl LockCommand {
    /// Whether its result is wanted as JSON.
    pub(crate) const fn json(&self) -> bool {
        match self {
            Self::Run(_) => false,
            Self::Status { output, .. }
            | Self::Explain { output, .. }
            | Self::Doctor { output, .. }
            | Self::Break { output, .. }
            | Self::History(HistoryArgs { output, .. }) => output.json,
        }
    }
}
