//! Histories that must be accepted, and bad ones that must be rejected by name.

use rstest::rstest;

use super::*;
use crate::history::parse;

/// Files as `name: line; line`, the conductor's among them.
fn judged(files: &[&str], circumstances: Circumstances) -> Figures {
    let files: Vec<_> = files
        .iter()
        .map(|file| {
            let (name, text) = file.split_once(": ").expect("because each file has a name");
            (name.to_owned(), text.split("; ").map(|line| format!("{line}\n")).collect())
        })
        .collect();
    check(&parse(&files).expect("because the lines are ours"), circumstances)
}

fn rules(figures: &Figures) -> Vec<&'static str> {
    figures.violations.iter().map(|violation| violation.rule).collect()
}

const A: &str = "a: 10 1 begin ta - -; 20 1 end; 21 1 outcome released";

#[rstest]
#[case::one_after_the_other(&[A, "b: 25 2 begin tb - -; 30 2 end; 31 2 outcome released"])]
#[case::killed_and_replaced(&[
    "a: 10 1 begin ta - -", "conductor: 15 0 killed a; 16 0 reaped a",
    "b: 16 2 begin tb OwnerDied ta; 30 2 end; 31 2 outcome released",
])]
#[case::broken_alive_and_told(&[
    "a: 10 1 begin ta - - preemptible; 40 1 end; 41 1 told; 42 1 outcome lost",
    "b: 25 2 begin tb Silent ta; 30 2 end; 31 2 outcome released",
])]
#[case::broken_before_it_could_say_that_it_owns(&[
    "a: 28 1 begin ta - - preemptible; 40 1 end; 42 1 outcome lost",
    "b: 25 2 begin tb Silent ta; 30 2 end; 31 2 outcome released",
])]
#[case::broken_by_one_that_was_killed_at_once(&[
    "a: 10 1 begin ta - - preemptible; 40 1 end; 42 1 outcome lost",
    "b: 22 2 intent", "conductor: 24 0 killed b; 25 0 reaped b",
    "c: 26 3 begin tc OwnerDied tb; 30 3 end; 31 3 outcome released",
])]
#[case::steps_before_the_takeover(&[
    "a: 10 1 begin ta - - preemptible; 12 1 step; 14 1 stepped; 40 1 end; 42 1 outcome lost",
    "b: 25 2 begin tb TimedOut ta; 26 2 step; 27 2 stepped; 30 2 end; 31 2 outcome released",
])]
#[case::a_child_that_outlives_its_parent(&[
    "a: 10 1 begin ta - -", "conductor: 15 0 killed a; 16 0 reaped a",
    "child-1: 12 1 child free; 24 1 childless",
    "b: 25 2 begin tb OwnerDied ta; 30 2 end; 31 2 outcome released",
])]
#[case::a_child_that_dies_with_its_parent(&[
    "a: 10 1 begin ta - -", "conductor: 15 0 killed a; 16 0 reaped a",
    "child-1: 12 1 child tied", "b: 17 2 begin tb OwnerDied ta; 30 2 end",
])]
#[case::a_child_that_a_later_owner_ended(&[
    "a: 10 1 begin ta - - preemptible; 40 1 end; 42 1 outcome lost", "child-1-7: 12 1 child free",
    "b: 24 2 signalled 7; 25 2 begin tb Silent ta; 30 2 end; 31 2 outcome released",
])]
#[case::a_child_that_one_ended_that_was_killed_before_it_could_say_so(&[
    "a: 10 1 begin ta - - preemptible", "child-1-7: 12 1 child free", "b: 22 2 intent",
    "conductor: 15 0 killed a; 16 0 reaped a; 24 0 killed b; 25 0 reaped b",
    "c: 26 3 begin tc OwnerDied tb; 30 3 end; 31 3 outcome released",
])]
fn good_histories_are_accepted(#[case] files: &[&str]) {
    let figures = judged(files, Circumstances::default());
    assert_eq!(figures.violations, []);
}

