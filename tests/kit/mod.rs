//! A home in a temporary directory, calls of the built binary in it, and what they leave.
//!
//! Nothing comes in from the outside: the environment is cleared, `HOME` is the sandbox's.
//! Nothing stays behind: whatever was started in a sandbox carries its mark in the
//! environment and is killed when the sandbox is dropped.

mod call;
mod fakes;
mod manager;
mod redact;
mod schema;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use lock_tests::names_in;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use self::call::{Call, Gate, Output, Running};
pub(crate) use self::fakes::Fakes;
pub(crate) use self::manager::{Manager, Style};
pub(crate) use self::redact::redacted;

/// Longer than anything takes on a loaded machine; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The variable that marks every process of one sandbox.
const MARK: &str = "FLEET_TEST_SANDBOX";

/// A fleet's home, and everything that runs in it.
pub(crate) struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    /// A home of which nothing is there yet, and a user's home.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("user")).expect("the user's home");
        Self { dir }
    }

    /// A home without a roster.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(dir.path().join("fleet/agents")).expect("the home");
        fs::create_dir_all(dir.path().join("work")).expect("a working directory");
        Self { dir }
    }

    /// A home with the `process` supervisor, whose agents run `sh -c SCRIPT`.
    pub(crate) fn with_agents(agents: &[(&str, &str)]) -> Self {
        let sandbox = Self::new();
        sandbox.write_agents(agents);
        sandbox
    }

    /// The same with the `tmux` supervisor, on a socket of the fleet's own.
    pub(crate) fn with_sessions(agents: &[(&str, &str)]) -> Self {
        let sandbox = Self::new();
        sandbox.write_roster("tmux", json!({"socket_name": SOCKET}), agents);
        sandbox
    }

    /// A home with agents that do nothing, for as long as they may.
    pub(crate) fn with_idle_agents(names: &[&str]) -> Self {
        let agents: Vec<_> = names.iter().map(|name| (*name, IDLE)).collect();
        Self::with_agents(&agents)
    }

    /// Replaces the roster.
    pub(crate) fn write_agents(&self, agents: &[(&str, &str)]) {
        self.write_roster("process", json!({}), agents);
    }

    /// Replaces the roster by one with this supervisor and these keys for tmux.
    pub(crate) fn write_roster(&self, supervisor: &str, tmux: Value, agents: &[(&str, &str)]) {
        let agents: Vec<_> = agents
            .iter()
            .map(|(name, script)| {
                let command = ["/bin/sh", "-c", script];
                json!({"name": name, "runtime": "sh", "command": command})
            })
            .collect();
        let roster = json!({
            "version": 1, "transport": "tmux", "supervisor": supervisor, "tmux": tmux,
            "defaults": {"working_directory": "work"}, "agents": agents,
        });
        // JSON is YAML.
        self.write("fleet/roster.yaml", &roster.to_string());
    }

    /// A path in the home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file in the home.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("inside the home")).expect("its directory");
        fs::write(path, text).expect("the file");
    }

    /// A file of the home, or "" where there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Whether there is such a file.
    pub(crate) fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    /// The restart lock.
    pub(crate) fn lock(&self) -> PathBuf {
        self.path(LOCK)
    }

    /// What lies in the run directory beside the journal and what the agents left, for
    /// "nothing is left".
    pub(crate) fn lock_files(&self) -> Vec<String> {
        let mut names = names_in(&self.path("fleet/run")).unwrap_or_default();
        names.retain(|name| name.starts_with("restart.lock") && !name.contains(".journal"));
        names
    }

    /// Kills the one of these that has the lock. A killed waiter would leave its number to
    /// whoever waits next, and there may be nobody.
    pub(crate) fn kill_owner(&self, mut running: Vec<Running>) -> Vec<Running> {
        let record = self.read(LOCK);
        let owner = record.lines().next().and_then(|pid| pid.parse().ok());
        let index = running.iter().position(|each| Some(each.pid()) == owner);
        let owner = running.remove(index.expect("one of these has the lock"));
        owner.signal(Signal::KILL);
        let _ = owner.wait();
        running
    }

    /// Puts the lock of a peer there that follows only the original's rules.
    pub(crate) fn write_foreign_lock(&self, age: Duration) -> String {
        let stamp = SystemTime::now() - age;
        let stamp = stamp.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let text = format!("4242\n{}\nforeign-token\n", stamp.as_millis());
        self.write(LOCK, &text);
        text
    }

    /// A pipe with a name, on which a script can wait until the test lets it go on.
    pub(crate) fn gate(&self, name: &str) -> Gate {
        Gate::new(self.path(name))
    }

    /// Runs `sh -c SCRIPT` under the restart lock.
    pub(crate) fn under_lock(&self, options: &[&str], script: &str) -> Running {
        let args = [&["lock", "run"], options, &["--", "/bin/sh", "-c", script]].concat();
        self.fleet(&args).spawn()
    }

    /// A holder of the restart lock that works until the gate is opened. Its command's pid
    /// is in the file `held`.
    pub(crate) fn holder(&self, options: &[&str]) -> (Running, Gate) {
        self.holder_named("held", "gate", options)
    }

    /// Another one, whose command's pid is in that file.
    pub(crate) fn holder_of(&self, file: &str) -> (Running, Gate) {
        self.holder_named(file, &format!("{file}-gate"), &[])
    }

    fn holder_named(&self, file: &str, gate: &str, options: &[&str]) -> (Running, Gate) {
        let gate = self.gate(gate);
        let script = format!("echo $$ > {file}; read x < {}", gate.path().display());
        let holder = self.under_lock(options, &script);
        self.await_pid(file);
        // The command is started in a fenced step, and may run before that step has ended: a
        // holder that is stopped there would be stopped in the mutex.
        until("the holder to leave the mutex", || !self.mutex_is(holder.pid()));
        (holder, gate)
    }

    /// Stops a `fleet` that has the restart lock, as Ctrl-Z does; not while it is in the mutex,
    /// where no other may take anything from it.
    pub(crate) fn stop(&self, owner: &Running) {
        until("the owner to be stopped outside the mutex", || {
            owner.signal(Signal::STOP);
            until("it to be stopped", || state_of(owner.pid()) == Some('T'));
            let is_inside = self.mutex_is(owner.pid());
            if is_inside {
                owner.signal(Signal::CONT);
            }
            !is_inside
        });
    }

    /// Whether a process is in the mutex of one of the home's locks.
    fn mutex_is(&self, pid: u32) -> bool {
        self.read(&format!("{LOCK}.mutex")).starts_with(&format!("{pid}\n"))
    }

    /// The pid that a script writes to a file, once it is there.
    pub(crate) fn await_pid(&self, file: &str) -> u32 {
        until("the pid to be written", || self.read(file).ends_with('\n'));
        self.read(file).trim().parse().expect("a pid")
    }

    /// A call of `fleet --home <sandbox>`.
    pub(crate) fn fleet(&self, args: &[&str]) -> Call {
        self.bare(args).env("FLEET_HOME", self.dir.path())
    }

    /// A call of `fleet` that is told nothing about its home.
    pub(crate) fn bare(&self, args: &[&str]) -> Call {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleet"));
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.dir.path().join("user"))
            .env("TMUX_TMPDIR", self.dir.path())
            .env("XDG_RUNTIME_DIR", self.path(RUNTIME))
            .env(MARK, self.dir.path())
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        Call::new(command, tempfile::tempdir_in(self.dir.path()).expect("a directory"))
    }

    /// Runs tmux on the fleet's socket.
    pub(crate) fn tmux(&self, args: &[&str]) -> Output {
        self.bare(&[]).instead("tmux", &[&["-L", SOCKET], args].concat()).run()
    }

    /// The agents as `fleet status --json` sees them.
    pub(crate) fn status(&self) -> Value {
        let out = self.fleet(&["status", "--json"]).run();
        assert_eq!(out.code(), 0, "{out}");
        out.json()
    }

    /// The process of a running agent.
    pub(crate) fn pid(&self, agent: &str) -> u32 {
        let status = self.status();
        let agents = status["agents"].as_array().expect("a list").iter();
        let found = agents.clone().find(|entry| entry["name"] == agent).expect("in the roster");
        assert_eq!(found["state"], "running", "{status:#}");
        u32::try_from(found["pid"].as_u64().expect("a number")).expect("a pid")
    }

    /// The live processes of an agent, whatever the records say.
    pub(crate) fn agent_processes(&self, agent: &str) -> Vec<u32> {
        let wanted = format!("FLEET_AGENT={agent}");
        let is_agent = |pid: &u32| {
            is_alive(*pid)
                && fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| {
                    env.split(|byte| *byte == 0).any(|var| var == wanted.as_bytes())
                })
        };
        self.processes().into_iter().filter(is_agent).collect()
    }

    /// Kills an agent and whatever it started.
    pub(crate) fn kill_agent(&self, agent: &str) {
        let processes = self.agent_processes(agent);
        // A shell whose child is killed first starts the next one.
        for signal in [Signal::STOP, Signal::KILL] {
            processes.iter().for_each(|pid| kill(*pid, signal));
        }
    }

    /// Every live process of the sandbox but one.
    pub(crate) fn processes_beside(&self, pid: u32) -> Vec<u32> {
        let mut processes = self.processes();
        processes.retain(|other| *other != pid);
        processes
    }

    /// Every live process of the sandbox.
    fn processes(&self) -> Vec<u32> {
        let mark = format!("{MARK}={}", self.dir.path().display());
        let marked = |pid: &u32| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|env| env.split(|byte| *byte == 0).any(|var| var == mark.as_bytes()))
        };
        pids().into_iter().filter(marked).collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A process may be forking while we look, so look until there is none.
        for _ in 0..100 {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            for pid in left {
                kill(pid, Signal::KILL);
            }
        }
    }
}

