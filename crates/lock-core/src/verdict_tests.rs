//! The rows of the verdict table, each at the instant before, at, and after its boundary; and what
//! a contender counts, whatever its clock does.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use rstest::rstest;

use super::KernelLock::{Free, Held, Unknown};
use super::*;
use crate::policy::Settings;
use crate::record::{Arbitration, RecordError, Terms};
use crate::snapshot::Defect;
use crate::testing::{HERE, OTHER_BOOT, OTHER_HOST, Place, at, token};
use crate::time::{Boot, Wall};

const STALE_AFTER: u64 = 1_000;
const HANG_AFTER: u64 = 5_000;
const LIMIT: u64 = 20_000;
/// When each look here is, on all clocks.
const NOW: u64 = 100_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn settings() -> Settings {
    let hang_after = ms(HANG_AFTER);
    Settings { hang_after, ..Settings::with_stale_after(ms(STALE_AFTER)) }
}

fn checked(settings: Settings) -> Policy {
    Policy::new(settings).expect("because these settings fit together")
}

/// A contender's policy that waits for as long as it takes.
fn policy() -> Policy {
    checked(settings())
}

/// One that does not.
fn limited() -> Policy {
    checked(Settings { wait_limit: Some(ms(LIMIT)), ..settings() })
}

/// An owner's terms that are the contender's own.
fn terms(preemptible: bool) -> Terms {
    let (stale_after, hang_after) = (ms(STALE_AFTER), ms(HANG_AFTER));
    Terms { preemptible, quiet: ms(0), renew: ms(STALE_AFTER / 3), stale_after, hang_after }
}

/// A record of ours that was last written a day ago, or will be in a day: nobody compares that.
fn record(place: Place, terms: Terms) -> Record {
    let mut record = Record::new(7, token("t"), place.host(), "x", at(NOW - 86_400));
    if let Some(detail) = &mut record.detail {
        detail.terms = terms;
    }
    record
}

fn with(mut record: Record, change: impl FnOnce(&mut Detail)) -> Record {
    change(record.detail.as_mut().expect("because it is ours"));
    record
}

fn seen(kernel: KernelLock, content: Result<Record, Defect>) -> Seen {
    let (process, cgroup) = (Life::Unknown, Life::Unknown);
    Seen { id: FileId { device: 1, inode: 1 }, kernel, process, cgroup, content }
}

fn plain(kernel: KernelLock) -> Seen {
    seen(kernel, Ok(record(HERE, terms(false))))
}

fn preemptible(kernel: KernelLock) -> Seen {
    seen(kernel, Ok(record(HERE, terms(true))))
}

fn timed(kernel: KernelLock) -> Seen {
    let timed = |detail: &mut Detail| detail.arbitration = Arbitration::Timed;
    seen(kernel, Ok(with(record(HERE, terms(false)), timed)))
}

fn peers(kernel: KernelLock, stamp: u64) -> Seen {
    let record = Record { pid: 7, stamp: Wall(stamp), token: token("p"), detail: None };
    seen(kernel, Ok(record))
}

fn broken(kernel: KernelLock) -> Seen {
    seen(kernel, Err(Defect::Record(RecordError::Empty)))
}

/// Enough looks, and so long.
fn full(passed: u64) -> Count {
    Count { passed: ms(passed), looks: Count::LOOKS }
}

fn silent(passed: u64) -> Counts {
    Counts { silent: full(passed), ..Counts::default() }
}

fn idle(passed: u64) -> Counts {
    Counts { idle: full(passed), ..Counts::default() }
}

fn waited(ms: u64) -> Counts {
    Counts { waited: Duration::from_millis(ms), ..Counts::default() }
}

/// Whatever can be counted is.
fn everything() -> Counts {
    Counts { waited: Duration::MAX, silent: Count::FULL, idle: Count::FULL }
}

fn judged_by(policy: &Policy, seen: &Seen, counts: &Counts) -> Verdict {
    judge(policy, &HERE.host(), at(NOW), &Snapshot::Present(seen.clone()), counts)
}

fn judged(seen: &Seen, counts: &Counts) -> Verdict {
    judged_by(&policy(), seen, counts)
}

