//! Our own machines: nothing may break.

use lock_core::effect::{Name, Share};
use lock_core::machine::Medium;

use super::{Case, Expected};
use crate::leftover::{Leftover, Remains};
use crate::property::Property;
use crate::scope::Member;
use crate::world::{Abilities, Flock, Plan};
use crate::zoo::Kind;

/// It has not consented to be replaced: its whole ownership is work, in its own process.
const OWN: Member = owner(0, 0, false, false);

/// The same, and it renews once and takes a step.
const BUSY: Member = owner(1, 1, false, false);

/// The same, but its work is a command that inherits its ticket.
const RUN: Member = owner(0, 0, false, true);

/// The same, and it renews once.
const RUN_BUSY: Member = owner(1, 0, false, true);

/// It may be replaced: only its steps are work.
const YIELDS: Member = owner(0, 0, true, false);

/// The same, and it takes a step whose tools inherit its ticket.
const YIELDS_STEP: Member = owner(0, 1, true, true);

/// The same, and it renews once.
const YIELDS_BUSY: Member = owner(1, 1, true, true);

/// It takes the lock away from its first owner, by that one's number.
const EVICT: Member = Member::Ours(Plan::Evict(Some(6)));

/// It names no owner.
const EVICT_ANY: Member = Member::Ours(Plan::Evict(None));

const FLOCK: Member = Member::Peer(Kind::Foreign(Share::Exclusive));

const FLOCK_SHARED: Member = Member::Peer(Kind::Foreign(Share::Shared));

const NEWER: Member = Member::Peer(Kind::Newer);

const LINKED: Abilities = Abilities { anonymous: false, ..Abilities::ALL };
const SEPARATE: Abilities = Abilities { links: false, ..LINKED };
const BARE: Abilities = Abilities { locks: Flock::Missing, watches: false, ..SEPARATE };

const fn owner(renewals: u8, steps: u8, preemptible: bool, shares: bool) -> Member {
    Member::Ours(Plan::Own { renewals, steps, preemptible, shares })
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = interleavings();
    cases.extend(time());
    cases.extend(surroundings());
    cases.extend(strangers());
    cases.extend(queues());
    cases.extend(crowds());
    cases.extend(consent());
    cases.extend(orphans());
    cases.extend(clocks());
    cases.extend(holders());
    cases
}

fn interleavings() -> Vec<Case> {
    let some = Leftover::some;
    vec![
        ours("2, every leftover, 1 crash", &[OWN; 2]).left(Leftover::all()).crashes(1),
        ours("2, first use ever, 2 crashes", &[OWN; 2])
            .left(vec![Leftover::default(), Leftover::clean()])
            .crashes(2),
        ours("2, leftovers, torn unlinks, 1 crash", &[OWN; 2]).left(some()).torn().crashes(1),
        ours("2, coming back twice", &[OWN; 2]).returns(2),
        ours("2, leftovers, 1 cancelled, 1 crash", &[OWN; 2]).left(some()).cancels(1).crashes(1),
        ours("2 with a renewal and a step, 1 crash", &[BUSY; 2]).crashes(1),
        ours("owner with a step and evicter, 1 crash", &[BUSY, EVICT]).crashes(1),
        ours("owner with a step, evicter names none, 1 crash", &[BUSY, EVICT_ANY]).crashes(1),
        ours("2 with a renewal, their work inherits, 1 crash", &[RUN_BUSY; 2]).crashes(1),
        ours("2 threads of one process, leftovers, 1 crash", &[OWN; 2])
            .threads(2)
            .left(some())
            .crashes(1),
        ours("2, every leftover, 1 crash, call by call", &[OWN; 2])
            .left(Leftover::all())
            .crashes(1)
            .call_by_call()
            .deep(),
    ]
}

fn time() -> Vec<Case> {
    vec![
        ours("2, 1 pause, 1 crash", &[YIELDS; 2]).pauses(1).crashes(1),
        ours("2, 2 pauses", &[YIELDS; 2]).pauses(2),
        ours("owner and waiter, 3 pauses, 1 crash", &[YIELDS; 2]).settled(2).pauses(3).crashes(1),
        ours("owner with a renewal and a step, waiter, 2 pauses", &[YIELDS_BUSY, YIELDS])
            .settled(2)
            .pauses(2),
        ours("owner with a renewal and a step, waiter, hanging", &[YIELDS_BUSY, YIELDS])
            .settled(2)
            .terms(4, 2)
            .quiet(1)
            .pauses(3),
        ours("2, wall clocks apart, one set, 1 pause", &[YIELDS; 2]).wall_clocks(1).pauses(1),
        ours("2, 2 pauses, giving up after 2", &[OWN; 2]).limit(2).pauses(2),
        ours("2, 2 pauses, ending owners after 1", &[YIELDS; 2]).ends_owners_after(1).pauses(2),
        ours("2 threads, 2 pauses, ending owners after 1", &[YIELDS; 2])
            .threads(2)
            .ends_owners_after(1)
            .pauses(2)
            .deep(),
        ours("2, leftovers, 1 pause, 1 crash", &[YIELDS; 2])
            .left(Leftover::some())
            .pauses(1)
            .crashes(1)
            .deep(),
        ours("2 with a renewal and a step each, 2 pauses", &[YIELDS_BUSY; 2]).pauses(2).deep(),
    ]
}

