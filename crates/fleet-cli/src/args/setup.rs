//! The command lines of what writes files: `init`, `add`, `remove`, `install`.

use camino::Utf8PathBuf;
use clap::Args;

use super::{Grace, LockOptions, Output, Settle};
use crate::roster::SupervisorKind;

/// Whether files are written.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Write {
    /// Do it; without this, only show what would be done
    #[arg(long)]
    pub(crate) write: bool,
}

/// `init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Who starts and stops the agents
    #[arg(long, value_name = "WHICH", default_value = "systemd")]
    pub(crate) supervisor: SupervisorKind,

    /// Write over a roster that says something else
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) write: Write,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// `add`.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The agent's name
    pub(crate) name: String,

    /// The program family, as the roster's `runtimes` name it
    #[arg(long, value_name = "RUNTIME")]
    pub(crate) runtime: String,

    /// What it is for
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<String>,

    /// Where it starts, if not where the others do
    #[arg(long, value_name = "DIR")]
    pub(crate) working_directory: Option<String>,

    /// A variable of its environment; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,

    /// Start it at once, under the restart lock
    #[arg(long, requires = "write")]
    pub(crate) start: bool,

    #[command(flatten)]
    pub(crate) write: Write,

    #[command(flatten)]
    pub(crate) settle: Settle,

    #[command(flatten)]
    pub(crate) output: Output,

    #[command(flatten)]
    pub(crate) lock: LockOptions,

    /// Its command and arguments, if not its runtime's
    #[arg(value_name = "CMD", last = true)]
    pub(crate) command: Vec<String>,
}

/// `remove`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The agent's name
    #[arg(value_name = "AGENT")]
    pub(crate) name: String,

    /// Remove its env file too, with whatever you wrote into it
    #[arg(long)]
    pub(crate) purge: bool,

    #[command(flatten)]
    pub(crate) write: Write,

    #[command(flatten)]
    pub(crate) grace: Grace,

    #[command(flatten)]
    pub(crate) output: Output,

    #[command(flatten)]
    pub(crate) lock: LockOptions,
}

/// `install`.
#[derive(Debug, Args)]
pub(crate) struct Install {
    /// Write the units to this directory and leave systemd alone [default:
    /// $XDG_CONFIG_HOME/systemd/user, then ~/.config/systemd/user]
    #[arg(long, value_name = "DIR")]
    pub(crate) unit_dir: Option<Utf8PathBuf>,

    /// Do not enable the units
    #[arg(long)]
    pub(crate) no_enable: bool,

    /// Write over unit files that say something else
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) write: Write,

    #[command(flatten)]
    pub(crate) output: Output,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("there is no `=`; write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