const fn stale(stale: Stale) -> Verdict {
    Verdict::Stale(stale)
}

/// Not before so many milliseconds have passed.
const fn wait(left: u64) -> Verdict {
    Verdict::Wait { until: Mono(NOW + left) }
}

/// Nothing that a clock tells can change it.
const FOR_EVER: Verdict = Verdict::Wait { until: Mono(u64::MAX) };

const WAITER: Verdict = Verdict::TimedOut(Limit::Waiter);
const OWNER: Verdict = Verdict::TimedOut(Limit::Owner);

#[test]
fn an_absent_lock_is_free() {
    for counts in [Counts::default(), everything()] {
        let verdict = judge(&limited(), &HERE.host(), at(NOW), &Snapshot::Absent, &counts);
        assert_eq!(verdict, Verdict::Free);
    }
}

#[rstest]
#[case::no_record(broken(Free), Stale::Corrupt)]
#[case::no_record_unknown(broken(Unknown), Stale::Corrupt)]
#[case::unreadable(seen(Free, Err(Defect::Unreadable(5))), Stale::Corrupt)]
#[case::dead(plain(Free), Stale::OwnerDied)]
#[case::dead_and_preemptible(preemptible(Free), Stale::OwnerDied)]
#[case::dead_on_another_host(seen(Free, Ok(record(OTHER_HOST, terms(false)))), Stale::OwnerDied)]
#[case::rebooted(seen(Free, Ok(record(OTHER_BOOT, terms(false)))), Stale::Rebooted)]
#[case::its_cgroup_is_empty(Seen { cgroup: Life::Ended, ..plain(Free) }, Stale::OwnerDied)]
#[case::tools_of_a_dead_owner(Seen { process: Life::Ended, ..preemptible(Held) }, Stale::OwnerDied)]
#[case::timed_and_dead(Seen { process: Life::Ended, ..timed(Unknown) }, Stale::OwnerDied)]
#[case::ours_unknown_and_dead(Seen { process: Life::Ended, ..plain(Unknown) }, Stale::OwnerDied)]
fn one_look_shows_that_a_lock_is_stale(#[case] seen: Seen, #[case] reason: Stale) {
    for counts in [Counts::default(), everything()] {
        assert_eq!(judged(&seen, &counts), stale(reason));
        assert_eq!(judged_by(&limited(), &seen, &counts), stale(reason));
    }
}

/// However long it has been looked at: no clock takes from the living.
#[rstest]
#[case::not_preemptible(plain(Held))]
#[case::not_preemptible_and_its_process_has_ended(Seen { process: Life::Ended, ..plain(Held) })]
#[case::of_another_boot(seen(Held, Ok(record(OTHER_BOOT, terms(false)))))]
#[case::of_another_host(seen(Held, Ok(record(OTHER_HOST, terms(false)))))]
#[case::its_cgroup_is_populated(Seen { cgroup: Life::Running, ..plain(Free) })]
#[case::its_cgroup_is_populated_and_it_is_preemptible(
    Seen { cgroup: Life::Running, ..preemptible(Free) }
)]
#[case::no_record(broken(Held))]
#[case::unreadable(seen(Held, Err(Defect::Unreadable(5))))]
#[case::a_peers_locked_by_another_program(peers(Held, NOW - 10 * STALE_AFTER))]
#[case::timed_and_its_process_runs(Seen { process: Life::Running, ..timed(Unknown) })]
#[case::ours_unknown_and_its_process_runs(Seen { process: Life::Running, ..plain(Unknown) })]
#[case::timed_and_locked_by_another_program(timed(Held))]
#[case::timed_and_dead_and_locked_by_another_program(Seen { process: Life::Ended, ..timed(Held) })]
fn the_living_are_waited_for(#[case] seen: Seen) {
    for counts in [Counts::default(), everything()] {
        assert_eq!(judged(&seen, &counts), FOR_EVER);
    }
    let limited = limited();
    assert_eq!(judged_by(&limited, &seen, &waited(0)), wait(LIMIT));
    assert_eq!(judged_by(&limited, &seen, &waited(LIMIT - 1)), wait(1));
    assert_eq!(judged_by(&limited, &seen, &waited(LIMIT)), WAITER);
    assert_eq!(judged_by(&limited, &seen, &waited(LIMIT + 1)), WAITER);
}

