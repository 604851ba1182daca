//! The rows where the kernel does not say whether an owner lives: ours by looks, a peer's by its
//! stamp.

use super::*;

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
