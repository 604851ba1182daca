//! `cargo xtask torture` and `cargo xtask powerloss`: the lock as processes see it when they
//! are killed, stopped, starved of space, and when the machine goes down.

use std::process::Command;

use clap::Args;

use crate::error::Error;
use crate::workspace::{Workspace, run as run_command};

/// Where the figures go, from the root of the checkout.
const DOCUMENT: &str = "docs/torture.md";

/// How to torment.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How long; half a minute is 0.5
    #[arg(long, default_value = "1")]
    minutes: f64,
    /// How many processes at once
    #[arg(long, default_value = "8")]
    contenders: u32,
    /// The seed that a run printed, to repeat its choices
    #[arg(long)]
    seed: Option<u64>,
    /// Write the figures into docs/torture.md
    #[arg(long)]
    write: bool,
}

/// How often the power is lost.
#[derive(Args, Debug)]
pub(crate) struct LossOptions {
    /// How many copies to make
    #[arg(long, default_value = "50")]
    copies: u32,
    /// How many processes at once
    #[arg(long, default_value = "6")]
    contenders: u32,
    /// The seed that a run printed, to repeat its choices
    #[arg(long)]
    seed: Option<u64>,
    /// Write the figures into docs/torture.md
    #[arg(long)]
    write: bool,
}

/// Torments for so long.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    let mut command = program(workspace, "run", options.seed, options.write);
    command.args(["--minutes", &options.minutes.to_string()]);
    command.args(["--contenders", &options.contenders.to_string()]);
    run_command(command)
}

/// Loses the power so often.
pub(crate) fn lose_power(workspace: &Workspace, options: &LossOptions) -> Result<(), Error> {
    let mut command = program(workspace, "powerloss", options.seed, options.write);
    command.args(["--copies", &options.copies.to_string()]);
    command.args(["--contenders", &options.contenders.to_string()]);
    run_command(command)
}

fn program(workspace: &Workspace, task: &str, seed: Option<u64>, write: bool) -> Command {
    let scope = ["run", "--quiet", "--release", "--locked", "--package", "lock-tests"];
    let mut command = workspace.cargo(scope);
    command.args(["--bin", "torture", "--", task]);
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if write {
        command.args(["--write", DOCUMENT]);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::describe;

    #[test]
    fn the_program_is_told_what_to_do() {
        let command = program(&Workspace::locate(), "run", Some(7), true);
        let expected = "cargo run --quiet --release --locked --package lock-tests --bin torture \
                        -- run --seed 7 --write docs/torture.md";
        assert_eq!(describe(&command), expected);
    }
}
