//! A fleet's home for one measurement, and calls of `fleet` and its tools in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use camino::Utf8PathBuf;
use serde_json::json;

use super::super::Bench;
use crate::error::Error;
use crate::place::Medium;

/// What an agent does.
pub(super) const IDLE: &str = "exec sleep infinity";

/// The tmux server's socket in `TMUX_TMPDIR`.
const SOCKET: &str = "bench";

/// Writes down its arguments, a line for each call with tabs between them, and becomes the
/// real program.
const RECORDER: &str =
    "#!/bin/sh\nIFS='\t'\nprintf '%s\\n' \"NAME\t$*\" >> LOG\nexec REAL \"$@\"\n";

/// Ends its fleet when dropped.
pub(super) struct Home {
    root: Utf8PathBuf,
    fleet: Utf8PathBuf,
}

impl Home {
    /// With so many agents and a roster that names them.
    pub(super) fn make(bench: &Bench, supervisor: &str, size: usize) -> Result<Self, Error> {
        let root = bench.places.directory(Medium::Disk)?;
        let home = Self { root, fleet: bench.programs.fleet().to_owned() };
        for directory in ["fleet/agents", "work", "runtime", "user/.config/systemd/user", "bin"] {
            let path = home.path(directory);
            fs::create_dir_all(&path).map_err(Error::system("create", &path))?;
        }
        let runtime = home.path("runtime");
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700))
            .map_err(Error::system("close to others", &runtime))?;
        let agents: Vec<_> = (0..size)
            .map(|index| {
                let command = ["/bin/sh", "-c", IDLE];
                json!({"name": format!("a{index}"), "runtime": "sh", "command": command})
            })
            .collect();
        let roster = json!({
            "version": 1, "transport": "tmux", "supervisor": supervisor,
            "tmux": {"socket_name": SOCKET},
            "defaults": {"working_directory": "work"}, "agents": agents,
        });
        // JSON is YAML.
        home.write("fleet/roster.yaml", &roster.to_string())?;
        if supervisor == "systemd" {
            home.write_units()?;
        }
        Ok(home)
    }

    pub(super) fn path(&self, name: &str) -> Utf8PathBuf {
        self.root.join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.path(name);
        fs::write(&path, text).map_err(Error::system("write", &path))
    }

    fn write_units(&self) -> Result<(), Error> {
        // Nobody restarts a fleet as often as we do.
        let often = "[Unit]\nStartLimitIntervalSec=0\n";
        let holder = format!(
            "{often}[Service]\nType=oneshot\nRemainAfterExit=yes\n\
             ExecStart=/usr/bin/env tmux -L bench new-session -d -s _holder sleep infinity\n\
             ExecStop=/usr/bin/env tmux -L bench kill-server\n"
        );
        let agent = format!(
            "{often}Requires=mosaic-tmux-holder.service\nAfter=mosaic-tmux-holder.service\n\
             PartOf=mosaic-tmux-holder.service\n\
             [Service]\nExecStart=/bin/sh -c '{IDLE}'\nEnvironment=FLEET_AGENT=%i\n"
        );
        self.write("user/.config/systemd/user/mosaic-tmux-holder.service", &holder)?;
        self.write("user/.config/systemd/user/mosaic-agent@.service", &agent)
    }

    /// Holder first.
    pub(super) fn units(&self, size: usize) -> Vec<String> {
        let agents = (0..size).map(|index| format!("mosaic-agent@a{index}.service"));
        std::iter::once("mosaic-tmux-holder.service".to_owned()).chain(agents).collect()
    }

    /// Nothing comes in from the outside.
    pub(super) fn clean(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path("user"))
            .env("FLEET_HOME", &self.root)
            .env("XDG_RUNTIME_DIR", self.path("runtime"))
            .env("TMUX_TMPDIR", &self.root)
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs `fleet`, to its good end.
    pub(super) fn fleet(&self, args: &[&str]) -> Result<(), Error> {
        let fleet = [&[self.fleet.as_str()], args].concat();
        self.call(&fleet)
    }

    /// Runs `fleet` and says which tools it called with which arguments.
    pub(super) fn recorded(&self, args: &[&str]) -> Result<Vec<Vec<String>>, Error> {
        let log = self.path("calls");
        for name in ["systemctl", "tmux"] {
            let script = RECORDER.replace("NAME", name).replace("LOG", log.as_str());
            let path = format!("bin/{name}");
            self.write(&path, &script.replace("REAL", &format!("/usr/bin/{name}")))?;
            fs::set_permissions(self.path(&path), fs::Permissions::from_mode(0o755))
                .map_err(Error::system("make executable", &path))?;
        }
        let mut command = self.clean(self.fleet.as_str());
        command.args(args).env("PATH", format!("{}:/usr/bin:/bin", self.path("bin")));
        succeed(command)?;
        let text = fs::read_to_string(&log).map_err(Error::system("read", &log))?;
        let words = |line: &str| line.split('\t').map(str::to_owned).collect();
        Ok(text.lines().map(words).collect())
    }

    /// Runs a program, to its good end.
    pub(super) fn call(&self, words: &[&str]) -> Result<(), Error> {
        let (program, args) = words.split_first().map_or(("", words), |(one, rest)| (*one, rest));
        let mut command = self.clean(program);
        command.args(args);
        succeed(command)
    }

    /// Runs a recorded call. Some only ask, and have a status for an answer.
    pub(super) fn call_leniently(&self, words: &[String]) -> Result<(), Error> {
        let (program, args) = words.split_first().map_or(("", words), |(one, rest)| (one, rest));
        let status = self.clean(program).args(args).status();
        status.map_err(Error::system("start", program)).map(drop)
    }
}

fn succeed(mut command: Command) -> Result<(), Error> {
    let words = format!("{command:?}");
    let output = command.stderr(Stdio::piped()).output().map_err(Error::system("start", &words))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Program { command: words, complaint: format!("{}: {}", output.status, said.trim()) })
}

impl Drop for Home {
    fn drop(&mut self) {
        // What was stopped already is not there to be stopped.
        let _ = self.fleet(&["stop"]);
    }
}