#[rstest]
#[case::overlap(&[A, "b: 15 2 begin tb - -; 30 2 end"], "overlap")]
#[case::overlap_of_a_living_owner_called_dead(
    &[A, "b: 15 2 begin tb OwnerDied ta; 30 2 end"], "overlap",
)]
#[case::overlap_after_another_was_broken(
    &[A, "b: 15 2 begin tb Silent other; 30 2 end"], "overlap",
)]
#[case::overlap_with_one_that_was_killed_later(
    &["a: 10 1 begin ta - -", "conductor: 18 0 killed a; 19 0 reaped a",
      "b: 15 2 begin tb OwnerDied ta; 30 2 end"], "overlap",
)]
#[case::overlap_with_a_child(
    &["a: 10 1 begin ta - -", "conductor: 15 0 killed a; 16 0 reaped a",
      "child-1: 12 1 child free; 29 1 childless",
      "b: 25 2 begin tb OwnerDied ta; 30 2 end"], "overlap",
)]
#[case::overlap_before_the_takeover_that_is_named(
    &["a: 10 1 begin ta - - preemptible; 40 1 end; 42 1 outcome lost",
      "b: 15 2 begin tb - -; 18 2 end", "c: 20 3 begin tc Silent ta; 25 3 end"], "overlap",
)]
#[case::generation_back(
    &["a: 10 2 begin ta - -; 20 2 end", "b: 25 1 begin tb - -; 30 1 end"], "order",
)]
#[case::generation_twice(
    &["a: 10 1 begin ta - -; 20 1 end", "b: 25 1 begin tb - -; 30 1 end"], "unique",
)]
#[case::token_twice(
    &["a: 10 1 begin ta - -; 20 1 end", "b: 25 2 begin ta - -; 30 2 end"], "unique",
)]
#[case::step_after_takeover(
    &["a: 10 1 begin ta - - preemptible; 27 1 step; 28 1 stepped; 40 1 end; 42 1 outcome lost",
      "b: 25 2 begin tb Silent ta; 30 2 end"], "step",
)]
#[case::step_across_a_takeover(
    &["a: 10 1 begin ta - - preemptible; 24 1 step; 26 1 stepped; 40 1 end; 42 1 outcome lost",
      "b: 25 2 begin tb Silent ta; 30 2 end"], "step",
)]
#[case::steps_that_interleave(
    &["a: 10 1 begin ta - - preemptible; 20 1 step; 24 1 stepped; 40 1 end; 42 1 outcome lost",
      "b: 25 2 begin tb Silent ta; 23 2 step; 24 2 stepped; 30 2 end"], "step",
)]
#[case::broken_without_consent(
    &["a: 10 1 begin ta - -; 40 1 end; 42 1 outcome lost",
      "b: 25 2 begin tb Silent ta; 30 2 end"], "consent",
)]
#[case::overlap_without_consent(
    &["a: 10 1 begin ta - -; 40 1 end; 42 1 outcome lost",
      "b: 25 2 begin tb Silent ta; 30 2 end"], "overlap",
)]
#[case::left_running_by_one_that_was_killed(
    &["a: 10 1 begin ta - -", "conductor: 15 0 killed a; 16 0 reaped a",
      "child-1-7: 12 1 child free; 29 1 childless",
      "b: 25 2 begin tb OwnerDied ta; 30 2 end"], "settle",
)]
#[case::left_running_by_one_that_was_broken(
    &["a: 10 1 begin ta - - preemptible; 40 1 end; 42 1 outcome lost",
      "child-1-7: 12 1 child free; 29 1 childless",
      "b: 25 2 begin tb Silent ta; 30 2 end; 31 2 outcome released"], "settle",
)]
#[case::killed_in_a_step_that_another_enters(
    &["a: 10 1 begin ta - -; 12 1 step", "conductor: 18 0 killed a; 19 0 reaped a",
      "b: 17 2 begin tb OwnerDied ta; 30 2 end"], "step",
)]
#[case::no_end(&["a: 10 1 begin ta - -"], "end")]
#[case::alive_after_its_death(
    &[A, "conductor: 12 0 killed a; 15 0 reaped a"], "end",
)]
#[case::child_without_end(&[A, "child-1: 12 1 child free"], "end")]
#[case::child_ended_of_one_that_has_not_agreed(
    &["a: 10 1 begin ta - -; 20 1 end", "child-1-7: 12 1 child free",
      "b: 24 2 signalled 7; 25 2 begin tb OwnerDied ta; 30 2 end"], "end",
)]
#[case::child_ended_while_the_next_went_on(
    &["a: 10 1 begin ta - - preemptible", "conductor: 15 0 killed a; 16 0 reaped a",
      "child-1-7: 12 1 child free", "b: 22 2 intent"], "end",
)]
#[case::broken_and_not_told(&[A, "b: 25 2 begin tb Silent ta; 30 2 end"], "told")]
#[case::told_and_not_broken(&["a: 10 1 begin ta - -; 20 1 end; 21 1 outcome lost"], "told")]
#[case::failure(&["a: 10 0 failure GenerationDamaged"], "failure")]
#[case::full_without_cause(&["a: 10 0 failure NoSpace"], "failure")]
fn bad_histories_are_rejected(#[case] files: &[&str], #[case] rule: &str) {
    let figures = judged(files, Circumstances::default());
    assert!(rules(&figures).contains(&rule), "{:?}", figures.violations);
    let words = figures.violations.iter().map(ToString::to_string).collect::<String>();
    assert!(words.contains(rule), "{words}");
}

#[test]
fn a_generation_given_out_before_is_rejected() {
    let figures = judged(&[A], Circumstances { after: 1, full_disk: false });
    assert_eq!(rules(&figures), ["unique"]);
    assert_eq!(judged(&[A], Circumstances::default()).last, 1);
}

#[test]
fn a_full_disk_explains_that_there_is_no_space() {
    let full = Circumstances { after: 0, full_disk: true };
    assert_eq!(rules(&judged(&["a: 10 0 failure NoSpace"], full)), [""; 0]);
}

#[test]
fn what_there_was_is_counted() {
    let figures = judged(
        &[
            "a: 10 1 begin ta - - preemptible; 12 1 step; 14 1 stepped; 40 1 end; 41 1 told; 42 1 outcome lost",
            "b: 25 2 begin tb Silent ta; 30 2 end; 31 2 outcome released",
        ],
        Circumstances::default(),
    );
    let count = |what: &str| figures.counts.get(what).copied().unwrap_or(0);
    assert_eq!((count("sections"), count("steps"), count("takeovers: Silent")), (2, 1, 1));
    assert_eq!((count("losses delivered"), count("overlaps with a broken owner")), (1, 1));
    assert_eq!((count("releases: lost"), count("releases: released")), (1, 1));
}
