//! A user manager of the run's own: a real `systemd --user` with its own home, sockets and
//! control group, that sees no unit but the run's and those that systemd ships.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::home::Home;
use crate::error::Error;

/// Where Debian and others keep it.
const PROGRAMS: [&str; 2] = ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"];

/// Where the manager looks for the units that systemd ships.
const SHIPPED: &str = "/usr/lib/systemd/user";

/// The manager refuses to run on a machine that was not booted with systemd. This shows it
/// one that was, in a mount namespace of its own.
const PRETEND_BOOTED: &str = "mount -t tmpfs none /run/systemd && mkdir /run/systemd/system && ";

/// So long it may take to answer, and its control group to get empty.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ended when dropped, with all that it runs.
pub(super) struct Manager {
    process: Child,
    groups: Vec<PathBuf>,
}

impl Manager {
    pub(super) fn start(home: &Home) -> Result<Self, Error> {
        let groups = make_groups(home)?;
        let mut command = command(home, &groups)?;
        let process = command.spawn().map_err(Error::system("start", "systemd --user"))?;
        let manager = Self { process, groups };
        let answers = || {
            let mut command = home.clean("systemctl");
            command.args(["--user", "show", "--property=SystemState"]);
            let output = command.stdout(std::process::Stdio::piped()).output();
            output.is_ok_and(|output| output.stdout.ends_with(b"=running\n"))
        };
        match until(answers) {
            true => Ok(manager),
            false => Err(Error::Failure("systemd --user did not come up".to_owned())),
        }
    }
}

fn until(mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Its command line: it moves itself into its control groups first.
fn command(home: &Home, groups: &[PathBuf]) -> Result<Command, Error> {
    let program = PROGRAMS.into_iter().find(|program| Path::new(program).exists());
    let program = program.ok_or(Error::Failure("systemd is not installed".to_owned()))?;
    let enter = |group: &PathBuf| format!("echo $$ > '{}/cgroup.procs' && ", group.display());
    let mut script: String = groups.iter().map(enter).collect();
    let booted = Path::new("/run/systemd/system").is_dir();
    if !booted {
        script += PRETEND_BOOTED;
    }
    script += &format!("exec {program} --user");
    let mut command = home.clean(if booted { "sh" } else { "unshare" });
    if !booted {
        command.args(["--mount", "--propagation", "private", "sh"]);
    }
    let units = home.path("user/.config/systemd/user");
    let log = home.path("manager.log");
    let file = File::create(&log).map_err(Error::system("create", &log))?;
    command
        .args(["-c", &script])
        .env("SYSTEMD_UNIT_PATH", format!("{units}:{SHIPPED}"))
        .env("SYSTEMD_GENERATOR_PATH", "/nonexistent")
        .env("SYSTEMD_LOG_TARGET", "console")
        .stderr(file);
    Ok(command)
}

/// A control group below ours, in each hierarchy that systemd uses.
fn make_groups(home: &Home) -> Result<Vec<PathBuf>, Error> {
    let root = Path::new("/sys/fs/cgroup");
    let ours = fs::read_to_string("/proc/self/cgroup");
    let ours = ours.map_err(Error::system("read", "/proc/self/cgroup"))?;
    let unified = root.join("cgroup.controllers").exists();
    let place = home.path("");
    let name: String = place.as_str().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let mut groups = Vec::new();
    for line in ours.lines() {
        let mount = match line {
            line if line.starts_with("0::") && unified => root.to_owned(),
            line if line.starts_with("0::") => root.join("unified"),
            line if line.contains(":name=systemd:") => root.join("systemd"),
            _ => continue,
        };
        let path = line.rsplit(':').next().unwrap_or_default();
        let parent = mount.join(path.trim_start_matches('/'));
        if parent.exists() {
            let group = parent.join(&name);
            fs::create_dir_all(&group)
                .map_err(Error::system("make a control group", group.display().to_string()))?;
            groups.push(group);
        }
    }
    Ok(groups)
}

/// Ends what is left in a control group, and removes it.
fn remove(group: &Path) {
    for below in fs::read_dir(group).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&below.path());
        }
    }
    until(|| {
        let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)) {
            // It fails only for what has ended.
            let _ = kill_process(pid, Signal::KILL);
        }
        fs::remove_dir(group).is_ok() || !group.exists()
    });
}

impl Drop for Manager {
    fn drop(&mut self) {
        // It would end its units one by one; nothing here is worth that.
        let _ = self.process.kill();
        let _ = self.process.wait();
        for group in &self.groups {
            remove(group);
        }
    }
}
