//! The units that `install` writes, under a real `systemd --user` with real tmux.

use std::fs;

use rstest::rstest;
use rustix::process::Signal;
use serde_json::json;

use crate::kit::{Manager, Sandbox, is_alive, kill, until};

const HOLDER: &str = "mosaic-tmux-holder.service";

/// Where the sandbox's user has units.
const UNITS: &str = "user/.config/systemd/user";

/// A fleet of units: `a` and `b.2`, which tell who they are and then do nothing.
fn fleet() -> Sandbox {
    let home = Sandbox::empty();
    fs::create_dir(home.path("work")).expect("a directory");
    home.write(
        "fleet/roster.yaml",
        "version: 1\ntransport: tmux\ntmux: {socket_name: fleet}\n\
         defaults: {working_directory: work}\n\
         runtimes:\n  sh:\n    command:\n    - /bin/sh\n    - -c\n    \
         - 'echo $$ > {name}.pid; env > {name}.env; exec sleep 1000'\n\
         agents:\n- {name: a, runtime: sh, env: {TOLD: by the roster}}\n\
         - {name: b.2, runtime: sh, class: reviewer}\n",
    );
    home
}

fn install(home: &Sandbox) {
    let out = home.fleet(&["install", "--write"]).run();
    assert_eq!(out.code(), 0, "{out}");
}

/// The process that an agent has written down, once it is another than `last`.
fn pid(home: &Sandbox, agent: &str, last: Option<u32>) -> u32 {
    let file = format!("work/{agent}.pid");
    let read = || home.read(&file).trim().parse().ok();
    until("the agent to begin", || read().is_some_and(|pid| Some(pid) != last));
    read().expect("it was there")
}

