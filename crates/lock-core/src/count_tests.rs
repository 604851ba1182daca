//! What is counted of one snapshot after the other, whatever a contender's clock does.

use super::*;

/// A contender that looks at a lock, by a clock that tells what it likes.
struct Contender {
    policy: Policy,
    observer: Observer,
}

impl Contender {
    fn new(policy: Policy, begin: u64) -> Self {
        Self { policy, observer: Observer::new(at(begin)) }
    }

    fn look(&mut self, seen: &Seen, now: u64) -> Counts {
        let snapshot = Snapshot::Present(seen.clone());
        self.observer.look(&self.policy, &snapshot, at(now))
    }

    /// Plans a sleep right after what was last, and looks when it is over.
    fn sleep(&mut self, planned: u64, seen: &Seen, now: u64) -> Counts {
        self.plan(self.observer.last.0, planned);
        self.look(seen, now)
    }

    fn plan(&mut self, now: u64, planned: u64) {
        self.observer.plan(at(now), ms(planned));
    }
}

fn of(record: Record) -> Seen {
    seen(Held, Ok(record))
}

fn ours() -> Record {
    record(HERE, terms(true))
}

#[test]
fn time_counts_from_our_first_look() {
    let mut contender = Contender::new(policy(), 0);
    let first = contender.look(&preemptible(Held), 9_000);
    assert_eq!((first.silent.passed(), first.idle.passed()), (ms(0), ms(0)));
    let second = contender.sleep(200, &preemptible(Held), 9_150);
    assert_eq!((second.silent.passed(), second.idle.passed()), (ms(150), ms(150)));
}

#[rstest]
#[case::woken_early(30, 30)]
#[case::in_time(100, 100)]
#[case::late(199, 199)]
#[case::at_twice_the_plan(200, 200)]
#[case::past_twice_the_plan(201, 200)]
#[case::suspended(3_600_000, 200)]
fn a_gap_counts_as_twice_the_planned_sleep_at_most(#[case] gap: u64, #[case] counted: u64) {
    let mut contender = Contender::new(policy(), 0);
    contender.look(&preemptible(Held), 10);
    let counts = contender.sleep(100, &preemptible(Held), 10 + gap);
    assert_eq!((counts.silent.passed(), counts.idle.passed()), (ms(counted), ms(counted)));
}

/// Between two looks without a sleep, in and out of the mutex, say.
#[test]
fn what_was_not_planned_does_not_count() {
    let mut contender = Contender::new(policy(), 0);
    contender.look(&preemptible(Held), 10);
    let counts = contender.look(&preemptible(Held), 50_000);
    assert_eq!((counts.silent.passed(), counts.idle.passed()), (ms(0), ms(0)));
}

#[test]
fn several_sleeps_before_one_look_add_up() {
    let mut contender = Contender::new(policy(), 0);
    contender.look(&preemptible(Held), 0);
    contender.plan(0, 100);
    contender.plan(90, 50);
    let counts = contender.look(&preemptible(Held), 150);
    assert_eq!(counts.silent.passed(), ms(150));
}

/// Otherwise those would let the next one count for all of them.
#[test]
fn of_sleeps_that_were_cut_short_only_what_was_slept_counts() {
    let mut contender = Contender::new(policy(), 0);
    contender.look(&preemptible(Held), 0);
    for now in 0..50 {
        contender.plan(now, 10_000);
    }
    contender.plan(50, 10);
    let counts = contender.look(&preemptible(Held), 3_600_000);
    assert_eq!(counts.silent.passed(), ms(50 + 20));
}

#[test]
fn a_clock_that_goes_back_counts_nothing() {
    let mut contender = Contender::new(policy(), 5_000);
    contender.look(&preemptible(Held), 5_000);
    let counts = contender.sleep(100, &preemptible(Held), 1_000);
    assert_eq!((counts.silent.passed(), counts.waited), (ms(0), ms(0)));
    let counts = contender.sleep(100, &preemptible(Held), 1_100);
    assert_eq!(counts.silent.passed(), ms(100));
}

