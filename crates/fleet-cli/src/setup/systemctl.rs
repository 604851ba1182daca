//! Calls of `systemctl --user`, as lists of arguments.

use std::process::{Command, Stdio};

use super::error::SetupError;

/// Whether the manager has an old version of one of `units` loaded. One that does not answer
/// has none.
pub(super) fn is_behind(units: &[String]) -> bool {
    let mut command = Command::new("systemctl");
    command.args(["--user", "show", "--property=NeedDaemonReload", "--value", "--"]).args(units);
    let shown = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let shown = shown.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&shown).lines().any(|line| line == "yes")
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call(Vec<String>);

impl Call {
    /// Has the manager read changed unit files.
    pub(super) fn reload() -> Self {
        Self::new(["daemon-reload".to_owned()])
    }

    /// Has the manager start units at login.
    pub(super) fn enable(units: impl IntoIterator<Item = String>) -> Self {
        Self::new(std::iter::once("enable".to_owned()).chain(units))
    }

    /// The opposite.
    pub(super) fn disable(unit: String) -> Self {
        Self::new(["disable".to_owned(), unit])
    }

    fn new(arguments: impl IntoIterator<Item = String>) -> Self {
        Self(["systemctl".to_owned(), "--user".to_owned()].into_iter().chain(arguments).collect())
    }

    /// The program and its arguments.
    pub(crate) fn argv(&self) -> &[String] {
        &self.0
    }

    /// Makes the call.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or fails; then with what it said.
    pub(super) fn run(&self, written: bool) -> Result<(), SetupError> {
        let Some((program, arguments)) = self.0.split_first() else { return Ok(()) };
        let mut command = Command::new(program);
        let output = command.args(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(SetupError::NoSystemctl)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().lines().collect::<Vec<_>>().join("; ");
        Err(SetupError::Systemctl { command: self.0.join(" "), said, written })
    }
}