#[test]
fn the_units_are_what_systemd_reads() {
    let home = fleet();
    let units = home.path("units");
    let units = units.to_str().expect("UTF-8");
    let out = home.fleet(&["install", "--write", "--unit-dir", units]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(!out.stdout.contains("systemctl"), "systemd does not look there: {out}");
    fs::create_dir(home.path("xdg")).expect("a runtime directory");
    let verify = || {
        let files = [format!("{units}/{HOLDER}"), format!("{units}/mosaic-agent@.service")];
        let args = ["--user", "verify", "--man=no", &files[0], &files[1]];
        home.fleet(&[])
            .env("SYSTEMD_UNIT_PATH", format!("{units}:"))
            .instead("systemd-analyze", &args)
            .run()
    };
    let out = verify();
    assert!(out.code() == 0 && out.stderr.is_empty(), "{out}");
    // The check can fail.
    let broken = home.read(&format!("units/{HOLDER}")).replace("RestartSec=1s", "RestartSec=soon");
    home.write(&format!("units/{HOLDER}"), &broken);
    assert!(verify().stderr.contains("soon"), "it must not pass");
}

#[test]
fn a_fleet_of_units_runs() {
    let home = fleet();
    let manager = Manager::bare(&home);
    install(&home);
    let out = manager.ctl(&["start", "mosaic-agent@a", "mosaic-agent@b.2"]);
    assert_eq!(out.code(), 0, "{out}");
    // The holder came with them, and its main process is the server.
    let server = manager.property(HOLDER, "MainPID").parse::<u32>().expect("a pid");
    let out = home.tmux(&["display-message", "-p", "-t", "=_holder:", "#{pid}"]);
    assert_eq!(out.stdout.trim(), server.to_string(), "{out}");
    for agent in ["a", "b.2"] {
        let pid = pid(&home, agent, None);
        let unit = format!("mosaic-agent@{agent}");
        let processes = manager.processes(&unit);
        assert!(is_alive(pid) && processes.contains(&pid), "{pid} in {processes:?}");
        assert_eq!(manager.property(&unit, "SubState"), "running");
    }
    let env = home.read("work/a.env");
    for line in ["TOLD=by the roster", "FLEET_AGENT=a", "FLEET_AGENT_CLASS=worker"] {
        assert!(env.lines().any(|l| l == line), "{line} in {env}");
    }
    assert!(env.contains("TMUX=") && !env.contains("NOTIFY_SOCKET"), "{env}");
    let out = home.tmux(&["list-sessions", "-F", "#{session_name}"]);
    assert_eq!(out.stdout, "_holder\na\nb_2\n", "{out}");

    let (a, b) = (pid(&home, "a", None), pid(&home, "b.2", None));
    let out = manager.ctl(&["stop", "mosaic-agent@a"]);
    assert!(out.code() == 0 && !is_alive(a) && is_alive(b), "{out}");
    assert_eq!(manager.property("mosaic-agent@a", "Result"), "success");
    // Restarting the holder restarts who runs, and nobody else.
    let out = manager.ctl(&["restart", HOLDER]);
    assert_eq!(out.code(), 0, "{out}");
    assert!(!is_alive(b) && !is_alive(server), "{out}");
    let b = pid(&home, "b.2", Some(b));
    assert_eq!(manager.property("mosaic-agent@a", "ActiveState"), "inactive");
    // Stopping it stops all.
    let out = manager.ctl(&["stop", HOLDER]);
    assert!(out.code() == 0 && !is_alive(b), "{out}");
    assert_eq!(manager.property("mosaic-agent@b.2", "ActiveState"), "inactive");
}

/// From nothing to a fleet that restarts, and an agent's whole life.
#[test]
fn fleet_looks_after_the_units_that_it_wrote() {
    let home = Sandbox::empty();
    let manager = Manager::bare(&home);
    let done = |args: &[&str]| {
        let out = home.fleet(args).run();
        assert_eq!(out.code(), 0, "{out}");
        out
    };
    let _ = done(&["init", "--write"]);
    install(&home);
    let _ = done(&["restart"]);
    let first = home.pid("agent-1");
    assert_eq!(home.agent_processes("agent-1"), [first], "the agent itself, not its minder");
    let _ = done(&["restart"]);
    assert!(!is_alive(first) && is_alive(home.pid("agent-1")));

    let command = ["--", "/bin/sh", "-c", "exec sleep 1000"];
    let args = ["add", "b", "--runtime", "x", "--write", "--start", "--json"];
    let out = done(&[&args[..], &command].concat());
    let b = home.pid("b");
    assert_eq!(out.json()["run"]["agents"][0]["pid"], b, "{out}");
    assert_eq!(manager.ctl(&["is-enabled", "mosaic-agent@b"]).stdout, "disabled\n");
    install(&home);
    assert_eq!(manager.ctl(&["is-enabled", "mosaic-agent@b"]).stdout, "enabled\n");

    let out = done(&["remove", "b", "--write", "--json"]);
    assert_eq!(out.json()["run"]["agents"][0]["result"], "stopped", "{out}");
    assert!(!is_alive(b) && is_alive(home.pid("agent-1")));
    assert_eq!(manager.ctl(&["is-enabled", "mosaic-agent@b"]).stdout, "disabled\n");
    let _ = done(&["stop"]);
    assert_eq!(manager.property(HOLDER, "ActiveState"), "inactive");
}

#[test]
fn a_unit_is_active_only_while_its_agent_runs() {
    let home = fleet();
    // No journal in a sandbox; a file has what a unit says.
    let said = home.path("said");
    home.write(
        &format!("{UNITS}/mosaic-agent@.service.d/test.conf"),
        &format!("[Service]\nRestart=no\nStandardError=append:{}\n", said.display()),
    );
    let roster = home.read("fleet/roster.yaml");
    home.write(
        "fleet/roster.yaml",
        &format!(
            "{roster}- {{name: odd, runtime: x, command: [/bin/sh, -c, 'echo last words; exit 3']}}\n\
             - {{name: none, runtime: x, command: [/no/such/program]}}\n"
        ),
    );
    let manager = Manager::bare(&home);
    install(&home);
    let out = manager.ctl(&["start", "mosaic-agent@a"]);
    assert_eq!(out.code(), 0, "{out}");
    let a = pid(&home, "a", None);
    kill(a, Signal::KILL);
    until("the unit to fail", || manager.property("mosaic-agent@a", "ActiveState") == "failed");
    assert_eq!(
        manager.property("mosaic-agent@a", "ExecMainStatus"),
        "137",
        "{}",
        home.read("said")
    );
    assert!(home.read("said").contains("fleet: a was ended by SIGKILL"), "{}", home.read("said"));

    // A start that comes to nothing is a failed start.
    for (agent, status, words) in
        [("odd", "3", "| last words"), ("none", "127", "| fleet: cannot run `/no/such/program`")]
    {
        let unit = format!("mosaic-agent@{agent}");
        let out = manager.ctl(&["start", &unit]);
        assert_ne!(out.code(), 0, "{out}");
        assert_eq!(manager.property(&unit, "ExecMainStatus"), status);
        assert!(home.read("said").contains(words), "{words} in {}", home.read("said"));
    }
    // Nothing is left of any of them.
    let out = home.tmux(&["list-sessions", "-F", "#{session_name}"]);
    assert_eq!(out.stdout, "_holder\n", "{out}");
}

#[test]
fn an_agent_that_cannot_stay_up_is_given_up() {
    let home = fleet();
    let roster = home.read("fleet/roster.yaml");
    home.write(
        "fleet/roster.yaml",
        &(roster
            + "- {name: odd, runtime: x, command: [/bin/sh, -c, 'echo x >> tries; exit 3']}\n"),
    );
    // As shipped, but for the pause between two attempts.
    let hasty = "[Service]\nRestartSec=10ms\n";
    home.write(&format!("{UNITS}/mosaic-agent@.service.d/test.conf"), hasty);
    let manager = Manager::bare(&home);
    install(&home);
    assert_ne!(manager.ctl(&["start", "mosaic-agent@odd"]).code(), 0);
    until("it to be given up", || manager.property("mosaic-agent@odd", "ActiveState") == "failed");
    assert_eq!(home.read("work/tries").lines().count(), 20);
    // Who asks for a start means it.
    let out = home.fleet(&["start", "odd"]).run();
    assert_eq!(out.code(), 1, "{out}");
    assert!(home.read("work/tries").lines().count() > 20, "{out}");
}

#[test]
fn an_agent_does_not_outlive_its_unit() {
    let home = fleet();
    let manager = Manager::bare(&home);
    install(&home);
    let out = manager.ctl(&["start", "mosaic-agent@a"]);
    assert_eq!(out.code(), 0, "{out}");
    let a = pid(&home, "a", None);
    kill(manager.property("mosaic-agent@a", "MainPID").parse().expect("a pid"), Signal::KILL);
    until("the agent to end", || !is_alive(a));
    // And it comes back, in a session of its own.
    let again = pid(&home, "a", Some(a));
    assert!(manager.processes("mosaic-agent@a").contains(&again));
}

#[test]
fn a_holder_shares_no_server_with_others() {
    let home = fleet();
    let manager = Manager::bare(&home);
    install(&home);
    let out = home.tmux(&["new-session", "-d", "-s", "mine", "sleep", "1000"]);
    assert_eq!(out.code(), 0, "{out}");
    let out = manager.ctl(&["start", "mosaic-agent@a"]);
    assert_ne!(out.code(), 0, "{out}");
    assert!(!home.has("work/a.pid"), "the agent did not start there");
    let out = home.tmux(&["kill-server"]);
    assert_eq!(out.code(), 0, "{out}");
    // The holder tries again by itself.
    until("the holder to come up", || manager.property(HOLDER, "ActiveState") == "active");
}

#[test]
fn installing_does_what_is_missing_and_no_more() {
    let home = fleet();
    let manager = Manager::bare(&home);
    let out = home.fleet(&["install"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stdout.contains("would run `systemctl --user daemon-reload`"), "{out}");
    assert!(!home.has(UNITS) && !home.has("fleet/agents/a.env"), "a dry run: {out}");

    let out = home.fleet(&["install", "--write", "--no-enable"]).run();
    assert!(out.code() == 0 && !out.stdout.contains("enable"), "{out}");
    let out = home.fleet(&["install", "--write", "--json"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let calls = out.json()["systemctl"].clone();
    assert_eq!(calls.as_array().map(Vec::len), Some(1), "only the enabling was left: {out}");
    for unit in [HOLDER, "mosaic-agent@a.service", "mosaic-agent@b.2.service"] {
        assert_eq!(manager.ctl(&["is-enabled", unit]).stdout, "enabled\n", "{unit}");
    }
    let out = home.fleet(&["install", "--write"]).run();
    assert!(out.code() == 0 && out.stdout.contains("everything is as it should be"), "{out}");

    // What has drifted is shown, and mended.
    let unit = format!("{UNITS}/{HOLDER}");
    home.write(&unit, &home.read(&unit).replace("Restart=always", "Restart=no"));
    let out = home.fleet(&["install"]).run();
    assert!(out.stdout.contains("\n-Restart=no\n+Restart=always\n"), "{out}");
    for write in [&["install"][..], &["install", "--write"]] {
        let out = home.fleet(write).run();
        assert!(out.code() == 73 && out.stderr.contains("--force writes over it"), "{out}");
        assert!(home.read(&unit).contains("Restart=no"), "{out}");
    }
    let out = home.fleet(&["install", "--write", "--force"]).run();
    assert!(out.stdout.contains("daemon-reload") && !out.stdout.contains("enable"), "{out}");
    assert!(home.read(&unit).contains("Restart=always"), "{out}");

    // An agent goes, and its unit with it; one that was taken out by hand is named.
    let out = home.fleet(&["install", "--json"]).run();
    assert_eq!(out.json()["strays"].as_array().map(Vec::len), Some(0), "{out}");
    let roster = home.read("fleet/roster.yaml");
    let entry = "- {name: b.2, runtime: sh, class: reviewer}\n";
    home.write("fleet/roster.yaml", &roster.replace(entry, ""));
    let out = home.fleet(&["install"]).run();
    assert!(out.stderr.contains("mosaic-agent@b.2.service is enabled"), "{out}");
}

#[rstest]
#[case::no_units("supervisor: process\n", 64, "has no units to install")]
#[case::no_commands("", 65, "does not say what to run for a, b")]
#[case::the_holders_session(
    "tmux: {holder_session: b}\n",
    65,
    "`b` and `b` would be one tmux session"
)]
#[case::no_template(
    "systemd: {agent_unit: 'agent-{name}.service'}\n",
    64,
    "does not end in `@{name}.service`"
)]
fn what_has_no_units_is_not_installed(#[case] key: &str, #[case] code: i32, #[case] says: &str) {
    let home = Sandbox::empty();
    let command = if key.is_empty() { "" } else { "command: [sleep, '1000']" };
    home.write(
        "fleet/roster.yaml",
        &format!(
            "version: 1\ntransport: tmux\n{key}runtimes: {{r: {{{command}}}}}\n\
             agents: [{{name: a, runtime: r}}, {{name: b, runtime: r}}]\n"
        ),
    );
    let out = home.fleet(&["install", "--write"]).run();
    assert_eq!(out.code(), code, "{out}");
    assert!(out.stderr.contains(says), "{out}");
    assert!(!home.has("user/.config"), "{out}");
}

