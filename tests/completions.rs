//! The completions, in the shells themselves.

use std::path::Path;

use rstest::rstest;

use crate::kit::{Output, Sandbox};

/// Loads the script that is written to the file `script`, and prints what is offered for the
/// line in `LINE`, one candidate a line.
const BASH: &str = r#"
    set -eu
    source ./script
    complete -p fleet >&2
    read -ra COMP_WORDS <<< "$LINE"
    if [[ $LINE == *' ' ]]; then COMP_WORDS+=(''); fi
    COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )) COMP_TYPE=9
    _clap_complete_fleet fleet "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    printf '%s\n' "${COMPREPLY[@]}"
"#;

const FISH: &str = r#"source ./script; complete --do-complete "$LINE""#;

/// A shell with a terminal of its own, in which TAB is pressed; it has found the script by
/// itself, in a directory of functions.
const ZSH: &str = r#"
    mkdir -p functions && cp script functions/_fleet
    zmodload zsh/zpty
    zpty shell zsh -f -i
    zpty -w shell 'PS1= RPS1=; fpath=($PWD/functions $fpath); autoload -U compinit; compinit -u -D'
    zpty -w shell 'setopt no_list_beep; zstyle ":completion:*" menu no; print re""ady'
    zpty -r -m shell said '*ready*'
    zpty -n -w shell "$LINE"$'\t'
    zpty -r -m shell said "*$WANTED*"
    print -r -- "$said"
"#;

/// What a shell offers for a line.
fn offered(home: &Sandbox, shell: &str, line: &str, wanted: &str) -> Output {
    let script = home.fleet(&["completions", shell]).run();
    assert_eq!(script.code(), 0, "{script}");
    home.write("script", &script.stdout);
    let ours = Path::new(env!("CARGO_BIN_EXE_fleet")).parent().expect("a directory");
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", ours.display());
    let call = home.fleet(&[]).env("PATH", path).env("LINE", line).env("WANTED", wanted);
    match shell {
        "bash" => call.instead("bash", &["--norc", "--noprofile", "-c", BASH]),
        "fish" => call.instead("fish", &["--no-config", "--private", "-c", FISH]),
        _ => call.instead("zsh", &["-f", "-c", ZSH]),
    }
    .run()
}

#[rstest]
#[case::a_command("fleet rest", "restart")]
#[case::a_command_of_a_group("fleet lock stat", "status")]
#[case::an_option("fleet restart --can", "--canary")]
#[case::a_value("fleet restart --on-timeout f", "fail")]
#[case::an_agent("fleet restart rev", "reviewer")]
#[case::an_agent_to_remove("fleet remove rev", "reviewer")]
#[case::a_second_agent("fleet stop reviewer pla", "planner")]
fn shells_complete(
    #[values("bash", "fish", "zsh")] shell: &str,
    #[case] line: &str,
    #[case] wanted: &str,
) {
    let home = Sandbox::with_idle_agents(&["planner", "reviewer"]);
    let out = offered(&home, shell, line, wanted);
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.stdout.contains(wanted), "{out}");
}

#[rstest]
fn every_agent_is_offered(#[values("bash", "fish")] shell: &str) {
    let home = Sandbox::with_idle_agents(&["planner", "reviewer"]);
    let out = offered(&home, shell, "fleet restart ", "");
    for agent in ["planner", "reviewer"] {
        let is_agent = |line: &str| line.split('\t').next() == Some(agent);
        assert!(out.stdout.lines().any(is_agent), "{agent} in {out}");
    }
}

#[rstest]
#[case::no_roster(None)]
#[case::a_broken_one(Some("version: 1\nagnets: []\n"))]
fn without_a_good_roster_no_agent_is_offered_and_nothing_is_said(#[case] roster: Option<&str>) {
    let home = Sandbox::new();
    if let Some(roster) = roster {
        home.write("fleet/roster.yaml", roster);
    }
    let call = home.fleet(&["--", "fleet", "restart", "a"]).env("FLEET_COMPLETE", "fish");
    let out = call.run();
    assert_eq!((out.code(), out.stderr.as_str()), (0, ""), "{out}");
}

#[test]
fn the_home_that_is_typed_is_the_one_that_is_completed_from() {
    let (home, other) = (Sandbox::new(), Sandbox::with_idle_agents(&["elsewhere"]));
    let line = format!("fleet --home {} restart else", other.path("").display());
    let out = offered(&home, "bash", &line, "");
    assert_eq!(out.stdout, "elsewhere\n", "{out}");
}