/// A newer fleet's record decides by the kernel lock, whatever else it says or lacks.
#[test]
fn a_newer_format_is_judged_by_the_kernel_lock() {
    let newer = Record::parse(b"7\n1\nt\nformat=3\nhost=?\n").expect("because it is a record");
    assert_eq!(judged(&seen(Held, Ok(newer.clone())), &everything()), FOR_EVER);
    assert_eq!(judged(&seen(Free, Ok(newer)), &Counts::default()), stale(Stale::OwnerDied));
}

#[test]
fn a_silent_preemptible_owner_is_stale() {
    let owner = preemptible(Held);
    assert_eq!(judged(&owner, &silent(STALE_AFTER - 1)), wait(1));
    assert_eq!(judged(&owner, &silent(STALE_AFTER)), stale(Stale::Silent));
    assert_eq!(judged(&owner, &silent(STALE_AFTER + 1)), stale(Stale::Silent));
}

/// Its own thread renews the lock meanwhile, if it lives.
#[test]
fn quiet_is_no_excuse_for_silence() {
    let quiet = Terms { quiet: ms(10 * HANG_AFTER), ..terms(true) };
    let owner = seen(Held, Ok(record(HERE, quiet)));
    assert_eq!(judged(&owner, &silent(STALE_AFTER - 1)), wait(1));
    assert_eq!(judged(&owner, &silent(STALE_AFTER)), stale(Stale::Silent));
}

#[rstest]
#[case::no_quiet(0)]
#[case::a_pause(700)]
#[case::a_long_one(20 * HANG_AFTER)]
fn a_preemptible_owner_without_a_step_is_timed_out(#[case] quiet: u64) {
    let owner = Terms { quiet: ms(quiet), stale_after: ms(100 * HANG_AFTER), ..terms(true) };
    let owner = seen(Held, Ok(record(HERE, owner)));
    let limit = quiet + HANG_AFTER;
    assert_eq!(judged(&owner, &idle(limit - 1)), wait(1));
    assert_eq!(judged(&owner, &idle(limit)), OWNER);
    assert_eq!(judged(&owner, &idle(limit + 1)), OWNER);
}

#[rstest]
#[case::the_owners(STALE_AFTER + 500, STALE_AFTER + 500)]
#[case::the_contenders(STALE_AFTER - 500, STALE_AFTER)]
fn the_larger_stale_after_counts(#[case] owners: u64, #[case] counts: u64) {
    let subjects = [
        (
            seen(Held, Ok(record(HERE, Terms { stale_after: ms(owners), ..terms(true) }))),
            Stale::Silent,
        ),
        (
            seen(
                Unknown,
                Ok(record(OTHER_HOST, Terms { stale_after: ms(owners), ..terms(false) })),
            ),
            Stale::Expired,
        ),
    ];
    for (owner, reason) in subjects {
        assert_eq!(judged(&owner, &silent(counts - 1)), wait(1));
        assert_eq!(judged(&owner, &silent(counts)), stale(reason));
    }
}

#[rstest]
#[case::the_owners(HANG_AFTER + 500, HANG_AFTER + 500)]
#[case::the_contenders(HANG_AFTER - 500, HANG_AFTER)]
fn the_larger_hang_after_counts(#[case] owners: u64, #[case] counts: u64) {
    let hang_after = ms(owners);
    let owner = Terms { hang_after, stale_after: ms(100 * HANG_AFTER), ..terms(true) };
    let owner = seen(Held, Ok(record(HERE, owner)));
    assert_eq!(judged(&owner, &idle(counts - 1)), wait(1));
    assert_eq!(judged(&owner, &idle(counts)), OWNER);
}

