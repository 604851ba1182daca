//! `cargo xtask tour`: takes the pictures of `docs/tour.md` from a real terminal.

use std::process::Command;

use crate::error::Error;
use crate::workspace::{Workspace, run as run_command};

/// Where the pictures go, from the root of the checkout.
const GALLERY: &str = "docs/tour";

/// Builds `fleet`, and the program that uses it for the pictures beside it.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    let profile = ["build", "--quiet", "--release", "--locked"];
    let mut build = workspace.cargo(profile);
    build.args(["--package", "fleet-cli", "--package", "fleet-tour"]);
    run_command(build)?;
    run_command(program(workspace))
}

fn program(workspace: &Workspace) -> Command {
    let profile = ["run", "--quiet", "--release", "--locked"];
    let mut command = workspace.cargo(profile);
    command.args(["--package", "fleet-tour", "--", GALLERY]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::describe;

    #[test]
    fn the_pictures_go_to_the_documentation() {
        let command = describe(&program(&Workspace::locate()));
        let expected = "cargo run --quiet --release --locked --package fleet-tour -- docs/tour";
        assert_eq!(command, expected);
    }
}
