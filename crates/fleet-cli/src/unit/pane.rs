//! From a process of tmux to the agent itself.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::UnitError;
use crate::exit::Exit;
use crate::home::Home;
use crate::report;
use crate::roster::Agent;

/// What systemd tells a unit's main process, and nobody else.
const OF_THE_MINDER: [&str; 9] = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "PIDFILE",
];

/// What tmux tells a pane's process.
const OF_THE_PANE: [&str; 5] =
    ["TERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "TMUX", "TMUX_PANE"];

/// Becomes the agent's command, in the control group and the environment of the process
/// `minder`, the unit's main process.
pub(super) fn become_agent(home: &Home, agent: &Agent, minder: u32) -> Result<Exit, UnitError> {
    let Some((program, arguments)) = agent.command.split_first() else {
        let (name, runtime) = (agent.name.clone(), agent.runtime.clone());
        return Err(UnitError::NoCommand { name, runtime });
    };
    let environ = fs::read(format!("/proc/{minder}/environ"))
        .map_err(|source| UnitError::System { action: "read the unit's environment", source })?;
    if let Err(error) = join(minder) {
        // It runs all the same, and ends with the holder instead of with its unit.
        report::plain(&format!("stays in the holder's control group: {error}"));
    }
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment(home, agent, &environ));
    let source = command.exec();
    Err(UnitError::Exec { program: program.clone(), source })
}

/// The unit's environment, the terminal's, the agent's.
fn environment(home: &Home, agent: &Agent, environ: &[u8]) -> BTreeMap<OsString, OsString> {
    let mut variables = BTreeMap::new();
    for entry in environ.split(|byte| *byte == 0) {
        let mut parts = entry.splitn(2, |byte| *byte == b'=');
        if let (Some(key), Some(value)) = (parts.next(), parts.next()) {
            variables.insert(OsString::from_vec(key.into()), OsString::from_vec(value.into()));
        }
    }
    for name in OF_THE_MINDER {
        variables.remove(OsStr::new(name));
    }
    for name in OF_THE_PANE {
        if let Some(value) = std::env::var_os(name) {
            variables.insert(name.into(), value);
        }
    }
    variables.extend(agent.env.iter().map(|(key, value)| (key.into(), value.into())));
    variables.insert("FLEET_AGENT".into(), OsString::from(&agent.name));
    variables.insert("FLEET_HOME".into(), home.root().as_str().into());
    variables
}

/// Moves this process into the control group of `other`, in the hierarchy that systemd
/// keeps track of processes with.
fn join(other: u32) -> io::Result<()> {
    let groups = fs::read_to_string(format!("/proc/{other}/cgroup"))?;
    let mut places = places(&groups).into_iter().filter(|place| fs::metadata(place).is_ok());
    let first = places.next().ok_or(io::ErrorKind::NotFound)?;
    let own = std::process::id().to_string();
    std::iter::once(first).chain(places).try_for_each(|place| fs::write(place, &own))
}

/// Where the processes of a control group are listed, for each layout of the hierarchies:
/// one hierarchy (`0::/…` alone), or systemd's own beside others (`1:name=systemd:/…`).
fn places(groups: &str) -> Vec<String> {
    let place = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (number, name, path) = (fields.next()?, fields.next()?, fields.next()?);
        Some(match (number, name) {
            (_, "name=systemd") => vec![format!("/sys/fs/cgroup/systemd{path}/cgroup.procs")],
            ("0", "") => ["", "/unified"]
                .map(|mount| format!("/sys/fs/cgroup{mount}{path}/cgroup.procs"))
                .into(),
            _ => Vec::new(),
        })
    };
    groups.lines().filter_map(place).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_are_found_in_every_layout() {
        let one = places("0::/user.slice/a.service\n");
        assert_eq!(one[0], "/sys/fs/cgroup/user.slice/a.service/cgroup.procs");
        let several = places("12:cpu:/x\n1:name=systemd:/u/a.service\n0::/u/a.service\n");
        assert_eq!(
            several,
            [
                "/sys/fs/cgroup/systemd/u/a.service/cgroup.procs",
                "/sys/fs/cgroup/u/a.service/cgroup.procs",
                "/sys/fs/cgroup/unified/u/a.service/cgroup.procs",
            ]
        );
    }
}