/// As a file may say it, or a caller.
#[test]
fn a_quiet_longer_than_a_day_counts_as_a_day() {
    const DAY: u64 = 86_400_000;
    let owner = Terms { stale_after: ms(10 * DAY), ..terms(true) };
    let stepped = record(HERE, owner).advanced("x", ms(DAY + 1), at(NOW));
    let text = stepped.encode(0).replace(&format!("quiet={DAY}"), &format!("quiet={}", 9 * DAY));
    let read = Record::parse(text.as_bytes()).expect("because it is a record");
    for record in [stepped, read] {
        let owner = seen(Held, Ok(record));
        assert_eq!(judged(&owner, &idle(DAY + HANG_AFTER - 1)), wait(1));
        assert_eq!(judged(&owner, &idle(DAY + HANG_AFTER)), OWNER);
    }
}

#[test]
fn a_count_is_full_only_after_four_looks() {
    let slow = Terms { stale_after: ms(100 * HANG_AFTER), ..terms(true) };
    let (silent_one, slow_one) = (preemptible(Held), seen(Held, Ok(record(HERE, slow))));
    for looks in 1..Count::LOOKS {
        let few = Count { passed: Duration::MAX, looks };
        let counts = Counts { silent: few, ..Counts::default() };
        assert_eq!(judged(&silent_one, &counts), wait(1), "{looks}");
        let counts = Counts { idle: few, ..Counts::default() };
        assert_eq!(judged(&slow_one, &counts), wait(1), "{looks}");
    }
    assert_eq!(Count::LOOKS, 4);
}

#[rstest]
#[case::timed(timed(Unknown))]
#[case::timed_where_we_have_kernel_locks(timed(Free))]
#[case::ours_where_we_have_none(plain(Unknown))]
#[case::of_another_boot(seen(Unknown, Ok(record(OTHER_BOOT, terms(false)))))]
fn where_nothing_is_known_of_an_owner_it_expires(#[case] owner: Seen) {
    assert_eq!(judged(&owner, &silent(STALE_AFTER - 1)), wait(1));
    assert_eq!(judged(&owner, &silent(STALE_AFTER)), stale(Stale::Expired));
    assert_eq!(judged(&owner, &silent(STALE_AFTER + 1)), stale(Stale::Expired));
    assert_eq!(judged(&owner, &idle(u64::MAX)), wait(STALE_AFTER));
}

/// It has agreed to that wherever it runs.
#[rstest]
#[case::timed(Arbitration::Timed)]
#[case::ours_where_we_have_no_kernel_locks(Arbitration::Kernel(2))]
fn a_preemptible_owner_that_hangs_is_replaced_without_kernel_locks_too(
    #[case] arbitration: Arbitration,
) {
    for (process, reason) in [(Life::Running, Stale::Silent), (Life::Unknown, Stale::Expired)] {
        let owner = |stale_after| {
            let terms = Terms { stale_after: ms(stale_after), ..terms(true) };
            let change = |detail: &mut Detail| detail.arbitration = arbitration;
            Seen { process, ..seen(Unknown, Ok(with(record(HERE, terms), change))) }
        };
        let silent_one = owner(STALE_AFTER);
        assert_eq!(judged(&silent_one, &silent(STALE_AFTER - 1)), wait(1));
        assert_eq!(judged(&silent_one, &silent(STALE_AFTER)), stale(reason));
        let hung = owner(100 * HANG_AFTER);
        assert_eq!(judged(&hung, &idle(HANG_AFTER - 1)), wait(1));
        assert_eq!(judged(&hung, &idle(HANG_AFTER)), OWNER);
    }
}

#[rstest]
#[case::just_fresh(STALE_AFTER - 1, wait(1))]
#[case::just_stale(STALE_AFTER, stale(Stale::Expired))]
#[case::stale(STALE_AFTER + 1, stale(Stale::Expired))]
fn a_peers_stamp_ages_on_the_wall_clock(#[case] age: u64, #[case] verdict: Verdict) {
    for kernel in [Free, Unknown] {
        assert_eq!(judged(&peers(kernel, NOW - age), &Counts::default()), verdict);
    }
}

#[rstest]
#[case::little(STALE_AFTER - 1, wait(STALE_AFTER * 2 - 1))]
#[case::at_the_limit(STALE_AFTER, wait(STALE_AFTER * 2))]
#[case::too_much(STALE_AFTER + 1, stale(Stale::Expired))]
fn a_peers_stamp_from_the_future(#[case] ahead: u64, #[case] verdict: Verdict) {
    assert_eq!(judged(&peers(Free, NOW + ahead), &Counts::default()), verdict);
}