#[test]
fn without_a_manager_the_files_are_written_and_the_rest_is_said() {
    let home = fleet();
    let out = home.fleet(&["install", "--write"]).run();
    assert_eq!(out.code(), 69, "{out}");
    assert!(
        out.stderr.contains("daemon-reload` failed")
            && out.stderr.contains("run the command again"),
        "{out}"
    );
    assert!(home.has(&format!("{UNITS}/{HOLDER}")));
    // No later call takes what is written for done.
    let manager = Manager::bare(&home);
    install(&home);
    assert_eq!(manager.ctl(&["is-enabled", HOLDER]).stdout, "enabled\n");
    assert_eq!(manager.ctl(&["start", HOLDER]).code(), 0);
    let unit = format!("{UNITS}/{HOLDER}");
    home.write(&unit, &(home.read(&unit) + "\n"));
    let offline =
        home.fleet(&["install", "--write", "--force"]).env("XDG_RUNTIME_DIR", home.path("none"));
    assert_eq!(offline.run().code(), 69);
    let out = home.fleet(&["install", "--write"]).run();
    assert!(out.code() == 0 && out.stdout.contains("daemon-reload"), "{out}");
}

/// The unit's main process only minds the agent: whoever looks is shown the agent itself.
#[test]
fn those_who_look_see_through_the_minder() {
    let home = fleet();
    let roster = home.read("fleet/roster.yaml").replace("exec sleep", "echo here I am; exec sleep");
    home.write("fleet/roster.yaml", &roster);
    let _manager = Manager::bare(&home);
    install(&home);
    let out = home.fleet(&["restart"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let a = pid(&home, "a", None);
    let seen = home.fleet(&["ps", "--json"]).run().json();
    let row = &seen["agents"][0];
    assert_eq!((row["pid"].as_u64(), &row["flags"]), (Some(a.into()), &json!([])), "{seen:#}");
    assert_eq!(row["unit"]["active"], "active (running)", "{seen:#}");
    assert_eq!((&row["unit"]["enabled"], &row["pane"]["session"]), (&json!(true), &json!("a")));
    assert_eq!((&seen["unmanaged"], &seen["holder"]["answers"]), (&json!([]), &json!(true)));
    let out = home.fleet(&["verify"]).run();
    assert!(out.code() == 0 && out.stdout.contains(&format!("a runs (pid {a})")), "{out}");
    for agent in ["a", "b.2"] {
        until("its words to be in its pane", || {
            home.fleet(&["logs", agent]).run().stdout.contains("here I am")
        });
    }
    kill(a, Signal::KILL);
    until("the minder to see it", || home.fleet(&["verify", "a"]).run().code() == 1);
}
