//! `cargo xtask test`: every check and every test, the cheapest first.
//!
//! The test runner comes last, so that the output closes with its summary.

pub(crate) mod programs;
mod steps;

use std::env;
use std::ffi::OsString;
use std::process::{Command, Stdio};

use crate::dist;
use crate::error::Error;
use crate::simulate;
use crate::tidy;
use crate::workspace::{Workspace, say};

/// Installs what the tests need, then runs the checks and the tests.
/// Stops at the first step that fails.
pub(crate) fn run(workspace: &Workspace, runner_args: &[String]) -> Result<(), Error> {
    steps::function("programs the tests call", programs::provide)?;
    steps::command("format", workspace.cargo(["fmt", "--all", "--check"]))?;
    steps::function("tidy", || tidy::run(workspace))?;
    steps::command("scripts", shellcheck(workspace)?)?;
    steps::command("clippy", clippy(workspace))?;
    steps::command("documentation", documentation(workspace))?;
    steps::command("documentation tests", documentation_tests(workspace))?;
    steps::function("package", || dist::rehearse(workspace))?;
    steps::command("simulator", simulate::command(workspace, &simulate::Options::default()))?;

    let ci = is_ci(env::var_os("CI"));
    let runner = if has_nextest(workspace) {
        nextest(workspace, ci)
    } else {
        say("cargo-nextest is not installed; `cargo test` runs the tests instead")?;
        cargo_test(workspace, ci)
    };
    steps::last("tests", configured(runner, ci, runner_args))
}

/// The check of every shell script that is part of the checkout.
fn shellcheck(workspace: &Workspace) -> Result<Command, Error> {
    let mut command = Command::new("shellcheck");
    command.current_dir(workspace.root()).arg("--enable=all");
    for path in workspace.files()? {
        let text = workspace.text(&path)?;
        let first = text.as_deref().and_then(|text| text.lines().next()).unwrap_or_default();
        if first.starts_with("#!") && first.ends_with("sh") {
            command.arg(path);
        }
    }
    Ok(command)
}

fn clippy(workspace: &Workspace) -> Command {
    let scope = ["clippy", "--workspace", "--all-targets", "--locked"];
    let mut command = workspace.cargo(scope);
    command.args(["--", "-D", "warnings"]);
    command
}

fn documentation(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo(["doc", "--workspace", "--no-deps", "--locked"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    command
}

fn documentation_tests(workspace: &Workspace) -> Command {
    workspace.cargo(["test", "--workspace", "--doc", "--locked"])
}

fn nextest(workspace: &Workspace, ci: bool) -> Command {
    let mut command = workspace.cargo(["nextest", "run", "--workspace", "--locked"]);
    if ci {
        command.args(["--profile", "ci", "--no-fail-fast"]);
    }
    command
}

/// The same tests as [`nextest`], without the documentation tests, which ran before.
fn cargo_test(workspace: &Workspace, ci: bool) -> Command {
    let mut command = workspace.cargo(["test", "--workspace", "--locked"]);
    command.args(["--lib", "--bins", "--tests", "--examples"]);
    if ci {
        command.arg("--no-fail-fast");
    }
    command
}

/// Adds what both runners share: the caller's arguments, and no new snapshots in CI.
fn configured(mut runner: Command, ci: bool, runner_args: &[String]) -> Command {
    runner.args(runner_args);
    if ci {
        runner.env("INSTA_UPDATE", "no");
    }
    runner
}

fn has_nextest(workspace: &Workspace) -> bool {
    workspace
        .cargo(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn is_ci(variable: Option<OsString>) -> bool {
    variable.is_some_and(|value| !value.is_empty() && value != "false")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::workspace::describe;

    #[rstest]
    #[case::at_a_desk(false, "cargo nextest run --workspace --locked my_test")]
    #[case::in_ci(
        true,
        "cargo nextest run --workspace --locked --profile ci --no-fail-fast my_test"
    )]
    fn nextest_gets_the_profile_and_the_arguments(#[case] ci: bool, #[case] expected: &str) {
        let runner = nextest(&Workspace::locate(), ci);
        let command = configured(runner, ci, &["my_test".to_owned()]);
        assert_eq!(describe(&command), expected);
    }

    #[rstest]
    #[case::at_a_desk(false, "cargo test --workspace --locked --lib --bins --tests --examples")]
    #[case::in_ci(
        true,
        "cargo test --workspace --locked --lib --bins --tests --examples --no-fail-fast"
    )]
    fn without_nextest_cargo_runs_the_tests(#[case] ci: bool, #[case] expected: &str) {
        let command = configured(cargo_test(&Workspace::locate(), ci), ci, &[]);
        assert_eq!(describe(&command), expected);
    }

    #[rstest]
    #[case::at_a_desk(false, None)]
    #[case::in_ci(true, Some("no"))]
    fn ci_writes_no_snapshots(#[case] ci: bool, #[case] expected: Option<&str>) {
        let command = configured(Command::new("runner"), ci, &[]);
        let update = command.get_envs().find(|(name, _)| *name == "INSTA_UPDATE");
        let value = update.and_then(|(_, value)| value.and_then(|value| value.to_str()));
        assert_eq!(value, expected);
    }

    #[test]
    fn scripts_are_known_by_their_first_line() {
        let command = shellcheck(&Workspace::locate()).expect("git lists the files");
        assert!(describe(&command).contains(" .ci/run"), "{command:?}");
    }

    #[rstest]
    #[case::unset(None, false)]
    #[case::empty(Some(""), false)]
    #[case::disabled(Some("false"), false)]
    #[case::enabled(Some("true"), true)]
    fn ci_is_a_variable(#[case] variable: Option<&str>, #[case] expected: bool) {
        assert_eq!(is_ci(variable.map(OsString::from)), expected);
    }
}
