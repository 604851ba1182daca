//! Those who only look: `ps`, `verify`, `logs`, `attach`, with each supervisor.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::kit::{
    DEAF, Fakes, IDLE, Manager, Output, SOCKET, Sandbox, Style, is_alive, kill, state_of, until,
};

/// What `ps` says of one agent.
fn row(home: &Sandbox, agent: &str) -> Value {
    let out = home.fleet(&["ps", "--json"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let agents = out.json()["agents"].as_array().expect("a list").clone();
    agents.into_iter().find(|entry| entry["name"] == agent).expect("in the roster")
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A terminal that can be read: a tmux server beside the fleet's.
fn terminal(home: &Sandbox, args: &[&str]) -> Output {
    home.fleet(&[]).instead("tmux", &[&["-L", "screen"], args].concat()).run()
}

fn screen(home: &Sandbox) -> String {
    terminal(home, &["capture-pane", "-p"]).stdout
}

#[test]
fn ps_joins_what_there_is_to_know_of_a_session() {
    let home = Sandbox::with_sessions(&[("a", IDLE), ("b", IDLE), ("c", "sleep 0.2; exit 3")]);
    let _ = home.fleet(&["start", "--settle", "0ms"]).run();
    // tmux may miss how a process ended, unless somebody waits for that.
    let out = home.fleet(&["restart", "c", "--settle", "10m"]).run();
    assert_eq!(out.code(), 1, "{out}");
    let (a, b) = (home.pid("a"), home.pid("b"));
    home.write("fleet/run/a.hb", &format!("{}\n{a}\nthinking hard\n", seconds_now() - 60));
    home.write("fleet/run/b.hb", &format!("ts={}\npid=1\nstatus=idle\n", seconds_now()));
    let _ = home.tmux(&["new-session", "-d", "-s", "mine", "sleep", "1000"]);

    let seen = row(&home, "a");
    assert_eq!((&seen["pid"], &seen["flags"]), (&json!(a), &json!([])), "{seen:#}");
    assert_eq!(seen["heartbeat"]["status"], "thinking hard", "{seen:#}");
    assert!(seen["heartbeat"]["age_ms"].as_u64().expect("a number") >= 60_000, "{seen:#}");
    assert_eq!(seen["pane"]["session"], "a", "{seen:#}");
    assert!(seen["idle_ms"].as_u64() <= seen["uptime_ms"].as_u64(), "{seen:#}");
    assert_eq!(row(&home, "b")["flags"], json!(["other_pid"]));
    let dead = row(&home, "c");
    assert_eq!((&dead["flags"], &dead["how"]), (&json!(["dead"]), &json!("exit status: 3")));
    let out = home.fleet(&["ps", "--json"]).run().json();
    assert_eq!(out["unmanaged"], json!([{"name": "mine", "kind": "session"}]), "{out:#}");
    assert_eq!(out["holder"]["answers"], true, "{out:#}");

    // The roster changes while they run.
    let other = [("a", "exec sleep 2000"), ("b", IDLE), ("c", IDLE)];
    home.write_roster("tmux", json!({"socket_name": SOCKET}), &other);
    let roster = home.read("fleet/roster.yaml").replace("\"work\"", "\"/\"");
    home.write("fleet/roster.yaml", &roster);
    assert_eq!(row(&home, "a")["flags"], json!(["drift_command", "drift_directory"]));
    let out = home.fleet(&["ps"]).run();
    for says in ["drift: command, drift: directory", "thinking hard, 1m", "mine", "unmanaged"] {
        assert!(out.stdout.contains(says), "{says:?} in {out}");
    }
    let _ = home.fleet(&["restart", "a", "--settle", "0ms"]).run();
    assert_eq!(row(&home, "a")["flags"], json!(["other_pid"]), "the heartbeat is the old one's");
    assert!(is_alive(b));
}

#[test]
fn ps_tells_who_is_at_work_on_an_agent() {
    let home = Sandbox::with_sessions(&[("a", DEAF), ("b", IDLE)]);
    let _ = home.fleet(&["start"]).run();
    until("the trap to be set", || home.has("work/deaf"));
    let restart = home.fleet(&["restart", "a", "b", "--grace", "10m"]).spawn();
    until("the first agent to be stopped", || row(&home, "a")["state"] == "stopping");
    assert_eq!(row(&home, "a")["in_the_hands_of"], restart.pid());
    assert_eq!(row(&home, "b")["in_the_hands_of"], Value::Null);
    let out = home.fleet(&["ps"]).run();
    for says in [format!("in the hands of pid {}", restart.pid()), "1/2 restarting a".into()] {
        assert!(out.stdout.contains(&says), "{says:?} in {out}");
    }
    restart.signal(Signal::TERM);
    assert_eq!(restart.wait().code(), 143);
    assert_eq!(row(&home, "a")["in_the_hands_of"], Value::Null, "nobody is any more");
}

#[test]
fn a_suspended_process_does_not_really_run() {
    let home = Sandbox::with_idle_agents(&["a", "b"]);
    let _ = home.fleet(&["start", "--settle", "0ms"]).run();
    let out = home.fleet(&["verify", "--json"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.json()["agents"][0]["pid"], home.pid("a"), "{out}");
    let a = home.pid("a");
    kill(a, Signal::STOP);
    until("it to stop", || state_of(a) == Some('T'));
    assert_eq!(row(&home, "a")["flags"], json!(["suspended"]));
    let out = home.fleet(&["verify"]).run();
    assert_eq!(out.code(), 1, "{out}");
    assert!(out.stdout.contains("b runs (pid "), "{out}");
    let says = format!("a does not really run: process {a} is suspended");
    assert!(out.stderr.contains(&says), "{out}");
    assert!(out.stderr.contains("1 of 2 agents do not run: a"), "{out}");
    let out = home.fleet(&["verify", "b"]).run();
    assert_eq!(out.code(), 0, "nobody asked about the other: {out}");
    let out = home.fleet(&["verify", "aa"]).run();
    assert_eq!(out.code(), 64, "{out}");
}

#[test]
fn a_process_that_the_roster_has_forgotten_is_unmanaged() {
    let home = Sandbox::with_idle_agents(&["a", "b"]);
    let _ = home.fleet(&["start", "--settle", "0ms"]).run();
    home.write_agents(&[("a", "exec sleep 2000")]);
    let out = home.fleet(&["ps", "--json"]).run().json();
    assert_eq!(out["unmanaged"], json!([{"name": "b", "kind": "process"}]), "{out:#}");
    assert_eq!(row(&home, "a")["flags"], json!(["drift_command"]));
    home.kill_agent("b");
    until("it to be gone", || home.fleet(&["ps", "--json"]).run().json()["unmanaged"] == json!([]));
}

#[test]
fn ps_and_verify_see_through_units() {
    let home = Sandbox::new();
    let manager = Manager::start(&home, Style::Session, &[("a", IDLE), ("b", IDLE)]);
    let _ = home.fleet(&["start", "--settle", "0ms"]).run();
    let out = home.fleet(&["verify"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let unit = "mosaic-agent@a.service";
    let seen = row(&home, "a");
    assert_eq!(seen["unit"], json!({"name": unit, "active": "active (exited)"}), "{seen:#}");
    assert_eq!((&seen["pane"]["session"], &seen["flags"]), (&json!("a"), &json!([])), "{seen:#}");

    let text = home.read("user/.config/systemd/user/mosaic-agent@.service");
    home.write(
        "user/.config/systemd/user/mosaic-agent@.service",
        &format!("{text}[Install]\nWantedBy=default.target\n"),
    );
    assert_eq!(row(&home, "a")["flags"], json!(["drift_unit_file", "not_enabled"]));
    let _ = manager.ctl(&["daemon-reload"]);
    assert_eq!(row(&home, "a")["flags"], json!(["not_enabled"]));
    let out = manager.ctl(&["enable", unit]);
    assert_eq!(out.code(), 0, "{out}");
    let seen = row(&home, "a");
    assert_eq!((&seen["flags"], &seen["unit"]["enabled"]), (&json!([]), &json!(true)), "{seen:#}");

    // To systemd, this changes nothing.
    kill(home.pid("a"), Signal::KILL);
    until("tmux to see it", || row(&home, "a")["state"] == "dead");
    let out = home.fleet(&["verify"]).run();
    assert_eq!(out.code(), 1, "{out}");
    assert!(out.stderr.contains("a does not really run: it ended"), "{out}");
    home.write("scripts/x", IDLE);
    let _ = manager.ctl(&["start", "mosaic-agent@x"]);
    let out = home.fleet(&["ps", "--json"]).run().json();
    let strangers = json!([
        {"name": "mosaic-agent@x.service", "kind": "unit"},
        {"name": "x", "kind": "session"},
    ]);
    assert_eq!(out["unmanaged"], strangers, "{out:#}");
    let _ = home.tmux(&["kill-server"]);
    let out = home.fleet(&["verify"]).run();
    assert!(
        out.code() == 1 && out.stderr.contains("the holder does not answer: no server"),
        "{out}"
    );
}

#[test]
fn watching_appends_to_a_file_and_stays_in_place_on_a_terminal() {
    let home = Sandbox::with_idle_agents(&["a", "b"]);
    let watch = home.fleet(&["ps", "--watch", "--every", "20ms", "--json"]).spawn();
    until("three pictures", || watch.stdout().lines().count() >= 3);
    let line = watch.stdout().lines().nth(2).expect("three").to_owned();
    assert!(line.starts_with('{') && line.ends_with('}'), "one on a line: {line}");
    drop(watch);
    let watch = home.fleet(&["ps", "--watch", "--every", "20ms"]).spawn();
    until("three pictures", || watch.stdout().matches("AGENT").count() >= 3);
    assert!(!watch.stdout().contains('\u{1b}'), "{}", watch.stdout());
    drop(watch);

    let fleet = env!("CARGO_BIN_EXE_fleet");
    let args = ["new-session", "-d", "-x", "60", "-y", "10", fleet, "ps", "--watch"];
    let _ = terminal(&home, &[&args, &["--every", "50ms"][..]].concat());
    until("the first picture", || screen(&home).contains("nobody restarts"));
    let _ = home.fleet(&["start", "--settle", "0ms"]).run();
    until("another picture", || screen(&home).contains("running"));
    let shown = screen(&home);
    assert_eq!(shown.matches("AGENT").count(), 1, "in place:\n{shown}");
    assert!(shown.starts_with("AGENT"), "from the top:\n{shown}");
    let _ = terminal(&home, &["kill-server"]);
}

#[test]
fn watching_ends_when_nobody_reads() {
    let home = Sandbox::with_idle_agents(&["a"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let watch = home.fleet(&["ps", "--watch", "--every", "10ms"]).stdout(writer);
    drop(reader);
    let out = watch.wait();
    assert_eq!(out.code(), 0, "{out}");
}

#[test]
fn a_log_file_is_shown_and_followed() {
    let home = Sandbox::with_agents(&[("a", "for i in 1 2 3; do echo line $i; done; sleep 1000")]);
    let out = home.fleet(&["logs", "a"]).run();
    assert_eq!(out.code(), 1, "{out}");
    assert!(out.stderr.contains("`a` has not written anything yet: there is no "), "{out}");
    let _ = home.fleet(&["start", "--settle", "0ms"]).run();
    until("three lines", || home.read("fleet/run/logs/a.log").lines().count() == 3);
    let out = home.fleet(&["logs", "a", "-n", "2"]).run();
    assert_eq!((out.code(), out.stdout.as_str()), (0, "line 2\nline 3\n"), "{out}");
    let follow = home.fleet(&["logs", "a", "--follow", "--lines", "1"]).spawn();
    until("the last line", || follow.stdout() == "line 3\n");
    let log = home.path("fleet/run/logs/a.log");
    let mut log = OpenOptions::new().append(true).open(log).expect("it is there");
    log.write_all(b"line 4\n").expect("room on the disk");
    until("the next line", || follow.stdout() == "line 3\nline 4\n");
    let out = home.fleet(&["logs", "b"]).run();
    assert_eq!(out.code(), 64, "{out}");
}

#[test]
fn a_pane_is_shown_and_followed_until_it_is_gone() {
    let script = "for i in 1 2 3; do echo line $i; done; while read x; do echo $x \\\\ é; done";
    let home = Sandbox::with_sessions(&[("a.b", script)]);
    let _ = home.fleet(&["start", "--settle", "0ms"]).run();
    until("three lines", || home.fleet(&["logs", "a.b"]).run().stdout.contains("line 3"));
    let out = home.fleet(&["logs", "a.b", "-n", "2"]).run();
    assert_eq!((out.code(), out.stdout.as_str()), (0, "line 2\nline 3\n"), "{out}");
    let follow = home.fleet(&["logs", "a.b", "-f", "-n", "1"]).spawn();
    until("the last line", || follow.stdout() == "line 3\n");
    let _ = home.tmux(&["send-keys", "-t", "=a_b:", "again", "Enter"]);
    until("the echo and the line", || follow.stdout() == "line 3\nagain\nagain \\ é\n");
    let _ = home.fleet(&["stop", "a.b"]).run();
    let out = follow.wait();
    assert_eq!(out.code(), 0, "{out}");
    let out = home.fleet(&["logs", "a.b"]).run();
    assert!(out.code() == 1 && out.stderr.contains("has no tmux session `a_b`"), "{out}");
}

#[test]
fn a_units_log_is_where_the_unit_writes() {
    let home = Sandbox::new();
    home.write_roster("systemd", json!({}), &[("a", IDLE)]);
    let fakes = Fakes::new(&home);
    fakes.install("journalctl", "echo journalctl \"$@\"");
    let out = fakes.fleet(&["logs", "a", "-n", "7", "-f"]).run();
    let says = "journalctl --no-pager --output=short-iso --user-unit=mosaic-agent@a.service \
                --lines=7 --follow\n";
    assert_eq!((out.code(), out.stdout.as_str()), (0, says), "{out}");
    let script = home.read("bin/systemctl");
    let cat = "case $* in *' cat '*) echo StandardOutput=append:/log/%i; exit ;; esac\n";
    fakes.install("systemctl", &format!("{cat}{script}"));
    fakes.install("tail", "echo tail \"$@\"");
    let out = fakes.fleet(&["logs", "a"]).run();
    assert_eq!((out.code(), out.stdout.as_str()), (0, "tail --lines=20 -- /log/a\n"), "{out}");
}

#[test]
fn attaching_gives_the_session_to_this_terminal() {
    let home = Sandbox::with_sessions(&[("a", IDLE), ("ab", IDLE)]);
    let _ = home.fleet(&["start", "--settle", "0ms"]).run();
    let fleet = env!("CARGO_BIN_EXE_fleet");
    // This terminal is in a tmux of its own.
    let _ = terminal(&home, &["new-session", "-d", fleet, "attach", "a", "--read-only"]);
    let clients = || {
        let format = "#{client_session} #{client_readonly}";
        home.tmux(&["list-clients", "-F", format]).stdout
    };
    until("the client to come", || clients() == "a 1\n");
    let _ = terminal(&home, &["kill-server"]);
    until("the client to go", || clients().is_empty());
    // Within the fleet's own server, a client is sent to the other session.
    let call = format!("{fleet} attach ab; echo $? > {}", home.path("code").display());
    let _ = home.tmux(&["new-session", "-d", "-s", "inside", "/bin/sh"]);
    let nested = ["env", "-u", "TMUX", "tmux", "-L", SOCKET, "attach", "-t", "=inside"];
    let _ = terminal(&home, &[&["new-session", "-d"], &nested[..]].concat());
    until("the client to come", || clients().contains("inside"));
    let home_variable = format!("FLEET_HOME={} {call}", home.path("").display());
    let _ = home.tmux(&["send-keys", "-t", "=inside:", &home_variable, "Enter"]);
    until("the call to end", || home.read("code").ends_with('\n'));
    assert_eq!(home.read("code"), "0\n");
    assert_eq!(clients(), "ab 0\n");
    let _ = home.fleet(&["stop", "a"]).run();
    let out = home.fleet(&["attach", "a"]).run();
    assert!(out.code() == 1 && out.stderr.contains("no tmux session `a`"), "{out}");
    let out = home.fleet(&["attach", "ab"]).run();
    assert!(out.code() == 64 && out.stderr.contains("attaching needs a terminal"), "{out}");
}

#[test]
fn a_plain_process_has_nothing_to_attach_to() {
    let home = Sandbox::with_idle_agents(&["a"]);
    let out = home.fleet(&["attach", "a"]).run();
    assert_eq!(out.code(), 64, "{out}");
    assert!(out.stderr.contains("`fleet logs a --follow` shows what it writes"), "{out}");
}
