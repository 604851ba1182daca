//! A `systemctl` and a `tmux` that only write down how they are called, and remember what
//! they were told. For tests of the command lines; what the real ones do is tested with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Call, Sandbox};

/// Programs on a `PATH` of their own.
pub(crate) struct Fakes<'h> {
    home: &'h Sandbox,
}

impl<'h> Fakes<'h> {
    /// Both of them, in a home. No unit runs, there is no server.
    pub(crate) fn new(home: &'h Sandbox) -> Self {
        let fakes = Self { home };
        fs::create_dir_all(home.path("bin")).expect("a directory");
        fs::create_dir_all(home.path("fake")).expect("a directory");
        fakes.install("systemctl", SYSTEMCTL);
        fakes.install("tmux", TMUX);
        fakes
    }

    /// Replaces one by a script.
    pub(crate) fn install(&self, program: &str, script: &str) {
        let name = format!("bin/{program}");
        self.home.write(&name, &format!("#!/bin/sh\n{script}"));
        let path = self.home.path(&name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }

    /// A call of `fleet` that finds them and no others.
    pub(crate) fn fleet(&self, args: &[&str]) -> Call {
        let bin = self.home.path("bin");
        let path = format!("{}:/bin:/usr/bin", bin.display());
        self.home.fleet(args).env("PATH", path).env("FAKE", self.home.path("fake"))
    }

    /// How they were called since the last time, without what differs from run to run.
    pub(crate) fn calls(&self) -> String {
        let log = self.home.read("fake/calls");
        self.home.write("fake/calls", "");
        let home = self.home.path("").display().to_string();
        let log = log.replace(home.trim_end_matches('/'), "HOME");
        let log = log.replace(env!("CARGO_BIN_EXE_fleet"), "FLEET");
        let log = log.replace(PANES, "PANES").replace(PROPERTIES, "PROPERTIES");
        let log = log.replace(LIMITS, "LIMITS");
        let words = log.split(' ').map(|word| match word.split_once('=') {
            Some(("FLEET_RUN", _)) => "FLEET_RUN=RUN",
            _ => word,
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

/// What is asked about panes.
pub(crate) const PANES: &str = "#{pid}:#{pane_id}:#{pane_pid}:#{pane_dead}:#{pane_dead_status}:\
                                #{pane_dead_signal}:#{window_activity}:#{session_name}";

/// What is asked about units.
pub(crate) const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,Result,Job,\
                                     MainPID,ExecMainPID,ExecMainCode,ExecMainStatus,InvocationID,\
                                     NeedDaemonReload,WorkingDirectory,Type,\
                                     InactiveExitTimestampMonotonic,\
                                     ActiveEnterTimestampMonotonic";

/// What is asked about how long units may take.
const LIMITS: &str = "--property=TimeoutStartUSec,TimeoutStopUSec,ExecCondition,ExecStartPre,\
                      ExecStart,ExecStartPost,ExecStop,ExecStopPost";

/// No process has this number, so none is waited for or ended.
const SYSTEMCTL: &str = r#"
echo "systemctl $*" >> "$FAKE/calls"
shift
[ "$1" = --no-block ] && shift
verb=$1; shift
case $verb in
start|restart)
    for unit; do
        : > "$FAKE/$unit"; case $unit in *h*.service) : > "$FAKE/session._holder" ;; esac
    done ;;
stop) rm -f "$FAKE/$1"; case $1 in *h*.service) rm -f "$FAKE/session._holder" ;; esac ;;
show)
    case $1 in --property=Version) echo Version=252; exit ;; esac
    shift 2
    for unit; do
        if [ -e "$FAKE/$unit" ]; then active=active; sub=running; pid=99999999
        else active=inactive; sub=dead; pid=0; fi
        printf 'Id=%s\nLoadState=loaded\nActiveState=%s\nSubState=%s\nResult=success\n' \
            "$unit" $active $sub
        printf 'Job=\nMainPID=%s\n\n' $pid
    done ;;
esac
"#;

const TMUX: &str = r#"
echo "tmux $*" >> "$FAKE/calls"
[ "$1" = -L ] && shift 2
verb=$1; shift
name=
for word; do
    [ "$last" = -s ] || [ "$last" = -t ] && [ -z "$name" ] && name=${word#=}
    last=$word
done
case $verb in
new-session) : > "$FAKE/session.$name"; echo 99999999 ;;
kill-session) rm "$FAKE/session.$name" ;;
kill-server) rm "$FAKE"/session.* ;;
has-session) test -e "$FAKE/session.$name" ;;
list-panes)
    id=0
    for file in "$FAKE"/session.*; do
        [ -e "$file" ] || { echo "no server running on /fake" >&2; exit 1; }
        id=$((id + 1))
        echo "99999999:%$id:99999999:0:::0:${file##*/session.}"
    done ;;
esac
"#;