#[test]
fn a_renewal_ends_silence_and_a_step_ends_idleness() {
    let mut contender = Contender::new(policy(), 0);
    contender.look(&of(ours()), 0);
    let renewed = ours().renewed(at(NOW));
    let counts = contender.sleep(100, &of(renewed.clone()), 100);
    assert_eq!((counts.silent, counts.idle.passed()), (Count::first(), ms(100)));
    let stepped = renewed.advanced("1", ms(0), at(NOW + 1));
    let counts = contender.sleep(100, &of(stepped), 200);
    assert_eq!((counts.silent, counts.idle), (Count::first(), Count::first()));
}

/// A clock that stands still, or was set back to where it was: the record differs even so.
#[test]
fn a_renewal_is_seen_by_either_clock() {
    let stopped_boot = |stamp| Record { stamp: Wall(stamp), ..ours() };
    let stopped_wall = |renewed| with(ours(), |detail| detail.renewed = Boot(renewed));
    for records in [[stopped_boot(1), stopped_boot(2)], [stopped_wall(1), stopped_wall(2)]] {
        let mut contender = Contender::new(policy(), 0);
        for record in records {
            let counts = contender.sleep(100, &of(record), 100);
            assert_eq!(counts.silent, Count::first());
        }
    }
}

#[test]
fn another_ownership_is_counted_anew() {
    let same = of(ours());
    let token = of(Record { token: token("u"), ..ours() });
    let file = Seen { id: FileId { device: 1, inode: 2 }, ..same.clone() };
    for other in [token, file, broken(Held)] {
        let mut contender = Contender::new(policy(), 0);
        contender.look(&same, 0);
        contender.sleep(100, &same, 100);
        let counts = contender.sleep(100, &other, 200);
        assert_eq!((counts.silent, counts.idle), (Count::first(), Count::first()));
        assert_eq!(contender.observer.since(), Mono(200));
        let counts = contender.sleep(100, &same, 300);
        assert_eq!(counts.silent, Count::first(), "{other:?}");
    }
}

#[test]
fn a_lock_that_was_free_in_between_is_counted_anew() {
    let mut contender = Contender::new(policy(), 0);
    contender.look(&of(ours()), 0);
    contender.observer.look(&contender.policy, &Snapshot::Absent, at(100));
    let counts = contender.sleep(100, &of(ours()), 200);
    assert_eq!(counts.silent, Count::first());
}

#[test]
fn who_gives_up_counts_from_its_start_and_who_ends_from_the_ownership() {
    let settings = Settings { wait_limit: Some(ms(LIMIT)), ..settings() };
    let stop = Settings { on_timeout: OnTimeout::Stop, ..settings };
    for (settings, expected) in [(settings, [60, 160, 260]), (stop, [0, 100, 0])] {
        let mut contender = Contender::new(checked(settings), 40);
        let other = of(Record { token: token("u"), ..ours() });
        let waited = [
            contender.look(&of(ours()), 100),
            contender.sleep(100, &of(ours().renewed(at(NOW))), 200),
            contender.sleep(100, &other, 300),
        ];
        assert_eq!(waited.map(|counts| counts.waited), expected.map(ms));
    }
}

/// A contender beside an owner, for a few minutes; the owner's clocks are its own.
struct Play {
    policy: Policy,
    terms: Terms,
    /// How often the owner renews, and takes a step, by a clock that is right.
    renews: u64,
    steps: u64,
}

impl Play {
    /// The first verdict that takes the lock, and when it came.
    ///
    /// `clock` is what the contender reads, and it sleeps by that; `wakes` is when it really
    /// runs again after a sleep that should have ended then.
    fn robbed(
        &self,
        clock: impl Fn(u64) -> u64,
        wakes: impl Fn(u64) -> u64,
    ) -> Option<(u64, Verdict)> {
        const LONG: u64 = 200_000;
        let mut observer = Observer::new(at(clock(0)));
        let mut time = 0;
        while time < LONG {
            let snapshot = Snapshot::Present(self.owner(time));
            let now = at(clock(time));
            let counts = observer.look(&self.policy, &snapshot, now);
            let until = match judge(&self.policy, &HERE.host(), now, &snapshot, &counts) {
                Verdict::Wait { until } => until,
                verdict => return Some((time, verdict)),
            };
            let sleep = until.since(now.mono).min(longest_sleep(&self.policy, &snapshot));
            observer.plan(now, sleep);
            let is_over = |end: &u64| {
                let slept = clock(*end).saturating_sub(clock(time));
                // A clock that goes back does not make a sleep longer.
                slept >= now.mono.after(sleep).since(now.mono).as_millis() as u64
                    || clock(*end) < clock(end - 1)
            };
            time = wakes((time + 1..).find(is_over).expect("because clocks go on"));
        }
        None
    }

