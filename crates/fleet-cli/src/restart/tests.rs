//! The rules of a restart, with a scripted supervisor and a scripted lock.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;

use rstest::rstest;

use super::*;
use crate::exit::Exit;
use crate::plan::Verb;
use crate::roster::Roster;
use crate::roster::tests::fleet_of;
use crate::supervisor::{Settled, Wait};

/// Writes down what it is asked to do; fails where the script says so.
#[derive(Default)]
struct Scripted {
    fails: BTreeMap<String, &'static str>,
    trips: Option<(String, i32)>,
    /// Whether it restarts in one step, and several at once.
    joins: bool,
    /// How long the waits for somebody may take.
    limits: BTreeMap<String, Duration>,
    /// Whose waits are over only when this has been fired.
    waits_for: Option<(String, String)>,
    log: Mutex<Vec<String>>,
    /// Until when each wait was to last.
    deadlines: Mutex<BTreeMap<String, Instant>>,
}

/// Lets some steps through.
struct Gate {
    left: Mutex<usize>,
    steps: Mutex<Vec<Taken>>,
    ticket: File,
}

/// A step that was let through.
#[derive(Debug)]
struct Taken {
    label: String,
    quiet: Duration,
    ended: Instant,
}

#[derive(Debug, PartialEq, Eq)]
struct Refused;

impl Supervisor for Scripted {
    fn steps(&self, verb: Verb) -> &'static [Step] {
        match verb {
            Verb::Restart if self.joins => &[Step::Restart],
            Verb::Restart => &[Step::Stop, Step::Start],
            Verb::Start => &[Step::Start],
            Verb::Stop => &[Step::Stop],
        }
    }

    fn joins(&self, _step: Step) -> bool {
        self.joins
    }

    fn limit(&self, _step: Step, targets: &[Target<'_>]) -> Duration {
        let limits = targets.iter().filter_map(|target| self.limits.get(name_of(*target)));
        limits.max().copied().unwrap_or_default()
    }

    fn fire<'a>(
        &'a self,
        step: Step,
        target: Target<'a>,
        _ticket: BorrowedFd<'_>,
    ) -> Result<Wait<'a>, SupervisorError> {
        let name = name_of(target);
        let action = format!("{step:?} {name}");
        self.log.lock().expect("no panic").push(action.clone());
        if self.fails.get(name) == Some(&"fire") {
            return Err(no());
        }
        Ok(Box::new(move |until, interrupt| {
            self.deadlines.lock().expect("no panic").insert(action.clone(), until);
            if let Some((_, other)) = self.waits_for.as_ref().filter(|(at, _)| at == name) {
                while !self.log.lock().expect("no panic").contains(other) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            if let Some((_, signal)) = self.trips.as_ref().filter(|(at, _)| *at == action) {
                interrupt.trip(*signal);
            }
            match (self.fails.get(name), step) {
                (Some(&"wait"), _) => Err(no()),
                (_, Step::Stop) => Ok(Settled::Stopped { killed: false }),
                (_, Step::Start) => Ok(Settled::Started { pid: 7 }),
                (_, Step::Restart) => Ok(Settled::Restarted { pid: 7 }),
            }
        }))
    }
}

fn name_of(target: Target<'_>) -> &str {
    match target {
        Target::Holder => "the holder",
        Target::Agent(agent) => &agent.name,
    }
}

fn no() -> SupervisorError {
    let source = std::io::ErrorKind::NotFound.into();
    SupervisorError::NotLaunched { program: "no".into(), source }
}

impl Gate {
    fn open_for(steps: usize) -> Self {
        let ticket = File::open("/dev/null").expect("it is always there");
        Self { left: Mutex::new(steps), steps: Mutex::default(), ticket }
    }
}

impl Fence for Gate {
    type Error = Refused;

    fn is_interruption(_: &Refused) -> bool {
        false
    }

    fn step(&self, label: &str, quiet: Duration, work: &mut dyn FnMut()) -> Result<(), Refused> {
        let mut left = self.left.lock().expect("no panic");
        *left = left.checked_sub(1).ok_or(Refused)?;
        work();
        let taken = Taken { label: label.to_owned(), quiet, ended: Instant::now() };
        self.steps.lock().expect("no panic").push(taken);
        Ok(())
    }

    fn ticket(&self) -> BorrowedFd<'_> {
        self.ticket.as_fd()
    }
}

/// Writes down who came how far.
#[derive(Default)]
struct Noted(Mutex<Vec<(Who, Mark)>>);

impl Marks for Noted {
    fn set(&self, whom: &[Who], mark: Mark) {
        self.0.lock().expect("no panic").extend(whom.iter().map(|who| (*who, mark)));
    }
}

struct Ran {
    outcome: Outcome<Refused>,
    actions: Vec<String>,
    labels: Vec<String>,
    steps: Vec<Taken>,
    deadlines: BTreeMap<String, Instant>,
    marks: Vec<(Who, Mark)>,
}

