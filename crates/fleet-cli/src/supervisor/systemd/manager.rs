//! The command lines for systemctl, and what its answers mean.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::greeting;
use crate::supervisor::SupervisorError;
use crate::supervisor::tool::{self, Said};

/// The program.
pub(super) const PROGRAM: &str = "systemctl";

/// What we ask about a unit.
const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,Result,Job,MainPID,\
                          ExecMainPID,ExecMainCode,ExecMainStatus,InvocationID,\
                          NeedDaemonReload,WorkingDirectory,Type,\
                          InactiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic";

/// What `ExecMainCode` is for a process that ended by itself.
const CLD_EXITED: u32 = 1;

/// The manager of this user's services.
#[derive(Clone, Debug)]
pub(crate) struct Manager {
    /// Where its socket is, if the environment does not say.
    runtime_directory: Option<PathBuf>,
}

/// What the manager says about a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its name.
    pub(super) name: String,
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub(super) load: String,
    /// Whether it runs.
    pub(super) phase: Phase,
    /// The same in the words of its kind: `running`, `exited`, `auto-restart`.
    pub(super) sub: String,
    /// How its last run ended: `success`, `exit-code`, `signal`, `timeout`, …
    pub(super) result: String,
    /// Whether a job for it waits or is at work.
    pub(super) has_job: bool,
    /// Its main process, while it has one.
    pub(super) main_pid: Option<u32>,
    /// The process that was its main process last, and how it ended.
    pub(super) last: Option<Last>,
    /// Names its latest run.
    pub(super) invocation: String,
    /// When its latest start began, in microseconds of the manager's clock.
    pub(super) started: Option<u64>,
    /// When it last became active, likewise.
    pub(super) active_since: Option<u64>,
    /// Whether it becomes active when it is ready, and not when its process has been made.
    pub(super) tells_when_ready: bool,
    /// Whether its file was changed since the manager read it.
    pub(super) is_outdated: bool,
    /// The directory that it starts in, if its file says so.
    pub(super) directory: Option<String>,
}

/// A main process that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    /// Which it was.
    pub(super) pid: u32,
    /// How it ended: as `si_code` has it for SIGCHLD.
    pub(super) code: u32,
    /// Its exit status, or the signal.
    pub(super) status: i32,
}

/// The state of a unit, as all kinds of units have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// It runs, or has run and counts as if it did.
    Active,
    /// It does not.
    #[default]
    Inactive,
    /// It does not, and not because somebody wished so.
    Failed,
    /// It is being started, or will be again.
    Activating,
    /// It is being stopped.
    Deactivating,
}

impl fmt::Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.code == CLD_EXITED { "exit status" } else { "signal" };
        write!(f, "{kind}: {}", self.status)
    }
}

impl Unit {
    /// Itself, if there is something to be done with it.
    pub(super) fn loaded(self) -> Result<Self, SupervisorError> {
        match self.load.as_str() {
            "loaded" => Ok(self),
            _ => Err(SupervisorError::NoUnit { unit: self.name, load: self.load }),
        }
    }

    /// Whether its agent, if it runs, is in a pane.
    pub(super) fn may_have_a_pane(&self) -> bool {
        self.main_pid.is_none() && self.phase != Phase::Inactive
    }

    /// Whether the manager has something to do with it, or is about to.
    pub(super) fn is_at_work(&self) -> bool {
        let is_between = self.phase == Phase::Deactivating
            || self.phase == Phase::Activating && self.sub != "auto-restart";
        self.has_job || is_between
    }

    /// The manager has been at work on it for too long.
    pub(super) fn still_at_work(&self, waited: Duration) -> SupervisorError {
        let state = if self.sub.is_empty() { "at work".to_owned() } else { self.sub.clone() };
        SupervisorError::StillAtWork { unit: self.name.clone(), state, waited }
    }

    /// For how long it has been active. The manager's clock is the monotonic one.
    pub(super) fn active_for(&self) -> Duration {
        let now = Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default();
        let since = self.active_since.map(Duration::from_micros);
        since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// When it was ready to be used, in the manager's microseconds. Of a unit that is active as
    /// soon as its process has been made, the manager cannot tell.
    pub(super) fn ready(&self) -> Option<u64> {
        self.active_since.filter(|_| self.phase == Phase::Active && self.tells_when_ready)
    }
}

impl Manager {
    /// The one that this process's environment leads to. Where the environment does not say
    /// (under cron, for one), it is the one of a user who is logged in or lingers.
    pub(crate) fn of_this_user() -> Self {
        let user = rustix::process::getuid().as_raw();
        let usual = PathBuf::from(format!("/run/user/{user}"));
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let is_told = set("XDG_RUNTIME_DIR").or(set("DBUS_SESSION_BUS_ADDRESS"));
        Self { runtime_directory: usual_directory(is_told, &usual, &Path::is_dir) }
    }

