//! A user manager of the test's own: a real `systemd --user` with its own home, sockets and
//! control group, that sees no unit but the test's and those that systemd ships.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::json;

use super::{MARK, Output, RUNTIME, SOCKET, Sandbox, kill, until};

/// Where Debian and others keep it.
const PROGRAMS: [&str; 2] = ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"];

/// Where the manager looks for the units that systemd ships.
const SHIPPED: &str = "/usr/lib/systemd/user";

/// The manager refuses to run on a machine that was not booted with systemd. This shows it
/// one that was, in a mount namespace of its own.
const PRETEND_BOOTED: &str = "mount -t tmpfs none /run/systemd && mkdir /run/systemd/system && ";

/// A manager, ended when dropped.
pub(crate) struct Manager<'h> {
    home: &'h Sandbox,
    process: Child,
    groups: Vec<PathBuf>,
}

/// What an agent's unit is.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    /// The agent itself.
    Plain,
    /// Something that makes a session and ends, as Mosaic has it.
    Session,
}

impl<'h> Manager<'h> {
    /// Starts one for a home whose agents run `sh SCRIPT`, each in a unit.
    pub(crate) fn start(home: &'h Sandbox, style: Style, agents: &[(&str, &str)]) -> Self {
        home.write_roster("systemd", json!({"socketName": SOCKET}), agents);
        write_units(home, style);
        for (name, script) in agents {
            home.write(&format!("scripts/{name}"), script);
        }
        Self::bare(home)
    }

    /// Starts one for a home as it is.
    pub(crate) fn bare(home: &'h Sandbox) -> Self {
        let runtime = home.path(RUNTIME);
        fs::create_dir_all(&runtime).expect("a directory");
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).expect("it is ours");
        let groups = make_groups(home);
        let process = command(home, &groups).spawn().expect("sh runs");
        let manager = Self { home, process, groups };
        until("the manager to answer", || {
            manager.ctl(&["show", "--property=SystemState"]).stdout.contains("=running")
        });
        manager
    }

    /// Runs `systemctl --user`.
    pub(crate) fn ctl(&self, args: &[&str]) -> Output {
        self.home.bare(&[]).instead("systemctl", &[&["--user"], args].concat()).run()
    }

    /// The processes in a unit's control group.
    pub(crate) fn processes(&self, unit: &str) -> Vec<u32> {
        let group = self.property(unit, "ControlGroup");
        let mounts =
            ["systemd", "", "unified"].map(|mount| Path::new("/sys/fs/cgroup").join(mount));
        let list = |mount: &PathBuf| format!("{}{group}/cgroup.procs", mount.display());
        let list = mounts.iter().find_map(|mount| fs::read_to_string(list(mount)).ok());
        let list = list.unwrap_or_default();
        list.lines().map(|pid| pid.parse().expect("a pid")).collect()
    }

    /// One property of a unit.
    pub(crate) fn property(&self, unit: &str, property: &str) -> String {
        let out = self.ctl(&["show", "--value", "--property", property, unit]);
        out.stdout.trim_end().to_owned()
    }

    /// Replaces a unit's file, or adds to it (`UNIT.d/x.conf`).
    pub(crate) fn write_unit(&self, name: &str, text: &str) {
        write_unit(self.home, name, text);
        let out = self.ctl(&["daemon-reload"]);
        assert_eq!(out.code(), 0, "{out}");
    }
}

impl Drop for Manager<'_> {
    fn drop(&mut self) {
        // It would end its units one by one; nothing in a sandbox is worth that.
        let _ = self.process.kill();
        let _ = self.process.wait();
        for group in &self.groups {
            remove(group);
        }
    }
}

