//! The rows of the verdict table, each at the instant before, at, and after its boundary.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use rstest::rstest;

use super::KernelLock::{Free, Held, Unknown};
use super::*;
use crate::policy::Settings;
use crate::record::RecordError;
use crate::snapshot::Defect;
use crate::testing::{HERE, OTHER_BOOT, OTHER_HOST, Place, at, token};
use crate::time::Wall;

const STALE_AFTER: u64 = 1_000;
const MAX_WAIT: u64 = 5_000;
/// When the record under judgement was renewed, on both clocks.
const RENEWED: u64 = 100_000;

fn policy() -> Policy {
    let settings = Settings::with_stale_after(Duration::from_millis(STALE_AFTER));
    let max_wait = Duration::from_millis(MAX_WAIT);
    Policy::new(Settings { max_wait, ..settings }).expect("because these settings fit together")
}

fn ours(place: Place, kernel: KernelLock) -> Snapshot {
    present(kernel, Ok(Record::new(7, token("t"), place.host(), "x", at(RENEWED))))
}

fn peers(stamp: u64) -> Snapshot {
    let record = Record { pid: 7, stamp: Wall(stamp), token: token("p"), detail: None };
    present(Free, Ok(record))
}

fn present(kernel: KernelLock, content: Result<Record, Defect>) -> Snapshot {
    Snapshot::Present(Seen { id: FileId { device: 1, inode: 1 }, kernel, content })
}

fn broken(kernel: KernelLock) -> Snapshot {
    present(kernel, Err(Defect::Record(RecordError::Empty)))
}

/// Judged `after` ms past [`RENEWED`] by a contender that has waited not at all.
fn fresh_contender(snapshot: &Snapshot, after: u64) -> Verdict {
    let now = at(RENEWED + after);
    judge(&policy(), &HERE.host(), now, snapshot, now.boot)
}

fn until(after: u64) -> Verdict {
    Verdict::Wait { until: Boot(RENEWED + after) }
}

#[test]
fn an_absent_lock_is_free() {
    assert_eq!(fresh_contender(&Snapshot::Absent, 0), Verdict::Free);
}

#[rstest]
#[case(Free, Verdict::Stale(Stale::Corrupt))]
#[case(Unknown, Verdict::Stale(Stale::Corrupt))]
#[case(Held, until(MAX_WAIT))]
fn no_record(#[case] kernel: KernelLock, #[case] verdict: Verdict) {
    assert_eq!(fresh_contender(&broken(kernel), 0), verdict);
    let unreadable = present(kernel, Err(Defect::Unreadable(5)));
    assert_eq!(fresh_contender(&unreadable, 0), verdict);
}

#[rstest]
#[case::unlocked(OTHER_BOOT, Free, Verdict::Stale(Stale::Rebooted))]
#[case::no_kernel_locks(OTHER_BOOT, Unknown, Verdict::Stale(Stale::Rebooted))]
#[case::the_kernel_outweighs_the_boot_id(OTHER_BOOT, Held, until(STALE_AFTER))]
#[case::another_host_has_other_boots(OTHER_HOST, Unknown, until(STALE_AFTER))]
#[case::dead_on_another_host(OTHER_HOST, Free, Verdict::Stale(Stale::OwnerDied))]
#[case::dead_here(HERE, Free, Verdict::Stale(Stale::OwnerDied))]
fn another_boot_and_a_dead_owner(
    #[case] place: Place,
    #[case] kernel: KernelLock,
    #[case] verdict: Verdict,
) {
    assert_eq!(fresh_contender(&ours(place, kernel), 0), verdict);
}

#[rstest]
#[case::silent(HERE, Held, Stale::Silent)]
#[case::expired(HERE, Unknown, Stale::Expired)]
#[case::silent_elsewhere(OTHER_HOST, Held, Stale::Silent)]
#[case::expired_elsewhere(OTHER_HOST, Unknown, Stale::Expired)]
fn renewal_overdue(#[case] place: Place, #[case] kernel: KernelLock, #[case] stale: Stale) {
    let lock = ours(place, kernel);
    assert_eq!(fresh_contender(&lock, STALE_AFTER - 1), until(STALE_AFTER));
    assert_eq!(fresh_contender(&lock, STALE_AFTER), Verdict::Stale(stale));
    assert_eq!(fresh_contender(&lock, STALE_AFTER + 1), Verdict::Stale(stale));
}