    /// Asks whether there is a manager. If not, what systemctl says; it is asked only then.
    ///
    /// # Errors
    ///
    /// When systemctl cannot be run, or hangs.
    pub(super) fn answers(&self) -> Result<Result<(), String>, SupervisorError> {
        if self.socket_directory().is_some_and(|directory| greeting::is_returned(&directory)) {
            return Ok(Ok(()));
        }
        let said = self.call(&["--user", "show", "--property=Version"], None)?;
        Ok(if said.status.success() { Ok(()) } else { Err(said.complaint()) })
    }

    /// Has the manager do `verb` to units, without waiting until it is done.
    ///
    /// # Errors
    ///
    /// When it refuses for one, or cannot be asked.
    pub(super) fn order(
        &self,
        verb: &str,
        units: &[&str],
        ticket: BorrowedFd<'_>,
    ) -> Result<(), SupervisorError> {
        let arguments = [&["--user", "--no-block", verb], units].concat();
        self.call(&arguments, Some(ticket))?.success(PROGRAM, &arguments).map(drop)
    }

    /// Has the manager forget that units failed, and how often they were started lately:
    /// otherwise it would refuse to start them yet again. A unit that it has not loaded has
    /// nothing to forget.
    ///
    /// # Errors
    ///
    /// When systemctl cannot be run, or hangs.
    pub(super) fn forgive(&self, units: &[&str]) -> Result<(), SupervisorError> {
        self.call(&[&["--user", "reset-failed"], units].concat(), None).map(drop)
    }

    /// Looks at units, in their order.
    ///
    /// # Errors
    ///
    /// When the manager cannot be asked.
    pub(super) fn show(&self, units: &[&str]) -> Result<Vec<Unit>, SupervisorError> {
        let show = ["--user", "show", PROPERTIES, "--"];
        let said = self.call(&[&show, units].concat(), None)?.success(PROGRAM, &show)?;
        Ok(parse(&said.out))
    }

    /// Looks at one unit.
    ///
    /// # Errors
    ///
    /// When the manager cannot be asked.
    pub(super) fn look(&self, unit: &str) -> Result<Unit, SupervisorError> {
        Ok(self.show(&[unit])?.into_iter().next().unwrap_or_default())
    }

    /// Whether units are started at boot; `None` where their files leave that to others, or
    /// nobody can tell. All of them have to exist.
    ///
    /// The property `UnitFileState` is not asked for: the manager goes on giving the old one for
    /// a unit that was loaded when it was enabled.
    ///
    /// # Errors
    ///
    /// When systemctl cannot be run, or hangs.
    pub(super) fn enabled(&self, units: &[&str]) -> Result<Vec<Option<bool>>, SupervisorError> {
        let said = self.call(&[&["--user", "is-enabled", "--"], units].concat(), None)?;
        let states: Vec<_> = said.out.lines().map(is_enabled).collect();
        Ok(if states.len() == units.len() { states } else { vec![None; units.len()] })
    }

    /// The names of the units that match a pattern and are not idle.
    ///
    /// # Errors
    ///
    /// When the manager cannot be asked.
    pub(super) fn matching(&self, pattern: &str) -> Result<Vec<String>, SupervisorError> {
        let arguments = ["--user", "list-units", "--plain", "--no-legend", "--full", pattern];
        let said = self.call(&arguments, None)?.success(PROGRAM, &arguments)?;
        let names = said.out.lines().filter_map(|line| line.split_whitespace().next());
        Ok(names.map(str::to_owned).collect())
    }

    /// A unit's files, its drop-ins after the file itself.
    ///
    /// # Errors
    ///
    /// When the manager cannot be asked, or has no files for it.
    pub(super) fn settings(&self, unit: &str) -> Result<String, SupervisorError> {
        let arguments = ["--user", "cat", "--", unit];
        Ok(self.call(&arguments, None)?.success(PROGRAM, &arguments)?.out)
    }

    /// Runs `systemctl` with `arguments`, and returns what it says.
    ///
    /// # Errors
    ///
    /// When it cannot be run, hangs, or fails.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, SupervisorError> {
        Ok(self.call(arguments, None)?.success(PROGRAM, arguments)?.out)
    }

    /// Where systemctl looks for the manager's socket; `None` if it asks the bus instead.
    fn socket_directory(&self) -> Option<PathBuf> {
        let told = || std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
        self.runtime_directory.clone().or_else(|| told().map(PathBuf::from))
    }