/// The holder's and the agents' unit.
fn write_units(home: &Sandbox, style: Style) {
    let holder = format!(
        "[Service]\nType=forking\n\
         ExecStart=/usr/bin/env tmux -L {SOCKET} new-session -d -s _holder sleep infinity\n\
         ExecStop=/usr/bin/env tmux -L {SOCKET} kill-server\n"
    );
    write_unit(home, "mosaic-tmux-holder.service", &holder);
    let (scripts, work) = (home.path("scripts/%i"), home.path("work"));
    let (scripts, work) = (scripts.display(), work.display());
    let service = match style {
        Style::Plain => format!(
            "ExecStart=/bin/sh {scripts}\nEnvironment=FLEET_AGENT=%i\n\
             StandardOutput=append:{}\nStandardError=inherit\n",
            home.path("%i.log").display()
        ),
        Style::Session => format!(
            "Type=oneshot\nRemainAfterExit=yes\n\
             ExecStart=/usr/bin/env tmux -L {SOCKET} new-session -d -s %i -c {work} \
             -e FLEET_AGENT=%i /bin/sh {scripts} \\; set-option -w -t =%i: remain-on-exit on\n\
             ExecStop=-/usr/bin/env tmux -L {SOCKET} kill-session -t =%i\n"
        ),
    };
    let agent = format!(
        "[Unit]\nRequires=mosaic-tmux-holder.service\nAfter=mosaic-tmux-holder.service\n\
         PartOf=mosaic-tmux-holder.service\n\
         [Service]\nWorkingDirectory={work}\n{service}"
    );
    write_unit(home, "mosaic-agent@.service", &agent);
}

fn write_unit(home: &Sandbox, name: &str, text: &str) {
    home.write(&format!("user/.config/systemd/user/{name}"), text);
}

/// The manager's command line: it moves itself into its control groups first.
fn command(home: &Sandbox, groups: &[PathBuf]) -> Command {
    let program = PROGRAMS.into_iter().find(|program| Path::new(program).exists());
    let program = program.expect("systemd is installed, as `cargo xtask test` sees to");
    let mut script: String = groups
        .iter()
        .map(|group| format!("echo $$ > '{}/cgroup.procs' && ", group.display()))
        .collect();
    let booted = Path::new("/run/systemd/system").is_dir();
    if !booted {
        script += PRETEND_BOOTED;
    }
    script += &format!("exec {program} --user");
    let mut command = Command::new(if booted { "sh" } else { "unshare" });
    if !booted {
        command.args(["--mount", "--propagation", "private", "sh"]);
    }
    let units = home.path("user/.config/systemd/user");
    let log = fs::File::create(home.path("manager.log")).expect("a file");
    command
        .args(["-c", &script])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", home.path("user"))
        .env("XDG_RUNTIME_DIR", home.path(RUNTIME))
        .env("TMUX_TMPDIR", home.dir.path())
        .env("SYSTEMD_UNIT_PATH", format!("{}:{SHIPPED}", units.display()))
        .env("SYSTEMD_GENERATOR_PATH", "/nonexistent")
        .env("SYSTEMD_LOG_TARGET", "console")
        .env(MARK, home.dir.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a descriptor"))
        .stderr(log);
    command
}

/// A control group below ours, in each hierarchy that systemd uses.
fn make_groups(home: &Sandbox) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let ours = fs::read_to_string("/proc/self/cgroup").expect("/proc");
    let unified = root.join("cgroup.controllers").exists();
    // A temporary directory's name is taken only once.
    let name = home.dir.path().file_name().expect("it is not the root").to_string_lossy();
    let name = format!("fleet-test{name}");
    let below = |mount: PathBuf, line: &str| {
        let path = line.rsplit(':').next().expect("a line has three fields");
        mount.join(path.trim_start_matches('/')).join(&name)
    };
    let groups: Vec<_> = ours
        .lines()
        .filter_map(|line| match line {
            line if line.starts_with("0::") && unified => Some(below(root.to_owned(), line)),
            line if line.starts_with("0::") => Some(below(root.join("unified"), line)),
            line if line.contains(":name=systemd:") => Some(below(root.join("systemd"), line)),
            _ => None,
        })
        .filter(|group| group.parent().is_some_and(Path::exists))
        .collect();
    for group in &groups {
        let made = fs::create_dir_all(group);
        made.unwrap_or_else(|error| {
            panic!(
                "cannot make {}: {error}; the tests need a control group that they may divide, \
                 as root has it, or `systemd-run --user --scope --property=Delegate=yes`",
                group.display()
            )
        });
    }
    groups
}

/// Ends what is left in a control group, and removes it.
fn remove(group: &Path) {
    let members = |group: &Path| fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for below in fs::read_dir(group).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&below.path());
        }
    }
    until("the control group to be empty", || {
        for pid in members(group).lines().filter_map(|line| line.parse().ok()) {
            kill(pid, Signal::KILL);
        }
        fs::remove_dir(group).is_ok() || !group.exists()
    });
}
