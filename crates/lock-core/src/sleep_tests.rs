//! How long a contender sleeps at most beside each kind of owner.

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
