//! Rosters that load, and the sentence for each mistake.

use camino::{Utf8Path, Utf8PathBuf};
use rstest::rstest;

use super::file::SupervisorKind;
use super::*;
use crate::home::Environment;

fn home() -> Home {
    let env = Environment { user_home: Some("/u".into()), ..Environment::default() };
    Home::find(Some("/h".into()), &env).expect("named by the flag")
}

pub(super) fn roster(text: &str) -> Result<Roster, RosterError> {
    let path = Utf8Path::new("roster.yaml");
    check::check(path, file::parse(path, text)?, &home())
}

/// A roster of agents that only have a name.
pub(crate) fn fleet_of(names: &[&str]) -> Roster {
    let agents: Vec<_> = names.iter().map(|name| format!("{{name: {name}, runtime: r}}")).collect();
    let agents = agents.join(", ");
    roster(&format!("{{version: 1, transport: tmux, agents: [{agents}]}}")).expect("valid")
}

#[test]
fn a_mosaic_roster_loads_unchanged() {
    let loaded = roster(
        "version: 1\n\
         transport: tmux\n\
         tmux: {socketName: mosaic, holder_session: _holder}\n\
         defaults: {workingDirectory: ~/work}\n\
         runtimes: {claude: {resetCommand: /clear}}\n\
         agents:\n\
         - {name: coder-1, runtime: claude, modelHint: opus, resetBetweenTasks: true}\n\
         - {name: review.2, runtime: codex, class: reviewer, host: b, ssh: me@b, socket: s}\n",
    )
    .expect("valid");
    assert_eq!(loaded.supervisor, SupervisorKind::Systemd);
    assert_eq!(loaded.tmux.socket_name.as_deref(), Some("mosaic"));
    assert_eq!(loaded.tmux.holder_session, "_holder");
    assert_eq!(loaded.units.holder, "mosaic-tmux-holder.service");
    assert_eq!(loaded.units.agent("coder-1"), "mosaic-agent@coder-1.service");
    let [coder, review] = loaded.agents.as_slice() else { panic!("{loaded:?}") };
    assert_eq!((coder.name.as_str(), coder.class.as_str()), ("coder-1", "worker"));
    assert_eq!(coder.working_directory, "/u/work");
    assert_eq!(coder.kept.model_hint.as_deref(), Some("opus"));
    assert_eq!(coder.kept.reset_between_tasks, Some(true));
    assert_eq!(review.class, "reviewer");
    assert_eq!(review.kept.ssh.as_deref(), Some("me@b"));
}

#[rstest]
#[case::of_the_agent("command: [mine, '{name}'], ", "", &["mine", "a"])]
#[case::of_the_runtime("", "command: [theirs, '{runtime}']", &["theirs", "r"])]
#[case::agent_first("command: [mine], ", "command: [theirs]", &["mine"])]
fn a_command_comes_from(#[case] own: &str, #[case] runtime: &str, #[case] argv: &[&str]) {
    let text = format!(
        "{{version: 1, transport: tmux, supervisor: process, \
         runtimes: {{r: {{{runtime}}}}}, agents: [{{{own}name: a, runtime: r}}]}}"
    );
    assert_eq!(roster(&text).expect("valid").agents[0].command, argv);
}

#[rstest]
#[case::default("", "", "/u/src")]
#[case::of_the_fleet("", "'~'", "/u")]
#[case::of_the_agent("/a", "/d", "/a")]
#[case::relative("work", "", "/h/work")]
fn a_working_directory_comes_from(#[case] own: &str, #[case] fleet: &str, #[case] dir: &str) {
    let key = |value: &str| match value {
        "" => String::new(),
        value => format!("working_directory: {value}"),
    };
    let text = format!(
        "version: 1\ntransport: tmux\ndefaults: {{{}}}\n\
         agents:\n- name: a\n  runtime: r\n  {}\n",
        key(fleet),
        key(own)
    );
    assert_eq!(roster(&text).expect("valid").agents[0].working_directory, dir);
}

/// Nobody finds a directory in the roster that is not written there.
#[rstest]
#[case::default("", "/u/src", "set `defaults.working_directory` in the roster, which does not say")]
#[case::written("defaults: {working_directory: ~/x}", "/u/x", "change the roster")]
fn a_working_directory_that_is_not_there(
    #[case] defaults: &str,
    #[case] path: &str,
    #[case] says: &str,
) {
    let text =
        format!("version: 1\ntransport: tmux\nagents: [{{name: a, runtime: r}}]\n{defaults}\n");
    let agent = &roster(&text).expect("valid").agents[0];
    let error = agent.check_directory().expect_err("nobody is called u").to_string();
    let says = format!("the working directory {path} is not a directory; create it, or {says}");
    assert!(error.starts_with(&says), "{error}");
}

