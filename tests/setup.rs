//! `init`, `add`, `remove`: what they show, what they write, and what they leave alone.

use std::fs;

use rstest::rstest;

use crate::kit::{IDLE, LOCK, STUBBORN, Sandbox, is_alive, until};

/// A roster as a person keeps it.
const ROSTER: &str = "\
# My fleet.
version: 1
transport: tmux
supervisor: process

defaults: {working_directory: work}   # beside the home

runtimes:
  sh:
    command: [/bin/sh, -c, 'exec sleep 1000']

agents:
  # plans
  - name: a
    runtime: sh

  # writes
  - name: b
    runtime: sh   # for now
    class: writer

# the end
";

fn fleet() -> Sandbox {
    let home = Sandbox::new();
    home.write("fleet/roster.yaml", ROSTER);
    home
}

#[test]
fn a_first_fleet_is_shown_then_written_then_runs() {
    let home = Sandbox::empty();
    let args = ["init", "--supervisor", "process"];
    let out = home.fleet(&args).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stdout.contains("+supervisor: process") && out.stdout.contains("+++ "), "{out}");
    assert!(out.stderr.contains("nothing was written; --write does it"), "{out}");
    assert!(!home.has("fleet"), "a dry run leaves nothing");

    let out = home.fleet(&[&args[..], &["--write"]].concat()).run();
    assert_eq!(out.code(), 0, "{out}");
    let out = home.fleet(&["restart"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(is_alive(home.pid("agent-1")));

    let out = home.fleet(&[&args[..], &["--write"]].concat()).run();
    assert!(out.code() == 0 && out.stdout.contains("everything is as it should be"), "{out}");
}

#[rstest]
#[case("systemd")]
#[case("tmux")]
#[case("process")]
fn every_first_roster_loads(#[case] supervisor: &str) {
    let home = Sandbox::empty();
    let out = home.fleet(&["init", "--supervisor", supervisor, "--write", "--json"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.json()["written"], true, "{out}");
    // Whatever loads the roster checks it; this changes nothing.
    let out = home.fleet(&["add", "b", "--runtime", "shell"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let run = fs::metadata(home.path("fleet/run")).expect("it was made");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&run.permissions()) & 0o777, 0o700);
}

#[test]
fn a_roster_is_written_over_only_by_force_and_edits_of_env_files_stay() {
    let home = Sandbox::empty();
    let init = |more: &[&str]| home.fleet(&[&["init", "--supervisor", "process"], more].concat());
    assert_eq!(init(&["--write"]).run().code(), 0);
    home.write("fleet/roster.yaml", ROSTER);
    let mine = home
        .read("fleet/agents/agent-1.env")
        .replace("CLASS=worker\nFLEET_AGENT_CLASS=worker", "CLASS=worker\nFLEET_AGENT_CLASS=mine")
        + "TOKEN=hush\n";
    home.write("fleet/agents/agent-1.env", &mine);
    for more in [&[][..], &["--write"]] {
        let out = init(more).run();
        assert_eq!(out.code(), 73, "{out}");
        assert!(out.stderr.contains("--force writes over it"), "{out}");
        assert_eq!(home.read("fleet/roster.yaml"), ROSTER);
    }
    let out = init(&["--write", "--force"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(home.read("fleet/roster.yaml").contains("agent-1"), "{out}");
    assert_eq!(home.read("fleet/agents/agent-1.env"), mine);
    assert!(!out.stdout.contains("hush"), "{out}");
}

#[test]
fn an_agent_is_added_and_nothing_else_changes() {
    let home = fleet();
    let args = [
        "add",
        "c",
        "--runtime",
        "sh",
        "--class",
        "reviewer",
        "--env",
        "GREETING=hello: you",
        "--working-directory",
        ".",
    ];
    let out = home.fleet(&args).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(home.read("fleet/roster.yaml"), ROSTER, "a dry run");
    let removed =
        out.stdout.lines().filter(|line| line.starts_with('-') && !line.starts_with("---"));
    assert_eq!(removed.count(), 0, "{out}");

    let out = home.fleet(&[&args[..], &["--write", "--json"]].concat()).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.json()["files"][1]["change"], "updated", "{out}");
    let added = "\n  - name: c\n    runtime: sh\n    class: reviewer\n    working_directory: '.'\n    env:\n      GREETING: \"hello: you\"\n";
    let expected = ROSTER.replace("    class: writer\n", &format!("    class: writer\n{added}"));
    assert_eq!(home.read("fleet/roster.yaml"), expected);
    assert!(home.read("fleet/agents/c.env").contains("\nFLEET_AGENT_CLASS=reviewer\n"));
    assert!(!home.has("fleet/run/agents/c.json"), "nothing was started");

    // There and back again.
    let out = home.fleet(&["remove", "c", "--write", "--purge"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(home.read("fleet/roster.yaml"), ROSTER);
    assert!(!home.has("fleet/agents/c.env"), "{out}");
}

#[test]
fn an_agent_can_be_started_as_it_is_added() {
    let home = fleet();
    let script = "echo $$ $FLEET_AGENT_CLASS > told; exec sleep 1000";
    let args = ["add", "c", "--runtime", "x", "--write", "--start", "--json"];
    let out = home.fleet(&[&args[..], &["--", "/bin/sh", "-c", script]].concat()).run();
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.json()["run"]["agents"][0]["result"], "started", "{out}");
    assert_eq!(home.read("work/told"), format!("{} worker\n", home.pid("c")));
    assert!(!home.has(LOCK));

    // Who does not get the lock has added the agent all the same, and is told.
    let (holder, gate) = home.holder(&[]);
    let args = ["add", "d", "--runtime", "sh", "--write", "--start", "--no-wait"];
    let out = home.fleet(&args).run();
    assert_eq!(out.code(), 75, "{out}");
    assert!(out.stdout.contains("changed ") && out.stdout.contains("roster.yaml"), "{out}");
    assert!(home.read("fleet/roster.yaml").contains("name: d\n"));
    let says = "fleet: d was added but not started; `fleet start d` starts it\n";
    assert!(out.stderr.starts_with(says), "{out}");
    gate.open();
    assert_eq!(holder.wait().code(), 0);
}

#[test]
fn the_longest_name_is_of_use_and_a_longer_one_is_refused() {
    let home = Sandbox::with_idle_agents(&["a"]);
    let add = |name: &str| {
        let start = ["--write", "--start", "--settle", "0ms", "--", "sleep", "1000"];
        home.fleet(&[&["add", name, "--runtime", "sh"], &start[..]].concat()).run()
    };
    let out = add(&"b".repeat(201));
    assert_eq!(out.code(), 64, "{out}");
    let says = "its name is 201 characters long, and the limit is 200";
    assert!(out.stderr.contains(says), "{out}");
    let out = add(&"b".repeat(200));
    assert_eq!(out.code(), 0, "{out}");
}

#[rstest]
#[case::taken(&["a", "--runtime", "sh"], 64, "already has an agent called `a`")]
#[case::bad_name(&["../x", "--runtime", "sh"], 64, "cannot add `../x`: a name has letters")]
#[case::no_command(&["c", "--runtime", "claude"], 64, "`runtimes.claude.command`")]
#[case::bad_variable(&["c", "--runtime", "sh", "--env", "A-B=1"], 64, "`A-B` is not the name")]
#[case::no_variable(&["c", "--runtime", "sh", "--env", "A"], 64, "KEY=VALUE")]
#[case::no_runtime(&["c"], 64, "--runtime")]
#[case::start_without_write(&["c", "--runtime", "sh", "--start"], 64, "--write")]
#[case::newline(&["c", "--runtime", "sh", "--class", "a\nb"], 65, "the class of `c` has a control character")]
fn an_agent_that_cannot_be_is_not_added(
    #[case] args: &[&str],
    #[case] code: i32,
    #[case] says: &str,
) {
    let home = fleet();
    let write: &[&str] = if args.contains(&"--start") { &[] } else { &["--write"] };
    let out = home.fleet(&[&["add"], args, write].concat()).run();
    assert_eq!(out.code(), code, "{out}");
    assert!(out.stderr.contains(says), "{says:?} in {out}");
    assert_eq!(home.read("fleet/roster.yaml"), ROSTER);
    assert!(!home.has("fleet/agents/c.env") && !home.has("fleet/agents/a.env"), "{out}");
}

#[test]
fn a_roster_without_a_place_is_left_alone_and_says_what_to_paste() {
    let home = Sandbox::new();
    let roster = "version: 1\ntransport: tmux\nruntimes: {sh: {command: &c [sleep, '1000']}}\n\
                  agents:\n- - name: a\n";
    home.write("fleet/roster.yaml", roster);
    let out = home.fleet(&["add", "c", "--runtime", "sh", "--write"]).run();
    assert_eq!(out.code(), 65, "{out}");
    // One that loads, but whose agents are elsewhere.
    let roster = "version: 1\ntransport: tmux\nsupervisor: process\n\
                  runtimes: {sh: {command: [sleep, '1000']}}\n\
                  agents: !!seq [{name: a, runtime: sh}]\n";
    home.write("fleet/roster.yaml", &roster.replace("!!seq ", "&all "));
    let out = home.fleet(&["add", "c", "--runtime", "sh", "--write"]).run();
    assert_eq!(out.code(), 0, "an anchor is no hindrance: {out}");
    let roster = "version: 1\ntransport: tmux\nsupervisor: process\n\
                  runtimes: {sh: {command: [sleep, '1000']}}\n\
                  agents:\n- &a\n  name: a\n  runtime: sh\n- {<<: *a, name: b, env: {K: |+\n   x\n\n   }}\n";
    home.write("fleet/roster.yaml", roster);
    let out = home.fleet(&["add", "c", "--runtime", "sh", "--write"]).run();
    assert_eq!(out.code(), 65, "{out}");
}

#[test]
fn a_removed_agent_is_stopped_and_its_env_file_stays() {
    let home = fleet();
    home.write("fleet/agents/b.env", "TOKEN=hush\n");
    assert_eq!(home.fleet(&["start"]).run().code(), 0);
    let (a, b) = (home.pid("a"), home.pid("b"));
    let out = home.fleet(&["remove", "b"]).run();
    assert!(out.code() == 0 && out.stdout.contains("\n-  - name: b\n"), "{out}");
    assert!(is_alive(b) && home.read("fleet/roster.yaml") == ROSTER, "a dry run");

    let out = home.fleet(&["remove", "b", "--write"]).run();
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stdout.contains("stopped b"), "{out}");
    assert!(is_alive(a) && !is_alive(b));
    let entry = "  - name: b\n    runtime: sh   # for now\n    class: writer\n";
    assert_eq!(home.read("fleet/roster.yaml"), ROSTER.replace(entry, ""));
    assert_eq!(home.read("fleet/agents/b.env"), "TOKEN=hush\n");
    assert!(!home.has(LOCK));
}

#[test]
fn a_removal_that_cannot_be_changes_nothing() {
    let home = Sandbox::with_agents(&[("a", STUBBORN), ("b", IDLE)]);
    assert_eq!(home.fleet(&["start"]).run().code(), 0);
    let before = home.read("fleet/roster.yaml");
    let unchanged = |args: &[&str], code: i32, says: &str| {
        let out = home.fleet(&[&["remove"], args, &["--write"]].concat()).run();
        assert_eq!(out.code(), code, "{out}");
        assert!(out.stderr.contains(says), "{says:?} in {out}");
        assert_eq!(home.read("fleet/roster.yaml"), before, "{out}");
    };
    unchanged(&["c"], 64, "there is no agent `c`");
    let (holder, gate) = home.holder(&[]);
    unchanged(&["a", "--no-wait"], 75, "restart.lock");
    assert!(is_alive(home.pid("a")), "nobody stops an agent without the lock");
    gate.open();
    assert_eq!(holder.wait().code(), 0);
    // An agent that cannot be stopped stays in the roster.
    fs::remove_file(home.path("fleet/run/agents/b.json")).expect("removed");
    fs::create_dir(home.path("fleet/run/agents/b.json")).expect("in the way");
    unchanged(&["b"], 1, "cannot stop b");
    fs::remove_dir(home.path("fleet/run/agents/b.json")).expect("removed");

    home.write_agents(&[("a", IDLE)]);
    let out = home.fleet(&["remove", "a", "--write"]).run();
    assert_eq!(out.code(), 64, "{out}");
    assert!(out.stderr.contains("`a` is the only agent"), "{out}");
}

#[test]
fn nobody_can_start_an_agent_while_it_is_removed() {
    let home = Sandbox::with_agents(&[("a", STUBBORN), ("b", IDLE)]);
    assert_eq!(home.fleet(&["start"]).run().code(), 0);
    until("the trap to be set", || home.has("work/ready"));
    let remove = home.fleet(&["remove", "a", "--write", "--grace", "10m"]).spawn();
    until("the agent to be asked", || home.has("work/asked"));
    let mut start = home.fleet(&["start", "a"]).spawn();
    start.await_stderr("waiting for");
    home.kill_agent("a");
    assert_eq!(remove.wait().code(), 0);
    // It had read the roster before, and must not start what is no longer in it.
    let out = start.wait();
    assert!(home.agent_processes("a").is_empty(), "{out}");
}

#[test]
fn many_who_add_at_once_all_succeed() {
    let home = fleet();
    let names: Vec<String> = (0..8).map(|number| format!("n{number}")).collect();
    let calls =
        names.iter().map(|name| home.fleet(&["add", name, "--runtime", "sh", "--write"]).spawn());
    for call in calls.collect::<Vec<_>>() {
        let out = call.wait();
        assert_eq!(out.code(), 0, "{out}");
    }
    let roster = home.read("fleet/roster.yaml");
    for name in &names {
        assert_eq!(roster.matches(&format!("name: {name}\n")).count(), 1, "{roster}");
    }
}

#[rstest]
#[case("process")]
#[case("tmux")]
#[case("systemd")]
fn the_examples_load(#[case] supervisor: &str) {
    let home = Sandbox::new();
    let example = format!("{}/../../examples/{supervisor}/fleet", env!("CARGO_MANIFEST_DIR"));
    for file in ["roster.yaml", "agents/planner.env"] {
        let text = fs::read_to_string(format!("{example}/{file}")).expect("it is shipped");
        home.write(&format!("fleet/{file}"), &text);
    }
    assert!(home.read("fleet/roster.yaml").contains(&format!("supervisor: {supervisor}\n")));
    let out = home.fleet(&["add", "coder-2", "--runtime", "ticker", "--write"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let out = home.fleet(&["remove", "coder-2"]).run();
    assert_eq!(out.code(), 0, "what was added loads: {out}");
}