    fn call(
        &self,
        arguments: &[&str],
        ticket: Option<BorrowedFd<'_>>,
    ) -> Result<Said, SupervisorError> {
        tool::run(PROGRAM, arguments, ticket, |command| {
            if let Some(directory) = &self.runtime_directory {
                command.env("XDG_RUNTIME_DIR", directory);
            }
        })
    }
}

/// The directory to look for the manager's socket in, if nothing else says where.
fn usual_directory(
    told: Option<OsString>,
    usual: &Path,
    is_there: &dyn Fn(&Path) -> bool,
) -> Option<PathBuf> {
    (told.is_none() && is_there(usual)).then(|| usual.to_owned())
}

/// What `systemctl is-enabled` says, as far as a person can change it.
fn is_enabled(state: &str) -> Option<bool> {
    match state {
        "enabled" | "enabled-runtime" => Some(true),
        "disabled" | "masked" | "masked-runtime" => Some(false),
        _ => None,
    }
}

/// Reads blocks of `Key=value` lines with an empty line between two.
fn parse(text: &str) -> Vec<Unit> {
    text.split("\n\n").filter(|block| !block.trim().is_empty()).map(parse_unit).collect()
}

fn parse_unit(block: &str) -> Unit {
    let properties: BTreeMap<&str, &str> =
        block.lines().filter_map(|line| line.split_once('=')).collect();
    let text = |key| properties.get(key).copied().unwrap_or_default();
    let number = |key| text(key).parse::<u32>().ok();
    // Zero is never.
    let moment = |key| text(key).parse::<u64>().ok().filter(|moment| *moment != 0);
    let last = || {
        let status = text("ExecMainStatus").parse().ok()?;
        Some(Last { pid: number("ExecMainPID")?, code: number("ExecMainCode")?, status })
    };
    Unit {
        name: text("Id").to_owned(),
        load: text("LoadState").to_owned(),
        phase: match text("ActiveState") {
            "active" | "reloading" | "refreshing" => Phase::Active,
            "activating" => Phase::Activating,
            "deactivating" => Phase::Deactivating,
            "failed" => Phase::Failed,
            _ => Phase::Inactive,
        },
        sub: text("SubState").to_owned(),
        result: text("Result").to_owned(),
        has_job: !matches!(text("Job"), "" | "0"),
        main_pid: number("MainPID").filter(|pid| *pid != 0),
        last: last().filter(|last| last.code != 0),
        invocation: text("InvocationID").to_owned(),
        started: moment("InactiveExitTimestampMonotonic"),
        active_since: moment("ActiveEnterTimestampMonotonic"),
        tells_when_ready: !matches!(text("Type"), "" | "simple" | "exec" | "idle"),
        is_outdated: text("NeedDaemonReload") == "yes",
        // An exclamation mark says that it may be absent.
        directory: Some(text("WorkingDirectory").trim_start_matches('!').to_owned())
            .filter(|path| path.starts_with('/')),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TWO: &str = "\
MainPID=0
Result=exit-code
ExecMainPID=26229
ExecMainCode=1
ExecMainStatus=3
Id=mosaic-agent@a.service
LoadState=loaded
ActiveState=failed
SubState=failed
Job=
InvocationID=52f07b767c654537a785b63decf498a8

MainPID=42
Result=success
ExecMainPID=42
ExecMainCode=0
ExecMainStatus=0
Id=mosaic-agent@b.service
LoadState=loaded
ActiveState=activating
SubState=start
Job=17
InvocationID=92979ebe6e8e4c67a34c7044fad6b7bd
";

    #[test]
    fn units_are_read_in_their_order() {
        let units = parse(TWO);
        let [a, b] = units.as_slice() else { panic!("{units:?}") };
        assert_eq!((a.name.as_str(), a.phase), ("mosaic-agent@a.service", Phase::Failed));
        assert_eq!(a.last, Some(Last { pid: 26229, code: 1, status: 3 }));
        assert_eq!((a.main_pid, a.has_job), (None, false));
        assert_eq!((b.phase, b.main_pid, b.has_job), (Phase::Activating, Some(42), true));
        assert_eq!(b.last, None);
        assert_eq!(parse("\n"), []);
    }

    #[rstest]
    #[case::told(Some("/elsewhere"), true, None)]
    #[case::under_cron(None, true, Some("/run/user/7"))]
    #[case::not_logged_in(None, false, None)]
    fn the_managers_socket(
        #[case] told: Option<&str>,
        #[case] is_there: bool,
        #[case] directory: Option<&str>,
    ) {
        let found = usual_directory(told.map(Into::into), Path::new("/run/user/7"), &|_| is_there);
        assert_eq!(found.as_deref(), directory.map(Path::new));
    }
}