/// Rosters with one mistake each, by what it is.
pub(super) fn mistakes() -> Vec<(&'static str, String)> {
    const HEAD: &str = "version: 1\ntransport: tmux\n";
    let agents = |entry: &str| format!("{HEAD}supervisor: process\nagents:\n- {entry}\n");
    let tmux = |keys: &str, entries: &str| {
        let runtimes = "runtimes: {r: {command: [x]}}";
        format!("{HEAD}supervisor: tmux\ntmux: {{{keys}}}\n{runtimes}\nagents: [{entries}]\n")
    };
    let systemd =
        |key: &str| format!("{HEAD}systemd: {{{key}}}\nagents: [{{name: a, runtime: r}}]\n");
    vec![
        ("unknown key", agents("{name: a, runtime: r, modle_hint: x}")),
        ("unknown camelCase key", agents("{name: a, runtime: r, workinDirectory: x}")),
        ("key cut short", agents("{name: a, runtime: r, workingdir: x}")),
        ("key like no other", agents("{name: a, runtime: r, colour: red}")),
        ("unknown key at the top", format!("{HEAD}agnets: []\n")),
        ("missing key", agents("{name: a}")),
        ("missing version", "transport: tmux\nagents: [{name: a, runtime: r}]\n".into()),
        ("empty file", String::new()),
        ("only comments", "# agents: []\n---\n".into()),
        ("two documents", agents("{name: a, runtime: r, command: [x]}\n---\nversion: 1")),
        ("a list in itself", agents("{name: a, runtime: r, command: &c [*c]}")),
        ("a value in itself", format!("{HEAD}agents: &a\n- *a\n")),
        ("a flag as a word", agents("{name: a, runtime: r, reset_between_tasks: maybe}")),
        ("not a mapping", "- a\n- b\n".into()),
        ("no YAML at all", "version: [1\n".into()),
        ("a tab", "version: 1\n\ttransport: tmux\n".into()),
        ("duplicate key", "version: 1\nversion: 1\n".into()),
        ("two spellings of one key", agents("{name: a, runtime: r, modelHint: x, model_hint: x}")),
        ("version 2", "version: 2\ntransport: tmux\nagents: []\n".into()),
        ("version as a word", "version: one\ntransport: tmux\nagents: []\n".into()),
        ("transport", "version: 1\ntransport: screen\nagents: []\n".into()),
        ("supervisor", format!("{HEAD}supervisor: runit\nagents: []\n")),
        ("no agents", format!("{HEAD}agents: []\n")),
        ("bad name", agents("{name: a/b, runtime: r}")),
        ("name that leads out", agents("{name: .., runtime: r}")),
        ("long name", agents(&format!("{{name: {}, runtime: r}}", "a".repeat(201)))),
        ("same name", agents("{name: a, runtime: r}\n- {name: a, runtime: r}")),
        ("same session", tmux("", "{name: a.b, runtime: r}, {name: a_b, runtime: r}")),
        ("the holder's session", tmux("holder_session: a.b", "{name: a_b, runtime: r}")),
        ("socket name", tmux("socketName: a/b", "{name: a, runtime: r}")),
        ("holder session", tmux("holder_session: ''", "{name: a, runtime: r}")),
        ("holder unit", systemd("holder_unit: holder")),
        ("agent unit", systemd("agentUnit: agent.service")),
        ("no command", agents("{name: a, runtime: r}")),
        ("command as a string", agents("{name: a, runtime: r, command: run it}")),
        ("empty command", agents("{name: a, runtime: r, command: []}")),
        ("empty variable", agents("{name: a, runtime: r, command: [x], env: {A: }}")),
        ("bad variable", agents("{name: a, runtime: r, command: [x], env: {A-B: '1'}}")),
    ]
}

/// The sentence that each broken roster gets, in one table to read through.
#[test]
fn the_sentence_for_each_mistake() {
    let table: String = mistakes()
        .iter()
        .map(|(what, text)| {
            let error = roster(text).expect_err(what);
            format!("{what}:\n    {error}\n")
        })
        .collect();
    insta::assert_snapshot!(table);
}

#[test]
fn the_env_file_lies_below_the_roster_env() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("UTF-8");
    let home = Home::find(Some(root), &Environment::default()).expect("named by the flag");
    std::fs::create_dir_all(home.root().join("fleet/agents")).expect("created");
    std::fs::write(
        home.roster(),
        "version: 1\ntransport: tmux\n\
         agents: [{name: a, runtime: r, env: {BOTH: roster}}]\n",
    )
    .expect("written");
    std::fs::write(home.env_file("a"), "BOTH=file\nFILE=yes\n").expect("written");
    let mut roster = load(&home).expect("valid");
    roster.read_env_files(&home, &["a".to_owned()]).expect("valid");
    let agent = &roster.agents[0];
    let env: Vec<_> = agent.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(env, ["BOTH=roster", "FILE=yes"]);
}

#[test]
fn an_absent_roster_says_where_it_should_be() {
    let error = load(&home()).expect_err("there is none");
    assert_eq!(
        error.to_string(),
        "no roster at /h/fleet/roster.yaml; `fleet init` writes one, or name another fleet with --home DIR"
    );
}
