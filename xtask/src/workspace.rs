//! The checkout: where it is, which files are part of it, how a program is run in it.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::error::Error;

/// The checkout that this task works on.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The checkout that cargo runs this task from.
    ///
    /// Cargo's variable comes before the path compiled in: a target directory
    /// shared by two checkouts would otherwise lead into the other one.
    pub(crate) fn locate() -> Self {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        Self { root: package.join("..") }
    }

    /// `cargo`, the one that runs this task, in this checkout.
    pub(crate) fn cargo<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&self.root).args(args);
        command
    }

    /// Files that are or would be committed, relative to the root.
    pub(crate) fn files(&self) -> Result<Vec<String>, Error> {
        self.git_files(&["--exclude-standard"])
    }

    /// Snapshots that wait for review. They are ignored by git, hence not in [`Self::files`].
    pub(crate) fn pending_snapshots(&self) -> Result<Vec<String>, Error> {
        self.git_files(&["--", "*.snap.new", "*.pending-snap", ":!target"])
    }

    /// The text of a file, or nothing if it is not text or was deleted since it was committed.
    pub(crate) fn text(&self, path: &str) -> Result<Option<String>, Error> {
        let path = self.root.join(path);
        match fs::read(&path) {
            Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    fn git_files(&self, selection: &[&str]) -> Result<Vec<String>, Error> {
        let mut git = Command::new("git");
        // A container often has the checkout under another user's name, which git refuses.
        // We only list files, and already run code from there.
        git.current_dir(&self.root)
            .args(["-c", "safe.directory=*", "ls-files", "-z"])
            .args(["--cached", "--others"])
            .args(selection)
            .stderr(Stdio::inherit());
        let output =
            git.output().map_err(|source| Error::Start { command: describe(&git), source })?;
        if !output.status.success() {
            return Err(Error::Command { command: describe(&git), status: output.status });
        }
        let list = String::from_utf8_lossy(&output.stdout);
        Ok(list.split_terminator('\0').map(str::to_owned).collect())
    }
}

/// Runs `command` to its end. What it writes goes to our standard output,
/// its errors too, so that a log has everything in the order it happened.
pub(crate) fn run(mut command: Command) -> Result<(), Error> {
    let status = command
        .stdin(Stdio::null())
        .stderr(io::stdout())
        .status()
        .map_err(|source| Error::Start { command: describe(&command), source })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Command { command: describe(&command), status })
}

/// The command line as a person would type it, without the program's directory.
pub(crate) fn describe(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words: Vec<_> =
        std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_described_by_name() {
        let mut command = Command::new("/opt/bin/cargo");
        command.args(["fmt", "--all"]);
        assert_eq!(describe(&command), "cargo fmt --all");
    }

    #[test]
    fn a_failing_program_is_an_error() {
        let error = run(Command::new("false")).expect_err("`false` fails");
        assert_eq!(error.to_string(), "`false` ended with exit status: 1");
    }

    #[test]
    fn an_absent_program_is_an_error() {
        let error = run(Command::new("no-such-program")).expect_err("it does not exist");
        assert_eq!(error.to_string(), "failed to start `no-such-program`");
    }

    #[test]
    fn this_file_belongs_to_the_workspace() {
        let files = Workspace::locate().files().expect("git lists the files");
        assert!(files.contains(&"xtask/src/workspace.rs".to_owned()));
    }
}
