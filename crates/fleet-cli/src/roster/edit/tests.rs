//! Rosters as people write them, and what a change leaves of them.

use rstest::rstest;

use super::*;

fn agent(name: &str) -> NewAgent {
    NewAgent { name: name.to_owned(), runtime: "sh".to_owned(), ..NewAgent::default() }
}

/// A roster with everything that people put around agents.
const COMMENTED: &str = "\
version: 1   # the only one
agents:
  # plans
  - name: a
    runtime: r
    command:
      - sh
      - -c
      - |
        echo one

        # no comment
    # inside a

  # writes
  - {name: b, runtime: r}   # behind b
    # inside b
  # after the agents

# next
tmux: {socket_name: s}
";

#[rstest]
#[case::in_the_middle(
    COMMENTED,
    COMMENTED.replace("# inside b\n", "# inside b\n\n  - name: new\n    runtime: sh\n")
)]
#[case::at_the_end("agents:\n- name: a\n", "agents:\n- name: a\n- name: new\n  runtime: sh\n".into())]
#[case::without_a_newline("agents:\n- name: a", "agents:\n- name: a\n- name: new\n  runtime: sh\n".into())]
#[case::windows("agents:\r\n- name: a\r\n", "agents:\r\n- name: a\r\n- name: new\r\n  runtime: sh\r\n".into())]
#[case::dash_of_its_own("agents:\n -\n  name: a\n", "agents:\n -\n  name: a\n - name: new\n   runtime: sh\n".into())]
#[case::before_the_end_of_the_document("agents:\n- name: a\n...\n", "agents:\n- name: a\n- name: new\n  runtime: sh\n...\n".into())]
#[case::flow(
    "{agents: [{name: a}], version: 1}",
    "{agents: [{name: a}, {\"name\":\"new\",\"runtime\":\"sh\"}], version: 1}".into()
)]
#[case::flow_over_lines(
    "agents: [\n  {name: a} # a\n]\n",
    "agents: [\n  {name: a}, {\"name\":\"new\",\"runtime\":\"sh\"} # a\n]\n".into()
)]
#[case::a_comma_too_many(
    "agents: [{name: a},]",
    "agents: [{name: a}, {\"name\":\"new\",\"runtime\":\"sh\"},]".into()
)]
fn an_agent_goes_behind_the_last(#[case] text: &str, #[case] expected: String) {
    assert_eq!(append(text, &agent("new")), Ok(expected));
}

#[rstest]
#[case::the_last(
    COMMENTED,
    "b",
    COMMENTED.replace("  - {name: b, runtime: r}   # behind b\n    # inside b\n", "")
)]
#[case::the_first(
    COMMENTED,
    "a",
    "version: 1   # the only one\nagents:\n  # plans\n".to_owned()
        + COMMENTED.split_once("# inside a\n").expect("it is there").1
)]
#[case::between_blank_lines(
    "agents:\n- name: a\n\n- name: b\n\n- name: c\n", "b", "agents:\n- name: a\n\n- name: c\n".into()
)]
#[case::quoted_name("agents:\n- name: \"a\"\n- name: b\n", "a", "agents:\n- name: b\n".into())]
#[case::first_of_flow("agents: [{name: a}, {name: b}]", "a", "agents: [{name: b}]".into())]
#[case::last_of_flow("agents: [{name: a}, {name: b}]", "b", "agents: [{name: a}]".into())]
fn an_agent_is_taken_out(#[case] text: &str, #[case] name: &str, #[case] expected: String) {
    assert_eq!(remove(text, name), Ok(expected));
}

#[rstest]
#[case::no_agents("version: 1\n")]
#[case::none_of_them("agents: []\n")]
#[case::agents_that_are_text("agents: many\n")]
#[case::an_alias("x: &x [{name: a}]\nagents: *x\n")]
#[case::two_documents("agents: [{name: a}]\n---\nagents: [{name: a}]\n")]
#[case::no_yaml("agents: [\n")]
#[case::kept_lines("agents:\n- name: |+\n    a\n\n")]
#[case::a_tab("agents:\n-\tname: a\n\truntime: r\n")]
fn what_cannot_be_done_alone_is_not_done(#[case] text: &str) {
    assert_eq!(append(text, &agent("new")), Err(NoPlace), "{text}");
    assert_eq!(remove(text, "new"), Err(NoPlace), "{text}");
}

#[test]
fn an_anchor_that_others_need_is_not_taken_out() {
    let text = "agents:\n- &x {name: a}\n- {name: b, env: *x}\n";
    assert_eq!(remove(text, "a"), Err(NoPlace));
}

#[test]
fn every_value_comes_back_as_it_was_given() {
    let odd = NewAgent {
        name: "007".into(),
        runtime: "true".into(),
        class: Some("null".into()),
        command: ["sh", "-c", "a: b # c\n  {name}\n", "", " x ", &"long ".repeat(50), "\t\u{1}"]
            .map(Into::into)
            .into(),
        working_directory: Some("~".into()),
        env: [("A".into(), "1".into()), ("B".into(), "'\"".into())].into(),
    };
    // `append` compares the data itself; it must find a place in both styles.
    for text in ["agents:\n    - name: a\n", "agents: [{name: a}]"] {
        let new = append(text, &odd).expect("there is a place");
        assert_eq!(remove(&new, "007").expect("and a way back"), text);
    }
}