/// An agent's script that waits without end and without load.
pub(crate) const IDLE: &str = "exec sleep 1000";

/// An agent's script that notes each SIGTERM in `work/asked`, and goes on. Wait for
/// `work/ready` before you send one.
pub(crate) const STUBBORN: &str = "trap ': > asked' TERM; : > ready; while :; do sleep 1000; done";

/// An agent's script that hears neither a hangup nor SIGTERM. Wait for `work/deaf` first.
pub(crate) const DEAF: &str = "trap '' HUP TERM; : > deaf; while :; do sleep 1000; done";

/// The tmux socket of a fleet in a sandbox.
pub(crate) const SOCKET: &str = "fleet";

/// Where the user manager of a sandbox has its sockets.
const RUNTIME: &str = "xdg";

/// The restart lock's place in the home.
pub(crate) const LOCK: &str = "fleet/run/restart.lock";

/// Waits until `condition` holds. A file system has no event for most of what tests wait
/// for, so this looks again every few milliseconds.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) {
    until_within(PATIENCE, what, condition);
}

/// The same, for what takes longer.
#[track_caller]
fn until_within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to a process that the test started; one that has ended needs none.
pub(crate) fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    let _ = kill_process(pid, signal);
}

/// Whether a process is there and has not ended.
pub(crate) fn is_alive(pid: u32) -> bool {
    state_of(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The state letter of a process.
pub(crate) fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}
