//! A call of the built binary: made, watched, signalled, and what it left.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use lock_tests::strace::OPTIONS;
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, kill, schema, until, until_within};

/// A call that has not been made yet.
#[must_use]
pub(crate) struct Call {
    command: Command,
    said: TempDir,
}

impl Call {
    /// A call that will be made so; what it says goes to files in `said`.
    pub(super) fn new(command: Command, said: TempDir) -> Self {
        Self { command, said }
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives the call another stdout than the file that `Output` is read from.
    pub(crate) fn stdout(mut self, to: impl Into<Stdio>) -> Running {
        self.command.stdout(to);
        self.command.stderr(self.file("err"));
        self.start()
    }

    /// Runs another program in the same surroundings.
    pub(crate) fn instead(self, program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        let set = self.command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.args(args).env_clear().envs(set).stdin(Stdio::null());
        command.current_dir(self.command.get_current_dir().expect("it is always set"));
        Self { command, said: self.said }
    }

    /// Has every system call of it written to a file of the sandbox. What is started then is
    /// the tracer, which ends when everything has ended that it traces.
    pub(crate) fn traced(self, listing: &Path) -> Self {
        let own = [self.command.get_program()].into_iter().chain(self.command.get_args());
        let own: Vec<_> = own.map(|arg| arg.to_str().expect("UTF-8").to_owned()).collect();
        let own = own.iter().map(String::as_str);
        let tracer = ["-o", listing.to_str().expect("UTF-8")];
        let args: Vec<_> = OPTIONS.into_iter().chain(tracer).chain(own).collect();
        self.instead("strace", &args)
    }

    /// Makes the call as somebody for whom the modes of files hold, which they do not for root.
    pub(crate) fn bound_by_modes(self) -> Self {
        if !rustix::process::geteuid().is_root() {
            return self;
        }
        let own = [self.command.get_program()].into_iter().chain(self.command.get_args());
        let own: Vec<_> = own.map(|arg| arg.to_str().expect("UTF-8").to_owned()).collect();
        let own = own.iter().map(String::as_str);
        let without = ["--bounding-set=-dac_override,-dac_read_search"];
        let args: Vec<_> = without.into_iter().chain(own).collect();
        self.instead("setpriv", &args)
    }

    /// Runs a script that may mount what it likes: nobody else sees it, and it goes with it.
    pub(crate) fn with_own_mounts(self, script: &str) -> Self {
        let how = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
        self.instead("unshare", &[how, "/bin/sh", "-c", script])
    }

    /// Makes the call in a session of its own, on a terminal of its own.
    pub(crate) fn on_a_terminal(self) -> Terminal {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let keyboard = openpt(flags).expect("a terminal");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("it is ours");
        let name = ptsname(&keyboard, Vec::new()).expect("it has a name");
        let screen = || {
            let path = name.to_str().expect("ASCII");
            File::options().read(true).write(true).open(path).expect("the terminal")
        };
        let program = self.command.get_program().to_str().expect("UTF-8").to_owned();
        let args: Vec<_> =
            self.command.get_args().map(|arg| arg.to_str().expect("UTF-8")).collect();
        // `setsid` makes its stdin the controlling terminal, then becomes the program.
        let args: Vec<_> =
            ["--ctty", &program].into_iter().chain(args).map(str::to_owned).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut call = self.instead("setsid", &args);
        call.command.stdin(screen()).stdout(screen()).stderr(screen());
        Terminal { running: call.start(), keyboard: File::from(keyboard) }
    }

    /// Makes the call and waits for its end.
    pub(crate) fn run(self) -> Output {
        self.spawn().wait()
    }

    /// The same for a call that has a lot to do.
    pub(crate) fn run_within(self, limit: Duration) -> Output {
        self.spawn().wait_within(limit)
    }

    /// Makes the call.
    pub(crate) fn spawn(mut self) -> Running {
        let (out, err) = (self.file("out"), self.file("err"));
        self.command.stdout(out).stderr(err);
        self.start()
    }

    fn file(&self, name: &str) -> File {
        File::create(self.said.path().join(name)).expect("a file for the output")
    }

    fn start(mut self) -> Running {
        let shown = format!("{:?}", self.command);
        let shown = shown.rsplit_once("/fleet\" ").map_or(shown.clone(), |(_, args)| args.into());
        let args = fleet_args(&self.command);
        let child = self.command.spawn().expect("the binary was built");
        Running { child, said: self.said, args, shown }
    }
}

/// What `fleet` is called with, also where another program calls it.
fn fleet_args(command: &Command) -> Vec<String> {
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    let line = args.collect::<Vec<_>>().join(" ");
    let called = line.rsplit(env!("CARGO_BIN_EXE_fleet")).next().unwrap_or(&line);
    called.split_whitespace().map(str::to_owned).collect()
}

/// A call that is being made; killed when dropped before its end.
#[must_use]
pub(crate) struct Running {
    child: Child,
    said: TempDir,
    args: Vec<String>,
    shown: String,
}

impl Running {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    /// What it has written to stdout so far.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.said.path().join("out")).unwrap_or_default()
    }