/// One at a time, and on through every failure.
const PLAIN: Pace =
    Pace { jobs: NonZeroUsize::MIN, canary: 0, stagger: Duration::ZERO, stop_on_failure: false };

fn run(verb: Verb, names: &[&str], supervisor: Scripted, steps: usize) -> Ran {
    run_at(PLAIN, None, verb, names, supervisor, steps)
}

fn run_at(
    pace: Pace,
    earlier: Option<&Earlier>,
    verb: Verb,
    names: &[&str],
    supervisor: Scripted,
    steps: usize,
) -> Ran {
    let roster: Roster = fleet_of(&["a", "b", "c"]);
    let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
    let plan = Plan::new(&roster, verb, &names).expect("known");
    let fence = Gate::open_for(steps);
    let interrupt = Interrupt::new().expect("a descriptor");
    let marks = Noted::default();
    let work = Work {
        plan: &plan,
        supervisor: &supervisor,
        fence: &fence,
        interrupt: &interrupt,
        pace,
        marks: &marks,
        earlier,
    };
    let outcome = work.run(&mut |_| {});
    let actions = supervisor.log.into_inner().expect("no panic");
    let deadlines = supervisor.deadlines.into_inner().expect("no panic");
    let steps = fence.steps.into_inner().expect("no panic");
    let labels = steps.iter().map(|step| step.label.clone()).collect();
    let marks = marks.0.into_inner().expect("no panic");
    Ran { outcome, actions, labels, steps, deadlines, marks }
}

