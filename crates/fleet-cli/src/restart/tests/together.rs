//! Several turns in one step.

use rstest::rstest;

use super::*;

fn joining(script: &[(&str, &'static str)]) -> Scripted {
    Scripted { joins: true, ..fails(script) }
}

const TWO: Pace = Pace { jobs: NonZeroUsize::MIN.saturating_add(1), ..PLAIN };

#[test]
fn several_are_fired_in_one_step_if_the_supervisor_can() {
    let ran = run_at(TWO, None, Verb::Restart, &[], joining(&[("b", "wait")]), PLENTY);
    let labels = [
        "restarting the holder",
        "restarted the holder",
        "1/3 restarting a and another",
        "1/3 restarted a",
        "2/3 failed b",
        "3/3 restarting c",
        "3/3 restarted c",
    ];
    assert_eq!(ran.labels, labels);
    let begun = [0, 1].map(|place| (Who::Agent(place), Mark::Begun));
    assert_eq!(ran.marks[2..4], begun);
    assert_eq!(ran.marks[4..6], [(Who::Agent(0), Mark::Done), (Who::Agent(1), Mark::Failed)]);
    assert_eq!(ran.outcome.exit(), Exit::SomeFailed);
    // One by one they are as they ever were.
    let ran = run_at(PLAIN, None, Verb::Restart, &["a", "b"], joining(&[]), PLENTY);
    assert_eq!(ran.labels[..2], ["1/2 restarting a", "1/2 restarted a"]);
}

#[rstest]
#[case::the_canary_fails(1, false, &["Restart a"], Ending::HeldBack)]
#[case::the_first_failure_is_the_last(0, true, &["Restart a", "Restart b"], Ending::HeldBack)]
#[case::on_through_every_failure(0, false, &["Restart a", "Restart b", "Restart c"], Ending::Complete)]
fn several_at_once_are_held_back_as_well(
    #[case] canary: usize,
    #[case] stop_on_failure: bool,
    #[case] fired: &[&str],
    #[case] ending: Ending<Refused>,
) {
    let pace = Pace { canary, stop_on_failure, ..TWO };
    let ran =
        run_at(pace, None, Verb::Restart, &["a", "b", "c"], joining(&[("a", "fire")]), PLENTY);
    assert_eq!(ran.actions, fired);
    assert_eq!(std::mem::discriminant(&ran.outcome.ending), std::mem::discriminant(&ending));
}

#[test]
fn a_lost_lock_or_a_signal_ends_several_at_once() {
    let ran = run_at(TWO, None, Verb::Restart, &["a", "b", "c"], joining(&[]), 2);
    assert_eq!(ran.actions, ["Restart a", "Restart b"]);
    assert!(matches!(ran.outcome.ending, Ending::Refused(Refused)));
    let trips = Some(("Restart b".to_owned(), 15));
    let scripted = Scripted { trips, ..joining(&[]) };
    let ran = run_at(TWO, None, Verb::Restart, &["a", "b", "c"], scripted, PLENTY);
    assert_eq!(ran.actions, ["Restart a", "Restart b"]);
    assert_eq!(ran.outcome.exit(), Exit::Signal(15));
    assert!(matches!(ran.outcome.agents[2].turn, Turn::NotReached));
}
