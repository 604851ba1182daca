//! The checkout: where it is, which files are part of it, how a program is run in it.

use std::borrow::BorrowMut;
use std::ffi::OsStr;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
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
        Self { root: package.parent().map_or_else(|| package.join(".."), Path::to_owned) }
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

    /// The root of the checkout.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo builds.
    pub(crate) fn target(&self) -> PathBuf {
        let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        self.root.join(target)
    }

    /// Whether the checkout has changes that are in no commit.
    pub(crate) fn is_changed(&self) -> Result<bool, Error> {
        Ok(!self.git(&["status", "--porcelain"])?.is_empty())
    }

    /// What git says about this checkout.
    pub(crate) fn git(&self, args: &[&str]) -> Result<String, Error> {
        let mut git = Command::new("git");
        // A container often has the checkout under another user's name, which git refuses.
        // We only look, and already run code from there.
        output(git.current_dir(&self.root).args(["-c", "safe.directory=*"]).args(args))
    }

    fn git_files(&self, selection: &[&str]) -> Result<Vec<String>, Error> {
        let list = self.git(&[&["ls-files", "-z", "--cached", "--others"], selection].concat())?;
        Ok(list.split_terminator('\0').map(str::to_owned).collect())
    }
}

/// Runs `command` to its end, and returns what it writes to its standard output. Its errors
/// go to ours.
pub(crate) fn output_bytes(command: &mut Command) -> Result<Vec<u8>, Error> {
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output =
        command.output().map_err(|source| Error::Start { command: describe(command), source })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Error::Command { command: describe(command), status: output.status })
}

/// The same, as text.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    output_bytes(command).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// One line for the reader of the log.
pub(crate) fn say(line: &str) -> Result<(), Error> {
    writeln!(io::stdout(), "{line}").map_err(Error::Output)
}

/// Runs `command` to its end. What it writes goes to our standard output,
/// its errors too, so that a log has everything in the order it happened.
pub(crate) fn run(mut command: impl BorrowMut<Command>) -> Result<(), Error> {
    let command = command.borrow_mut();
    let status = command
        .stdin(Stdio::null())
        .stderr(io::stdout())
        .status()
        .map_err(|source| Error::Start { command: describe(command), source })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Command { command: describe(command), status })
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
