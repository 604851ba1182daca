//! The rows of the verdict table, each at the instant before, at, and after its boundary; and what
//! a contender counts, whatever its clock does.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use rstest::rstest;

use super::KernelLock::{Free, Held, Unknown};
use super::*;
use crate::policy::{OnTimeout, Settings};
use crate::record::{Arbitration, RecordError, Terms};
use crate::snapshot::{Defect, FileId};
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

/// A record of ours that was last written long ago, by clocks that no verdict compares with ours.
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
#[case::timed_and_preemptible_and_locked_by_another_program(
    seen(Held, Ok(with(record(HERE, terms(true)), |detail| detail.arbitration = Arbitration::Timed)))
)]
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

#[path = "count_tests.rs"]
mod counting;

#[path = "sleep_tests.rs"]
mod sleeping;

#[path = "expiry_tests.rs"]
mod expiry;