    fn owner(&self, time: u64) -> Seen {
        let record = record(HERE, self.terms).renewed(at(time / self.renews * self.renews));
        let steps = |detail: &mut Detail| detail.progress.count = time / self.steps;
        of(with(record, steps))
    }
}

/// It renews every third of the threshold, and takes a step when its quiet ends.
fn healthy(quiet: u64) -> Play {
    let terms = Terms { quiet: ms(quiet), ..terms(true) };
    Play { policy: policy(), terms, renews: STALE_AFTER / 3, steps: quiet }
}

fn in_time(due: u64) -> u64 {
    due
}

type Script = fn(u64) -> u64;

/// What a clock may tell.
fn scripts() -> [(&'static str, Script); 8] {
    [
        ("right", |time| time),
        ("an hour off", |time| time + 3_600_000),
        ("an hour ahead once", |time| if time < 5_000 { time } else { time + 3_600_000 }),
        ("an hour ahead every second", |time| time + time / 1_000 * 3_600_000),
        ("at twice the rate", |time| time * 2),
        ("at half the rate", |time| time / 2),
        ("still for ten seconds of each minute", |time| {
            time / 60_000 * 50_000 + (time % 60_000).min(50_000)
        }),
        ("a minute back every minute", |time| 600_000 + time % 60_000),
    ]
}

/// By a clock that hurries, a sleep can count twice. No kernel has such a one; even so an owner
/// is safe whose quiet is no longer than `hang_after`.
fn quiets(clock: &str) -> impl Iterator<Item = u64> {
    let hurries = ["at twice the rate", "an hour ahead every second"].contains(&clock);
    let longest = if hurries { HANG_AFTER } else { u64::MAX };
    [STALE_AFTER, HANG_AFTER, 10 * HANG_AFTER].into_iter().filter(move |quiet| *quiet <= longest)
}

#[test]
fn no_clock_robs_an_owner_that_renews_and_keeps_to_its_quiet() {
    for (name, clock) in scripts() {
        for quiet in quiets(name) {
            let robbed = healthy(quiet).robbed(clock, in_time);
            assert_eq!(robbed, None, "the clock is {name}, the quiet {quiet}");
        }
    }
}

/// The contender is stopped, frozen, or starved; the owner goes on, or is frozen with it.
#[test]
fn no_pause_of_a_contender_robs_such_an_owner() {
    let late = |due: u64| due + due % 7 * 1_000;
    for (name, clock) in scripts() {
        for quiet in quiets(name) {
            let robbed = healthy(quiet).robbed(clock, late);
            assert_eq!(robbed, None, "late, the clock is {name}, the quiet {quiet}");
        }
    }
}

/// What the two tests above assert can fail.
#[test]
fn by_every_clock_a_silent_and_a_hung_owner_are_replaced() {
    const NEVER: u64 = 10_000_000;
    for (name, clock) in scripts() {
        let silent = Play { renews: NEVER, ..healthy(HANG_AFTER) }.robbed(clock, in_time);
        let silent = silent.map(|(time, verdict)| (time >= STALE_AFTER / 2, verdict));
        assert_eq!(silent, Some((true, stale(Stale::Silent))), "the clock is {name}");
        let hung = Play { steps: NEVER, ..healthy(HANG_AFTER) }.robbed(clock, in_time);
        let hung = hung.map(|(time, verdict)| (time >= HANG_AFTER, verdict));
        assert_eq!(hung, Some((true, OWNER)), "the clock is {name}");
    }
}

#[test]
fn by_a_right_clock_they_are_replaced_in_time() {
    const NEVER: u64 = 10_000_000;
    let right = |time| time;
    let silent = Play { renews: NEVER, ..healthy(HANG_AFTER) }.robbed(right, in_time);
    assert_eq!(silent, Some((STALE_AFTER, stale(Stale::Silent))));
    let hung = Play { steps: NEVER, ..healthy(HANG_AFTER) }.robbed(right, in_time);
    assert_eq!(hung, Some((2 * HANG_AFTER, OWNER)));
}