fn surroundings() -> Vec<Case> {
    let some = Leftover::some;
    let separate = |name| ours(name, &[OWN; 2]).on(SEPARATE).known(Medium::Separate);
    vec![
        ours("2, 1 call refused", &[OWN; 2]).refusals(1),
        ours("1 with a renewal, its work inherits, 2 calls refused", &[RUN_BUSY]).refusals(2),
        ours("2, leftovers, no O_TMPFILE, 1 crash", &[OWN; 2]).on(LINKED).left(some()).crashes(1),
        ours("2, no hard links, torn unlinks", &[OWN; 2]).on(SEPARATE).torn(),
        separate("2, no hard links, 1 crash").crashes(1),
        separate("2, no hard links, 1 call refused").refusals(1),
        ours("2, no kernel locks, no pause", &[YIELDS; 2]).on(BARE),
        ours("2, leftovers, 1 call refused", &[OWN; 2]).left(some()).refusals(1).deep(),
        ours("2, no hard links, 1 pause", &[YIELDS; 2])
            .on(SEPARATE)
            .known(Medium::Separate)
            .pauses(1)
            .deep(),
        separate("2, leftovers, no hard links, 1 crash").left(some()).crashes(1).deep(),
    ]
}

fn strangers() -> Vec<Case> {
    let by_hand = "2, 1 file made or removed by hand";
    vec![
        ours(by_hand, &[OWN; 2]).hands(1),
        ours(&format!("{by_hand}, leftovers"), &[OWN; 2]).left(Leftover::some()).hands(1).deep(),
        ours("1, leftovers, 3 made or removed by hand", &[OWN])
            .left(Leftover::some())
            .hands(3)
            .call_by_call(),
        ours("1, no hard links, 3 made or removed by hand", &[OWN])
            .on(SEPARATE)
            .known(Medium::Separate)
            .left(Leftover::some())
            .hands(3)
            .call_by_call(),
        ours("2, a dead lock, 2 made or removed by hand", &[OWN; 2])
            .left(vec![Leftover::clean().with(&[Name::Lock], Remains::Ours)])
            .hands(2)
            .deep(),
        ours(&format!("{by_hand}, 1 pause"), &[YIELDS; 2]).hands(1).pauses(1).deep(),
        ours(&format!("{by_hand}, no hard links"), &[OWN; 2])
            .on(SEPARATE)
            .known(Medium::Separate)
            .hands(1)
            .deep(),
        ours("1 beside a peer, lock and mutex left", &[OWN, Member::Peer(Kind::Fleet)])
            .left(beside_a_peer())
            .call_by_call()
            .only(&[Property::OneOwner, Property::OwnFile, Property::CanEnd]),
    ]
}

/// A peer's blind removal of an old reclaim lock is a hole that we cannot close for it
/// (H1); so here no reclaim lock is left over.
fn beside_a_peer() -> Vec<Leftover> {
    let clean = Leftover::clean();
    let mut leftovers = vec![clean.clone()];
    for remains in [Remains::Ours, Remains::Stale] {
        leftovers.push(clean.clone().with(&[Name::Mutex], remains));
        leftovers.push(clean.clone().with(&[Name::Lock], remains));
        leftovers.push(clean.clone().with(&[Name::Lock], remains).with(&[Name::Mutex], remains));
    }
    leftovers
}

/// One who owns, one who waits; then others come, or stand in the queue already.
fn queues() -> Vec<Case> {
    let queue = |name, settled| ours(name, &[OWN; 3]).settled(settled);
    let paused = |name, settled| ours(name, &[YIELDS; 3]).settled(settled).pauses(1);
    vec![
        queue("owner, waiter, newcomer", 2),
        queue("owner, waiter, newcomer, 1 crash", 2).crashes(1),
        paused("owner, waiter, newcomer, 1 pause", 2).deep(),
        queue("owner, waiter, newcomer, coming back", 2).returns(1).deep(),
        queue("owner and 2 waiters", 3),
        queue("owner and 2 waiters, 1 crash", 3).crashes(1),
        queue("owner and 2 waiters, torn unlinks", 3).torn(),
        paused("owner and 2 waiters, 1 pause", 3),
        paused("owner and 2 waiters, 1 pause, 1 crash", 3).crashes(1).deep(),
        queue("owner and 2 waiters, coming back", 3).returns(1).deep(),
    ]
}

/// The last three go on far beyond what a machine has memory for.
fn crowds() -> Vec<Case> {
    let far = 30_000_000;
    vec![
        ours("1 and 2 evicters, torn unlinks", &[OWN, EVICT, EVICT]).torn(),
        ours("2 and an evicter, torn unlinks", &[OWN, OWN, EVICT]).torn().deep(),
        ours("3", &[OWN; 3]).deep(),
        ours("3, 1 crash", &[OWN; 3]).crashes(1).bounded(far).deep(),
        ours("3, leftovers", &[OWN; 3]).left(Leftover::some()).bounded(far).deep(),
        ours("4", &[OWN; 4]).bounded(far).deep(),
    ]
}