/// What could be taken is taken, though our own limit is over as well.
#[test]
fn the_rows_that_take_come_before_our_own_limit() {
    let over = Counts { waited: ms(LIMIT), ..silent(STALE_AFTER) };
    assert_eq!(judged_by(&limited(), &preemptible(Held), &over), stale(Stale::Silent));
    let over = Counts { waited: ms(LIMIT), ..idle(HANG_AFTER) };
    assert_eq!(judged_by(&limited(), &preemptible(Held), &over), OWNER);
    let over = Counts { waited: ms(LIMIT), ..silent(STALE_AFTER - 1) };
    assert_eq!(judged_by(&limited(), &preemptible(Held), &over), WAITER);
}

/// Whichever comes first.
#[test]
fn a_wait_ends_when_a_row_above_can_fit() {
    let owner = preemptible(Held);
    let counts = Counts { silent: full(300), idle: full(100), waited: ms(0) };
    assert_eq!(judged(&owner, &counts), wait(STALE_AFTER - 300));
    let counts = Counts { silent: full(100), idle: full(HANG_AFTER - 200), waited: ms(0) };
    assert_eq!(judged(&owner, &counts), wait(200));
    let counts = Counts { waited: ms(LIMIT - 50), ..counts };
    assert_eq!(judged_by(&limited(), &owner, &counts), wait(50));
}

/// Only a peer's stamp is compared with a clock of ours.
#[rstest]
#[case::forward(3_600_000)]
#[case::backward(-90_000)]
fn set_clocks_change_nothing_for_our_own(#[case] step: i64) {
    let subjects =
        [Held, Free, Unknown].map(|kernel| [plain(kernel), preemptible(kernel), timed(kernel)]);
    for owner in subjects.as_flattened() {
        for counts in
            [Counts::default(), silent(STALE_AFTER - 1), silent(STALE_AFTER), everything()]
        {
            let snapshot = Snapshot::Present(owner.clone());
            let straight = at(NOW);
            let (wall, boot) = (NOW.saturating_add_signed(step), NOW.saturating_add_signed(-step));
            let stepped = Now { wall: Wall(wall), boot: Boot(boot), ..straight };
            assert_eq!(
                judge(&policy(), &HERE.host(), stepped, &snapshot, &counts),
                judge(&policy(), &HERE.host(), straight, &snapshot, &counts),
            );
        }
    }
}