    /// What it has written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.said.path().join("err")).unwrap_or_default()
    }

    /// Waits until its stderr holds `text`.
    pub(crate) fn await_stderr(&mut self, text: &str) {
        let what = format!("stderr of `{}` to hold {text:?}", self.shown);
        until(&what, || self.stderr().contains(text));
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> Output {
        self.wait_within(PATIENCE)
    }

    fn wait_within(mut self, limit: Duration) -> Output {
        let shown = format!("`{}` to end", self.shown);
        until_within(limit, &shown, || !self.is_running());
        let status = self.child.wait().expect("our child");
        let read = |name| fs::read_to_string(self.said.path().join(name)).unwrap_or_default();
        let (args, shown) = (self.args.clone(), self.shown.clone());
        Output { status, stdout: read("out"), stderr: read("err"), args, shown }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A call with a terminal.
pub(crate) struct Terminal {
    running: Running,
    keyboard: File,
}

impl Terminal {
    /// Presses keys.
    pub(crate) fn press(&self, keys: &[u8]) {
        (&self.keyboard).write_all(keys).expect("the terminal is open");
    }

    /// Whether the process that was given the terminal still runs.
    pub(crate) fn is_open(&mut self) -> bool {
        self.running.is_running()
    }

    /// The process that has the terminal.
    pub(crate) fn fleet_pid(&self) -> u32 {
        self.running.pid()
    }
}

/// What a call left: its status and everything it said.
#[must_use]
pub(crate) struct Output {
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    args: Vec<String>,
    shown: String,
}

impl Output {
    /// The exit code; a signal death is minus its number.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| -self.status.signal().expect("it ended"))
    }

    /// Its stdout as JSON, which is as the command's schema says.
    pub(crate) fn json(&self) -> Value {
        let value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"));
        schema::check(&self.args, &value).unwrap_or_else(|error| panic!("{error}\n{self}"));
        value
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "fleet {} -> {}", self.shown, self.status)?;
        writeln!(f, "----- stdout\n{}----- stderr\n{}-----", self.stdout, self.stderr)
    }
}

/// Where a script waits, with `read x < GATE`.
pub(crate) struct Gate {
    pipe: File,
    path: PathBuf,
}

impl Gate {
    /// Makes one.
    pub(super) fn new(path: PathBuf) -> Self {
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
        assert!(made.success(), "mkfifo {}", path.display());
        // Open for both, so that neither side waits for the other to come.
        let pipe = File::options().read(true).write(true).open(&path).expect("the pipe");
        Self { pipe, path }
    }

    /// As a script names it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets one reader go on.
    pub(crate) fn open(&self) {
        (&self.pipe).write_all(b"\n").expect("room in the pipe");
    }
}