#[rstest]
#[case::just_fresh(STALE_AFTER - 1, until(STALE_AFTER))]
#[case::just_stale(STALE_AFTER, Verdict::Stale(Stale::Expired))]
#[case::stale(STALE_AFTER + 1, Verdict::Stale(Stale::Expired))]
fn a_peers_stamp_ages_on_the_wall_clock(#[case] after: u64, #[case] verdict: Verdict) {
    assert_eq!(fresh_contender(&peers(RENEWED), after), verdict);
}

#[rstest]
#[case::little(STALE_AFTER - 1, until(STALE_AFTER * 2 - 1))]
#[case::at_the_limit(STALE_AFTER, until(STALE_AFTER * 2))]
#[case::too_much(STALE_AFTER + 1, Verdict::Stale(Stale::Expired))]
fn a_peers_stamp_from_the_future(#[case] ahead: u64, #[case] verdict: Verdict) {
    assert_eq!(fresh_contender(&peers(RENEWED + ahead), 0), verdict);
}

#[rstest]
#[case(MAX_WAIT - 1, until(MAX_WAIT))]
#[case(MAX_WAIT, Verdict::TimedOut)]
#[case(MAX_WAIT + 1, Verdict::TimedOut)]
fn patience_with_a_living_owner_ends(#[case] waited: u64, #[case] verdict: Verdict) {
    let lock = broken(Held);
    let now = at(RENEWED + waited);
    assert_eq!(judge(&policy(), &HERE.host(), now, &lock, Boot(RENEWED)), verdict);
}

#[rstest]
#[case::forward(3_600_000)]
#[case::backward(-3_600_000)]
fn a_step_of_the_wall_clock_changes_nothing_for_our_own(#[case] step: i64) {
    for after in [0, STALE_AFTER - 1, STALE_AFTER, STALE_AFTER + 1] {
        for kernel in [Held, Free, Unknown] {
            let lock = ours(HERE, kernel);
            let straight = at(RENEWED + after);
            let wall = Wall((RENEWED + after + 10_000_000).saturating_add_signed(step));
            let stepped = Now { wall, ..straight };
            assert_eq!(
                judge(&policy(), &HERE.host(), stepped, &lock, straight.boot),
                judge(&policy(), &HERE.host(), straight, &lock, straight.boot),
            );
        }
    }
}

#[test]
fn patience_starts_anew_with_another_owner_and_with_progress() {
    let policy = policy();
    let mut patience = Patience::new(at(0));
    let first = Record::new(1, token("a"), HERE.host(), "x", at(0));
    let second = Record::new(2, token("b"), HERE.host(), "x", at(0));
    let of = |record: &Record| present(Held, Ok(record.clone()));
    assert_eq!(patience.since(&policy, &of(&first), at(10)), Boot(10));
    assert_eq!(patience.since(&policy, &of(&first.clone().renewed(at(15))), at(20)), Boot(10));
    assert_eq!(patience.since(&policy, &of(&first.advanced("1", at(25))), at(30)), Boot(30));
    assert_eq!(patience.since(&policy, &of(&second), at(40)), Boot(40));
    assert_eq!(patience.since(&policy, &Snapshot::Absent, at(50)), Boot(50));
}

#[test]
fn a_user_who_gives_up_counts_from_the_start() {
    let policy = Policy::new(Settings { on_timeout: OnTimeout::Fail, ..*policy() })
        .expect("because these settings fit together");
    let mut patience = Patience::new(at(3));
    for now in [10, 20] {
        let record = Record::new(1, token("a"), HERE.host(), "x", at(now));
        let lock = present(Held, Ok(record));
        assert_eq!(patience.since(&policy, &lock, at(now)), Boot(3));
    }
}

/// The sweep a reviewer reads: age of the last renewal against the time waited.
#[test]
fn age_against_waiting() {
    let ages = [0, STALE_AFTER - 1, STALE_AFTER, STALE_AFTER + 1, 6 * STALE_AFTER];
    let waits = [0, MAX_WAIT - 1, MAX_WAIT, MAX_WAIT + 1];
    let subjects = [
        ("ours, held", ours(HERE, Held)),
        ("ours, free", ours(HERE, Free)),
        ("ours, unknown", ours(HERE, Unknown)),
        ("peer's", peers(RENEWED)),
        ("broken, held", broken(Held)),
    ];
    let mut lines = Vec::new();
    for (name, lock) in &subjects {
        for age in ages {
            let row: Vec<String> = waits
                .iter()
                .map(|waited| {
                    let now = at(RENEWED + age);
                    let since = Boot(now.boot.0 - waited);
                    format!("{:?}", judge(&policy(), &HERE.host(), now, lock, since))
                })
                .collect();
            lines.push(format!("{name:<14} age {age:>5}: {}", row.join(" | ")));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}