fn fails(script: &[(&str, &'static str)]) -> Scripted {
    let fails = script.iter().map(|(name, how)| ((*name).to_owned(), *how)).collect();
    Scripted { fails, ..Scripted::default() }
}

const PLENTY: usize = usize::MAX;

#[test]
fn the_whole_fleet_restarts_holder_first_then_in_roster_order() {
    let ran = run(Verb::Restart, &[], Scripted::default(), PLENTY);
    assert_eq!(
        ran.actions,
        [
            "Stop the holder",
            "Start the holder",
            "Stop a",
            "Start a",
            "Stop b",
            "Start b",
            "Stop c",
            "Start c"
        ]
    );
    assert_eq!(ran.labels[2], "restarted the holder");
    assert_eq!(ran.labels[3..6], ["1/3 restarting a", "1/3 restarting a", "1/3 restarted a"]);
    assert_eq!(ran.outcome.exit(), Exit::Done);
}

#[test]
fn one_agent_restarts_without_the_holder() {
    let ran = run(Verb::Restart, &["b"], Scripted::default(), PLENTY);
    assert_eq!(ran.actions, ["Stop b", "Start b"]);
}

#[rstest]
#[case("fire")]
#[case("wait")]
fn stop_attempts_everyone_whatever_fails_before(#[case] how: &'static str) {
    let ran = run(Verb::Stop, &[], fails(&[("c", how), ("a", how)]), PLENTY);
    assert_eq!(ran.actions, ["Stop c", "Stop b", "Stop a", "Stop the holder"]);
    assert_eq!(ran.outcome.exit(), Exit::SomeFailed);
}

#[test]
fn a_failed_stop_is_not_followed_by_a_start() {
    let ran = run(Verb::Restart, &["a", "b"], fails(&[("a", "wait")]), PLENTY);
    assert_eq!(ran.actions, ["Stop a", "Stop b", "Start b"]);
    assert!(matches!(ran.outcome.agents[0].turn, Turn::Failed(_)));
    assert!(matches!(ran.outcome.agents[1].turn, Turn::Done(_)));
}

#[test]
fn without_a_holder_no_agent_is_started() {
    let ran = run(Verb::Start, &[], fails(&[("the holder", "wait")]), PLENTY);
    assert_eq!(ran.actions, ["Start the holder"]);
    assert!(ran.outcome.agents.iter().all(|report| matches!(report.turn, Turn::NotReached)));
    assert_eq!(ran.outcome.exit(), Exit::SomeFailed);
}

/// Three steps belong to the holder, the third to say that it is done; then three to `a`.
#[rstest]
#[case::before_the_first(0, 0, false)]
#[case::between_the_steps_of_a(4, 3, true)]
#[case::after_a(6, 4, false)]
fn a_lost_lock_ends_it_there(#[case] steps: usize, #[case] fired: usize, #[case] asked: bool) {
    let ran = run(Verb::Restart, &[], Scripted::default(), steps);
    assert_eq!(ran.actions.len(), fired);
    assert!(matches!(ran.outcome.ending, Ending::Refused(Refused)));
    assert_eq!(ran.outcome.exit(), Exit::LockLost);
    let cut_short = ran.outcome.agents.iter().find_map(|report| match report.turn {
        Turn::CutShort { asked } => Some(asked),
        _ => None,
    });
    assert_eq!(cut_short.flatten(), asked.then_some(Step::Stop));
}

#[test]
fn a_signal_ends_it_before_the_next_step() {
    let trips = Some(("Stop b".to_owned(), 15));
    let ran = run(Verb::Restart, &["a", "b", "c"], Scripted { trips, ..fails(&[]) }, PLENTY);
    assert_eq!(ran.actions, ["Stop a", "Start a", "Stop b"]);
    assert_eq!(ran.outcome.exit(), Exit::Signal(15));
    assert!(matches!(ran.outcome.agents[1].turn, Turn::CutShort { asked: Some(Step::Stop) }));
    assert!(matches!(ran.outcome.agents[2].turn, Turn::NotReached));
}

#[test]
fn several_at_a_time_still_attempt_everyone() {
    let roster = fleet_of(&["a", "b", "c", "d", "e"]);
    let plan = Plan::new(&roster, Verb::Restart, &[]).expect("known");
    let (supervisor, fence) = (fails(&[("b", "fire")]), Gate::open_for(PLENTY));
    let interrupt = Interrupt::new().expect("a descriptor");
    let jobs = NonZeroUsize::new(3).expect("not zero");
    let (plan, supervisor, fence, interrupt) = (&plan, &supervisor, &fence, &interrupt);
    let mut events = Vec::new();
    let (pace, marks) = (Pace { jobs, ..PLAIN }, &Noted::default());
    let work = Work { plan, supervisor, fence, interrupt, pace, marks, earlier: None };
    let outcome = work.run(&mut |event| {
        events.push(match event {
            Event::Began { agent, .. } => format!("+{agent}"),
            Event::Ended { report, .. } => format!("-{}", report.agent),
        });
    });
    let done = outcome.agents.iter().filter(|r| matches!(r.turn, Turn::Done(_))).count();
    assert_eq!((done, events.len()), (4, 10));
}

#[test]
fn how_far_everyone_came_is_written_down() {
    let ran = run(Verb::Restart, &[], fails(&[("b", "wait")]), PLENTY);
    let of_agent = |place| {
        let marks = ran.marks.iter().filter(|(who, _)| *who == Who::Agent(place));
        marks.map(|(_, mark)| *mark).collect::<Vec<_>>()
    };
    assert_eq!(ran.marks.first(), Some(&(Who::Holder, Mark::Begun)));
    assert_eq!(ran.marks[2], (Who::Holder, Mark::Done));
    assert_eq!(of_agent(0), [Mark::Begun, Mark::Begun, Mark::Done]);
    assert_eq!(of_agent(1), [Mark::Begun, Mark::Failed]);
}

#[test]
fn an_agent_whose_end_nobody_could_write_down_is_not_done() {
    // The holder's three, and the two that fire.
    let ran = run(Verb::Restart, &[], Scripted::default(), 5);
    assert_eq!(ran.marks.last(), Some(&(Who::Agent(0), Mark::Begun)));
    assert_eq!(ran.outcome.exit(), Exit::LockLost);
}

#[rstest]
#[case::a_canary_fails(2, false, &["b"], &["a", "b"], Exit::SomeFailed)]
#[case::all_canaries_have_their_turn(2, false, &["a"], &["a", "b"], Exit::SomeFailed)]
#[case::the_canaries_come_up(2, false, &["c"], &["a", "b", "c"], Exit::SomeFailed)]
#[case::more_canaries_than_agents(9, false, &[], &["a", "b", "c"], Exit::Done)]
#[case::the_first_failure_is_the_last(0, true, &["b"], &["a", "b"], Exit::SomeFailed)]
#[case::without_failure_nothing_is_held(1, true, &[], &["a", "b", "c"], Exit::Done)]
fn a_rollout_is_held_back(
    #[case] canary: usize,
    #[case] stop_on_failure: bool,
    #[case] failing: &[&str],
    #[case] reached: &[&str],
    #[case] exit: Exit,
) {
    let pace = Pace { canary, stop_on_failure, ..PLAIN };
    let script: Vec<_> = failing.iter().map(|name| (*name, "wait")).collect();
    let ran = run_at(pace, None, Verb::Start, &[], fails(&script), PLENTY);
    let starts: Vec<_> = reached.iter().map(|name| format!("Start {name}")).collect();
    assert_eq!(ran.actions[1..], starts);
    assert_eq!(ran.outcome.exit(), exit);
    let held = matches!(ran.outcome.ending, Ending::HeldBack);
    assert_eq!(held, reached.len() < 3);
}

#[test]
fn what_another_has_done_is_not_done_again() {
    let generation = lock_fs::Generation(7);
    let earlier = Earlier { generation, ago: Duration::ZERO, done: vec![0], of: 3 };
    let supervisor = Scripted::default();
    let ran = run_at(PLAIN, Some(&earlier), Verb::Restart, &[], supervisor, PLENTY);
    assert_eq!(ran.actions, ["Stop b", "Start b", "Stop c", "Start c"]);
    assert_eq!(ran.labels[0], "2/3 restarting b");
    assert!(matches!(ran.outcome.agents[0].turn, Turn::Earlier));
    assert_eq!(ran.outcome.exit(), Exit::Done);
}

mod panic;
mod quiet;
mod together;
