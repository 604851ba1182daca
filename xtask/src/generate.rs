//! `cargo xtask generate`: everything in the checkout that is made from the code, made anew.

use std::fs;
use std::process::Command;

use crate::error::Error;
use crate::workspace::{Workspace, run as run_command};

const SCHEMAS: &str = "schemas";

/// The test whose snapshot is the text of every `--help`.
const HELP: &str = "the_help_of_every_command";

/// Writes the schemas and the snapshot.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    // What does not build must not remove anything.
    run_command(workspace.cargo(["build", "--quiet", "--package", "fleet-cli"]))?;
    let dir = workspace.root().join(SCHEMAS);
    fs::remove_dir_all(&dir).map_err(|source| Error::Write { path: dir, source })?;
    run_command(schemas(workspace))?;
    let mut help = help(workspace);
    run_command(help.env("INSTA_UPDATE", "always"))
}

fn schemas(workspace: &Workspace) -> Command {
    let scope = ["run", "--quiet", "--package", "fleet-cli", "--"];
    let mut command = workspace.cargo(scope);
    command.args(["schema", "--dir", SCHEMAS]);
    command
}

fn help(workspace: &Workspace) -> Command {
    workspace.cargo(["test", "--quiet", "--package", "fleet-cli", "--bin", "fleet", HELP])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::describe;

    #[test]
    fn the_binary_writes_its_own_schemas() {
        let expected = "cargo run --quiet --package fleet-cli -- schema --dir schemas";
        assert_eq!(describe(&schemas(&Workspace::locate())), expected);
    }
}
