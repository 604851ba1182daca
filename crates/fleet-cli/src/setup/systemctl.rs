//! Calls of `systemctl --user`, as lists of arguments.

use super::error::SetupError;
use crate::supervisor::Manager;

/// Whether the manager has an old version of one of `units` loaded. One that does not answer
/// has none.
pub(super) fn is_behind(units: &[String]) -> bool {
    let show = ["--user", "show", "--property=NeedDaemonReload", "--value", "--"];
    let arguments: Vec<&str> = show.into_iter().chain(units.iter().map(String::as_str)).collect();
    let shown = Manager::of_this_user().run(&arguments).unwrap_or_default();
    shown.lines().any(|line| line == "yes")
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
        Self(std::iter::once("--user".to_owned()).chain(arguments).collect())
    }

    /// The arguments.
    pub(crate) fn arguments(&self) -> &[String] {
        &self.0
    }

    /// Makes the call.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or fails.
    pub(super) fn run(&self, written: bool) -> Result<(), SetupError> {
        let arguments: Vec<&str> = self.0.iter().map(String::as_str).collect();
        let made = Manager::of_this_user().run(&arguments);
        made.map(drop)
            .map_err(|problem| SetupError::Systemctl { problem: Box::new(problem), written })
    }
}
