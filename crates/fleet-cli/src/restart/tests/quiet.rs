//! What a step announces: how long the longest wait has left that is under way.

use rstest::rstest;

use super::super::quiet::MARGIN;
use super::*;

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_secs(60);

fn limited(limits: &[(&str, Duration)], joins: bool) -> Scripted {
    let limits = limits.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect();
    Scripted { limits, joins, ..Scripted::default() }
}

fn several(jobs: usize) -> Pace {
    Pace { jobs: NonZeroUsize::new(jobs).expect("not zero"), ..PLAIN }
}

impl Ran {
    fn step(&self, label: &str) -> &Taken {
        let step = self.steps.iter().find(|step| step.label == label);
        step.unwrap_or_else(|| panic!("{label} in {:?}", self.steps))
    }
}

#[test]
fn a_step_announces_the_wait_that_follows_and_a_margin() {
    let supervisor = limited(&[("a", LONG), ("b", SHORT)], false);
    let ran = run(Verb::Restart, &["a", "b"], supervisor, PLENTY);
    let quiet: Vec<_> = ran.steps.iter().map(|step| step.quiet - MARGIN).collect();
    let none = Duration::ZERO;
    assert_eq!(quiet, [LONG, LONG, none, SHORT, SHORT, none], "{:?}", ran.labels);
}

/// Announced and waited for is the same time.
#[rstest]
fn what_a_step_announces_is_what_ends_its_wait(
    #[values(Verb::Start, Verb::Restart)] verb: Verb,
    #[values(1, 3)] jobs: usize,
    #[values(false, true)] joins: bool,
) {
    let supervisor = limited(&[("a", LONG), ("b", SHORT), ("c", 2 * LONG)], joins);
    let begun = Instant::now();
    let ran = run_at(several(jobs), None, verb, &["a", "b", "c"], supervisor, PLENTY);
    for (action, until) in &ran.deadlines {
        // The step that fired it, or one of those: it announced at least this wait.
        let announced = ran.steps.iter().map(|step| step.ended + (step.quiet - MARGIN)).max();
        assert!(announced.is_some_and(|announced| *until <= announced), "{action}");
        let name = action.rsplit(' ').next().expect("a name");
        let limit = if joins && jobs > 1 {
            2 * LONG
        } else {
            match name {
                "a" => LONG,
                "b" => SHORT,
                _ => 2 * LONG,
            }
        };
        let ended = ran.steps.last().expect("it took steps").ended;
        assert!((begun + limit..=ended + limit).contains(until), "{action}");
    }
    assert_eq!(ran.outcome.exit(), Exit::Done);
}

#[test]
fn with_several_at_a_time_the_longest_wait_under_way_counts() {
    // While `a` is waited for, `b` has its turn and `c` begins.
    let waits_for = Some(("a".to_owned(), "Start c".to_owned()));
    let limits = [("a", LONG), ("b", SHORT), ("c", SHORT)];
    let supervisor = Scripted { waits_for, ..limited(&limits, false) };
    let ran = run_at(several(2), None, Verb::Start, &["a", "b", "c"], supervisor, PLENTY);
    let until_a = ran.deadlines["Start a"];
    let fired = ran.step("1/3 starting a").ended;
    for step in ran.steps.iter().filter(|step| step.ended >= fired && !step.label.ends_with('a')) {
        let is_over = ran.step("1/3 started a").ended < step.ended;
        assert!(is_over || step.ended + step.quiet >= until_a + MARGIN, "{step:?}");
    }
    let done = ran.step("2/3 started b");
    assert!(done.quiet > LONG, "a is still waited for: {done:?}");
    let last = ran.steps.last().expect("it took steps");
    assert!(last.quiet <= SHORT + MARGIN, "nobody waits for a any more: {last:?}");
}

#[test]
fn a_failed_or_finished_wait_is_not_announced_again() {
    let supervisor =
        Scripted { fails: fails(&[("a", "wait")]).fails, ..limited(&[("a", LONG)], false) };
    let ran = run(Verb::Start, &["a", "b"], supervisor, PLENTY);
    assert_eq!(ran.step("1/2 failed a").quiet, MARGIN);
    assert_eq!(ran.step("2/2 starting b").quiet, MARGIN);
}

#[test]
fn a_pause_is_announced_once_and_as_long_as_it_is() {
    let stagger = Duration::from_millis(50);
    let pace = Pace { stagger, ..PLAIN };
    let begun = Instant::now();
    let ran = run_at(pace, None, Verb::Start, &["a", "b"], Scripted::default(), PLENTY);
    assert!(begun.elapsed() >= stagger);
    let label = "2/2 waiting to go on with b";
    let pauses: Vec<_> = ran.steps.iter().filter(|step| step.label == label).collect();
    let [pause] = pauses.as_slice() else { panic!("{:?}", ran.labels) };
    assert!(pause.quiet > MARGIN && pause.quiet <= MARGIN + stagger, "{pause:?}");
}