/// The sweep a reviewer reads: what has been counted against the time waited.
#[test]
fn counts_against_waiting() {
    let counts = [0, STALE_AFTER - 1, STALE_AFTER, HANG_AFTER - 1, HANG_AFTER, 6 * HANG_AFTER];
    let waits = [0, LIMIT - 1, LIMIT, LIMIT + 1];
    let renewing = Terms { stale_after: ms(100 * HANG_AFTER), ..terms(true) };
    let subjects = [
        ("ours, held", plain(Held)),
        ("ours, free", plain(Free)),
        ("ours, unknown", plain(Unknown)),
        ("preemptible, held", preemptible(Held)),
        ("and renewing", seen(Held, Ok(record(HERE, renewing)))),
        ("timed, unknown", timed(Unknown)),
        ("peer's", peers(Free, NOW)),
        ("broken, held", broken(Held)),
    ];
    let mut lines = Vec::new();
    for (name, seen) in &subjects {
        for count in counts {
            let row: Vec<String> = waits
                .iter()
                .map(|waited| {
                    let (silent, idle) = (full(count), full(count));
                    let counts = Counts { waited: ms(*waited), silent, idle };
                    match judged_by(&limited(), seen, &counts) {
                        Verdict::Wait { until } => format!("wait {}", until.0 - NOW),
                        verdict => format!("{verdict:?}"),
                    }
                })
                .collect();
            lines.push(format!("{name:<17} counted {count:>5}: {}", row.join(" | ")));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

/// What is counted of one snapshot after the other.
mod counting {
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

    /// A contender beside an owner, for ten minutes; the owner's clocks are its own.
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
            const TEN_MINUTES: u64 = 600_000;
            let mut observer = Observer::new(at(clock(0)));
            let mut time = 0;
            while time < TEN_MINUTES {
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
        [STALE_AFTER, HANG_AFTER, 10 * HANG_AFTER]
            .into_iter()
            .filter(move |quiet| *quiet <= longest)
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
}

mod sleeping {
    use super::*;

    const SECOND: u64 = 1_000;

    fn longest(settings: Settings, seen: Seen) -> u64 {
        let longest = longest_sleep(&checked(settings), &Snapshot::Present(seen));
        u64::try_from(longest.as_millis()).expect("because it is short")
    }

    /// Long enough for each of the limits to be seen.
    fn slow() -> Settings {
        let stale_after = ms(300 * SECOND);
        Settings { hang_after: ms(600 * SECOND), ..Settings::with_stale_after(stale_after) }
    }

    fn owner(renew: u64, hang_after: u64) -> Seen {
        let terms = Terms { renew: ms(renew), hang_after: ms(hang_after), ..terms(true) };
        seen(Held, Ok(record(HERE, terms)))
    }

    #[test]
    fn beside_a_living_owner_that_is_not_preemptible_nothing_is_counted() {
        assert_eq!(longest(slow(), plain(Held)), 30 * SECOND);
        assert_eq!(longest(settings(), plain(Held)), STALE_AFTER);
        let absent = longest_sleep(&policy(), &Snapshot::Absent);
        assert_eq!(absent, ms(STALE_AFTER));
    }

    #[rstest]
    #[case::half_a_renewal(10 * SECOND, 600 * SECOND, 5 * SECOND)]
    #[case::a_quarter_of_the_owners_hang_after(100 * SECOND, 40 * SECOND, 10 * SECOND)]
    #[case::half_a_minute(300 * SECOND, 600 * SECOND, 30 * SECOND)]
    #[case::not_so_often_that_we_are_busy(1, 600 * SECOND, 250)]
    fn beside_a_preemptible_owner_sleeps_are_short(
        #[case] renew: u64,
        #[case] hang_after: u64,
        #[case] expected: u64,
    ) {
        let hasty = Settings { hang_after: ms(1), ..slow() };
        assert_eq!(longest(hasty, owner(renew, hang_after)), expected);
    }

    #[test]
    fn the_contenders_own_hang_after_counts_if_it_is_larger() {
        let settings = Settings { hang_after: ms(80 * SECOND), ..slow() };
        assert_eq!(longest(settings, owner(300 * SECOND, 40 * SECOND)), 20 * SECOND);
    }

    /// Four looks have to fit into each threshold.
    #[test]
    fn a_count_is_never_late_for_want_of_looks() {
        let hasty = Settings { hang_after: ms(SECOND), ..settings() };
        for renew in [1, STALE_AFTER / 3, STALE_AFTER / 2, 3_600 * SECOND] {
            let sleep = longest(hasty, owner(renew, 1));
            assert!(sleep * u64::from(Count::LOOKS) <= STALE_AFTER, "{sleep} at {renew}");
        }
    }

    /// Unlocking need not make an event.
    #[rstest]
    #[case::no_record(broken(Held))]
    #[case::a_peers(peers(Held, NOW))]
    #[case::timed_and_locked_by_another_program(timed(Held))]
    #[case::in_a_cgroup(
        seen(Free, Ok(with(record(HERE, terms(false)), |detail| detail.cgroup = Some("w".into()))))
    )]
    fn what_makes_no_event_is_looked_at_every_poll(#[case] seen: Seen) {
        assert_eq!(longest(slow(), seen.clone()), 250);
        assert_eq!(longest(Settings { poll: ms(20), ..slow() }, seen), 20);
    }

    #[rstest]
    #[case::timed(timed(Unknown))]
    #[case::ours_where_we_have_no_kernel_locks(plain(Unknown))]
    fn beside_an_owner_that_is_judged_by_its_renewals_sleeps_are_short(#[case] seen: Seen) {
        assert_eq!(longest(slow(), seen), 250);
    }
}