/// An owner that has not consented to be replaced, however long it is silent or works.
fn consent() -> Vec<Case> {
    vec![
        ours("owner and waiter, 3 pauses", &[OWN; 2]).settled(2).pauses(3),
        ours("owner and waiter, 2 pauses, giving up after 1", &[OWN; 2])
            .settled(2)
            .limit(1)
            .pauses(2),
        ours("2, 2 pauses, neither preemptible", &[OWN; 2]).pauses(2),
        ours("owner and waiter, 3 pauses, ending it after 1", &[RUN; 2])
            .settled(2)
            .ends_owners_after(1)
            .pauses(3),
        ours("owner and 2 waiters, 2 pauses, ending it after 1", &[OWN; 3])
            .settled(3)
            .ends_owners_after(1)
            .pauses(2)
            .deep(),
    ]
}

/// An owner is killed, and the work that it has started goes on.
fn orphans() -> Vec<Case> {
    vec![
        ours("2, 1 killed while its work goes on", &[RUN; 2]).orphans(1),
        ours("2, 1 killed while its work goes on, 1 crash", &[RUN; 2]).orphans(1).crashes(1),
        ours("owner and 2 waiters, its work outlives it", &[RUN; 3]).settled(3).orphans(1),
        ours("2 with a step, 1 killed in it", &[YIELDS_BUSY; 2]).orphans(1),
        ours("owner with a step killed in it, waiter, coming back", &[YIELDS_STEP; 2])
            .settled(2)
            .orphans(1)
            .returns(1),
        ours("2, 1 killed while its work goes on, 2 pauses", &[RUN; 2]).orphans(1).pauses(2),
        ours("owner, waiter, a tool outlives its step, 3 pauses", &[YIELDS_STEP; 2])
            .settled(2)
            .quiet(1)
            .orphans(1)
            .pauses(3),
        // The work of an owner waits for what the owner before has left. If that one ends while it
        // waits itself, the next waits for both.
        ours("a tool outlives its owner, the next is cancelled", &[YIELDS_STEP, OWN])
            .settled(2)
            .quiet(1)
            .orphans(1)
            .cancels(1)
            .returns(1),
        ours("a tool outlives its owner, the next is killed", &[YIELDS_STEP, OWN, OWN])
            .settled(3)
            .quiet(1)
            .orphans(1)
            .crashes(1),
        ours("2 with a renewal, 1 killed in it", &[RUN_BUSY; 2]).orphans(1),
        ours("work outlives its owner, and is ended after 1", &[RUN; 2])
            .settled(2)
            .orphans(1)
            .ends_owners_after(1)
            .pauses(2),
        // Each waiter is as late as the other when the first ends it.
        ours("work outlives its owner, 2 waiters end it after 1", &[RUN; 3])
            .settled(3)
            .orphans(1)
            .ends_owners_after(1)
            .pauses(1),
    ]
}

/// Clocks that jump for everyone, or that differ.
fn clocks() -> Vec<Case> {
    vec![
        ours("owner and waiter, 1 suspend", &[OWN; 2]).settled(2).suspends(1),
        ours("2, 1 suspend, 1 pause", &[OWN; 2]).suspends(1).pauses(1),
        ours("2 with a step, 1 suspend", &[YIELDS_BUSY; 2]).suspends(1),
        ours("owner and waiter, 1 suspend, 2 pauses", &[YIELDS_BUSY; 2])
            .settled(2)
            .suspends(1)
            .pauses(2),
        ours("2 with a step, clocks offset", &[YIELDS_BUSY; 2]).offset(),
        ours("owner and hasty waiter, 3 pauses", &[owner(1, 0, true, false); 2])
            .settled(2)
            .hasty(1)
            .pauses(3),
        ours("owner and waiter, clocks offset, 2 pauses", &[YIELDS_BUSY; 2])
            .settled(2)
            .offset()
            .pauses(2),
        ours("2, clocks offset", &[OWN; 2]).offset(),
    ]
}

/// Holders that keep to the kernel's lock alone. The first has it already: a `flock(1)` that comes
/// between the ask and the rename is named among what can break the guarantee.
fn holders() -> Vec<Case> {
    let beside = |name, holder| ours(name, &[holder, OWN, OWN]).settled(1).call_by_call();
    let beside_one = |name, holder| ours(name, &[holder, OWN]).settled(1).call_by_call();
    vec![
        beside_one("1 beside flock(1), 2 pauses, giving up after 1", FLOCK).limit(1).pauses(2),
        beside_one("1 beside flock(1), restless", FLOCK).restless(),
        beside("2 beside flock(1)", FLOCK).deep(),
        beside_one("1 beside flock(1), shared", FLOCK_SHARED),
        beside_one("1 beside a newer format, 2 pauses", NEWER).pauses(2),
        beside("2 beside a newer format, 1 pause", NEWER).pauses(1).deep(),
    ]
}

fn ours(name: &str, crew: &[Member]) -> Case {
    Case::new("ours", Expected::Holds, name, crew)
}
